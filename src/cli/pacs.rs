//! `lesionlens pacs`: series from a DICOMweb archive, results back into it.

use crate::pacs::{Archive, Login, Search};
use anyhow::{Context, bail};
use clap::Subcommand;
use indicatif::{HumanBytes, ProgressBar};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// List series: UID, modality, date, number of images, description. No patient is named.
    List {
        #[command(flatten)]
        archive: ArchiveArgs,
        #[arg(long, value_name = "ID")]
        patient_id: Option<String>,
        /// Day of the study as YYYYMMDD, or two days as YYYYMMDD-YYYYMMDD.
        #[arg(long, value_parser = date)]
        date: Option<String>,
        /// Such as MR or CT.
        #[arg(long)]
        modality: Option<String>,
    },
    /// Get all images of a series.
    Get {
        #[command(flatten)]
        archive: ArchiveArgs,
        /// UID of the series.
        #[arg(long, value_name = "UID", value_parser = uid)]
        series: String,
        /// Folder to put the images in.
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
    },
    /// Store DICOM files, such as the segmentations of `predict --mask-format seg`.
    Send {
        #[command(flatten)]
        archive: ArchiveArgs,
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
}

#[derive(clap::Args)]
struct ArchiveArgs {
    /// Address of the archive's DICOMweb, such as https://pacs.example/dicom-web.
    #[arg(long)]
    url: String,
    #[arg(long, requires = "password_file")]
    user: Option<String>,
    /// File with the password of --user; only you should be able to read it (mode 600).
    #[arg(long, value_name = "FILE", requires = "user")]
    password_file: Option<PathBuf>,
    /// File with a bearer's token; only you should be able to read it (mode 600).
    #[arg(long, value_name = "FILE", conflicts_with = "user")]
    token_file: Option<PathBuf>,
}

impl ArchiveArgs {
    fn open(&self) -> anyhow::Result<Archive> {
        let login = match (&self.user, &self.password_file, &self.token_file) {
            (Some(user), Some(file), _) => Login::Basic { user: user.clone(), password: secret(file)? },
            (_, _, Some(file)) => Login::Bearer(secret(file)?),
            _ => Login::Nobody,
        };
        let archive = Archive::new(&self.url, login)?;
        if archive.is_open_to_listeners() {
            eprintln!("warning: the login travels unencrypted; use https://");
        }
        Ok(archive)
    }
}

/// The first line of a file that should be its owner's alone.
fn secret(path: &Path) -> anyhow::Result<String> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        if std::fs::metadata(path)?.permissions().mode() & 0o077 != 0 {
            eprintln!("warning: others can read {0}; `chmod 600 {0}`", path.display());
        }
    }
    match text.lines().next().map(str::trim_end).filter(|line| !line.is_empty()) {
        Some(line) => Ok(line.to_string()),
        None => bail!("{} is empty; write the password or the token into its first line", path.display()),
    }
}

fn date(text: &str) -> Result<String, String> {
    let is_day = |day: &str| day.len() == 8 && day.bytes().all(|byte| byte.is_ascii_digit());
    match text.split_once('-') {
        None if is_day(text) => Ok(text.into()),
        Some((from, to)) if is_day(from) && is_day(to) => Ok(text.into()),
        _ => Err("must be YYYYMMDD, or two of them with a hyphen between".into()),
    }
}

/// UIDs become part of an address.
fn uid(text: &str) -> Result<String, String> {
    let is_uid = !text.is_empty() && text.len() <= 64 && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    if is_uid { Ok(text.into()) } else { Err("must be a DICOM UID: digits and full stops".into()) }
}

pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    match args.action {
        Action::List { archive, patient_id, date, modality } => {
            let search = Search { patient_id, date, modality, series_uid: None };
            for series in archive.open()?.search(&search)? {
                let images = series.images.map_or("?".into(), |count| count.to_string());
                // A line stays a line, whatever an archive says.
                let description: String = series.description.chars().filter(|c| !c.is_control()).collect();
                println!("{}\t{}\t{}\t{images}\t{description}", series.uid, series.modality, series.date);
            }
        }
        Action::Get { archive, series, out } => get(&archive.open()?, &series, &out)?,
        Action::Send { archive, files } => return send(&archive.open()?, &files),
    }
    Ok(ExitCode::SUCCESS)
}

fn get(archive: &Archive, uid: &str, out: &Path) -> anyhow::Result<()> {
    let series = archive.series(uid)?;
    let stop = Arc::new(AtomicBool::new(false));
    let asked = stop.clone();
    ctrlc::set_handler(move || asked.store(true, Ordering::Relaxed))?;
    let bar = ProgressBar::new_spinner();
    let files = archive.retrieve(&series, out, &mut |images, bytes| {
        bar.set_message(format!("{images} images, {}", HumanBytes(bytes)));
        bar.tick();
        !stop.load(Ordering::Relaxed)
    });
    bar.finish_and_clear();
    println!("{} images in {}", files?.len(), out.display());
    Ok(())
}

/// Stores every file, past those that are refused.
fn send(archive: &Archive, files: &[PathBuf]) -> anyhow::Result<ExitCode> {
    let mut failed = 0;
    for file in files {
        match archive.store(file) {
            Ok(()) => println!("{}", file.display()),
            Err(error) => {
                eprintln!("error: {error}");
                failed += 1;
            }
        }
    }
    if failed == 0 {
        return Ok(ExitCode::SUCCESS);
    }
    eprintln!("{failed} of {} files were not stored", files.len());
    Ok(ExitCode::FAILURE)
}

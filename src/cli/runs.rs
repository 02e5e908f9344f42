//! `lesionlens runs`: training runs side by side.

use super::save;
use crate::domain::card::Epoch;
use crate::export::plot::{Plot, Series};
use crate::train::checkpoint::RunFolder;
use crate::train::run_note::RunNote;
use anyhow::{Context, bail};
use std::cmp::Ordering;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(clap::Subcommand)]
enum Action {
    /// A line a run: what it is, how far it came, its best validation figure.
    List {
        /// Folders of runs, or folders that hold such folders.
        #[arg(required = true)]
        folders: Vec<PathBuf>,
    },
    /// The same, epoch by epoch, with plots of loss and validation figure.
    Compare {
        #[arg(required = true)]
        folders: Vec<PathBuf>,
        /// Folder for loss.png and validation.png.
        #[arg(long, value_name = "DIR")]
        plots: Option<PathBuf>,
    },
}

/// A run as its folder tells it.
struct Run {
    name: String,
    note: RunNote,
    history: Vec<Epoch>,
    finished: bool,
}

impl Run {
    fn read(folder: &Path) -> anyhow::Result<Self> {
        let files = RunFolder(folder.to_path_buf());
        let note = RunNote::read(&files)?;
        let path = files.history();
        // A run that has not ended its first epoch has no history yet.
        let history = match csv::Reader::from_path(&path) {
            Ok(mut reader) => {
                reader.deserialize().collect::<Result<_, _>>().with_context(|| path.display().to_string())?
            }
            Err(_) if !path.exists() => Vec::new(),
            Err(e) => return Err(e).with_context(|| path.display().to_string()),
        };
        let name = folder.file_name().unwrap_or(folder.as_os_str()).to_string_lossy().into_owned();
        Ok(Self { name, note, history, finished: folder.join("card.toml").is_file() })
    }

    fn best(&self) -> Option<&Epoch> {
        let last_side = self.note.recipe.input.side;
        let comparable = self.history.iter().filter(|e| e.side == last_side);
        comparable
            .filter(|e| e.validation.is_some())
            .max_by(|a, b| a.validation.partial_cmp(&b.validation).unwrap_or(Ordering::Equal))
    }
}

pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    match args.action {
        Action::List { folders } => list(&read(&folders)?),
        Action::Compare { folders, plots } => {
            let runs = read(&folders)?;
            compare(&runs);
            if let Some(folder) = plots {
                std::fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
                draw(&runs, &folder.join("loss.png"), "loss", |e| Some(e.loss))?;
                draw(&runs, &folder.join("validation.png"), "validation", |e| e.validation)?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The runs in these folders and one level below.
fn read(folders: &[PathBuf]) -> anyhow::Result<Vec<Run>> {
    let mut runs = Vec::new();
    for folder in folders {
        if RunFolder(folder.clone()).note().is_file() {
            runs.push(Run::read(folder)?);
            continue;
        }
        let children = std::fs::read_dir(folder).with_context(|| folder.display().to_string())?;
        let mut below: Vec<PathBuf> = children.flatten().map(|e| e.path()).collect();
        below.retain(|path| RunFolder(path.clone()).note().is_file());
        below.sort();
        for path in below {
            // One damaged run does not hide the others.
            match Run::read(&path) {
                Ok(run) => runs.push(run),
                Err(error) => eprintln!("left out: {error:#}"),
            }
        }
    }
    if runs.is_empty() {
        bail!("no training run in {}; `train --out DIR` makes one", folders[0].display());
    }
    Ok(runs)
}

fn list(runs: &[Run]) {
    println!(
        "{:<20} {:<16} {:<20} {:>9} {:>10} {:<8} {:<6}",
        "run", "recipe", "architecture", "epochs", "best", "state", "device"
    );
    for run in runs {
        let recipe = &run.note.recipe;
        let epochs: usize = recipe.phases.iter().map(|p| p.epochs).sum();
        let best = figure(run.best().and_then(|e| e.validation));
        let state = if run.finished { "finished" } else { "open" };
        println!(
            "{:<20} {:<16} {:<20} {:>9} {best:>10} {state:<8} {:<6}",
            run.name,
            recipe.id,
            recipe.architecture.id(),
            format!("{}/{epochs}", run.history.len()),
            run.note.device
        );
    }
}

fn compare(runs: &[Run]) {
    list(runs);
    println!();
    let names: Vec<String> = runs.iter().map(|run| format!("{:>24}", run.name)).collect();
    println!("epoch {}   (loss, validation)", names.join(" "));
    let longest = runs.iter().map(|run| run.history.len()).max().unwrap_or(0);
    for epoch in 0..longest {
        let cell = |run: &Run| match run.history.get(epoch) {
            Some(e) => format!("{:>13.4} {:>10}", e.loss, figure(e.validation)),
            None => format!("{:>24}", "–"),
        };
        println!("{:>5} {}", epoch + 1, runs.iter().map(cell).collect::<Vec<_>>().join(" "));
    }
}

/// A figure with four decimals, or a dash.
fn figure(value: Option<f64>) -> String {
    value.map_or("–".into(), |value| format!("{value:.4}"))
}

fn draw(runs: &[Run], path: &Path, what: &str, value: fn(&Epoch) -> Option<f64>) -> anyhow::Result<()> {
    let line = |run: &Run| {
        let points = run.history.iter().enumerate().filter_map(|(i, e)| Some((i as f64 + 1.0, value(e)?))).collect();
        Series { name: run.name.clone(), points }
    };
    let series: Vec<Series> = runs.iter().map(line).collect();
    let all = || series.iter().flat_map(|s| &s.points);
    let plot = Plot {
        title: what.into(),
        x_label: "epoch".into(),
        y_label: what.into(),
        x_range: Plot::range(all().map(|p| p.0)),
        y_range: Plot::range(all().map(|p| p.1)),
        series: series.clone(),
        diagonal: false,
    };
    save(path, &plot.png(960, 640)?)?;
    println!("{}", path.display());
    Ok(())
}

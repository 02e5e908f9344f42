//! `lesionlens train`: a recipe and a data folder in, a model folder out.

use super::choice::choice;
use super::figures;
use super::threads::Threads;
use crate::domain::card::Epoch;
use crate::engine::device::{self, DeviceChoice};
use crate::train::checkpoint::{RunFolder, write_atomically};
use crate::train::dataset::Dataset;
use crate::train::fit::{Fit, Observer};
use crate::train::outcome::{self, Provenance};
use crate::train::recipe::Recipe;
use crate::train::run_note::RunNote;
use crate::train::sources::Part;
use crate::train::{cache, start};
use anyhow::{Context, bail};
use indicatif::{ProgressBar, ProgressStyle};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

#[derive(clap::Args)]
pub struct Args {
    /// Recipe, such as recipes/lgg-resunet.toml.
    recipe: PathBuf,
    /// Folder that the recipe's sources lie in.
    #[arg(long)]
    data: PathBuf,
    /// Folder for checkpoints, history and, in the end, `model.safetensors` and `card.toml`.
    #[arg(long)]
    out: PathBuf,
    /// Continue the run in --out.
    #[arg(long)]
    resume: bool,
    /// Start from the weights in this file (safetensors or PyTorch state dict) as far as they fit, instead of random ones.
    #[arg(long, conflicts_with = "resume")]
    init: Option<PathBuf>,
    #[arg(long, default_value = "auto", value_parser = choice(DeviceChoice::ALL, DeviceChoice::label))]
    device: DeviceChoice,
    #[command(flatten)]
    threads: Threads,
}

pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    args.threads.apply()?;
    let recipe = Recipe::read(&args.recipe)?;
    let folder = RunFolder(args.out.clone());
    if !args.resume && folder.position().exists() {
        bail!("{} already holds a run; add --resume to continue it or choose another --out", args.out.display());
    }
    if args.resume && !folder.position().exists() {
        bail!("{} holds no run to resume; start one without --resume", args.out.display());
    }
    std::fs::create_dir_all(&args.out).with_context(|| format!("cannot create {}", args.out.display()))?;
    let opened = device::open(args.device);
    if let Some(notice) = &opened.notice {
        eprintln!("{notice}");
    }
    let device = opened.device;
    let data = read(&args.data, &recipe, &args.out)?;
    let stop = Arc::new(AtomicBool::new(false));
    let asked = stop.clone();
    // Once: after the step in hand, with a checkpoint. Twice: at once; the last checkpoint stays.
    ctrlc::set_handler(move || {
        if asked.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
        eprintln!("stopping after this step; press again to stop at once");
    })?;
    let note = if args.resume {
        RunNote::read(&folder)?
    } else {
        let init = args.init.as_deref().and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned());
        let note = RunNote::new(&recipe, data.sha256(), device::name(&device), init);
        write_atomically(&folder.note(), toml::to_string(&note)?.as_bytes())?;
        note
    };
    let fit = if args.resume {
        Fit::resume(&recipe, &data, &device, folder)?
    } else {
        let init = args.init.as_deref().map(|path| initial(&recipe, path)).transpose()?;
        Fit::new(&recipe, &data, &device, folder, init)?
    };
    let (best, history) = fit.run(&mut Progress::new(&recipe), &stop)?;
    let last = history.last().map(|r| r.validation).unwrap_or_default();
    eprintln!("trained; last validation figure {last:.4}; measuring on test patients");
    let bar = ProgressBar::new((data.part(Part::Validation).len() + data.part(Part::Test).len()) as u64);
    let provenance = Provenance { commit: note.commit, init: note.init, history };
    let folder = RunFolder(args.out.clone());
    let card = outcome::write(&folder, &recipe, &data, &best, provenance, &device, &mut |n| bar.inc(n as u64))?;
    bar.finish_and_clear();
    cache::remove(&args.out);
    print!("{}", figures::of_card(&card));
    println!("{}", args.out.display());
    Ok(ExitCode::SUCCESS)
}

/// Lists and decodes the pictures, with a bar.
fn read(folder: &Path, recipe: &Recipe, out: &Path) -> anyhow::Result<Dataset> {
    let bar = ProgressBar::new(0);
    if let Ok(style) = ProgressStyle::with_template("reading pictures {bar:30} {pos}/{len}, {eta} left") {
        bar.set_style(style);
    }
    let data = Dataset::open(folder, recipe, out, &mut |n, of| {
        bar.set_length(of as u64);
        bar.inc(n as u64);
    })?;
    bar.finish_and_clear();
    let part = |part: Part| format!("{} slices of {}", data.part(part).len(), data.patients(part).len());
    eprintln!(
        "to train: {} patients; to validate: {}; to test: {}",
        part(Part::Train),
        part(Part::Validation),
        part(Part::Test)
    );
    if recipe.sources.iter().any(|s| !s.knows_patients()) {
        eprintln!("some sources do not name their patients: every picture there counts as one, and figures are leaky");
    }
    Ok(data)
}

fn initial(recipe: &Recipe, path: &Path) -> anyhow::Result<crate::nn::exec::Parameters> {
    let graph = recipe.architecture.with(recipe.format(recipe.input.side))?;
    let start = start::from_file(&graph, path)?;
    let (taken, fresh) = (start.parameters.len(), start.fresh.len());
    eprintln!("{}: {taken} tensors taken, {fresh} start at random", path.display());
    Ok(start.parameters)
}

/// A bar per epoch on a terminal, a line per epoch elsewhere.
struct Progress {
    bar: ProgressBar,
    epochs: usize,
    done: usize,
}

impl Progress {
    fn new(recipe: &Recipe) -> Self {
        let bar = ProgressBar::new(0);
        if let Ok(style) = ProgressStyle::with_template("{msg} {bar:30} {pos}/{len} steps, {eta} left") {
            bar.set_style(style);
        }
        Self { bar, epochs: recipe.phases.iter().map(|p| p.epochs).sum(), done: 0 }
    }
}

impl Observer for Progress {
    fn step(&mut self, phase: usize, epoch: usize, step: usize, steps: usize, loss: f64) {
        if step == 1 {
            self.bar.reset();
        }
        self.bar.set_length(steps as u64);
        self.bar.set_position(step as u64);
        self.bar.set_message(format!("phase {}, epoch {}, loss {loss:.4}", phase + 1, epoch + 1));
    }

    fn epoch(&mut self, record: &Epoch) {
        self.done += 1;
        let line = format!(
            "{}/{}: {}² loss {:.4} validation {:.4}",
            self.done, self.epochs, record.side, record.loss, record.validation
        );
        self.bar.suspend(|| eprintln!("{line}"));
    }
}

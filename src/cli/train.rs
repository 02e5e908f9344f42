//! `lesionlens train`: a recipe and a data folder in, a model folder out.

use super::choice::choice;
use super::figures;
use super::stopping;
use super::threads::Threads;
use crate::domain::card::{Card, Epoch};
use crate::engine::device::{self, DeviceChoice};
use crate::train::checkpoint::{RunFolder, write_atomically};
use crate::train::dataset::Dataset;
use crate::train::fit::{Fit, Observer};
use crate::train::outcome::{self, Fold, Provenance};
use crate::train::recipe::Recipe;
use crate::train::run_note::RunNote;
use crate::train::sources::{Division, Part};
use crate::train::{cache, start, twins};
use anyhow::{Context, bail};
use candle_core::Device;
use indicatif::{ProgressBar, ProgressStyle};
use lesionlens_nn::exec::Parameters;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::AtomicBool;

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
    /// Train once for each of so many folds of patients, then on everybody; figures are out of fold.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(2..=20))]
    folds: Option<u8>,
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
    let opened = device::open(args.device);
    if let Some(notice) = &opened.notice {
        eprintln!("{notice}");
    }
    let device = opened.device;
    let stop = stopping::on_ctrl_c()?;
    let trainer = Trainer { args: &args, recipe: &recipe, device: &device, stop: &stop };
    let card = match args.folds {
        None => trainer.one()?,
        Some(folds) => trainer.folds(usize::from(folds))?,
    };
    cache::remove(&args.out);
    print!("{}", figures::of_card(&card));
    println!("{}", args.out.display());
    Ok(ExitCode::SUCCESS)
}

/// What all runs of a command have in common.
struct Trainer<'a> {
    args: &'a Args,
    recipe: &'a Recipe,
    device: &'a Device,
    stop: &'a AtomicBool,
}

/// Weights at the end of a run, and how they came about.
struct Trained {
    data: Dataset,
    weights: Parameters,
    provenance: Provenance,
}

impl Trainer<'_> {
    /// One run by the recipe's own split.
    fn one(&self) -> anyhow::Result<Card> {
        let folder = RunFolder(self.args.out.clone());
        self.check(&folder)?;
        let trained = self.train(&folder, Division::Shares)?;
        self.measure(&folder, trained)
    }

    /// A run for each fold, then one on everybody. What is finished is not done again, so that the same command with --resume
    /// goes on wherever it was stopped.
    fn folds(&self, of: usize) -> anyhow::Result<Card> {
        let folder = |index: usize| RunFolder(self.args.out.join(format!("fold-{}", index + 1)));
        let whole = RunFolder(self.args.out.clone());
        if self.args.resume {
            anyhow::ensure!(
                folder(0).note().exists(),
                "{} holds no folds to resume; start without --resume",
                self.args.out.display()
            );
        } else {
            (0..of).try_for_each(|index| self.check(&folder(index)))?;
            self.check(&whole)?;
        }
        for index in 0..of {
            if !folder(index).card().exists() {
                eprintln!("fold {} of {of}", index + 1);
                let trained = self.train(&folder(index), Division::Fold { index, of })?;
                self.measure(&folder(index), trained)?;
            }
        }
        eprintln!("all patients");
        let Trained { data, weights, provenance } = self.train(&whole, Division::Whole)?;
        let folds = (0..of).map(|index| {
            let data = self.read(Division::Fold { index, of })?;
            let bar = ProgressBar::new(data.part(Part::Test).len() as u64);
            let fold = Fold::read(&folder(index), self.recipe, &data, self.device, &mut |n| bar.inc(n as u64))?;
            bar.finish_and_clear();
            Ok(fold)
        });
        let folds: Vec<Fold> = folds.collect::<anyhow::Result<_>>()?;
        Ok(outcome::write_whole(&whole, self.recipe, &data, &weights, provenance, &folds)?)
    }

    /// A new run does not write over an old one, and only a run that is there is resumed.
    fn check(&self, folder: &RunFolder) -> anyhow::Result<()> {
        let place = folder.0.display();
        match (self.args.resume, folder.position().exists()) {
            (false, true) => {
                bail!("{place} already holds a run; add --resume to continue it or choose another --out")
            }
            (true, false) => bail!("{place} holds no run to resume; start one without --resume"),
            _ => Ok(()),
        }
    }

    /// Trains in `folder`, from its checkpoint if it has one.
    fn train(&self, folder: &RunFolder, division: Division) -> anyhow::Result<Trained> {
        let Self { args, recipe, device, stop } = *self;
        std::fs::create_dir_all(&folder.0).with_context(|| format!("cannot create {}", folder.0.display()))?;
        let data = self.read(division)?;
        announce(recipe, &data);
        warn_of_twins(recipe, &data)?;
        let same = RunFolder(folder.0.clone());
        let (note, fit) = if folder.position().exists() {
            (RunNote::read(folder)?, Fit::resume(recipe, &data, device, same)?)
        } else {
            let init = args.init.as_deref().and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned());
            let note = RunNote::new(recipe, data.sha256(), device::name(device), init);
            write_atomically(&folder.note(), toml::to_string(&note)?.as_bytes())?;
            let init = args.init.as_deref().map(|path| initial(recipe, path)).transpose()?;
            (note, Fit::new(recipe, &data, device, same, init)?)
        };
        let (weights, history) = fit.run(&mut Progress::new(recipe), stop)?;
        if let Some(last) = history.last().and_then(|r| r.validation) {
            eprintln!("trained; last validation figure {last:.4}");
        }
        let provenance = Provenance { commit: note.commit, init: note.init, history };
        Ok(Trained { data, weights, provenance })
    }

    /// Measures on validation and test patients, and writes the card.
    fn measure(&self, folder: &RunFolder, trained: Trained) -> anyhow::Result<Card> {
        let Trained { data, weights, provenance } = trained;
        eprintln!("measuring on test patients");
        let bar = ProgressBar::new((data.part(Part::Validation).len() + data.part(Part::Test).len()) as u64);
        let progress = &mut |n| bar.inc(n as u64);
        let card = outcome::write(folder, self.recipe, &data, &weights, provenance, self.device, progress)?;
        bar.finish_and_clear();
        Ok(card)
    }

    /// Lists and decodes the pictures, with a bar. All runs of a command share what was decoded, in --out.
    fn read(&self, division: Division) -> anyhow::Result<Dataset> {
        let bar = ProgressBar::new(0);
        if let Ok(style) = ProgressStyle::with_template("reading pictures {bar:30} {pos}/{len}, {eta} left") {
            bar.set_style(style);
        }
        std::fs::create_dir_all(&self.args.out)
            .with_context(|| format!("cannot create {}", self.args.out.display()))?;
        let data = Dataset::open(&self.args.data, self.recipe, division, &self.args.out, &mut |n, of| {
            bar.set_length(of as u64);
            bar.inc(n as u64);
        })?;
        bar.finish_and_clear();
        Ok(data)
    }
}

/// Says who is in which part.
fn announce(recipe: &Recipe, data: &Dataset) {
    let part = |part: Part| format!("{} slices of {}", data.part(part).len(), data.patients(part).len());
    let [train, validation, test] = [Part::Train, Part::Validation, Part::Test].map(part);
    eprintln!("to train: {train} patients; to validate: {validation}; to test: {test}");
    if recipe.sources.iter().any(|s| !s.knows_patients()) {
        eprintln!("some sources do not name their patients: every picture there counts as one, and figures are leaky");
    }
}

/// Names pictures for validation or test that are trained on too.
fn warn_of_twins(recipe: &Recipe, data: &Dataset) -> anyhow::Result<()> {
    let twins = twins::across_parts(data, &recipe.input)?;
    let Some(first) = twins.first() else { return Ok(()) };
    let [measured, trained] = [first.measured, first.trained].map(|index| data.items[index].page.name());
    eprintln!(
        "{} pictures to validate or test are copies of training pictures, perhaps mirrored or turned, such as {measured} of {trained}; \
         figures on them are leaky",
        twins.len()
    );
    Ok(())
}

fn initial(recipe: &Recipe, path: &Path) -> anyhow::Result<Parameters> {
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
            "{}/{}: {}² loss {:.4}{}",
            self.done,
            self.epochs,
            record.side,
            record.loss,
            record.validation.map_or(String::new(), |figure| format!(" validation {figure:.4}"))
        );
        self.bar.suspend(|| eprintln!("{line}"));
    }
}

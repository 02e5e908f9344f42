//! `lesionlens train`: a recipe and a data folder in, a model folder out.

use super::threads::Threads;
use crate::domain::card::{Calibration, Card, MeasuredOn, Task, Threshold, TrainingNote};
use crate::domain::metrics;
use crate::nn::exec::Parameters;
use crate::nn::weights;
use crate::train::checkpoint::{RunFolder, write_atomically};
use crate::train::dataset::{Dataset, Parts};
use crate::train::evaluate::{self, Evaluator, SliceResult};
use crate::train::fit::{EpochRecord, Fit, Observer};
use crate::train::recipe::Recipe;
use anyhow::{Context, bail};
use candle_core::Device;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

#[derive(clap::Args)]
pub struct Args {
    /// Recipe, such as recipes/lgg-resunet.toml.
    recipe: PathBuf,
    /// Folder with images/, masks/ and slices.csv.
    #[arg(long)]
    data: PathBuf,
    /// Folder for checkpoints, history and, in the end, `model.safetensors` and `card.toml`.
    #[arg(long)]
    out: PathBuf,
    /// Continue the run in --out.
    #[arg(long)]
    resume: bool,
    /// Start from these weights instead of random ones.
    #[arg(long, conflicts_with = "resume")]
    init: Option<PathBuf>,
    #[command(flatten)]
    threads: Threads,
}

pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    args.threads.apply()?;
    let recipe = Recipe::read(&args.recipe)?;
    let run_file = args.out.join("run.toml");
    if !args.resume && args.out.join("checkpoint.toml").exists() {
        bail!("{} already holds a run; add --resume to continue it or choose another --out", args.out.display());
    }
    std::fs::create_dir_all(&args.out).with_context(|| format!("cannot create {}", args.out.display()))?;
    let device = Device::Cpu;
    let data = Dataset::open(&args.data)?;
    let parts = data.split(&recipe.split)?;
    eprintln!(
        "{} slices of {} patients: {} to train, {} to validate, {} to test",
        data.examples.len(),
        data.patients(&(0..data.examples.len()).collect::<Vec<_>>()).len(),
        data.patients(&parts.train).len(),
        data.patients(&parts.validation).len(),
        data.patients(&parts.test).len()
    );
    let stop = Arc::new(AtomicBool::new(false));
    let asked = stop.clone();
    ctrlc::set_handler(move || asked.store(true, Ordering::Relaxed))?;
    let folder = RunFolder(args.out.clone());
    let fit = if args.resume {
        Fit::resume(&recipe, &data, &parts, &device, folder)?
    } else {
        write_atomically(&run_file, toml::to_string(&RunNote::new(&recipe, &data))?.as_bytes())?;
        let init = args.init.as_deref().map(|path| initial(&recipe, path, &device)).transpose()?;
        Fit::new(&recipe, &data, &parts, &device, folder, init)?
    };
    let (best, history) = fit.run(&mut Progress::new(&recipe), &stop)?;
    let last = history.last().map(|r| r.validation).unwrap_or_default();
    eprintln!("trained; last validation figure {last:.4}; measuring on test patients");
    finish(&args.out, &recipe, &data, &parts, best, &device)?;
    Ok(ExitCode::SUCCESS)
}

fn initial(recipe: &Recipe, path: &Path, device: &Device) -> anyhow::Result<Parameters> {
    let bytes = std::fs::read(path).with_context(|| path.display().to_string())?;
    let graph = recipe.architecture.graph(recipe.input.side)?;
    weights::load(&graph, &bytes, device).with_context(|| path.display().to_string())
}

/// What a run was made of.
#[derive(Serialize)]
struct RunNote<'a> {
    version: &'static str,
    data_sha256: &'a str,
    device: &'static str,
    recipe: &'a Recipe,
}

impl<'a> RunNote<'a> {
    fn new(recipe: &'a Recipe, data: &'a Dataset) -> Self {
        Self { version: env!("CARGO_PKG_VERSION"), data_sha256: &data.sha256, device: "cpu", recipe }
    }
}

/// Measures the best weights, as they will be shipped, and writes the model folder: weights first, then the card.
fn finish(
    out: &Path,
    recipe: &Recipe,
    data: &Dataset,
    parts: &Parts,
    best: Parameters,
    device: &Device,
) -> anyhow::Result<()> {
    let graph = recipe.architecture.graph(recipe.input.side)?;
    let bytes = weights::write(&best, recipe.precision)?;
    let shipped = weights::load(&graph, &bytes, device)?;
    let measure = |part: &[usize]| -> anyhow::Result<Vec<SliceResult>> {
        let examples: Vec<_> = part.iter().map(|i| &data.examples[*i]).collect();
        let bar = ProgressBar::new(examples.len() as u64);
        let (spec, task) = (&recipe.input, recipe.task);
        let evaluator = Evaluator { graph: &graph, parameters: &shipped, spec, task, device };
        Ok(evaluator.run(&examples, |n| bar.inc(n as u64))?)
    };
    let validation = measure(&parts.validation)?;
    let test = measure(&parts.test)?;
    let mut card = blank_card(recipe, &bytes);
    card.training = Some(TrainingNote {
        recipe: format!("recipes/{}.toml", recipe.id),
        data: format!("{}; sha256 {}", recipe.card.data, data.sha256),
        seed: Some(recipe.seed),
        commit: option_env!("LESIONLENS_COMMIT").map(str::to_string),
        train_patients: data.patients(&parts.train),
        validation_patients: data.patients(&parts.validation),
        test_patients: data.patients(&parts.test),
    });
    // Without test patients nothing is claimed.
    if !test.is_empty() {
        card.measured_on = Some(MeasuredOn {
            patients: data.patients(&parts.test).len(),
            slices: test.len(),
            source: recipe.card.data.clone(),
        });
    }
    match recipe.task {
        Task::Segmentation => card.metrics = evaluate::segmentation_metrics(&test),
        Task::Binary | Task::Multiclass => {
            let temperature = evaluate::fit_temperature(&validation);
            let ece = |t: f64| metrics::expected_calibration_error(&evaluate::scores(&validation, t));
            card.calibration = Some(Calibration { temperature, ece_before: ece(1.0), ece_after: ece(temperature) });
            let validation_scores = evaluate::scores(&validation, temperature);
            // The highest threshold that still catches 95 % of validation slices with tumour.
            let found = metrics::operating_curve(&validation_scores).into_iter().rev().find(|p| p.recall >= 0.95);
            card.threshold.default = found.map_or(0.5, |p| p.threshold);
            card.metrics = evaluate::classification_metrics(&test, temperature, card.threshold.default);
            if !test.is_empty() {
                card.operating_curve = metrics::operating_curve(&evaluate::scores(&test, temperature));
            }
        }
    }
    write_atomically(&out.join("model.safetensors"), &bytes)?;
    write_atomically(&out.join("card.toml"), toml::to_string(&card)?.as_bytes())?;
    for (name, metric) in &card.metrics {
        let ci = metric.ci95.map_or(String::new(), |[a, b]| format!(" (95 % interval {a:.3}–{b:.3})"));
        println!("{name}: {:.3}{ci}, {} unseen patients", metric.value, metric.n_patients);
    }
    println!("{}", out.display());
    Ok(())
}

fn blank_card(recipe: &Recipe, weights: &[u8]) -> Card {
    let text = recipe.card.clone();
    Card {
        id: recipe.id.clone(),
        name: text.name,
        version: text.version,
        architecture: recipe.architecture.id().to_string(),
        task: recipe.task,
        classes: text.classes,
        licence: text.licence,
        intended_use: text.intended_use,
        limits: text.limits,
        sha256: format!("{:x}", Sha256::digest(weights)),
        input: recipe.input.clone(),
        threshold: Threshold { default: 0.5 },
        calibration: None,
        training: None,
        metrics: Default::default(),
        measured_on: None,
        operating_curve: Vec::new(),
    }
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

    fn epoch(&mut self, record: &EpochRecord) {
        self.done += 1;
        let line = format!(
            "{}/{}: {}² loss {:.4} validation {:.4}",
            self.done, self.epochs, record.side, record.loss, record.validation
        );
        self.bar.suspend(|| eprintln!("{line}"));
    }
}

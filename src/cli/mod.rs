//! The command line: one file a command.

mod asking;
mod bench;
mod calibrate;
mod choice;
mod doctor;
mod evaluate;
mod figures;
mod fine_tune;
mod isa;
mod models;
#[cfg(feature = "pacs")]
mod pacs;
mod phantom;
mod predict;
mod runs;
#[cfg(feature = "serve")]
mod serve;
mod stopping;
mod threads;
mod train;
mod view;

use crate::files::write_atomically;
use anyhow::Context;
use clap::{Parser, Subcommand};
use lesionlens_nn::plan::isa::Isa;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

/// See what a neural network sees in an MRI slice. A research aid, not a medical device.
#[derive(Parser)]
#[command(name = "lesionlens", version, about, args_conflicts_with_subcommands = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    /// Files without a command are opened in the window, as a double click on a file asks for.
    #[command(flatten)]
    view: view::Args,
}

#[derive(Subcommand)]
enum Command {
    /// Open the window, with these files in it.
    View(view::Args),
    /// Classify and segment files without a window.
    Predict(predict::Args),
    /// List, show, import and verify models.
    Models(models::Args),
    /// Train a model from a recipe.
    Train(train::Args),
    /// Let a model learn from corrected outlines, and compare it with what it was.
    FineTune(fine_tune::Args),
    /// List and compare training runs.
    Runs(runs::Args),
    /// Measure models on labelled slices.
    Evaluate(evaluate::Args),
    /// Draw the example head and its lesion's outline.
    Phantom(phantom::Args),
    /// List, get and store series of a DICOMweb archive.
    #[cfg(feature = "pacs")]
    Pacs(pacs::Args),
    /// Answer over HTTP: an API, the Open Inference Protocol and a page for the browser.
    #[cfg(feature = "serve")]
    Serve(serve::Args),
    /// Measure how fast networks run here.
    Bench(bench::Args),
    /// Show devices, processor features, models and display.
    Doctor(doctor::Args),
}

impl Cli {
    /// Whether this command allocates the same large tensors over and over.
    pub fn trains(&self) -> bool {
        match &self.command {
            Some(Command::Train(_) | Command::FineTune(_)) => true,
            Some(Command::Bench(args)) => args.train,
            _ => false,
        }
    }
}

/// Writes a result whole or not at all; the error names the file.
fn save(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    write_atomically(path, bytes).with_context(|| format!("cannot write {}", path.display()))
}

/// To a file, or to standard output for `-`; a reader that went away is no error.
fn emit(target: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    if target.as_os_str() != "-" {
        return save(target, bytes);
    }
    match std::io::stdout().write_all(bytes) {
        Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => Err(e.into()),
        _ => Ok(()),
    }
}

fn probability(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(p) if (0.0..=1.0).contains(&p) => Ok(p),
        _ => Err("must be a number from 0 to 1".into()),
    }
}

/// Runs the command line; `Ok` carries the exit code.
pub fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    Isa::force_from_environment()?;
    match cli.command {
        None => match cli.view.mistyped_command() {
            Some(word) => {
                eprintln!("error: `{word}` is neither a file nor a command; `lesionlens --help` lists the commands");
                Ok(ExitCode::from(2))
            }
            None => view::run(cli.view),
        },
        Some(Command::View(args)) => view::run(args),
        Some(Command::Predict(args)) => predict::run(args),
        Some(Command::Models(args)) => models::run(args),
        Some(Command::Train(args)) => train::run(args),
        Some(Command::FineTune(args)) => fine_tune::run(args),
        Some(Command::Runs(args)) => runs::run(args),
        Some(Command::Evaluate(args)) => evaluate::run(args),
        Some(Command::Phantom(args)) => phantom::run(args),
        #[cfg(feature = "pacs")]
        Some(Command::Pacs(args)) => pacs::run(args),
        #[cfg(feature = "serve")]
        Some(Command::Serve(args)) => serve::run(args),
        Some(Command::Bench(args)) => bench::run(args),
        Some(Command::Doctor(args)) => doctor::run(args),
    }
}

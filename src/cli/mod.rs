//! The command line: one file a command.

mod bench;
mod choice;
mod doctor;
mod isa;
mod models;
mod phantom;
mod predict;
mod threads;
mod train;
mod view;

use crate::files::write_atomically;
use crate::nn::plan::isa::Isa;
use anyhow::Context;
use clap::{Parser, Subcommand};
use std::path::Path;
use std::process::ExitCode;

/// See what a neural network sees in an MRI slice. A research aid, not a medical device.
#[derive(Parser)]
#[command(name = "lesionlens", version, about)]
pub struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
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
    /// Draw the example head and its lesion's outline.
    Phantom(phantom::Args),
    /// Measure how fast networks run here.
    Bench(bench::Args),
    /// Show devices, processor features, models and display.
    Doctor(doctor::Args),
}

/// Writes a result whole or not at all; the error names the file.
fn save(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    write_atomically(path, bytes).with_context(|| format!("cannot write {}", path.display()))
}

/// Runs the command line; `Ok` carries the exit code.
pub fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    Isa::force_from_environment()?;
    match cli.command {
        None => view::run(view::Args::default()),
        Some(Command::View(args)) => view::run(args),
        Some(Command::Predict(args)) => predict::run(args),
        Some(Command::Models(args)) => models::run(args),
        Some(Command::Train(args)) => train::run(args),
        Some(Command::Phantom(args)) => phantom::run(args),
        Some(Command::Bench(args)) => bench::run(args),
        Some(Command::Doctor(args)) => doctor::run(args),
    }
}

//! The command line: one file a command.

mod train;

use clap::{Parser, Subcommand};

/// See what a neural network sees in an MRI slice. A research aid, not a medical device.
#[derive(Parser)]
#[command(name = "lesionlens", version, about)]
pub struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Train a model from a recipe.
    Train(train::Args),
}

/// Runs the command line; `Ok` carries the exit code.
pub fn run(cli: Cli) -> anyhow::Result<std::process::ExitCode> {
    match cli.command {
        Some(Command::Train(args)) => train::run(args),
        None => Ok(std::process::ExitCode::SUCCESS),
    }
}

//! `lesionlens models`: list, show, import, verify.

use super::choice::choice;
use super::figures;
use super::isa::IsaChoice;
use crate::domain::card::Card;
use crate::engine::device::{self, DeviceChoice};
use crate::models::import::import;
use crate::models::model::{Model, Source, task_name};
use crate::models::registry::{Registry, user_folder};
use crate::models::verify::largest_difference;
use crate::nn::plan::isa::Isa;
use crate::nn::zoo::Architecture;
use anyhow::Context;
use clap::Subcommand;
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// List the models that were found.
    List,
    /// Show a model's card.
    Show { id: String },
    /// Turn a Keras HDF5 file into a model folder.
    Import {
        /// As `model.save("x.h5")` writes it.
        file: PathBuf,
        /// What the file must hold.
        #[arg(long, value_parser = choice(Architecture::ALL, Architecture::id))]
        architecture: Architecture,
        /// Name of the new model.
        #[arg(long)]
        id: String,
        /// Folder to put it in; the user's model folder by default.
        #[arg(long)]
        out: Option<PathBuf>,
    },
    /// Check a model's hash and, with --io, its answers.
    Verify {
        /// A model folder or the id of a known model.
        model: String,
        /// safetensors file with `input` [N, H, W, C] and `output`.
        #[arg(long)]
        io: Option<PathBuf>,
        /// Largest absolute difference that passes; by default 1e-4, on a bf16 path 5e-3.
        #[arg(long)]
        tolerance: Option<f64>,
        #[command(flatten)]
        isa: IsaChoice,
        #[arg(long, default_value = "cpu", value_parser = choice(DeviceChoice::ALL, DeviceChoice::label))]
        device: DeviceChoice,
    },
}

pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    match args.action {
        Action::List => list(),
        Action::Show { id } => show(&Registry::scan().get(&id)?.card),
        Action::Import { file, architecture, id, out } => {
            let out = out.or_else(user_folder).context("no folder for your data is known here; name one with --out")?;
            println!("{}", import(&file, architecture, &id, &out)?.display());
        }
        Action::Verify { model, io, tolerance, isa, device } => {
            isa.apply()?;
            return verify(&model, io, tolerance, device);
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn list() {
    let registry = Registry::scan();
    for entry in registry.entries() {
        let card = &entry.card;
        println!("{:<20} {:<16} {:<32} {}", card.id, task_name(card.task), card.name, entry.source.place());
    }
    for problem in &registry.problems {
        eprintln!("unusable: {problem}");
    }
}

fn show(card: &Card) {
    println!("{} ({}), version {}", card.name, card.id, card.version);
    println!("architecture  {}, answers with {}", card.architecture, task_name(card.task));
    println!("classes       {}", card.classes.join(", "));
    println!("input         {0}×{0}×{1}, {2}", card.input.side, card.input.channels, card.input.modality);
    println!("threshold     {}", card.threshold.default);
    println!("sha256        {}", card.sha256);
    println!("licence       {}", card.licence);
    println!("intended use  {}", card.intended_use);
    println!("limits        {}", card.limits);
    if let Some(training) = &card.training {
        println!("trained on    {}", training.data);
    }
    match card.calibration {
        Some(c) => println!(
            "calibrated    {}, temperature {:.3}; error on validation patients {:.3}, before {:.3}",
            if card.is_calibrated() { "yes" } else { "no" },
            c.temperature,
            c.ece_after,
            c.ece_before
        ),
        None => println!("calibrated    no"),
    }
    print!("{}", figures::of_card(card));
}

fn verify(model: &str, io: Option<PathBuf>, tolerance: Option<f64>, choice: DeviceChoice) -> anyhow::Result<ExitCode> {
    let opened = device::open(choice);
    if let Some(notice) = opened.notice {
        eprintln!("note: {notice}");
    }
    let folder = PathBuf::from(model);
    let model = if folder.join("card.toml").is_file() {
        Model::load(&Source::Folder(folder), &opened.device)?
    } else {
        Registry::scan().load(model, &opened.device)?
    };
    let card = model.card();
    println!("{}: sha256 {} is as the card says", card.id, card.sha256);
    let Some(io) = io else { return Ok(ExitCode::SUCCESS) };
    let worst = largest_difference(&model, &io)?;
    let isa = model.network().isa();
    let tolerance = tolerance.unwrap_or(if isa.is_some_and(Isa::is_half) { 5e-3 } else { 1e-4 });
    println!("run with {}", isa.map_or(device::name(&opened.device), Isa::id));
    let passes = worst <= tolerance;
    let verdict = if passes { "passes" } else { "FAILS" };
    println!("largest difference {worst:.3e}, tolerance {tolerance:.1e}: {verdict}");
    Ok(if passes { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

//! `lesionlens models`: list, show, import, remove, verify.

use super::choice::choice;
use super::evaluate;
use super::figures;
use super::isa::IsaChoice;
use crate::domain::card::{Card, Scale};
use crate::engine::device::{self, DeviceChoice};
use crate::models::export::{self, Format};
use crate::models::import::{Wishes, inspect, install};
use crate::models::model::{Model, Source, read_card, task_name};
use crate::models::preprocessing_note;
use crate::models::registry::{Registry, user_folder};
use crate::models::verify::largest_difference;
use anyhow::Context;
use clap::Subcommand;
use lesionlens_nn::plan::isa::Isa;
use lesionlens_nn::zoo::Architecture;
use std::path::{Path, PathBuf};
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
    /// Delete one of your own models.
    Remove { id: String },
    /// Turn a Keras file, a PyTorch state dict or an ONNX file into a model folder.
    Import {
        /// A model as Keras' `model.save` writes it (.h5, .hdf5, .keras), or its weights with --config; a torchvision or timm state dict
        /// (.pt, .pth, .safetensors); an ONNX file (.onnx) with its weights in it or beside it.
        file: PathBuf,
        /// What the file must hold; found out by itself without, and any network of known layers is taken.
        #[arg(long, value_parser = choice(Architecture::ALL, Architecture::id))]
        architecture: Option<Architecture>,
        /// The text of `model.to_json()`, for a file that holds weights only.
        #[arg(long, value_name = "FILE.json")]
        config: Option<PathBuf>,
        /// Side of its input in pixels, for networks that take any and files that do not say; 224 for PyTorch by default.
        #[arg(long)]
        side: Option<usize>,
        /// The PyTorch file is an EfficientNet that came from TensorFlow (timm's `tf_`); known by names that say so.
        #[arg(long)]
        tensorflow: bool,
        /// Name of the new model.
        #[arg(long)]
        id: String,
        /// Class names in the order of the outputs; for a single output the class it speaks of, then the other.
        #[arg(long, value_delimiter = ',')]
        classes: Option<Vec<String>>,
        /// What its training did to grey values 0–255; the usual for its architecture by default.
        #[arg(long, value_parser = choice(Scale::ALL, Scale::id))]
        scale: Option<Scale>,
        /// Probability from which the model says yes.
        #[arg(long)]
        threshold: Option<f64>,
        /// What it was trained on, such as "CT, axial, kidney"; other pictures are warned about.
        #[arg(long)]
        modality: Option<String>,
        /// Folder to put it in; the user's model folder by default.
        #[arg(long)]
        out: Option<PathBuf>,
    },
    /// Install the model of a finished fine-tune as a new one.
    Install {
        /// Folder of the run.
        run: PathBuf,
        /// Name of the new model.
        #[arg(long)]
        id: String,
        /// Folder to put it in; the user's model folder by default.
        #[arg(long)]
        out: Option<PathBuf>,
    },
    /// Write a model for other runtimes; how pictures become its input is written beside it.
    Export {
        id: String,
        /// onnx for ONNX Runtime, OpenVINO, Triton and KServe; keras for Keras 3 (name it FILE.keras); safetensors for the weights.
        #[arg(long, value_parser = choice(Format::ALL, Format::id))]
        format: Format,
        /// File to write; the preprocessing goes to FILE.json beside it.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Measure a model on labelled slices, as `evaluate` does.
    #[command(mut_arg("classifier", |arg| arg.hide(true)), mut_arg("segmenter", |arg| arg.hide(true)))]
    Test {
        id: String,
        #[command(flatten)]
        measuring: evaluate::Args,
    },
    /// Measure what a model's pictures look like, so that it is not asked about others.
    Calibrate(super::calibrate::Args),
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
        Action::Calibrate(args) => super::calibrate::run(&args)?,
        Action::List => list(),
        Action::Show { id } => show(&Registry::scan().get(&id)?.card),
        Action::Remove { id } => {
            let user = user_folder().context("no folder for your data is known here")?;
            println!("removed {}", Registry::scan().remove(&id, &user)?.display());
        }
        Action::Import {
            file,
            architecture,
            config,
            side,
            tensorflow,
            id,
            classes,
            scale,
            threshold,
            modality,
            out,
        } => {
            let out = out.or_else(user_folder).context("no folder for your data is known here; name one with --out")?;
            let found = inspect(&file, architecture, config.as_deref())?;
            let wishes = Wishes { id, classes, scale, threshold, modality, side, from_tensorflow: tensorflow };
            let folder = install(&found, &wishes, &out)?;
            if found.is_state_dict() {
                eprintln!(
                    "note: a state dict does not say which variant it is; compare its answers with `models verify ID --io FILE`"
                );
            }
            if let Some(function) = found.added {
                eprintln!("note: the file's network gives scores; a {} makes them probabilities", function.name());
            }
            if found.takes_any_side() && wishes.side.is_none() {
                let side = found.format.side;
                eprintln!("note: it takes pictures of any size and is given {side}×{side} pixels; choose with --side");
            }
            if wishes.scale.is_none() {
                let (scale, source) = found.usual_scale();
                eprintln!("note: grey values are scaled as `{}`, because {source}; choose with --scale", scale.id());
            }
            let what = found.name().unwrap_or("a network of its own");
            let card = read_card(&Source::Folder(folder.clone()))?;
            eprintln!("{what}, answers with {}: {}", task_name(card.task), card.classes.join(", "));
            if wishes.classes.is_none() {
                eprintln!("note: the file does not name its classes; say them with --classes or in card.toml");
            }
            println!("{}", folder.display());
        }
        Action::Install { run, id, out } => {
            let out = out.or_else(user_folder).context("no folder for your data is known here; name one with --out")?;
            crate::tuning::install(&run, &id, &out)?;
            println!("{}", out.join(id).display());
        }
        Action::Export { id, format, out } => export_model(&id, format, &out)?,
        Action::Test { id, measuring } => return evaluate::run_alone(measuring, &Registry::scan().get(&id)?.card),
        Action::Verify { model, io, tolerance, isa, device } => {
            isa.apply()?;
            return verify(&model, io, tolerance, device);
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn export_model(id: &str, format: Format, out: &Path) -> anyhow::Result<()> {
    let registry = Registry::scan();
    let entry = registry.get(id)?;
    super::save(out, &export::network(entry, format)?)?;
    let mut beside = out.as_os_str().to_owned();
    beside.push(".json");
    let beside = PathBuf::from(beside);
    super::save(&beside, serde_json::to_string_pretty(&preprocessing_note::of(&entry.card))?.as_bytes())?;
    eprintln!("the network alone; how pictures become its input (NHWC) is written in {}", beside.display());
    println!("{}", out.display());
    Ok(())
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
    if card.input.neighbours {
        println!("sees          a slice among those before and after it; a single picture stands for them");
    }
    if card.input.mirrored {
        println!("answer        mean of those for the slice and for its mirror image");
    }
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

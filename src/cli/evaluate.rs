//! `lesionlens evaluate`: how good models are on a labelled folder.

use super::asking::Asking;
use super::figures;
use super::{emit, probability, save};
use crate::batch::pair::Chosen;
use crate::domain::card::{Card, Level, TrainingNote};
use crate::domain::evaluation::{Asked, Evaluation, Setup};
use crate::domain::figures::Case;
use crate::domain::mask::Mask;
use crate::domain::overlay::{OverlayColour, OverlayStyle};
use crate::export::evaluation_page::{self, Picture};
use crate::export::png;
use crate::models::model::Model;
use crate::models::registry::Registry;
use crate::train::assess::{Classes, Panel};
use crate::train::folders::{self, Found, NOT_OUTLINED};
use crate::train::reader::Reader;
use crate::train::recipe::{Layout, Source};
use anyhow::{Context, bail};
use candle_core::Device;
use indicatif::{ProgressBar, ProgressStyle};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Slices shown in a report.
const PICTURES: usize = 12;

#[derive(clap::Args)]
pub struct Args {
    /// Folder with images/ and masks/, with slices.csv or without, or with a folder a class.
    #[arg(long)]
    data: PathBuf,
    #[command(flatten)]
    asking: Asking,
    /// Keep to these patients: a text file with a name a line, or a model's card.toml for its unseen test patients.
    #[arg(long, value_name = "FILE")]
    split: Option<PathBuf>,
    /// Where there is no slices.csv: CSV with columns `file` and `patient`.
    #[arg(long, value_name = "FILE")]
    patients: Option<PathBuf>,
    /// Find the threshold that catches this share of tumour slices.
    #[arg(long, default_value = "0.95", value_parser = probability)]
    recall: f64,
    /// Write figures as JSON to this file, `-` for standard output.
    #[arg(long, value_name = "FILE|-")]
    json: Option<PathBuf>,
    /// Write a page with figures, plots and the worst slices.
    #[arg(long, value_name = "FILE.html")]
    report: Option<PathBuf>,
}

/// Measures one model alone.
///
/// # Errors
/// As [`run`], and if other models are named.
pub fn run_alone(args: Args, card: &Card) -> anyhow::Result<ExitCode> {
    run(Args { asking: args.asking.only(card)?, ..args })
}

pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let device = args.asking.open_device()?;
    let layout = folders::layout_of(&args.data);
    if layout == Layout::Slices && args.patients.is_some() {
        bail!("slices.csv already names the patients; leave --patients away");
    }
    let source = Source { layout, patients: absolute(args.patients.as_deref())?, ..Source::default() };
    let found = kept(&args, folders::find(&args.data, &source)?)?;
    let models = Models::load(&args, layout, &device)?;
    let panel = models.panel(&found)?;
    let bar = ProgressBar::new(found.len() as u64);
    bar.set_style(ProgressStyle::with_template("{bar:30} {pos}/{len} slices, {eta} left")?);
    let reader = Reader::new(&args.data);
    let ask = |one: &Found| {
        bar.inc(1);
        panel.ask(&reader, one)
    };
    let cases: Vec<Case> = found.iter().map(ask).collect::<Result<_, _>>()?;
    bar.finish_and_clear();
    let setup = Setup {
        classifier: models.classifier.as_ref().map(Asker::asked),
        segmenter: models.segmenter.as_ref().map(Asker::asked),
        task: panel.classes.task,
        classes: panel.classes.names.clone(),
        level: if source.knows_patients() { Level::Patient } else { Level::SliceLeaky },
        wanted_recall: args.recall,
        seen_patients: models.seen(&found),
        unknown_patients: models.notes().any(|note| !note.sources_of_unknown_patients.is_empty()),
    };
    let evaluation = Evaluation::new(&cases, setup);
    if evaluation.patients_seen_in_training > 0 {
        let seen = evaluation.patients_seen_in_training;
        eprintln!("note: {seen} of these patients were in a model's training or validation data; see --split");
    }
    if evaluation.unknown_patients_in_training {
        eprintln!("note: a model was also trained on pictures whose patients are not known; these may be among them");
    }
    if let Some(path) = &args.report {
        let worst = worst(&panel, &reader, &found, &cases)?;
        let page = evaluation_page::render(&evaluation, &cases, &args.data.display().to_string(), &worst)?;
        save(path, page.as_bytes())?;
    }
    match &args.json {
        Some(target) => {
            let mut text = serde_json::to_vec_pretty(&evaluation)?;
            text.push(b'\n');
            emit(target, &text)?;
        }
        None => table(&evaluation),
    }
    Ok(ExitCode::SUCCESS)
}

/// A model with the threshold it is asked at.
struct Asker {
    model: Model,
    threshold: f64,
}

impl Asker {
    fn asked(&self) -> Asked {
        Asked::new(self.model.reference(), self.threshold)
    }
}

/// Whom the user chose.
struct Models {
    classifier: Option<Asker>,
    segmenter: Option<Asker>,
}

impl Models {
    fn load(args: &Args, layout: Layout, device: &Device) -> anyhow::Result<Self> {
        let registry = Registry::scan();
        let mut pair = args.asking.pair(&registry)?;
        if layout == Layout::ClassFolders {
            if args.asking.named_segmenter().is_some() {
                let data = args.data.display();
                bail!("{data} has class folders, no outlines to compare masks with; measure a classifier on it");
            }
            pair.segmenter = None;
        }
        if pair.classifier.is_none() && pair.segmenter.is_none() {
            bail!("class folders are for a classifier; choose one");
        }
        let load = |chosen: Option<Chosen>| -> anyhow::Result<Option<Asker>> {
            let Some(Chosen { id, threshold }) = chosen else { return Ok(None) };
            Ok(Some(Asker { model: registry.load(&id, device)?, threshold }))
        };
        Ok(Self { classifier: load(pair.classifier)?, segmenter: load(pair.segmenter)? })
    }

    fn panel(&self, found: &[Found]) -> anyhow::Result<Panel<'_>> {
        let threshold = |asker: &Option<Asker>| asker.as_ref().map_or(0.5, |a| a.threshold);
        let classifier = self.classifier.as_ref().map(|a| &a.model);
        Ok(Panel {
            classifier,
            segmenter: self.segmenter.as_ref().map(|a| &a.model),
            threshold: threshold(&self.classifier),
            mask_threshold: threshold(&self.segmenter) as f32,
            classes: Classes::new(classifier.map(Model::card), found)?,
        })
    }

    /// How they came to be.
    fn notes(&self) -> impl Iterator<Item = &TrainingNote> {
        self.classifier.iter().chain(&self.segmenter).filter_map(|a| a.model.card().training.as_ref())
    }

    /// How many of the patients here one of them has met before.
    fn seen(&self, found: &[Found]) -> usize {
        let here: BTreeSet<&String> = found.iter().map(|f| &f.patient).collect();
        let met = self.notes().flat_map(|t| t.train_patients.iter().chain(&t.validation_patients));
        here.intersection(&met.collect()).count()
    }
}

fn absolute(path: Option<&Path>) -> anyhow::Result<Option<PathBuf>> {
    path.map(|path| path.canonicalize().with_context(|| path.display().to_string())).transpose()
}

/// Only slices of the patients asked for.
fn kept(args: &Args, mut found: Vec<Found>) -> anyhow::Result<Vec<Found>> {
    found.retain(|f| f.class != NOT_OUTLINED);
    let kept = match &args.split {
        None => found,
        Some(path) => {
            let wanted = patients_in(path)?;
            found.into_iter().filter(|f| wanted.contains(&f.patient)).collect()
        }
    };
    if kept.is_empty() {
        let what = args.split.as_ref().map_or("".into(), |path| format!(" of a patient named in {}", path.display()));
        bail!("{} holds no labelled slice{what}", args.data.display());
    }
    Ok(kept)
}

fn patients_in(path: &Path) -> anyhow::Result<BTreeSet<String>> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    if path.extension().is_some_and(|e| e == "toml") {
        let card: Card = toml::from_str(&text).with_context(|| path.display().to_string())?;
        return Ok(card.training.into_iter().flat_map(|t| t.test_patients).collect());
    }
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    Ok(lines.map(str::to_string).collect())
}

/// The slice with the least overlap of each of the worst patients, with the larger tumour among equals; without a segmenter the
/// surest wrong answers.
fn worst(panel: &Panel, reader: &Reader, found: &[Found], cases: &[Case]) -> anyhow::Result<Vec<Picture>> {
    let badness = |case: &Case| match case.overlap {
        Some(overlap) => overlap.dice().map(|dice| 1.0 - dice),
        None => {
            let wrong = case.answer() != case.label;
            wrong.then(|| case.probabilities.get(case.answer()).copied().unwrap_or(0.0))
        }
    };
    let mut by_patient: BTreeMap<&str, (f64, usize)> = BTreeMap::new();
    for (index, case) in cases.iter().enumerate() {
        // Among equally bad ones the largest tumour says most.
        let Some(bad) = badness(case) else { continue };
        let size = case.overlap.map_or(0.0, |o| o.truth as f64 * 1e-9);
        let worst = by_patient.entry(&case.patient).or_insert((f64::NEG_INFINITY, index));
        if bad + size > worst.0 {
            *worst = (bad + size, index);
        }
    }
    let mut ranked: Vec<(f64, usize)> = by_patient.into_values().collect();
    ranked.sort_by(|a, b| b.0.total_cmp(&a.0));
    ranked.into_iter().take(PICTURES).map(|(_, index)| picture(panel, reader, &found[index], &cases[index])).collect()
}

fn picture(panel: &Panel, reader: &Reader, found: &Found, case: &Case) -> anyhow::Result<Picture> {
    let look = panel.look(reader, found)?;
    // The pair that colour-blind readers can tell apart, as the page says; without a tumour the truth is empty.
    let style = OverlayStyle { colour: OverlayColour::Cyan, ..OverlayStyle::default() };
    let truth = look.truth.unwrap_or_else(|| Mask::empty(look.slice.width(), look.slice.height()));
    let png = png::overlay(&look.slice, look.predicted.as_ref(), Some(&truth), style)?;
    let dice = case.overlap.and_then(|o| o.dice()).map_or(String::new(), |dice| format!(", Dice {dice:.2}"));
    let name = |class: usize| panel.classes.names.get(class).cloned().unwrap_or_default();
    let answer = case
        .probabilities
        .get(case.answer())
        .map_or(String::new(), |p| format!(", said {} ({p:.2}), is {}", name(case.answer()), name(case.label)));
    let caption = format!("{}{dice}{answer}", case.file);
    Ok(Picture { caption, png })
}

fn table(e: &Evaluation) {
    println!("{} slices of {} patients", e.slices, e.patients);
    if e.level == Level::SliceLeaky {
        println!("slice-level (leaky): the data do not say which slices belong to one patient");
    }
    for asked in e.classifier.iter().chain(&e.segmenter) {
        println!("{} at {:.2}", asked.id, asked.threshold);
    }
    for name in e.figures.keys() {
        if let Some(value) = e.value(name) {
            println!("{}", figures::line(name, value, e.interval(name)));
        }
    }
    if let Some(point) = e.at_wanted_recall {
        println!("recall {:.3} at threshold {:.2}, precision {:.3}", point.recall, point.threshold, point.precision);
    }
    if let Some(confusion) = &e.confusion {
        print!("{}", figures::confusion(confusion));
    }
    println!("Research aid, not a medical device.");
}

//! `lesionlens predict`: files and folders in, JSON, CSV, masks and overlays out.

use super::asking::{Asking, Chosen, Pair};
use super::choice::choice;
use super::{emit, save};
use crate::domain::overlay::{OverlayColour, OverlayStyle};
use crate::domain::prediction::{Classification, Segmentation, Thresholds, gate_is_open};
use crate::domain::slice::Slice;
use crate::domain::study::{Study, Warning};
use crate::engine::candle::CandleEngine;
use crate::engine::{Answer, Engine, Question};
use crate::export::report::{ClassifierReport, FileError, Report, SegmenterReport, SliceReport};
use crate::export::{png, report};
use crate::io;
use crate::io::error::Problem;
use crate::io::paths::Expanded;
use crate::models::registry::Registry;
use anyhow::{Context, bail};
use indicatif::{ProgressBar, ProgressStyle};
use std::collections::{BTreeMap, HashSet};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

#[derive(clap::Args)]
pub struct Args {
    /// Pictures and folders. A file called NAME_mask.* is the truth of NAME, never input.
    #[arg(required = true)]
    paths: Vec<PathBuf>,
    #[command(flatten)]
    asking: Asking,
    /// Segment every slice, whatever the classifier says.
    #[arg(long)]
    always_segment: bool,
    /// Write results as JSON to this file, `-` for standard output.
    #[arg(long, value_name = "FILE|-")]
    json: Option<PathBuf>,
    /// Write results as CSV to this file, `-` for standard output.
    #[arg(long, value_name = "FILE|-")]
    csv: Option<PathBuf>,
    /// Write scans with the mask painted over them into this folder.
    #[arg(long, value_name = "DIR")]
    overlay: Option<PathBuf>,
    /// Colour of the mask in --overlay.
    #[arg(long, default_value = "red", value_parser = choice(OverlayColour::ALL, OverlayColour::id))]
    overlay_colour: OverlayColour,
    /// Write masks (0 and 255, at the picture's size) into this folder.
    #[arg(long, value_name = "DIR")]
    mask: Option<PathBuf>,
}

pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let device = args.asking.open_device()?;
    let registry = Arc::new(Registry::scan());
    let pair = args.asking.pair(&registry)?;
    let mut run = Run::new(&args, pair, CandleEngine::new(registry, device))?;
    prepare_targets(&args)?;
    let Expanded { files, outlines, errors } = io::paths::expand(&args.paths, &|| false);
    for error in &errors {
        run.fail(&error.path, error.problem.to_string());
    }
    if files.is_empty() && errors.is_empty() {
        outlines.iter().for_each(|path| run.fail(path, Problem::Outline.to_string()));
    }
    let inputs: HashSet<PathBuf> = files.iter().chain(&outlines).filter_map(|path| path.canonicalize().ok()).collect();
    for target in args.json.iter().chain(&args.csv) {
        if target.canonicalize().is_ok_and(|target| inputs.contains(&target)) {
            bail!("{} is one of the inputs; choose another file for the results", target.display());
        }
    }
    run.inputs = inputs;
    let bar = ProgressBar::new(files.len() as u64);
    bar.set_style(ProgressStyle::with_template("{bar:30} {pos}/{len} files, {eta} left  {msg}")?);
    let stop = Arc::new(AtomicBool::new(false));
    let asked = stop.clone();
    ctrlc::set_handler(move || asked.store(true, Ordering::Relaxed))?;
    for file in &files {
        if stop.load(Ordering::Relaxed) {
            run.fail(file, "not looked at: interrupted".into());
            continue;
        }
        bar.set_message(file.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default());
        let started = Instant::now();
        match io::load(file) {
            Ok(study) => {
                let loaded = started.elapsed().as_secs_f64() * 1e3;
                if let Err(error) = run.study(&study, loaded) {
                    run.fail(file, format!("{error:#}"));
                }
            }
            Err(error) => run.fail(file, error.problem.to_string()),
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    run.finish()
}

/// Finds out before the work what would only fail after it.
fn prepare_targets(args: &Args) -> anyhow::Result<()> {
    let mut folders = Vec::new();
    for folder in args.overlay.iter().chain(&args.mask) {
        std::fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
        folders.push(folder.canonicalize()?);
    }
    if let [a, b] = folders.as_slice()
        && a == b
    {
        bail!("--overlay and --mask name one folder, where each would overwrite the other; choose two");
    }
    let to_stdout = |target: &Option<PathBuf>| target.as_ref().is_some_and(|t| t.as_os_str() == "-");
    if to_stdout(&args.json) && to_stdout(&args.csv) {
        bail!("--json and --csv cannot both go to standard output; name a file for one of them");
    }
    for file in args.json.iter().chain(&args.csv).filter(|file| file.as_os_str() != "-") {
        let folder = file.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        if !folder.is_dir() {
            bail!("{}: the folder {} does not exist; create it first", file.display(), folder.display());
        }
    }
    Ok(())
}

/// What the cascade said of one slice.
struct Findings {
    classification: Option<Classification>,
    segmentation: Option<Segmentation>,
}

/// A batch under way.
struct Run<'a> {
    args: &'a Args,
    engine: CandleEngine,
    pair: Pair,
    thresholds: Thresholds,
    report: Report,
    /// What is read, and must never be written over.
    inputs: HashSet<PathBuf>,
    /// Names of pictures written so far, so that two inputs of one name do not overwrite each other.
    written: HashSet<String>,
}

impl<'a> Run<'a> {
    /// Fails before any file is read when a model cannot be used.
    fn new(args: &'a Args, pair: Pair, mut engine: CandleEngine) -> anyhow::Result<Self> {
        for chosen in pair.classifier.iter().chain(&pair.segmenter) {
            engine.prepare(&chosen.id)?;
        }
        let threshold = |chosen: &Option<Chosen>| chosen.as_ref().map_or(0.5, |c| c.threshold);
        let thresholds =
            Thresholds { classifier: threshold(&pair.classifier), mask: threshold(&pair.segmenter) as f32 };
        let report = Report::new(engine.device());
        Ok(Self { args, engine, pair, thresholds, report, inputs: HashSet::new(), written: HashSet::new() })
    }

    fn fail(&mut self, file: &Path, error: String) {
        self.report.errors.push(FileError { file: file.display().to_string(), error });
    }

    fn study(&mut self, study: &Study, loaded_ms: f64) -> anyhow::Result<()> {
        for (index, slice) in study.slices.iter().enumerate() {
            let mut timings = BTreeMap::from([("load", round(loaded_ms / study.slices.len() as f64))]);
            let findings = self.ask(slice, &mut timings)?;
            let mut warnings: Vec<String> = study.warnings.iter().map(Warning::code).collect();
            self.write_pictures(study, index, slice, &findings, &mut warnings)?;
            self.report.results.push(SliceReport {
                file: study.source.display().to_string(),
                slice: index,
                width: slice.width(),
                height: slice.height(),
                sha256: study.sha256.clone(),
                classifier: findings.classification.as_ref().map(|c| ClassifierReport::new(c, self.thresholds)),
                segmenter: findings.segmentation.as_ref().map(|s| SegmenterReport::new(s, slice, self.thresholds)),
                warnings,
                timings_ms: timings,
            });
        }
        Ok(())
    }

    /// The cascade: the segmenter is asked only when the classifier says yes.
    fn ask(&mut self, slice: &Slice, timings: &mut BTreeMap<&'static str, f64>) -> anyhow::Result<Findings> {
        let mut findings = Findings { classification: None, segmentation: None };
        let never = &|| false;
        if let Some(Chosen { id, .. }) = &self.pair.classifier
            && let Answer::Classification(c) = self.engine.answer(Question::Classify, id, slice, never)?
        {
            timings.insert("classify", round(c.milliseconds));
            findings.classification = Some(c);
        }
        let open = gate_is_open(findings.classification.as_ref(), self.thresholds.classifier);
        let wanted = self.args.always_segment || open;
        if let Some(Chosen { id, .. }) = self.pair.segmenter.as_ref().filter(|_| wanted)
            && let Answer::Segmentation(s) = self.engine.answer(Question::Segment, id, slice, never)?
        {
            timings.insert("segment", round(s.milliseconds));
            findings.segmentation = Some(s);
        }
        Ok(findings)
    }

    fn write_pictures(
        &mut self,
        study: &Study,
        index: usize,
        slice: &Slice,
        findings: &Findings,
        warnings: &mut Vec<String>,
    ) -> anyhow::Result<()> {
        if self.args.mask.is_none() && self.args.overlay.is_none() {
            return Ok(());
        }
        let stem = study.source.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
        let plain = if study.slices.len() > 1 { format!("{stem}_{index}") } else { stem };
        let mut name = plain.clone();
        for copy in 2.. {
            if self.written.insert(name.clone()) {
                break;
            }
            name = format!("{plain}-{copy}");
        }
        if name != plain {
            warnings.push(format!("written as {name}.png: another input is called {plain}"));
        }
        let mask = findings.segmentation.as_ref().map(|s| s.mask(self.thresholds.mask));
        if let Some(folder) = &self.args.mask {
            let empty = crate::domain::mask::Mask::empty(slice.width(), slice.height());
            let bytes = png::mask(mask.as_ref().unwrap_or(&empty))?;
            self.save_picture(&folder.join(format!("{name}.png")), &bytes)?;
        }
        if let Some(folder) = &self.args.overlay {
            let style = OverlayStyle { colour: self.args.overlay_colour, ..OverlayStyle::default() };
            let truth = study.truth.get(index).and_then(Option::as_ref);
            let bytes = png::overlay(slice, mask.as_ref(), truth, style)?;
            self.save_picture(&folder.join(format!("{name}.png")), &bytes)?;
        }
        Ok(())
    }

    fn save_picture(&self, path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
        if path.canonicalize().is_ok_and(|target| self.inputs.contains(&target)) {
            bail!("{} is one of the inputs and was not overwritten; choose another folder", path.display());
        }
        save(path, bytes)
    }

    fn finish(self) -> anyhow::Result<ExitCode> {
        let Self { args, report, .. } = self;
        if let Some(target) = &args.json {
            let mut text = serde_json::to_vec_pretty(&report)?;
            text.push(b'\n');
            emit(target, &text)?;
        }
        if let Some(target) = &args.csv {
            emit(target, &report::csv(&report)?)?;
        }
        if args.json.is_none() && args.csv.is_none() {
            table(&report);
        }
        for FileError { file, error } in &report.errors {
            eprintln!("error: {file}: {error}");
        }
        if report.errors.is_empty() {
            return Ok(ExitCode::SUCCESS);
        }
        eprintln!("{} of {} could not be used", report.errors.len(), report.errors.len() + report.results.len());
        Ok(ExitCode::FAILURE)
    }
}

fn round(ms: f64) -> f64 {
    (ms * 1e3).round() / 1e3
}

fn table(report: &Report) {
    let mut out = std::io::stdout().lock();
    let mut pages: BTreeMap<&str, usize> = BTreeMap::new();
    for r in &report.results {
        *pages.entry(&r.file).or_default() += 1;
    }
    for r in &report.results {
        let said = r.classifier.as_ref().map(|c| {
            let classes: Vec<String> = c.classes.iter().map(|(name, p)| format!("{name} {:.1} %", p * 100.0)).collect();
            let verdict = if c.positive { "positive" } else { c.verdict.as_str() };
            format!("{verdict} at {} ({})", c.threshold, classes.join(", "))
        });
        let drawn = r.segmenter.as_ref().map(|s| format!("mask {} px² in {} parts", s.mask_pixels, s.components));
        let parts: Vec<String> = said.into_iter().chain(drawn).collect();
        let several = pages[r.file.as_str()] > 1;
        let place = if several { format!("{} page {}", r.file, r.slice + 1) } else { r.file.clone() };
        // A closed pipe ends the listing, nothing more.
        if writeln!(out, "{place}: {}", parts.join("; ")).is_err() {
            return;
        }
    }
    writeln!(out, "Research aid, not a medical device.").ok();
}

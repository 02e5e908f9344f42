//! A batch under way: studies in, reports out.

use super::Args;
use super::pictures::Pictures;
use crate::cli::asking::{Chosen, Pair};
use crate::cli::emit;
use crate::domain::card::Card;
use crate::domain::mask::Mask;
use crate::domain::measure::VolumeMeasurements;
use crate::domain::prediction::{Classification, Segmentation, Thresholds, gate_is_open};
use crate::domain::study::{Cut, FrameError, Mismatch, Neighbourhood, Picture, Place, Study, Warning};
use crate::engine::candle::CandleEngine;
use crate::engine::{Answer, Engine, EngineError, Question, answer_each};
use crate::export::report::{self, Answered, FileError, Report, SliceReport, StudyReport};
use crate::io;
use crate::io::paths::{self, Source};
use crate::models::registry::Registry;
use anyhow::Context;
use rayon::prelude::*;
use std::collections::HashSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

/// Slices that a network is asked about together.
const TOGETHER: usize = 8;

pub struct Batch<'a> {
    args: &'a Args,
    engine: CandleEngine,
    pair: Pair,
    /// Of the models asked.
    cards: Vec<Card>,
    thresholds: Thresholds,
    report: Report,
    hashes: io::Hashes,
    pictures: Pictures<'a>,
}

/// Masks of a study by slice number.
#[derive(Default)]
struct Outlined {
    interrupted: bool,
    masks: Vec<(usize, Mask)>,
    maps: Vec<(usize, Segmentation)>,
}

/// A slice with what the cascade said of it.
struct Seen {
    place: Place,
    around: Neighbourhood,
    classification: Option<Classification>,
    segmentation: Option<Segmentation>,
    load_ms: f64,
}

impl<'a> Batch<'a> {
    /// Fails before any file is read when a model cannot be used.
    pub fn new(args: &'a Args, pair: Pair, registry: &Registry, mut engine: CandleEngine) -> anyhow::Result<Self> {
        let mut cards = Vec::new();
        for chosen in pair.classifier.iter().chain(&pair.segmenter) {
            engine.prepare(&chosen.id)?;
            cards.push(registry.get(&chosen.id)?.card.clone());
        }
        let threshold = |chosen: &Option<Chosen>| chosen.as_ref().map_or(0.5, |c| c.threshold);
        let thresholds =
            Thresholds { classifier: threshold(&pair.classifier), mask: threshold(&pair.segmenter) as f32 };
        let report = Report::new(engine.device());
        Ok(Self {
            args,
            engine,
            pair,
            cards,
            thresholds,
            report,
            hashes: io::Hashes::default(),
            pictures: Pictures::new(args),
        })
    }

    /// Whether a segmenter is asked.
    pub fn outlines(&self) -> bool {
        self.pair.segmenter.is_some()
    }

    pub fn fail(&mut self, file: &Path, error: String) {
        self.report.errors.push(FileError { file: file.display().to_string(), error });
    }

    /// These files are never written over.
    pub fn keep(&mut self, inputs: HashSet<PathBuf>) {
        self.pictures.keep(inputs);
    }

    /// One study; `progress` is told of slices done and to do. Slices that cannot be read are told and passed over.
    pub fn source(
        &mut self,
        source: Source,
        stopped: &dyn Fn() -> bool,
        progress: &dyn Fn(usize, usize),
    ) -> anyhow::Result<()> {
        let is_folder = !matches!(source, Source::File(_)) && source.paths().len() > 1;
        let started = Instant::now();
        let study = match io::open(source) {
            Ok(study) => study,
            Err(error) => {
                self.fail(&error.path, error.problem.to_string());
                return Ok(());
            }
        };
        let opened_ms = started.elapsed().as_secs_f64() * 1e3;
        let cut = self.cut(&study)?;
        let count = study.frames.count(cut.plane);
        let (mut outlined, mut slices, mut failed) = (Outlined::default(), Vec::new(), 0);
        for start in (0..count).step_by(TOGETHER) {
            if stopped() {
                self.fail(
                    &study.source,
                    format!("interrupted after {start} of {count} slices; no mask of the whole was written"),
                );
                outlined.interrupted = true;
                break;
            }
            progress(start, count);
            let places: Vec<Place> = (start..count.min(start + TOGETHER)).map(|index| Place { cut, index }).collect();
            let (seen, errors) = self.look(&study, &places);
            failed += errors.len();
            for error in errors {
                let (file, problem) = match error {
                    FrameError::File { file, problem } => (file, problem),
                    other => (study.source.clone(), other.to_string()),
                };
                self.fail(&file, problem);
            }
            for mut one in seen {
                one.load_ms += opened_ms / count as f64;
                slices.push(self.slice(&study, one, is_folder, &mut outlined)?);
            }
        }
        if !slices.is_empty() {
            self.summary(&study, cut, slices, outlined, is_folder, failed)?;
        }
        Ok(())
    }

    /// The plane and time asked for, where the study has them.
    fn cut(&self, study: &Study) -> anyhow::Result<Cut> {
        let frames = &study.frames;
        let plane = self.args.plane.filter(|plane| frames.planes().contains(plane)).unwrap_or(frames.native());
        let times = frames.times();
        anyhow::ensure!(
            self.args.time <= times,
            "has {times} points in time, none numbered {}; see --time",
            self.args.time
        );
        Ok(Cut { plane, time: self.args.time - 1 })
    }

    /// The cascade over slices that go together: the segmenter is asked only where the classifier says yes.
    fn look(&mut self, study: &Study, places: &[Place]) -> (Vec<Seen>, Vec<FrameError>) {
        let wanted = self.cards.iter().any(|card| card.input.neighbours);
        let made: Vec<(Result<Neighbourhood, FrameError>, f64)> = places
            .par_iter()
            .map(|place| {
                let started = Instant::now();
                let slice = Picture { frames: study.frames.clone(), place: *place }.among(wanted);
                (slice, started.elapsed().as_secs_f64() * 1e3)
            })
            .collect();
        let (mut seen, mut errors) = (Vec::new(), Vec::new());
        for (place, (slice, load_ms)) in places.iter().zip(made) {
            match slice {
                Ok(around) => {
                    seen.push(Seen { place: *place, around, classification: None, segmentation: None, load_ms });
                }
                Err(error) => errors.push(error),
            }
        }
        let slices: Vec<Neighbourhood> = seen.iter().map(|one| one.around.clone()).collect();
        let never = &|| false;
        let mut failed = |one: &Seen, error: EngineError| {
            let file = study.file(one.place).to_path_buf();
            errors.push(FrameError::File { file, problem: error.to_string() });
        };
        if let Some(Chosen { id, .. }) = self.pair.classifier.as_ref().filter(|_| !slices.is_empty()) {
            let answers = answer_each(&mut self.engine, Question::Classify, id, &slices, never);
            for (one, answer) in seen.iter_mut().zip(answers) {
                match answer {
                    Ok(Answer::Classification(c)) => one.classification = Some(c),
                    Ok(Answer::Segmentation(_)) => {}
                    Err(error) => failed(one, error),
                }
            }
        }
        let threshold = self.thresholds.classifier;
        let asked = self.pair.classifier.is_some();
        let is_open = |one: &Seen| {
            let waiting = asked && one.classification.is_none();
            self.args.always_segment || !waiting && gate_is_open(one.classification.as_ref(), threshold)
        };
        let open: Vec<Neighbourhood> = seen.iter().filter(|one| is_open(one)).map(|one| one.around.clone()).collect();
        if let Some(Chosen { id, .. }) = self.pair.segmenter.as_ref().filter(|_| !open.is_empty()) {
            let answers = answer_each(&mut self.engine, Question::Segment, id, &open, never);
            for (one, answer) in seen.iter_mut().filter(|one| is_open(one)).zip(answers) {
                match answer {
                    Ok(Answer::Segmentation(s)) => one.segmentation = Some(s),
                    Ok(Answer::Classification(_)) => {}
                    Err(error) => failed(one, error),
                }
            }
        }
        (seen, errors)
    }

    /// Writes a slice's pictures and reports it; its mask joins `masks` when volumes are wanted.
    fn slice(
        &mut self,
        study: &Study,
        seen: Seen,
        is_folder: bool,
        outlined: &mut Outlined,
    ) -> anyhow::Result<SliceReport> {
        let Seen { place, around, classification, segmentation, load_ms } = seen;
        let slice = around.slice;
        let (index, count) = (place.index, study.frames.count(place.cut.plane));
        let file = study.file(place);
        let mut warnings: Vec<String> = study.warnings.iter().chain(&slice.warnings).map(Warning::code).collect();
        warnings.extend(study.subject.mismatches_of(&slice, &self.cards).iter().map(Mismatch::code));
        let truth = study.truth(place, &slice).unwrap_or_else(|error| {
            warnings.push(Warning::TruthUnusable(error.to_string()).code());
            None
        });
        let mask = segmentation.as_ref().map(|s| s.mask(self.thresholds.mask));
        let stem = paths::stem(file);
        let plain = if count > 1 && !is_folder { format!("{stem}_{index}") } else { stem };
        warnings.extend(self.pictures.slice(&plain, &slice, mask.as_ref(), truth.as_ref())?);
        let answered = Answered {
            place,
            slice: &slice,
            spacing: slice.spacing,
            classification: classification.as_ref(),
            segmentation: segmentation.as_ref().zip(mask.as_ref()),
            load_ms: Some(load_ms),
        };
        let mut report = SliceReport::new(study, self.report.studies.len(), &answered, self.thresholds, warnings);
        report.sha256 = self.hashes.of(file).with_context(|| file.display().to_string())?;
        outlined.masks.extend(mask.map(|mask| (index, mask)));
        // Probabilities of a whole study are kept only where they are written.
        if self.pictures.wants_volumes() {
            outlined.maps.extend(segmentation.map(|map| (index, map)));
        }
        Ok(report)
    }

    fn summary(
        &mut self,
        study: &Study,
        cut: Cut,
        mut slices: Vec<SliceReport>,
        outlined: Outlined,
        is_folder: bool,
        failed: usize,
    ) -> anyhow::Result<()> {
        let first = study.frames.slice(Place { cut, index: slices[0].slice })?;
        let layout = study.frames.layout(cut);
        let sizes = VolumeMeasurements::of(&outlined.masks, first.spacing, layout.and_then(|l| l.voxel_mm3()));
        let mut warnings: Vec<String> = study.warnings.iter().map(Warning::code).collect();
        warnings.extend(study.subject.mismatches_of(&first, &self.cards).iter().map(Mismatch::code));
        if study.frames.times() > 1 {
            warnings.push(Warning::FurtherTimes(study.frames.times() - 1).code());
        }
        if failed > 0 {
            warnings.push(Warning::LeftOut(failed).code());
        }
        let mut mask_file = None;
        let whole = !outlined.interrupted;
        if layout.is_none_or(|l| l.affine.is_none()) && self.pictures.wants_volumes() && whole {
            warnings.push("mask-without-geometry".into());
        }
        if self.args.plane.is_some_and(|plane| study.frames.planes().is_empty() && study.frames.native() != plane) {
            warnings.push("plane-not-available".into());
        }
        if self.pictures.wants_volumes() && whole {
            let first_file = study.file(Place { cut, index: 0 });
            let plain = if is_folder { paths::common_name(first_file) } else { paths::stem(first_file) };
            if let Some((path, note)) = self.pictures.volume(&plain, study, cut, &outlined.masks, &outlined.maps)? {
                mask_file = Some(path.display().to_string());
                warnings.extend(note);
            }
        }
        self.report.studies.push(StudyReport::new(
            study,
            cut,
            &slices,
            self.pair.segmenter.is_some().then_some(sizes),
            mask_file,
            warnings,
        ));
        self.report.results.append(&mut slices);
        Ok(())
    }

    /// Writes results, prints what was not written, and tells what went wrong.
    pub fn finish(self) -> anyhow::Result<ExitCode> {
        let Self { args, report, .. } = self;
        if let Some(target) = &args.json {
            emit(target, &report::json(&report)?)?;
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

fn table(report: &Report) {
    let mut out = std::io::stdout().lock();
    let mut lines: Vec<String> = Vec::new();
    for (number, study) in report.studies.iter().enumerate() {
        for r in report.results.iter().filter(|r| r.study == number) {
            let place = if study.slices > 1 { format!("{} slice {}", r.file, r.slice + 1) } else { r.file.clone() };
            lines.push(format!("{place}: {}", answers(r)));
        }
        if study.slices > 1 {
            lines.push(summary_line(study));
        }
    }
    for line in lines {
        // A closed pipe ends the listing, nothing more.
        if writeln!(out, "{line}").is_err() {
            return;
        }
    }
}

fn answers(r: &SliceReport) -> String {
    let said = r.classifier.as_ref().map(|c| {
        let classes: Vec<String> = c.classes.iter().map(|(name, p)| format!("{name} {:.1} %", p * 100.0)).collect();
        let verdict = if c.positive { "positive" } else { c.verdict.as_str() };
        format!("{verdict} at {} ({})", c.threshold, classes.join(", "))
    });
    let drawn = r.segmenter.as_ref().map(|s| format!("mask {} px² in {} parts", s.mask_pixels, s.components));
    let unlike = r.warnings.iter().filter(|w| w.contains("the model was made for")).map(|w| format!("warning: {w}"));
    said.into_iter().chain(drawn).chain(unlike).collect::<Vec<_>>().join("; ")
}

fn summary_line(study: &StudyReport) -> String {
    let mut parts = vec![format!("{}: {} slices", study.source, study.slices)];
    if let Some(highest) = &study.highest {
        let positive = study.positive_slices;
        parts.push(format!(
            "{positive} positive, highest {:.1} % in slice {}",
            highest.probability * 100.0,
            highest.slice + 1
        ));
    }
    if let Some(mask) = &study.mask {
        let volume = mask.volume_ml.map_or(format!("{} voxels", mask.voxels), |ml| format!("{ml:.1} ml"));
        parts.push(format!("mask {volume} in {} slices, {} parts", mask.slices, mask.components));
    }
    parts.join("; ")
}

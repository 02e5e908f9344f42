//! A batch under way: studies in, one report out.

use super::Args;
use super::listing;
use super::model_pair::{AnsweredSlice, ModelPair};
use super::pictures::Pictures;
use crate::cli::emit;
use crate::domain::prediction::Segmentation;
use crate::domain::study::{Cut, Place, Study};
use crate::export::mask_volume::MaskVolume;
use crate::export::report::assembly::{Failure, SliceAnswer, StudyAssembly, StudyContext};
use crate::export::report::{FileError, Report, TableFormat};
use crate::io;
use crate::io::paths::{self, Source};
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

/// Slices that a network is asked about together.
const TOGETHER: usize = 8;

pub struct Batch<'a> {
    args: &'a Args,
    models: ModelPair,
    report: Report,
    hashes: io::Hashes,
    pictures: Pictures<'a>,
}

/// One study of the batch.
struct Opened {
    study: Arc<Study>,
    cut: Cut,
    /// Whether its slices come from files of their own.
    is_folder: bool,
}

impl<'a> Batch<'a> {
    pub fn new(args: &'a Args, models: ModelPair) -> Self {
        let report = Report::new(models.device());
        Self { args, models, report, hashes: io::Hashes::default(), pictures: Pictures::new(args) }
    }

    pub fn fail(&mut self, file: &Path, error: String) {
        self.report.errors.push(FileError { file: file.display().to_string(), error });
    }

    /// These files are never written over.
    pub fn keep(&mut self, inputs: HashSet<PathBuf>) {
        self.pictures.keep(inputs);
    }

    /// Looks at one study; `progress` is told of slices done and to do. What cannot be read or written is noted and passed over:
    /// it costs no other result.
    ///
    /// # Errors
    /// If the study does not have the point in time that was asked for.
    pub fn source(
        &mut self,
        source: Source,
        stopped: &dyn Fn() -> bool,
        progress: &dyn Fn(usize, usize),
    ) -> anyhow::Result<()> {
        let is_folder = !matches!(source, Source::File(_)) && source.paths().len() > 1;
        let started = Instant::now();
        let study = match io::open(source) {
            Ok(study) => Arc::new(study),
            Err(error) => {
                self.fail(&error.path, error.problem.to_string());
                return Ok(());
            }
        };
        let opened_ms = started.elapsed().as_secs_f64() * 1e3;
        let cut = self.cut(&study)?;
        let (count, cards) = (study.frames.count(cut.plane), self.models.cards.clone());
        let opened = Opened { study, cut, is_folder };
        let study = &opened.study;
        let mut assembly = StudyAssembly::new(StudyContext {
            study,
            cut,
            cards: &cards,
            thresholds: self.models.thresholds,
            outlined: self.models.outlines(),
            calibration: None,
            with_names: true,
        });
        let (mut maps, mut interrupted) = (Vec::new(), false);
        for start in (0..count).step_by(TOGETHER) {
            if stopped() {
                let problem = format!("interrupted after {start} of {count} slices; no mask of the whole was written");
                self.fail(&study.source, problem);
                interrupted = true;
                break;
            }
            progress(start, count);
            let places: Vec<Place> = (start..count.min(start + TOGETHER)).map(|index| Place { cut, index }).collect();
            for (place, slice) in places.iter().zip(self.models.ask(study, &places)) {
                match slice {
                    Ok(mut slice) => {
                        slice.load_ms += opened_ms / count as f64;
                        let map = self.slice(&opened, *place, slice, &mut assembly);
                        maps.extend(map.map(|map| (place.index, Arc::new(map))));
                    }
                    Err(error) => assembly.failed(*place, Failure::Unreadable(error)),
                }
            }
        }
        let (mask_file, notes) = self.volume(&opened, maps, interrupted, &mut assembly);
        assembly.finish(&mut self.report, mask_file, notes);
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

    /// Writes a slice's pictures and reports it; gives its probabilities back where they will be written.
    fn slice(
        &mut self,
        opened: &Opened,
        place: Place,
        answered: AnsweredSlice,
        assembly: &mut StudyAssembly,
    ) -> Option<Segmentation> {
        let Opened { study, is_folder, .. } = opened;
        let AnsweredSlice { around, classification, segmentation, failures, load_ms } = answered;
        let slice = around.slice;
        let (truth, truth_problem) = match study.truth(place, &slice) {
            Ok(truth) => (truth, None),
            Err(error) => (None, Some(error)),
        };
        let mask = segmentation.as_ref().map(|s| s.mask(self.models.thresholds.mask));
        let (stem, several) = (paths::stem(study.file(place)), study.frames.count(place.cut.plane) > 1);
        let plain = if several && !is_folder { format!("{stem}_{}", place.index) } else { stem };
        let mut failures: Vec<Failure> = failures.into_iter().map(Failure::NoAnswer).collect();
        let note = self.pictures.slice(&plain, &slice, mask.as_ref(), truth.as_ref()).unwrap_or_else(|error| {
            failures.push(Failure::NotWritten(format!("{error:#}")));
            None
        });
        assembly.slice(SliceAnswer {
            place,
            slice: &slice,
            classification: classification.as_ref(),
            segmentation: segmentation.as_ref().zip(mask),
            truth_problem,
            sha256: self.hashes.of_slice(study, place),
            load_ms: Some(load_ms),
            notes: note.into_iter().collect(),
        });
        failures.into_iter().for_each(|failure| assembly.failed(place, failure));
        // Probabilities of a whole study are kept only where they are written.
        segmentation.filter(|_| self.pictures.volume_format().is_some())
    }

    /// Writes the mask of the whole study where that was asked for. Returns its file and what is to be said about it.
    fn volume(
        &mut self,
        opened: &Opened,
        maps: Vec<(usize, Arc<Segmentation>)>,
        interrupted: bool,
        assembly: &mut StudyAssembly,
    ) -> (Option<String>, Vec<String>) {
        let Opened { study, cut, is_folder } = opened;
        let frames = &study.frames;
        let mut notes = Vec::new();
        if self.args.plane.is_some_and(|plane| frames.planes().is_empty() && frames.native() != plane) {
            notes.push("plane-not-available".into());
        }
        let Some(format) = self.pictures.volume_format().filter(|_| !interrupted) else { return (None, notes) };
        if frames.layout(*cut).is_none_or(|layout| layout.affine.is_none()) {
            notes.push("mask-without-geometry".into());
        }
        let first_file = study.file(Place { cut: *cut, index: 0 });
        let plain = if *is_folder { io::grouping::common_name(first_file) } else { paths::stem(first_file) };
        let threshold = self.models.thresholds.mask;
        let volume = MaskVolume { format, study: study.clone(), cut: *cut, maps, threshold };
        match self.pictures.volume(&plain, &volume) {
            Ok(Some((path, note))) => {
                notes.extend(note);
                (Some(path.display().to_string()), notes)
            }
            Ok(None) => (None, notes),
            Err(error) => {
                notes.push(format!("mask-not-written: {error:#}"));
                assembly.mask_failed(format!("{error:#}"));
                (None, notes)
            }
        }
    }

    /// Writes results, prints what was not written, and tells what went wrong.
    ///
    /// # Errors
    /// If a file of results cannot be written; the others are written all the same.
    pub fn finish(self) -> anyhow::Result<ExitCode> {
        let Self { args, report, .. } = self;
        let tables = [(&args.json, TableFormat::Json), (&args.csv, TableFormat::Csv)];
        let mut written = Ok(());
        for (target, format) in tables {
            let Some(target) = target else { continue };
            let outcome = format.bytes(&report).map_err(anyhow::Error::from).and_then(|bytes| emit(target, &bytes));
            written = written.and(outcome);
        }
        if args.json.is_none() && args.csv.is_none() {
            listing::print(&report);
        }
        for FileError { file, error } in &report.errors {
            eprintln!("error: {file}: {error}");
        }
        written?;
        if report.errors.is_empty() {
            return Ok(ExitCode::SUCCESS);
        }
        eprintln!("{} errors; there are results of {} slices", report.errors.len(), report.results.len());
        Ok(ExitCode::FAILURE)
    }
}

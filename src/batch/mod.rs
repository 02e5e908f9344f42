//! A batch under way: studies in, one report out. `predict` and `serve` share it, so that they answer alike.

pub mod lines;
pub mod model_pair;
pub mod outputs;
pub mod pair;
pub mod shard;

use crate::domain::band::SliceBand;
use crate::domain::explanation::Explanation;
use crate::domain::geometry::Plane;
use crate::domain::input_gate::InputGate;
use crate::domain::mask::Mask;
use crate::domain::prediction::{Classification, ModelRef, Segmentation};
use crate::domain::slice::Slice;
use crate::domain::study::{Cut, Place, Study};
use crate::domain::voxel_mask::VoxelMask;
use crate::export::mask_volume::MaskVolume;
use crate::export::report::assembly::{Failure, SliceAnswer, StudyAssembly, StudyContext};
use crate::export::report::{FileError, Report};
use crate::io;
use crate::io::error::LoadError;
use crate::io::paths::{self, Source};
use model_pair::{AnsweredSlice, ModelPair};
use outputs::{Outputs, SlicePictures};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

/// Slices that a network is asked about together.
const TOGETHER: usize = 8;

/// Where in a volume the networks look, and what of it is shown.
#[derive(Debug, Clone, Copy)]
pub struct Looking {
    /// Plane that results are shown in; the one looked in without it.
    pub plane: Option<Plane>,
    /// Plane that the networks look in; the study's own without it.
    pub look_in: Option<Plane>,
    /// Point in time, from 0.
    pub time: usize,
}

/// Why a study was not looked at.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    #[error(transparent)]
    Load(#[from] LoadError),
    #[error("has {there} points in time, none numbered {asked}; see --time")]
    NoSuchTime {
        there: usize,
        /// Counted from 1.
        asked: usize,
    },
}

impl SourceError {
    /// The file that the problem lies in, where it is a single one.
    pub fn file(&self) -> Option<&Path> {
        match self {
            SourceError::Load(error) => Some(&error.path),
            SourceError::NoSuchTime { .. } => None,
        }
    }

    /// The problem without its file.
    pub fn problem(&self) -> String {
        match self {
            SourceError::Load(error) => error.problem.to_string(),
            SourceError::NoSuchTime { .. } => self.to_string(),
        }
    }
}

/// Studies answered so far, and what answers the next one.
pub struct Batch<O> {
    looking: Looking,
    models: ModelPair,
    report: Report,
    hashes: io::Hashes,
    outputs: O,
}

/// One study of the batch.
struct Opened {
    study: Arc<Study>,
    /// The cut that results are shown in.
    cut: Cut,
    /// The cut whose slices the networks look at.
    asked: Cut,
    /// Whether its slices come from files of their own.
    is_folder: bool,
}

/// A slice of the plane that results are shown in, with what was found on it.
struct Shown<'a> {
    place: Place,
    slice: &'a Slice,
    classification: Option<&'a Classification>,
    mask: Option<(&'a ModelRef, Mask)>,
    gate: Option<&'a InputGate>,
    band: SliceBand,
    explanation: Option<&'a Explanation>,
    load_ms: f64,
    segment_ms: Option<f64>,
}

/// What was found in the plane that the networks looked in, to be shown in another one.
#[derive(Default)]
struct Elsewhere {
    /// By slice number of the plane that was looked in.
    masks: Vec<(usize, Mask)>,
    segmenter: Option<ModelRef>,
    /// The answer about the slice with the highest probability of a finding.
    highest: Option<Classification>,
}

impl Elsewhere {
    /// Takes in the answers about one slice; gives its probabilities back.
    fn slice(
        &mut self,
        place: Place,
        answered: AnsweredSlice,
        mask_threshold: f32,
        assembly: &mut StudyAssembly,
    ) -> Option<Segmentation> {
        let AnsweredSlice { classification, segmentation, gate, band, failures, .. } = answered;
        assembly.judged(gate.as_ref());
        assembly.wavered(band);
        failures.into_iter().for_each(|failure| assembly.failed(place, Failure::NoAnswer(failure)));
        if let Some(classification) = classification {
            assembly.looked_at(place.index, &classification);
            let highest = self.highest.as_ref().map_or(f64::NEG_INFINITY, Classification::finding);
            if classification.finding() > highest {
                self.highest = Some(classification);
            }
        }
        if let Some(segmentation) = &segmentation {
            self.segmenter.get_or_insert_with(|| segmentation.model.clone());
            self.masks.push((place.index, segmentation.mask(mask_threshold)));
        }
        segmentation
    }
}

impl<O: Outputs> Batch<O> {
    pub fn new(looking: Looking, models: ModelPair, outputs: O) -> Self {
        let report = Report::new(models.device());
        Self { looking, models, report, hashes: io::Hashes::default(), outputs }
    }

    /// Notes what is wrong with a file.
    pub fn fail(&mut self, file: &Path, error: String) {
        self.report.errors.push(FileError { file: file.display().to_string(), error });
    }

    /// The report so far. What follows begins a new one.
    pub fn take_report(&mut self) -> Report {
        let new = Report::new(self.report.device.clone());
        std::mem::replace(&mut self.report, new)
    }

    /// The report of all studies, and where their pictures went.
    pub fn finish(self) -> (Report, O) {
        (self.report, self.outputs)
    }

    /// Looks at one study; `progress` is told of slices done and to do. What cannot be read or written is noted and passed over:
    /// it costs no other result.
    ///
    /// # Errors
    /// If the study cannot be opened, or does not have the point in time that was asked for.
    pub fn source(
        &mut self,
        source: Source,
        stopped: &dyn Fn() -> bool,
        progress: &dyn Fn(usize, usize),
    ) -> Result<(), SourceError> {
        let is_folder = !matches!(source, Source::File(_)) && source.paths().len() > 1;
        let started = Instant::now();
        let study = Arc::new(io::open(source)?);
        let opened_ms = started.elapsed().as_secs_f64() * 1e3;
        let (cut, asked) = self.cuts(&study)?;
        let (count, cards) = (study.frames.count(asked.plane), self.models.cards.clone());
        let opened = Opened { study, cut, asked, is_folder };
        let study = &opened.study;
        let mut assembly = StudyAssembly::new(StudyContext {
            study,
            cut,
            asked,
            cards: &cards,
            thresholds: self.models.thresholds,
            outlined: self.models.outlines(),
            calibration: None,
            with_names: true,
        });
        let (mut maps, mut interrupted) = (Vec::new(), false);
        let mut elsewhere = (cut != asked).then(Elsewhere::default);
        for start in (0..count).step_by(TOGETHER) {
            if stopped() {
                let problem = format!("interrupted after {start} of {count} slices; no mask of the whole was written");
                self.fail(&study.source, problem);
                interrupted = true;
                break;
            }
            progress(start, count);
            let indices = start..count.min(start + TOGETHER);
            let places: Vec<Place> = indices.map(|index| Place { cut: asked, index }).collect();
            for (place, slice) in places.iter().zip(self.models.ask(study, &places)) {
                match slice {
                    Ok(mut slice) => {
                        slice.load_ms += opened_ms / count as f64;
                        let map = match &mut elsewhere {
                            Some(elsewhere) => {
                                let threshold = self.models.thresholds.mask;
                                let map = elsewhere.slice(*place, slice, threshold, &mut assembly);
                                map.filter(|_| self.outputs.volume_format().is_some())
                            }
                            None => self.slice(&opened, *place, slice, &mut assembly),
                        };
                        maps.extend(map.map(|map| (place.index, Arc::new(map))));
                    }
                    Err(error) => assembly.failed(*place, Failure::Unreadable(error)),
                }
            }
        }
        if let Some(elsewhere) = elsewhere {
            self.resliced(&opened, &elsewhere, &mut assembly);
        }
        let (mask_file, notes) = self.volume(&opened, maps, interrupted, &mut assembly);
        assembly.finish(&mut self.report, mask_file, notes);
        Ok(())
    }

    /// The cut to show and the cut to look at, where the study has the planes and the time that were asked for.
    fn cuts(&self, study: &Study) -> Result<(Cut, Cut), SourceError> {
        let (frames, Looking { plane, look_in, time }) = (&study.frames, self.looking);
        let there = |plane: Option<Plane>| plane.filter(|plane| frames.planes().contains(plane));
        let asked = there(look_in).unwrap_or(frames.native());
        let shown = there(plane).unwrap_or(asked);
        if time >= frames.times() {
            return Err(SourceError::NoSuchTime { there: frames.times(), asked: time + 1 });
        }
        Ok((Cut { plane: shown, time }, Cut { plane: asked, time }))
    }

    /// Shows a slice of the plane that the networks looked in; gives its probabilities back where they will be written.
    fn slice(
        &mut self,
        opened: &Opened,
        place: Place,
        answered: AnsweredSlice,
        assembly: &mut StudyAssembly,
    ) -> Option<Segmentation> {
        let AnsweredSlice { around, classification, segmentation, gate, band, explanation, failures, load_ms } =
            answered;
        let mask = segmentation.as_ref().map(|s| (&s.model, s.mask(self.models.thresholds.mask)));
        let shown = Shown {
            place,
            slice: &around.slice,
            classification: classification.as_ref(),
            mask,
            gate: gate.as_ref(),
            band,
            explanation: explanation.as_ref(),
            load_ms,
            segment_ms: segmentation.as_ref().map(|s| s.milliseconds),
        };
        let failures = failures.into_iter().map(Failure::NoAnswer).collect();
        self.report(opened, shown, failures, assembly);
        // Probabilities of a whole study are kept only where they are written.
        segmentation.filter(|_| self.outputs.volume_format().is_some())
    }

    /// Writes a slice's pictures and reports it with what went wrong.
    fn report(&mut self, opened: &Opened, shown: Shown, mut failures: Vec<Failure>, assembly: &mut StudyAssembly) {
        let Opened { study, is_folder, .. } = opened;
        let Shown { place, slice, classification, mask, gate, band, explanation, load_ms, segment_ms } = shown;
        let (truth, truth_problem) = match study.truth(place, slice) {
            Ok(truth) => (truth, None),
            Err(error) => (None, Some(error)),
        };
        let (stem, several) = (paths::stem(study.file(place)), study.frames.count(place.cut.plane) > 1);
        let plain = if several && !is_folder { format!("{stem}_{}", place.index + 1) } else { stem };
        let pictures = SlicePictures {
            name: &plain,
            study: self.report.studies.len(),
            place,
            slice,
            mask: mask.as_ref().map(|(_, mask)| mask),
            truth: truth.as_ref(),
            explanation,
        };
        let note = self.outputs.slice(pictures).unwrap_or_else(|error| {
            failures.push(Failure::NotWritten(error.to_string()));
            None
        });
        assembly.slice(SliceAnswer {
            place,
            slice,
            classification,
            mask,
            truth: truth.as_ref(),
            gate,
            band,
            explanation,
            truth_problem,
            sha256: self.hashes.of_slice(study, place),
            load_ms: Some(load_ms),
            segment_ms,
            notes: note.into_iter().collect(),
        });
        failures.into_iter().for_each(|failure| assembly.failed(place, failure));
    }

    /// Writes and reports the slices of the plane to be shown, with what was found in the plane that the networks looked in.
    fn resliced(&mut self, opened: &Opened, found: &Elsewhere, assembly: &mut StudyAssembly) {
        let Opened { study, cut, asked, .. } = opened;
        let frames = &study.frames;
        let voxels = frames.layout(*asked).and_then(|layout| VoxelMask::of(&layout, &found.masks));
        let voxels = voxels.zip(frames.layout(*cut));
        for place in (0..frames.count(cut.plane)).map(|index| Place { cut: *cut, index }) {
            let started = Instant::now();
            let slice = match frames.slice(place) {
                Ok(slice) => slice,
                Err(error) => {
                    assembly.failed(place, Failure::Unreadable(error));
                    continue;
                }
            };
            let load_ms = started.elapsed().as_secs_f64() * 1e3;
            let mask = voxels.as_ref().and_then(|(voxels, layout)| voxels.slice(layout, place.index));
            let shown = Shown {
                place,
                slice: &slice,
                classification: found.highest.as_ref(),
                mask: found.segmenter.as_ref().zip(mask),
                gate: None,
                band: SliceBand::default(),
                explanation: None,
                load_ms,
                segment_ms: None,
            };
            self.report(opened, shown, Vec::new(), assembly);
        }
    }

    /// Writes the mask of the whole study where that was asked for. Returns its file and what is to be said about it.
    fn volume(
        &mut self,
        opened: &Opened,
        maps: Vec<(usize, Arc<Segmentation>)>,
        interrupted: bool,
        assembly: &mut StudyAssembly,
    ) -> (Option<String>, Vec<String>) {
        let Opened { study, asked: cut, is_folder, .. } = opened;
        let frames = &study.frames;
        let mut notes = Vec::new();
        let planes = self.looking.plane.into_iter().chain(self.looking.look_in);
        if planes.into_iter().any(|plane| frames.planes().is_empty() && frames.native() != plane) {
            notes.push("plane-not-available".into());
        }
        let Some(format) = self.outputs.volume_format().filter(|_| !interrupted) else { return (None, notes) };
        if frames.layout(*cut).is_none_or(|layout| layout.affine.is_none()) {
            notes.push("mask-without-geometry".into());
        }
        let first_file = study.file(Place { cut: *cut, index: 0 });
        let plain = if *is_folder { io::grouping::common_name(first_file) } else { paths::stem(first_file) };
        let threshold = self.models.thresholds.mask;
        let volume = MaskVolume { format, study: study.clone(), cut: *cut, maps, threshold };
        match self.outputs.volume(&plain, self.report.studies.len(), &volume) {
            Ok(Some(written)) => {
                notes.extend(written.note);
                (Some(written.file), notes)
            }
            Ok(None) => (None, notes),
            Err(error) => {
                notes.push(format!("mask-not-written: {error}"));
                assembly.mask_failed(error.to_string());
                (None, notes)
            }
        }
    }
}

//! Assembles what a report says of one study. The window and `predict` both use it, so that their reports agree.

use super::overlap::Overlap;
use super::{
    ClassifierReport, ExplanationReport, FileError, GateReport, Highest, Report, SegmenterReport, SliceReport,
    StudyMask, StudyReport,
};
use crate::domain::band::SliceBand;
use crate::domain::card::Card;
use crate::domain::explanation::Explanation;
use crate::domain::headline::{Contradiction, Headline, share};
use crate::domain::input_gate::InputGate;
use crate::domain::mask::Mask;
use crate::domain::measure::VolumeMeasurements;
use crate::domain::prediction::{Classification, ModelRef, Thresholds, Verdict};
use crate::domain::slice::{Slice, Spacing, SpacingSource};
use crate::domain::study::{Cut, FrameError, Place, Study, Warning};
use crate::domain::subject::Mismatch;
use std::path::{Path, PathBuf};

/// What all slices of a study have in common in a report.
pub struct StudyContext<'a> {
    pub study: &'a Study,
    /// The cut that the report lists slices of.
    pub cut: Cut,
    /// The cut whose slices the networks looked at.
    pub asked: Cut,
    /// Cards of the models in use.
    pub cards: &'a [Card],
    pub thresholds: Thresholds,
    /// Whether a segmenter is in use.
    pub outlined: bool,
    /// Size of a pixel in mm by the reader, used where the file does not tell.
    pub calibration: Option<f64>,
    /// Whether the report names files. Names can identify a patient.
    pub with_names: bool,
}

/// A slice with what the models answered.
pub struct SliceAnswer<'a> {
    pub place: Place,
    pub slice: &'a Slice,
    /// The classifier's answer; in a plane that was not looked in, that for the study's highest slice.
    pub classification: Option<&'a Classification>,
    /// Where the cascade shows a mask: its model, and the mask at the mask threshold.
    pub mask: Option<(&'a ModelRef, Mask)>,
    /// The reference outline of the slice, if it has one.
    pub truth: Option<&'a Mask>,
    /// What the input gate says of the slice. Where the slice is unlike those that the model knows, answers are there only because
    /// they were asked for all the same.
    pub gate: Option<&'a InputGate>,
    /// How far the answers move when the picture is changed a little, where that was asked.
    pub band: SliceBand,
    /// Why the classifier answered as it did, where that was asked.
    pub explanation: Option<&'a Explanation>,
    /// Why the expert's outline cannot be used.
    pub truth_problem: Option<FrameError>,
    /// sha256 of the slice's file, lower-case hex; empty for the example, which is no file.
    pub sha256: Result<String, FrameError>,
    /// Milliseconds for reading and decoding, where they were measured.
    pub load_ms: Option<f64>,
    /// Milliseconds in the segmenter.
    pub segment_ms: Option<f64>,
    /// Further remarks for the slice's warnings.
    pub notes: Vec<String>,
}

/// Why something is missing from the results.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// The slice cannot be read.
    Unreadable(FrameError),
    /// A model failed on the slice.
    NoAnswer(String),
    /// A file that was asked for could not be written.
    NotWritten(String),
    /// The slice's file could not be read again for its sha256.
    NoHash(FrameError),
}

/// The report of one study, slice by slice.
pub struct StudyAssembly<'a> {
    context: StudyContext<'a>,
    slices: Vec<SliceReport>,
    /// By slice number, ascending.
    masks: Vec<(usize, Mask)>,
    errors: Vec<FileError>,
    headline: Headline,
    overlap: Overlap,
    unreadable: usize,
    /// Number of slices that the input gate calls unlike those that the model knows.
    unlike: usize,
    /// Pixels of the inner and of the outer outlines of all slices, where bands were asked for.
    band: Option<[usize; 2]>,
    /// Size of a pixel of the first slice.
    spacing: Option<Spacing>,
    /// How the first slice differs from what the models were made for.
    mismatches: Vec<String>,
}

impl<'a> StudyAssembly<'a> {
    pub fn new(context: StudyContext<'a>) -> Self {
        let (slices, masks, errors) = Default::default();
        let (headline, overlap) = (Headline::default(), Overlap::default());
        Self {
            context,
            slices,
            masks,
            errors,
            headline,
            overlap,
            unreadable: 0,
            unlike: 0,
            band: None,
            spacing: None,
            mismatches: Vec::new(),
        }
    }

    /// Counts the classifier's answer about slice `index` of the plane that was looked in. [`Self::slice`] does so for slices of
    /// that plane.
    pub fn looked_at(&mut self, index: usize, classification: &Classification) {
        self.headline.add(index, classification, self.context.thresholds.classifier);
    }

    /// Counts what the input gate says of a slice of the plane that was looked in. [`Self::slice`] does so for slices of that plane.
    pub fn judged(&mut self, gate: Option<&InputGate>) {
        self.unlike += usize::from(gate.is_some_and(InputGate::is_unlike));
    }

    /// Counts how far the outline of a slice of the plane that was looked in moves. [`Self::slice`] does so for slices of that plane.
    pub fn wavered(&mut self, band: SliceBand) {
        if let Some([inner, outer]) = band.area {
            let sum = self.band.get_or_insert_default();
            (sum[0], sum[1]) = (sum[0] + inner, sum[1] + outer);
        }
    }

    /// Masks so far, by slice number.
    pub fn masks(&self) -> &[(usize, Mask)] {
        &self.masks
    }

    /// Adds a slice. Slices come in ascending order.
    pub fn slice(&mut self, answer: SliceAnswer) {
        let StudyContext { study, asked, cards, thresholds, calibration, outlined, .. } = self.context;
        let SliceAnswer { place, slice, classification, mask, truth_problem, sha256, .. } = answer;
        self.judged(answer.gate);
        self.wavered(answer.band);
        let own = classification.filter(|_| place.cut == asked);
        if let Some(classification) = own {
            self.looked_at(place.index, classification);
        }
        let contradiction = own
            .zip(mask.as_ref())
            .and_then(|(c, (_, mask))| Contradiction::of(&c.verdict(thresholds.classifier), share(mask)));
        let verdict_of = if place.cut == asked { "slice" } else { "study" };
        let by_reader = || Spacing::new(calibration?, calibration?, SpacingSource::Reader);
        let spacing = slice.spacing.or_else(by_reader);
        let mismatches: Vec<String> = study.subject.mismatches_of(slice, cards).iter().map(Mismatch::code).collect();
        // Below the threshold the cascade shows no mask: nothing is outlined.
        let is_closed = own.is_some_and(|c| !matches!(c.verdict(thresholds.classifier), Verdict::Positive(_)));
        let nothing = (mask.is_none() && outlined && is_closed).then(|| Mask::empty(slice.width(), slice.height()));
        let said = mask.as_ref().map(|(_, mask)| mask).or(nothing.as_ref());
        let dice = said.zip(answer.truth).and_then(|(mask, truth)| mask.dice(truth));
        if let Some(truth) = answer.truth {
            self.overlap.add(truth, said);
        }
        let truth = truth_problem.map(|error| Warning::TruthUnusable(error.to_string()));
        let warnings = study.warnings.iter().chain(&slice.warnings).chain(&truth).map(|w| self.code(w));
        let warnings = warnings.chain(mismatches.iter().cloned()).chain(answer.notes).collect();
        let sha256 = sha256.unwrap_or_else(|error| {
            self.failed(place, Failure::NoHash(error));
            String::new()
        });
        let times =
            [("load", answer.load_ms), ("classify", own.map(|c| c.milliseconds)), ("segment", answer.segment_ms)];
        let rounded = |ms: f64| (ms * 1e3).round() / 1e3;
        if self.slices.is_empty() {
            self.spacing = spacing;
            self.mismatches = mismatches;
        }
        self.slices.push(SliceReport {
            file: self.named(study.file(place)),
            // The study's place is known when it is finished.
            study: 0,
            slice: place.index + 1,
            width: slice.width(),
            height: slice.height(),
            plane: slice.orientation.map(|o| o.plane().id().into()),
            spacing_mm: spacing.map(|s| [s.row_mm, s.column_mm]),
            spacing_from: spacing.map(|s| s.source.id().into()),
            sha256,
            input_gate: answer.gate.map(GateReport::new),
            classifier: classification.map(|c| ClassifierReport::new(c, thresholds, verdict_of, answer.band)),
            segmenter: mask
                .as_ref()
                .map(|(model, mask)| SegmenterReport::new(model, mask, spacing, thresholds, answer.band)),
            explanation: answer.explanation.map(ExplanationReport::new),
            reference_pixels: answer.truth.map(Mask::area),
            dice,
            contradiction: contradiction.map(|found| found.id().into()),
            warnings,
            timings_ms: times.into_iter().filter_map(|(name, ms)| Some((name.into(), rounded(ms?)))).collect(),
        });
        self.masks.extend(mask.map(|(_, mask)| (place.index, mask)));
    }

    /// Notes what went wrong with the slice at `place`.
    pub fn failed(&mut self, place: Place, failure: Failure) {
        let study = self.context.study;
        let own = study.file(place);
        let (file, problem, nameless) = match failure {
            Failure::Unreadable(error) => {
                self.unreadable += 1;
                let (file, problem) = parts(error, own);
                (file, problem, "cannot be read")
            }
            Failure::NoHash(error) => {
                let (file, problem) = parts(error, own);
                (file, problem, "its file cannot be read again")
            }
            Failure::NoAnswer(why) => (own.to_path_buf(), why, "a model failed on it"),
            Failure::NotWritten(why) => (own.to_path_buf(), why, "a file of it was not written"),
        };
        let file = self.named(&file);
        // Reasons quote the names of files.
        let problem = if self.context.with_names { problem } else { nameless.into() };
        let single = study.frames.count(place.cut.plane) == 1;
        let error = if single { problem } else { format!("slice {}: {problem}", place.index + 1) };
        self.errors.push(FileError { file, error });
    }

    /// Notes why the mask of the whole study was not written.
    pub fn mask_failed(&mut self, why: String) {
        let file = self.named(&self.context.study.source);
        self.errors.push(FileError { file, error: why });
    }

    /// Adds the study to `report`. Nothing but its errors is added when no slice could be read. `mask_file` is the file that the
    /// mask of the whole study was written to; `notes` join the study's warnings.
    pub fn finish(mut self, report: &mut Report, mask_file: Option<String>, notes: Vec<String>) {
        let StudyContext { study, cut, asked, outlined, .. } = self.context;
        let source = self.named(&study.source);
        report.errors.append(&mut self.errors);
        if self.slices.is_empty() {
            return;
        }
        let frames = &study.frames;
        let further_times = (frames.times() > 1).then(|| Warning::FurtherTimes(frames.times() - 1));
        let left_out = (self.unreadable > 0).then_some(Warning::LeftOut(self.unreadable));
        let told = |warning: &Warning| self.code(warning);
        let own = study.warnings.iter().map(told).chain(self.mismatches.iter().cloned());
        let warnings = own.chain(further_times.iter().chain(&left_out).map(told)).chain(notes).collect();
        let voxel_mm3 = frames.layout(cut).and_then(|layout| layout.voxel_mm3());
        let plane = self.slices[0].plane.clone();
        let Headline { answered, positive, highest } = self.headline;
        let contradiction = Contradiction::of_study(positive, self.masks.iter().map(|(_, mask)| mask));
        let contradiction = contradiction.filter(|_| answered > 0 && !self.masks.is_empty());
        report.studies.push(StudyReport {
            source,
            grouping: study.grouping.id().into(),
            slices: self.slices.len(),
            looked_in: if asked.plane == cut.plane { plane.clone() } else { Some(asked.plane.id().into()) },
            plane,
            looked_in_on_request: asked.plane != frames.native(),
            looked_at: answered,
            time: cut.time + 1,
            modality: study.subject.modality.clone(),
            body_part: study.subject.body_part.clone(),
            sequence: study.subject.acquisition.weighting.map(|weighting| weighting.id().into()),
            unlike_slices: self.unlike,
            positive_slices: positive,
            highest: highest.map(|(index, probability)| Highest { slice: index + 1, probability }),
            contradiction: contradiction.map(|found| found.id().into()),
            mask: outlined.then(|| StudyMask {
                volume_ml_range: self.band.zip(voxel_mm3).map(|(band, mm3)| band.map(|n| n as f64 * mm3 / 1000.0)),
                ..VolumeMeasurements::of(&self.masks, self.spacing, voxel_mm3).into()
            }),
            reference: self.overlap.reference(voxel_mm3),
            dice: self.overlap.dice(),
            mask_file,
            warnings,
        });
        let number = report.studies.len() - 1;
        self.slices.iter_mut().for_each(|slice| slice.study = number);
        report.results.append(&mut self.slices);
    }

    fn named(&self, file: &Path) -> String {
        if self.context.with_names { file.display().to_string() } else { String::new() }
    }

    /// Code of a warning; without the reason, which quotes a file, where files are not named.
    fn code(&self, warning: &Warning) -> String {
        match warning {
            Warning::TruthUnusable(_) if !self.context.with_names => "truth-unusable".into(),
            other => other.code(),
        }
    }
}

/// The file that an error is about, and its problem.
fn parts(error: FrameError, own: &Path) -> (PathBuf, String) {
    match error {
        FrameError::File { file, problem } => (file, problem),
        other => (own.to_path_buf(), other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::slice::Depth;

    /// Two pages whose names and reasons name a patient.
    fn report(with_names: bool) -> Report {
        let page = || Slice::new(4, 4, vec![0.0; 16], Depth::Deep).unwrap();
        let mut study = Study::of_pages(Path::new("/scans/DOE.tif"), vec![page(), page()]);
        study.warnings = vec![Warning::TruthUnusable("DOE_mask.tif is empty".into())];
        let context = StudyContext {
            study: &study,
            cut: study.native(),
            asked: study.native(),
            cards: &[],
            thresholds: Thresholds { classifier: 0.5, mask: 0.5 },
            outlined: true,
            calibration: Some(0.5),
            with_names,
        };
        let place = |index: usize| Place { cut: study.native(), index };
        let file = || FrameError::File { file: "/scans/DOE.tif".into(), problem: "DOE ends early".into() };
        let mut assembly = StudyAssembly::new(context);
        assembly.failed(place(0), Failure::Unreadable(file()));
        assembly.slice(SliceAnswer {
            place: place(1),
            slice: &page(),
            classification: None,
            mask: None,
            truth: None,
            gate: None,
            band: SliceBand::default(),
            explanation: None,
            truth_problem: Some(file()),
            sha256: Err(file()),
            load_ms: None,
            segment_ms: None,
            notes: Vec::new(),
        });
        assembly.failed(place(1), Failure::NoAnswer("DOE is too large".into()));
        let mut report = Report::new("cpu".into());
        assembly.finish(&mut report, None, Vec::new());
        report
    }

    #[test]
    fn what_is_missing_is_told_beside_what_is_there() {
        let report = report(true);
        let errors: Vec<&str> = report.errors.iter().map(|e| e.error.as_str()).collect();
        assert_eq!(errors, ["slice 1: DOE ends early", "slice 2: DOE ends early", "slice 2: DOE is too large"]);
        assert_eq!(report.errors[0].file, "/scans/DOE.tif");
        let study = &report.studies[0];
        assert_eq!((study.slices, report.results[0].slice, report.results[0].study), (1, 2, 0));
        assert_eq!(report.results[0].spacing_mm, Some([0.5, 0.5]));
        assert!(study.warnings.contains(&Warning::LeftOut(1).code()));
        assert!(study.mask.is_some() && study.highest.is_none());
    }

    /// Two slices of 2×2: one with half of its reference outlined, one below the threshold with an empty reference.
    #[test]
    fn dice_is_told_by_slice_and_for_the_study() {
        let page = || Slice::new(2, 2, vec![0.0; 4], Depth::Deep).unwrap();
        let study = Study::of_pages(Path::new("a.tif"), vec![page(), page()]);
        let model = ModelRef { id: "m".into(), sha256: String::new() };
        let mut assembly = StudyAssembly::new(StudyContext {
            study: &study,
            cut: study.native(),
            asked: study.native(),
            cards: &[],
            thresholds: Thresholds { classifier: 0.5, mask: 0.5 },
            outlined: true,
            calibration: None,
            with_names: true,
        });
        let (mask, truth, empty) = (Mask::drawn(&["#.", ".."]), Mask::drawn(&["##", ".."]), Mask::empty(2, 2));
        let (above, below) = (Classification::of_tumour(0.9), Classification::of_tumour(0.1));
        for (index, classification, mask, truth) in
            [(0, &above, Some((&model, mask)), &truth), (1, &below, None, &empty)]
        {
            assembly.slice(SliceAnswer {
                place: Place { cut: study.native(), index },
                slice: &page(),
                classification: Some(classification),
                mask,
                truth: Some(truth),
                gate: None,
                band: SliceBand::default(),
                explanation: None,
                truth_problem: None,
                sha256: Ok(String::new()),
                load_ms: None,
                segment_ms: None,
                notes: Vec::new(),
            });
        }
        let mut report = Report::new("cpu".into());
        assembly.finish(&mut report, None, Vec::new());
        // 2·1 / (1 + 2), and two empty outlines agree.
        assert_eq!(report.results[0].dice, Some(2.0 / 3.0));
        assert_eq!((report.results[1].dice, report.results[1].reference_pixels), (Some(1.0), Some(0)));
        let reference = report.studies[0].reference.as_ref().unwrap();
        assert_eq!((reference.slices, reference.voxels, report.studies[0].dice), (2, 2, Some(2.0 / 3.0)));
    }

    #[test]
    fn a_nameless_report_quotes_no_name() {
        let text = String::from_utf8(super::super::TableFormat::Json.bytes(&report(false)).unwrap()).unwrap();
        assert!(!text.contains("DOE") && !text.contains("scans"), "{text}");
        assert!(text.contains("slice 1: cannot be read") && text.contains("slice 2: a model failed on it"), "{text}");
    }
}

//! The results of the open study as a table.

use crate::domain::band::SliceBand;
use crate::domain::card::Card;
use crate::domain::input_gate::InputGate;
use crate::domain::mask::Mask;
use crate::domain::prediction::{Classification, Segmentation, Thresholds};
use crate::domain::study::{Cut, FrameError, Place, Study};
use crate::export::report::assembly::{Failure, SliceAnswer, StudyAssembly, StudyContext};
use crate::export::report::{Report, TableFormat};
use crate::export::{Export, ExportError, Progress, go_on};
use crate::io;
use std::sync::Arc;

/// What the models in use answered about one slice.
pub struct SliceFindings {
    pub place: Place,
    pub classification: Option<Classification>,
    /// Probabilities of the mask, where the cascade shows it.
    pub segmentation: Option<Arc<Segmentation>>,
    /// The reader's own outline.
    pub outline: Option<Arc<Mask>>,
    pub gate: Option<InputGate>,
    /// Why a model in use has no answer, if it failed.
    pub failure: Option<String>,
}

/// A whole study with everything its report needs, so that the window may go on.
pub struct ResultTable {
    pub format: TableFormat,
    pub study: Arc<Study>,
    pub cut: Cut,
    /// Every slice, in order.
    pub slices: Vec<SliceFindings>,
    pub cards: Vec<Card>,
    pub thresholds: Thresholds,
    /// Whether a segmenter is in use.
    pub outlined: bool,
    /// Size of a pixel in mm by the reader.
    pub calibration: Option<f64>,
    /// Where the networks ran.
    pub device: String,
    /// Whether names of files may be told. Names can identify a patient.
    pub with_names: bool,
}

impl Export for ResultTable {
    fn bytes(&self, progress: Progress) -> Result<Vec<u8>, ExportError> {
        let mut assembly = StudyAssembly::new(StudyContext {
            study: &self.study,
            cut: self.cut,
            asked: self.cut,
            cards: &self.cards,
            thresholds: self.thresholds,
            outlined: self.outlined,
            calibration: self.calibration,
            with_names: self.with_names,
        });
        let mut hashes = io::Hashes::default();
        for (done, findings) in self.slices.iter().enumerate() {
            go_on(progress, done, self.slices.len())?;
            if let Err(error) = self.add(findings, &mut assembly, &mut hashes) {
                assembly.failed(findings.place, Failure::Unreadable(error));
            }
        }
        let mut report = Report::new(self.device.clone());
        assembly.finish(&mut report, None, Vec::new());
        self.format.bytes(&report)
    }
}

impl ResultTable {
    fn add(
        &self,
        findings: &SliceFindings,
        assembly: &mut StudyAssembly,
        hashes: &mut io::Hashes,
    ) -> Result<(), FrameError> {
        let SliceFindings { place, classification, segmentation, outline, gate, failure } = findings;
        let slice = self.study.frames.slice(*place)?;
        let mask = |s: &Segmentation| s.mask(self.thresholds.mask);
        let (truth, truth_problem) = match self.study.truth(*place, &slice) {
            Ok(truth) => (truth, None),
            Err(error) => (None, Some(error)),
        };
        assembly.slice(SliceAnswer {
            place: *place,
            slice: &slice,
            classification: classification.as_ref(),
            mask: segmentation.as_deref().map(|s| (&s.model, mask(s))),
            truth: outline.as_deref().or(truth.as_ref()),
            gate: gate.as_ref(),
            band: SliceBand::default(),
            explanation: None,
            truth_problem,
            sha256: hashes.of_slice(&self.study, *place),
            load_ms: None,
            segment_ms: segmentation.as_ref().map(|s| s.milliseconds),
            notes: Vec::new(),
        });
        if let Some(why) = failure {
            assembly.failed(*place, Failure::NoAnswer(why.clone()));
        }
        Ok(())
    }
}

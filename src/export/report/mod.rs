//! The report of results (schema 2): what models said of studies and their slices.
//!
//! [`assembly`] makes it, the same for the window and for `predict`. [`TableFormat`] writes it.

pub mod assembly;
mod overlap;
mod table;

pub use table::TableFormat;

use crate::domain::band::SliceBand;
use crate::domain::explanation::Explanation;
use crate::domain::input_gate::{InputGate, Reason};
use crate::domain::mask::Mask;
use crate::domain::measure::{Measurements, VolumeMeasurements};
use crate::domain::prediction::{Classification, ModelRef, Thresholds, Verdict};
use crate::domain::slice::Spacing;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::{MAIN_SEPARATOR, Path};

/// Version of the report's fields. Version 2 counts slices from 1, as the window does; version 1 counted them from 0.
pub const SCHEMA: u32 = 2;

/// A word for machines, such as the name of a plane: the program's own, or one that was read from a report.
pub type Code = Cow<'static, str>;

/// The whole batch.
#[derive(Debug, Serialize, Deserialize)]
pub struct Report {
    pub schema: u32,
    pub app: String,
    pub device: String,
    /// What was opened together, in order.
    pub studies: Vec<StudyReport>,
    pub results: Vec<SliceReport>,
    pub errors: Vec<FileError>,
}

impl Report {
    pub fn new(device: String) -> Self {
        let app = format!("lesionlens {}", env!("CARGO_PKG_VERSION"));
        Self { schema: SCHEMA, app, device, studies: Vec::new(), results: Vec::new(), errors: Vec::new() }
    }

    /// Adds what another report holds behind what is here.
    pub fn append(&mut self, mut other: Report) {
        let before = self.studies.len();
        other.results.iter_mut().for_each(|slice| slice.study += before);
        self.studies.append(&mut other.studies);
        self.results.append(&mut other.results);
        self.errors.append(&mut other.errors);
    }

    /// Names every file from `folder` on, in reasons too. The folder itself becomes `.`.
    pub fn leave_out_folder(&mut self, folder: &Path) {
        let (folder, inside) = (folder.display().to_string(), format!("{}{MAIN_SEPARATOR}", folder.display()));
        let shorten = |text: &mut String| {
            if *text == folder {
                *text = ".".into();
            } else if text.contains(&inside) {
                *text = text.replace(&inside, "");
            }
        };
        for study in &mut self.studies {
            shorten(&mut study.source);
            study.mask_file.iter_mut().chain(&mut study.warnings).for_each(shorten);
        }
        for slice in &mut self.results {
            shorten(&mut slice.file);
            slice.warnings.iter_mut().for_each(shorten);
        }
        for error in &mut self.errors {
            shorten(&mut error.file);
            shorten(&mut error.error);
        }
    }
}

#[derive(Debug, Serialize, Deserialize)]
pub struct FileError {
    pub file: String,
    pub error: String,
}

/// One file, volume or series: what its slices say together. Nothing in it comes from a patient's tags.
#[derive(Debug, Serialize, Deserialize)]
pub struct StudyReport {
    /// The file, or the folder of several.
    pub source: String,
    /// Why its slices are taken for one study.
    pub grouping: Code,
    pub slices: usize,
    /// The plane its slices were cut in for this report, where there is a choice or the source tells.
    pub plane: Option<Code>,
    /// The plane that the networks looked in, where the source tells. In another plane, `results` show what was found in this one.
    pub looked_in: Option<Code>,
    /// Whether the networks looked in another plane than the study's own because that was asked for.
    pub looked_in_on_request: bool,
    /// Number of slices that the classifier answered about, all in the plane it looked in.
    pub looked_at: usize,
    /// Point in time, from 1.
    pub time: usize,
    pub modality: Option<String>,
    pub body_part: Option<String>,
    /// Sequence that the file's own words name, such as `flair` or `t1ce`.
    pub sequence: Option<Code>,
    /// Number of slices that the input gate calls unlike those that the model knows.
    pub unlike_slices: usize,
    /// Number of slices above the threshold, of those looked at.
    pub positive_slices: usize,
    /// Highest answer about the slices looked at; `None` without a classifier.
    pub highest: Option<Highest>,
    /// How classifier and segmenter contradict each other about the whole study.
    pub contradiction: Option<Code>,
    /// Sizes of the mask over all slices that were outlined; `None` without a segmenter.
    pub mask: Option<StudyMask>,
    /// The reference outline; `None` without one.
    pub reference: Option<StudyReference>,
    /// Dice overlap of mask and reference over the slices that have both, 0–1.
    pub dice: Option<f64>,
    /// The file that the mask of the whole study was written to.
    pub mask_file: Option<String>,
    pub warnings: Vec<String>,
}

/// The slice that most looks like a finding.
#[derive(Debug, Serialize, Deserialize)]
pub struct Highest {
    /// Number of the slice, from 1, in the plane that was looked in.
    pub slice: usize,
    pub probability: f64,
}

/// The reference outline of a study.
#[derive(Debug, Serialize, Deserialize)]
pub struct StudyReference {
    /// Slices that have a reference, outlined or empty.
    pub slices: usize,
    pub voxels: usize,
    /// Where distances between slices are known.
    pub volume_ml: Option<f64>,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct StudyMask {
    pub voxels: usize,
    /// Slices with any of it.
    pub slices: usize,
    /// Connected parts in three dimensions.
    pub components: usize,
    /// Where distances between slices are known.
    pub volume_ml: Option<f64>,
    /// Volume of what is outlined in every changed picture, and in any, in ml; where bands were asked for.
    pub volume_ml_range: Option<[f64; 2]>,
    /// Largest area within one slice.
    pub area_mm2: Option<f64>,
    /// Largest within one slice.
    pub diameter_mm: Option<f64>,
    /// The two largest perpendicular diameters within one slice, and their product, as RANO measures them.
    #[serde(default)]
    pub perpendicular_mm: Option<[f64; 2]>,
    #[serde(default)]
    pub product_mm2: Option<f64>,
}

impl From<VolumeMeasurements> for StudyMask {
    fn from(sizes: VolumeMeasurements) -> Self {
        Self {
            voxels: sizes.voxels,
            slices: sizes.slices,
            components: sizes.components,
            volume_ml: sizes.ml,
            volume_ml_range: None,
            area_mm2: sizes.area_mm2,
            diameter_mm: sizes.diameter_mm,
            perpendicular_mm: sizes.perpendicular_mm,
            product_mm2: sizes.perpendicular_mm.map(|[longest, across]| longest * across),
        }
    }
}

/// One slice.
#[derive(Debug, Serialize, Deserialize)]
pub struct SliceReport {
    pub file: String,
    /// Place of its study in `studies`.
    pub study: usize,
    /// Number of the slice within the study, from 1.
    pub slice: usize,
    pub width: usize,
    pub height: usize,
    pub plane: Option<Code>,
    /// Between rows, between columns.
    pub spacing_mm: Option<[f64; 2]>,
    /// Who says so.
    pub spacing_from: Option<Code>,
    /// sha256 of the slice's file, lower-case hex.
    pub sha256: String,
    /// Whether the slice is one that the deciding model knows; `None` where nobody has measured that.
    pub input_gate: Option<GateReport>,
    /// `None` where the answer is withheld, too.
    pub classifier: Option<ClassifierReport>,
    pub segmenter: Option<SegmenterReport>,
    /// What the heat map of the slice shows; where explanations were asked for.
    pub explanation: Option<ExplanationReport>,
    /// Pixels of the reference outline; `None` without one.
    pub reference_pixels: Option<usize>,
    /// Dice overlap of the mask with the reference, 0–1. Where the cascade shows no mask, the mask is empty; where a model failed,
    /// there is none.
    pub dice: Option<f64>,
    /// How classifier and segmenter contradict each other about this slice.
    pub contradiction: Option<Code>,
    pub warnings: Vec<String>,
    pub timings_ms: BTreeMap<Code, f64>,
}

/// What the input gate says of a slice.
#[derive(Debug, Serialize, Deserialize)]
pub struct GateReport {
    /// How unlike the training pictures it is: 0 where it is as likely to be of another kind.
    pub score: f64,
    /// Score from which on it counts as unlike.
    pub threshold: f64,
    /// Whether it is unlike those that the model knows, by its score or for another reason.
    pub unlike: bool,
    pub reasons: Vec<String>,
}

impl GateReport {
    fn new(gate: &InputGate) -> Self {
        Self {
            score: gate.familiarity.score,
            threshold: gate.familiarity.threshold,
            unlike: gate.is_unlike(),
            reasons: gate.reasons.iter().map(Reason::code).collect(),
        }
    }
}

/// What was explained of a slice, and how.
#[derive(Debug, Serialize, Deserialize)]
pub struct ExplanationReport {
    /// `grad-cam` or `occlusion`.
    pub method: Code,
    /// Layer that was looked at, for Grad-CAM.
    pub layer: Option<String>,
    /// Class that the heat speaks for.
    pub class: String,
    /// Whether nothing speaks for it.
    pub empty: bool,
}

impl ExplanationReport {
    fn new(explanation: &Explanation) -> Self {
        Self {
            method: explanation.method.id().into(),
            layer: explanation.layer.clone(),
            class: explanation.class.clone(),
            empty: explanation.is_empty(),
        }
    }
}

#[derive(Debug, Serialize, Deserialize)]
pub struct ClassifierReport {
    pub model: String,
    pub sha256: String,
    pub classes: BTreeMap<String, f64>,
    /// Probability that something was found, whatever it is.
    pub finding: f64,
    /// Lowest and highest probability of the class that decides, over small changes of the picture; where bands were asked for.
    pub probability_range: Option<[f64; 2]>,
    /// Whether the probabilities were calibrated, for pictures of this kind.
    pub calibrated: bool,
    pub threshold: f64,
    pub positive: bool,
    /// The class that reaches the threshold, `negative`, or `undecided` when none of several does.
    pub verdict: String,
    /// `slice`, or `study` in a plane that the networks did not look in: there it is the answer for the highest slice.
    pub verdict_of: Code,
    /// Sequence that the model was given of a colour picture of several.
    pub sequence: Option<Code>,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct SegmenterReport {
    pub model: String,
    pub sha256: String,
    pub mask_threshold: f32,
    pub mask_pixels: usize,
    /// Pixels outlined in every changed picture, and in any; where bands were asked for.
    pub area_range: Option<[usize; 2]>,
    pub components: usize,
    pub area_mm2: Option<f64>,
    /// Largest diameter of the largest component.
    pub diameter_px: f64,
    pub diameter_mm: Option<f64>,
}

impl ClassifierReport {
    fn new(classification: &Classification, thresholds: Thresholds, verdict_of: &'static str, band: SliceBand) -> Self {
        let verdict = classification.verdict(thresholds.classifier);
        Self {
            model: classification.model.id.clone(),
            sha256: classification.model.sha256.clone(),
            classes: classification.classes.iter().cloned().collect(),
            finding: classification.finding(),
            probability_range: band.probability.map(|band| [band.lowest, band.highest]),
            calibrated: classification.is_calibrated(),
            threshold: thresholds.classifier,
            positive: matches!(verdict, Verdict::Positive(_)),
            verdict: match verdict {
                Verdict::Positive(class) | Verdict::Normal(class) => class,
                Verdict::Negative => "negative".into(),
                Verdict::Undecided => "undecided".into(),
            },
            verdict_of: verdict_of.into(),
            sequence: classification.sequence.map(|sequence| sequence.id().into()),
        }
    }
}

impl SegmenterReport {
    /// `mask` is the model's at the mask threshold.
    fn new(model: &ModelRef, mask: &Mask, spacing: Option<Spacing>, thresholds: Thresholds, band: SliceBand) -> Self {
        let sizes = Measurements::of(mask, spacing);
        Self {
            model: model.id.clone(),
            sha256: model.sha256.clone(),
            mask_threshold: thresholds.mask,
            mask_pixels: sizes.pixels,
            area_range: band.area,
            components: sizes.components,
            area_mm2: sizes.area_mm2,
            diameter_px: sizes.diameter_px,
            diameter_mm: sizes.diameter_mm,
        }
    }
}

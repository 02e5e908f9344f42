//! Results of a batch as JSON (schema 1) and CSV.

use super::ExportError;
use crate::domain::mask::Mask;
use crate::domain::measure::{Measurements, VolumeMeasurements};
use crate::domain::prediction::{Classification, Segmentation, Thresholds, Verdict};
use crate::domain::slice::{Slice, Spacing};
use crate::domain::study::{Cut, Place, Study};
use serde::Serialize;
use std::collections::BTreeMap;

/// The whole batch.
#[derive(Debug, Serialize)]
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
        Self { schema: 1, app, device, studies: Vec::new(), results: Vec::new(), errors: Vec::new() }
    }
}

#[derive(Debug, Serialize)]
pub struct FileError {
    pub file: String,
    pub error: String,
}

/// One file, volume or series: what its slices say together. Nothing in it comes from a patient's tags.
#[derive(Debug, Serialize)]
pub struct StudyReport {
    /// The file, or the folder of several.
    pub source: String,
    pub slices: usize,
    /// The plane its slices were cut in, where there is a choice or the source tells.
    pub plane: Option<&'static str>,
    /// Point in time, from 1.
    pub time: usize,
    pub modality: Option<String>,
    pub body_part: Option<String>,
    pub positive_slices: usize,
    /// Of all slices; `None` without a classifier.
    pub highest: Option<Highest>,
    /// Of all slices that were outlined; `None` without a segmenter.
    pub mask: Option<StudyMask>,
    /// The volume that was written.
    pub mask_file: Option<String>,
    pub warnings: Vec<String>,
}

/// The slice that most looks like a finding.
#[derive(Debug, Serialize)]
pub struct Highest {
    pub slice: usize,
    pub probability: f64,
}

#[derive(Debug, Serialize)]
pub struct StudyMask {
    pub voxels: usize,
    /// Slices with any of it.
    pub slices: usize,
    /// Connected parts in three dimensions.
    pub components: usize,
    /// Where distances between slices are known.
    pub volume_ml: Option<f64>,
    /// Largest within one slice.
    pub diameter_mm: Option<f64>,
}

impl StudyReport {
    pub fn new(
        study: &Study,
        cut: Cut,
        slices: &[SliceReport],
        sizes: Option<VolumeMeasurements>,
        mask_file: Option<String>,
        warnings: Vec<String>,
    ) -> Self {
        let said = slices.iter().filter_map(|s| Some((s.slice, s.classifier.as_ref()?)));
        let highest = said.clone().map(|(slice, c)| Highest { slice, probability: c.finding });
        Self {
            source: study.source.display().to_string(),
            slices: slices.len(),
            plane: slices.first().and_then(|s| s.plane),
            time: cut.time + 1,
            modality: study.subject.modality.clone(),
            body_part: study.subject.body_part.clone(),
            positive_slices: said.filter(|(_, c)| c.positive).count(),
            highest: highest.reduce(|best, next| if next.probability > best.probability { next } else { best }),
            mask: sizes.map(|s| StudyMask {
                voxels: s.voxels,
                slices: s.slices,
                components: s.components,
                volume_ml: s.ml,
                diameter_mm: s.diameter_mm,
            }),
            mask_file,
            warnings,
        }
    }
}

/// One slice.
#[derive(Debug, Serialize)]
pub struct SliceReport {
    pub file: String,
    /// Place of its study in `studies`.
    pub study: usize,
    /// Within the study, from 0.
    pub slice: usize,
    pub width: usize,
    pub height: usize,
    pub plane: Option<&'static str>,
    /// Between rows, between columns.
    pub spacing_mm: Option<[f64; 2]>,
    /// Who says so.
    pub spacing_from: Option<&'static str>,
    /// Of the file.
    pub sha256: String,
    pub classifier: Option<ClassifierReport>,
    pub segmenter: Option<SegmenterReport>,
    pub warnings: Vec<String>,
    pub timings_ms: BTreeMap<&'static str, f64>,
}

#[derive(Debug, Serialize)]
pub struct ClassifierReport {
    pub model: String,
    pub sha256: String,
    pub classes: BTreeMap<String, f64>,
    /// Probability that something was found, whatever it is.
    pub finding: f64,
    pub threshold: f64,
    pub positive: bool,
    /// The class that reaches the threshold, `negative`, or `undecided` when none of several does.
    pub verdict: String,
}

#[derive(Debug, Serialize)]
pub struct SegmenterReport {
    pub model: String,
    pub sha256: String,
    pub mask_threshold: f32,
    pub mask_pixels: usize,
    pub components: usize,
    pub area_mm2: Option<f64>,
}

/// A slice with what the models said of it.
pub struct Answered<'a> {
    pub place: Place,
    pub slice: &'a Slice,
    /// The file's, or the reader's.
    pub spacing: Option<Spacing>,
    pub classification: Option<&'a Classification>,
    /// With its mask at the mask threshold.
    pub segmentation: Option<(&'a Segmentation, &'a Mask)>,
    /// Reading and decoding, where it was timed.
    pub load_ms: Option<f64>,
}

impl SliceReport {
    /// `number` is the study's place in the report. The file's hash is left to be filled in.
    pub fn new(
        study: &Study,
        number: usize,
        answered: &Answered,
        thresholds: Thresholds,
        warnings: Vec<String>,
    ) -> Self {
        let Answered { place, slice, spacing, classification, segmentation, load_ms } = answered;
        let times = [
            ("load", *load_ms),
            ("classify", classification.map(|c| c.milliseconds)),
            ("segment", segmentation.map(|(s, _)| s.milliseconds)),
        ];
        let rounded = |ms: f64| (ms * 1e3).round() / 1e3;
        Self {
            file: study.file(*place).display().to_string(),
            study: number,
            slice: place.index,
            width: slice.width(),
            height: slice.height(),
            plane: slice.orientation.map(|o| o.plane().id()),
            spacing_mm: spacing.map(|s| [s.row_mm, s.column_mm]),
            spacing_from: spacing.map(|s| s.source.id()),
            sha256: String::new(),
            classifier: classification.map(|c| ClassifierReport::new(c, thresholds)),
            segmenter: segmentation.map(|(s, mask)| SegmenterReport::new(s, mask, *spacing, thresholds)),
            warnings,
            timings_ms: times.into_iter().filter_map(|(name, ms)| Some((name, rounded(ms?)))).collect(),
        }
    }
}

impl ClassifierReport {
    fn new(classification: &Classification, thresholds: Thresholds) -> Self {
        let verdict = classification.verdict(thresholds.classifier);
        Self {
            model: classification.model.id.clone(),
            sha256: classification.model.sha256.clone(),
            classes: classification.classes.iter().cloned().collect(),
            finding: classification.finding(),
            threshold: thresholds.classifier,
            positive: matches!(verdict, Verdict::Positive(_)),
            verdict: match verdict {
                Verdict::Positive(class) | Verdict::Normal(class) => class,
                Verdict::Negative => "negative".into(),
                Verdict::Undecided => "undecided".into(),
            },
        }
    }
}

impl SegmenterReport {
    /// `mask` is the segmentation's at the mask threshold.
    pub fn new(segmentation: &Segmentation, mask: &Mask, spacing: Option<Spacing>, thresholds: Thresholds) -> Self {
        let sizes = Measurements::of(mask, spacing);
        Self {
            model: segmentation.model.id.clone(),
            sha256: segmentation.model.sha256.clone(),
            mask_threshold: thresholds.mask,
            mask_pixels: sizes.pixels,
            components: sizes.components,
            area_mm2: sizes.area_mm2,
        }
    }
}

/// The whole report, with a line feed at its end.
pub fn json(report: &Report) -> Result<Vec<u8>, ExportError> {
    let mut text = serde_json::to_vec_pretty(report).map_err(|e| ExportError::Table(e.to_string()))?;
    text.push(b'\n');
    Ok(text)
}

/// A row a slice; empty cells where a model was not asked.
pub fn csv(report: &Report) -> Result<Vec<u8>, ExportError> {
    let failed = |e: &dyn std::fmt::Display| ExportError::Table(e.to_string());
    let mut writer = csv::Writer::from_writer(Vec::new());
    let header = [
        "file",
        "slice",
        "width",
        "height",
        "classifier",
        "class",
        "probability",
        "threshold",
        "positive",
        "segmenter",
        "mask_threshold",
        "mask_pixels",
        "components",
        "area_mm2",
        "warnings",
        "study",
        "plane",
        "sha256",
        "classifier_sha256",
        "segmenter_sha256",
        "app",
    ];
    writer.write_record(header).map_err(|e| failed(&e))?;
    let text = |v: Option<String>| v.unwrap_or_default();
    for r in &report.results {
        let (c, s) = (r.classifier.as_ref(), r.segmenter.as_ref());
        let top = c.and_then(|c| c.classes.iter().max_by(|a, b| a.1.total_cmp(b.1)));
        let row = [
            r.file.clone(),
            r.slice.to_string(),
            r.width.to_string(),
            r.height.to_string(),
            text(c.map(|c| c.model.clone())),
            text(top.map(|(class, _)| class.clone())),
            text(top.map(|(_, p)| format!("{p:.6}"))),
            text(c.map(|c| c.threshold.to_string())),
            text(c.map(|c| c.positive.to_string())),
            text(s.map(|s| s.model.clone())),
            text(s.map(|s| s.mask_threshold.to_string())),
            text(s.map(|s| s.mask_pixels.to_string())),
            text(s.map(|s| s.components.to_string())),
            text(s.and_then(|s| s.area_mm2).map(|a| format!("{a:.2}"))),
            r.warnings.join("; "),
            r.study.to_string(),
            r.plane.unwrap_or_default().to_string(),
            r.sha256.clone(),
            text(c.map(|c| c.sha256.clone())),
            text(s.map(|s| s.sha256.clone())),
            report.app.clone(),
        ];
        writer.write_record(row).map_err(|e| failed(&e))?;
    }
    writer.into_inner().map_err(|e| failed(&e))
}

//! Results of a batch as JSON (schema 1) and CSV.

use super::ExportError;
use crate::domain::measure::Measurements;
use crate::domain::prediction::{Classification, Segmentation, Thresholds, Verdict};
use crate::domain::slice::Slice;
use serde::Serialize;
use std::collections::BTreeMap;

/// The whole batch.
#[derive(Debug, Serialize)]
pub struct Report {
    pub schema: u32,
    pub app: String,
    pub device: String,
    pub results: Vec<SliceReport>,
    pub errors: Vec<FileError>,
}

impl Report {
    pub fn new(device: String) -> Self {
        let app = format!("lesionlens {}", env!("CARGO_PKG_VERSION"));
        Self { schema: 1, app, device, results: Vec::new(), errors: Vec::new() }
    }
}

#[derive(Debug, Serialize)]
pub struct FileError {
    pub file: String,
    pub error: String,
}

/// One slice of one file.
#[derive(Debug, Serialize)]
pub struct SliceReport {
    pub file: String,
    pub slice: usize,
    pub width: usize,
    pub height: usize,
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

impl ClassifierReport {
    pub fn new(classification: &Classification, thresholds: Thresholds) -> Self {
        let verdict = classification.verdict(thresholds.classifier);
        Self {
            model: classification.model.id.clone(),
            sha256: classification.model.sha256.clone(),
            classes: classification.classes.iter().cloned().collect(),
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
    pub fn new(segmentation: &Segmentation, slice: &Slice, thresholds: Thresholds) -> Self {
        let sizes = Measurements::of(&segmentation.mask(thresholds.mask), slice.spacing);
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
        ];
        writer.write_record(row).map_err(|e| failed(&e))?;
    }
    writer.into_inner().map_err(|e| failed(&e))
}

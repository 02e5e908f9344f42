//! The report as a file: JSON or CSV.

use super::Report;
use crate::export::ExportError;

/// Format of a written report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TableFormat {
    /// A row for each slice.
    Csv,
    /// Studies, slices and errors ([`super::SCHEMA`]).
    Json,
}

impl TableFormat {
    /// Name in machine-readable places, and ending of the file.
    pub fn id(self) -> &'static str {
        match self {
            TableFormat::Csv => "csv",
            TableFormat::Json => "json",
        }
    }

    /// Text of the report in this format.
    ///
    /// # Errors
    /// [`ExportError::Table`] if the report cannot be encoded.
    pub fn bytes(self, report: &Report) -> Result<Vec<u8>, ExportError> {
        match self {
            TableFormat::Csv => csv(report),
            TableFormat::Json => json(report),
        }
    }
}

/// The whole report, with a line feed at its end.
fn json(report: &Report) -> Result<Vec<u8>, ExportError> {
    let mut text = serde_json::to_vec_pretty(report).map_err(|e| ExportError::Table(e.to_string()))?;
    text.push(b'\n');
    Ok(text)
}

/// UTF-8's mark, by which spreadsheets know that accents are written in it.
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// A text that no spreadsheet takes for a formula: an apostrophe goes before a sign that begins one.
fn plain(text: &str) -> String {
    match text.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        true => format!("'{text}"),
        false => text.to_string(),
    }
}

/// A row for each slice; cells are empty where a model was not asked.
fn csv(report: &Report) -> Result<Vec<u8>, ExportError> {
    let failed = |e: &dyn std::fmt::Display| ExportError::Table(e.to_string());
    let mut writer = csv::Writer::from_writer(BYTE_ORDER_MARK.to_vec());
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
        "verdict_of",
        "contradiction",
        "diameter_mm",
        "diameter_px",
        "reference_pixels",
        "dice",
        "gate_score",
        "gate_unlike",
    ];
    writer.write_record(header).map_err(|e| failed(&e))?;
    let text = |v: Option<String>| v.unwrap_or_default();
    for r in &report.results {
        let (c, s) = (r.classifier.as_ref(), r.segmenter.as_ref());
        let top = c.and_then(|c| c.classes.iter().max_by(|a, b| a.1.total_cmp(b.1)));
        let row = [
            plain(&r.file),
            r.slice.to_string(),
            r.width.to_string(),
            r.height.to_string(),
            text(c.map(|c| plain(&c.model))),
            text(top.map(|(class, _)| plain(class))),
            text(top.map(|(_, p)| format!("{p:.6}"))),
            text(c.map(|c| c.threshold.to_string())),
            text(c.map(|c| c.positive.to_string())),
            text(s.map(|s| plain(&s.model))),
            text(s.map(|s| s.mask_threshold.to_string())),
            text(s.map(|s| s.mask_pixels.to_string())),
            text(s.map(|s| s.components.to_string())),
            text(s.and_then(|s| s.area_mm2).map(|a| format!("{a:.2}"))),
            plain(&r.warnings.join("; ")),
            r.study.to_string(),
            r.plane.as_deref().unwrap_or_default().to_string(),
            r.sha256.clone(),
            text(c.map(|c| c.sha256.clone())),
            text(s.map(|s| s.sha256.clone())),
            report.app.clone(),
            text(c.map(|c| c.verdict_of.to_string())),
            r.contradiction.as_deref().unwrap_or_default().to_string(),
            text(s.and_then(|s| s.diameter_mm).map(|mm| format!("{mm:.2}"))),
            text(s.map(|s| format!("{:.2}", s.diameter_px))),
            text(r.reference_pixels.map(|pixels| pixels.to_string())),
            text(r.dice.map(|dice| format!("{dice:.4}"))),
            text(r.input_gate.as_ref().map(|gate| format!("{:.4}", gate.score))),
            text(r.input_gate.as_ref().map(|gate| gate.unlike.to_string())),
        ];
        writer.write_record(row).map_err(|e| failed(&e))?;
    }
    writer.into_inner().map_err(|e| failed(&e))
}

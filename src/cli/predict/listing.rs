//! Results as lines of text, for people at a terminal.

use crate::export::report::{Report, SliceReport, StudyReport};
use std::io::Write;

/// Prints a line for each slice and a summary of each study of several slices.
pub fn print(report: &Report) {
    let mut out = std::io::stdout().lock();
    let mut lines: Vec<String> = Vec::new();
    for (number, study) in report.studies.iter().enumerate() {
        for r in report.results.iter().filter(|r| r.study == number) {
            let place = if study.slices > 1 { format!("{} slice {}", r.file, r.slice) } else { r.file.clone() };
            lines.push(format!("{place}: {}", answers(r)));
        }
        if study.slices > 1 {
            lines.push(summary(study));
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

fn summary(study: &StudyReport) -> String {
    let mut parts = vec![format!("{}: {} slices", study.source, study.slices)];
    if let Some(highest) = &study.highest {
        // Counted in the plane that was looked in, which need not be the one that is listed.
        let looked_in = study.looked_in.as_ref().filter(|_| study.looked_in != study.plane);
        let plane = looked_in.map(|plane| format!("{plane} ")).unwrap_or_default();
        parts.push(format!(
            "{} of {} {plane}slices above the threshold, highest {:.1} % in slice {}",
            study.positive_slices,
            study.looked_at,
            highest.probability * 100.0,
            highest.slice
        ));
    }
    if let Some(mask) = &study.mask {
        let volume = mask.volume_ml.map_or(format!("{} voxels", mask.voxels), |ml| format!("{ml:.1} ml"));
        parts.push(format!("mask {volume} in {} slices, {} parts", mask.slices, mask.components));
    }
    if study.contradiction.is_some() {
        parts.push("classifier and segmenter contradict each other".into());
    }
    parts.join("; ")
}

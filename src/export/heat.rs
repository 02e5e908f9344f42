//! Pictures of explanations: what speaks for a class, as heat over the scan.

use super::annotated_png::{self, Annotated, Magnification, Paper};
use super::{ExportError, png};
use crate::domain::explanation::{Explanation, Method, colour, paint};
use crate::domain::overlay;
use crate::domain::prediction::percent;
use crate::domain::slice::Slice;

/// Opacity of the place that speaks most.
const OPACITY: f32 = 0.75;
/// Height of the colour bar in pixels, and of the gap above it.
const BAR: usize = 12;
const GAP: usize = 6;

/// The slice under its default window with the heat over it, above a bar of the colours and a legend.
///
/// # Errors
/// If the picture is too large, or cannot be encoded.
pub fn over_scan(slice: &Slice, explanation: &Explanation) -> Result<Vec<u8>, ExportError> {
    let width = slice.width();
    let grey: Vec<u8> = slice.grey().into_iter().map(|v| v.round() as u8).collect();
    let mut rgb = overlay::composite(&grey, Some(&paint(&explanation.map(), OPACITY)));
    rgb.extend(std::iter::repeat_n([0; 3], GAP * width));
    for _ in 0..BAR {
        rgb.extend((0..width).map(|x| colour(x as f32 / (width - 1).max(1) as f32)));
    }
    annotated_png::bytes(&Annotated {
        width,
        height: slice.height() + GAP + BAR,
        rgb: &rgb,
        magnification: if width.max(slice.height()) > 1024 { Magnification::X1 } else { Magnification::X2 },
        is_smooth: false,
        paper: Paper::Dark,
        labels: &[],
        marks: &[],
        lines: &legend(explanation),
    })
}

/// The heat alone, transparent where nothing speaks for the class, at the slice's own size.
///
/// # Errors
/// If the picture cannot be encoded.
pub fn alone(explanation: &Explanation) -> Result<Vec<u8>, ExportError> {
    png::rgba(explanation.width, explanation.height, &paint(&explanation.map(), 1.0))
}

fn legend(explanation: &Explanation) -> Vec<String> {
    let Explanation { class, probability, model, .. } = explanation;
    let bar = match explanation.is_empty() {
        true => "Nothing in this slice speaks for it".to_string(),
        false => "Bar: from no evidence (left) to the most within this slice (right)".to_string(),
    };
    let how = match (explanation.method, &explanation.layer) {
        (Method::GradCam, Some(layer)) => format!("Grad-CAM at layer {layer}"),
        (Method::GradCam, None) => "Grad-CAM".into(),
        (Method::Occlusion, _) => "Occlusion: how much the answer falls when a place is covered".into(),
    };
    vec![
        format!("What speaks for {class} ({})", percent(*probability)),
        bar,
        how,
        format!("{} {}", model.id, model.short_hash()),
        format!("LesionLens {}   Research aid, not a medical device", env!("CARGO_PKG_VERSION")),
    ]
}

//! Sizes of a mask, in millimetres only where the spacing is known.

use super::mask::Mask;
use super::slice::Spacing;

/// What is said of a mask.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Measurements {
    /// Pixels inside the mask.
    pub pixels: usize,
    pub components: usize,
    /// Largest diameter of the largest component, in pixels.
    pub diameter_px: f64,
    pub area_mm2: Option<f64>,
    pub diameter_mm: Option<f64>,
}

impl Measurements {
    pub fn of(mask: &Mask, spacing: Option<Spacing>) -> Self {
        let parts = mask.components();
        let pixels = parts.iter().map(|part| part.pixels).sum();
        let largest = |pixel: (f64, f64)| parts.first().map_or(0.0, |part| part.diameter(pixel));
        Self {
            pixels,
            components: parts.len(),
            diameter_px: largest((1.0, 1.0)),
            area_mm2: spacing.map(|s| pixels as f64 * s.row_mm * s.column_mm),
            diameter_mm: spacing.map(|s| largest((s.column_mm, s.row_mm))),
        }
    }
}

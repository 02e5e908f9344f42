//! What models said of a slice.

use super::mask::Mask;
use super::resample::Placement;

/// Which weights spoke.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelRef {
    pub id: String,
    /// sha256 of the weights, lower-case hex.
    pub sha256: String,
}

impl ModelRef {
    /// First 12 hex digits, for people.
    pub fn short_hash(&self) -> &str {
        self.sha256.get(..12).unwrap_or(&self.sha256)
    }
}

/// Probability of every class; they sum to 1.
#[derive(Debug, Clone, PartialEq)]
pub struct Classification {
    pub model: ModelRef,
    /// The class of interest first, as the card orders them.
    pub classes: Vec<(String, f64)>,
    /// Whether the card says the probabilities were calibrated.
    pub calibrated: bool,
    /// Time in the network.
    pub milliseconds: f64,
}

/// A classifier's answer at a threshold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The class of interest reaches the threshold.
    Positive(String),
    Negative,
}

impl Classification {
    /// Probability of the class of interest, the first.
    pub fn probability(&self) -> f64 {
        self.classes.first().map_or(0.0, |(_, p)| *p)
    }

    pub fn verdict(&self, threshold: f64) -> Verdict {
        match self.classes.first() {
            Some((class, p)) if *p >= threshold => Verdict::Positive(class.clone()),
            _ => Verdict::Negative,
        }
    }
}

/// A tumour probability per pixel, kept on the network's square; sizes of the picture it belongs to beside it.
#[derive(Debug, Clone, PartialEq)]
pub struct Segmentation {
    pub model: ModelRef,
    /// side² values in 0–1, row by row.
    pub square: Vec<f32>,
    pub placement: Placement,
    /// Size of the picture in pixels.
    pub width: usize,
    pub height: usize,
    /// Time in the network.
    pub milliseconds: f64,
}

impl Segmentation {
    /// Probability at one pixel of the picture, interpolated as [`Self::probability_map`] does when enlarging.
    pub fn probability_at(&self, x: usize, y: usize) -> Option<f32> {
        if x >= self.width || y >= self.height {
            return None;
        }
        let place = &self.placement;
        let on_square = |at: usize, size: usize, start: usize, span: usize| {
            let position = (at as f32 + 0.5) * span as f32 / size as f32 - 0.5;
            let low = position.floor().max(0.0);
            let cell = |p: f32| start + (p as usize).min(span - 1);
            (cell(low), cell(low + 1.0), (position - low).clamp(0.0, 1.0))
        };
        let (left, right, across) = on_square(x, self.width, place.left, place.width);
        let (top, bottom, down) = on_square(y, self.height, place.top, place.height);
        let at = |x: usize, y: usize| self.square.get(y * place.side + x).copied();
        let mix = |a: f32, b: f32, t: f32| a + (b - a) * t;
        let upper = mix(at(left, top)?, at(right, top)?, across);
        Some(mix(upper, mix(at(left, bottom)?, at(right, bottom)?, across), down))
    }

    /// The map at the picture's own size.
    pub fn probability_map(&self) -> Vec<f32> {
        self.placement.take_back(&self.square, self.width, self.height)
    }

    /// The mask at the picture's own size.
    pub fn mask(&self, threshold: f32) -> Mask {
        let map = self.probability_map();
        Mask::from_probability(&map, self.width, self.height, threshold)
            .unwrap_or_else(|| Mask::empty(self.width, self.height))
    }
}

/// What the reader chose: where the classifier's and the mask's probabilities become a yes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Thresholds {
    /// In 0–1; the window keeps it in 0.01–0.99.
    pub classifier: f64,
    /// In 0–1, of a pixel.
    pub mask: f32,
}

/// Whether the cascade shows a mask: no classifier was asked, or it says yes.
pub fn gate_is_open(classification: Option<&Classification>, threshold: f64) -> bool {
    classification.is_none_or(|c| c.verdict(threshold) != Verdict::Negative)
}

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
    pub square: Vec<f32>,
    pub placement: Placement,
    pub width: usize,
    pub height: usize,
    /// Time in the network.
    pub milliseconds: f64,
}

impl Segmentation {
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
    pub classifier: f64,
    pub mask: f32,
}

/// Both answers for a slice as they stand at given thresholds.
#[derive(Debug, Clone, Default)]
pub struct Findings {
    pub classification: Option<Classification>,
    pub segmentation: Option<Segmentation>,
}

impl Findings {
    /// Whether the cascade shows a mask: no classifier, or one that says yes.
    pub fn gate_is_open(&self, threshold: f64) -> bool {
        self.classification.as_ref().is_none_or(|c| c.verdict(threshold) != Verdict::Negative)
    }
}

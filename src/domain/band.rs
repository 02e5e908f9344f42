//! How far a model's answer moves when the picture is changed a little: mirrored, shifted, scaled, brightened.

use super::mask::Mask;
use super::prediction::{Classification, ModelRef};
use super::resample::Placement;

/// Lowest and highest probability, in 0–1, that a classifier gave to the class that decides.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ProbabilityBand {
    pub lowest: f64,
    pub highest: f64,
}

impl ProbabilityBand {
    /// The band of the class that decides in `answer`, over this answer and those for the changed pictures.
    pub fn of(answer: &Classification, changed: &[Classification]) -> Self {
        let class = answer.deciding();
        let own = answer.probability();
        let others = changed.iter().filter_map(|c| c.classes.get(class)).map(|(_, p)| *p);
        let (lowest, highest) = others.fold((own, own), |(low, high), p| (low.min(p), high.max(p)));
        Self { lowest, highest }
    }

    /// Distance between the two, in 0–1.
    pub fn width(self) -> f64 {
        self.highest - self.lowest
    }
}

/// Lowest and highest probability that a segmenter gave to each pixel, on the network's square.
#[derive(Debug, Clone, PartialEq)]
pub struct OutlineBand {
    pub model: ModelRef,
    /// side² values in 0–1, row by row.
    pub lowest: Vec<f32>,
    /// side² values in 0–1, row by row.
    pub highest: Vec<f32>,
    pub placement: Placement,
    /// Size of the picture in pixels.
    pub width: usize,
    pub height: usize,
}

impl OutlineBand {
    /// Pixels that are outlined in every changed picture, at the picture's own size.
    pub fn inner(&self, threshold: f32) -> Mask {
        self.mask(&self.lowest, threshold)
    }

    /// Pixels that are outlined in any changed picture, at the picture's own size.
    pub fn outer(&self, threshold: f32) -> Mask {
        self.mask(&self.highest, threshold)
    }

    fn mask(&self, square: &[f32], threshold: f32) -> Mask {
        let map = self.placement.take_back(square, self.width, self.height);
        Mask::from_probability(&map, self.width, self.height, threshold)
            .unwrap_or_else(|| Mask::empty(self.width, self.height))
    }
}

/// What the bands of one slice come to.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct SliceBand {
    pub probability: Option<ProbabilityBand>,
    /// Pixels of the inner and of the outer outline at the mask threshold.
    pub area: Option<[usize; 2]>,
}

#[cfg(test)]
mod tests {
    use super::super::card::Resize;
    use super::*;

    #[test]
    fn a_band_holds_the_answer_and_all_others() {
        let band =
            ProbabilityBand::of(&Classification::of_tumour(0.6), &[0.7, 0.4, 0.5].map(Classification::of_tumour));
        assert_eq!((band.lowest, band.highest), (0.4, 0.7));
        assert!((band.width() - 0.3).abs() < 1e-12);
        let alone = ProbabilityBand::of(&Classification::of_tumour(0.6), &[]);
        assert_eq!((alone.lowest, alone.highest, alone.width()), (0.6, 0.6, 0.0));
    }

    #[test]
    fn the_inner_outline_lies_in_the_outer_one() {
        let band = OutlineBand {
            model: ModelRef { id: "m".into(), sha256: String::new() },
            lowest: vec![0.9, 0.2, 0.1, 0.0],
            highest: vec![1.0, 0.8, 0.4, 0.0],
            placement: Placement::new((2.0, 2.0), 2, Resize::Fit),
            width: 2,
            height: 2,
        };
        assert_eq!((band.inner(0.5).area(), band.outer(0.5).area()), (1, 2));
    }
}

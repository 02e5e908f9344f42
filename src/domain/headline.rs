//! What the slices of a study say together.

use super::mask::Mask;
use super::prediction::{Classification, Verdict};

/// Share of a picture's pixels from which on a mask is of some size: 65 pixels of 256².
const SOME: f64 = 0.001;

/// A classifier's answers for the slices of a study.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Headline {
    /// Number of slices with an answer.
    pub answered: usize,
    /// Number of slices whose class of interest reaches the threshold.
    pub positive: usize,
    /// Index, from 0, of the slice with the highest probability of a finding, and that probability.
    pub highest: Option<(usize, f64)>,
}

impl Headline {
    /// From answers by slice index.
    pub fn of<'a>(answers: impl IntoIterator<Item = (usize, &'a Classification)>, threshold: f64) -> Self {
        let mut headline = Self::default();
        answers.into_iter().for_each(|(index, answer)| headline.add(index, answer, threshold));
        headline
    }

    /// Counts the answer about slice `index`.
    pub fn add(&mut self, index: usize, answer: &Classification, threshold: f64) {
        self.answered += 1;
        self.positive += usize::from(matches!(answer.verdict(threshold), Verdict::Positive(_)));
        let finding = answer.finding();
        if self.highest.is_none_or(|(_, highest)| finding > highest) {
            self.highest = Some((index, finding));
        }
    }
}

/// A way in which classifier and segmenter contradict each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Contradiction {
    /// The classifier is above its threshold, and the segmenter outlined nothing.
    NothingOutlined,
    /// The segmenter outlined something, and the classifier is below its threshold.
    OutlinedBelowThreshold,
}

impl Contradiction {
    pub const ALL: [Contradiction; 2] = [Contradiction::NothingOutlined, Contradiction::OutlinedBelowThreshold];

    /// Name in results and locales.
    pub fn id(self) -> &'static str {
        match self {
            Contradiction::NothingOutlined => "nothing-outlined",
            Contradiction::OutlinedBelowThreshold => "outlined-below-threshold",
        }
    }

    /// Contradiction about one slice. `share` is the share of the picture that the segmenter's mask covers, 0–1.
    pub fn of(verdict: &Verdict, share: f64) -> Option<Self> {
        match verdict {
            Verdict::Positive(_) if share <= 0.0 => Some(Contradiction::NothingOutlined),
            Verdict::Negative | Verdict::Normal(_) if share >= SOME => Some(Contradiction::OutlinedBelowThreshold),
            _ => None,
        }
    }

    /// Contradiction about a study, from its number of positive slices and the masks of all slices that were outlined. A mask that is empty on some
    /// positive slices only is no contradiction: the edges of a lesion are faint.
    pub fn of_study<'a>(positive: usize, masks: impl IntoIterator<Item = &'a Mask>) -> Option<Self> {
        let largest = masks.into_iter().map(share).fold(0.0, f64::max);
        match positive {
            0 if largest >= SOME => Some(Contradiction::OutlinedBelowThreshold),
            1.. if largest <= 0.0 => Some(Contradiction::NothingOutlined),
            _ => None,
        }
    }
}

/// Share of a picture that its mask covers, 0–1.
pub fn share(mask: &Mask) -> f64 {
    mask.area() as f64 / mask.pixels().len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_headline_counts_and_names_the_highest() {
        let answers = [0.2, 0.6, 0.9, 0.5].map(Classification::of_tumour);
        let headline = Headline::of(answers.iter().enumerate(), 0.55);
        assert_eq!(headline, Headline { answered: 4, positive: 2, highest: Some((2, 0.9)) });
        assert_eq!(Headline::of([], 0.5), Headline::default());
    }

    #[test]
    fn contradictions_are_an_empty_mask_and_a_mask_below_the_threshold() {
        let (yes, no) = (Classification::of_tumour(0.9).verdict(0.5), Classification::of_tumour(0.1).verdict(0.5));
        assert_eq!(Contradiction::of(&yes, 0.0), Some(Contradiction::NothingOutlined));
        assert_eq!(Contradiction::of(&no, 0.01), Some(Contradiction::OutlinedBelowThreshold));
        assert_eq!((Contradiction::of(&yes, 0.01), Contradiction::of(&no, 0.0005)), (None, None));
        let (empty, full) = (Mask::empty(4, 4), Mask::drawn(&["####", "####", "....", "...."]));
        assert_eq!(Contradiction::of_study(2, [&empty, &empty]), Some(Contradiction::NothingOutlined));
        assert_eq!(Contradiction::of_study(0, [&empty, &full]), Some(Contradiction::OutlinedBelowThreshold));
        assert_eq!((Contradiction::of_study(1, [&empty, &full]), Contradiction::of_study(0, [&empty])), (None, None));
    }
}

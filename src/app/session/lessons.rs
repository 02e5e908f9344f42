//! Which studies would teach most when their outlines are corrected.

use super::Session;
use crate::app::entry::Entry;
use crate::domain::study::Place;

/// Share of a picture that an outline covers, from which it counts as one.
const OUTLINED: f64 = 1e-4;

impl Session {
    /// How much there is to learn from a study, 0–1: that of its slice where the models are least sure of themselves. A slice counts
    /// for how near its probability is to the threshold, and for a classifier and a segmenter that contradict each other.
    pub fn lesson(&self, entry: &Entry) -> f64 {
        entry.places().filter_map(|place| self.lesson_of_slice(entry, place)).fold(0.0, f64::max)
    }

    fn lesson_of_slice(&self, entry: &Entry, place: Place) -> Option<f64> {
        let threshold = self.thresholds.classifier;
        let answer = self.classification_at(entry, place)?;
        let distance = (answer.finding() - threshold).abs() / threshold.max(1.0 - threshold);
        let outlined = self.segmentation_at(entry, place).map(|map| map.share(self.thresholds.mask) >= OUTLINED);
        let disagrees = outlined.is_some_and(|outlined| outlined != self.is_positive(entry, place));
        Some((1.0 - distance).clamp(0.0, 1.0) / 2.0 + if disagrees { 0.5 } else { 0.0 })
    }
}

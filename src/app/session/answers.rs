//! What the models in use said, and what is shown of it.

use super::Session;
use crate::app::entry::{Entry, Findings};
use crate::domain::cascade::Gate;
use crate::domain::headline::{Contradiction, Headline};
use crate::domain::input_gate::InputGate;
use crate::domain::prediction::{Classification, Segmentation, Verdict};
use crate::domain::study::Place;
use crate::engine::Question;
use std::sync::Arc;

impl Session {
    /// What the classifier said of the slice on show; nothing when it is of another plane than the one that was asked about.
    pub fn classification<'a>(&self, entry: &'a Entry) -> Option<&'a Classification> {
        self.classification_at(entry, asked_place(entry)?)
    }

    pub fn classification_at<'a>(&self, entry: &'a Entry, place: Place) -> Option<&'a Classification> {
        let answer = entry.classification(place, self.models.classifier.as_ref()?);
        answer.filter(|_| !self.is_withheld(entry, place))
    }

    /// The mask's probabilities, whether or not the classifier lets them be shown.
    pub fn segmentation<'a>(&self, entry: &'a Entry) -> Option<&'a Arc<Segmentation>> {
        self.segmentation_at(entry, asked_place(entry)?)
    }

    pub fn segmentation_at<'a>(&self, entry: &'a Entry, place: Place) -> Option<&'a Arc<Segmentation>> {
        let answer = entry.findings(place)?.segmentation(self.models.segmenter.as_ref()?);
        answer.filter(|_| !self.is_withheld(entry, place))
    }

    /// What the input gate says of a slice: the classifier's, else the segmenter's; `None` where nobody has measured it.
    pub fn input_gate_at<'a>(&self, entry: &'a Entry, place: Place) -> Option<&'a InputGate> {
        let findings = entry.findings(place)?;
        let classification = self.models.classifier.as_ref().and_then(|model| findings.classification(model));
        let segmentation = || findings.segmentation(self.models.segmenter.as_ref()?)?.gate.as_ref();
        classification.and_then(|c| c.gate.as_ref()).or_else(segmentation)
    }

    /// What the input gate says of the slice on show.
    pub fn input_gate<'a>(&self, entry: &'a Entry) -> Option<&'a InputGate> {
        self.input_gate_at(entry, asked_place(entry)?)
    }

    /// Whether answers about a slice are withheld, because it is unlike those that the models know.
    pub fn is_withheld(&self, entry: &Entry, place: Place) -> bool {
        !entry.shows_unlike && self.input_gate_at(entry, place).is_some_and(InputGate::is_unlike)
    }

    /// Number of slices unlike those that the models know.
    pub fn unlike(&self, entry: &Entry) -> usize {
        let is_unlike = |place: &Place| self.input_gate_at(entry, *place).is_some_and(InputGate::is_unlike);
        entry.places().filter(is_unlike).count()
    }

    /// Whether a slice's class of interest reaches the threshold.
    pub fn is_positive(&self, entry: &Entry, place: Place) -> bool {
        let said = self.classification_at(entry, place);
        said.is_some_and(|c| matches!(c.verdict(self.thresholds.classifier), Verdict::Positive(_)))
    }

    /// What the cascade decides for the slice on show; nothing yet when it is of a plane that was not asked about.
    pub fn gate(&self, entry: &Entry) -> Gate {
        asked_place(entry).map_or(Gate::Waiting, |place| self.gate_at(entry, place))
    }

    /// What the cascade decides for a slice.
    pub fn gate_at(&self, entry: &Entry, place: Place) -> Gate {
        let answer = self.classification_at(entry, place);
        Gate::new(self.models.classifier.is_some(), answer, self.thresholds.classifier)
    }

    /// The mask's probabilities when the cascade lets them be shown.
    pub fn shown_segmentation<'a>(&self, entry: &'a Entry) -> Option<&'a Arc<Segmentation>> {
        self.segmentation(entry).filter(|_| self.gate(entry).is_open())
    }

    /// What the classifier said of the study's slices so far; `None` without an answer.
    pub fn headline(&self, entry: &Entry) -> Option<Headline> {
        let answers = entry.places().filter_map(|place| Some((place.index, self.classification_at(entry, place)?)));
        Some(Headline::of(answers, self.thresholds.classifier)).filter(|headline| headline.answered > 0)
    }

    /// Whether classifier and segmenter contradict each other about the slice on show.
    pub fn contradiction(&self, entry: &Entry) -> Option<Contradiction> {
        let verdict = self.classification(entry)?.verdict(self.thresholds.classifier);
        let share = self.segmentation(entry)?.share(self.thresholds.mask);
        Contradiction::of(&verdict, share)
    }

    fn classifier_failure_at<'a>(&self, entry: &'a Entry, place: Place) -> Option<&'a str> {
        entry.findings(place)?.failure(Question::Classify, self.models.classifier.as_ref()?)
    }

    /// Why the classifier has no answer for the slice on show, if it failed.
    pub fn classifier_failure<'a>(&self, entry: &'a Entry) -> Option<&'a str> {
        self.classifier_failure_at(entry, entry.shown.place)
    }

    /// Why a model has no answer for the slice on show, if one failed.
    pub fn failure<'a>(&self, entry: &'a Entry) -> Option<&'a str> {
        self.failure_at(entry, entry.shown.place)
    }

    /// Why a model has no answer for a slice, if one failed.
    pub fn failure_at<'a>(&self, entry: &'a Entry, place: Place) -> Option<&'a str> {
        let segment = || entry.findings(place)?.failure(Question::Segment, self.models.segmenter.as_ref()?);
        self.classifier_failure_at(entry, place).or_else(segment)
    }

    /// Classified slices and all slices, for the progress bar.
    pub fn progress(&self) -> (usize, usize) {
        let Some(model) = &self.models.classifier else { return (0, 0) };
        let sum = |f: &dyn Fn(&Entry) -> usize| self.entries.iter().map(f).sum();
        (sum(&|e| e.classified(model)), sum(&Entry::count))
    }

    /// Slices that the segmenter is done with and slices that want one, of the selected study.
    pub fn outlined(&self) -> (usize, usize) {
        let Some(entry) = self.selected() else { return (0, 0) };
        let wanted: Vec<Place> = entry.places().filter(|p| self.gate_at(entry, *p).is_open()).collect();
        let model = self.models.segmenter.as_deref().unwrap_or_default();
        let is_done = |findings: &Findings| {
            findings.segmentation(model).is_some() || findings.failure(Question::Segment, model).is_some()
        };
        let done = wanted.iter().filter(|p| entry.findings(**p).is_some_and(is_done)).count();
        (done, wanted.len())
    }

    /// Whether nothing is left to be said of the selected study.
    pub fn is_complete(&self) -> bool {
        let (done, wanted) = self.outlined();
        let classified = |entry: &Entry| {
            self.models.classifier.as_ref().is_none_or(|model| entry.classified(model) == entry.count())
        };
        self.selected().is_some_and(classified) && (done == wanted || self.models.segmenter.is_none())
    }
}

/// The place of the slice on show, when networks are asked about its plane.
fn asked_place(entry: &Entry) -> Option<Place> {
    Some(entry.shown.place).filter(|place| place.cut == entry.cut())
}

//! One open study: where the reader is in it, and what models said of its slices.

use super::shown::{Prepared, Shown};
use crate::domain::geometry::Plane;
use crate::domain::mask::Mask;
use crate::domain::prediction::{Classification, Segmentation};
use crate::domain::slice::{Spacing, SpacingSource};
use crate::domain::study::{Cut, Picture, Place, Study};
use crate::engine::{Answer, EngineError, Question};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// Identifies an open study for as long as the program runs.
pub type EntryId = u64;

/// A question about one slice, to one model.
pub type Asked = (Question, String);

/// What models said of one slice.
#[derive(Default)]
pub struct Findings {
    answers: HashMap<String, Classification>,
    maps: HashMap<String, Arc<Segmentation>>,
    asked: HashSet<Asked>,
    failures: HashMap<Asked, String>,
}

impl Findings {
    pub fn classification(&self, model: &str) -> Option<&Classification> {
        self.answers.get(model)
    }

    pub fn segmentation(&self, model: &str) -> Option<&Arc<Segmentation>> {
        self.maps.get(model)
    }

    pub fn failure(&self, question: Question, model: &str) -> Option<&str> {
        // A key of two parts cannot be looked up by reference.
        self.failures.iter().find(|((q, m), _)| *q == question && m == model).map(|(_, why)| why.as_str())
    }

    /// Whether the model was never asked this.
    pub fn is_new(&self, question: Question, model: &str) -> bool {
        !self.asked.iter().any(|(q, m)| *q == question && m == model)
    }

    /// Whether the classifier has answered or failed.
    fn is_classified(&self, model: &str) -> bool {
        self.answers.contains_key(model) || self.failure(Question::Classify, model).is_some()
    }
}

/// A study in the list.
pub struct Entry {
    pub id: EntryId,
    pub study: Arc<Study>,
    /// Where the reader wants to be; what is on show may be a moment behind.
    pub place: Place,
    /// The plane that networks look in: the study's own, unless the reader asked for another.
    pub asked_plane: Plane,
    /// Whether the slice on show was chosen: by the reader, or as the highest one once all answers were there.
    pub is_settled: bool,
    pub shown: Shown,
    /// The slice that stands for the study in the list, and `THUMBNAIL`² grey values of it.
    pub thumbnail: (Place, Vec<u8>),
    findings: HashMap<Cut, Vec<Findings>>,
    /// Outlines that the reader gave for single slices.
    outlines: HashMap<Place, Arc<Mask>>,
    /// The slice that was wanted last and could not be made, and why.
    pub unreadable: Option<(Place, String)>,
    /// Whether answers about slices unlike those that the models know are shown all the same.
    pub shows_unlike: bool,
    /// mm per pixel by the reader, for a study that does not tell.
    pub calibration: Option<f64>,
    /// Slices of a cut that a classifier is done with.
    classified: HashMap<(Cut, String), usize>,
}

impl Entry {
    pub fn new(id: EntryId, study: Study, prepared: Prepared) -> Self {
        let place = prepared.shown.place;
        Self {
            id,
            place,
            asked_plane: study.frames.native(),
            is_settled: false,
            study: Arc::new(study),
            shown: prepared.shown,
            thumbnail: (place, prepared.thumbnail),
            findings: HashMap::new(),
            outlines: HashMap::new(),
            unreadable: None,
            shows_unlike: false,
            calibration: None,
            classified: HashMap::new(),
        }
    }

    /// Size of a pixel of the slice on show: the file's word, else the reader's.
    pub fn spacing(&self) -> Option<Spacing> {
        let own = || Spacing::new(self.calibration?, self.calibration?, SpacingSource::Reader);
        self.shown.slice.spacing.or_else(own)
    }

    /// Why the slice that is wanted cannot be shown.
    pub fn why_unreadable(&self) -> Option<&str> {
        self.unreadable.as_ref().filter(|(place, _)| *place == self.place).map(|(_, why)| why.as_str())
    }

    /// Number of slices that networks are asked about.
    pub fn count(&self) -> usize {
        self.study.frames.count(self.asked_plane)
    }

    /// Number of slices in the plane on show.
    pub fn shown_count(&self) -> usize {
        self.study.frames.count(self.place.cut.plane)
    }

    /// The cut whose slices networks are asked about. Other planes show the answers of this one.
    pub fn cut(&self) -> Cut {
        Cut { plane: self.asked_plane, time: self.place.cut.time }
    }

    /// Whether the reader looks at the slices that networks are asked about, not at another plane.
    pub fn is_asked_view(&self) -> bool {
        self.place.cut == self.cut()
    }

    pub fn findings(&self, place: Place) -> Option<&Findings> {
        self.findings.get(&place.cut)?.get(place.index)
    }

    fn findings_mut(&mut self, place: Place) -> Option<&mut Findings> {
        let count = self.study.frames.count(place.cut.plane);
        let all = self.findings.entry(place.cut);
        all.or_insert_with(|| std::iter::repeat_with(Findings::default).take(count).collect()).get_mut(place.index)
    }

    /// Every slice that networks are asked about, in order.
    pub fn places(&self) -> impl DoubleEndedIterator<Item = Place> + use<> {
        let cut = self.cut();
        (0..self.count()).map(move |index| Place { cut, index })
    }

    pub fn picture(&self, place: Place) -> Picture {
        self.study.picture(place)
    }

    /// The classifier's answer, unless it is withheld.
    pub fn classification(&self, place: Place, model: &str) -> Option<&Classification> {
        let answer = self.findings(place)?.classification(model);
        answer.filter(|answer| self.shows_unlike || !answer.is_unlike())
    }

    /// Number of these slices that the classifier is done with.
    pub fn classified(&self, model: &str) -> usize {
        self.classified.get(&(self.cut(), model.to_string())).copied().unwrap_or(0)
    }

    /// The highest probability of any of these slices, with its slice.
    pub fn highest(&self, model: &str) -> Option<(Place, &Classification)> {
        let answers = self.places().filter_map(|place| Some((place, self.classification(place, model)?)));
        answers.reduce(|best, next| if next.1.finding() > best.1.finding() { next } else { best })
    }

    /// Goes to the slice with the highest probability once all answers are there, unless a slice was chosen before.
    pub fn settle(&mut self, model: &str) {
        if self.is_settled || self.count() < 2 || !self.is_asked_view() || self.classified(model) < self.count() {
            return;
        }
        if let Some((place, _)) = self.highest(model) {
            self.place = place;
            self.is_settled = true;
        }
    }

    pub fn asked(&mut self, places: &[Place], question: Question, model: &str) {
        for place in places {
            if let Some(findings) = self.findings_mut(*place) {
                findings.asked.insert((question, model.to_string()));
            }
        }
    }

    /// Files an answer; returns the reason of a failure.
    pub fn answered(
        &mut self,
        place: Place,
        question: Question,
        model: &str,
        result: Result<Answer, EngineError>,
    ) -> Option<String> {
        let findings = self.findings_mut(place)?;
        let before = findings.is_classified(model);
        let told = match result {
            Ok(Answer::Classification(c)) => {
                findings.answers.insert(model.to_string(), c);
                None
            }
            Ok(Answer::Segmentation(s)) => {
                findings.maps.insert(model.to_string(), Arc::new(s));
                None
            }
            // The window does not ask for bands.
            Ok(Answer::ProbabilityBand(_) | Answer::OutlineBand(_)) => None,
            Err(EngineError::Cancelled) => {
                // To be asked again when it is wanted again.
                findings.asked.remove(&(question, model.to_string()));
                None
            }
            Err(EngineError::Failed(why)) => {
                findings.failures.insert((question, model.to_string()), why.clone());
                Some(why)
            }
        };
        if !before && findings.is_classified(model) {
            *self.classified.entry((place.cut, model.to_string())).or_default() += 1;
        }
        told
    }

    /// Forgets what was asked without an answer, as after a change of engine; answers stay.
    pub fn restart(&mut self) {
        for findings in self.findings.values_mut().flatten() {
            let Findings { answers, maps, asked, failures } = findings;
            failures.clear();
            asked.retain(|(question, model)| match question {
                Question::Classify | Question::ProbabilityBand => answers.contains_key(model),
                Question::Segment | Question::OutlineBand => maps.contains_key(model),
            });
        }
        self.classified.clear();
        for (cut, all) in &self.findings {
            for model in all.iter().flat_map(|findings| findings.answers.keys()) {
                *self.classified.entry((*cut, model.clone())).or_default() += 1;
            }
        }
    }

    /// Gives one slice an outline by an expert.
    pub fn set_outline(&mut self, place: Place, mask: Mask) {
        let mask = Arc::new(mask);
        self.outlines.insert(place, mask.clone());
        if self.shown.place == place {
            self.shown.truth = Some(mask);
        }
    }

    /// The outline that the reader drew or gave for a slice.
    pub fn outline(&self, place: Place) -> Option<&Arc<Mask>> {
        self.outlines.get(&place)
    }

    /// All outlines that the reader drew or gave, in the order of their slices.
    pub fn all_outlines(&self) -> Vec<(Place, Arc<Mask>)> {
        let mut all: Vec<_> = self.outlines.iter().map(|(place, mask)| (*place, mask.clone())).collect();
        all.sort_by_key(|(place, _)| *place);
        all
    }

    /// Puts a former outline of a slice back, or takes the reader's away.
    pub fn restore_outline(&mut self, place: Place, mask: Option<Arc<Mask>>) {
        match mask {
            Some(mask) => _ = self.outlines.insert(place, mask),
            None => _ = self.outlines.remove(&place),
        }
        if self.shown.place == place {
            let own = self.study.truth(place, &self.shown.slice).ok().flatten().map(Arc::new);
            self.shown.truth = self.outlines.get(&place).cloned().or(own);
        }
    }

    /// Puts a slice on show; an outline that the reader gave goes before the study's own.
    pub fn show(&mut self, mut shown: Shown) {
        if let Some(own) = self.outlines.get(&shown.place) {
            shown.truth = Some(own.clone());
        }
        self.shown = shown;
    }
}

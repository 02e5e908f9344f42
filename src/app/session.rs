//! The open studies, which of their slices is looked at, and what to ask models next.

use super::entry::{Entry, EntryId, Findings};
use super::opener::Prepared;
use crate::domain::prediction::{Classification, Segmentation, Thresholds, Verdict, gate_is_open};
use crate::domain::study::{Cut, Picture, Place, Study};
use crate::engine::worker::JobId;
use crate::engine::{Answer, EngineError, Question};
use crate::io::paths::natural;
use std::collections::HashMap;
use std::sync::Arc;

/// Questions under way at once: enough to keep the engine busy, few enough that the slice on show never waits long.
const MOST_JOBS: usize = 2;
/// Slices that are asked about together when none of them is on show.
const BATCH: usize = 8;

/// Order of the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Sort {
    #[default]
    Opened,
    Name,
    /// Highest first.
    Probability,
}

impl Sort {
    pub const ALL: [Sort; 3] = [Sort::Opened, Sort::Name, Sort::Probability];
}

/// The models in use.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Models {
    pub classifier: Option<String>,
    pub segmenter: Option<String>,
}

/// What to ask next.
pub struct Wish {
    pub id: EntryId,
    pub question: Question,
    pub model: String,
    pub places: Vec<Place>,
    pub pictures: Vec<Picture>,
}

/// Where to go within a study.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    By(isize),
    To(usize),
    First,
    Last,
    /// To the nearest positive slice after this one, or before it.
    NextPositive,
    PreviousPositive,
}

struct Job {
    id: EntryId,
    question: Question,
    model: String,
    places: Vec<Place>,
}

pub struct Session {
    entries: Vec<Entry>,
    /// Indices into `entries` in the order of the list.
    order: Vec<usize>,
    selected: Option<EntryId>,
    pub sort: Sort,
    pub models: Models,
    pub thresholds: Thresholds,
    /// Cancelled: only the slice on show is asked about.
    pub paused: bool,
    jobs: HashMap<JobId, Job>,
    next: EntryId,
}

impl Session {
    pub fn new(models: Models, thresholds: Thresholds) -> Self {
        Self {
            entries: Vec::new(),
            order: Vec::new(),
            selected: None,
            sort: Sort::default(),
            models,
            thresholds,
            paused: false,
            jobs: HashMap::new(),
            next: 0,
        }
    }

    /// Adds a study; one that is open already is replaced.
    pub fn add(&mut self, study: Study, prepared: Prepared) -> EntryId {
        self.entries.retain(|e| e.study.source != study.source || e.study.files != study.files);
        let id = self.next;
        self.entries.push(Entry::new(id, study, prepared));
        self.next += 1;
        self.arrange();
        id
    }

    /// Takes the selected study off the list and selects its neighbour.
    pub fn remove_selected(&mut self) {
        let Some(place) = self.selected_place() else { return };
        let index = self.order[place];
        self.entries.remove(index);
        self.arrange();
        let neighbour = place.min(self.order.len().saturating_sub(1));
        self.selected = self.order.get(neighbour).map(|i| self.entries[*i].id);
    }

    /// Number of open studies.
    pub fn count(&self) -> usize {
        self.entries.len()
    }

    /// Entries in the order of the list.
    pub fn list(&self) -> impl ExactSizeIterator<Item = &Entry> {
        self.order.iter().map(|i| &self.entries[*i])
    }

    pub fn at(&self, place: usize) -> Option<&Entry> {
        self.order.get(place).map(|i| &self.entries[*i])
    }

    pub fn get(&self, id: EntryId) -> Option<&Entry> {
        self.entries.iter().find(|e| e.id == id)
    }

    pub fn get_mut(&mut self, id: EntryId) -> Option<&mut Entry> {
        self.entries.iter_mut().find(|e| e.id == id)
    }

    pub fn selected(&self) -> Option<&Entry> {
        self.get(self.selected?)
    }

    pub fn selected_mut(&mut self) -> Option<&mut Entry> {
        self.get_mut(self.selected?)
    }

    pub fn select(&mut self, id: EntryId) {
        self.selected = Some(id);
    }

    fn selected_place(&self) -> Option<usize> {
        self.list().position(|e| Some(e.id) == self.selected)
    }

    /// Moves the selection along the list.
    pub fn step(&mut self, down: bool) {
        let place = match (self.selected_place(), down) {
            (None, _) => 0,
            (Some(p), true) => (p + 1).min(self.order.len().saturating_sub(1)),
            (Some(p), false) => p.saturating_sub(1),
        };
        if let Some(id) = self.at(place).map(|e| e.id) {
            self.selected = Some(id);
        }
    }

    /// Moves along the slices of the selected study; `false` when there is no such slice.
    pub fn go(&mut self, step: Step) -> bool {
        let Some(entry) = self.selected() else { return false };
        let (at, last) = (entry.place.index, entry.count().saturating_sub(1));
        let positive = |index: &usize| self.is_positive(entry, Place { cut: entry.cut(), index: *index });
        let target = match step {
            Step::By(by) => Some(at.saturating_add_signed(by).min(last)),
            Step::To(index) => Some(index.min(last)),
            Step::First => Some(0),
            Step::Last => Some(last),
            Step::NextPositive => (at + 1..=last).find(positive),
            Step::PreviousPositive => (0..at).rev().find(positive),
        };
        let Some(target) = target else { return false };
        if let Some(entry) = self.selected_mut() {
            entry.place.index = target;
        }
        true
    }

    /// Looks at the selected study in another plane or at another time, at the slice nearest to the same share of the way.
    pub fn cut(&mut self, cut: Cut) {
        let Some(entry) = self.selected_mut() else { return };
        let (before, after) = (entry.count(), entry.study.frames.count(cut.plane));
        let index = if entry.cut().plane == cut.plane {
            entry.place.index
        } else {
            (entry.place.index * after.saturating_sub(1) + before / 2) / before.saturating_sub(1).max(1)
        };
        entry.place = Place { cut, index: index.min(after.saturating_sub(1)) };
        self.paused = false;
    }

    pub fn set_sort(&mut self, sort: Sort) {
        self.sort = sort;
        self.arrange();
    }

    fn arrange(&mut self) {
        let mut order: Vec<usize> = (0..self.entries.len()).collect();
        match self.sort {
            Sort::Opened => {}
            Sort::Name => {
                order.sort_by(|a, b| natural(&self.entries[*a].study.title, &self.entries[*b].study.title));
            }
            Sort::Probability => {
                let model = self.models.classifier.clone().unwrap_or_default();
                let highest = |e: &Entry| e.highest(&model).map_or(-1.0, |(_, c)| c.finding());
                let probabilities: Vec<f64> = self.entries.iter().map(highest).collect();
                order.sort_by(|a, b| probabilities[*b].total_cmp(&probabilities[*a]));
            }
        }
        self.order = order;
    }

    /// Changes the models in use; answers of others are kept for when they are chosen again.
    pub fn set_models(&mut self, models: Models) {
        self.models = models;
        self.paused = false;
        self.arrange();
    }

    /// What the classifier said of the slice on show.
    pub fn classification<'a>(&self, entry: &'a Entry) -> Option<&'a Classification> {
        self.classification_at(entry, entry.shown.place)
    }

    pub fn classification_at<'a>(&self, entry: &'a Entry, place: Place) -> Option<&'a Classification> {
        entry.classification(place, self.models.classifier.as_ref()?)
    }

    /// The mask's probabilities, whether or not the classifier lets them be shown.
    pub fn segmentation<'a>(&self, entry: &'a Entry) -> Option<&'a Arc<Segmentation>> {
        self.segmentation_at(entry, entry.shown.place)
    }

    pub fn segmentation_at<'a>(&self, entry: &'a Entry, place: Place) -> Option<&'a Arc<Segmentation>> {
        entry.findings(place)?.segmentation(self.models.segmenter.as_ref()?)
    }

    /// Whether a slice's class of interest reaches the threshold.
    pub fn is_positive(&self, entry: &Entry, place: Place) -> bool {
        let said = self.classification_at(entry, place);
        said.is_some_and(|c| matches!(c.verdict(self.thresholds.classifier), Verdict::Positive(_)))
    }

    /// Whether the cascade shows a mask on the slice on show.
    pub fn gate_is_open(&self, entry: &Entry) -> bool {
        self.gate_is_open_at(entry, entry.shown.place)
    }

    /// Whether the cascade shows a mask on a slice: no classifier chosen, or one that says yes.
    pub fn gate_is_open_at(&self, entry: &Entry, place: Place) -> bool {
        let classification = self.classification_at(entry, place);
        let waiting = self.models.classifier.is_some() && classification.is_none();
        !waiting && gate_is_open(classification, self.thresholds.classifier)
    }

    /// The mask's probabilities when the cascade lets them be shown.
    pub fn shown_segmentation<'a>(&self, entry: &'a Entry) -> Option<&'a Arc<Segmentation>> {
        self.segmentation(entry).filter(|_| self.gate_is_open(entry))
    }

    fn failure_of<'a>(&self, entry: &'a Entry, question: Question, model: Option<&String>) -> Option<&'a str> {
        entry.findings(entry.shown.place)?.failure(question, model?)
    }

    /// Why the classifier has no answer for the slice on show, if it failed.
    pub fn classifier_failure<'a>(&self, entry: &'a Entry) -> Option<&'a str> {
        self.failure_of(entry, Question::Classify, self.models.classifier.as_ref())
    }

    /// Why a model has no answer for the slice on show, if one failed.
    pub fn failure<'a>(&self, entry: &'a Entry) -> Option<&'a str> {
        let segment = || self.failure_of(entry, Question::Segment, self.models.segmenter.as_ref());
        self.classifier_failure(entry).or_else(segment)
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
        let wanted: Vec<Place> = entry.places().filter(|p| self.gate_is_open_at(entry, *p)).collect();
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

    /// What to ask next: first about the slice on show, then about its study's other slices, the nearest first, then their masks,
    /// then about the other studies in the order of the list.
    pub fn next_question(&self) -> Option<Wish> {
        if self.jobs.len() >= MOST_JOBS {
            return None;
        }
        if let Some(entry) = self.selected() {
            let here = [entry.place];
            let first = self.wish(entry, Question::Classify, here).or_else(|| {
                let open = self.gate_is_open_at(entry, entry.place);
                open.then(|| self.wish(entry, Question::Segment, here)).flatten()
            });
            if first.is_some() {
                return first;
            }
        }
        if self.paused {
            return None;
        }
        let around = |entry: &Entry| {
            let mut places: Vec<Place> = entry.places().collect();
            places.sort_by_key(|place| place.index.abs_diff(entry.place.index));
            places
        };
        let classify = |entry: &Entry| {
            let open = self.models.classifier.as_ref().is_some_and(|m| entry.classified(m) < entry.count());
            open.then(|| self.wish(entry, Question::Classify, around(entry))).flatten()
        };
        let outline = |entry: &Entry| {
            let open = around(entry).into_iter().filter(|place| self.gate_is_open_at(entry, *place));
            self.wish(entry, Question::Segment, open)
        };
        let selected = self.selected();
        selected
            .and_then(classify)
            .or_else(|| selected.filter(|entry| entry.count() > 1).and_then(outline))
            .or_else(|| self.list().find_map(classify))
    }

    /// A question about as many of these slices as go together.
    fn wish(&self, entry: &Entry, question: Question, places: impl IntoIterator<Item = Place>) -> Option<Wish> {
        let model = match question {
            Question::Classify => self.models.classifier.clone(),
            Question::Segment => self.models.segmenter.clone(),
        }?;
        let is_new = |place: &Place| entry.findings(*place).is_none_or(|f| f.is_new(question, &model));
        let places: Vec<Place> = places.into_iter().filter(is_new).take(BATCH).collect();
        let pictures = places.iter().map(|place| entry.picture(*place)).collect();
        (!places.is_empty()).then_some(Wish { id: entry.id, question, model, places, pictures })
    }

    /// Notes that a question is under way.
    pub fn asked(&mut self, job: JobId, id: EntryId, question: Question, model: String, places: Vec<Place>) {
        if let Some(entry) = self.get_mut(id) {
            entry.asked(&places, question, &model);
        }
        self.jobs.insert(job, Job { id, question, model, places });
    }

    /// Files the answers of a job; returns a message when there is a failure worth telling.
    pub fn answered(&mut self, job: JobId, results: Vec<Result<Answer, EngineError>>) -> Option<String> {
        let Job { id, question, model, places } = self.jobs.remove(&job)?;
        let entry = self.get_mut(id)?;
        let mut told = None;
        for (place, result) in places.into_iter().zip(results) {
            if let Some(why) = entry.answered(place, question, &model, result) {
                let file = entry.study.file(place).display().to_string();
                // A slice that could not be read names its file itself.
                told = Some(if why.contains(&file) { why } else { format!("{file}: {why}") });
            }
        }
        if self.sort == Sort::Probability {
            self.arrange();
        }
        told
    }

    /// Forgets which questions were under way, as after a change of engine; answers stay.
    pub fn restart(&mut self) {
        self.jobs.clear();
        self.entries.iter_mut().for_each(Entry::restart);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::opener::prepare;
    use crate::domain::slice::{Depth, Slice};
    use crate::domain::study::Neighbourhood;
    use crate::engine::Engine;
    use crate::engine::mock::MockEngine;
    use std::path::Path;

    fn slice(brightest: f32) -> Slice {
        let mut pixels = vec![10.0; 32 * 32];
        pixels[0] = brightest;
        Slice::new(32, 32, pixels, Depth::Eight).unwrap()
    }

    fn open(session: &mut Session, name: &str, brightest: &[f32]) -> EntryId {
        let study = Study::of_pages(Path::new(name), brightest.iter().map(|b| slice(*b)).collect());
        let prepared = prepare(&study).unwrap();
        session.add(study, prepared)
    }

    fn session() -> Session {
        let models = Models { classifier: Some("c".into()), segmenter: Some("s".into()) };
        Session::new(models, Thresholds { classifier: 0.5, mask: 0.5 })
    }

    /// Asks and answers until nothing is wanted; returns what was asked.
    fn settle(session: &mut Session) -> Vec<(EntryId, Question, Vec<usize>)> {
        let mut asked = Vec::new();
        while let Some(Wish { id, question, model, places, pictures }) = session.next_question() {
            let job = asked.len() as JobId;
            let slices: Vec<Neighbourhood> = pictures.iter().map(|p| p.among(false).unwrap()).collect();
            session.asked(job, id, question, model.clone(), places.clone());
            let answers = MockEngine.answer(question, &model, &slices, &|| false).unwrap();
            assert_eq!(session.answered(job, answers.into_iter().map(Ok).collect()), None);
            asked.push((id, question, places.iter().map(|p| p.index).collect()));
        }
        asked
    }

    #[test]
    fn the_selected_slice_comes_first_and_the_mask_only_behind_an_open_gate() {
        let mut session = session();
        let (a, b) = (open(&mut session, "a", &[250.0]), open(&mut session, "b", &[20.0]));
        session.select(b);
        assert_eq!(settle(&mut session), vec![(b, Question::Classify, vec![0]), (a, Question::Classify, vec![0])]);
        session.select(a);
        assert_eq!(settle(&mut session), vec![(a, Question::Segment, vec![0])]);
    }

    #[test]
    fn a_stack_is_asked_about_from_the_slice_on_show_outwards_and_outlined_where_it_is_positive() {
        let mut session = session();
        let other = open(&mut session, "other", &[20.0]);
        let stack = open(&mut session, "stack", &[20.0, 250.0, 20.0, 250.0]);
        session.select(stack);
        session.go(Step::To(2));
        let asked = settle(&mut session);
        assert_eq!(
            asked,
            vec![
                (stack, Question::Classify, vec![2]),
                (stack, Question::Classify, vec![1, 3, 0]),
                (stack, Question::Segment, vec![1, 3]),
                (other, Question::Classify, vec![0]),
            ]
        );
        assert_eq!((session.progress(), session.outlined()), ((5, 5), (2, 2)));
        assert!(session.go(Step::NextPositive));
        assert_eq!(session.selected().unwrap().place.index, 3);
        assert!(!session.go(Step::NextPositive));
        assert!(session.go(Step::PreviousPositive));
        assert_eq!(session.selected().unwrap().place.index, 1);
    }

    #[test]
    fn moving_the_threshold_never_asks_twice() {
        let mut session = session();
        let a = open(&mut session, "a", &[250.0]);
        session.select(a);
        assert_eq!(settle(&mut session).len(), 2);
        for threshold in [0.99, 0.01, 0.99, 0.3] {
            session.thresholds.classifier = threshold;
            assert!(settle(&mut session).is_empty());
            assert_eq!(session.shown_segmentation(session.selected().unwrap()).is_some(), threshold < 0.9);
        }
    }

    #[test]
    fn sorting_by_the_highest_probability_and_stepping_follow_the_list() {
        let mut session = session();
        for (name, bright) in [("s_10", [50.0, 20.0]), ("s_9", [20.0, 250.0]), ("s_1", [150.0, 20.0])] {
            let id = open(&mut session, name, &bright);
            session.select(id);
        }
        settle(&mut session);
        let titles = |s: &Session| s.list().map(|e| e.study.title.clone()).collect::<Vec<_>>();
        session.set_sort(Sort::Probability);
        assert_eq!(titles(&session), ["s_9", "s_1", "s_10"]);
        session.set_sort(Sort::Name);
        assert_eq!(titles(&session), ["s_1", "s_9", "s_10"]);
        session.step(true);
        assert_eq!(session.selected().unwrap().study.title, "s_9");
        session.remove_selected();
        assert_eq!(session.selected().unwrap().study.title, "s_10");
    }
}

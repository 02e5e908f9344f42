//! The open studies and which of their slices is looked at.

mod answers;
mod asking;
mod lessons;

pub use asking::Wish;

use super::entry::{Entry, EntryId};
use super::shown::Prepared;
use crate::domain::prediction::Thresholds;
use crate::domain::study::{Cut, Place, Study};
use crate::engine::worker::JobId;
use crate::io::paths::natural;
use asking::Job;
use std::collections::HashMap;

/// Order of the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Sort {
    #[default]
    Opened,
    Name,
    /// Highest first.
    Probability,
    /// What would teach most when it is corrected first.
    Lesson,
}

impl Sort {
    pub const ALL: [Sort; 4] = [Sort::Opened, Sort::Name, Sort::Probability, Sort::Lesson];
}

/// The models in use.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Models {
    pub classifier: Option<String>,
    pub segmenter: Option<String>,
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
    /// The drawn example, which leaves the list when something of the reader's own comes.
    example: Option<EntryId>,
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
            example: None,
            next: 0,
        }
    }

    /// Adds the drawn example.
    pub fn add_example(&mut self, study: Study, prepared: Prepared) -> EntryId {
        let id = self.add(study, prepared);
        self.example = Some(id);
        id
    }

    pub fn is_example(&self, entry: &Entry) -> bool {
        self.example == Some(entry.id)
    }

    /// Adds a study; one that is open already is replaced.
    pub fn add(&mut self, study: Study, prepared: Prepared) -> EntryId {
        if let Some(example) = self.example.take() {
            self.entries.retain(|entry| entry.id != example);
        }
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

    /// Takes studies off the list.
    pub fn remove(&mut self, ids: &[EntryId]) {
        self.entries.retain(|entry| !ids.contains(&entry.id));
        self.arrange();
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
        let (at, last) = (entry.place.index, entry.shown_count().saturating_sub(1));
        let positive = |index: &usize| self.is_positive(entry, Place { index: *index, ..entry.place });
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
            entry.is_settled = true;
        }
        true
    }

    /// Looks at the selected study in another plane or at another time, at the slice nearest to the same share of the way.
    pub fn cut(&mut self, cut: Cut) {
        let Some(entry) = self.selected_mut() else { return };
        let (before, after) = (entry.shown_count(), entry.study.frames.count(cut.plane));
        let index = if entry.place.cut.plane == cut.plane {
            entry.place.index
        } else {
            (entry.place.index * after.saturating_sub(1) + before / 2) / before.saturating_sub(1).max(1)
        };
        entry.place = Place { cut, index: index.min(after.saturating_sub(1)) };
        entry.is_settled = true;
        self.paused = false;
    }

    /// Has the networks look at the selected study in the plane on show.
    pub fn look_here(&mut self) {
        let Some(entry) = self.selected_mut() else { return };
        entry.asked_plane = entry.place.cut.plane;
        self.paused = false;
        self.arrange();
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
            Sort::Lesson => {
                let lessons: Vec<f64> = self.entries.iter().map(|entry| self.lesson(entry)).collect();
                order.sort_by(|a, b| lessons[*b].total_cmp(&lessons[*a]));
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
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::opener::prepare;
    use crate::domain::card::Surroundings;
    use crate::domain::slice::{Depth, Slice};
    use crate::domain::study::Neighbourhood;
    use crate::engine::mock::MockEngine;
    use crate::engine::{Engine, Question};
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
        while let Some(Wish { job, pictures }) = session.next_question() {
            let number = asked.len() as JobId;
            let slices: Vec<Neighbourhood> =
                pictures.iter().map(|p| p.among(Surroundings::default()).unwrap()).collect();
            let answers = MockEngine.answer(job.question, &job.model, &slices, &|| false).unwrap();
            asked.push((job.id, job.question, job.places.iter().map(|p| p.index).collect()));
            session.asked(number, job);
            assert_eq!(session.answered(number, answers.into_iter().map(Ok).collect()), None);
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
    fn a_study_opens_on_its_highest_slice_unless_the_reader_was_elsewhere() {
        let mut session = session();
        let stack = open(&mut session, "stack", &[20.0, 150.0, 20.0, 250.0]);
        session.select(stack);
        settle(&mut session);
        assert_eq!(session.selected().unwrap().place.index, 3);
        let read = open(&mut session, "read", &[20.0, 150.0, 20.0, 250.0]);
        session.select(read);
        session.go(Step::By(1));
        settle(&mut session);
        assert_eq!(session.selected().unwrap().place.index, 1);
        let headline = session.headline(session.selected().unwrap()).unwrap();
        assert_eq!((headline.answered, headline.positive, headline.highest), (4, 2, Some((3, 250.0 / 256.0))));
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
        // 50, 150 and 250 of 256 lie at 0.30, 0.09 and 0.48 from a half.
        session.set_sort(Sort::Lesson);
        assert_eq!(titles(&session), ["s_1", "s_10", "s_9"]);
        session.set_sort(Sort::Name);
        assert_eq!(titles(&session), ["s_1", "s_9", "s_10"]);
        session.step(true);
        assert_eq!(session.selected().unwrap().study.title, "s_9");
        session.remove_selected();
        assert_eq!(session.selected().unwrap().study.title, "s_10");
    }
}

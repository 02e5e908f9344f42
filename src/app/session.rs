//! The open slices, what models said of them, and what to ask next.

use super::opener::Prepared;
use crate::domain::mask::Mask;
use crate::domain::prediction::{Classification, Segmentation, Thresholds, gate_is_open};
use crate::domain::slice::Slice;
use crate::domain::study::{Study, Warning};
use crate::engine::worker::JobId;
use crate::engine::{Answer, EngineError, Question};
use crate::io::paths::natural;
use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;

/// Identifies an open slice for as long as the program runs.
pub type EntryId = u64;

/// Questions under way at once: enough to keep the engine busy, few enough that the selected slice never waits long.
const MOST_JOBS: usize = 2;

/// One slice in the list.
pub struct Entry {
    pub id: EntryId,
    pub path: PathBuf,
    pub title: String,
    /// Page of the file, from 0.
    pub page: usize,
    pub slice: Arc<Slice>,
    pub display: Arc<Slice>,
    pub thumbnail: Vec<u8>,
    pub truth: Option<Arc<Mask>>,
    pub warnings: Vec<Warning>,
    answers: HashMap<String, Classification>,
    maps: HashMap<String, Arc<Segmentation>>,
    asked: HashSet<(Question, String)>,
    failures: HashMap<(Question, String), String>,
}

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

pub struct Session {
    entries: Vec<Entry>,
    /// Indices into `entries` in the order of the list.
    order: Vec<usize>,
    selected: Option<EntryId>,
    pub sort: Sort,
    pub models: Models,
    pub thresholds: Thresholds,
    /// Cancelled: only the selected slice is asked about.
    pub paused: bool,
    jobs: HashMap<JobId, (EntryId, Question, String)>,
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

    /// Adds the slices of a study; a file that is open already is replaced. Returns the first slice's id.
    pub fn add(&mut self, study: Study, prepared: Vec<Prepared>) -> Option<EntryId> {
        self.entries.retain(|e| e.path != study.source);
        let title = study.title();
        let several = prepared.len() > 1;
        let first = self.next;
        for (page, (prepared, truth)) in prepared.into_iter().zip(&study.truth).enumerate() {
            self.entries.push(Entry {
                id: self.next,
                path: study.source.clone(),
                title: if several { format!("{title} [{}]", page + 1) } else { title.clone() },
                page,
                slice: prepared.slice,
                display: prepared.display,
                thumbnail: prepared.thumbnail,
                truth: truth.clone().map(Arc::new),
                warnings: study.warnings.clone(),
                answers: HashMap::new(),
                maps: HashMap::new(),
                asked: HashSet::new(),
                failures: HashMap::new(),
            });
            self.next += 1;
        }
        self.arrange();
        (self.next > first).then_some(first)
    }

    /// Takes the selected slice off the list and selects its neighbour.
    pub fn remove_selected(&mut self) {
        let Some(place) = self.selected_place() else { return };
        let index = self.order[place];
        self.entries.remove(index);
        self.arrange();
        let neighbour = place.min(self.order.len().saturating_sub(1));
        self.selected = self.order.get(neighbour).map(|i| self.entries[*i].id);
    }

    /// Number of open slices.
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

    pub fn selected(&self) -> Option<&Entry> {
        self.entries.iter().find(|e| Some(e.id) == self.selected)
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

    pub fn set_sort(&mut self, sort: Sort) {
        self.sort = sort;
        self.arrange();
    }

    fn arrange(&mut self) {
        let mut order: Vec<usize> = (0..self.entries.len()).collect();
        let probability = |i: &usize| self.classification(&self.entries[*i]).map_or(-1.0, Classification::probability);
        match self.sort {
            Sort::Opened => {}
            Sort::Name => order.sort_by(|a, b| natural(&self.entries[*a].title, &self.entries[*b].title)),
            Sort::Probability => order.sort_by(|a, b| probability(b).total_cmp(&probability(a))),
        }
        self.order = order;
    }

    /// Gives a slice an outline by an expert.
    pub fn set_truth(&mut self, id: EntryId, mask: Mask) {
        if let Some(entry) = self.entries.iter_mut().find(|e| e.id == id) {
            entry.truth = Some(Arc::new(mask));
        }
    }

    /// Changes the models in use; answers of others are kept for when they are chosen again.
    pub fn set_models(&mut self, models: Models) {
        self.models = models;
        self.paused = false;
        self.arrange();
    }

    pub fn classification<'a>(&self, entry: &'a Entry) -> Option<&'a Classification> {
        entry.answers.get(self.models.classifier.as_ref()?)
    }

    /// The mask's probabilities, whether or not the classifier lets them be shown.
    pub fn segmentation<'a>(&self, entry: &'a Entry) -> Option<&'a Arc<Segmentation>> {
        entry.maps.get(self.models.segmenter.as_ref()?)
    }

    /// Whether the cascade shows a mask on this slice: no classifier chosen, or one that says yes.
    pub fn gate_is_open(&self, entry: &Entry) -> bool {
        let classification = self.classification(entry);
        let waiting = self.models.classifier.is_some() && classification.is_none();
        !waiting && gate_is_open(classification, self.thresholds.classifier)
    }

    /// The mask's probabilities when the cascade lets them be shown.
    pub fn shown_segmentation<'a>(&self, entry: &'a Entry) -> Option<&'a Arc<Segmentation>> {
        self.segmentation(entry).filter(|_| self.gate_is_open(entry))
    }

    /// Why the classifier has no answer for this slice, if it failed.
    pub fn classifier_failure<'a>(&self, entry: &'a Entry) -> Option<&'a str> {
        let classify = (Question::Classify, self.models.classifier.clone().unwrap_or_default());
        entry.failures.get(&classify).map(String::as_str)
    }

    /// Why a model has no answer for this slice, if one failed.
    pub fn failure<'a>(&self, entry: &'a Entry) -> Option<&'a str> {
        let segment = (Question::Segment, self.models.segmenter.clone().unwrap_or_default());
        self.classifier_failure(entry).or_else(|| entry.failures.get(&segment).map(String::as_str))
    }

    /// Classified slices and all slices, for the progress bar.
    pub fn progress(&self) -> (usize, usize) {
        let Some(model) = &self.models.classifier else { return (0, 0) };
        let done =
            |e: &&Entry| e.answers.contains_key(model) || e.failures.contains_key(&(Question::Classify, model.clone()));
        (self.entries.iter().filter(done).count(), self.entries.len())
    }

    /// What to ask next: first about the selected slice, then the rest in the order of the list.
    pub fn next_question(&self) -> Option<(EntryId, Question, String, Arc<Slice>)> {
        if self.jobs.len() >= MOST_JOBS {
            return None;
        }
        let wanted = |entry: &Entry, question: Question, model: &Option<String>| {
            let model = model.clone()?;
            let fresh = !entry.asked.contains(&(question, model.clone()));
            fresh.then(|| (entry.id, question, model, entry.slice.clone()))
        };
        let classify = |entry: &Entry| wanted(entry, Question::Classify, &self.models.classifier);
        if let Some(entry) = self.selected() {
            let segment = || {
                let open = self.gate_is_open(entry);
                open.then(|| wanted(entry, Question::Segment, &self.models.segmenter)).flatten()
            };
            if let Some(question) = classify(entry).or_else(segment) {
                return Some(question);
            }
        }
        if self.paused { None } else { self.list().find_map(classify) }
    }

    /// Notes that a question is under way.
    pub fn asked(&mut self, job: JobId, id: EntryId, question: Question, model: String) {
        if let Some(entry) = self.entries.iter_mut().find(|e| e.id == id) {
            entry.asked.insert((question, model.clone()));
        }
        self.jobs.insert(job, (id, question, model));
    }

    /// Files an answer; returns a message when it is a failure worth telling.
    pub fn answered(&mut self, job: JobId, result: Result<Answer, EngineError>) -> Option<String> {
        let (id, question, model) = self.jobs.remove(&job)?;
        let entry = self.entries.iter_mut().find(|e| e.id == id)?;
        let told = match result {
            Ok(Answer::Classification(c)) => {
                entry.answers.insert(model, c);
                None
            }
            Ok(Answer::Segmentation(s)) => {
                entry.maps.insert(model, Arc::new(s));
                None
            }
            Err(EngineError::Cancelled) => {
                // To be asked again when it is wanted again.
                entry.asked.remove(&(question, model));
                None
            }
            Err(EngineError::Failed(why)) => {
                let told = format!("{}: {why}", entry.path.display());
                entry.failures.insert((question, model), why);
                Some(told)
            }
        };
        if self.sort == Sort::Probability {
            self.arrange();
        }
        told
    }

    /// Forgets which questions were under way, as after a change of engine; answers stay.
    pub fn restart(&mut self) {
        self.jobs.clear();
        for entry in &mut self.entries {
            let Entry { answers, maps, asked, failures, .. } = entry;
            failures.clear();
            asked.retain(|(question, model)| match question {
                Question::Classify => answers.contains_key(model),
                Question::Segment => maps.contains_key(model),
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::slice::Depth;
    use crate::engine::Engine;
    use crate::engine::mock::MockEngine;

    fn open(session: &mut Session, name: &str, brightest: f32) -> EntryId {
        let mut pixels = vec![10.0; 32 * 32];
        pixels[0] = brightest;
        let slice = Arc::new(Slice::new(32, 32, pixels, Depth::Eight).unwrap());
        let study = Study {
            source: PathBuf::from(name),
            sha256: String::new(),
            slices: vec![slice.clone()],
            truth: vec![None],
            warnings: Vec::new(),
        };
        let prepared = Prepared { display: slice.clone(), slice, thumbnail: Vec::new() };
        session.add(study, vec![prepared]).unwrap()
    }

    fn session() -> Session {
        let models = Models { classifier: Some("c".into()), segmenter: Some("s".into()) };
        Session::new(models, Thresholds { classifier: 0.5, mask: 0.5 })
    }

    /// Asks and answers until nothing is wanted; returns what was asked.
    fn settle(session: &mut Session) -> Vec<(EntryId, Question)> {
        let mut asked = Vec::new();
        let mut job = 1_000 * asked.len() as JobId;
        while let Some((id, question, model, slice)) = session.next_question() {
            job += 1;
            session.asked(job, id, question, model.clone());
            let answer = MockEngine.answer(question, &model, &slice, &|| false);
            assert_eq!(session.answered(job, answer), None);
            asked.push((id, question));
        }
        asked
    }

    #[test]
    fn the_selected_slice_comes_first_and_the_mask_only_behind_an_open_gate() {
        let mut session = session();
        let (a, b) = (open(&mut session, "a", 250.0), open(&mut session, "b", 20.0));
        session.select(b);
        assert_eq!(settle(&mut session), vec![(b, Question::Classify), (a, Question::Classify)]);
        session.select(a);
        assert_eq!(settle(&mut session), vec![(a, Question::Segment)]);
    }

    #[test]
    fn moving_the_threshold_never_asks_twice() {
        let mut session = session();
        let a = open(&mut session, "a", 250.0);
        session.select(a);
        assert_eq!(settle(&mut session).len(), 2);
        for threshold in [0.99, 0.01, 0.99, 0.3] {
            session.thresholds.classifier = threshold;
            assert!(settle(&mut session).is_empty());
            assert_eq!(session.shown_segmentation(session.selected().unwrap()).is_some(), threshold < 0.9);
        }
    }

    #[test]
    fn sorting_by_probability_and_stepping_follow_the_list() {
        let mut session = session();
        for (name, bright) in [("s_10", 50.0), ("s_9", 250.0), ("s_1", 150.0)] {
            let id = open(&mut session, name, bright);
            session.select(id);
        }
        settle(&mut session);
        let titles = |s: &Session| s.list().map(|e| e.title.clone()).collect::<Vec<_>>();
        session.set_sort(Sort::Probability);
        assert_eq!(titles(&session), ["s_9", "s_1", "s_10"]);
        session.set_sort(Sort::Name);
        assert_eq!(titles(&session), ["s_1", "s_9", "s_10"]);
        session.step(true);
        assert_eq!(session.selected().unwrap().title, "s_9");
        session.remove_selected();
        assert_eq!(session.selected().unwrap().title, "s_10");
    }
}

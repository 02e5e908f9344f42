//! What to ask the models next, and what becomes of their answers.

use super::{Session, Sort};
use crate::app::entry::{Entry, EntryId};
use crate::domain::study::{Picture, Place};
use crate::engine::worker::JobId;
use crate::engine::{Answer, EngineError, Question};

/// Questions under way at once: enough to keep the engine busy, few enough that the slice on show never waits long.
const MOST_JOBS: usize = 2;
/// Slices that are asked about together when none of them is on show.
const BATCH: usize = 8;

/// What is asked of a model about slices of one entry.
pub struct Job {
    pub id: EntryId,
    pub question: Question,
    pub model: String,
    pub places: Vec<Place>,
}

/// What to ask next: a job and the pictures it is about.
pub struct Wish {
    pub job: Job,
    pub pictures: Vec<Picture>,
}

impl Session {
    /// What to ask next: first about the slice on show, then about its study's other slices, the nearest first, then their masks,
    /// then about the other studies in the order of the list.
    pub fn next_question(&self) -> Option<Wish> {
        if self.jobs.len() >= MOST_JOBS {
            return None;
        }
        if let Some(entry) = self.selected().filter(|entry| entry.is_asked_view()) {
            let here = [entry.place];
            let first = self.wish(entry, Question::Classify, here).or_else(|| {
                let open = self.gate_at(entry, entry.place).is_open();
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
            let centre = if entry.is_asked_view() { entry.place.index } else { places.len() / 2 };
            places.sort_by_key(|place| place.index.abs_diff(centre));
            places
        };
        let classify = |entry: &Entry| {
            let open = self.models.classifier.as_ref().is_some_and(|m| entry.classified(m) < entry.count());
            open.then(|| self.wish(entry, Question::Classify, around(entry))).flatten()
        };
        let outline = |entry: &Entry| {
            let open = around(entry).into_iter().filter(|place| self.gate_at(entry, *place).is_open());
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
            Question::Classify | Question::ProbabilityBand => self.models.classifier.clone(),
            Question::Segment | Question::OutlineBand => self.models.segmenter.clone(),
        }?;
        let is_new = |place: &Place| entry.findings(*place).is_none_or(|f| f.is_new(question, &model));
        let places: Vec<Place> = places.into_iter().filter(is_new).take(BATCH).collect();
        let pictures = places.iter().map(|place| entry.picture(*place)).collect();
        (!places.is_empty()).then_some(Wish { job: Job { id: entry.id, question, model, places }, pictures })
    }

    /// Notes that a job is under way.
    pub fn asked(&mut self, number: JobId, job: Job) {
        if let Some(entry) = self.get_mut(job.id) {
            entry.asked(&job.places, job.question, &job.model);
        }
        self.jobs.insert(number, job);
    }

    /// The study that a job under way is about.
    pub fn asked_about(&self, number: JobId) -> Option<EntryId> {
        self.jobs.get(&number).map(|job| job.id)
    }

    /// Files the answers of a job; returns a message when there is a failure worth telling.
    pub fn answered(&mut self, number: JobId, results: Vec<Result<Answer, EngineError>>) -> Option<String> {
        let Job { id, question, model, places } = self.jobs.remove(&number)?;
        let entry = self.get_mut(id)?;
        let mut told = None;
        for (place, result) in places.into_iter().zip(results) {
            if let Some(why) = entry.answered(place, question, &model, result) {
                let file = entry.study.file(place).display().to_string();
                // A slice that could not be read names its file itself.
                told = Some(if why.contains(&file) { why } else { format!("{file}: {why}") });
            }
        }
        let is_in_use = Some(&model) == self.models.classifier.as_ref();
        if is_in_use && let Some(entry) = self.get_mut(id) {
            entry.settle(&model);
        }
        // Lessons take a look at every outline, so they wait until all have come.
        if self.sort == Sort::Probability || (self.sort == Sort::Lesson && self.jobs.is_empty()) {
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

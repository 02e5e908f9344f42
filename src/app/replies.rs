//! What other threads report: opened studies, answers, finished tasks.

use super::entry::EntryId;
use super::fine_tuning::collected;
use super::importing::Importing;
use super::opener::Event;
use super::problems;
use super::session::Models;
use super::tasks::Done;
use super::{Action, App, Dialog};
use crate::domain::card::{Card, Task};
use crate::domain::study::{Place, Study};
use crate::engine::importing::Detected;
use crate::engine::worker::Reply;
use crate::io::Truth;
use rust_i18n::t;
use std::sync::Arc;

impl App {
    pub(super) fn opened(&mut self, event: Event) {
        match event {
            Event::Example(study, prepared) => {
                let id = self.session.add_example(*study, *prepared);
                self.session.select(id);
            }
            Event::Opened(study, prepared) => {
                let id = self.session.add(*study, *prepared);
                self.put_back(id);
                // The first study of a batch is shown; the rest only join the list.
                if std::mem::take(&mut self.show_next) || self.session.selected().is_none() {
                    self.session.select(id);
                }
            }
            Event::Failed(error) => {
                self.settings.forget(&error.path);
                self.notifications.error(problems::load_error(&error));
            }
            Event::Outline(path) => self.load_truth(self.session.selected().map(|e| e.id), path),
            Event::Model(path) => self.tasks.detect_model(path),
            Event::Progress { done, total } => self.opening = (done < total).then_some((done, total)),
            Event::Stopped(fault) => {
                self.opening = None;
                self.notifications.error(fault.text());
            }
        }
    }

    pub(super) fn replied(&mut self, reply: Reply) {
        match reply {
            Reply::Ready { device, notice } => {
                self.device = Some(device);
                if let Some(notice) = notice {
                    self.notifications.info(notice);
                }
            }
            Reply::Prepared(Ok(())) => {}
            Reply::Prepared(Err(error)) => self.notifications.error(error.to_string()),
            Reply::Explaining { id, done, total } => self.explaining.progressed(id, done, total),
            Reply::Explained { id, result } => self.explaining.explained(&self.ctx, id, result),
            Reply::Done { id, results } => {
                let about = self.session.asked_about(id);
                if let Some(why) = self.session.answered(id, results) {
                    self.notifications.error(why);
                }
                self.picture_of_highest(about);
            }
        }
    }

    pub(super) fn finished(&mut self, done: Done) {
        match done {
            Done::Picked(paths) => self.apply(Action::Open(paths)),
            Done::NoDialog => self.notifications.info(t!("export.no_chooser")),
            Done::TruthPicked(id, path) => self.load_truth(Some(id), path),
            Done::ExportPathPicked(path) => self.fields.export_path = path.display().to_string(),
            Done::Truth(id, place, Ok(truth)) => self.set_truth(id, place, truth),
            Done::Slice(id, shown) => {
                self.coming = None;
                if let Some(entry) = self.session.get_mut(id) {
                    entry.show(*shown);
                }
            }
            Done::NoSlice(id, place, why) => {
                self.coming = None;
                if let Some(entry) = self.session.get_mut(id) {
                    entry.unreadable = Some((place, why));
                }
            }
            Done::Exported(Err(why)) => {
                self.exporting = None;
                self.notifications.error(why);
            }
            Done::Truth(_, _, Err(why)) | Done::SettingsFailed(why) => self.notifications.error(why),
            Done::Detected(Ok(detected)) => {
                self.offered.push_back(Importing::new(*detected));
                self.offer_next();
            }
            Done::Installed(detected, Ok(card)) => self.installed(&detected, *card),
            Done::Installed(detected, Err(why)) => {
                if let Some(importing) = self.importing.as_mut().filter(|i| Arc::ptr_eq(&i.detected, &detected)) {
                    importing.busy = false;
                }
                self.notifications.error(why);
            }
            Done::Copied(Ok(image)) => {
                self.ctx.copy_image(*image);
                self.notifications.info(t!("export.copied"));
            }
            Done::Copied(Err(why)) => self.notifications.error(why),
            Done::Thumbnail(id, place, thumbnail) => {
                if let Some(entry) = self.session.get_mut(id) {
                    entry.thumbnail = (place, thumbnail);
                }
            }
            Done::Tags(path, Ok(attributes)) => {
                self.tags = Some((path, attributes));
                self.open(Dialog::Tags);
            }
            Done::Tags(_, Err(why)) => self.notifications.error(why),
            Done::ModelRemoved(id, Ok(built_in)) => self.removed(&id, built_in.map(|card| *card)),
            Done::ModelRemoved(_, Err(why)) => self.notifications.error(why),
            Done::Detected(Err(why)) => self.notifications.error(why),
            Done::SessionSaved(saved) => {
                self.restoring.is_saving = false;
                if let Err(why) = saved {
                    self.notifications.error(why);
                }
            }
            Done::Collected(Ok(summary)) => self.notifications.info(collected(&summary)),
            Done::Collected(Err(why)) => self.notifications.error(why),
            Done::Corrections(summary) => self.fine_tuning.summary = Some(summary),
            Done::Tuning(news) => self.fine_tuning.heard(news),
            Done::Tuned(ended) => self.tuned(ended),
            Done::TunedInstalled(Ok(card)) => self.tuned_installed(*card),
            Done::TunedInstalled(Err(why)) => self.notifications.error(why),
            Done::Failed(fault) => self.notifications.error(fault.text()),
            Done::EngineStopped(fault) => self.engine_stopped(fault),
            Done::Exporting(done, total) => self.exporting = Some((done, total)),
            Done::Exported(Ok(path)) => {
                self.exporting = None;
                self.settings.export_folder = path.parent().map(std::path::Path::to_path_buf);
                self.notifications.info(t!("export.done", path = path.display()));
            }
        }
    }

    /// Has the list show the most suspicious slice of a study, once every slice was looked at.
    fn picture_of_highest(&self, id: Option<EntryId>) {
        let (Some(entry), Some(model)) = (id.and_then(|id| self.session.get(id)), &self.session.models.classifier)
        else {
            return;
        };
        let highest = entry.highest(model).map(|(place, _)| place).filter(|_| entry.classified(model) == entry.count());
        if let Some(place) = highest.filter(|place| *place != entry.thumbnail.0) {
            self.tasks.make_thumbnail(entry.id, entry.study.clone(), place);
        }
    }

    fn load_truth(&mut self, id: Option<EntryId>, path: std::path::PathBuf) {
        let entry = self.session.list().find(|e| Some(e.id) == id);
        if let Some(entry) = entry {
            self.tasks.load_truth(entry.id, path, entry.study.clone(), entry.shown.place);
        }
    }

    fn set_truth(&mut self, id: EntryId, place: Place, truth: Truth) {
        let Some(entry) = self.session.get_mut(id) else { return };
        match truth {
            Truth::Slice(mask) => entry.set_outline(place, mask),
            Truth::Study(frames) => {
                entry.study = Arc::new(Study { truth: Some(frames), ..Study::clone(&entry.study) });
                // The slice on show is made anew, with its outline.
                self.tasks.show_slice(entry.id, entry.study.clone(), entry.shown.place);
            }
        }
    }

    /// Shows the next of the models that were dropped.
    pub(super) fn offer_next(&mut self) {
        if self.importing.is_none() {
            self.importing = self.offered.pop_front();
            if self.importing.is_some() {
                self.open(Dialog::Import);
            }
        }
    }

    /// A new model is in use at once; the engine starts anew to know it.
    fn installed(&mut self, detected: &Arc<Detected>, card: Card) {
        if self.importing.as_ref().is_some_and(|i| Arc::ptr_eq(&i.detected, detected)) {
            self.close(Dialog::Import);
        }
        self.use_new(card);
    }

    /// A model that was just installed is in use at once.
    pub(super) fn use_new(&mut self, card: Card) {
        self.notifications.info(t!("import.done", id = card.id));
        let mut models = self.session.models.clone();
        let slot = if card.task == Task::Segmentation { &mut models.segmenter } else { &mut models.classifier };
        *slot = Some(card.id.clone());
        self.own_models.insert(card.id.clone());
        self.cards.insert(card.id.clone(), card);
        self.start_engine();
        self.apply(Action::Models(models));
    }

    /// A model that is gone is in use no more; the one that the program starts with takes its place.
    fn removed(&mut self, id: &str, built_in: Option<Card>) {
        self.notifications.info(t!("models.removed", id = id));
        self.own_models.remove(id);
        self.cards.remove(id);
        self.cards.extend(built_in.map(|card| (id.to_string(), card)));
        let known = |of: Option<String>, fallback: &Option<String>| {
            of.filter(|id| self.cards.contains_key(id)).or_else(|| fallback.clone())
        };
        let (current, start) = (self.session.models.clone(), &self.default_models);
        let models = Models {
            classifier: known(current.classifier, &start.classifier).filter(|id| self.cards.contains_key(id)),
            segmenter: known(current.segmenter, &start.segmenter).filter(|id| self.cards.contains_key(id)),
        };
        self.start_engine();
        self.apply(Action::Models(models));
    }
}

//! What happens between frames: replies are drained, actions applied, the next question asked. No painting here.

use super::command::{self, Command};
use super::entry::EntryId;
use super::importing::Importing;
use super::measuring::{Stroke, Tool};
use super::opener::{self, Event};
use super::session::{Step, Wish};
use super::tasks::{Done, Pick};
use super::view::View;
use super::{Action, App, Dialog, default_thresholds, theme};
use crate::domain::card::{Card, Task};
use crate::domain::study::{Place, Study};
use crate::engine::importing::Detected;
use crate::engine::worker::Reply;
use crate::io::Truth;
use rust_i18n::t;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Time a frame may spend on replies; the rest waits for the next one.
const DRAIN: Duration = Duration::from_millis(4);
/// Changed settings are written once they have been left alone for so long.
const SETTLE: Duration = Duration::from_secs(1);
/// Step of the threshold keys.
const THRESHOLD_STEP: f64 = 0.01;
const OPACITY_STEP: f32 = 0.05;

impl App {
    /// Once before every frame.
    pub(super) fn tick(&mut self, ctx: &egui::Context) {
        self.drain();
        let dropped: Vec<_> = ctx.input(|i| i.raw.dropped_files.iter().map(|f| f.path().to_path_buf()).collect());
        if !dropped.is_empty() {
            self.apply(Action::Open(dropped));
        }
        for command in command::pressed(ctx, self.typing) {
            self.run(command);
        }
        self.bring_slice();
        self.ask();
        self.follow_selection();
        self.volumetry.update(ctx, &self.session);
        if let Some((_, view)) = &self.view {
            self.textures.update(ctx, &self.session, view, &self.settings, self.viewport);
        }
        self.save_settings_soon();
    }

    fn drain(&mut self) {
        let started = Instant::now();
        while started.elapsed() < DRAIN {
            let event = self.opener.as_ref().and_then(super::opener::Opener::poll);
            let reply = self.worker.as_ref().and_then(crate::engine::worker::Worker::poll);
            let done = self.tasks.poll();
            if event.is_none() && reply.is_none() && done.is_none() {
                return;
            }
            if let Some(event) = event {
                self.opened(event);
            }
            if let Some(reply) = reply {
                self.replied(reply);
            }
            if let Some(done) = done {
                self.finished(done);
            }
        }
        self.ctx.request_repaint();
    }

    fn opened(&mut self, event: Event) {
        match event {
            Event::Opened(study, prepared) => {
                let id = self.session.add(*study, *prepared);
                // The first study of a batch is shown; the rest only join the list.
                if std::mem::take(&mut self.show_next) || self.session.selected().is_none() {
                    self.session.select(id);
                }
            }
            Event::Failed(error) => self.notifications.error(error.to_string()),
            Event::Outline(path) => self.load_truth(self.session.selected().map(|e| e.id), path),
            Event::Model(path) => self.tasks.detect_model(path),
            Event::Progress { done, total } => self.opening = (done < total).then_some((done, total)),
        }
    }

    fn replied(&mut self, reply: Reply) {
        match reply {
            Reply::Ready { device, notice } => {
                self.device = Some(device);
                if let Some(notice) = notice {
                    self.notifications.info(notice);
                }
            }
            Reply::Prepared(Ok(())) => {}
            Reply::Prepared(Err(error)) => self.notifications.error(error.to_string()),
            Reply::Done { id, results } => {
                if let Some(why) = self.session.answered(id, results) {
                    self.notifications.error(why);
                }
            }
        }
    }

    fn finished(&mut self, done: Done) {
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
            Done::Detected(Err(why)) => self.notifications.error(why),
            Done::Exporting(done, total) => self.exporting = Some((done, total)),
            Done::Exported(Ok(path)) => {
                self.exporting = None;
                self.settings.export_folder = path.parent().map(std::path::Path::to_path_buf);
                self.notifications.info(t!("export.done", path = path.display()));
            }
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

    /// Has the slice that is wanted put on show: at once when it is at hand, else when it has been made.
    fn bring_slice(&mut self) {
        let Some(entry) = self.session.selected_mut() else { return };
        let (id, place) = (entry.id, entry.place);
        if entry.shown.place == place || self.coming == Some((id, place)) || entry.why_unreadable().is_some() {
            return;
        }
        if opener::shows_at_once(&entry.study, place) {
            match opener::show(&entry.study, place) {
                Ok(shown) => entry.show(shown),
                Err(error) => self.finished(Done::NoSlice(id, place, error.to_string())),
            }
        } else if self.coming.is_none() {
            self.coming = Some((id, place));
            let study = entry.study.clone();
            self.tasks.show_slice(id, study, place);
        }
    }

    /// Keeps the engine busy with what is wanted most.
    fn ask(&mut self) {
        let Some(worker) = &mut self.worker else { return };
        while let Some(Wish { id, question, model, places, pictures }) = self.session.next_question() {
            match worker.ask(question, &model, pictures) {
                Some(job) => self.session.asked(job, id, question, model, places),
                None => return,
            }
        }
    }

    /// A newly selected study gets a view of its own; the zoom is kept between slices of one size, the window within a study.
    fn follow_selection(&mut self) {
        let Some(entry) = self.session.selected() else {
            self.view = None;
            return;
        };
        let slice = &entry.shown.slice;
        let fresh = View::of(slice);
        let view = match &self.view {
            Some((id, view)) if *id == entry.id && view.is_for(slice) => return,
            // Another plane of the same study.
            Some((id, old)) if *id == entry.id => fresh.under(old),
            Some((_, old)) if old.is_for(slice) => old.clone().with_window(&fresh),
            _ => fresh,
        };
        self.view = Some((entry.id, view));
    }

    /// Does what a panel asked for.
    pub(super) fn apply(&mut self, action: Action) {
        let slice = self.session.selected().map(|e| e.shown.slice.clone());
        let looking = self.view.as_mut().map(|(_, view)| view).zip(slice.as_deref());
        match action {
            Action::Run(command) => self.run(command),
            Action::Open(paths) => {
                self.session.paused = false;
                self.show_next = true;
                paths.iter().rev().for_each(|path| self.settings.remember(path));
                if let Some(opener) = &self.opener {
                    opener.open(paths);
                }
            }
            Action::Select(id) => self.session.select(id),
            Action::Go(step) => {
                self.session.go(step);
            }
            Action::Cut(cut) => self.session.cut(cut),
            Action::Draw(stroke) => self.draw(stroke),
            Action::InstallModel => self.install_model(),
            Action::Calibrate(mm_per_pixel) => {
                self.close(Dialog::Calibrate);
                if let Some(entry) = self.session.selected_mut() {
                    entry.calibration = Some(mm_per_pixel);
                }
            }
            Action::Sort(sort) => self.session.set_sort(sort),
            Action::Continue => self.session.paused = false,
            Action::ResetMaskThreshold => {
                self.session.thresholds.mask = default_thresholds(&self.cards, &self.session.models).mask;
            }
            Action::Threshold(t) => self.session.thresholds.classifier = t.clamp(0.01, 0.99),
            Action::MaskThreshold(t) => self.session.thresholds.mask = t.clamp(0.01, 0.99),
            Action::DragWindow(by) => {
                if let Some((view, slice)) = looking {
                    view.drag_window(slice, self.viewport, by);
                }
            }
            Action::Pan(by) => {
                if let Some((view, slice)) = looking {
                    view.pan(slice, self.viewport, by);
                }
            }
            Action::Zoom { about, factor } => {
                if let Some((view, slice)) = looking {
                    view.zoom_about(slice, self.viewport, about, factor);
                }
            }
            Action::Viewport(rect) => self.viewport = rect,
            Action::Overlay(style) => self.settings.overlay = style,
            Action::ShowOverlay(on) => self.settings.show_overlay = on,
            Action::Models(models) => {
                let (old, fresh) = (&self.session.models, default_thresholds(&self.cards, &models));
                // A threshold belongs to its model: the other one's stays where the reader put it.
                if old.classifier != models.classifier {
                    self.session.thresholds.classifier = fresh.classifier;
                }
                if old.segmenter != models.segmenter {
                    self.session.thresholds.mask = fresh.mask;
                }
                self.session.set_models(models);
                self.prepare_models();
            }
            Action::Theme(choice) => {
                self.settings.theme = choice;
                theme::choose(&self.ctx, choice);
            }
            Action::Language(language) => {
                self.settings.language = language;
                rust_i18n::set_locale(language.code());
            }
            Action::Interpolation(interpolation) => self.settings.interpolation = interpolation,
            Action::Device(device) => {
                self.settings.device = device;
                self.start_engine();
            }
            Action::Magnification(magnification) => self.settings.magnification = magnification,
            Action::ExportName(on) => self.settings.export_name = on,
            Action::ExportKind(kind) => {
                self.fields.export_kind = kind;
                let path = std::path::PathBuf::from(self.fields.export_path.trim());
                self.fields.export_path = kind.rename(&path).display().to_string();
            }
            Action::ChooseExportPath => {
                self.tasks.pick(Pick::Export(self.fields.export_kind), self.settings.export_folder.clone());
            }
            Action::ExportTo(path) => self.export(path),
            Action::Close(dialog) => self.close(dialog),
        }
    }

    fn run(&mut self, command: Command) {
        let folder = self.settings.recent.first().and_then(|p| p.parent()).map(std::path::Path::to_path_buf);
        let thresholds = self.session.thresholds;
        let opacity = |by: f32| (self.settings.overlay.opacity + by).clamp(0.0, 1.0);
        match command {
            Command::Open => self.tasks.pick(Pick::Files, folder),
            Command::OpenFolder => self.tasks.pick(Pick::Folder, folder),
            Command::OpenTruth => {
                if let Some(entry) = self.session.selected() {
                    self.tasks.pick(Pick::Truth(entry.id), folder);
                }
            }
            Command::Export => self.start_export(),
            Command::Remove => self.session.remove_selected(),
            Command::Next => self.along(true),
            Command::Previous => self.along(false),
            Command::First => _ = self.session.go(Step::First),
            Command::Last => _ = self.session.go(Step::Last),
            Command::NextPositive => self.go_to_positive(Step::NextPositive),
            Command::PreviousPositive => self.go_to_positive(Step::PreviousPositive),
            Command::Distance => self.take(Tool::Distance),
            Command::Area => self.take(Tool::Area),
            Command::ClearMeasurements => {
                if let Some(entry) = self.session.selected() {
                    self.measuring.clear(entry);
                }
            }
            Command::NextStudy => self.session.step(true),
            Command::PreviousStudy => self.session.step(false),
            Command::ToggleOverlay => self.settings.show_overlay = !self.settings.show_overlay,
            Command::ToggleContour => self.settings.overlay.contour = !self.settings.overlay.contour,
            Command::MoreOpacity => self.settings.overlay.opacity = opacity(OPACITY_STEP),
            Command::LessOpacity => self.settings.overlay.opacity = opacity(-OPACITY_STEP),
            Command::RaiseThreshold => self.apply(Action::Threshold(thresholds.classifier + THRESHOLD_STEP)),
            Command::LowerThreshold => self.apply(Action::Threshold(thresholds.classifier - THRESHOLD_STEP)),
            Command::ResetThreshold => {
                self.session.thresholds.classifier = default_thresholds(&self.cards, &self.session.models).classifier;
            }
            Command::ResetView => self.change_view(|view, slice| *view = View::of(slice)),
            Command::Fit => self.change_view(View::fit),
            Command::Invert => self.change_view(|view, _| view.invert = !view.invert),
            Command::Preset(n) => self.change_view(|view, slice| view.set_preset(slice, n)),
            Command::Cancel => self.cancel(),
            Command::Settings => self.toggle(Dialog::Settings),
            Command::ModelCard => self.toggle(Dialog::ModelCard),
            Command::Shortcuts => self.toggle(Dialog::Shortcuts),
        }
    }

    /// Along the slices of a study; a study of a single slice is left for its neighbour.
    fn along(&mut self, onwards: bool) {
        if self.session.selected().is_some_and(|entry| entry.count() > 1) {
            self.session.go(Step::By(if onwards { 1 } else { -1 }));
        } else {
            self.session.step(onwards);
        }
    }

    fn install_model(&mut self) {
        let slice = self.session.selected().map(|entry| entry.shown.slice.clone());
        match (&mut self.importing, &self.models_folder) {
            (Some(importing), Some(folder)) => {
                importing.busy = true;
                let (detected, wishes) = (importing.detected.clone(), importing.wishes.clone());
                self.tasks.install_model(detected, wishes, folder.clone(), slice);
            }
            _ => self.notifications.error(t!("import.no_folder")),
        }
    }

    /// Shows the next of the models that were dropped.
    fn offer_next(&mut self) {
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
        self.notifications.info(t!("import.done", id = card.id));
        let mut models = self.session.models.clone();
        let slot = if card.task == Task::Segmentation { &mut models.segmenter } else { &mut models.classifier };
        *slot = Some(card.id.clone());
        self.cards.insert(card.id.clone(), card);
        self.start_engine();
        self.apply(Action::Models(models));
    }

    /// The same tool again puts it away.
    fn take(&mut self, tool: Tool) {
        self.measuring.tool = if self.measuring.tool == tool { Tool::Window } else { tool };
        let unknown = self.session.selected().is_some_and(|entry| entry.spacing().is_none());
        if self.measuring.tool != Tool::Window && unknown {
            self.notifications.info(t!("measure.no_mm"));
        }
    }

    fn draw(&mut self, stroke: Stroke) {
        let Some(entry) = self.session.selected() else { return };
        let finished = self.measuring.draw(entry, stroke);
        // The first line on a picture without mm can give it mm.
        if finished && self.measuring.tool == Tool::Distance && entry.spacing().is_none() {
            self.open(Dialog::Calibrate);
        }
    }

    fn go_to_positive(&mut self, step: Step) {
        if !self.session.go(step) {
            self.notifications.info(t!("strip.no_positive"));
        }
    }

    fn change_view(&mut self, change: impl FnOnce(&mut View, &crate::domain::slice::Slice)) {
        if let (Some((_, view)), Some(entry)) = (&mut self.view, self.session.selected()) {
            change(view, &entry.shown.slice);
        }
    }

    fn toggle(&mut self, dialog: Dialog) {
        if self.dialogs.contains(&dialog) {
            self.close(dialog);
        } else {
            self.open(dialog);
        }
    }

    pub(super) fn open(&mut self, dialog: Dialog) {
        if !self.dialogs.contains(&dialog) {
            self.dialogs.push(dialog);
        }
    }

    pub(super) fn close(&mut self, dialog: Dialog) {
        self.dialogs.retain(|open| *open != dialog);
        if dialog == Dialog::Import {
            self.importing = None;
            self.offer_next();
        }
    }

    /// Escape: the topmost thing goes: a dialog, the work under way, a message.
    fn cancel(&mut self) {
        if let Some(dialog) = self.dialogs.last().copied() {
            self.close(dialog);
            return;
        }
        if self.exporting.take().is_some() {
            self.stop_export.store(true, std::sync::atomic::Ordering::Relaxed);
            return;
        }
        let (done, total) = self.session.progress();
        if self.opening.is_some() || (done < total && !self.session.paused) {
            if let Some(opener) = &self.opener {
                opener.cancel();
            }
            if let Some(worker) = &self.worker {
                worker.cancel_all();
            }
            self.opening = None;
            self.session.paused = true;
            return;
        }
        self.notifications.dismiss_latest();
    }

    fn save_settings_soon(&mut self) {
        if self.settings == self.saved {
            self.changed = None;
            return;
        }
        let since = *self.changed.get_or_insert_with(Instant::now);
        if since.elapsed() < SETTLE {
            self.ctx.request_repaint_after(SETTLE);
            return;
        }
        self.saved = self.settings.clone();
        if let Some(path) = &self.settings_path {
            self.tasks.save_settings(self.settings.clone(), path.clone());
        }
    }
}

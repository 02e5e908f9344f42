//! What happens between frames: replies are drained, pressed keys run, the next question asked. No painting here.

use super::command::{self, Command};
use super::opener;
use super::session::{Step, Wish};
use super::tasks::Done;
use super::view::View;
use super::{Action, App};
use std::time::{Duration, Instant};

/// Time a frame may spend on replies; the rest waits for the next one.
const DRAIN: Duration = Duration::from_millis(4);
/// Time that a slice stays on show when slices are played.
const CINE: Duration = Duration::from_millis(80);
/// Changed settings are written once they have been left alone for so long.
const SETTLE: Duration = Duration::from_secs(1);

impl App {
    /// Once before every frame.
    pub(super) fn tick(&mut self, ctx: &egui::Context) {
        self.drain();
        let dropped: Vec<_> = ctx.input(|i| i.raw.dropped_files.iter().map(|f| f.path().to_path_buf()).collect());
        if !dropped.is_empty() {
            self.apply(Action::Open(dropped));
        }
        // The system's own copy command comes as an event of its own, not as a key.
        let copies = ctx.input(|i| i.events.contains(&egui::Event::Copy)) && !self.typing && self.dialogs.is_empty();
        if copies {
            self.run(Command::Copy);
        }
        for command in command::pressed(ctx, self.typing, self.dialogs.last().copied()) {
            self.run(command);
        }
        self.play();
        self.bring_slice();
        self.ask();
        if let Some(worker) = &mut self.worker {
            self.explaining.update(&self.session, worker);
        }
        self.follow_selection();
        for polled in [self.volumetry.poll(), self.textures.poll(ctx), self.planes.poll(ctx)] {
            polled.unwrap_or_else(|fault| self.notifications.error(fault.text()));
        }
        self.volumetry.update(&self.session);
        if let Some((_, view)) = &self.view {
            let whole = self.volumetry.whole(&self.session);
            self.planes.update(&self.session, whole, view, &self.settings);
            let voxels = whole.and_then(|whole| whole.mask.as_ref());
            self.textures.update(ctx, &self.session, voxels, view, &self.settings, self.viewport);
        }
        self.save_settings_soon();
        self.save_session_soon();
    }

    fn drain(&mut self) {
        let started = Instant::now();
        while started.elapsed() < DRAIN {
            let event = self.opener.poll();
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

    /// Shows the next slice when slices are played, from the last one on to the first.
    fn play(&mut self) {
        let Some(last) = self.cine else { return };
        let entry = self.session.selected().filter(|entry| entry.shown_count() > 1);
        let Some(entry) = entry else {
            self.cine = None;
            return;
        };
        let is_shown = entry.shown.place == entry.place || entry.why_unreadable().is_some();
        if is_shown && last.elapsed() >= CINE {
            let step = if entry.place.index + 1 == entry.shown_count() { Step::First } else { Step::By(1) };
            self.session.go(step);
            self.cine = Some(Instant::now());
        }
        self.ctx.request_repaint_after(CINE);
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
        while let Some(Wish { job, pictures }) = self.session.next_question() {
            match worker.ask(job.question, &job.model, pictures) {
                Some(number) => self.session.asked(number, job),
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
        let base = std::mem::replace(&mut self.saved, self.settings.clone());
        if let Some(path) = &self.settings_path {
            self.tasks.save_settings(self.settings.clone(), base, path.clone());
        }
    }
}

//! Why the classifier answered as it did: asks for the explanation of the slice on show once it has its answer, and keeps the newest.

use super::entry::{Entry, EntryId};
use super::session::Session;
use crate::domain::explanation::{Explanation, Inquiry, Method, paint};
use crate::domain::prediction::Classification;
use crate::domain::study::Place;
use crate::engine::EngineError;
use crate::engine::worker::{JobId, Worker};
use egui::{Color32, ColorImage, Rect, TextureHandle, TextureOptions, pos2, vec2};

/// What the reader changes.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    Show(bool),
    Method(Method),
    /// `None` for the layer that the network offers first.
    Layer(Option<String>),
    /// In 0–1.
    Opacity(f32),
}

/// What an explanation is of.
#[derive(Debug, Clone, PartialEq)]
struct Key {
    entry: EntryId,
    place: Place,
    model: String,
    inquiry: Inquiry,
}

/// What became of the newest question.
enum State {
    Nothing,
    Asked { job: JobId, key: Key, progress: Option<(usize, usize)> },
    Shown { key: Key, explanation: Box<Explanation>, heat: TextureHandle },
    Failed { key: Key, why: String },
}

pub struct Explaining {
    pub is_on: bool,
    pub inquiry: Inquiry,
    /// Opacity in 0–1 of the place that speaks most.
    pub opacity: f32,
    state: State,
}

impl Default for Explaining {
    fn default() -> Self {
        Self { is_on: false, inquiry: Inquiry::default(), opacity: 0.7, state: State::Nothing }
    }
}

impl Explaining {
    pub fn change(&mut self, change: Change) {
        match change {
            Change::Show(on) => self.is_on = on,
            Change::Method(method) => self.inquiry = Inquiry { method, layer: None },
            Change::Layer(layer) => self.inquiry.layer = layer,
            Change::Opacity(opacity) => self.opacity = opacity.clamp(0.0, 1.0),
        }
    }

    /// Layers belong to a model: another one is looked at where it offers first. Nothing is under way any more.
    pub fn restart(&mut self) {
        self.inquiry.layer = None;
        self.state = State::Nothing;
    }

    /// Asks for the explanation of the slice on show, where it is wanted and was not asked for. One that is not wanted any more is
    /// cancelled.
    pub fn update(&mut self, session: &Session, worker: &mut Worker) {
        let wanted = session.selected().filter(|_| self.is_on).and_then(|entry| self.wanted(session, entry));
        let Some((key, entry, said)) = wanted else {
            if let State::Asked { .. } = self.state {
                worker.cancel_explanation();
                self.state = State::Nothing;
            }
            return;
        };
        let known = match &self.state {
            State::Nothing => None,
            State::Asked { key, .. } | State::Shown { key, .. } | State::Failed { key, .. } => Some(key),
        };
        if known == Some(&key) {
            return;
        }
        let asked = worker.explain(&key.model, entry.picture(key.place), said.clone(), key.inquiry.clone());
        // A full queue is tried again in the next frame.
        self.state = asked.map_or(State::Nothing, |job| State::Asked { job, key, progress: None });
    }

    fn wanted<'a>(&self, session: &'a Session, entry: &'a Entry) -> Option<(Key, &'a Entry, &'a Classification)> {
        let said = session.classification(entry)?;
        let model = session.models.classifier.clone()?;
        let inquiry = self.inquiry.clone();
        Some((Key { entry: entry.id, place: entry.shown.place, model, inquiry }, entry, said))
    }

    pub fn progressed(&mut self, id: JobId, done: usize, total: usize) {
        if let State::Asked { job, progress, .. } = &mut self.state
            && *job == id
        {
            *progress = Some((done, total));
        }
    }

    /// Takes in what came of a question. An older one is not wanted any more.
    pub fn explained(&mut self, ctx: &egui::Context, id: JobId, result: Result<Box<Explanation>, EngineError>) {
        let State::Asked { job, key, .. } = &self.state else { return };
        if *job != id {
            return;
        }
        let key = key.clone();
        self.state = match result {
            Ok(explanation) => {
                let placement = explanation.placement;
                let colour = |[r, g, b, a]: [u8; 4]| Color32::from_rgba_unmultiplied(r, g, b, a);
                let pixels = paint(&explanation.placed(), 1.0).into_iter().map(colour).collect();
                let image = ColorImage::new([placement.width, placement.height], pixels);
                State::Shown { key, heat: ctx.load_texture("heat", image, TextureOptions::LINEAR), explanation }
            }
            Err(EngineError::Failed(why)) => State::Failed { key, why },
            Err(EngineError::Cancelled) => State::Nothing,
        };
    }

    /// Whether the slice's explanation is being computed, and how far that is.
    pub fn under_way(&self) -> Option<Option<(usize, usize)>> {
        match &self.state {
            State::Asked { progress, .. } => Some(*progress),
            _ => None,
        }
    }

    /// Why there is no explanation.
    pub fn failure(&self) -> Option<&str> {
        match &self.state {
            State::Failed { why, .. } if self.is_on => Some(why),
            _ => None,
        }
    }

    /// The explanation of the slice on show, with its picture.
    pub fn shown(&self, entry: &Entry) -> Option<(&Explanation, &TextureHandle)> {
        match &self.state {
            State::Shown { key, explanation, heat }
                if self.is_on && key.entry == entry.id && key.place == entry.shown.place =>
            {
                Some((explanation, heat))
            }
            _ => None,
        }
    }

    /// Draws the heat over the scan, which lies at `whole`.
    pub fn draw(&self, painter: &egui::Painter, entry: &Entry, whole: Rect) {
        if let Some((_, heat)) = self.shown(entry) {
            let uv = Rect::from_min_size(pos2(0.0, 0.0), vec2(1.0, 1.0));
            painter.image(heat.id(), whole, uv, Color32::WHITE.gamma_multiply(self.opacity));
        }
    }
}

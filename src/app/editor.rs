//! Correcting outlines by hand: the tool in hand, strokes, and what can be undone.

use super::entry::{Entry, EntryId};
use super::history::History;
use super::measuring::Stroke;
use super::session::Session;
use crate::domain::brush::Disk;
use crate::domain::mask::Mask;
use crate::domain::study::Place;
use egui::Pos2;
use std::sync::Arc;

/// Smallest and largest radius of a brush in pixels.
pub const RADIUS: std::ops::RangeInclusive<f32> = 0.5..=60.0;
/// Difference of grey values that the smart brush grows over, as a share of the window's width.
const ALIKE: f32 = 0.12;

/// What dragging or clicking on the scan does to the outline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Brush {
    #[default]
    Paint,
    Erase,
    /// Takes in what looks like the place under the pointer, within the radius.
    Smart,
    /// Fills a hole.
    Fill,
}

impl Brush {
    pub const ALL: [Brush; 4] = [Brush::Paint, Brush::Erase, Brush::Smart, Brush::Fill];

    /// Name in locales.
    pub fn id(self) -> &'static str {
        match self {
            Brush::Paint => "paint",
            Brush::Erase => "erase",
            Brush::Smart => "smart",
            Brush::Fill => "fill",
        }
    }
}

/// What is done to a whole outline at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    Grow,
    Shrink,
    KeepLargest,
    /// Outlines for the slices between those that were drawn.
    Interpolate,
    /// The outline on show, or that there is none, is the reader's own from now on.
    Accept,
}

impl Change {
    pub const ALL: [Change; 5] =
        [Change::Grow, Change::Shrink, Change::KeepLargest, Change::Interpolate, Change::Accept];

    /// Name in locales.
    pub fn id(self) -> &'static str {
        match self {
            Change::Grow => "grow",
            Change::Shrink => "shrink",
            Change::KeepLargest => "keep_largest",
            Change::Interpolate => "interpolate",
            Change::Accept => "accept",
        }
    }
}

/// An outline as it was before it was changed; `None` where there was none.
type Before = (Place, Option<Arc<Mask>>);

/// A stroke under way.
struct Drawing {
    last: Pos2,
    /// The slice's grey values, for the smart brush.
    values: Vec<f32>,
}

#[derive(Default)]
pub struct Editor {
    pub is_on: bool,
    pub brush: Brush,
    /// Radius of the brush in pixels.
    pub radius: f32,
    drawing: Option<Drawing>,
    history: History<(EntryId, Vec<Before>)>,
}

impl Editor {
    pub fn new() -> Self {
        Self { radius: 6.0, ..Self::default() }
    }

    /// Draws a stroke on the slice on show. It starts from the outline that is there, else from the model's. `window` is the width
    /// of the window, by which the smart brush knows what looks alike.
    pub fn draw(&mut self, session: &mut Session, stroke: Stroke, window: f32) {
        let Some(entry) = session.selected().filter(|entry| entry.is_asked_view()) else { return };
        let place = entry.shown.place;
        let (from, at) = match (stroke, &self.drawing) {
            (Stroke::Begin(at), _) => (at, at),
            (Stroke::Move(at), Some(drawing)) => (drawing.last, at),
            (Stroke::Grab(_), _) => return,
            _ => {
                self.drawing = None;
                return;
            }
        };
        let mut mask = outline_at(session, entry, place);
        if matches!(stroke, Stroke::Begin(_)) {
            self.history.add((entry.id, vec![(place, entry.outline(place).cloned())]));
            let values = if self.brush == Brush::Smart { entry.shown.slice.values() } else { Vec::new() };
            self.drawing = Some(Drawing { last: at, values });
        }
        let Some(drawing) = &mut self.drawing else { return };
        drawing.last = at;
        // Disks so close together that they make a line.
        let steps = ((at - from).length() / (self.radius * 0.5).max(0.5)).ceil().max(1.0);
        for step in 1..=steps as usize {
            let point = from + (at - from) * (step as f32 / steps);
            let disk = Disk { centre: [f64::from(point.x), f64::from(point.y)], radius: f64::from(self.radius) };
            match self.brush {
                Brush::Paint => mask.paint(disk, true),
                Brush::Erase => mask.paint(disk, false),
                Brush::Smart => mask.paint_alike(disk, &drawing.values, window * ALIKE),
                Brush::Fill if point.x >= 0.0 && point.y >= 0.0 => _ = mask.fill(point.x as usize, point.y as usize),
                Brush::Fill => {}
            }
        }
        if let Some(entry) = session.selected_mut() {
            entry.set_outline(place, mask);
        }
    }

    /// Changes the outline of the slice on show, or draws those between drawn slices. Says whether anything changed.
    pub fn change(&mut self, session: &mut Session, change: Change) -> bool {
        let Some(entry) = session.selected().filter(|entry| entry.is_asked_view()) else { return false };
        let place = entry.shown.place;
        let own = || outline_at(session, entry, place);
        let changed = match change {
            Change::Grow => vec![(place, own().grown())],
            Change::Shrink => vec![(place, own().shrunk())],
            Change::KeepLargest => vec![(place, own().largest_part())],
            Change::Interpolate => between(entry),
            Change::Accept => vec![(place, own())],
        };
        if changed.is_empty() {
            return false;
        }
        let before = changed.iter().map(|(place, _)| (*place, entry.outline(*place).cloned())).collect();
        self.history.add((entry.id, before));
        if let Some(entry) = session.selected_mut() {
            changed.into_iter().for_each(|(place, mask)| entry.set_outline(place, mask));
        }
        true
    }

    /// Takes back the last change, or does it again. Says whether there was one.
    pub fn step(&mut self, session: &mut Session, back: bool) -> bool {
        let swap = |(id, before): (EntryId, Vec<Before>)| {
            let entry = session.get_mut(id)?;
            let now = before.iter().map(|(place, _)| (*place, entry.outline(*place).cloned())).collect();
            if let Some((place, _)) = before.first() {
                entry.place = *place;
            }
            before.into_iter().for_each(|(place, mask)| entry.restore_outline(place, mask));
            Some((id, now))
        };
        if back { self.history.undo(swap) } else { self.history.redo(swap) }
    }
}

/// What a slice's outline starts from: the one that is there, else the model's, else an empty one.
pub fn outline_at(session: &Session, entry: &Entry, place: Place) -> Mask {
    if let Some(own) = entry.outline(place) {
        return Mask::clone(own);
    }
    let slice = &entry.shown.slice;
    let truth = entry.shown.truth.as_ref().filter(|_| entry.shown.place == place).map(|truth| Mask::clone(truth));
    truth.or_else(|| model_outline(session, entry, place)).unwrap_or_else(|| Mask::empty(slice.width(), slice.height()))
}

/// The model's outline of a slice, where the cascade shows one.
pub fn model_outline(session: &Session, entry: &Entry, place: Place) -> Option<Mask> {
    let map = session.segmentation_at(entry, place).filter(|_| session.gate_at(entry, place).is_open())?;
    Some(map.mask(session.thresholds.mask))
}

/// Outlines for the slices between two drawn ones that have none of their own.
fn between(entry: &Entry) -> Vec<(Place, Mask)> {
    let drawn: Vec<(Place, &Arc<Mask>)> =
        entry.places().filter_map(|place| Some((place, entry.outline(place)?))).collect();
    let gap = |pair: &[(Place, &Arc<Mask>)]| {
        let ((first, one), (last, other)) = (pair[0], pair[1]);
        let count = last.index - first.index;
        let at = move |index: usize| {
            let share = (index - first.index) as f64 / count as f64;
            Some((Place { index, ..first }, one.between(other, share)?))
        };
        (first.index + 1..last.index).filter_map(at).collect::<Vec<_>>()
    };
    drawn.windows(2).flat_map(gap).collect()
}

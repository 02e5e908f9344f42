//! Distances and areas that the reader draws: which tool is in hand, and what was drawn on which slice.

use super::entry::{Entry, EntryId};
use super::history::History;
use crate::domain::ruler::Figure;
use crate::domain::study::Place;
use egui::Pos2;
use std::collections::HashMap;

/// What dragging with the left button does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Tool {
    /// Contrast and brightness.
    #[default]
    Window,
    Distance,
    Area,
}

/// A drag of a measuring tool, in pixels of the picture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Stroke {
    Begin(Pos2),
    Move(Pos2),
    End,
}

/// Outlines are not drawn finer than this, in pixels.
const GRAIN: f32 = 0.7;

#[derive(Default)]
pub struct Measuring {
    pub tool: Tool,
    drawn: HashMap<(EntryId, Place), Vec<Figure>>,
    /// The last figure of this slice is still being drawn.
    drawing: Option<(EntryId, Place)>,
    history: History<((EntryId, Place), Vec<Figure>)>,
}

impl Measuring {
    /// Figures on the slice on show.
    pub fn on(&self, entry: &Entry) -> &[Figure] {
        self.drawn.get(&(entry.id, entry.shown.place)).map_or(&[], Vec::as_slice)
    }

    /// `true` when a figure was finished.
    pub fn draw(&mut self, entry: &Entry, stroke: Stroke) -> bool {
        let here = (entry.id, entry.shown.place);
        let figures = self.drawn.entry(here).or_default();
        let point = |at: Pos2| [f64::from(at.x), f64::from(at.y)];
        match (stroke, self.tool) {
            (_, Tool::Window) => return false,
            (Stroke::Begin(at), tool) => {
                self.history.add((here, figures.clone()));
                figures.push(match tool {
                    Tool::Area => Figure::Area(vec![point(at)]),
                    _ => Figure::Distance([point(at); 2]),
                });
                self.drawing = Some(here);
            }
            (Stroke::Move(at), _) if self.drawing == Some(here) => match figures.last_mut() {
                Some(Figure::Distance(ends)) => ends[1] = point(at),
                Some(Figure::Area(corners)) => {
                    let far = |c: &[f64; 2]| (at - Pos2::new(c[0] as f32, c[1] as f32)).length() > GRAIN;
                    if corners.last().is_none_or(far) {
                        corners.push(point(at));
                    }
                }
                None => {}
            },
            (Stroke::Move(_), _) => {}
            (Stroke::End, _) if self.drawing == Some(here) => {
                self.drawing = None;
                // A click draws nothing.
                if figures.last().is_some_and(|figure| figure.pixels() < 1.0) {
                    figures.pop();
                    self.history.forget();
                    return false;
                }
                return true;
            }
            (Stroke::End, _) => {}
        }
        false
    }

    /// Takes everything off the slice on show.
    pub fn clear(&mut self, entry: &Entry) {
        let here = (entry.id, entry.shown.place);
        if let Some(figures) = self.drawn.remove(&here) {
            self.history.add((here, figures));
        }
    }

    /// Takes back the last change, or does it again.
    pub fn step(&mut self, back: bool) {
        let drawn = &mut self.drawn;
        let swap = |(here, figures)| Some((here, drawn.insert(here, figures).unwrap_or_default()));
        _ = if back { self.history.undo(swap) } else { self.history.redo(swap) };
    }

    /// Length in pixels of the last distance on the slice on show.
    pub fn last_distance(&self, entry: &Entry) -> Option<f64> {
        self.on(entry).iter().rev().find(|f| matches!(f, Figure::Distance(_))).map(Figure::pixels)
    }
}

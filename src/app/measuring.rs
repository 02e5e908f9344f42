//! Distances and areas that the reader draws: which tool is in hand, and what was drawn on which slice.

use super::command::Command;
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
    Angle,
    Area,
    Label,
}

impl Tool {
    pub fn command(self) -> Command {
        match self {
            // Cancel puts the tool in hand away.
            Tool::Window => Command::Cancel,
            Tool::Distance => Command::Distance,
            Tool::Angle => Command::Angle,
            Tool::Area => Command::Area,
            Tool::Label => Command::Label,
        }
    }

    pub fn sign(self) -> &'static str {
        match self {
            Tool::Window => "◐",
            Tool::Distance => "📏",
            Tool::Angle => "📐",
            Tool::Area => "⭕",
            Tool::Label => "🏷",
        }
    }
}

/// A point of a figure on the slice on show: the figure's number and that of its handle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Handle {
    pub figure: usize,
    pub point: usize,
}

/// A drag of a measuring tool, in pixels of the picture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Stroke {
    Begin(Pos2),
    /// Takes hold of a handle, which is moved from now on.
    Grab(Handle),
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
    /// A handle that is being moved.
    held: Option<((EntryId, Place), Handle)>,
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
            (Stroke::Grab(handle), _) => {
                self.history.add((here, figures.clone()));
                self.held = Some((here, handle));
            }
            (Stroke::Move(at), _) if self.held.is_some() => {
                let held = self.held.filter(|(place, _)| *place == here);
                if let Some((_, Handle { figure, point: handle })) = held
                    && let Some(figure) = figures.get_mut(figure)
                {
                    figure.drag(handle, point(at));
                }
            }
            (Stroke::End, _) if self.held.take().is_some() => {}
            (_, Tool::Window) => return false,
            (Stroke::Begin(at), tool) => {
                self.history.add((here, figures.clone()));
                figures.push(match tool {
                    Tool::Area => Figure::Area(vec![point(at)]),
                    Tool::Angle => Figure::Angle([point(at); 3]),
                    Tool::Label => Figure::Label(point(at), String::new()),
                    Tool::Distance | Tool::Window => Figure::Distance([point(at); 2]),
                });
                self.drawing = Some(here);
            }
            (Stroke::Move(at), _) if self.drawing == Some(here) => match figures.last_mut() {
                Some(Figure::Distance(ends)) => ends[1] = point(at),
                Some(Figure::Angle(points)) => {
                    // The second arm starts at a right angle to the first; its end is moved afterwards.
                    let (a, corner) = (points[0], point(at));
                    points[1] = corner;
                    points[2] = [corner[0] + corner[1] - a[1], corner[1] - corner[0] + a[0]];
                }
                Some(Figure::Label(place, _)) => *place = point(at),
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
                // A click draws nothing but a label.
                let is_dot = |figure: &Figure| match figure {
                    Figure::Label(..) => false,
                    Figure::Angle([a, corner, _]) => (a[0] - corner[0]).hypot(a[1] - corner[1]) < 1.0,
                    Figure::Distance(_) | Figure::Area(_) => figure.pixels() < 1.0,
                };
                if figures.last().is_some_and(is_dot) {
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

    /// Takes one figure off the slice on show.
    pub fn remove(&mut self, entry: &Entry, figure: usize) {
        let here = (entry.id, entry.shown.place);
        if let Some(figures) = self.drawn.get_mut(&here).filter(|figures| figure < figures.len()) {
            self.history.add((here, figures.clone()));
            figures.remove(figure);
        }
    }

    /// Gives the last label of the slice on show its text; without one it is taken off again.
    pub fn label(&mut self, entry: &Entry, text: &str) {
        let figures = self.drawn.get_mut(&(entry.id, entry.shown.place));
        let last = figures.and_then(|figures| {
            if text.is_empty() && matches!(figures.last(), Some(Figure::Label(_, own)) if own.is_empty()) {
                figures.pop();
                self.history.forget();
            }
            figures.last_mut()
        });
        if let Some(Figure::Label(_, own)) = last.filter(|_| !text.is_empty()) {
            *own = text.to_string();
        }
    }

    /// Takes everything off the slice on show.
    pub fn clear(&mut self, entry: &Entry) {
        let here = (entry.id, entry.shown.place);
        if let Some(figures) = self.drawn.remove(&here) {
            self.history.add((here, figures));
        }
    }

    /// Everything drawn on a study, slice by slice.
    pub fn of_study(&self, id: EntryId) -> Vec<(Place, Vec<Figure>)> {
        let own = self.drawn.iter().filter(|((of, _), figures)| *of == id && !figures.is_empty());
        let mut all: Vec<_> = own.map(|((_, place), figures)| (*place, figures.clone())).collect();
        all.sort_by_key(|(place, _)| *place);
        all
    }

    /// Puts figures of a former session back.
    pub fn restore(&mut self, id: EntryId, place: Place, figures: Vec<Figure>) {
        self.drawn.insert((id, place), figures);
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

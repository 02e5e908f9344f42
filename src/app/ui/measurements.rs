//! Drawn distances, angles, areas and labels over the scan, with their sizes and the handles that move them.

use super::label;
use crate::app::entry::Entry;
use crate::app::measuring::Handle;
use crate::app::view::View;
use crate::app::{App, figures, theme};
use crate::domain::ruler::Figure;
use egui::{Align2, Id, Painter, Pos2, Rect, Response, Shape, Stroke, Ui, pos2, vec2};

const LINE: f32 = 1.5;
/// A handle is under the pointer from this distance on, in points.
const REACH: f32 = 9.0;

/// Draws every figure of the slice on show.
pub fn show(app: &App, painter: &Painter, entry: &Entry, view: &View, viewport: Rect) {
    let stroke = Stroke::new(LINE, theme::MEASURE);
    let place = |p: &[f64; 2]| view.screen_from_image(&entry.shown.slice, viewport, pos2(p[0] as f32, p[1] as f32));
    for figure in app.measuring.on(entry) {
        let points: Vec<Pos2> = figure.handles().iter().map(place).collect();
        match figure {
            Figure::Area(_) => _ = painter.add(Shape::closed_line(points.clone(), stroke)),
            Figure::Distance(_) | Figure::Angle(_) => _ = painter.add(Shape::line(points.clone(), stroke)),
            Figure::Label(..) => {}
        }
        if !matches!(figure, Figure::Area(_)) {
            points.iter().for_each(|end| _ = painter.circle_filled(*end, 3.0, theme::MEASURE));
        }
        let beside = if matches!(figure, Figure::Angle(_)) { points.get(1) } else { points.last() };
        let text = figures::size(figure, entry);
        if let Some(end) = beside.filter(|_| !text.is_empty()) {
            label(painter, *end + vec2(10.0, 0.0), Align2::LEFT_CENTER, text);
        }
    }
}

/// The handle under the pointer, or the one that a drag began at.
pub fn under(app: &App, ui: &Ui, response: &Response) -> Option<Handle> {
    let (entry, view) = (app.session.selected()?, app.view()?);
    let id = Id::unique("held handle");
    let pressed = ui.input(|i| i.pointer.primary_down() || i.pointer.primary_released());
    if !pressed {
        let handle = response.hover_pos().and_then(|at| nearest(app, entry, view, response.rect, at));
        ui.data_mut(|data| data.insert_temp(id, handle));
        return handle;
    }
    // What was under the pointer before the button went down is held until it is released.
    ui.data(|data| data.get_temp::<Option<Handle>>(id)).flatten()
}

fn nearest(app: &App, entry: &Entry, view: &View, viewport: Rect, at: Pos2) -> Option<Handle> {
    let place = |p: &[f64; 2]| view.screen_from_image(&entry.shown.slice, viewport, pos2(p[0] as f32, p[1] as f32));
    let figures = app.measuring.on(entry).iter().enumerate();
    let handles = figures.flat_map(|(figure, drawn)| {
        drawn.handles().iter().enumerate().map(move |(point, p)| (Handle { figure, point }, p))
    });
    let near = handles.map(|(handle, p)| (handle, place(p).distance(at))).filter(|(_, far)| *far < REACH);
    near.min_by(|a, b| a.1.total_cmp(&b.1)).map(|(handle, _)| handle)
}

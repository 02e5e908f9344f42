//! Drawn distances and areas over the scan, with their sizes.

use super::label;
use crate::app::entry::Entry;
use crate::app::view::View;
use crate::app::{App, theme};
use crate::domain::ruler::Figure;
use egui::{Align2, Painter, Pos2, Rect, Shape, Stroke, pos2, vec2};
use rust_i18n::t;

const LINE: f32 = 1.5;

/// Draws every figure of the slice on show.
pub fn show(app: &App, painter: &Painter, entry: &Entry, view: &View, viewport: Rect) {
    let stroke = Stroke::new(LINE, theme::MEASURE);
    let place = |p: &[f64; 2]| view.screen_from_image(&entry.shown.slice, viewport, pos2(p[0] as f32, p[1] as f32));
    for figure in app.measuring.on(entry) {
        let points: Vec<Pos2> = match figure {
            Figure::Distance(ends) => ends.iter().map(place).collect(),
            Figure::Area(corners) => corners.iter().map(place).collect(),
        };
        match figure {
            Figure::Distance(_) => {
                painter.add(Shape::line(points.clone(), stroke));
                points.iter().for_each(|end| _ = painter.circle_filled(*end, 3.0, theme::MEASURE));
            }
            Figure::Area(_) => _ = painter.add(Shape::closed_line(points.clone(), stroke)),
        }
        if let Some(end) = points.last() {
            label(painter, *end + vec2(10.0, 0.0), Align2::LEFT_CENTER, size(figure, entry));
        }
    }
}

/// In mm where a pixel's size is known, else in pixels, which says so.
fn size(figure: &Figure, entry: &Entry) -> String {
    let (pixels, spacing) = (format!("{:.1}", figure.pixels()), entry.spacing());
    let millimetres = spacing.map(|s| format!("{:.1}", figure.millimetres(s)));
    match (figure, millimetres) {
        (Figure::Distance(_), Some(mm)) => t!("measure.mm", mm = mm),
        (Figure::Area(_), Some(mm)) => t!("measure.mm2", mm = mm),
        (Figure::Distance(_), None) => t!("measure.px", px = pixels),
        (Figure::Area(_), None) => t!("measure.px2", px = pixels),
    }
    .into_owned()
}

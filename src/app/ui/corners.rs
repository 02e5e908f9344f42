//! Text in the corners of the scan: what the colours mean, how the study was made, the window, and what is under the pointer.

use super::label;
use crate::app::entry::Entry;
use crate::app::state::Interpolation;
use crate::app::view::View;
use crate::app::words::decimal;
use crate::app::{App, theme};
use crate::domain::ruler::{bar_length, round_length};
use egui::{Align2, Color32, Painter, Rect, Shape, Stroke, Ui, pos2, vec2};
use rust_i18n::t;

/// Largest share of the scan's width that the scale bar takes.
const BAR_SHARE: f32 = 0.2;
/// Height of the ends of the scale bar in points.
const BAR_END: f32 = 8.0;
/// Side in points of a view that has no room for more than the window and what is under the pointer.
const SMALL: f32 = 230.0;
/// Below this width in points there is no room for two texts side by side.
const NARROW: f32 = 560.0;

pub fn show(app: &App, ui: &Ui, painter: &Painter, entry: &Entry, view: &View, response: &egui::Response) {
    if app.session.is_example(entry) {
        let at = response.rect.center_top() + vec2(0.0, 20.0);
        label(painter, at, Align2::CENTER_CENTER, t!("viewport.drop_a_scan").into_owned());
    }
    legend(app, painter, entry, response.rect);
    super::why::legend(app, painter, entry, response.rect);
    // In a small view text would hide the scan.
    if response.rect.size().min_elem() > SMALL {
        acquisition(painter, entry, response.rect);
        scale_bar(painter, entry, view, response.rect);
    }
    readout(app, ui, painter, entry, view, response);
}

/// When and how the study was made, as far as its files tell.
fn acquisition(painter: &Painter, entry: &Entry, viewport: Rect) {
    let made = &entry.study.subject.acquisition;
    let thickness = made.thickness_mm.map(|mm| t!("viewport.thickness", mm = decimal(mm, 1)).into_owned());
    let lines = [made.date.clone(), made.sequence.clone(), thickness].into_iter().flatten();
    for (i, line) in lines.enumerate() {
        let at = viewport.right_top() + vec2(-14.0, 20.0 + 20.0 * i as f32);
        label(painter, at, Align2::RIGHT_CENTER, line);
    }
}

/// A bar of a round length in mm, where a pixel's size is known.
fn scale_bar(painter: &Painter, entry: &Entry, view: &View, viewport: Rect) {
    let Some(spacing) = entry.spacing() else { return };
    let points_per_mm = view.scale(&entry.shown.slice, viewport).x / spacing.column_mm as f32;
    let Some(mm) = round_length(f64::from(viewport.width() * BAR_SHARE / points_per_mm)) else { return };
    let length = mm as f32 * points_per_mm;
    let left = pos2(viewport.left() + 14.0, viewport.bottom() - 44.0);
    let right = left + vec2(length, 0.0);
    let end = vec2(0.0, BAR_END / 2.0);
    for (width, colour) in [(4.0, Color32::from_black_alpha(150)), (1.5, theme::VIEWPORT_TEXT)] {
        let stroke = Stroke::new(width, colour);
        painter.add(Shape::line(vec![left - end, left + end], stroke));
        painter.add(Shape::line(vec![left, right], stroke));
        painter.add(Shape::line(vec![right - end, right + end], stroke));
    }
    label(painter, right + vec2(10.0, 0.0), Align2::LEFT_CENTER, bar_length(mm));
}

/// Which colour is the model, which the expert; nothing when there is no mask.
fn legend(app: &App, painter: &egui::Painter, entry: &Entry, viewport: Rect) {
    if !app.settings.show_overlay {
        label(painter, viewport.left_top() + vec2(14.0, 20.0), Align2::LEFT_CENTER, t!("viewport.hidden").into_owned());
        return;
    }
    let facts = app.textures.facts(entry);
    let predicted = facts.is_some_and(|f| f.measurements.is_some_and(|m| m.pixels > 0));
    let mut rows: Vec<([u8; 3], String)> = Vec::new();
    let style = app.settings.overlay;
    let colours = style.colours();
    if predicted {
        rows.push((colours.prediction.rgb(), t!("viewport.prediction").into_owned()));
    }
    if entry.shown.truth.is_some() {
        rows.push((colours.truth.rgb(), t!("viewport.truth").into_owned()));
    }
    if let Some(both) = style.overlap().filter(|_| facts.is_some_and(|f| f.dice.is_some_and(|dice| dice > 0.0))) {
        rows.push((both, t!("viewport.overlap").into_owned()));
    }
    for (i, ([r, g, b], text)) in rows.into_iter().enumerate() {
        let at = viewport.left_top() + vec2(14.0, 14.0 + 20.0 * i as f32);
        painter.rect_filled(Rect::from_min_size(at, vec2(11.0, 11.0)), 2, Color32::from_rgb(r, g, b));
        label(painter, at + vec2(18.0, 5.5), Align2::LEFT_CENTER, text);
    }
}

/// Window, zoom and size at the right; place and value under the pointer at the left.
fn readout(app: &App, ui: &Ui, painter: &egui::Painter, entry: &Entry, view: &View, response: &egui::Response) {
    let viewport = response.rect;
    let (left, right) = (viewport.left_bottom() + vec2(14.0, -16.0), viewport.right_bottom() + vec2(-14.0, -16.0));
    let scale = view.scale(&entry.shown.slice, viewport).x * ui.pixels_per_point();
    let window = view.window;
    let decimals = window.decimals();
    let (width, level) = (decimal(f64::from(window.width), decimals), decimal(f64::from(window.centre), decimals));
    let text = format!("W {width} L {level}   {:.0} %", scale * 100.0);
    label(painter, right, Align2::RIGHT_CENTER, text);
    let size = format!("{} × {}", entry.shown.slice.width(), entry.shown.slice.height());
    let interpolation = match app.settings.interpolation {
        Interpolation::Nearest => t!("settings.nearest"),
        Interpolation::Linear => t!("settings.linear"),
    };
    if viewport.size().min_elem() > SMALL {
        label(painter, right - vec2(0.0, 18.0), Align2::RIGHT_CENTER, format!("{size}   {interpolation}"));
    }
    let pixel = response.hover_pos().and_then(|at| view.pixel_at(&entry.shown.slice, viewport, at));
    let Some((x, y)) = pixel else { return };
    let value = entry.shown.slice.value(x, y).unwrap_or_default();
    let digits = if value.fract() == 0.0 { 0 } else { 3 };
    let mut text = format!("x {x}   y {y}   {} {value:.digits$}", t!("viewport.value"));
    if let Some(segmentation) = app.session.shown_segmentation(entry)
        && let Some(p) = segmentation.probability_at(x, y)
    {
        text.push_str(&format!("   {} {}", t!("viewport.mask_probability"), decimal(f64::from(p), 3)));
    }
    // A narrow viewport has no room for two texts side by side.
    let up = if viewport.width() < NARROW { 36.0 } else { 0.0 };
    label(painter, left - vec2(0.0, up), Align2::LEFT_CENTER, text);
}

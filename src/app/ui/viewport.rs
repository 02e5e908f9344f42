//! Centre: the scan under its window with its overlay, and what the pointer does to them.

use super::Actions;
use crate::app::entry::Entry;
use crate::app::measuring::{Handle, Stroke as Figures, Tool};
use crate::app::planes::{Arrangement, Planes};
use crate::app::session::Step;
use crate::app::view::View;
use crate::app::{Action, App, theme};
use egui::{
    Align2, Color32, CursorIcon, FontId, PointerButton, Pos2, Rect, Sense, Stroke, StrokeKind, Ui, WidgetInfo, pos2,
    vec2,
};
use rust_i18n::t;

/// Width of a mask's edge in points.
const CONTOUR: f32 = 1.6;

/// Draws the view in hand.
pub fn scan(app: &App, ui: &mut Ui, out: &mut Actions) {
    let (response, painter) = ui.allocate_painter(ui.available_size(), Sense::CLICK | Sense::DRAG);
    let viewport = response.rect;
    response.widget_info(|| WidgetInfo::labeled(egui::Role::Image, true, t!("viewport.name")));
    if app.viewport != viewport {
        out.push(Action::Viewport(viewport));
        ui.request_repaint();
    }
    match (app.session.selected(), app.view()) {
        (Some(entry), _) if entry.why_unreadable().is_some() => {
            // Another slice's picture must not stand for this one.
            let why = entry.why_unreadable().unwrap_or_default().to_string();
            let text = painter.layout(why, FontId::proportional(15.0), theme::VIEWPORT_TEXT, viewport.width() * 0.8);
            painter.galley(Align2::CENTER_CENTER.anchor_size(viewport.center(), text.size()).min, text, theme::CAUTION);
            step_by_wheel(app, ui, &response, out);
        }
        (Some(entry), Some(view)) => {
            picture(app, &painter, entry, view, viewport);
            super::marks::sides(&painter, &entry.shown.slice, viewport);
            crosshair(app, &painter, entry, view, viewport);
            super::measurements::show(app, &painter, entry, view, viewport);
            gestures(app, ui, &response, out);
            super::corners::show(app, ui, &painter, entry, view, &response);
        }
        _ => welcome(ui, viewport, out),
    }
    if ui.input(|i| !i.raw.hovered_files.is_empty()) {
        painter.rect_filled(viewport, 0, Color32::from_black_alpha(170));
        painter.rect_stroke(viewport.shrink(14.0), 10, Stroke::new(2.0, theme::ACCENT), StrokeKind::Inside);
        let font = FontId::proportional(22.0);
        painter.text(viewport.center(), Align2::CENTER_CENTER, t!("viewport.drop_here"), font, Color32::WHITE);
    }
}

fn picture(app: &App, painter: &egui::Painter, entry: &Entry, view: &View, viewport: Rect) {
    let whole = view.picture_rect(&entry.shown.slice, viewport);
    let uv = Rect::from_min_max(Pos2::ZERO, pos2(1.0, 1.0));
    if let Some((texture, covers)) = app.textures.scan(entry) {
        let scale = view.scale(&entry.shown.slice, viewport);
        let rect = Rect::from_min_size(whole.min + covers.min.to_vec2() * scale, covers.size() * scale);
        painter.image(texture.id(), rect, uv, Color32::WHITE);
    }
    app.explaining.draw(painter, entry, whole);
    if app.settings.show_overlay
        && let Some((filling, contours)) = app.textures.overlay(entry)
    {
        // The filling would take the colours of the heat away.
        if let Some(texture) = filling.filter(|_| app.explaining.shown(entry).is_none()) {
            painter.image(texture.id(), whole, uv, Color32::WHITE);
        }
        for contour in contours {
            let [r, g, b] = contour.colour.rgb();
            let stroke = Stroke::new(CONTOUR, Color32::from_rgb(r, g, b));
            let place = |p: Pos2| whole.min + p.to_vec2() * whole.size();
            let lines = contour.lines.iter().map(|line| line.map(place));
            // Far zoomed in most of the edge lies outside.
            let visible = lines.filter(|[a, b]| viewport.expand(CONTOUR).intersects(Rect::from_two_pos(*a, *b)));
            painter.extend(visible.map(|line| egui::Shape::line_segment(line, stroke)));
        }
    }
}

/// Where the other planes cross this one.
fn crosshair(app: &App, painter: &egui::Painter, entry: &Entry, view: &View, viewport: Rect) {
    let crossing = app.planes.crossing(entry, entry.shown.place.cut.plane).filter(|_| app.planes.is_grid(entry));
    if let Some([x, y, _]) = crossing {
        let centre = pos2(x as f32 + 0.5, y as f32 + 0.5);
        super::marks::crosshair(painter, viewport, view.screen_from_image(&entry.shown.slice, viewport, centre));
    }
}

fn gestures(app: &App, ui: &Ui, response: &egui::Response, out: &mut Actions) {
    if response.double_clicked() && !app.editor.is_on {
        out.push(double_click(app));
        return;
    }
    cross(app, response, out);
    let drag = response.drag_delta();
    let held = if app.editor.is_on { None } else { super::measurements::under(app, ui, response) };
    if let Some(handle) = held
        && response.secondary_clicked()
    {
        out.push(Action::RemoveFigure(handle.figure));
    }
    if app.editor.is_on {
        draw_outline(app, ui, response, out);
    } else if held.is_some() {
        ui.set_cursor_icon(CursorIcon::Grab);
        let strokes = strokes(app, ui, response).into_iter();
        out.extend(strokes.filter_map(|stroke| grabbed(stroke, held)).map(Action::Draw));
    } else if app.measuring.tool == Tool::Window {
        if response.dragged_by(PointerButton::Primary) && drag != egui::Vec2::ZERO {
            out.push(Action::DragWindow(drag));
        }
    } else {
        measure(app, ui, response, out);
    }
    if response.dragged_by(PointerButton::Middle) {
        ui.set_cursor_icon(CursorIcon::Grabbing);
        out.push(Action::Pan(drag));
    }
    if response.dragged_by(PointerButton::Secondary)
        && let Some(about) = ui.input(|i| i.pointer.press_origin())
    {
        ui.set_cursor_icon(CursorIcon::ZoomIn);
        out.push(Action::Zoom { about, factor: (-drag.y * 0.01).exp() });
    }
    step_by_wheel(app, ui, response, out);
    if let Some(about) = response.hover_pos() {
        let factor = ui.input(|i| i.zoom_delta());
        if factor != 1.0 {
            out.push(Action::Zoom { about, factor });
        }
    }
}

/// In the grid a plane is enlarged, and made small again by the same; elsewhere the picture is fitted.
fn double_click(app: &App) -> Action {
    let entry = app.session.selected().filter(|entry| Planes::suit(entry));
    match (app.planes.arrangement, entry) {
        (Arrangement::Grid, Some(entry)) => Action::Arrange(Arrangement::Enlarged, entry.place.cut.plane),
        (Arrangement::Enlarged, Some(entry)) => Action::Arrange(Arrangement::Grid, entry.place.cut.plane),
        _ => Action::Run(crate::app::command::Command::Fit),
    }
}

/// A click in the grid lets the planes cross there.
fn cross(app: &App, response: &egui::Response, out: &mut Actions) {
    let (Some(entry), Some(view)) = (app.session.selected(), app.view()) else { return };
    if !app.planes.is_grid(entry) || !response.clicked() || app.editor.is_on {
        return;
    }
    let pixel = response.interact_pointer_pos().and_then(|at| view.pixel_at(&entry.shown.slice, response.rect, at));
    if let Some((x, y)) = pixel {
        out.push(Action::Cross(entry.shown.place.cut.plane, [x, y, entry.shown.place.index]));
    }
}

fn step_by_wheel(app: &App, ui: &Ui, response: &egui::Response, out: &mut Actions) {
    let turned = super::wheel::turned(ui, response, app.events_per_notch);
    if turned != 0 {
        out.push(Action::Go(Step::By(turned)));
    }
}

/// A drag with a measuring tool.
fn measure(app: &App, ui: &Ui, response: &egui::Response, out: &mut Actions) {
    if response.hovered() {
        ui.set_cursor_icon(CursorIcon::Crosshair);
    }
    out.extend(strokes(app, ui, response).into_iter().map(Action::Draw));
    // A label needs no more than a click.
    if app.measuring.tool == Tool::Label
        && response.clicked()
        && let (Some(entry), Some(view), Some(at)) =
            (app.session.selected(), app.view(), response.interact_pointer_pos())
    {
        let at = view.image_from_screen(&entry.shown.slice, response.rect, at);
        out.extend([Figures::Begin(at), Figures::End].map(Action::Draw));
    }
}

/// A drag that began at a handle moves it instead of drawing.
fn grabbed(stroke: Figures, held: Option<Handle>) -> Option<Figures> {
    match stroke {
        Figures::Begin(_) => held.map(Figures::Grab),
        other => Some(other),
    }
}

/// A drag with a brush, whose size is shown; a click is a short stroke.
fn draw_outline(app: &App, ui: &Ui, response: &egui::Response, out: &mut Actions) {
    let (Some(entry), Some(view)) = (app.session.selected(), app.view()) else { return };
    if let Some(at) = response.hover_pos() {
        let scale = view.scale(&entry.shown.slice, response.rect);
        let radii = scale * app.editor.radius;
        let stroke = Stroke::new(1.0, theme::MARK);
        ui.painter_at(response.rect).add(egui::Shape::ellipse_stroke(at, radii, stroke));
        ui.set_cursor_icon(CursorIcon::Crosshair);
    }
    out.extend(strokes(app, ui, response).into_iter().map(Action::Paint));
    if response.clicked()
        && let Some(at) = response.interact_pointer_pos()
    {
        let at = view.image_from_screen(&entry.shown.slice, response.rect, at);
        out.extend([Figures::Begin(at), Figures::End].map(Action::Paint));
    }
}

/// What the left button draws, in pixels of the picture.
fn strokes(app: &App, ui: &Ui, response: &egui::Response) -> Vec<Figures> {
    let (Some(entry), Some(view)) = (app.session.selected(), app.view()) else { return Vec::new() };
    let image = |at: Pos2| view.image_from_screen(&entry.shown.slice, response.rect, at);
    let mut strokes = Vec::new();
    if response.drag_started_by(PointerButton::Primary)
        && let Some(at) = ui.input(|i| i.pointer.press_origin())
    {
        strokes.push(Figures::Begin(image(at)));
    }
    if response.dragged_by(PointerButton::Primary)
        && let Some(at) = response.interact_pointer_pos()
    {
        strokes.push(Figures::Move(image(at)));
    }
    if response.drag_stopped_by(PointerButton::Primary) {
        strokes.push(Figures::End);
    }
    strokes
}

/// What to do when nothing is open.
fn welcome(ui: &mut Ui, viewport: Rect, out: &mut Actions) {
    let area = Rect::from_center_size(viewport.center(), vec2(420.0, 180.0));
    ui.scope_builder(egui::UiBuilder::new().max_rect(area), |ui| {
        ui.vertical_centered(|ui| {
            ui.label(egui::RichText::new(t!("welcome.title")).heading().color(theme::VIEWPORT_TEXT));
            ui.add_space(6.0);
            ui.label(egui::RichText::new(t!("welcome.text")).color(theme::VIEWPORT_TEXT));
            ui.add_space(12.0);
            super::command_button(ui, "📂", crate::app::command::Command::Open, true, out);
        });
    });
}

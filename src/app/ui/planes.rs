//! Three linked planes with a crosshair, and the positive slices beside them.

use super::{Actions, label};
use crate::app::entry::Entry;
use crate::app::planes::Arrangement;
use crate::app::session::Step;
use crate::app::view::View;
use crate::app::words::plane_name;
use crate::app::{Action, App, theme};
use crate::domain::geometry::Plane;
use egui::{Align2, FontId, Pos2, Rect, Sense, Stroke, StrokeKind, Ui, UiBuilder, WidgetInfo, pos2, vec2};
use rust_i18n::t;

/// Points between two cells.
const GAP: f32 = 3.0;
const WHOLE: Rect = Rect { min: Pos2::ZERO, max: pos2(1.0, 1.0) };

/// Draws the grid: axial and coronal above, sagittal and the positive slices below.
pub fn show(app: &App, ui: &mut Ui, entry: &Entry, out: &mut Actions) {
    let room = ui.available_rect_before_wrap();
    let size = (room.size() - vec2(GAP, GAP)) / 2.0;
    let cell =
        |across: f32, down: f32| Rect::from_min_size(room.min + (size + vec2(GAP, GAP)) * vec2(across, down), size);
    let cells = [(Plane::Axial, cell(0.0, 0.0)), (Plane::Coronal, cell(1.0, 0.0)), (Plane::Sagittal, cell(0.0, 1.0))];
    for (plane, rect) in cells {
        ui.scope_builder(UiBuilder::new().max_rect(rect), |ui| {
            ui.shrink_clip_rect(rect);
            if plane == entry.place.cut.plane {
                super::viewport::scan(app, ui, out);
            } else {
                beside(app, ui, entry, plane, out);
            }
        });
        let colour = if plane == entry.place.cut.plane { theme::ACCENT } else { theme::NEUTRAL.gamma_multiply(0.4) };
        ui.painter().rect_stroke(rect, 0, Stroke::new(1.0, colour), StrokeKind::Inside);
    }
    let rect = cell(1.0, 1.0);
    ui.scope_builder(UiBuilder::new().max_rect(rect), |ui| positives(app, ui, entry, out));
    ui.painter().rect_stroke(rect, 0, Stroke::new(1.0, theme::NEUTRAL.gamma_multiply(0.4)), StrokeKind::Inside);
}

/// A plane beside the one in hand: a click lets the planes cross there, the wheel turns its slices, a double click enlarges it.
fn beside(app: &App, ui: &mut Ui, entry: &Entry, plane: Plane, out: &mut Actions) {
    let (response, painter) = ui.allocate_painter(ui.available_size(), Sense::CLICK | Sense::DRAG);
    let name = t!(format!("plane.{}", plane.id())).into_owned();
    response.widget_info(|| WidgetInfo::labeled(egui::Role::Image, true, t!("planes.name", plane = plane_name(plane))));
    let Some((slice, texture)) = app.planes.picture(entry, plane) else {
        let font = FontId::proportional(13.0);
        let text = t!("planes.making");
        painter.text(response.rect.center(), Align2::CENTER_CENTER, text, font, theme::VIEWPORT_TEXT);
        return;
    };
    let view = View::of(slice);
    let rect = view.picture_rect(slice, response.rect);
    painter.image(texture.id(), rect, WHOLE, egui::Color32::WHITE);
    super::marks::sides(&painter, slice, response.rect);
    let Some(crossing) = app.planes.crossing(entry, plane) else { return };
    let centre = pos2(crossing[0] as f32 + 0.5, crossing[1] as f32 + 0.5);
    super::marks::crosshair(&painter, response.rect, view.screen_from_image(slice, response.rect, centre));
    let count = entry.study.frames.count(plane);
    let text = format!("{name} {}", t!("strip.slice", n = crossing[2] + 1, count = count));
    label(&painter, response.rect.left_top() + vec2(14.0, 18.0), Align2::LEFT_CENTER, text);
    if response.double_clicked() {
        out.push(Action::Arrange(Arrangement::Enlarged, plane));
    } else if response.clicked() || response.dragged() {
        let pixel = response.interact_pointer_pos().and_then(|at| view.pixel_at(slice, response.rect, at));
        if let Some((x, y)) = pixel {
            out.push(Action::Cross(plane, [x, y, crossing[2]]));
        }
    }
    let turned = super::wheel::turned(ui, &response, app.events_per_notch);
    if turned != 0 {
        let index = crossing[2].saturating_add_signed(turned).min(count - 1);
        out.push(Action::Cross(plane, [crossing[0], crossing[1], index]));
    }
}

/// Positive slices of the plane that was looked in; a click goes there.
fn positives(app: &App, ui: &mut Ui, entry: &Entry, out: &mut Actions) {
    let (response, painter) = ui.allocate_painter(ui.available_size(), Sense::CLICK);
    response.widget_info(|| WidgetInfo::labeled(egui::Role::Image, true, t!("planes.positives")));
    let Some((places, texture)) = app.planes.sheet(entry).filter(|(places, _)| !places.is_empty()) else {
        let text = if app.session.is_complete() { t!("planes.no_positive") } else { t!("findings.computing") };
        let font = FontId::proportional(13.0);
        painter.text(response.rect.center(), Align2::CENTER_CENTER, text, font, theme::VIEWPORT_TEXT);
        return;
    };
    let side = response.rect.size().min_elem() - 2.0;
    let sheet = Rect::from_center_size(response.rect.center(), vec2(side, side));
    painter.image(texture.id(), sheet, WHOLE, egui::Color32::WHITE);
    let step = side / 3.0;
    for (i, place) in places.iter().enumerate() {
        let corner = sheet.min + vec2((i % 3) as f32 * step, (i / 3) as f32 * step);
        label(&painter, corner + vec2(8.0, 12.0), Align2::LEFT_CENTER, (place.index + 1).to_string());
        let cell = Rect::from_min_size(corner, vec2(step, step));
        if response.clicked() && response.interact_pointer_pos().is_some_and(|at| cell.contains(at)) {
            out.push(Action::Cut(entry.cut()));
            out.push(Action::Go(Step::To(place.index)));
        }
    }
}

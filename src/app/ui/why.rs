//! Why: whether heat is shown over the scan, how it is found, how it looks, and what its colours mean.

use super::{Actions, class_name, label};
use crate::app::command::Command;
use crate::app::entry::Entry;
use crate::app::explaining::Change;
use crate::app::words::percent;
use crate::app::{Action, App};
use crate::domain::explanation::{Method, colour};
use egui::{Align2, Color32, ComboBox, Painter, ProgressBar, Rect, Ui, pos2, vec2};
use rust_i18n::t;

/// Size of the bar of colours in points, and the steps it is drawn in.
const BAR: egui::Vec2 = vec2(120.0, 10.0);
const STEPS: usize = 24;

/// Draws the controls.
pub fn show(app: &App, ui: &mut Ui, entry: &Entry, out: &mut Actions) {
    if app.session.models.classifier.is_none() {
        return;
    }
    ui.add_space(4.0);
    let mut on = app.explaining.is_on;
    if ui.checkbox(&mut on, t!("why.title")).on_hover_text(Command::Why.tooltip(ui)).changed() {
        out.push(Action::Explain(Change::Show(on)));
    }
    if !on {
        return;
    }
    ui.indent("why", |ui| {
        state(app, ui, entry, out);
        method(app, ui, out);
        layer(app, ui, entry, out);
        super::fit_sliders(ui);
        let mut opacity = app.explaining.opacity;
        let slider = super::share_slider(&mut opacity, 0.0..=1.0).trailing_fill(true);
        ui.label(t!("why.opacity"));
        if ui.add(slider).accessible_name(t!("why.opacity")).changed() {
            out.push(Action::Explain(Change::Opacity(opacity)));
        }
    });
}

/// What there is, or how far it is.
fn state(app: &App, ui: &mut Ui, entry: &Entry, out: &mut Actions) {
    if let Some(why) = app.explaining.failure() {
        ui.label(why);
    } else if let Some(progress) = app.explaining.under_way() {
        ui.horizontal(|ui| match progress {
            Some((done, total)) => {
                let share = done as f32 / total.max(1) as f32;
                ui.add(ProgressBar::new(share).desired_width(120.0).desired_height(8.0));
                if ui.small_button(t!("status.cancel")).clicked() {
                    out.push(Action::Explain(Change::Show(false)));
                }
            }
            None => {
                ui.spinner();
                ui.label(t!("findings.computing"));
            }
        });
    } else if app.session.classification(entry).is_none() {
        ui.weak(t!("why.no_answer"));
    }
}

fn method(app: &App, ui: &mut Ui, out: &mut Actions) {
    let current = app.explaining.inquiry.method;
    let name = |method: Method| t!(format!("why.{}", method.id())).into_owned();
    let combo = ComboBox::from_id_salt("why_method").selected_text(name(current)).truncate();
    let shown = combo.width(ui.available_width() - 12.0).show_ui(ui, |ui| {
        for method in Method::ALL {
            if ui.selectable_label(method == current, name(method)).clicked() {
                out.push(Action::Explain(Change::Method(method)));
            }
        }
    });
    shown.response.accessible_name(t!("why.method"));
}

/// The layer that Grad-CAM looks at, once it is known which there are.
fn layer(app: &App, ui: &mut Ui, entry: &Entry, out: &mut Actions) {
    let Some((explanation, _)) = app.explaining.shown(entry) else { return };
    let Some(current) = &explanation.layer else { return };
    let combo = ComboBox::from_id_salt("why_layer").selected_text(t!("why.at_layer", layer = current)).truncate();
    let shown = combo.width(ui.available_width() - 12.0).show_ui(ui, |ui| {
        for layer in &explanation.layers {
            if ui.selectable_label(layer == current, layer).clicked() {
                out.push(Action::Explain(Change::Layer(Some(layer.clone()))));
            }
        }
    });
    shown.response.accessible_name(t!("why.layer")).on_hover_text(t!("why.layer_hint"));
}

/// Draws what the colours mean, at the lower left of the scan.
pub fn legend(app: &App, painter: &Painter, entry: &Entry, viewport: Rect) {
    let Some((explanation, _)) = app.explaining.shown(entry) else { return };
    let at = pos2(viewport.left() + 14.0, viewport.bottom() - 112.0);
    let (class, p) = (class_name(&explanation.class), percent(explanation.probability));
    let title = t!("why.legend", class = class, probability = p).into_owned();
    label(painter, at, Align2::LEFT_CENTER, title);
    if explanation.is_empty() {
        label(painter, at + vec2(0.0, 20.0), Align2::LEFT_CENTER, t!("why.nothing").into_owned());
        return;
    }
    let bar = Rect::from_min_size(at + vec2(0.0, 15.0), BAR);
    for step in 0..STEPS {
        let [r, g, b] = colour(step as f32 / (STEPS - 1) as f32);
        let width = BAR.x / STEPS as f32;
        let cell = Rect::from_min_size(bar.min + vec2(step as f32 * width, 0.0), vec2(width + 0.5, BAR.y));
        painter.rect_filled(cell, 0, Color32::from_rgb(r, g, b));
    }
    label(painter, bar.right_center() + vec2(10.0, 0.0), Align2::LEFT_CENTER, t!("why.scale").into_owned());
}

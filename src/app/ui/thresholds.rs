//! From which probability on a slice counts as positive.

use super::Actions;
use crate::app::command::Command;
use crate::app::{Action, App};
use egui::Ui;
use rust_i18n::t;

/// Draws the threshold and, right below it, what it does to unseen patients.
pub fn show(app: &App, ui: &mut Ui, out: &mut Actions) {
    ui.add_space(8.0);
    ui.horizontal(|ui| {
        let label = ui.label(t!("findings.threshold"));
        label.on_hover_text(t!("findings.threshold_hint"));
        ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
            let reset = ui.small_button(t!("findings.reset")).on_hover_text(Command::ResetThreshold.tooltip(ui));
            if reset.clicked() {
                out.push(Action::Run(Command::ResetThreshold));
            }
        });
    });
    let mut value = app.session.thresholds.classifier;
    let slider = super::share_slider(&mut value, 0.01..=0.99).step_by(0.01).trailing_fill(true);
    if ui.add(slider).accessible_name(t!("findings.threshold")).changed() {
        out.push(Action::Threshold(value));
    }
    super::operating_curve::show(app, ui);
}

//! The shortcut sheet and the calibration dialog.

use super::Actions;
use crate::app::command::Command;
use crate::app::{Action, App};
use egui::{Grid, ScrollArea, TextEdit, Ui};
use rust_i18n::t;

/// `false` when the window was closed.
pub fn shortcuts(ui: &mut Ui) -> bool {
    let mut open = true;
    let window = super::dialog(ui, "shortcuts", t!("shortcuts.title").into_owned(), &mut open);
    window.default_size([400.0, 480.0]).show(ui, |ui| {
        ScrollArea::vertical().show(ui, |ui| {
            Grid::new("shortcuts").num_columns(2).striped(true).spacing([24.0, 6.0]).show(ui, |ui| {
                for command in Command::ALL {
                    ui.label(command.label());
                    ui.monospace(command.keys(ui).join("  "));
                    ui.end_row();
                }
                for gesture in ["window", "slices", "zoom", "pan", "fit"] {
                    ui.label(t!(format!("gesture.{gesture}")));
                    ui.monospace(t!(format!("gesture.{gesture}_how")));
                    ui.end_row();
                }
            });
        });
    });
    open
}

/// Asks how long the last line is. `false` when the window was closed.
pub fn calibrate(app: &mut App, ui: &mut Ui, out: &mut Actions) -> bool {
    let mut open = true;
    let pixels = app.session.selected().and_then(|entry| app.measuring.last_distance(entry));
    let window = super::dialog(ui, "calibrate", t!("calibrate.title").into_owned(), &mut open);
    window.resizable(false).default_width(360.0).show(ui, |ui| {
        let Some(pixels) = pixels else {
            ui.label(t!("calibrate.draw_first"));
            return;
        };
        ui.label(t!("calibrate.text", px = format!("{pixels:.1}")));
        let mut entered = false;
        ui.horizontal(|ui| {
            let field = TextEdit::singleline(&mut app.fields.known_mm).desired_width(90.0).hint_text("mm");
            let response = ui.add(field).accessible_name(t!("calibrate.length"));
            entered = response.lost_focus() && ui.input(|i| i.key_pressed(egui::Key::Enter));
            ui.label("mm");
        });
        let known =
            app.fields.known_mm.trim().replace(',', ".").parse::<f64>().ok().filter(|mm| *mm > 0.0 && mm.is_finite());
        ui.weak(t!("calibrate.whole_study"));
        let clicked = ui.add_enabled(known.is_some(), egui::Button::new(t!("calibrate.use"))).clicked();
        if let Some(mm) = known.filter(|_| clicked || entered) {
            out.push(Action::Calibrate(mm / pixels));
        }
    });
    open
}

//! The shortcut sheet, the calibration dialog, and the question before a model is deleted.

use super::Actions;
use super::dialog::{Foot, Outcome};
use crate::app::command::Command;
use crate::app::words::decimal;
use crate::app::{Action, App};
use egui::{Grid, ScrollArea, TextEdit, Ui};
use rust_i18n::t;

pub fn shortcuts(ui: &mut Ui, is_top: bool) -> Outcome {
    let name = ("shortcuts", t!("shortcuts.title").into_owned());
    super::dialog::show(
        ui,
        name,
        is_top,
        |window| window.default_size([420.0, 480.0]),
        |ui| {
            ScrollArea::vertical().max_height(super::dialog_height(ui)).show(ui, |ui| {
                Grid::new("shortcuts").num_columns(2).striped(true).spacing([24.0, 6.0]).show(ui, |ui| {
                    for command in Command::ALL {
                        ui.label(command.label());
                        ui.monospace(command.keys(ui).join("  "));
                        ui.end_row();
                    }
                    for gesture in ["window", "slices", "zoom", "pan", "handle", "fit"] {
                        ui.label(t!(format!("gesture.{gesture}")));
                        ui.monospace(t!(format!("gesture.{gesture}_how")));
                        ui.end_row();
                    }
                });
            });
            Foot::Close
        },
    )
}

/// Asks how long the last line is.
pub fn calibrate(app: &mut App, ui: &mut Ui, is_top: bool, out: &mut Actions) -> Outcome {
    let pixels = app.session.selected().and_then(|entry| app.measuring.last_distance(entry));
    let mut known = None;
    let name = ("calibrate", t!("calibrate.title").into_owned());
    let outcome = super::dialog::show(
        ui,
        name,
        is_top,
        |window| window.resizable(false).default_width(360.0),
        |ui| {
            let Some(pixels) = pixels else {
                ui.label(t!("calibrate.draw_first"));
                return Foot::Close;
            };
            ui.label(t!("calibrate.text", px = decimal(pixels, 1)));
            ui.horizontal(|ui| {
                let field = TextEdit::singleline(&mut app.fields.known_mm).desired_width(90.0).hint_text("mm");
                let response = ui.add(field).accessible_name(t!("calibrate.length"));
                app.fields.focus.give(&response);
                ui.label("mm");
            });
            let text = app.fields.known_mm.trim().replace(',', ".");
            known = text.parse::<f64>().ok().filter(|mm| *mm > 0.0 && mm.is_finite());
            ui.weak(t!("calibrate.whole_study"));
            Foot::Do { text: t!("calibrate.use").into_owned(), enabled: known.is_some() }
        },
    );
    if let (Outcome::Accepted, Some(mm), Some(pixels)) = (outcome, known, pixels) {
        out.push(Action::Calibrate(mm / pixels));
    }
    outcome
}

/// Asks for the text of a label that was just placed.
pub fn label(app: &mut App, ui: &mut Ui, is_top: bool, out: &mut Actions) -> Outcome {
    let name = ("label", t!("command.label").into_owned());
    let outcome = super::dialog::show(
        ui,
        name,
        is_top,
        |window| window.resizable(false).default_width(300.0),
        |ui| {
            let field = TextEdit::singleline(&mut app.fields.label).desired_width(260.0);
            let response = ui.add(field).accessible_name(t!("measure.text"));
            app.fields.focus.give(&response);
            Foot::Do { text: t!("measure.place").into_owned(), enabled: !app.fields.label.trim().is_empty() }
        },
    );
    if outcome == Outcome::Accepted {
        out.push(Action::NameLabel(app.fields.label.trim().to_string()));
    }
    outcome
}

/// Asks before a model is deleted from the disk.
pub fn remove_model(app: &App, ui: &mut Ui, is_top: bool, out: &mut Actions) -> Outcome {
    let Some(id) = &app.fields.removing else { return Outcome::Closed };
    let name = ("remove_model", t!("models.remove_title").into_owned());
    let outcome = super::dialog::show(
        ui,
        name,
        is_top,
        |window| window.resizable(false).default_width(360.0),
        |ui| {
            ui.label(t!("models.remove_text", id = id));
            Foot::Do { text: t!("models.remove_it").into_owned(), enabled: true }
        },
    );
    if outcome == Outcome::Accepted {
        out.push(Action::RemoveModel(id.clone()));
    }
    outcome
}

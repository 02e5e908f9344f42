//! A dropped model: what its file holds, and what only its owner knows.

use super::Actions;
use super::dialog::{Foot, Outcome};
use crate::app::words::decimal;
use crate::app::{Action, App};
use crate::domain::card::{SIDES, Scale, Task};
use crate::engine::importing::ScaleSource;
use egui::{ComboBox, DragValue, Grid, TextEdit, Ui};
use rust_i18n::t;
use std::borrow::Cow;

pub fn show(app: &mut App, ui: &mut Ui, is_top: bool, out: &mut Actions) -> Outcome {
    let slice = app.session.selected().map(|entry| entry.shown.display.clone());
    let Some(importing) = &mut app.importing else { return Outcome::Closed };
    let (detected, wishes) = (importing.detected.clone(), &mut importing.wishes);
    let name = ("import", t!("import.title").into_owned());
    let outcome = super::dialog::show(
        ui,
        name,
        is_top,
        |window| window.resizable(false).default_width(440.0),
        |ui| {
            let (side, channels) = detected.input();
            let architecture = detected.architecture().map_or_else(|| t!("import.own").into_owned(), str::to_string);
            let task = match detected.task() {
                Task::Binary => t!("import.binary"),
                Task::Multiclass => t!("import.multiclass"),
                Task::Segmentation => t!("import.segmentation"),
            };
            let side = wishes.side.unwrap_or(side);
            ui.label(t!("import.found", architecture = architecture, side = side, channels = channels, task = task));
            ui.add_space(6.0);
            Grid::new("import").num_columns(2).spacing([12.0, 8.0]).show(ui, |ui| {
                ui.label(t!("import.id"));
                let field = TextEdit::singleline(&mut wishes.id).desired_width(260.0);
                let response = ui.add(field).accessible_name(t!("import.id"));
                app.fields.focus.give(&response);
                ui.end_row();
                for (place, class) in wishes.classes.iter_mut().flatten().enumerate() {
                    let name = t!("import.class", n = place + 1);
                    ui.label(name.clone());
                    ui.add(TextEdit::singleline(class).desired_width(260.0)).accessible_name(name);
                    ui.end_row();
                }
                if let Some(side) = &mut wishes.side {
                    ui.label(t!("import.side"));
                    let field = DragValue::new(side).range(SIDES).suffix(" px");
                    ui.add(field).accessible_name(t!("import.side")).on_hover_text(t!("import.side_hint"));
                    ui.end_row();
                }
                ui.label(t!("import.scale"));
                let scale = wishes.scale.get_or_insert(Scale::Unit);
                ui.vertical(|ui| {
                    let name = |scale: Scale| t!(format!("import.scale_{}", scale.id()));
                    let combo = ComboBox::from_id_salt("scale").width(260.0).selected_text(name(*scale));
                    let shown = combo.show_ui(ui, |ui| {
                        for other in Scale::ALL {
                            ui.selectable_value(scale, other, name(other));
                        }
                    });
                    shown.response.accessible_name(t!("import.scale"));
                    ui.weak(inferred(importing.inferred));
                    if let Some(slice) = &slice {
                        let (low, high) = importing.ranges.get(&detected, slice, *scale);
                        ui.weak(t!(
                            "import.range",
                            low = decimal(f64::from(low), 2),
                            high = decimal(f64::from(high), 2)
                        ));
                    }
                });
                ui.end_row();
                ui.label(t!("findings.threshold"));
                let threshold = wishes.threshold.get_or_insert(0.5);
                ui.add(super::share_slider(threshold, 0.01..=0.99).step_by(0.01));
                ui.end_row();
                ui.label(t!("import.modality"));
                let modality = wishes.modality.get_or_insert_default();
                let field = TextEdit::singleline(modality).desired_width(260.0).hint_text("MR FLAIR, axial, brain");
                ui.add(field).accessible_name(t!("import.modality")).on_hover_text(t!("import.modality_hint"));
                ui.end_row();
            });
            ui.add_space(6.0);
            ui.weak(t!("import.unknown_accuracy"));
            ui.weak(t!("import.measure", id = wishes.id));
            if importing.busy {
                ui.spinner();
            }
            Foot::Do { text: t!("import.install").into_owned(), enabled: !importing.busy }
        },
    );
    // The dialog stays until the model is installed.
    if outcome == Outcome::Accepted {
        out.push(Action::InstallModel);
        return Outcome::Stays;
    }
    outcome
}

/// What the file tells of its preprocessing.
fn inferred((scale, source): (Scale, ScaleSource)) -> Cow<'static, str> {
    let scale = t!(format!("import.scale_{}", scale.id()));
    match source {
        ScaleSource::OwnLayer => t!("import.inferred_own_layer", scale = scale),
        ScaleSource::Base(base) => t!("import.inferred_base", base = base, scale = scale),
        ScaleSource::Usual => t!("import.inferred_usual", scale = scale),
        ScaleSource::Guess => t!("import.inferred_guess", scale = scale),
    }
}

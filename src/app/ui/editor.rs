//! The tools that correct an outline, above the scan, and the question before it is saved.

use super::Actions;
use super::dialog::{Foot, Outcome};
use crate::app::command::Command;
use crate::app::correcting::Others;
use crate::app::editor::{Brush, Change, RADIUS};
use crate::app::{Action, App};
use egui::{Frame, Grid, Panel, ScrollArea, Slider, TextEdit, Ui};
use rust_i18n::t;

/// Width in points from which the tools may take several rows.
const ROOM_FOR_ROWS: f32 = 400.0;

/// Draws the tools while an outline is being corrected.
pub fn tools(app: &App, ui: &mut Ui, frame: Frame, out: &mut Actions) {
    if !app.editor.is_on {
        return;
    }
    Panel::top("editor").frame(frame).resizable(false).show(ui, |ui| {
        if ui.available_width() < ROOM_FOR_ROWS {
            // Rows upon rows would leave no room for the scan.
            ScrollArea::horizontal().show(ui, |ui| ui.horizontal(|ui| buttons(app, ui, out)));
        } else {
            ui.horizontal_wrapped(|ui| buttons(app, ui, out));
        }
    });
}

fn buttons(app: &App, ui: &mut Ui, out: &mut Actions) {
    for brush in Brush::ALL {
        let name = t!(format!("editor.{}", brush.id()));
        let button = ui.selectable_label(app.editor.brush == brush, name);
        if button.on_hover_text(t!(format!("editor.{}_hint", brush.id()))).clicked() {
            out.push(Action::Brush(brush));
        }
    }
    let mut radius = app.editor.radius;
    ui.spacing_mut().slider_width = 90.0;
    let slider = Slider::new(&mut radius, RADIUS).logarithmic(true).fixed_decimals(1).suffix(" px");
    if ui.add(slider).accessible_name(t!("editor.radius")).on_hover_text(t!("editor.radius")).changed() {
        out.push(Action::BrushRadius(radius));
    }
    ui.separator();
    for change in Change::ALL {
        if ui.button(t!(format!("editor.{}", change.id()))).clicked() {
            out.push(Action::ChangeOutline(change));
        }
    }
    ui.separator();
    for command in [Command::Undo, Command::Redo, Command::SaveOutlines] {
        super::command_button(ui, "", command, true, out);
    }
    if ui.button(t!("editor.done")).on_hover_text(Command::Edit.tooltip(ui)).clicked() {
        out.push(Action::Run(Command::Edit));
    }
}

/// Says what will be written where, and asks before a file is replaced.
pub fn save(app: &mut App, ui: &mut Ui, is_top: bool, out: &mut Actions) -> Outcome {
    let Some(plan) = app.outlines_to_save() else { return Outcome::Closed };
    let name = ("save_mask", t!("editor.save_title").into_owned());
    let outcome = super::dialog::show(
        ui,
        name,
        is_top,
        |window| window.resizable(false).default_width(460.0),
        |ui| {
            let text = ScrollArea::vertical().max_height(super::dialog_height(ui)).show(ui, |ui| {
                ui.label(t!("editor.save_drawn", n = plan.drawn));
                if plan.by_model + plan.untouched > 0 {
                    ui.add_space(4.0);
                    ui.label(t!("editor.others"));
                    ui.radio_value(&mut app.fields.others, Others::Nothing, t!("editor.others_nothing"));
                    ui.radio_value(&mut app.fields.others, Others::Model, t!("editor.others_model"));
                    ui.add_space(4.0);
                }
                if plan.by_model > 0 {
                    ui.colored_label(ui.visuals().warn_fg_color, t!("editor.save_by_model", n = plan.by_model));
                } else if plan.untouched > 0 {
                    ui.weak(t!("editor.save_untouched", n = plan.untouched));
                }
                let there = plan.files.iter().filter(|(path, _)| path.exists()).count();
                for (path, _) in plan.files.iter().take(6) {
                    ui.monospace(path.display().to_string());
                }
                if plan.files.len() > 6 {
                    ui.weak(t!("editor.save_more", n = plan.files.len() - 6));
                }
                let text = if there > 0 {
                    ui.colored_label(ui.visuals().warn_fg_color, t!("editor.save_replaces", n = there));
                    t!("editor.replace")
                } else {
                    t!("export.save")
                };
                collect(app, ui, out);
                text
            });
            let text = text.inner;
            Foot::Do { text: text.into_owned(), enabled: !plan.files.is_empty() }
        },
    );
    if outcome == Outcome::Accepted {
        out.push(Action::WriteOutlines);
    }
    outcome
}

/// Whether a copy goes to the corrections, and under whose names.
fn collect(app: &mut App, ui: &mut Ui, out: &mut Actions) {
    let Some(corrections) = &app.corrections else { return };
    ui.separator();
    let mut collects = app.settings.collects;
    if ui.checkbox(&mut collects, t!("editor.collect")).changed() {
        out.push(Action::Collects(collects));
    }
    if !collects {
        return;
    }
    ui.weak(t!("editor.collect_text", folder = corrections.folder.display()));
    Grid::new("collect").num_columns(2).spacing([12.0, 6.0]).show(ui, |ui| {
        ui.label(t!("editor.patient"));
        let field = TextEdit::singleline(&mut app.fields.patient).desired_width(220.0);
        let field = ui.add(field.hint_text(t!("editor.patient_from_file"))).accessible_name(t!("editor.patient"));
        field.on_hover_text(t!("editor.patient_hint"));
        ui.end_row();
        ui.label(t!("editor.reader"));
        let mut reader = app.settings.reader.clone();
        let field = TextEdit::singleline(&mut reader).desired_width(220.0);
        if ui.add(field).accessible_name(t!("editor.reader")).changed() {
            out.push(Action::Reader(reader));
        }
        ui.end_row();
    });
}

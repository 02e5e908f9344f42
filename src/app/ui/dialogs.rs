//! The shortcut sheet and the export dialog.

use super::Actions;
use crate::app::command::Command;
use crate::app::{Action, App};
use crate::export::annotated_png::Magnification;
use egui::{Grid, ScrollArea, TextEdit, Ui};
use rust_i18n::t;
use std::path::PathBuf;

/// `false` when the window was closed.
pub fn shortcuts(ui: &mut Ui) -> bool {
    let mut open = true;
    let window = super::dialog(ui, "shortcuts", t!("shortcuts.title").into_owned(), &mut open);
    window.default_size([400.0, 480.0]).show(ui, |ui| {
        ScrollArea::vertical().show(ui, |ui| {
            Grid::new("shortcuts").num_columns(2).striped(true).spacing([24.0, 6.0]).show(ui, |ui| {
                for command in Command::all() {
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

/// `false` when the window was closed.
pub fn export(app: &mut App, ui: &mut Ui, out: &mut Actions) -> bool {
    let mut open = true;
    let window = super::dialog(ui, "export", t!("export.title").into_owned(), &mut open);
    window.resizable(false).default_width(460.0).show(ui, |ui| {
        ui.label(t!("export.path"));
        ui.horizontal(|ui| {
            let field = TextEdit::singleline(&mut app.fields.export_path).desired_width(340.0);
            ui.add(field).accessible_name(t!("export.path"));
            if ui.button(t!("export.choose")).clicked() {
                out.push(Action::ChooseExportPath);
            }
        });
        ui.horizontal(|ui| {
            ui.label(t!("export.size"));
            for magnification in Magnification::ALL {
                let text = format!("×{}", magnification.factor());
                if ui.selectable_label(app.settings.magnification == magnification, text).clicked() {
                    out.push(Action::Magnification(magnification));
                }
            }
        });
        let mut name = app.settings.export_name;
        if ui.checkbox(&mut name, t!("export.include_name")).on_hover_text(t!("export.include_name_hint")).changed() {
            out.push(Action::ExportName(name));
        }
        ui.add_space(8.0);
        let mut path = PathBuf::from(app.fields.export_path.trim());
        if path.extension().is_none_or(|e| !e.eq_ignore_ascii_case("png")) && path.file_name().is_some() {
            path.as_mut_os_string().push(".png");
        }
        let is_open = app.session.list().any(|e| e.study.source == path || e.study.files.contains(&path));
        let usable = path.file_name().is_some() && !is_open;
        // The line is always there, so that the button never moves.
        let note = match (is_open, path.is_file()) {
            (true, _) => t!("export.open_input"),
            (false, true) => t!("export.overwrites"),
            (false, false) => " ".into(),
        };
        ui.colored_label(ui.visuals().warn_fg_color, note);
        if ui.add_enabled(usable, egui::Button::new(t!("export.save"))).clicked() {
            out.push(Action::ExportTo(path));
        }
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

//! The export dialog: what to write, where, and what to know before.

use super::Actions;
use super::dialog::{Foot, Outcome};
use crate::app::{Action, App};
use crate::export::annotated_png::{Magnification, Paper};
use crate::export::kind::ExportKind;
use egui::{ComboBox, TextEdit, Ui};
use rust_i18n::t;
use std::path::PathBuf;

pub fn show(app: &mut App, ui: &mut Ui, is_top: bool, out: &mut Actions) -> Outcome {
    let kind = app.fields.export_kind;
    let mut path = PathBuf::new();
    let name = ("export", t!("export.title").into_owned());
    let outcome = super::dialog::show(
        ui,
        name,
        is_top,
        |window| window.resizable(false).default_width(460.0),
        |ui| {
            kinds(app, ui, out);
            ui.label(t!("export.path"));
            ui.horizontal(|ui| {
                let field = TextEdit::singleline(&mut app.fields.export_path).desired_width(340.0);
                let response = ui.add(field).accessible_name(t!("export.path"));
                app.fields.focus.give(&response);
                if ui.button(t!("export.choose")).clicked() {
                    out.push(Action::ChooseExportPath);
                }
            });
            if kind == ExportKind::Picture {
                size(app, ui, out);
            }
            // They stay in their place whatever is written, so that nothing moves under the pointer.
            ui.add_enabled_ui(kind == ExportKind::Picture, |ui| looks(app, ui, out));
            if kind.names_the_patient() {
                ui.colored_label(ui.visuals().warn_fg_color, t!("export.names_patient"));
            } else {
                let mut name = app.settings.export_name;
                let choice =
                    ui.checkbox(&mut name, t!("export.include_name")).on_hover_text(t!("export.include_name_hint"));
                if choice.changed() {
                    out.push(Action::ExportName(name));
                }
            }
            ui.add_space(8.0);
            let typed = PathBuf::from(app.fields.export_path.trim());
            path = if typed.file_name().is_some() { kind.rename(&typed) } else { typed };
            let is_open = app.is_open(&path);
            let waiting = (kind.is_of_study() && !app.session.is_complete()) || app.exporting.is_some();
            let usable = path.file_name().is_some() && !is_open && !waiting;
            // The line is always there, so that the button never moves.
            let note = match (is_open, waiting, path.is_file()) {
                (true, ..) => t!("export.open_input"),
                (false, true, _) => t!("export.waiting"),
                (false, false, true) => t!("export.overwrites"),
                (false, false, false) => " ".into(),
            };
            ui.colored_label(ui.visuals().warn_fg_color, note);
            Foot::Do { text: t!("export.save").into_owned(), enabled: usable }
        },
    );
    if outcome == Outcome::Accepted {
        out.push(Action::ExportTo(path));
    }
    outcome
}

fn kinds(app: &App, ui: &mut Ui, out: &mut Actions) {
    let Some(entry) = app.session.selected() else { return };
    let name = |kind: ExportKind| t!(format!("export.kind_{}", kind.id())).into_owned();
    let kind = app.fields.export_kind;
    ui.label(t!("export.what"));
    let combo = ComboBox::from_id_salt("export_kind").selected_text(name(kind)).width(340.0);
    let shown = combo.show_ui(ui, |ui| {
        for other in ExportKind::ALL
            .into_iter()
            .filter(|kind| kind.suits(&entry.study, entry.cut(), app.session.models.segmenter.is_some()))
        {
            if ui.selectable_label(kind == other, name(other)).clicked() {
                out.push(Action::ExportKind(other));
            }
        }
    });
    shown.response.accessible_name(t!("export.what"));
}

/// What stands beside the scan, and on what paper.
fn looks(app: &App, ui: &mut Ui, out: &mut Actions) {
    let mut plain = app.settings.export_plain;
    if ui.checkbox(&mut plain, t!("export.plain_beside")).changed() {
        out.push(Action::ExportPlain(plain));
    }
    let mut light = app.settings.export_paper == Paper::Light;
    if ui.checkbox(&mut light, t!("export.light")).changed() {
        out.push(Action::ExportPaper(if light { Paper::Light } else { Paper::Dark }));
    }
}

fn size(app: &App, ui: &mut Ui, out: &mut Actions) {
    ui.horizontal(|ui| {
        ui.label(t!("export.size"));
        for magnification in Magnification::ALL {
            let text = format!("×{}", magnification.factor());
            if ui.selectable_label(app.settings.magnification == magnification, text).clicked() {
                out.push(Action::Magnification(magnification));
            }
        }
    });
}

//! Open, recent files, path field, export, settings, help.

use super::{Actions, command_button};
use crate::app::command::Command;
use crate::app::measuring::Tool;
use crate::app::{Action, App};
use egui::{Align, Button, Key, Layout, TextEdit, Ui};
use rust_i18n::t;
use std::path::PathBuf;

/// Width in points from which there is room for buttons beside the menus.
const ROOM_FOR_BUTTONS: f32 = 520.0;
/// A narrower field for a path would show nothing of it.
const SMALLEST_FIELD: f32 = 120.0;

pub fn show(app: &mut App, ui: &mut Ui, out: &mut Actions) {
    let selected = app.session.selected().is_some();
    ui.horizontal(|ui| {
        ui.menu_button(format!("📂 {}", t!("menu.file")), |ui| file_menu(app, ui, out));
        ui.menu_button(t!("menu.view"), |ui| {
            use Command::*;
            entries(ui, &[ToggleOverlay, ToggleContour, LessOpacity, MoreOpacity], out);
            ui.separator();
            entries(ui, &[Fit, ResetView, Invert, NextChannel, Planes, Cine, HidePanels, FullScreen], out);
            ui.separator();
            entries(ui, &[Distance, Angle, Area, Label, ClearMeasurements], out);
            ui.separator();
            entries(ui, &Command::PRESETS, out);
        });
        ui.menu_button(t!("menu.edit"), |ui| {
            use Command::*;
            entries(ui, &[Undo, Redo], out);
            ui.separator();
            entries(ui, &[Edit, SaveOutlines], out);
        });
        ui.menu_button(t!("menu.help"), |ui| {
            entries(ui, &[Command::Shortcuts, Command::ModelCard, Command::ImportModel, Command::Settings], out);
        });
        ui.separator();
        // The menus hold what a narrow window has no room for.
        if ui.available_width() > ROOM_FOR_BUTTONS {
            command_button(ui, "", Command::Open, true, out);
            command_button(ui, "💾", Command::Export, selected, out);
        }
        tools(app, ui, selected, out);
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            if ui.button("⚙").on_hover_text(Command::Settings.tooltip(ui)).clicked() {
                out.push(Action::Run(Command::Settings));
            }
            let hint = t!("open.path_hint");
            let width = ui.available_width().min(420.0);
            if width < SMALLEST_FIELD {
                return;
            }
            let field = TextEdit::singleline(&mut app.fields.path).hint_text(hint).desired_width(width);
            let response = ui.add(field).accessible_name(t!("open.path_hint"));
            if response.lost_focus() && ui.input(|i| i.key_pressed(Key::Enter)) {
                // The text stays, so that a mistyped path can be mended.
                if let Some(path) = typed_path(&app.fields.path) {
                    out.push(Action::Open(vec![path]));
                }
            }
        });
    });
}

/// What the left button does on the scan.
fn tools(app: &App, ui: &mut Ui, enabled: bool, out: &mut Actions) {
    let measures = [Tool::Distance, Tool::Angle, Tool::Area, Tool::Label];
    let measuring = measures.map(|tool| (tool.sign(), app.measuring.tool == tool, tool.command()));
    let editing = ("✏", app.editor.is_on, Command::Edit);
    for (sign, chosen, command) in measuring.into_iter().chain([editing]) {
        let button = Button::selectable(chosen, sign);
        let response = ui.add_enabled(enabled, button).on_hover_text(command.tooltip(ui));
        if response.accessible_name(command.label()).clicked() {
            out.push(Action::Run(command));
        }
    }
}

/// A path as people type or paste it: quoted, from the home folder, or as a file manager's address.
fn typed_path(text: &str) -> Option<PathBuf> {
    let text = text.trim().trim_matches('"');
    if text.is_empty() {
        return None;
    }
    if let Some(address) = text.strip_prefix("file://") {
        return Some(PathBuf::from(percent_decoded(address)));
    }
    match text.strip_prefix("~/").zip(directories::UserDirs::new()) {
        Some((rest, user)) => Some(user.home_dir().join(rest)),
        None => Some(PathBuf::from(text)),
    }
}

/// RFC 3986, section 2.1; what is no valid escape stays as it is.
fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let escaped = tail.get(..2).filter(|_| *first == b'%').and_then(|hex| std::str::from_utf8(hex).ok());
        match escaped.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            None => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn file_menu(app: &App, ui: &mut Ui, out: &mut Actions) {
    entries(ui, &[Command::Open, Command::OpenFolder, Command::OpenTruth], out);
    ui.menu_button(t!("menu.recent"), |ui| {
        if app.settings.recent.is_empty() {
            ui.weak(t!("menu.no_recent"));
        }
        for path in &app.settings.recent {
            let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
            if ui.button(name).on_hover_text(path.display().to_string()).clicked() {
                out.push(Action::Open(vec![path.clone()]));
            }
        }
    });
    ui.separator();
    entries(ui, &[Command::Split, Command::Join, Command::Tags], out);
    ui.separator();
    entries(ui, &[Command::Export, Command::Copy, Command::Remove], out);
}

/// Menu entries that run commands.
pub(super) fn entries(ui: &mut Ui, commands: &[Command], out: &mut Actions) {
    for command in commands {
        let shortcut = command.keys(ui).into_iter().next().unwrap_or_default();
        if ui.add(Button::new(command.label()).shortcut_text(shortcut)).clicked() {
            out.push(Action::Run(*command));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_understood_as_people_give_them() {
        let path = |text| typed_path(text).unwrap();
        assert_eq!(path("  \"/a b/c.png\" "), PathBuf::from("/a b/c.png"));
        assert_eq!(path("file:///a%20b/%C3%A9.png"), PathBuf::from("/a b/é.png"));
        assert_eq!(path("100%.png"), PathBuf::from("100%.png"));
        assert_eq!(typed_path("  "), None);
    }
}

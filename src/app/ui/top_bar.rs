//! Open, recent files, path field, export, settings, help.

use super::{Actions, command_button};
use crate::app::command::{Command, PRESETS};
use crate::app::{Action, App};
use egui::{Align, Button, Key, Layout, TextEdit, Ui};
use rust_i18n::t;
use std::path::PathBuf;

pub fn show(app: &mut App, ui: &mut Ui, out: &mut Actions) {
    let selected = app.session.selected().is_some();
    ui.horizontal(|ui| {
        ui.menu_button(format!("📂 {}", t!("menu.file")), |ui| file_menu(app, ui, out));
        ui.menu_button(t!("menu.view"), |ui| {
            use Command::*;
            entries(ui, &[ToggleOverlay, ToggleContour, LessOpacity, MoreOpacity], out);
            ui.separator();
            entries(ui, &[Fit, ResetView, Invert], out);
            ui.separator();
            entries(ui, &(1..=PRESETS).map(Preset).collect::<Vec<_>>(), out);
        });
        ui.menu_button(t!("menu.help"), |ui| {
            entries(ui, &[Command::Shortcuts, Command::ModelCard, Command::Settings], out);
        });
        ui.separator();
        command_button(ui, "", Command::Open, true, out);
        command_button(ui, "💾", Command::Export, selected, out);
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            if ui.button("⚙").on_hover_text(Command::Settings.tooltip(ui)).clicked() {
                out.push(Action::Run(Command::Settings));
            }
            let hint = t!("open.path_hint");
            let width = ui.available_width().min(420.0);
            let field = TextEdit::singleline(&mut app.fields.path).hint_text(hint).desired_width(width);
            let response = ui.add(field).accessible_name(t!("open.path_hint"));
            if response.lost_focus() && ui.input(|i| i.key_pressed(Key::Enter)) {
                let typed = app.fields.path.trim().trim_matches('"').to_string();
                if !typed.is_empty() {
                    out.push(Action::Open(vec![PathBuf::from(typed)]));
                    app.fields.path.clear();
                }
            }
        });
    });
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
    entries(ui, &[Command::Export, Command::Remove], out);
}

fn entries(ui: &mut Ui, commands: &[Command], out: &mut Actions) {
    for command in commands {
        let shortcut = command.shortcuts().first().map(|s| ui.format_shortcut(s)).unwrap_or_default();
        if ui.add(Button::new(command.label()).shortcut_text(shortcut)).clicked() {
            out.push(Action::Run(*command));
        }
    }
}

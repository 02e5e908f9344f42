//! Language, theme, drawing, device.

use super::Actions;
use super::dialog::{Foot, Outcome};
use crate::app::state::{Interpolation, Language, ThemeChoice};
use crate::app::{Action, App};
use crate::engine::device::DeviceChoice;
use egui::{Grid, Ui};
use rust_i18n::t;

pub fn show(app: &App, ui: &mut Ui, is_top: bool, out: &mut Actions) -> Outcome {
    let settings = &app.settings;
    let name = ("settings", t!("settings.title").into_owned());
    super::dialog::show(
        ui,
        name,
        is_top,
        |window| window.resizable(false),
        |ui| {
            Grid::new("settings").num_columns(2).spacing([18.0, 10.0]).show(ui, |ui| {
                ui.label(t!("settings.language"));
                choices(
                    ui,
                    &Language::ALL,
                    settings.language,
                    |l| l.name().to_string(),
                    |l| out.push(Action::Language(l)),
                );
                ui.label(t!("settings.theme"));
                let name = |theme: ThemeChoice| match theme {
                    ThemeChoice::Dark => t!("settings.dark").into_owned(),
                    ThemeChoice::Light => t!("settings.light").into_owned(),
                };
                choices(ui, &[ThemeChoice::Dark, ThemeChoice::Light], settings.theme, name, |t| {
                    out.push(Action::Theme(t))
                });
                ui.label(t!("settings.interpolation"));
                let name = |interpolation: Interpolation| match interpolation {
                    Interpolation::Nearest => t!("settings.nearest").into_owned(),
                    Interpolation::Linear => t!("settings.linear").into_owned(),
                };
                let both = [Interpolation::Nearest, Interpolation::Linear];
                choices(ui, &both, settings.interpolation, name, |i| out.push(Action::Interpolation(i)));
                ui.label(t!("settings.device"));
                let name = |device: DeviceChoice| device.label().to_string();
                choices(ui, &DeviceChoice::built(), settings.device, name, |d| out.push(Action::Device(d)));
            });
            ui.add_space(6.0);
            let mut restores = settings.restores;
            let restore =
                ui.checkbox(&mut restores, t!("settings.restores")).on_hover_text(t!("settings.restores_hint"));
            if restore.changed() {
                out.push(Action::Restores(restores));
            }
            ui.weak(t!("settings.scale_hint"));
            Foot::Close
        },
    )
}

/// A row of alternatives; `choose` is told of a new choice.
fn choices<T: Copy + PartialEq>(
    ui: &mut Ui,
    all: &[T],
    current: T,
    name: impl Fn(T) -> String,
    mut choose: impl FnMut(T),
) {
    ui.horizontal(|ui| {
        for item in all {
            if ui.selectable_label(*item == current, name(*item)).clicked() {
                choose(*item);
            }
        }
    });
    ui.end_row();
}

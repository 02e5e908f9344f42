//! The mask: whether it is shown, its sizes, and how it looks.

use super::{Actions, measurement_lines};
use crate::app::command::Command;
use crate::app::entry::Entry;
use crate::app::volumetry::Progress;
use crate::app::{Action, App};
use crate::domain::cascade::Gate;
use crate::domain::overlay::{OverlayColour, OverlayStyle};
use egui::{Button, CollapsingHeader, Color32, RichText, Ui};
use rust_i18n::t;

/// Draws whether the mask is shown, its sizes, and how it looks.
pub fn show(app: &App, ui: &mut Ui, entry: &Entry, out: &mut Actions) {
    ui.add_space(8.0);
    let mut shown = app.settings.show_overlay;
    let toggle = ui.checkbox(&mut shown, t!("findings.mask")).on_hover_text(Command::ToggleOverlay.tooltip(ui));
    if toggle.changed() {
        out.push(Action::ShowOverlay(shown));
    }
    if app.session.models.segmenter.is_none() {
        ui.weak(t!("findings.no_segmenter"));
    } else if app.session.gate(entry) == Gate::Closed {
        ui.weak(t!("findings.gate_closed"));
    } else if app.session.gate(entry).is_open()
        && app.session.segmentation(entry).is_none()
        && app.session.failure(entry).is_none()
    {
        ui.horizontal(|ui| {
            ui.spinner();
            ui.label(t!("findings.computing"));
        });
    }
    if let Some(facts) = app.textures.facts(entry) {
        for line in measurement_lines(&facts, app.session.thresholds.mask) {
            ui.label(line);
        }
    }
    volume(app, ui, entry);
    ui.add_space(4.0);
    CollapsingHeader::new(t!("findings.mask_controls")).id_salt("mask_controls").default_open(true).show(ui, |ui| {
        super::fit_sliders(ui);
        threshold(app, ui, out);
        looks(app, ui, out);
    });
}

/// The whole mask of a study of several slices.
fn volume(app: &App, ui: &mut Ui, entry: &Entry) {
    let Some(progress) = app.volumetry.progress(&app.session) else { return };
    ui.add_space(6.0);
    ui.label(RichText::new(t!("volume.title")).strong());
    match progress {
        Progress::Outlining(done, total) => _ = ui.weak(t!("volume.outlining", done = done, total = total)),
        Progress::Measuring => _ = ui.weak(t!("findings.computing")),
        Progress::Done(sizes) => {
            for line in super::volume_lines(&sizes, entry.count()) {
                ui.label(line);
            }
        }
    }
}

/// From which probability on a pixel belongs to the mask.
fn threshold(app: &App, ui: &mut Ui, out: &mut Actions) {
    ui.horizontal(|ui| {
        ui.label(t!("findings.mask_threshold"));
        ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
            let name = t!("findings.reset_mask");
            if ui.small_button("⟲").accessible_name(name.clone()).on_hover_text(name).clicked() {
                out.push(Action::ResetMaskThreshold);
            }
        });
    });
    let mut value = app.session.thresholds.mask;
    let slider = super::share_slider(&mut value, 0.01..=0.99).step_by(0.01).trailing_fill(true);
    if ui.add(slider).accessible_name(t!("findings.mask_threshold")).changed() {
        out.push(Action::MaskThreshold(value));
    }
}

/// Colour, contour and opacity.
fn looks(app: &App, ui: &mut Ui, out: &mut Actions) {
    let style = app.settings.overlay;
    ui.horizontal(|ui| {
        for colour in OverlayColour::ALL {
            let [r, g, b] = colour.rgb();
            let name = t!(format!("colour.{}", colour.id()));
            let chosen = style.colour == colour;
            let stroke = if chosen { ui.visuals().text_color() } else { Color32::TRANSPARENT };
            let swatch =
                Button::new("").fill(Color32::from_rgb(r, g, b)).min_size(egui::vec2(26.0, 20.0)).stroke((2.0, stroke));
            if ui.add(swatch).accessible_name(name.clone()).on_hover_text(name).clicked() {
                out.push(Action::Overlay(OverlayStyle { colour, ..style }));
            }
        }
        let mut contour = style.contour;
        let contour_box = ui.checkbox(&mut contour, t!("findings.contour"));
        if contour_box.on_hover_text(Command::ToggleContour.tooltip(ui)).changed() {
            out.push(Action::Overlay(OverlayStyle { contour, ..style }));
        }
    });
    ui.label(t!("findings.opacity"));
    let mut opacity = style.opacity;
    let slider = super::share_slider(&mut opacity, 0.0..=1.0).trailing_fill(true);
    if ui.add(slider).accessible_name(t!("findings.opacity")).on_hover_text(Command::MoreOpacity.tooltip(ui)).changed()
    {
        out.push(Action::Overlay(OverlayStyle { opacity, ..style }));
    }
}

//! Right: what the models say of the selected slice, and where yes begins.

use super::headline::contradiction_line;
use super::{Actions, class_name, measurement_lines};
use crate::app::command::Command;
use crate::app::entry::Entry;
use crate::app::session::Models;
use crate::app::volumetry::Progress;
use crate::app::{Action, App, theme};
use crate::domain::card::{Sequence, Task};
use crate::domain::cascade::Gate;
use crate::domain::geometry::Plane;
use crate::domain::overlay::{OverlayColour, OverlayStyle};
use crate::domain::prediction::Classification;
use crate::domain::study::{Mismatch, Warning, mm};
use egui::{Button, Color32, ComboBox, Frame, Label, Margin, ProgressBar, RichText, ScrollArea, Slider, Ui};
use rust_i18n::t;

pub fn show(app: &App, ui: &mut Ui, out: &mut Actions) {
    ScrollArea::vertical().auto_shrink(false).show(ui, |ui| {
        ui.spacing_mut().slider_width = (ui.available_width() - 66.0).max(100.0);
        ui.horizontal(|ui| {
            ui.heading(t!("findings.title"));
            ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
                if ui.button("ℹ").on_hover_text(Command::ModelCard.tooltip(ui)).clicked() {
                    out.push(Action::Run(Command::ModelCard));
                }
            });
        });
        let Some(entry) = app.session.selected() else {
            ui.weak(t!("list.empty"));
            return;
        };
        if entry.why_unreadable().is_some() {
            ui.label(t!("findings.unreadable"));
            return;
        }
        warnings(app, ui, entry);
        super::headline::show(app, ui, entry, out);
        if entry.is_asked_view() {
            verdict(app, ui, entry);
        }
        thresholds(app, ui, out);
        mask(app, ui, entry, out);
        ui.add_space(8.0);
        super::operating_curve::show(app, ui);
        ui.add_space(8.0);
        ui.collapsing(t!("findings.models"), |ui| models(app, ui, out));
    });
}

fn warnings(app: &App, ui: &mut Ui, entry: &Entry) {
    let slice = &entry.shown.slice;
    let mut texts: Vec<String> = entry.study.warnings.iter().chain(&slice.warnings).map(warning).collect();
    texts.extend(entry.shown.truth_problem.as_ref().map(|why| t!("warning.truth_unusable", why = why).into_owned()));
    let cards = app.classifier_card().into_iter().chain(app.segmenter_card());
    let unlike = entry.study.subject.mismatches_of(slice, cards);
    texts.extend(unlike.iter().map(mismatch));
    texts.extend(app.session.failure(entry).map(str::to_string));
    for text in texts {
        Frame::new().fill(theme::CAUTION.gamma_multiply(0.14)).corner_radius(6).inner_margin(Margin::same(7)).show(
            ui,
            |ui| {
                ui.add(egui::Label::new(RichText::new(format!("⚠ {text}")).size(12.5)).wrap());
            },
        );
    }
}

fn warning(warning: &Warning) -> String {
    match warning {
        Warning::Rotated => t!("warning.rotated"),
        Warning::MirrorIgnored => t!("warning.mirror_ignored"),
        Warning::ColourToGrey => t!("warning.colour_to_grey"),
        Warning::Transparency => t!("warning.transparency"),
        Warning::FewGreys => t!("warning.few_greys"),
        Warning::TruthUnusable(why) => t!("warning.truth_unusable", why = why),
        Warning::OrientationUnknown => t!("warning.orientation_unknown"),
        Warning::OrderUnknown => t!("warning.order_unknown"),
        Warning::OrderByLocation => t!("warning.order_by_location"),
        Warning::OrderAsStored => t!("warning.order_as_stored"),
        Warning::Gaps { largest_mm } => t!("warning.gaps", mm = format!("{:.1}", mm(*largest_mm))),
        Warning::Duplicates(n) => t!("warning.duplicates", n = n),
        Warning::CopiesLeftOut(n) => t!("warning.copies_left_out", n = n),
        Warning::MixedOrientations(n) => t!("warning.mixed_orientations", n = n),
        Warning::LeftOut(n) => t!("warning.left_out", n = n),
        Warning::Contradiction(what) => t!("warning.contradiction", what = what),
        Warning::FurtherTimes(n) => t!("warning.further_times", n = n),
        Warning::DetectorSpacing => t!("warning.detector_spacing"),
        Warning::WindowUnusable => t!("warning.window_unusable"),
    }
    .into_owned()
}

fn mismatch(mismatch: &Mismatch) -> String {
    match mismatch {
        Mismatch::Modality { study, model } => t!("mismatch.modality", study = study, model = model),
        Mismatch::BodyPart { study, model } => t!("mismatch.body_part", study = study, model = model),
        Mismatch::Plane { study, model } => {
            let name = |plane: &Plane| t!(format!("plane.{}", plane.id())).to_lowercase();
            t!("mismatch.plane", study = name(study), model = name(model))
        }
    }
    .into_owned()
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

fn verdict(app: &App, ui: &mut Ui, entry: &Entry) {
    let Some(classification) = app.session.classification(entry) else {
        let waiting = app.session.models.classifier.is_some() && app.session.classifier_failure(entry).is_none();
        ui.add_space(4.0);
        ui.horizontal(|ui| {
            if waiting {
                ui.spinner();
                ui.label(t!("findings.computing"));
            } else if app.session.models.classifier.is_none() {
                ui.label(t!("findings.no_classifier"));
            } else {
                ui.label(t!("findings.no_answer"));
            }
        });
        return;
    };
    let verdict = classification.verdict(app.session.thresholds.classifier);
    let (text, colour) = (super::verdict_text(&verdict), super::verdict_colour(&verdict));
    Frame::new()
        .fill(colour.gamma_multiply(0.16))
        .stroke((1.0, colour))
        .corner_radius(8)
        .inner_margin(Margin::same(9))
        .show(ui, |ui| {
            ui.take_available_width();
            let size = if entry.count() > 1 { 14.0 } else { 17.0 };
            ui.add(Label::new(RichText::new(text).size(size).strong()).wrap());
            contradiction_line(ui, app.session.contradiction(entry), "slice");
        });
    bars(ui, classification);
    let calibrated = if classification.calibrated { t!("findings.calibrated") } else { t!("findings.uncalibrated") };
    ui.label(RichText::new(calibrated).small().weak());
    neighbours(app, ui, entry);
}

/// Whether a model looked at the slice among those beside it.
fn neighbours(app: &App, ui: &mut Ui, entry: &Entry) {
    let mut cards = app.classifier_card().into_iter().chain(app.segmenter_card());
    let among = entry.count() > 1 && cards.any(|card| card.input.neighbours);
    let text = if among { t!("findings.among_neighbours") } else { t!("findings.on_its_own") };
    ui.label(RichText::new(text).small().weak());
    sequence(app, ui, entry);
}

/// What the models were given of a picture of several sequences.
fn sequence(app: &App, ui: &mut Ui, entry: &Entry) {
    let classification = app.session.classification(entry).and_then(|c| c.sequence);
    let Some(sequence) = classification.or_else(|| app.session.segmentation(entry).and_then(|s| s.sequence)) else {
        return;
    };
    let name = t!(format!("sequence.{}", sequence.id()));
    let text = match sequence.channel().filter(|_| sequence != Sequence::Three) {
        Some(channel) => t!("findings.sequence_in_channel", name = name, n = channel.number()),
        None => t!("findings.sequence", name = name),
    };
    ui.label(RichText::new(text).small().weak());
}

fn bars(ui: &mut Ui, classification: &Classification) {
    for (i, (class, p)) in classification.classes.iter().enumerate() {
        ui.horizontal(|ui| {
            ui.label(class_name(class));
            ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
                ui.monospace(format!("{:.1} %", p * 100.0));
            });
        });
        let colour = if classification.is_finding(i) { theme::DANGER } else { theme::NEUTRAL };
        let bar = ProgressBar::new(*p as f32).desired_height(7.0).corner_radius(3).fill(colour.gamma_multiply(0.85));
        ui.add(bar);
    }
}

fn thresholds(app: &App, ui: &mut Ui, out: &mut Actions) {
    ui.add_space(8.0);
    let thresholds = app.session.thresholds;
    ui.horizontal(|ui| {
        let label = ui.label(t!("findings.threshold"));
        label.on_hover_text(t!("findings.threshold_hint"));
        ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
            let reset = ui.small_button(t!("findings.reset")).on_hover_text(Command::ResetThreshold.tooltip(ui));
            if reset.clicked() {
                out.push(Action::Run(Command::ResetThreshold));
            }
        });
    });
    let mut value = thresholds.classifier;
    let slider = Slider::new(&mut value, 0.01..=0.99).fixed_decimals(2).step_by(0.01).trailing_fill(true);
    if ui.add(slider).accessible_name(t!("findings.threshold")).changed() {
        out.push(Action::Threshold(value));
    }
    ui.horizontal(|ui| {
        ui.label(t!("findings.mask_threshold"));
        ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
            let name = t!("findings.reset_mask");
            if ui.small_button("⟲").accessible_name(name.clone()).on_hover_text(name).clicked() {
                out.push(Action::ResetMaskThreshold);
            }
        });
    });
    let mut value = thresholds.mask;
    let slider = Slider::new(&mut value, 0.01..=0.99).fixed_decimals(2).step_by(0.01).trailing_fill(true);
    if ui.add(slider).accessible_name(t!("findings.mask_threshold")).changed() {
        out.push(Action::MaskThreshold(value));
    }
}

fn mask(app: &App, ui: &mut Ui, entry: &Entry, out: &mut Actions) {
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
    let slider = Slider::new(&mut opacity, 0.0..=1.0).fixed_decimals(2).trailing_fill(true);
    if ui.add(slider).accessible_name(t!("findings.opacity")).on_hover_text(Command::MoreOpacity.tooltip(ui)).changed()
    {
        out.push(Action::Overlay(OverlayStyle { opacity, ..style }));
    }
}

fn models(app: &App, ui: &mut Ui, out: &mut Actions) {
    let current = &app.session.models;
    for (label, segmenter) in [(t!("findings.classifier"), false), (t!("findings.segmenter"), true)] {
        let chosen = if segmenter { &current.segmenter } else { &current.classifier };
        let none = t!("findings.none").into_owned();
        ui.label(label.clone());
        let combo = ComboBox::from_id_salt(segmenter).selected_text(chosen.clone().unwrap_or_else(|| none.clone()));
        let shown = combo.width(ui.available_width() - 8.0).show_ui(ui, |ui| {
            let ids = app.cards.values().filter(|c| (c.task == Task::Segmentation) == segmenter).map(|c| c.id.clone());
            for id in std::iter::once(None).chain(ids.map(Some)) {
                let text = id.clone().unwrap_or_else(|| none.clone());
                if ui.selectable_label(*chosen == id, text).clicked() {
                    let mut models = Models::clone(current);
                    *(if segmenter { &mut models.segmenter } else { &mut models.classifier }) = id;
                    out.push(Action::Models(models));
                }
            }
        });
        shown.response.accessible_name(label);
    }
}

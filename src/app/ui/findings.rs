//! Right: what the models say of the selected slice, and where yes begins.

use super::headline::contradiction_line;
use super::{Actions, class_name};
use crate::app::command::Command;
use crate::app::entry::Entry;
use crate::app::words::{decimal, mismatch_text, percent_of};
use crate::app::{Action, App, theme};
use crate::domain::card::Sequence;
use crate::domain::input_gate::InputGate;
use crate::domain::prediction::Classification;
use crate::domain::study::{Warning, mm};
use egui::{Frame, Label, Margin, ProgressBar, RichText, ScrollArea, Ui};
use rust_i18n::t;

/// Draws the panel. The headline stays on top while the rest scrolls.
pub fn show(app: &App, ui: &mut Ui, out: &mut Actions) {
    ui.horizontal(|ui| {
        ui.heading(t!("findings.title"));
        ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
            if ui.button("ℹ").on_hover_text(Command::ModelCard.tooltip(ui)).clicked() {
                out.push(Action::Run(Command::ModelCard));
            }
        });
    });
    let entry = app.session.selected().filter(|entry| entry.why_unreadable().is_none());
    if let Some(entry) = entry {
        super::headline::show(app, ui, entry, out);
        super::input_gate::show(app, ui, entry, out);
        if entry.count() == 1 && entry.is_asked_view() {
            verdict(app, ui, entry);
        }
    }
    ScrollArea::vertical().auto_shrink(false).show(ui, |ui| {
        super::fit_sliders(ui);
        super::models::show(app, ui, out);
        match (entry, app.session.selected()) {
            (Some(entry), _) => of_slice(app, ui, entry, out),
            (None, Some(_)) => _ = ui.label(t!("findings.unreadable")),
            (None, None) => _ = ui.weak(t!("list.empty")),
        }
    });
}

/// What is said of the slice on show, and where yes begins.
fn of_slice(app: &App, ui: &mut Ui, entry: &Entry, out: &mut Actions) {
    warnings(app, ui, entry);
    if entry.count() > 1 && entry.is_asked_view() {
        verdict(app, ui, entry);
    }
    if let Some(classification) = app.session.classification(entry) {
        details(app, ui, entry, classification);
    }
    super::thresholds::show(app, ui, out);
    super::why::show(app, ui, entry, out);
    super::mask_controls::show(app, ui, entry, out);
}

fn warnings(app: &App, ui: &mut Ui, entry: &Entry) {
    let slice = &entry.shown.slice;
    let mut texts: Vec<String> = entry.study.warnings.iter().chain(&slice.warnings).map(warning).collect();
    texts.extend(entry.shown.truth_problem.as_ref().map(|why| t!("warning.truth_unusable", why = why).into_owned()));
    let cards = app.classifier_card().into_iter().chain(app.segmenter_card());
    let unlike = entry.study.subject.mismatches_of(slice, cards);
    // The input gate says it where it withholds answers.
    let is_told = app.session.input_gate(entry).is_some_and(InputGate::is_unlike);
    texts.extend(unlike.iter().filter(|_| !is_told).map(mismatch_text));
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
        Warning::Gaps { largest_mm } => t!("warning.gaps", mm = decimal(mm(*largest_mm), 1)),
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

fn verdict(app: &App, ui: &mut Ui, entry: &Entry) {
    if app.session.is_withheld(entry, entry.shown.place) {
        return;
    }
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
}

/// Probabilities of the classes, and what the models were given.
fn details(app: &App, ui: &mut Ui, entry: &Entry, classification: &Classification) {
    bars(ui, classification);
    let calibrated =
        if classification.is_calibrated() { t!("findings.calibrated") } else { t!("findings.uncalibrated") };
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
                ui.monospace(percent_of(classification, *p));
            });
        });
        let colour = if classification.is_finding(i) { theme::DANGER } else { theme::NEUTRAL };
        let bar = ProgressBar::new(*p as f32).desired_height(7.0).corner_radius(3).fill(colour.gamma_multiply(0.85));
        ui.add(bar);
    }
}

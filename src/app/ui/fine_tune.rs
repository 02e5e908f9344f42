//! The dialog of a fine-tune: what there is to learn from, how far it is, old against new, and the new model's name.

use super::Actions;
use super::card_plots::plain;
use super::dialog::{Foot, Outcome};
use crate::app::fine_tuning::{Stage, conclusion};
use crate::app::words::decimal;
use crate::app::{Action, App, theme};
use crate::domain::card::is_model_id;
use crate::tuning::Comparison;
use crate::tuning::comparison::{Dice, Mean};
use egui::{Grid, ProgressBar, RichText, ScrollArea, TextEdit, Ui};
use egui_plot::{Line, PlotPoints};
use rust_i18n::t;
use std::time::Duration;

const WIDTH: f32 = 440.0;

pub fn show(app: &mut App, ui: &mut Ui, is_top: bool, out: &mut Actions) -> Outcome {
    let name = ("fine_tune", t!("tune.title").into_owned());
    let outcome = super::dialog::show(
        ui,
        name,
        is_top,
        |window| window.resizable(false).default_width(WIDTH),
        |ui| {
            ui.set_width(WIDTH);
            let stage = app.fine_tuning.stage.clone();
            let contents = ScrollArea::vertical().max_height(super::dialog_height(ui));
            let foot = contents.show(ui, |ui| match stage {
                Stage::Ready => start(app, ui),
                Stage::Finished(comparison) => finished(app, ui, &comparison),
                stage => {
                    running(app, ui, &stage, out);
                    Foot::Close
                }
            });
            foot.inner
        },
    );
    match (outcome, &app.fine_tuning.stage) {
        (Outcome::Accepted, Stage::Ready) => out.push(Action::StartTuning),
        (Outcome::Accepted, Stage::Finished(_)) => out.push(Action::InstallTuned),
        // What was looked at may be forgotten; its run stays on the disk.
        (Outcome::Closed, Stage::Finished(_)) => out.push(Action::NewTuning),
        _ => {}
    }
    if outcome == Outcome::Accepted { Outcome::Stays } else { outcome }
}

fn start(app: &mut App, ui: &mut Ui) -> Foot {
    ui.label(t!("tune.text"));
    ui.add_space(6.0);
    let folder = app.corrections.as_ref().map(|c| c.folder.display().to_string()).unwrap_or_default();
    let enough = match &app.fine_tuning.summary {
        Some(Ok(summary)) => {
            ui.label(t!("tune.there", slices = summary.slices, patients = summary.patients));
            summary.slices >= 2
        }
        Some(Err(why)) => {
            ui.colored_label(ui.visuals().error_fg_color, why);
            false
        }
        None => {
            ui.spinner();
            false
        }
    };
    ui.weak(folder);
    if !enough {
        ui.label(t!("tune.more"));
    }
    ui.add_space(6.0);
    let model = app.session.models.segmenter.clone();
    ui.label(t!("tune.from", model = model.clone().unwrap_or_else(|| t!("findings.none").into_owned())));
    ui.horizontal(|ui| {
        ui.label(t!("tune.rehearse"));
        let field = TextEdit::singleline(&mut app.fine_tuning.rehearse).desired_width(f32::INFINITY);
        let field = field.hint_text(t!("tune.rehearse_none"));
        ui.add(field).accessible_name(t!("tune.rehearse")).on_hover_text(t!("tune.rehearse_hint"));
    });
    Foot::Do { text: t!("tune.start").into_owned(), enabled: enough && model.is_some() }
}

fn running(app: &App, ui: &mut Ui, stage: &Stage, out: &mut Actions) {
    let (text, share) = match stage {
        Stage::Reading(share) => (t!("tune.reading").into_owned(), *share),
        Stage::Learning(share, left) => (learning(*left), *share),
        Stage::Comparing(share) => (t!("tune.comparing").into_owned(), *share),
        _ => (t!("tune.stopped").into_owned(), 0.0),
    };
    ui.label(t!("tune.of", model = app.fine_tuning.model));
    ui.label(text);
    if app.fine_tuning.is_running() {
        ui.add(ProgressBar::new(share).show_percentage());
    }
    curve(app, ui);
    ui.horizontal(|ui| {
        if app.fine_tuning.is_running() {
            if ui.button(t!("tune.stop")).on_hover_text(t!("tune.stop_hint")).clicked() {
                out.push(Action::StopTuning);
            }
        } else {
            if ui.button(t!("tune.continue")).clicked() {
                out.push(Action::ContinueTuning);
            }
            if ui.button(t!("tune.anew")).clicked() {
                out.push(Action::NewTuning);
            }
        }
    });
    if app.fine_tuning.is_running() {
        ui.weak(t!("tune.background"));
    }
}

fn learning(left: Option<Duration>) -> String {
    let Some(left) = left else { return t!("tune.learning").into_owned() };
    let seconds = left.as_secs();
    let time = if seconds < 90 { format!("{seconds} s") } else { format!("{} min", seconds.div_ceil(60)) };
    t!("tune.left", time = time).into_owned()
}

/// The mean loss of each epoch so far.
fn curve(app: &App, ui: &mut Ui) {
    let losses = &app.fine_tuning.curve;
    if losses.len() < 2 {
        return;
    }
    ui.label(RichText::new(t!("card.loss")).small().weak());
    let points: PlotPoints = losses.iter().enumerate().map(|(i, loss)| [i as f64 + 1.0, *loss]).collect();
    plain("tuning").height(110.0).include_y(0.0).show(ui, |plot| {
        plot.line(Line::new(t!("card.loss"), points).color(theme::ACCENT).width(2.0));
    });
}

fn finished(app: &mut App, ui: &mut Ui, comparison: &Comparison) -> Foot {
    let Comparison { learnt_slices, learnt_patients, model, .. } = comparison;
    ui.label(t!("tune.learnt", slices = learnt_slices, patients = learnt_patients));
    curve(app, ui);
    let both = [("tune.held_out", &comparison.corrections), ("tune.earlier", &comparison.earlier)];
    for (name, dice) in both {
        if let Some(dice) = dice {
            table(ui, name, dice, model);
        }
    }
    ui.add_space(4.0);
    ui.label(RichText::new(conclusion(comparison.conclusion)).strong());
    if comparison.known_to_old > 0 {
        ui.label(t!("tune.known_to_old", n = comparison.known_to_old, model = model));
    }
    if comparison.patients_guessed {
        ui.label(t!("tune.guessed"));
    }
    ui.add_space(6.0);
    ui.horizontal(|ui| {
        ui.label(t!("import.id"));
        let field = TextEdit::singleline(&mut app.fine_tuning.name).desired_width(220.0);
        ui.add(field).accessible_name(t!("import.id"));
    });
    ui.weak(t!("tune.install_hint"));
    let enabled = is_model_id(app.fine_tuning.name.trim());
    Foot::Do { text: t!("tune.install").into_owned(), enabled }
}

/// Dice of both models on the same slices.
fn table(ui: &mut Ui, name: &str, dice: &Dice, model: &str) {
    ui.add_space(4.0);
    ui.label(RichText::new(t!(name, slices = dice.slices, patients = dice.patients)).strong());
    let interval = |mean: &Mean, signed: bool| {
        let number = |v: f64| format!("{}{}", if signed && v > 0.0 { "+" } else { "" }, decimal(v, 3));
        let range = mean.ci95.map_or(String::new(), |[low, high]| format!("  ({} – {})", number(low), number(high)));
        format!("{}{range}", number(mean.value))
    };
    Grid::new(name).num_columns(2).spacing([18.0, 4.0]).show(ui, |ui| {
        let rows = [
            (model.to_string(), interval(&dice.old, false)),
            (t!("tune.new").into_owned(), interval(&dice.new, false)),
            (t!("tune.difference").into_owned(), interval(&dice.difference, true)),
        ];
        for (name, value) in rows {
            ui.label(name);
            ui.monospace(value);
            ui.end_row();
        }
    });
    ui.weak(t!("tune.dice"));
}

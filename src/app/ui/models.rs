//! Under the headline: the models in use, in words, and how to add or remove one.

use super::Actions;
use crate::app::command::Command;
use crate::app::session::Models;
use crate::app::words::model_words;
use crate::app::{Action, App};
use crate::domain::card::Task;
use egui::{Align, ComboBox, Layout, RichText, Ui, vec2};
use rust_i18n::t;

/// Width of the names of the two kinds of model, in points.
const NAMES: f32 = 82.0;
/// Width that the edges and the arrow of a list of models take beside its text, in points.
const EDGES: f32 = 12.0;

pub fn show(app: &App, ui: &mut Ui, out: &mut Actions) {
    for segmenter in [false, true] {
        ui.horizontal(|ui| choice(app, ui, segmenter, out));
    }
    ui.horizontal(|ui| {
        if ui.small_button(Command::ImportModel.label()).clicked() {
            out.push(Action::Run(Command::ImportModel));
        }
        if ui.small_button(Command::FineTune.label()).on_hover_text(t!("tune.hint")).clicked() {
            out.push(Action::Run(Command::FineTune));
        }
        let own = !app.own_models.is_empty();
        ui.add_enabled_ui(own, |ui| {
            ui.menu_button(RichText::new(t!("models.remove")).small(), |ui| {
                for id in &app.own_models {
                    if ui.button(id).clicked() {
                        out.push(Action::AskToRemove(id.clone()));
                    }
                }
            });
        })
        .response
        .on_hover_text(t!("models.remove_hint"));
    });
}

/// One of the two models in use, described in words; its id is in the list and in the tooltip.
fn choice(app: &App, ui: &mut Ui, segmenter: bool, out: &mut Actions) {
    let current = &app.session.models;
    let (label, chosen) = if segmenter {
        (t!("findings.segmenter"), &current.segmenter)
    } else {
        (t!("findings.classifier"), &current.classifier)
    };
    let height = ui.spacing().interact_size.y;
    ui.allocate_ui_with_layout(vec2(NAMES, height), Layout::left_to_right(Align::Center), |ui| {
        ui.set_min_width(NAMES);
        ui.label(RichText::new(label.clone()).small());
    });
    let none = t!("findings.none").into_owned();
    let card = chosen.as_ref().and_then(|id| app.cards.get(id));
    let words = card.map_or_else(|| none.clone(), model_words);
    let combo = ComboBox::from_id_salt(("model", segmenter)).selected_text(words).truncate();
    let shown = combo.width(ui.available_width() - EDGES).show_ui(ui, |ui| {
        let fits = app.cards.values().filter(|card| (card.task == Task::Segmentation) == segmenter);
        let known = fits.map(|card| (Some(card.id.clone()), format!("{}: {}", card.id, model_words(card))));
        for (id, text) in std::iter::once((None, none.clone())).chain(known) {
            if ui.selectable_label(*chosen == id, text).clicked() {
                let mut models = Models::clone(current);
                *(if segmenter { &mut models.segmenter } else { &mut models.classifier }) = id;
                out.push(Action::Models(models));
            }
        }
    });
    let response = shown.response.accessible_name(label);
    if let Some(card) = card {
        response.on_hover_text(format!("{} {}\n{}", card.id, card.version, card.name));
    }
}

//! The cards of the models in use, in full.

use super::dialog::{Foot, Outcome};
use crate::app::App;
use crate::app::words::decimal;
use crate::domain::card::{Card, Level, Metric};
use egui::{Grid, RichText, ScrollArea, Ui};
use rust_i18n::t;
use std::collections::BTreeMap;

pub fn show(app: &App, ui: &mut Ui, is_top: bool) -> Outcome {
    let name = ("model_card", t!("card.title").into_owned());
    super::dialog::show(
        ui,
        name,
        is_top,
        |window| window.default_size([520.0, 460.0]),
        |ui| {
            ScrollArea::vertical().max_height(super::dialog_height(ui)).show(ui, |ui| {
                let cards: Vec<&Card> = app.classifier_card().into_iter().chain(app.segmenter_card()).collect();
                if cards.is_empty() {
                    ui.label(t!("card.none"));
                }
                for card in cards {
                    one(ui, card);
                    ui.add_space(12.0);
                }
            });
            Foot::Close
        },
    )
}

fn one(ui: &mut Ui, card: &Card) {
    ui.heading(&card.name);
    ui.label(RichText::new(&card.intended_use).italics());
    ui.label(&card.limits);
    super::card_plots::show(ui, card);
    Grid::new(&card.id).num_columns(2).striped(true).min_col_width(110.0).show(ui, |ui| {
        let mut row = |name: String, value: String| {
            ui.label(RichText::new(name).weak());
            ui.add(egui::Label::new(value).wrap());
            ui.end_row();
        };
        row(t!("card.id").into(), format!("{} {}", card.id, card.version));
        row(t!("card.architecture").into(), card.architecture.clone());
        row(
            t!("card.input").into(),
            format!("{0} × {0} × {1}, {2}", card.input.side, card.input.channels, card.input.modality),
        );
        if card.input.neighbours {
            row(t!("card.sees").into(), t!("card.neighbours").into());
        }
        if card.input.mirrored {
            row(t!("card.answer").into(), t!("card.mirrored").into());
        }
        row(t!("card.licence").into(), card.licence.clone());
        row("sha256".into(), card.sha256.get(..12).unwrap_or_default().into());
        if let Some(training) = &card.training {
            row(t!("card.data").into(), training.data.clone());
        }
        if let Some(c) = card.calibration {
            let text = t!(
                "card.calibration",
                temperature = decimal(c.temperature, 2),
                before = decimal(c.ece_before, 3),
                after = decimal(c.ece_after, 3)
            );
            row(t!("card.calibrated").into(), text.into());
        }
        let mut figures = |prefix: &str, metrics: &BTreeMap<String, Metric>| {
            for (name, metric) in metrics {
                let interval = metric
                    .ci95
                    .map_or(String::new(), |[low, high]| format!(" ({}–{})", decimal(low, 3), decimal(high, 3)));
                let level = match metric.level {
                    Level::Patient | Level::OutOfFold => t!("card.patient_level", n = metric.n_patients),
                    Level::SliceLeaky => t!("card.slice_level", n = metric.n_patients),
                };
                row(format!("{prefix}{name}"), format!("{}{interval}, {level}", decimal(metric.value, 3)));
            }
        };
        figures("", &card.metrics);
        for (source, metrics) in &card.by_source {
            figures(&format!("{source}: "), metrics);
        }
    });
}

//! A model card in pictures: how training went, ROC, precision against recall, and what was taken for what.

use super::class_name;
use crate::app::theme;
use crate::domain::card::{Card, Confusion, Epoch, OperatingPoint};
use egui::{Color32, Grid, RichText, Ui};
use egui_plot::{Line, Plot, PlotPoints};
use rust_i18n::t;
use std::fmt::Debug;
use std::hash::Hash;

const HEIGHT: f32 = 150.0;

/// Draws what the card has figures for.
pub fn show(ui: &mut Ui, card: &Card) {
    if card.history.len() > 1 {
        history(ui, card);
    }
    if !card.operating_curve.is_empty() {
        ui.columns(2, |columns| {
            let points =
                |f: fn(&OperatingPoint) -> [f64; 2]| -> Vec<[f64; 2]> { card.operating_curve.iter().map(f).collect() };
            // From "everything is an alarm" to "nothing is", whatever thresholds the card lists.
            let roc = [vec![[1.0, 1.0]], points(|p| [1.0 - p.specificity, p.recall]), vec![[0.0, 0.0]]].concat();
            unit_plot(&mut columns[0], &card.id, "roc", t!("card.roc").into(), roc);
            // A threshold without alarms has no precision.
            let pr = card.operating_curve.iter().filter(|p| p.recall > 0.0).map(|p| [p.recall, p.precision]).collect();
            unit_plot(&mut columns[1], &card.id, "pr", t!("card.precision_recall").into(), pr);
        });
    }
    if let Some(matrix) = &card.confusion {
        confusion(ui, &card.id, matrix);
    }
}

/// A plot to look at, not to handle.
pub fn plain(id: impl Hash + Debug) -> Plot<'static> {
    Plot::new(id)
        .height(HEIGHT)
        .allow_drag(false)
        .allow_zoom(false)
        .allow_scroll(false)
        .allow_boxed_zoom(false)
        .y_axis_min_width(26.0)
        .label_formatter(|_| None)
}

fn history(ui: &mut Ui, card: &Card) {
    ui.label(RichText::new(t!("card.history")).strong());
    let line = |name: &str, colour: Color32, f: fn(&Epoch) -> Option<f64>| {
        let points: PlotPoints =
            card.history.iter().enumerate().filter_map(|(i, e)| Some([i as f64 + 1.0, f(e)?])).collect();
        Line::new(name.to_string(), points).color(colour).width(2.0)
    };
    let (loss, validation) = (t!("card.loss"), t!("card.validation"));
    plain((&card.id, "history")).include_y(0.0).include_y(1.0).show(ui, |plot| {
        plot.line(line(&loss, theme::CAUTION, |e| Some(e.loss)));
        plot.line(line(&validation, theme::ACCENT, |e| e.validation));
    });
    legend(ui, [(&loss, theme::CAUTION), (&validation, theme::ACCENT)]);
}

/// Names of lines in their colours.
pub fn legend(ui: &mut Ui, lines: [(&str, Color32); 2]) {
    ui.horizontal(|ui| {
        for (name, colour) in lines {
            ui.label(RichText::new("●").small().color(colour));
            ui.label(RichText::new(name).small().weak());
        }
    });
}

fn unit_plot(ui: &mut Ui, card: &str, name: &str, title: String, points: Vec<[f64; 2]>) {
    ui.label(RichText::new(&title).strong());
    let plot = plain((card, name)).default_x_bounds(0.0, 1.0).default_y_bounds(0.0, 1.05);
    plot.show(ui, |plot| plot.line(Line::new(title, points).color(theme::ACCENT).width(2.0)));
}

/// Cells as dark as their share of the true class.
fn confusion(ui: &mut Ui, card: &str, matrix: &Confusion) {
    ui.label(RichText::new(t!("card.confusion")).strong());
    Grid::new((card, "confusion")).min_col_width(72.0).show(ui, |ui| {
        ui.label("");
        for class in &matrix.classes {
            ui.label(RichText::new(class_name(class)).small().weak());
        }
        ui.end_row();
        for (row, (class, counts)) in matrix.classes.iter().zip(&matrix.counts).enumerate() {
            ui.label(RichText::new(class_name(class)).small());
            let total = counts.iter().sum::<usize>().max(1) as f32;
            for (column, count) in counts.iter().enumerate() {
                let colour = if row == column { theme::ACCENT } else { theme::DANGER };
                let fill = colour.gamma_multiply(0.75 * *count as f32 / total);
                egui::Frame::new().fill(fill).corner_radius(3).inner_margin(4).show(ui, |ui| {
                    ui.monospace(count.to_string());
                });
            }
            ui.end_row();
        }
    });
}

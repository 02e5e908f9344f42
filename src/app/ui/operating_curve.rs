//! What the threshold did to unseen patients: recall and precision over it, the current place, and a sentence.

use super::card_plots::{legend, plain};
use crate::app::{App, theme};
use crate::domain::card::OperatingPoint;
use egui::{RichText, Ui};
use egui_plot::{Line, PlotPoints, Points, VLine};
use rust_i18n::t;

/// Draws nothing when the card has no curve.
pub fn show(app: &App, ui: &mut Ui) {
    let Some(card) = app.classifier_card() else { return };
    let threshold = app.session.thresholds.classifier;
    let (Some(point), Some(measured)) = (card.operating_point(threshold), &card.measured_on) else { return };
    ui.label(RichText::new(t!("curve.title")).strong());
    let curve = |value: fn(&OperatingPoint) -> f64| -> PlotPoints {
        card.operating_curve.iter().map(|p| [p.threshold, value(p)]).collect()
    };
    let ink = ui.visuals().weak_text_color();
    let plot = plain("operating_curve").height(128.0).default_x_bounds(0.0, 1.0).default_y_bounds(0.0, 1.05);
    plot.show(ui, |plot| {
        plot.line(Line::new("recall", curve(|p| p.recall)).color(theme::ACCENT).width(2.0));
        plot.line(Line::new("precision", curve(|p| p.precision)).color(theme::CAUTION).width(2.0));
        plot.vline(VLine::new("threshold", threshold).color(ink));
        let marks = vec![[threshold, point.recall], [threshold, point.precision]];
        plot.points(Points::new("here", marks).radius(4.0).color(ink));
    });
    legend(ui, [(&t!("curve.recall"), theme::ACCENT), (&t!("curve.precision"), theme::CAUTION)]);
    let of_hundred = |share: f64| format!("{:.0}", share * 100.0);
    let sentence = t!(
        "curve.sentence",
        threshold = format!("{:.2}", point.threshold),
        caught = of_hundred(point.recall),
        wrong = of_hundred(1.0 - point.precision),
        patients = measured.patients
    );
    ui.label(RichText::new(sentence).size(12.5));
    if measured.slices_of_unknown_patients > 0 {
        let note = t!("curve.unknown", slices = measured.slices_of_unknown_patients);
        ui.label(RichText::new(note).size(12.5).weak());
    }
}

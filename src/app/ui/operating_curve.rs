//! What the threshold did to unseen patients: a sentence, and recall and precision over the thresholds where they change.

use super::card_plots::{legend, plain};
use crate::app::words::decimal;
use crate::app::{App, theme};
use crate::domain::card::OperatingPoint;
use egui::{RichText, Ui};
use egui_plot::{Line, PlotPoints, Points, VLine};
use rust_i18n::t;
use std::ops::RangeInclusive;

/// Height of the plot in points.
const HEIGHT: f32 = 84.0;
/// A change of recall or precision from one point to the next that is worth showing.
const CHANGE: f64 = 0.004;
/// Room beside the part of the axis that matters.
const MARGIN: f64 = 0.03;

/// Draws nothing when the card has no curve.
pub fn show(app: &App, ui: &mut Ui) {
    let Some(card) = app.classifier_card() else { return };
    let threshold = app.session.thresholds.classifier;
    let (Some(point), Some(measured)) = (card.operating_point(threshold), &card.measured_on) else { return };
    let of_hundred = |share: f64| format!("{:.0}", share * 100.0);
    let sentence = t!(
        "curve.sentence",
        threshold = decimal(point.threshold, 2),
        caught = of_hundred(point.recall),
        wrong = of_hundred(1.0 - point.precision),
        patients = measured.patients
    );
    ui.label(RichText::new(sentence).size(12.5));
    plot(ui, &card.operating_curve, &point, threshold);
    legend(ui, [(&t!("curve.recall"), theme::ACCENT), (&t!("curve.precision"), theme::CAUTION)]);
    if measured.slices_of_unknown_patients > 0 {
        let note = t!("curve.unknown", slices = measured.slices_of_unknown_patients);
        ui.label(RichText::new(note).size(12.5).weak());
    }
}

fn plot(ui: &mut Ui, points: &[OperatingPoint], here: &OperatingPoint, threshold: f64) {
    let curve =
        |value: fn(&OperatingPoint) -> f64| -> PlotPoints { points.iter().map(|p| [p.threshold, value(p)]).collect() };
    let ink = ui.visuals().weak_text_color();
    let shown = thresholds_that_matter(points, threshold);
    let inside = points.iter().filter(|p| shown.contains(&p.threshold));
    let lowest = inside.map(|p| p.recall.min(p.precision)).fold(1.0, f64::min);
    let bottom = (lowest * 10.0).floor() / 10.0;
    let plot = plain("operating_curve").height(HEIGHT);
    let plot = plot.default_x_bounds(*shown.start(), *shown.end()).default_y_bounds(bottom, 1.02);
    plot.show(ui, |plot| {
        // The bounds follow the threshold when it leaves the part on show.
        plot.set_plot_bounds_x(shown);
        plot.set_plot_bounds_y(bottom..=1.02);
        plot.line(Line::new("recall", curve(|p| p.recall)).color(theme::ACCENT).width(2.0));
        plot.line(Line::new("precision", curve(|p| p.precision)).color(theme::CAUTION).width(2.0));
        plot.vline(VLine::new("threshold", threshold).color(ink));
        let marks = vec![[threshold, here.recall], [threshold, here.precision]];
        plot.points(Points::new("here", marks).radius(4.0).color(ink));
    });
}

/// The thresholds between the first and the last change of recall or precision, with the one in use.
fn thresholds_that_matter(points: &[OperatingPoint], threshold: f64) -> RangeInclusive<f64> {
    let changes = |pair: &&[OperatingPoint]| {
        (pair[0].recall - pair[1].recall).abs() > CHANGE || (pair[0].precision - pair[1].precision).abs() > CHANGE
    };
    let changing = points.windows(2).filter(changes);
    let (low, high) = changing.fold((threshold, threshold), |(low, high), pair| {
        (low.min(pair[0].threshold.min(pair[1].threshold)), high.max(pair[0].threshold.max(pair[1].threshold)))
    });
    (low - MARGIN).max(0.0)..=(high + MARGIN).min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_axis_shows_where_the_curve_changes_and_the_threshold_in_use() {
        let point = |threshold: f64, recall: f64| OperatingPoint {
            threshold,
            recall,
            precision: 0.9,
            specificity: 0.9,
            false_alarms_per_slice: 0.0,
        };
        let points: Vec<OperatingPoint> =
            [(0.1, 1.0), (0.2, 1.0), (0.3, 0.9), (0.4, 0.8), (0.5, 0.8), (0.9, 0.8)].map(|(t, r)| point(t, r)).to_vec();
        let near = |range: RangeInclusive<f64>, low: f64, high: f64| {
            assert!((range.start() - low).abs() < 1e-9 && (range.end() - high).abs() < 1e-9, "{range:?}");
        };
        near(thresholds_that_matter(&points, 0.25), 0.17, 0.43);
        near(thresholds_that_matter(&points, 0.99), 0.17, 1.0);
        near(thresholds_that_matter(&[], 0.5), 0.47, 0.53);
    }
}

//! Figures as lines of text, the same after training, in a model's card and after an evaluation.

use crate::domain::card::{Card, Confusion, Level, Metric};
use std::collections::BTreeMap;

/// `NAME 0.683  95 % interval 0.566–0.779`
pub fn line(name: &str, value: f64, interval: Option<[f64; 2]>) -> String {
    let interval = interval.map_or(String::new(), |[low, high]| format!("  95 % interval {low:.3}–{high:.3}"));
    format!("{name:<20} {value:.3}{interval}")
}

/// True classes by row, answers by column.
pub fn confusion(confusion: &Confusion) -> String {
    let mut text = format!("{:<20} {}\n", "taken for", confusion.classes.join(", "));
    for (class, counts) in confusion.classes.iter().zip(&confusion.counts) {
        let counts: Vec<String> = counts.iter().map(usize::to_string).collect();
        text += &format!("  {class:<18} {}\n", counts.join(", "));
    }
    text
}

/// The card's figures: all test patients first, then by source, then the confusion matrix.
pub fn of_card(card: &Card) -> String {
    let mut text = String::new();
    let mut list = |prefix: &str, metrics: &BTreeMap<String, Metric>| {
        for (name, metric) in metrics {
            let (unit, level) = match metric.level {
                Level::Patient => ("unseen patients", "patient-level"),
                Level::OutOfFold => ("patients", "patient-level, out of fold"),
                Level::SliceLeaky => ("unseen patients or pictures", "slice-level (leaky)"),
            };
            let figure = line(&format!("{prefix}{name}"), metric.value, metric.ci95);
            text += &format!("{figure}, {} {unit}, {level}\n", metric.n_patients);
        }
    };
    list("", &card.metrics);
    for (source, metrics) in &card.by_source {
        list(&format!("{source}: "), metrics);
    }
    text + &card.confusion.as_ref().map(confusion).unwrap_or_default()
}

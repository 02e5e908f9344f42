//! The box that says where a slice is unlike those that the models know.

use super::Actions;
use crate::app::entry::Entry;
use crate::app::words::reason_text;
use crate::app::{Action, App, theme};
use crate::domain::input_gate::InputGate;
use egui::{Frame, Label, Margin, RichText, Ui};
use rust_i18n::t;

/// Says why answers are withheld, with a switch that shows them all the same. Nothing is drawn for a study that the models know.
pub fn show(app: &App, ui: &mut Ui, entry: &Entry, out: &mut Actions) {
    let unlike = app.session.unlike(entry);
    if unlike == 0 {
        return;
    }
    let here = app.session.input_gate(entry).filter(|gate| gate.is_unlike());
    let frame = Frame::new().fill(theme::CAUTION.gamma_multiply(0.16)).stroke((1.0, theme::CAUTION)).corner_radius(8);
    frame.inner_margin(Margin::same(9)).show(ui, |ui| {
        ui.take_available_width();
        for line in lines(app, entry, here, unlike) {
            ui.add(Label::new(RichText::new(line).size(13.0)).wrap());
        }
        let mut shown = entry.shows_unlike;
        if ui.checkbox(&mut shown, t!("gate.show_anyway")).changed() {
            out.push(Action::ShowUnlike(shown));
        }
    });
}

/// Lines that say what is withheld or shown all the same, and why.
fn lines(app: &App, entry: &Entry, here: Option<&InputGate>, unlike: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let known = app.classifier_card().or_else(|| app.segmenter_card()).map(|card| card.input.modality.as_str());
    let known = known.unwrap_or_default();
    if let Some(gate) = here {
        let key = if entry.shows_unlike { "gate.shown" } else { "gate.withheld" };
        lines.push(format!("⚠ {}", t!(key, known = known)));
        let reasons: Vec<String> = gate.reasons.iter().map(reason_text).collect();
        lines.push(t!("gate.because", reasons = reasons.join("; ")).into_owned());
    }
    if entry.count() > 1 {
        lines.push(t!("gate.of_study", n = unlike, count = entry.count()).into_owned());
    }
    lines
}

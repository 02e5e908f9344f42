//! What all slices of a study say together, above what is said of the slice on show.

use super::Actions;
use crate::app::command::Command;
use crate::app::entry::Entry;
use crate::app::session::Step;
use crate::app::words::{headline_text, plane_name};
use crate::app::{Action, App, theme};
use crate::domain::headline::{Contradiction, Headline};
use egui::{Frame, Label, Margin, RichText, Sense, Ui};
use rust_i18n::t;

/// Draws the headline of a study of several slices; a click goes to its highest slice.
pub fn show(app: &App, ui: &mut Ui, entry: &Entry, out: &mut Actions) {
    if entry.count() > 1
        && let Some(headline) = app.session.headline(entry)
    {
        of_study(app, ui, entry, &headline, out);
    }
    if !entry.is_asked_view() {
        ui.label(t!("plane.answers_from", plane = plane_name(entry.asked_plane)));
        super::command_button(ui, "", Command::LookHere, true, out);
    } else if entry.asked_plane != entry.study.frames.native() {
        ui.label(t!("plane.looked_again", plane = plane_name(entry.asked_plane)));
    }
}

fn of_study(app: &App, ui: &mut Ui, entry: &Entry, headline: &Headline, out: &mut Actions) {
    let colour = if headline.positive > 0 { theme::DANGER } else { theme::NEUTRAL };
    // Slices whose answers are withheld are not waited for.
    let withheld = if entry.shows_unlike { 0 } else { app.session.unlike(entry) };
    let known = entry.count() - withheld;
    let text = RichText::new(headline_text(headline, known)).size(15.0).strong();
    let frame = Frame::new().fill(colour.gamma_multiply(0.16)).stroke((1.0, colour)).corner_radius(8);
    frame.inner_margin(Margin::same(9)).show(ui, |ui| {
        ui.take_available_width();
        let label = ui.add(Label::new(text).wrap().sense(Sense::CLICK));
        if let Some((index, _)) = headline.highest
            && label.on_hover_text(t!("headline.go")).clicked()
        {
            if !entry.is_asked_view() {
                out.push(Action::Cut(entry.cut()));
            }
            out.push(Action::Go(Step::To(index)));
        }
        if headline.positive == 0 && headline.answered == known {
            ui.label(t!("headline.no_all_clear"));
        }
        let contradiction = app.volumetry.whole(&app.session).and_then(|whole| whole.contradiction);
        contradiction_line(ui, contradiction, "study");
    });
}

/// Says that classifier and segmenter contradict each other; `of` is "slice" or "study".
pub fn contradiction_line(ui: &mut Ui, contradiction: Option<Contradiction>, of: &str) {
    if let Some(contradiction) = contradiction {
        let text = t!(format!("contradiction.{of}_{}", contradiction.id().replace('-', "_")));
        ui.add(Label::new(RichText::new(format!("⚠ {text}")).size(12.5)).wrap());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Both languages by key, since the language in use belongs to the whole process.
    #[test]
    fn the_headline_says_how_many_and_where_in_both_languages() {
        let said = |locale: &str, key: &str| {
            t!(key, locale = locale, n = 24, count = 155, percent = "98.9 %", answered = 3).into_owned()
        };
        assert_eq!(said("en", "headline.positive"), "24 of 155 slices above the threshold");
        assert_eq!(said("es", "headline.positive"), "24 de 155 cortes por encima del umbral");
        assert_eq!(said("en", "headline.highest"), "highest 98.9 % in slice 24");
        assert_eq!(said("es", "headline.highest"), "máximo 98.9 % en el corte 24");
        for key in ["headline.no_all_clear", "verdict.negative", "verdict.normal"] {
            assert!(said("en", key).contains("all-clear") && said("es", key).contains("no descarta"), "{key}");
        }
        for contradiction in Contradiction::ALL {
            for of in ["slice", "study"] {
                let key = format!("contradiction.{of}_{}", contradiction.id().replace('-', "_"));
                assert!(said("en", &key) != key && said("es", &key) != said("en", &key), "{key}");
            }
        }
    }
}

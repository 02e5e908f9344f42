//! Panels, one a file: they read the application, draw, and emit actions.

mod card_plots;
mod dialogs;
mod export;
mod findings;
mod headline;
mod import;
mod measurements;
mod model_card;
mod operating_curve;
mod settings;
mod status_bar;
mod strip;
mod study_list;
mod top_bar;
mod viewport;

pub(super) use headline::{headline_text, plane_name};

use super::command::Command;
use super::textures::MaskFacts;
use super::theme;
use super::{Action, App, Dialog};
use crate::domain::measure::VolumeMeasurements;
use crate::domain::prediction::Verdict;
use crate::export::kind::ExportKind;
use egui::{CentralPanel, Color32, Frame, Margin, Panel, Response, Ui};
use rust_i18n::t;

/// Text being typed and where lists are scrolled to: the only state panels keep.
#[derive(Debug, Default)]
pub struct Fields {
    pub path: String,
    pub export_path: String,
    pub export_kind: ExportKind,
    /// Length in mm of the line that calibrates.
    pub known_mm: String,
    /// The slice the list was last scrolled to.
    pub listed: Option<super::entry::EntryId>,
    pub list_offset: f32,
    pub list_height: f32,
}

type Actions = Vec<Action>;

/// Draws the whole window.
pub(super) fn draw(app: &mut App, ui: &mut Ui) -> Actions {
    let mut out = Vec::new();
    let side = |ui: &Ui| Frame::side_top_panel(ui.style()).inner_margin(Margin::same(10));
    Panel::top("top_bar").frame(side(ui)).show(ui, |ui| top_bar::show(app, ui, &mut out));
    Panel::bottom("status_bar").frame(side(ui).inner_margin(Margin::symmetric(10, 5))).show(ui, |ui| {
        status_bar::show(app, ui, &mut out);
    });
    // A narrow window keeps room for the picture.
    let narrow = ui.available_width() < 1000.0;
    let list =
        Panel::left(("studies", narrow)).default_size(if narrow { 170.0 } else { 236.0 }).size_range(120.0..=420.0);
    list.frame(side(ui)).show(ui, |ui| study_list::show(app, ui, &mut out));
    let right =
        Panel::right(("findings", narrow)).default_size(if narrow { 250.0 } else { 304.0 }).size_range(230.0..=460.0);
    right.frame(side(ui)).show(ui, |ui| findings::show(app, ui, &mut out));
    if app.session.selected().is_some_and(strip::is_wanted) {
        Panel::bottom("strip").frame(side(ui).inner_margin(Margin::symmetric(10, 5))).show(ui, |ui| {
            strip::show(app, ui, &mut out);
        });
    }
    let centre = Frame::NONE.fill(super::theme::VIEWPORT);
    CentralPanel::default().frame(centre).show(ui, |ui| viewport::show(app, ui, &mut out));
    for dialog in app.dialogs.clone() {
        let open = match dialog {
            Dialog::Shortcuts => dialogs::shortcuts(ui),
            Dialog::Settings => settings::show(app, ui, &mut out),
            Dialog::ModelCard => model_card::show(app, ui),
            Dialog::Export => export::show(app, ui, &mut out),
            Dialog::Import => import::show(app, ui, &mut out),
            Dialog::Calibrate => dialogs::calibrate(app, ui, &mut out),
        };
        if !open {
            out.push(Action::Close(dialog));
        }
    }
    app.notifications.show(ui);
    out
}

/// A window over the window, in its middle until it is moved.
fn dialog<'a>(ui: &Ui, id: &str, title: String, open: &'a mut bool) -> egui::Window<'a> {
    let centre = ui.content_rect().center();
    egui::Window::new(title)
        .id(egui::Id::unique(id))
        .open(open)
        .pivot(egui::Align2::CENTER_CENTER)
        .default_pos(centre)
        .collapsible(false)
}

/// A button that runs a command, with its name and key as tooltip.
fn command_button(ui: &mut Ui, sign: &str, command: Command, enabled: bool, out: &mut Actions) -> Response {
    let text = if sign.is_empty() { command.label() } else { format!("{sign} {}", command.label()) };
    let response = ui.add_enabled(enabled, egui::Button::new(text)).on_hover_text(command.tooltip(ui));
    if response.clicked() {
        out.push(Action::Run(command));
    }
    response
}

/// A class by its name in the current language; unknown ones as the card spells them.
pub(super) fn class_name(class: &str) -> String {
    let key = format!("class.{class}");
    let name = t!(&key);
    if name == key { class.replace('_', " ") } else { name.into_owned() }
}

/// A verdict in words.
pub(super) fn verdict_text(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Positive(class) => t!("verdict.positive", class = class_name(class)),
        Verdict::Normal(class) => t!("verdict.normal", class = class_name(class)),
        Verdict::Negative => t!("verdict.negative"),
        Verdict::Undecided => t!("verdict.undecided"),
    }
    .into_owned()
}

/// A number with so many decimals, as the current language writes it.
pub(super) fn decimal(value: f64, digits: usize) -> String {
    let text = format!("{value:.digits$}");
    if &*rust_i18n::locale() == "es" { text.replace('.', ",") } else { text }
}

fn verdict_colour(verdict: &Verdict) -> Color32 {
    match verdict {
        Verdict::Positive(_) => theme::DANGER,
        Verdict::Negative | Verdict::Normal(_) => theme::NEUTRAL,
        Verdict::Undecided => theme::CAUTION,
    }
}

/// Sizes of a whole study's mask in words, for the findings and for exports.
pub(super) fn volume_lines(sizes: &VolumeMeasurements, count: usize) -> Vec<String> {
    let ml = match sizes.ml {
        Some(ml) => t!("volume.ml", ml = format!("{ml:.1}")),
        None => t!("volume.voxels", voxels = sizes.voxels),
    };
    let slices = t!("volume.slices", n = sizes.slices, count = count, parts = sizes.components);
    let diameter = sizes.diameter_mm.filter(|_| sizes.voxels > 0);
    let diameter = diameter.map(|mm| t!("volume.diameter", mm = format!("{mm:.1}")).into_owned());
    [ml.into_owned(), slices.into_owned()].into_iter().chain(diameter).collect()
}

/// Sizes of the mask in words, for the findings and for exports.
pub(super) fn measurement_lines(facts: &MaskFacts, mask_threshold: f32) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(m) = &facts.measurements {
        let area = match m.area_mm2 {
            Some(mm2) => t!("findings.area_mm", px = m.pixels, mm2 = format!("{mm2:.0}")),
            None => t!("findings.area_px", px = m.pixels),
        };
        lines.push(area.into_owned());
        let diameter = match m.diameter_mm {
            Some(mm) => t!("findings.diameter_mm", px = format!("{:.1}", m.diameter_px), mm = format!("{mm:.1}")),
            None => t!("findings.diameter_px", px = format!("{:.1}", m.diameter_px)),
        };
        lines.push(t!("findings.components", n = m.components).into_owned() + "   " + &diameter);
        lines.push(t!("findings.mask_threshold_at", threshold = format!("{mask_threshold:.2}")).into_owned());
    }
    if let Some(dice) = facts.dice {
        lines.push(t!("findings.dice", dice = format!("{dice:.3}")).into_owned());
    }
    lines
}

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

use super::command::Command;
use super::theme;
use super::words::{class_name, measurement_lines, verdict_text, volume_lines};
use super::{Action, App, Dialog};
use crate::domain::prediction::Verdict;
use crate::export::kind::ExportKind;
use egui::{Align2, CentralPanel, Color32, FontId, Frame, Margin, Painter, Panel, Pos2, Response, Ui, vec2};

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

fn verdict_colour(verdict: &Verdict) -> Color32 {
    match verdict {
        Verdict::Positive(_) => theme::DANGER,
        Verdict::Negative | Verdict::Normal(_) => theme::NEUTRAL,
        Verdict::Undecided => theme::CAUTION,
    }
}

/// Text over the scan, readable on any brightness.
fn label(painter: &Painter, at: Pos2, align: Align2, text: String) {
    let galley = painter.layout_no_wrap(text, FontId::proportional(13.0), theme::VIEWPORT_TEXT);
    let rect = align.anchor_size(at, galley.size());
    painter.rect_filled(rect.expand2(vec2(5.0, 2.0)), 4, Color32::from_black_alpha(150));
    painter.galley(rect.min, galley, theme::VIEWPORT_TEXT);
}

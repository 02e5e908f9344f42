//! Panels, one a file: they read the application, draw, and emit actions.

mod card_plots;
mod corners;
mod dialog;
mod dialogs;
mod editor;
mod export;
mod findings;
mod fine_tune;
mod headline;
mod import;
mod input_gate;
mod marks;
mod mask_controls;
mod measurements;
mod messages;
mod model_card;
mod models;
mod operating_curve;
mod planes;
mod settings;
mod status_bar;
mod strip;
mod study_list;
mod tags;
mod thresholds;
mod top_bar;
mod viewport;
mod wheel;
mod why;

use super::command::Command;
use super::theme;
use super::words::{class_name, decimal, measurement_lines, verdict_text, volume_lines};
use super::{Action, App, Dialog};
use crate::domain::prediction::Verdict;
use crate::export::kind::ExportKind;
use dialog::Outcome;
use egui::emath::Numeric;
use egui::{Align2, CentralPanel, Color32, FontId, Frame, Margin, Painter, Panel, Pos2, Response, Slider, Ui, vec2};
use std::ops::RangeInclusive;

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
    /// The model of which is asked whether it shall be deleted.
    pub removing: Option<String>,
    /// Text of the label that was just placed.
    pub label: String,
    /// What saved outlines hold in slices that the reader did not outline.
    pub others: super::correcting::Others,
    /// What the reader calls the patient of outlines that are saved.
    pub patient: String,
    /// Text that the list of DICOM attributes is searched for.
    pub tag_search: String,
    pub focus: Focus,
}

/// Gives the keyboard to the first field of a dialog that was just opened.
#[derive(Debug, Default)]
pub struct Focus {
    frames: u8,
}

impl Focus {
    /// A dialog is measured before it is shown, so it takes some frames until its field can be given the keyboard.
    const FRAMES: u8 = 3;

    pub fn ask(&mut self) {
        self.frames = Self::FRAMES;
    }

    fn give(&mut self, field: &Response) {
        if self.frames > 0 {
            self.frames -= 1;
            field.request_focus();
            field.ctx.request_repaint();
        }
    }
}

type Actions = Vec<Action>;

/// Draws the whole window.
pub(super) fn draw(app: &mut App, ui: &mut Ui) -> Actions {
    let mut out = Vec::new();
    let side = |ui: &Ui| Frame::side_top_panel(ui.style()).inner_margin(Margin::same(10));
    if !app.panels_hidden {
        Panel::top("top_bar").frame(side(ui)).show(ui, |ui| top_bar::show(app, ui, &mut out));
    }
    Panel::bottom("status_bar").frame(side(ui).inner_margin(Margin::symmetric(10, 5))).show(ui, |ui| {
        status_bar::show(app, ui, &mut out);
    });
    if !app.panels_hidden {
        sides(app, ui, side(ui), &mut out);
    }
    if app.session.selected().is_some_and(strip::is_wanted) {
        Panel::bottom("strip").frame(side(ui).inner_margin(Margin::symmetric(10, 5))).show(ui, |ui| {
            strip::show(app, ui, &mut out);
        });
    }
    messages::tray(&mut app.notifications, ui, side(ui).inner_margin(Margin::symmetric(10, 6)));
    editor::tools(app, ui, side(ui).inner_margin(Margin::symmetric(10, 5)), &mut out);
    let centre = Frame::NONE.fill(super::theme::VIEWPORT);
    CentralPanel::default().frame(centre).show(ui, |ui| {
        match app.session.selected().filter(|entry| app.planes.is_grid(entry)) {
            Some(entry) => planes::show(app, ui, entry, &mut out),
            None => viewport::scan(app, ui, &mut out),
        }
    });
    let top = app.dialogs.last().copied();
    for dialog in app.dialogs.clone() {
        let is_top = top == Some(dialog);
        let outcome = match dialog {
            Dialog::Shortcuts => dialogs::shortcuts(ui, is_top),
            Dialog::Settings => settings::show(app, ui, is_top, &mut out),
            Dialog::ModelCard => model_card::show(app, ui, is_top),
            Dialog::Export => export::show(app, ui, is_top, &mut out),
            Dialog::Import => import::show(app, ui, is_top, &mut out),
            Dialog::Calibrate => dialogs::calibrate(app, ui, is_top, &mut out),
            Dialog::Label => dialogs::label(app, ui, is_top, &mut out),
            Dialog::Tags => tags::show(app, ui, is_top),
            Dialog::SaveMask => editor::save(app, ui, is_top, &mut out),
            Dialog::RemoveModel => dialogs::remove_model(app, ui, is_top, &mut out),
            Dialog::FineTune => fine_tune::show(app, ui, is_top, &mut out),
        };
        if outcome != Outcome::Stays {
            out.push(Action::Close(dialog));
        }
    }
    out
}

/// The list at the left and the findings at the right.
fn sides(app: &mut App, ui: &mut Ui, frame: Frame, out: &mut Actions) {
    // A narrow window keeps room for the picture.
    let (list, findings) = match ui.available_width() {
        ..700.0 => (136.0, 230.0),
        700.0..1000.0 => (170.0, 250.0),
        _ => (236.0, 304.0),
    };
    let left = Panel::left(("studies", list as u32)).default_size(list).size_range(120.0..=420.0);
    left.frame(frame).show(ui, |ui| study_list::show(app, ui, out));
    let right = Panel::right(("findings", findings as u32)).default_size(findings).size_range(230.0..=460.0);
    right.frame(frame).show(ui, |ui| findings::show(app, ui, out));
}

/// A slider for a share in 0–1, whose number is written and read as the current language does.
fn share_slider<N: Numeric>(value: &mut N, range: RangeInclusive<N>) -> Slider<'_> {
    let slider = Slider::new(value, range).fixed_decimals(2);
    slider
        .custom_formatter(|value, _| decimal(value, 2))
        .custom_parser(|text| text.trim().replace(',', ".").parse().ok())
}

/// Makes sliders as wide as the room there is beside their number.
fn fit_sliders(ui: &mut Ui) {
    ui.spacing_mut().slider_width = (ui.available_width() - 66.0).max(100.0);
}

/// Height that the scrolled part of a dialog may take, so that its foot stays in view.
fn dialog_height(ui: &Ui) -> f32 {
    (ui.available_height() - 44.0).min(ui.content_rect().height() - 140.0).max(80.0)
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

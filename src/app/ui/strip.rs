//! Below the scan of a study of several slices: the plane, the time, where the reader is, and what the classifier says of every
//! slice.

use super::Actions;
use crate::app::command::Command;
use crate::app::entry::Entry;
use crate::app::planes::{Arrangement, Planes};
use crate::app::session::Step;
use crate::app::words::{percent_of, plane_name};
use crate::app::{Action, App, theme};
use crate::domain::prediction::Verdict;
use crate::domain::study::{Cut, Place};
use egui::{
    Align2, Color32, FontId, Label, Painter, Rect, RichText, Sense, Slider, Stroke, Ui, WidgetInfo, pos2, vec2,
};
use rust_i18n::t;

const HEIGHT: f32 = 58.0;
/// Height of the plot where the whole window is low, and what counts as low, in points.
const LOW_HEIGHT: f32 = 30.0;
const LOW: f32 = 520.0;
/// Below this width in points there is no room for a sentence beside the buttons.
const NARROW: f32 = 420.0;

/// Whether the study on show has more than one picture.
pub fn is_wanted(entry: &Entry) -> bool {
    entry.shown_count() > 1 || entry.study.frames.times() > 1 || entry.study.frames.planes().len() > 1
}

pub fn show(app: &App, ui: &mut Ui, out: &mut Actions) {
    let Some(entry) = app.session.selected() else { return };
    let width = ui.available_width();
    // In a narrow window the line breaks rather than run over.
    ui.horizontal_wrapped(|ui| {
        if Planes::suit(entry) {
            let chosen = app.planes.arrangement != Arrangement::Single;
            let button = ui.selectable_label(chosen, "⊞").on_hover_text(Command::Planes.tooltip(ui));
            if button.accessible_name(Command::Planes.label()).clicked() {
                out.push(Action::Run(Command::Planes));
            }
        }
        controls(entry, ui, out);
        let cine = if app.cine.is_some() { "⏸" } else { "⏵" };
        let buttons = [(cine, Command::Cine), ("◀", Command::PreviousPositive), ("▶", Command::NextPositive)];
        for (sign, command) in buttons.into_iter().filter(|(_, c)| *c != Command::Cine || entry.shown_count() > 1) {
            let button = ui.small_button(sign).on_hover_text(command.tooltip(ui));
            if button.accessible_name(command.label()).clicked() {
                out.push(Action::Run(command));
            }
        }
        if width > NARROW {
            ui.add(Label::new(RichText::new(positives(app, entry)).weak()).truncate());
        }
    });
    plot(app, entry, ui, width, out);
}

fn controls(entry: &Entry, ui: &mut Ui, out: &mut Actions) {
    let (cut, frames) = (entry.place.cut, &entry.study.frames);
    for plane in frames.planes() {
        let name = t!(format!("plane.{}", plane.id()));
        if ui.selectable_label(cut.plane == *plane, name).clicked() {
            out.push(Action::Cut(Cut { plane: *plane, ..cut }));
        }
    }
    ui.label(t!("strip.slice", n = entry.place.index + 1, count = entry.shown_count()));
    if entry.study.files.len() > 1
        && let Some(name) = entry.study.file(entry.place).file_name()
    {
        ui.weak(name.to_string_lossy());
    }
    if frames.times() > 1 {
        let mut time = cut.time + 1;
        ui.label(t!("strip.time"));
        ui.spacing_mut().slider_width = 90.0;
        let slider = Slider::new(&mut time, 1..=frames.times());
        if ui.add(slider).accessible_name(t!("strip.time")).changed() {
            out.push(Action::Cut(Cut { time: time - 1, ..cut }));
        }
    }
}

fn positives(app: &App, entry: &Entry) -> String {
    if !entry.is_asked_view() {
        return t!("plane.mask_from", plane = plane_name(entry.asked_plane)).into_owned();
    }
    let Some(model) = &app.session.models.classifier else { return String::new() };
    let done = entry.classified(model);
    let positive = entry.places().filter(|place| app.session.is_positive(entry, *place)).count();
    let count = entry.count();
    if done < count {
        return t!("strip.classifying", done = done, count = count).into_owned();
    }
    t!("strip.positive", n = positive, count = count).into_owned()
}

/// Probability of a finding by slice with the threshold's line; a click or drag goes there.
fn plot(app: &App, entry: &Entry, ui: &mut Ui, width: f32, out: &mut Actions) {
    let height = if ui.content_rect().height() < LOW { LOW_HEIGHT } else { HEIGHT };
    let (rect, response) = ui.allocate_exact_size(vec2(width, height), Sense::CLICK | Sense::DRAG);
    response.widget_info(|| WidgetInfo::labeled(egui::Role::Canvas, true, t!("strip.name")));
    let painter = ui.painter_at(rect);
    painter.rect_filled(rect, 4, theme::VIEWPORT);
    let count = entry.shown_count();
    let step = rect.width() / count as f32;
    let column = |index: usize| rect.left() + index as f32 * step;
    if entry.is_asked_view() {
        for place in entry.places() {
            bar(app, entry, &painter, place, rect, (column(place.index), step));
        }
        let threshold = rect.bottom() - rect.height() * app.session.thresholds.classifier as f32;
        painter.hline(rect.x_range(), threshold, Stroke::new(1.0, theme::VIEWPORT_TEXT.gamma_multiply(0.6)));
    } else {
        extent(app, entry, &painter, rect, step);
    }
    let here = Rect::from_min_max(
        pos2(column(entry.place.index), rect.top()),
        pos2(column(entry.place.index) + step.max(2.0), rect.bottom()),
    );
    painter.rect_filled(here, 0, theme::ACCENT.gamma_multiply(0.35));
    painter.rect_stroke(here, 0, Stroke::new(1.0, theme::ACCENT), egui::StrokeKind::Inside);
    let under = |x: f32| (((x - rect.left()) / step).max(0.0) as usize).min(count - 1);
    if let Some(at) = response.interact_pointer_pos()
        && (response.clicked() || response.dragged())
    {
        out.push(Action::Go(Step::To(under(at.x))));
    }
    if let Some(at) = response.hover_pos() {
        let place = Place { index: under(at.x), ..entry.place };
        let said = app.session.classification_at(entry, place).filter(|_| entry.is_asked_view());
        let unknown = if entry.is_asked_view() { "…" } else { "" };
        let percent = said.map_or(unknown.into(), |c| percent_of(c, c.finding()));
        let text = format!("{}   {percent}", place.index + 1);
        let align = if at.x > rect.center().x { Align2::RIGHT_TOP } else { Align2::LEFT_TOP };
        painter.text(pos2(at.x, rect.top() + 2.0), align, text, FontId::proportional(12.0), theme::VIEWPORT_TEXT);
    }
}

/// How much of the mask lies in every slice of a plane that networks were not asked about, the largest share as the full height.
fn extent(app: &App, entry: &Entry, painter: &Painter, rect: Rect, step: f32) {
    let areas = app.volumetry.whole(&app.session).map_or(&[][..], |whole| whole.areas(entry.place.cut.plane));
    let largest = areas.iter().max().copied().unwrap_or_default().max(1) as f32;
    for (index, area) in areas.iter().enumerate().filter(|(_, area)| **area > 0) {
        let left = rect.left() + index as f32 * step;
        let top = rect.bottom() - (rect.height() * *area as f32 / largest).max(2.0);
        let column = Rect::from_min_max(pos2(left, top), pos2(left + step.max(1.0), rect.bottom()));
        painter.rect_filled(column, 0, theme::DANGER.gamma_multiply(0.7));
    }
}

fn bar(app: &App, entry: &Entry, painter: &Painter, place: Place, rect: Rect, (left, step): (f32, f32)) {
    // A hairline between bars that are wide enough for it.
    let right = left + if step > 4.0 { step - 1.0 } else { step };
    let column = |top: f32| Rect::from_min_max(pos2(left, top), pos2(right, rect.bottom()));
    let Some(said) = app.session.classification_at(entry, place) else {
        painter.rect_filled(column(rect.bottom() - 2.0), 0, Color32::from_gray(70));
        return;
    };
    let colour = match said.verdict(app.session.thresholds.classifier) {
        Verdict::Positive(_) => theme::DANGER,
        Verdict::Undecided => theme::CAUTION,
        Verdict::Negative | Verdict::Normal(_) => theme::NEUTRAL.gamma_multiply(0.6),
    };
    let height = (rect.height() * said.finding() as f32).max(2.0);
    painter.rect_filled(column(rect.bottom() - height), 0, colour);
}

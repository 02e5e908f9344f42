//! Left: every open slice with its picture, probability and verdict.

use super::Actions;
use crate::app::command::Command;
use crate::app::entry::Entry;
use crate::app::session::Sort;
use crate::app::words::{headline_text, percent_of};
use crate::app::{Action, App, theme};
use crate::domain::prediction::Verdict;
use egui::{
    Align2, Color32, ComboBox, FontId, Pos2, Rect, RichText, ScrollArea, Sense, Stroke, StrokeKind, TextStyle,
    TextWrapMode, Ui, WidgetInfo, WidgetText, pos2, vec2,
};
use rust_i18n::t;

/// From the top of one row to the top of the next, and the gap between them (the theme's item spacing).
const ROW: f32 = 58.0;
const SPACING: f32 = 6.0;
const PICTURE: f32 = 50.0;

fn sort_name(sort: Sort) -> String {
    match sort {
        Sort::Opened => t!("list.sort_opened"),
        Sort::Name => t!("list.sort_name"),
        Sort::Probability => t!("list.sort_probability"),
        Sort::Lesson => t!("list.sort_lesson"),
    }
    .into_owned()
}

pub fn show(app: &mut App, ui: &mut Ui, out: &mut Actions) {
    ui.horizontal(|ui| {
        ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
            let chosen = RichText::new(sort_name(app.session.sort)).small();
            let combo = ComboBox::from_id_salt("sort").selected_text(chosen).width(100.0);
            let response = combo.show_ui(ui, |ui| {
                for sort in Sort::ALL {
                    if ui.selectable_label(app.session.sort == sort, sort_name(sort)).clicked() {
                        out.push(Action::Sort(sort));
                    }
                }
            });
            response.response.accessible_name(t!("list.sort")).on_hover_text(t!("list.sort"));
            ui.with_layout(egui::Layout::left_to_right(egui::Align::Center), |ui| {
                let title = RichText::new(t!("list.title")).heading();
                let title = WidgetText::from(title).into_galley(ui, None, f32::INFINITY, TextStyle::Heading);
                // A narrow window has no room for it, and what the list is needs no word.
                if title.size().x <= ui.available_width() {
                    ui.label(title);
                }
            });
        });
    });
    ui.add_space(4.0);
    let count = app.session.count();
    if count == 0 {
        ui.weak(t!("list.empty"));
        ui.take_available_space();
        return;
    }
    let selected = app.session.selected().map(|e| e.id);
    let mut area = ScrollArea::vertical().auto_shrink(false);
    if selected != app.fields.listed {
        app.fields.listed = selected;
        let place = app.session.list().position(|e| Some(e.id) == selected).unwrap_or(0);
        if let Some(offset) = brought_into_view(place, app.fields.list_offset, app.fields.list_height) {
            area = area.vertical_scroll_offset(offset);
        }
    }
    let shown = area.show_rows(ui, ROW - SPACING, count, |ui, range| {
        for place in range {
            let Some(entry) = app.session.at(place) else { continue };
            let texture = app.textures.thumbnail(ui, entry);
            row(app, ui, entry, &texture, out);
        }
    });
    (app.fields.list_offset, app.fields.list_height) = (shown.state.clamped_offset().y, shown.inner_rect.height());
}

/// Where the list must be scrolled to for a row to be seen; `None` when it is.
fn brought_into_view(place: usize, offset: f32, height: f32) -> Option<f32> {
    let (top, bottom) = (place as f32 * ROW, (place + 1) as f32 * ROW);
    if top < offset {
        Some(top)
    } else if bottom > offset + height && height > 0.0 {
        Some(bottom - height)
    } else {
        None
    }
}

fn row(app: &App, ui: &mut Ui, entry: &Entry, texture: &egui::TextureHandle, out: &mut Actions) {
    let selected = app.session.selected().is_some_and(|e| e.id == entry.id);
    let (rect, response) = ui.allocate_exact_size(vec2(ui.available_width(), ROW - SPACING), Sense::click());
    let (text, colour) = verdict(app, entry);
    let label = format!("{} {text}", entry.study.title);
    response.widget_info(|| WidgetInfo::selected(egui::Role::Button, true, selected, &label));
    if response.clicked() {
        out.push(Action::Select(entry.id));
    }
    let visuals = ui.visuals();
    let fill = match (selected, response.hovered()) {
        (true, _) => visuals.selection.bg_fill.gamma_multiply(0.45),
        (_, true) => visuals.faint_bg_color,
        _ => Color32::TRANSPARENT,
    };
    let painter = ui.painter_at(rect);
    painter.rect_filled(rect, 6, fill);
    if selected {
        painter.rect_stroke(rect, 6, Stroke::new(1.0, theme::ACCENT), StrokeKind::Inside);
    }
    let picture = Rect::from_min_size(rect.min + vec2(3.0, (rect.height() - PICTURE) / 2.0), vec2(PICTURE, PICTURE));
    let uv = Rect::from_min_max(Pos2::ZERO, pos2(1.0, 1.0));
    painter.rect_filled(picture, 4, theme::VIEWPORT);
    painter.image(texture.id(), picture, uv, Color32::WHITE);
    let left = picture.right() + 9.0;
    let room = rect.right() - left - 6.0;
    let title = elided(ui, &entry.study.title, room);
    painter.text(
        pos2(left, rect.top() + 8.0),
        Align2::LEFT_TOP,
        title,
        FontId::proportional(13.5),
        visuals.text_color(),
    );
    painter.circle_filled(pos2(left + 4.0, rect.bottom() - 14.0), 4.0, colour);
    let small = RichText::new(text).size(12.5).color(visuals.weak_text_color());
    let said = WidgetText::from(small).into_galley(ui, Some(TextWrapMode::Truncate), room - 14.0, TextStyle::Small);
    painter.galley(pos2(left + 14.0, rect.bottom() - 14.0 - said.size().y / 2.0), said, Color32::PLACEHOLDER);
    response.context_menu(|ui| {
        // A command is about the selected study, so the one that was clicked becomes it.
        out.push(Action::Select(entry.id));
        super::top_bar::entries(ui, &[Command::Split, Command::Join, Command::Remove], out);
    });
    let grouping = t!(format!("grouping.{}", entry.study.grouping.id()));
    let headline = app.session.headline(entry).filter(|_| entry.count() > 1);
    let headline = headline.map(|headline| format!("\n{}", headline_text(&headline, entry.count())));
    response.on_hover_text(format!("{}\n{grouping}{}", entry.study.source.display(), headline.unwrap_or_default()));
}

/// Shortens in the middle, where names of slices differ least.
fn elided(ui: &Ui, text: &str, room: f32) -> String {
    let width = |s: &str| {
        let font = FontId::proportional(13.5);
        ui.fonts_mut(|f| f.layout_no_wrap(s.to_string(), font, Color32::WHITE).size().x)
    };
    if width(text) <= room {
        return text.to_string();
    }
    let letters: Vec<char> = text.chars().collect();
    let shortened = |keep: usize| {
        let head: String = letters[..keep / 2].iter().collect();
        let tail: String = letters[letters.len() - keep.div_ceil(2)..].iter().collect();
        format!("{head}…{tail}")
    };
    (1..letters.len()).rev().map(shortened).find(|s| width(s) <= room).unwrap_or_default()
}

/// The highest probability of a study's slices, and how many of them are positive.
fn of_slices(app: &App, entry: &Entry) -> (String, Color32) {
    let Some(model) = &app.session.models.classifier else {
        return (t!("list.slices", count = entry.count()).into_owned(), Color32::TRANSPARENT);
    };
    let Some((_, highest)) = entry.highest(model) else {
        let all_withheld = app.session.unlike(entry) == entry.count();
        return if all_withheld {
            (t!("gate.short").into_owned(), theme::CAUTION)
        } else {
            ("…".into(), Color32::GRAY)
        };
    };
    let positive = entry.places().filter(|place| app.session.is_positive(entry, *place)).count();
    let colour = super::verdict_colour(&highest.verdict(app.session.thresholds.classifier));
    let percent = percent_of(highest, highest.finding());
    (t!("list.positive", percent = percent, n = positive, count = entry.count()).into_owned(), colour)
}

fn verdict(app: &App, entry: &Entry) -> (String, Color32) {
    if app.session.classifier_failure(entry).is_some() {
        return (t!("list.failed").into_owned(), theme::CAUTION);
    }
    let threshold = app.session.thresholds.classifier;
    if entry.count() > 1 {
        return of_slices(app, entry);
    }
    if app.session.is_withheld(entry, entry.shown.place) {
        return (t!("gate.short").into_owned(), theme::CAUTION);
    }
    match app.session.classification(entry) {
        Some(c) => {
            let percent = percent_of(c, c.finding());
            let verdict = c.verdict(threshold);
            let short = match &verdict {
                Verdict::Positive(class) => super::class_name(class),
                Verdict::Negative | Verdict::Normal(_) => t!("verdict.negative_short").into_owned(),
                Verdict::Undecided => t!("verdict.undecided_short").into_owned(),
            };
            (format!("{percent}  {short}"), super::verdict_colour(&verdict))
        }
        None if app.session.models.classifier.is_none() => (String::new(), Color32::TRANSPARENT),
        None => ("…".into(), Color32::GRAY),
    }
}

//! The quiet line: what runs where, how far work is, and that this is no medical device.

use super::Actions;
use crate::app::command::Command;
use crate::app::{Action, App};
use egui::{Align, Layout, ProgressBar, RichText, Ui};
use rust_i18n::t;

pub fn show(app: &mut App, ui: &mut Ui, out: &mut Actions) {
    ui.horizontal(|ui| {
        match &app.device {
            Some(device) => ui.label(RichText::new(device.to_uppercase()).small().weak()),
            None => ui.label(RichText::new(t!("status.starting")).small().weak()),
        };
        if let Some(entry) = app.session.selected()
            && let Some(c) = app.session.classification(entry)
        {
            let segmenter = app.session.segmentation(entry).map_or(0.0, |s| s.milliseconds);
            let text = t!("status.time", ms = format!("{:.0}", c.milliseconds + segmenter));
            ui.label(RichText::new(text).small().weak());
        }
        channel(app, ui);
        progress(app, ui, out);
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            ui.label(RichText::new(t!("disclaimer.short")).small().color(ui.visuals().warn_fg_color));
            ui.with_layout(Layout::left_to_right(Align::Center), |ui| {
                super::messages::status(&mut app.notifications, ui);
            });
        });
    });
}

/// Names the channel on show of a colour picture.
fn channel(app: &App, ui: &mut Ui) {
    let coloured = app.session.selected().is_some_and(|entry| entry.shown.slice.is_coloured());
    let Some(view) = app.view().filter(|_| coloured) else { return };
    let text = match view.channel {
        Some(channel) => t!("status.shown_channel", n = channel.number()),
        None => t!("status.shown_luminance"),
    };
    ui.label(RichText::new(text).small().weak());
}

fn progress(app: &App, ui: &mut Ui, out: &mut Actions) {
    let (classified, slices) = app.session.progress();
    if app.session.paused && classified < slices {
        ui.label(RichText::new(t!("status.stopped", done = classified, total = slices)).small());
        if ui.small_button(t!("status.go_on")).clicked() {
            out.push(Action::Continue);
        }
        return;
    }
    let (done, total, text) = match (app.exporting, app.opening) {
        (Some((done, total)), _) => (done, total, t!("status.exporting", done = done, total = total)),
        (None, Some((done, total))) => (done, total, t!("status.opening", done = done, total = total)),
        (None, None) if classified < slices && slices > 1 => {
            (classified, slices, t!("status.classifying", done = classified, total = slices))
        }
        (None, None) => return,
    };
    ui.add(ProgressBar::new(done as f32 / total.max(1) as f32).desired_width(150.0).desired_height(8.0));
    ui.label(RichText::new(text).small());
    if ui.small_button(t!("status.cancel")).on_hover_text(Command::Cancel.tooltip(ui)).clicked() {
        out.push(Action::Run(Command::Cancel));
    }
}

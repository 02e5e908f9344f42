//! The tray of messages: below the scan, where it covers neither findings nor dialogs. The status bar opens its log.

use crate::app::notifications::{Message, Notifications, Severity};
use crate::app::theme;
use egui::{Button, Label, Layout, Panel, RichText, ScrollArea, Ui};
use rust_i18n::t;

/// Errors shown at once; earlier ones wait in the log.
const MOST: usize = 3;
/// Height of the log in points.
const LOG: f32 = 150.0;

/// Draws the tray when there is an error to be read, or the log was asked for.
pub fn tray(notifications: &mut Notifications, ui: &mut Ui, frame: egui::Frame) {
    let errors = notifications.errors().count();
    if errors == 0 && !notifications.is_log_open {
        return;
    }
    let mut dismissed = None;
    let mut all = false;
    Panel::bottom("messages").frame(frame).resizable(false).show(ui, |ui| {
        ui.horizontal(|ui| {
            ui.strong(t!("notification.title"));
            if errors > MOST && !notifications.is_log_open {
                ui.weak(t!("notification.more", n = errors - MOST));
            }
            ui.with_layout(Layout::right_to_left(egui::Align::Center), |ui| {
                let open = notifications.is_log_open;
                let name = if open { t!("notification.hide_log") } else { t!("notification.show_log") };
                if ui.small_button(name).clicked() {
                    notifications.is_log_open = !open;
                }
                all = errors > 0 && ui.small_button(t!("notification.dismiss_all")).clicked();
            });
        });
        let log = notifications.is_log_open;
        ScrollArea::vertical().max_height(LOG).auto_shrink([false, true]).show(ui, |ui| {
            if log {
                notifications.log().iter().rev().for_each(|message| _ = row(ui, message, false));
            } else {
                for message in notifications.errors().rev().take(MOST) {
                    if row(ui, message, true) {
                        dismissed = Some(message.text.clone());
                    }
                }
            }
        });
    });
    if all {
        notifications.dismiss_all();
    } else if let Some(text) = dismissed {
        notifications.dismiss(&text);
    }
}

/// One message; `true` when it was dismissed.
fn row(ui: &mut Ui, message: &Message, can_dismiss: bool) -> bool {
    let mut dismissed = false;
    ui.horizontal_top(|ui| {
        let (colour, sign) = match message.severity {
            Severity::Info => (theme::ACCENT, "ℹ"),
            Severity::Error => (ui.visuals().error_fg_color, "⚠"),
        };
        ui.label(RichText::new(sign).color(colour));
        let width = ui.available_width() - 30.0;
        ui.vertical(|ui| {
            ui.set_max_width(width);
            ui.add(Label::new(&message.text).wrap());
        });
        if can_dismiss {
            let close = ui.add(Button::new("🗙").frame(false));
            dismissed = close.on_hover_text(t!("notification.dismiss")).clicked();
        }
    });
    dismissed
}

/// In the status bar: the newest good news, and the way to the log.
pub fn status(notifications: &mut Notifications, ui: &mut Ui) {
    if !notifications.log().is_empty() {
        let text = RichText::new(format!("💬 {}", notifications.log().len())).small();
        let button = ui.selectable_label(notifications.is_log_open, text);
        if button.accessible_name(t!("notification.title")).on_hover_text(t!("notification.show_log")).clicked() {
            notifications.is_log_open = !notifications.is_log_open;
        }
    }
    if let Some((text, stays)) = notifications.note() {
        ui.ctx().request_repaint_after(stays);
        ui.add(Label::new(RichText::new(text).small()).truncate());
    }
}

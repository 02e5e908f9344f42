//! Messages in the corner: they wrap, stay readable to screen readers, and errors stay until they are dismissed.

use super::theme;
use egui::{Align2, Color32, Frame, Margin, RichText, vec2};
use rust_i18n::t;
use std::time::{Duration, Instant};

/// How long good news stays.
const STAY: Duration = Duration::from_secs(6);
/// Shown at once; older ones wait behind a count.
const MOST: usize = 4;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    Info,
    Error,
}

#[derive(Debug)]
struct Notification {
    severity: Severity,
    text: String,
    since: Instant,
}

#[derive(Debug, Default)]
pub struct Notifications {
    list: Vec<Notification>,
}

impl Notifications {
    pub fn info(&mut self, text: impl Into<String>) {
        self.push(Severity::Info, text.into());
    }

    pub fn error(&mut self, text: impl Into<String>) {
        self.push(Severity::Error, text.into());
    }

    fn push(&mut self, severity: Severity, text: String) {
        // A message repeated is one message.
        self.list.retain(|n| n.text != text);
        self.list.push(Notification { severity, text, since: Instant::now() });
    }

    pub fn dismiss_latest(&mut self) {
        self.list.pop();
    }

    pub fn show(&mut self, ctx: &egui::Context) {
        self.list.retain(|n| n.severity == Severity::Error || n.since.elapsed() < STAY);
        if self.list.is_empty() {
            return;
        }
        if self.list.iter().any(|n| n.severity == Severity::Info) {
            ctx.request_repaint_after(Duration::from_millis(500));
        }
        let (mut dismissed, mut all) = (None, false);
        egui::Area::new(egui::Id::unique("notifications"))
            .anchor(Align2::RIGHT_BOTTOM, vec2(-12.0, -36.0))
            .order(egui::Order::Foreground)
            .show(ctx, |ui| {
                ui.set_max_width(380.0);
                let hidden = self.list.len().saturating_sub(MOST);
                if hidden > 0 {
                    Frame::popup(ui.style()).inner_margin(Margin::symmetric(10, 6)).show(ui, |ui| {
                        ui.horizontal(|ui| {
                            ui.label(t!("notification.more", n = hidden));
                            all |= ui.small_button(t!("notification.dismiss_all")).clicked();
                        });
                    });
                    ui.add_space(6.0);
                }
                for (i, n) in self.list.iter().enumerate().skip(hidden) {
                    let (colour, sign) = match n.severity {
                        Severity::Info => (theme::ACCENT, "ℹ"),
                        Severity::Error => (theme::DANGER, "⚠"),
                    };
                    Frame::popup(ui.style()).inner_margin(Margin::same(10)).stroke((1.0, colour)).show(ui, |ui| {
                        ui.horizontal_top(|ui| {
                            ui.label(RichText::new(sign).color(colour).size(16.0));
                            ui.vertical(|ui| {
                                ui.set_max_width(310.0);
                                ui.add(egui::Label::new(&n.text).wrap());
                            });
                            let close = egui::Button::new("🗙").frame(false).fill(Color32::TRANSPARENT);
                            if ui.add(close).on_hover_text(t!("notification.dismiss")).clicked() {
                                dismissed = Some(i);
                            }
                        });
                    });
                    ui.add_space(6.0);
                }
            });
        if all {
            self.list.clear();
        } else if let Some(i) = dismissed {
            self.list.remove(i);
        }
    }
}

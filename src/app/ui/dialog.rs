//! The frame of every dialog: it stands in front of the window, has the keyboard, and ends with what it does and a way out.

use egui::{Button, Key, Ui, Window};
use rust_i18n::t;

/// What a dialog ends with.
pub enum Foot {
    /// Nothing but the way out.
    Close,
    /// A button that does what the dialog is for, and Cancel.
    Do { text: String, enabled: bool },
}

/// What became of a dialog in a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Stays,
    Closed,
    /// Its button was pressed, or Enter.
    Accepted,
}

/// Draws a dialog in the middle of the window until it is moved. `shape` gives it its size; `is_top` says whether no other dialog
/// stands in front of it, which then has the keyboard.
pub fn show(
    ui: &Ui,
    (id, title): (&str, String),
    is_top: bool,
    shape: impl FnOnce(Window<'_>) -> Window<'_>,
    contents: impl FnOnce(&mut Ui) -> Foot,
) -> Outcome {
    let mut is_open = true;
    let centre = ui.content_rect().center();
    let window = Window::new(title).id(egui::Id::unique(id)).pivot(egui::Align2::CENTER_CENTER).default_pos(centre);
    let window = shape(window.collapsible(false).open(&mut is_open));
    let shown = window.show(ui, |ui| {
        let foot = contents(ui);
        ui.add_space(6.0);
        foot.show(ui, is_top)
    });
    let Some(shown) = shown else { return Outcome::Closed };
    // What lies behind takes neither clicks nor keys.
    ui.memory_mut(|memory| memory.set_modal_layer(shown.response.layer_id));
    match shown.inner {
        _ if !is_open => Outcome::Closed,
        Some(outcome) => outcome,
        None => Outcome::Stays,
    }
}

impl Foot {
    fn show(self, ui: &mut Ui, is_top: bool) -> Outcome {
        // A focused button takes Enter itself, and so does an open list.
        let is_free = ui.memory(|memory| memory.focused().is_none()) && !egui::Popup::is_any_open(ui);
        let entered = is_top && is_free && ui.input(|i| i.key_pressed(Key::Enter));
        ui.horizontal(|ui| match self {
            Foot::Close => {
                let clicked = ui.button(t!("dialog.close")).clicked();
                if clicked || entered { Outcome::Closed } else { Outcome::Stays }
            }
            Foot::Do { text, enabled } => {
                let done = ui.add_enabled(enabled, Button::new(text)).clicked() || (entered && enabled);
                let cancelled = ui.button(t!("dialog.cancel")).clicked();
                match (done, cancelled) {
                    (true, _) => Outcome::Accepted,
                    (false, true) => Outcome::Closed,
                    (false, false) => Outcome::Stays,
                }
            }
        })
        .inner
    }
}

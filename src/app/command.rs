//! Everything a key, a menu entry or a button can do, in one place: label, tooltip and shortcut of a command come from here.

use super::Dialog;
use egui::{Key, KeyboardShortcut, Modifiers};
use rust_i18n::t;

const fn plain(key: Key) -> KeyboardShortcut {
    KeyboardShortcut::new(Modifiers::NONE, key)
}

const fn ctrl(key: Key) -> KeyboardShortcut {
    KeyboardShortcut::new(Modifiers::COMMAND, key)
}

const fn ctrl_shift(key: Key) -> KeyboardShortcut {
    KeyboardShortcut::new(Modifiers::COMMAND.plus(Modifiers::SHIFT), key)
}

/// Declares every command once: its name in code, its name in locales, its shortcuts.
macro_rules! commands {
    ($($command:ident $key:literal [$($shortcut:expr),*])*) => {
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Command {
            $($command,)*
        }

        impl Command {
            /// Every command, in the order of the shortcut sheet.
            pub const ALL: &[Command] = &[$(Command::$command,)*];

            /// Keys of the command; the first is the one that menus show.
            pub fn shortcuts(self) -> &'static [KeyboardShortcut] {
                match self {
                    $(Command::$command => const { &[$($shortcut),*] },)*
                }
            }

            /// Name in locales.
            fn key(self) -> &'static str {
                match self {
                    $(Command::$command => $key,)*
                }
            }
        }
    };
}

commands! {
    Open "open" [ctrl(Key::O)]
    OpenFolder "open_folder" [ctrl_shift(Key::O)]
    OpenTruth "open_truth" [ctrl(Key::T)]
    Export "export" [ctrl(Key::E)]
    Copy "copy" [ctrl(Key::C)]
    Remove "remove" [plain(Key::Delete)]
    Split "split" [ctrl_shift(Key::J)]
    Join "join" [ctrl(Key::J)]
    LookHere "look_here" [ctrl_shift(Key::L)]
    Previous "previous" [plain(Key::ArrowUp)]
    Next "next" [plain(Key::ArrowDown)]
    First "first" [plain(Key::Home)]
    Last "last" [plain(Key::End)]
    PreviousPositive "previous_positive" [plain(Key::P)]
    NextPositive "next_positive" [plain(Key::N)]
    PreviousStudy "previous_study" [plain(Key::PageUp)]
    NextStudy "next_study" [plain(Key::PageDown)]
    Edit "edit" [plain(Key::E)]
    Undo "undo" [ctrl(Key::Z)]
    Redo "redo" [ctrl_shift(Key::Z), ctrl(Key::Y)]
    SaveOutlines "save_outlines" [ctrl(Key::S)]
    Planes "planes" [plain(Key::Q)]
    Cine "cine" [plain(Key::Period)]
    HidePanels "hide_panels" [plain(Key::H)]
    FullScreen "full_screen" [plain(Key::F11)]
    Tags "tags" [ctrl(Key::I)]
    Distance "distance" [plain(Key::L)]
    Area "area" [plain(Key::K)]
    Angle "angle" [plain(Key::J)]
    Label "label" [plain(Key::B)]
    ClearMeasurements "clear_measurements" [plain(Key::X)]
    ToggleOverlay "toggle_overlay" [plain(Key::G), plain(Key::S)]
    ToggleContour "toggle_contour" [plain(Key::C)]
    Why "why" [plain(Key::W)]
    LessOpacity "less_opacity" [plain(Key::A)]
    MoreOpacity "more_opacity" [plain(Key::D)]
    LowerThreshold "lower_threshold" [plain(Key::OpenBracket), plain(Key::Minus)]
    RaiseThreshold "raise_threshold" [plain(Key::CloseBracket), plain(Key::Plus)]
    ResetThreshold "reset_threshold" [plain(Key::T)]
    ResetView "reset_view" [plain(Key::R)]
    Fit "fit" [plain(Key::F)]
    Invert "invert" [plain(Key::I)]
    NextChannel "next_channel" [plain(Key::V)]
    Preset1 "preset_1" [plain(Key::Num1)]
    Preset2 "preset_2" [plain(Key::Num2)]
    Preset3 "preset_3" [plain(Key::Num3)]
    Preset4 "preset_4" [plain(Key::Num4)]
    Preset5 "preset_5" [plain(Key::Num5)]
    Cancel "cancel" [plain(Key::Escape)]
    ModelCard "model_card" [plain(Key::M)]
    ImportModel "import_model" []
    FineTune "fine_tune" []
    Settings "settings" [ctrl(Key::Comma)]
    Shortcuts "shortcuts" [plain(Key::F1)]
}

impl Command {
    /// The window presets of a study, in order.
    pub const PRESETS: [Command; 5] =
        [Command::Preset1, Command::Preset2, Command::Preset3, Command::Preset4, Command::Preset5];

    /// What the command is called in the current language.
    pub fn label(self) -> String {
        t!(format!("command.{}", self.key())).into_owned()
    }

    /// Its keys as they are written on a keyboard; the one that is shown in menus comes first.
    pub fn keys(self, ctx: &egui::Context) -> Vec<String> {
        let named = |s: &KeyboardShortcut| {
            let text = ctx.format_shortcut(s);
            let key = key_name(s.logical_key).map(|name| text.replace(s.logical_key.name(), &name));
            key.unwrap_or(text).replace("Shift", &t!("key.shift"))
        };
        self.shortcuts().iter().map(named).collect()
    }

    /// Label with the shortcut in brackets, for tooltips.
    pub fn tooltip(self, ctx: &egui::Context) -> String {
        match self.keys(ctx).first() {
            Some(key) => format!("{} ({key})", self.label()),
            None => self.label(),
        }
    }
}

/// What is written on a key, where that is not its name in egui.
fn key_name(key: Key) -> Option<String> {
    let name = match key {
        Key::OpenBracket => "[".into(),
        Key::CloseBracket => "]".into(),
        Key::Comma => ",".into(),
        Key::Period => ".".into(),
        Key::Plus => "+".into(),
        Key::Minus => "-".into(),
        Key::ArrowUp => "↑".into(),
        Key::ArrowDown => "↓".into(),
        Key::Home => t!("key.home"),
        Key::End => t!("key.end"),
        Key::PageUp => t!("key.page_up"),
        Key::PageDown => t!("key.page_down"),
        Key::Delete => t!("key.delete"),
        Key::Escape => t!("key.escape"),
        _ => return None,
    };
    Some(name.into_owned())
}

/// Commands whose keys were pressed, consumed so that no widget sees them. Plain keys wait while text is being typed. Under a
/// dialog nothing acts but Cancel and the command that opened it.
///
/// `typing` is how things stood at the end of the last frame: Escape takes the focus from a field before anybody is asked.
pub(super) fn pressed(ctx: &egui::Context, typing: bool, dialog: Option<Dialog>) -> Vec<Command> {
    let popup = egui::Popup::is_any_open(ctx);
    let mut found = Vec::new();
    // Shortcuts with more modifiers first, since egui lets Ctrl+O match Ctrl+Shift+O too.
    let mut all: Vec<(KeyboardShortcut, Command)> =
        Command::ALL.iter().flat_map(|c| c.shortcuts().iter().map(|s| (*s, *c))).collect();
    let weight = |s: &KeyboardShortcut| usize::from(s.modifiers.command) + usize::from(s.modifiers.shift);
    all.sort_by_key(|(shortcut, _)| std::cmp::Reverse(weight(shortcut)));
    for (shortcut, command) in all {
        let plain = shortcut.modifiers == Modifiers::NONE;
        let modified = ctx.input(|i| i.modifiers.command || i.modifiers.alt);
        let acts = dialog.is_none_or(|dialog| command == Command::Cancel || dialog.command() == Some(command));
        let leaves = dialog.is_some() && command == Command::Cancel;
        if !acts || (plain && (modified || (typing && !leaves))) {
            continue;
        }
        // Escape closes an open menu or list first.
        if command == Command::Cancel && popup {
            continue;
        }
        // Several presses within one frame are several commands.
        let presses = ctx.input_mut(|i| i.count_and_consume_key(shortcut.modifiers, shortcut.logical_key));
        found.extend(std::iter::repeat_n(command, presses));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn no_two_commands_share_a_key_and_all_are_named_in_both_languages() {
        let (mut keys, mut names) = (HashSet::new(), HashSet::new());
        for command in Command::ALL {
            for shortcut in command.shortcuts() {
                assert!(keys.insert((shortcut.modifiers, shortcut.logical_key)), "{command:?}: {shortcut:?}");
            }
            for locale in ["en", "es"] {
                let key = format!("command.{}", command.key());
                let name = t!(&key, locale = locale).into_owned();
                assert_ne!(name, key, "{locale}");
                assert!(names.insert((locale, name)), "{command:?} is called as another command is");
            }
        }
    }
}

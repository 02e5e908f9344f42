//! Everything a key, a menu entry or a button can do, in one place: label, tooltip and shortcut of a command come from here.

use egui::{Key, KeyboardShortcut, Modifiers};
use rust_i18n::t;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Command {
    Open,
    OpenFolder,
    OpenTruth,
    Export,
    Remove,
    Next,
    Previous,
    First,
    Last,
    NextPositive,
    PreviousPositive,
    NextStudy,
    PreviousStudy,
    Distance,
    Area,
    ClearMeasurements,
    ToggleOverlay,
    ToggleContour,
    MoreOpacity,
    LessOpacity,
    RaiseThreshold,
    LowerThreshold,
    ResetThreshold,
    ResetView,
    Fit,
    Invert,
    Preset(u8),
    Cancel,
    Settings,
    ModelCard,
    Shortcuts,
}

/// Number of window presets.
pub const PRESETS: u8 = 5;

impl Command {
    /// Every command, in the order of the shortcut sheet.
    pub fn all() -> impl Iterator<Item = Command> {
        use Command::*;
        let presets = (1..=PRESETS).map(Preset);
        [
            Open,
            OpenFolder,
            OpenTruth,
            Export,
            Remove,
            Previous,
            Next,
            First,
            Last,
            PreviousPositive,
            NextPositive,
            PreviousStudy,
            NextStudy,
            Distance,
            Area,
            ClearMeasurements,
            ToggleOverlay,
            ToggleContour,
            LessOpacity,
            MoreOpacity,
            LowerThreshold,
            RaiseThreshold,
            ResetThreshold,
            ResetView,
            Fit,
            Invert,
        ]
        .into_iter()
        .chain(presets)
        .chain([Cancel, ModelCard, Settings, Shortcuts])
    }

    /// First shortcut is the one that is shown.
    pub fn shortcuts(self) -> Vec<KeyboardShortcut> {
        let plain = |key| KeyboardShortcut::new(Modifiers::NONE, key);
        let command = |key| KeyboardShortcut::new(Modifiers::COMMAND, key);
        match self {
            Command::Open => vec![command(Key::O)],
            Command::OpenFolder => vec![KeyboardShortcut::new(Modifiers::COMMAND | Modifiers::SHIFT, Key::O)],
            Command::OpenTruth => vec![command(Key::T)],
            Command::Export => vec![command(Key::E)],
            Command::Remove => vec![plain(Key::Delete)],
            Command::Next => vec![plain(Key::ArrowDown)],
            Command::Previous => vec![plain(Key::ArrowUp)],
            Command::First => vec![plain(Key::Home)],
            Command::Last => vec![plain(Key::End)],
            Command::NextPositive => vec![plain(Key::N)],
            Command::PreviousPositive => vec![plain(Key::P)],
            Command::NextStudy => vec![plain(Key::PageDown)],
            Command::PreviousStudy => vec![plain(Key::PageUp)],
            Command::Distance => vec![plain(Key::L)],
            Command::Area => vec![plain(Key::K)],
            Command::ClearMeasurements => vec![plain(Key::X)],
            Command::ToggleOverlay => vec![plain(Key::G), plain(Key::S)],
            Command::ToggleContour => vec![plain(Key::C)],
            Command::LessOpacity => vec![plain(Key::A)],
            Command::MoreOpacity => vec![plain(Key::D)],
            Command::LowerThreshold => vec![plain(Key::OpenBracket)],
            Command::RaiseThreshold => vec![plain(Key::CloseBracket)],
            Command::ResetThreshold => vec![plain(Key::T)],
            Command::ResetView => vec![plain(Key::R)],
            Command::Fit => vec![plain(Key::F)],
            Command::Invert => vec![plain(Key::I)],
            Command::Preset(n) => [Key::Num1, Key::Num2, Key::Num3, Key::Num4, Key::Num5]
                .get(usize::from(n) - 1)
                .map(|k| plain(*k))
                .into_iter()
                .collect(),
            Command::Cancel => vec![plain(Key::Escape)],
            Command::Settings => vec![command(Key::Comma)],
            Command::ModelCard => vec![plain(Key::M)],
            Command::Shortcuts => vec![plain(Key::F1)],
        }
    }

    /// What the command is called in the current language.
    pub fn label(self) -> String {
        match self {
            Command::Preset(n) => t!("command.preset", n = n, name = preset_name(n)).into_owned(),
            other => t!(format!("command.{}", other.key())).into_owned(),
        }
    }

    /// Its keys as they are written on a keyboard; the one that is shown in menus comes first.
    pub fn keys(self, ctx: &egui::Context) -> Vec<String> {
        let named = |s: &KeyboardShortcut| {
            let text = ctx.format_shortcut(s);
            text.replace("OpenBracket", "[").replace("CloseBracket", "]").replace("Comma", ",")
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

    fn key(self) -> &'static str {
        match self {
            Command::Open => "open",
            Command::OpenFolder => "open_folder",
            Command::OpenTruth => "open_truth",
            Command::Export => "export",
            Command::Remove => "remove",
            Command::Next => "next",
            Command::Previous => "previous",
            Command::First => "first",
            Command::Last => "last",
            Command::NextPositive => "next_positive",
            Command::PreviousPositive => "previous_positive",
            Command::NextStudy => "next_study",
            Command::PreviousStudy => "previous_study",
            Command::Distance => "distance",
            Command::Area => "area",
            Command::ClearMeasurements => "clear_measurements",
            Command::ToggleOverlay => "toggle_overlay",
            Command::ToggleContour => "toggle_contour",
            Command::MoreOpacity => "more_opacity",
            Command::LessOpacity => "less_opacity",
            Command::RaiseThreshold => "raise_threshold",
            Command::LowerThreshold => "lower_threshold",
            Command::ResetThreshold => "reset_threshold",
            Command::ResetView => "reset_view",
            Command::Fit => "fit",
            Command::Invert => "invert",
            Command::Preset(_) => "preset",
            Command::Cancel => "cancel",
            Command::Settings => "settings",
            Command::ModelCard => "model_card",
            Command::Shortcuts => "shortcuts",
        }
    }
}

/// Name of a window preset in the current language.
pub fn preset_name(n: u8) -> String {
    t!(format!("preset.{n}")).into_owned()
}

/// Commands whose keys were pressed, consumed so that no widget sees them. Plain keys wait while text is being typed.
///
/// `typing` is how things stood at the end of the last frame: Escape takes the focus from a field before anybody is asked.
pub fn pressed(ctx: &egui::Context, typing: bool) -> Vec<Command> {
    let popup = egui::Popup::is_any_open(ctx);
    let mut found = Vec::new();
    // Shortcuts with more modifiers first, since egui lets Ctrl+O match Ctrl+Shift+O too.
    let mut all: Vec<(KeyboardShortcut, Command)> =
        Command::all().flat_map(|c| c.shortcuts().into_iter().map(move |s| (s, c))).collect();
    let weight = |s: &KeyboardShortcut| usize::from(s.modifiers.command) + usize::from(s.modifiers.shift);
    all.sort_by_key(|(shortcut, _)| std::cmp::Reverse(weight(shortcut)));
    for (shortcut, command) in all {
        let plain = shortcut.modifiers == Modifiers::NONE;
        let modified = ctx.input(|i| i.modifiers.command || i.modifiers.alt);
        if plain && (typing || modified) {
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
        let mut keys = HashSet::new();
        for command in Command::all() {
            for shortcut in command.shortcuts() {
                assert!(keys.insert((shortcut.modifiers, shortcut.logical_key)), "{command:?}: {shortcut:?}");
            }
            for locale in ["en", "es"] {
                let key = format!("command.{}", command.key());
                assert_ne!(t!(&key, locale = locale), key, "{locale}");
            }
        }
    }
}

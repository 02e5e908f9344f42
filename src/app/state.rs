//! What is remembered between starts.

use crate::domain::overlay::OverlayStyle;
use crate::engine::device::DeviceChoice;
use crate::export::annotated_png::{Magnification, Paper};
use crate::files::write_atomically;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Most recent files kept.
const RECENT: usize = 10;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Language {
    #[default]
    English,
    Spanish,
}

impl Language {
    pub const ALL: [Language; 2] = [Language::English, Language::Spanish];

    pub fn code(self) -> &'static str {
        match self {
            Language::English => "en",
            Language::Spanish => "es",
        }
    }

    /// In its own language.
    pub fn name(self) -> &'static str {
        match self {
            Language::English => "English",
            Language::Spanish => "Español",
        }
    }

    /// The system's language if it is one of ours.
    fn of_system() -> Self {
        let set = ["LC_ALL", "LC_MESSAGES", "LANG"]
            .iter()
            .find_map(|name| std::env::var(name).ok().filter(|v| !v.is_empty()));
        if set.is_some_and(|v| v.starts_with("es")) { Language::Spanish } else { Language::English }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum ThemeChoice {
    #[default]
    Dark,
    Light,
}

/// How pixels are drawn when enlarged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Interpolation {
    /// Every pixel a sharp square.
    Nearest,
    #[default]
    Linear,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    pub language: Language,
    pub theme: ThemeChoice,
    pub interpolation: Interpolation,
    pub device: DeviceChoice,
    pub overlay: OverlayStyle,
    /// Not remembered: a mask hidden yesterday must not be missing today.
    #[serde(skip, default = "yes")]
    pub show_overlay: bool,
    pub magnification: Magnification,
    /// Ink and paper of exported pictures.
    pub export_paper: Paper,
    /// Whether exported pictures show the plain scan beside the one with its mask.
    pub export_plain: bool,
    pub export_folder: Option<PathBuf>,
    /// Whether the file's name goes into exported pictures; asked anew in every session, since names identify patients.
    #[serde(skip)]
    pub export_name: bool,
    pub recent: Vec<PathBuf>,
    /// Whether saved outlines are also copied to the corrections to learn from.
    pub collects: bool,
    /// Whether what was open is opened again at the next start.
    pub restores: bool,
    /// Who outlines, for the history of the corrections.
    pub reader: String,
}

fn yes() -> bool {
    true
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            language: Language::of_system(),
            theme: ThemeChoice::default(),
            interpolation: Interpolation::default(),
            device: DeviceChoice::default(),
            overlay: OverlayStyle::default(),
            show_overlay: true,
            magnification: Magnification::X2,
            export_paper: Paper::default(),
            export_plain: false,
            export_folder: None,
            export_name: false,
            recent: Vec::new(),
            collects: true,
            restores: true,
            reader: String::new(),
        }
    }
}

impl Settings {
    /// Where settings are kept, if this system has such a place.
    pub fn path() -> Option<PathBuf> {
        directories::ProjectDirs::from("org", "LesionLens", "LesionLens").map(|d| d.config_dir().join("settings.toml"))
    }

    /// Unreadable settings are replaced by the defaults: they hold nothing that cannot be chosen again.
    pub fn load(path: &Path) -> Self {
        std::fs::read_to_string(path).ok().and_then(|text| toml::from_str(&text).ok()).unwrap_or_default()
    }

    pub fn save(&self, path: &Path) -> std::io::Result<()> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let text = toml::to_string(self).map_err(std::io::Error::other)?;
        write_atomically(path, text.as_bytes())
    }

    /// As the settings on disk with what this window changed since `base`, so that two windows do not undo each other's choices.
    fn onto(&self, disk: Settings, base: &Settings) -> Settings {
        fn newest<T: Clone + PartialEq>(mine: &T, base: &T, disk: T) -> T {
            if mine == base { disk } else { mine.clone() }
        }
        let others = disk.recent.iter().filter(|path| !base.recent.contains(path));
        let mut merged = Settings {
            language: newest(&self.language, &base.language, disk.language),
            theme: newest(&self.theme, &base.theme, disk.theme),
            interpolation: newest(&self.interpolation, &base.interpolation, disk.interpolation),
            device: newest(&self.device, &base.device, disk.device),
            overlay: newest(&self.overlay, &base.overlay, disk.overlay),
            magnification: newest(&self.magnification, &base.magnification, disk.magnification),
            export_paper: newest(&self.export_paper, &base.export_paper, disk.export_paper),
            export_plain: newest(&self.export_plain, &base.export_plain, disk.export_plain),
            export_folder: newest(&self.export_folder, &base.export_folder, disk.export_folder),
            collects: newest(&self.collects, &base.collects, disk.collects),
            restores: newest(&self.restores, &base.restores, disk.restores),
            reader: newest(&self.reader, &base.reader, disk.reader),
            ..self.clone()
        };
        merged.recent.extend(others.filter(|path| !self.recent.contains(path)).cloned());
        merged.recent.truncate(RECENT);
        merged
    }

    /// Saves what changed since `base`, which is what was saved or loaded last.
    ///
    /// # Errors
    /// If the file or its folder cannot be written.
    pub fn save_changes(&self, path: &Path, base: &Settings) -> std::io::Result<()> {
        let disk = if path.is_file() { Self::load(path) } else { base.clone() };
        self.onto(disk, base).save(path)
    }

    /// Takes a path that could not be opened off the list of recent ones.
    pub fn forget(&mut self, path: &Path) {
        self.recent.retain(|p| p != path);
    }

    /// Puts a path first in the list of recent ones.
    pub fn remember(&mut self, path: &Path) {
        self.recent.retain(|p| p != path);
        self.recent.insert(0, path.to_path_buf());
        self.recent.truncate(RECENT);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_survive_a_restart_and_a_damaged_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/settings.toml");
        let mut settings = Settings { language: Language::Spanish, theme: ThemeChoice::Light, ..Settings::default() };
        settings.remember(Path::new("/a"));
        settings.remember(Path::new("/b"));
        settings.remember(Path::new("/a"));
        settings.save(&path).unwrap();
        assert_eq!(Settings::load(&path), settings);
        assert_eq!(settings.recent, [Path::new("/a"), Path::new("/b")]);
        settings.forget(Path::new("/b"));
        assert_eq!(settings.recent, [Path::new("/a")]);
        std::fs::write(&path, "language = 7").unwrap();
        assert_eq!(Settings::load(&path), Settings::default());
    }

    #[test]
    fn two_windows_keep_each_others_changes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("settings.toml");
        let start = Settings { language: Language::English, ..Settings::default() };
        start.save(&path).unwrap();
        let (mut one, mut two) = (start.clone(), start.clone());
        one.theme = ThemeChoice::Light;
        one.remember(Path::new("/one"));
        one.save_changes(&path, &start).unwrap();
        two.language = Language::Spanish;
        two.remember(Path::new("/two"));
        two.save_changes(&path, &start).unwrap();
        let both = Settings::load(&path);
        assert_eq!((both.theme, both.language), (ThemeChoice::Light, Language::Spanish));
        assert_eq!(both.recent, [Path::new("/two"), Path::new("/one")]);
    }
}

//! What is remembered between starts.

use crate::domain::overlay::OverlayStyle;
use crate::engine::device::DeviceChoice;
use crate::export::annotated_png::Magnification;
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
    pub export_folder: Option<PathBuf>,
    /// Whether the file's name goes into exported pictures; asked anew in every session, since names identify patients.
    #[serde(skip)]
    pub export_name: bool,
    pub recent: Vec<PathBuf>,
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
            export_folder: None,
            export_name: false,
            recent: Vec::new(),
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
        std::fs::write(&path, "language = 7").unwrap();
        assert_eq!(Settings::load(&path), Settings::default());
    }
}

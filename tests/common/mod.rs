//! What several test files need.
#![allow(dead_code)] // each test file uses its own part

use lesionlens::domain::phantom::Phantom;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The project's shared material beside the checkout; tests that need it say so and pass without.
pub fn shared(part: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared").join(part);
    if path.exists() {
        return Some(path);
    }
    eprintln!("skipped: {} is not here", path.display());
    None
}

/// Runs the program with its own empty data and settings folders.
pub fn lesionlens(home: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_lesionlens"))
        .args(args)
        .env("HOME", home)
        .env("XDG_DATA_HOME", home.join("data"))
        .env("XDG_CONFIG_HOME", home.join("config"))
        .env_remove("DISPLAY")
        .env_remove("WAYLAND_DISPLAY")
        .output()
        .unwrap()
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The phantom as an 8-bit PNG.
pub fn phantom_png(path: &Path) {
    let (slice, _) = Phantom::example().draw();
    std::fs::write(path, lesionlens::export::png::slice(&slice).unwrap()).unwrap();
}

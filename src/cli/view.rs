//! `lesionlens view`, and `lesionlens` alone: the window.

use crate::app::Options;
use crate::app::session::Models;
use crate::app::state::Settings;
use crate::engine::candle::CandleEngine;
use crate::engine::device::{self, DeviceChoice};
use crate::engine::worker::Started;
use crate::models::registry::{Registry, user_folder};
use crate::tuning::Corrections;
use anyhow::anyhow;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

#[derive(clap::Args)]
pub struct Args {
    /// Pictures and folders to open; the bundled example without any.
    paths: Vec<PathBuf>,
}

impl Args {
    /// A single word that names no file, and so was meant as a command.
    pub fn mistyped_command(&self) -> Option<&str> {
        let [path] = self.paths.as_slice() else { return None };
        let word = path.to_str()?;
        let is_word = word.chars().all(|c| c.is_ascii_alphabetic() || c == '-');
        (is_word && !path.exists()).then_some(word)
    }
}

pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    if let Err(why) = display() {
        let paths = if args.paths.is_empty() { "SCAN.png".to_string() } else { shown(&args.paths) };
        eprintln!("There is no display to open a window on ({why}).");
        eprintln!("Run this instead to get results without a window:\n\n    lesionlens predict {paths} --json -\n");
        return Ok(ExitCode::FAILURE);
    }
    let registry = Registry::scan();
    let (classifier, segmenter) = registry.default_pair();
    crate::app::run(Options {
        paths: args.paths,
        engine: Arc::new(engine),
        settings: Settings::path(),
        models_folder: user_folder(),
        corrections: Corrections::of_user(),
        sessions: user_folder().map(|models| models.with_file_name("sessions")),
        language: None,
        cards: registry.entries().map(|entry| entry.card.clone()).collect(),
        models: Models { classifier, segmenter },
        problems: registry.problems.clone(),
    })
    .map_err(|e| anyhow!("cannot open a window: {e}; `lesionlens predict` gives the same results without one"))?;
    Ok(ExitCode::SUCCESS)
}

/// Opens the device and the real engine, which knows the models there are now; runs on the engine's own thread.
fn engine(choice: DeviceChoice) -> Started {
    let device::Opened { device, notice } = device::open(choice);
    Started { engine: Box::new(CandleEngine::new(Arc::new(Registry::scan()), device)), notice }
}

fn shown(paths: &[PathBuf]) -> String {
    paths.iter().map(|p| format!("'{}'", p.display())).collect::<Vec<_>>().join(" ")
}

/// The kind of display, or why there is none.
pub fn display() -> Result<&'static str, &'static str> {
    if cfg!(any(target_os = "windows", target_os = "macos")) {
        return Ok("native");
    }
    let set = |name: &str| std::env::var_os(name).is_some_and(|v| !v.is_empty());
    if set("WAYLAND_DISPLAY") || set("WAYLAND_SOCKET") {
        Ok("wayland")
    } else if set("DISPLAY") {
        Ok("x11")
    } else {
        Err("neither DISPLAY nor WAYLAND_DISPLAY is set")
    }
}

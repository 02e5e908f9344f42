//! The real window with an engine that answers from brightness alone.
#![allow(dead_code)] // the test of languages uses a part of it

use egui_kittest::Harness;
use egui_kittest::kittest::Queryable as _;
use lesionlens::app::session::Models;
use lesionlens::app::state::Language;
use lesionlens::app::{App, EngineFactory, Options};
use lesionlens::engine::mock::MockEngine;
use lesionlens::engine::worker::Started;
use lesionlens::models::registry::Registry;
use lesionlens::tuning::Corrections;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

pub type Window = Harness<'static, App>;

/// Opens the window on these files; on the bundled example without any.
pub fn window(paths: Vec<PathBuf>, size: [f32; 2]) -> Window {
    window_with_models(paths, size, None)
}

/// As [`window`]; dropped models are installed in `models`.
pub fn window_with_models(paths: Vec<PathBuf>, size: [f32; 2], models_folder: Option<PathBuf>) -> Window {
    let engine = Arc::new(|_| Started { engine: Box::new(MockEngine), notice: None });
    window_with_engine(paths, size, models_folder, engine)
}

/// As [`window`]; what is open is kept in `sessions`.
pub fn window_that_restores(paths: Vec<PathBuf>, sessions: PathBuf) -> Window {
    let engine = Arc::new(|_| Started { engine: Box::new(MockEngine), notice: None });
    built(paths, [1280.0, 720.0], [None, Some(sessions)], engine)
}

/// As [`window_with_models`]; questions go to the engine that `engine` makes.
pub fn window_with_engine(
    paths: Vec<PathBuf>,
    size: [f32; 2],
    models_folder: Option<PathBuf>,
    engine: EngineFactory,
) -> Window {
    built(paths, size, [models_folder, None], engine)
}

fn built(
    paths: Vec<PathBuf>,
    size: [f32; 2],
    [models_folder, sessions]: [Option<PathBuf>; 2],
    engine: EngineFactory,
) -> Window {
    let registry = Registry::scan_in(&[]);
    let (classifier, segmenter) = registry.default_pair();
    let cards = registry.entries().map(|e| e.card.clone()).collect();
    Harness::builder().with_size(size).with_max_steps(64).build_eframe(move |cc| {
        let options = Options {
            paths,
            engine,
            settings: None,
            corrections: models_folder
                .as_deref()
                .map(|folder| Corrections { folder: folder.with_file_name("corrections") }),
            models_folder,
            sessions,
            language: Some(Language::English),
            cards,
            models: Models { classifier, segmenter },
            problems: Vec::new(),
        };
        App::new(&cc.egui_ctx, options)
    })
}

/// Draws frames until `ready`, while threads do their work; fails after a minute.
pub fn wait(window: &mut Window, what: &str, ready: impl Fn(&Window) -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !ready(window) {
        assert!(Instant::now() < deadline, "waited in vain for: {what}");
        std::thread::sleep(Duration::from_millis(5));
        window.step();
    }
    window.step();
}

/// Whether any text on the screen contains `part`.
pub fn shows(window: &Window, part: &str) -> bool {
    window.query_all_by_label_contains(part).next().is_some()
}

/// The example with both answers.
pub fn with_example() -> Window {
    let mut window = window(Vec::new(), [1280.0, 720.0]);
    wait(&mut window, "the example's mask", |w| {
        let session = w.state().session();
        session.selected().is_some_and(|e| session.segmentation(e).is_some())
    });
    window
}

#[derive(Debug)]
struct Dropped(PathBuf);

impl egui::DroppedFile for Dropped {
    fn path(&self) -> &Path {
        &self.0
    }

    fn bytes(&self) -> Result<Vec<u8>, String> {
        std::fs::read(&self.0).map_err(|e| e.to_string())
    }
}

pub fn drop_file(window: &mut Window, path: &Path) {
    window.input_mut().dropped_files.push(Arc::new(Dropped(path.to_path_buf())));
    window.step();
}

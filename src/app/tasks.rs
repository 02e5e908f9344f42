//! Slow things done on threads of their own: file dialogs, reading outlines, writing exports.

use super::entry::{EntryId, Shown};
use super::opener;
use super::state::Settings;
use crate::domain::card::Card;
use crate::domain::slice::Slice;
use crate::domain::study::{Place, Study};
use crate::engine::importing::{self, Detected, Wishes};
use crate::export::kind::ExportKind;
use crate::export::{self, Export};
use crate::io::paths::EXTENSIONS;
use crate::io::{self, Truth};
use crossbeam_channel::{Receiver, Sender, unbounded};
use rust_i18n::t;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// A dialog that was answered sooner was never shown.
const NO_DIALOG: Duration = Duration::from_millis(700);

/// What came of a task.
pub enum Done {
    /// Chosen in a dialog.
    Picked(Vec<PathBuf>),
    /// The system showed no dialog.
    NoDialog,
    TruthPicked(EntryId, PathBuf),
    ExportPathPicked(PathBuf),
    Truth(EntryId, Place, Result<Truth, String>),
    /// A slice is ready to be shown.
    Slice(EntryId, Box<Shown>),
    /// It cannot be, and why.
    NoSlice(EntryId, Place, String),
    /// Settings could not be written.
    SettingsFailed(String),
    /// What a model file holds.
    Detected(Result<Box<Detected>, String>),
    Installed(Arc<Detected>, Result<Box<Card>, String>),
    /// Slices done and to do.
    Exporting(usize, usize),
    Exported(Result<PathBuf, String>),
}

/// What a file dialog is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pick {
    Files,
    Folder,
    /// An outline for this slice.
    Truth(EntryId),
    Export(ExportKind),
}

pub struct Tasks {
    outbox: Sender<Done>,
    inbox: Receiver<Done>,
    ctx: egui::Context,
}

impl Tasks {
    pub fn new(ctx: &egui::Context) -> Self {
        let (outbox, inbox) = unbounded();
        Self { outbox, inbox, ctx: ctx.clone() }
    }

    pub fn poll(&self) -> Option<Done> {
        self.inbox.try_recv().ok()
    }

    fn spawn(&self, work: impl FnOnce() -> Option<Done> + Send + 'static) {
        let (outbox, ctx) = (self.outbox.clone(), self.ctx.clone());
        std::thread::spawn(move || {
            if let Some(done) = work() {
                // The receiver goes only with the window.
                outbox.send(done).ok();
            }
            ctx.request_repaint();
        });
    }

    /// Shows the system's dialog. It blocks until it is answered, so it never runs on the UI thread.
    pub fn pick(&self, pick: Pick, folder: Option<PathBuf>) {
        let mut dialog = rfd::FileDialog::new();
        if let Some(folder) = folder.filter(|f| f.is_dir()) {
            dialog = dialog.set_directory(folder);
        }
        let (pictures_name, all_name) = (t!("dialog.pictures").into_owned(), t!("dialog.all_files").into_owned());
        self.spawn(move || {
            let asked = Instant::now();
            let picked = Self::ask(pick, dialog, pictures_name, all_name, &EXTENSIONS);
            // Nobody dismisses a dialog so fast: there was none (no portal, no zenity).
            if picked.is_none() && asked.elapsed() < NO_DIALOG { Some(Done::NoDialog) } else { picked }
        });
    }

    fn ask(
        pick: Pick,
        dialog: rfd::FileDialog,
        pictures_name: String,
        all_name: String,
        pictures: &[&str],
    ) -> Option<Done> {
        match pick {
            Pick::Files => {
                let dialog = dialog.add_filter(pictures_name, pictures).add_filter(all_name, &["*"]);
                dialog.pick_files().filter(|files| !files.is_empty()).map(Done::Picked)
            }
            Pick::Folder => dialog.pick_folder().map(|folder| Done::Picked(vec![folder])),
            Pick::Truth(id) => {
                let path = dialog.add_filter(pictures_name, pictures).pick_file();
                path.map(|path| Done::TruthPicked(id, path))
            }
            Pick::Export(kind) => {
                let ending = kind.ending();
                let dialog = dialog.set_file_name(format!("lesionlens.{ending}"));
                // Choosers know the last part of an ending only.
                let last = ending.rsplit('.').next().unwrap_or(ending);
                dialog.add_filter(ending, &[last]).save_file().map(Done::ExportPathPicked)
            }
        }
    }

    /// Reads outlines for a study, or for its slice at `place`.
    pub fn load_truth(&self, id: EntryId, path: PathBuf, study: Arc<Study>, place: Place) {
        self.spawn(move || {
            let truth = io::load_truth(&path, &study, place);
            Some(Done::Truth(id, place, truth.map_err(|e| e.to_string())))
        });
    }

    /// Makes a slice that is not at hand.
    pub fn show_slice(&self, id: EntryId, study: Arc<Study>, place: Place) {
        self.spawn(move || {
            Some(match opener::show(&study, place) {
                Ok(shown) => Done::Slice(id, Box::new(shown)),
                Err(error) => Done::NoSlice(id, place, error.to_string()),
            })
        });
    }

    /// Looks into a model file.
    pub fn detect_model(&self, path: PathBuf) {
        self.spawn(move || Some(Done::Detected(importing::detect(&path).map(Box::new).map_err(|e| e.to_string()))));
    }

    /// Installs a model and tries it on a slice.
    pub fn install_model(&self, detected: Arc<Detected>, wishes: Wishes, folder: PathBuf, slice: Option<Arc<Slice>>) {
        self.spawn(move || {
            let installed = detected.install(&wishes, &folder, slice.as_ref());
            Some(Done::Installed(detected, installed.map(Box::new).map_err(|e| e.to_string())))
        });
    }

    pub fn save_settings(&self, settings: Settings, path: PathBuf) {
        self.spawn(move || {
            let failed = settings.save(&path).err()?;
            Some(Done::SettingsFailed(t!("settings.not_saved", path = path.display(), error = failed).into_owned()))
        });
    }

    /// Writes an export, until `cancelled`.
    pub fn export(&self, export: Box<dyn Export>, path: PathBuf, cancelled: Arc<AtomicBool>) {
        let (outbox, ctx) = (self.outbox.clone(), self.ctx.clone());
        self.spawn(move || {
            let progress = |done: usize, total: usize| {
                // The receiver goes only with the window.
                outbox.send(Done::Exporting(done, total)).ok();
                ctx.request_repaint();
                !cancelled.load(Ordering::Relaxed)
            };
            let written = export::write(export.as_ref(), &path, &progress).map_err(|e| e.to_string());
            Some(Done::Exported(written.map(|()| path)))
        });
    }
}

/// A name in `folder` that nothing has yet: `lesionlens.png`, `lesionlens-2.png` …
///
/// The scan's own name is not used: it may be a patient's.
pub fn free_name(folder: &Path, kind: ExportKind) -> PathBuf {
    let ending = kind.ending();
    let name = |n: u32| if n == 1 { format!("lesionlens.{ending}") } else { format!("lesionlens-{n}.{ending}") };
    let named = |n: u32| folder.join(name(n));
    (1..10_000).map(named).find(|path| !path.exists()).unwrap_or_else(|| named(1))
}

//! Slow things done in the background: file dialogs, reading outlines, writing exports.

use super::background::{Background, Fault, Job, Jobs};
use super::entry::EntryId;
use super::export::picture::Picture;
use super::fine_tuning::{Ended, tuning_error};
use super::opener;
use super::problems::load_error;
use super::session_file::Snapshot;
use super::shown::Shown;
use super::state::Settings;
use crate::domain::card::Card;
use crate::domain::slice::Slice;
use crate::domain::study::{Place, Study};
use crate::engine::importing::{self, Detected, Wishes};
use crate::engine::worker::{Service, Started};
use crate::export::kind::ExportKind;
use crate::export::{self, Export};
use crate::io::dicom::Attribute;
use crate::io::paths::EXTENSIONS;
use crate::io::{self, Truth};
use crate::tuning::{self, Contribution, Corrections, News, Plan, Summary};
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
    /// An annotated picture for the clipboard.
    Copied(Result<Box<egui::ColorImage>, String>),
    /// The small picture of a slice for the list.
    Thumbnail(EntryId, Place, Vec<u8>),
    /// What a DICOM file says before its pixels.
    Tags(PathBuf, Result<Vec<Attribute>, String>),
    /// The model's id, and the card of the built-in model that its id stands for from now on.
    ModelRemoved(String, Result<Option<Box<Card>>, String>),
    /// Slices done and to do.
    Exporting(usize, usize),
    Exported(Result<PathBuf, String>),
    /// The end of keeping what is open: done, or why not.
    SessionSaved(Result<(), String>),
    /// What the corrections hold after outlines were added.
    Collected(Result<Summary, String>),
    /// What there is to learn from.
    Corrections(Result<Summary, String>),
    /// A fine-tune goes on.
    Tuning(News),
    /// A fine-tune ended.
    Tuned(Ended),
    /// A fine-tuned model was installed.
    TunedInstalled(Result<Box<Card>, String>),
    /// A task without a result of its own ended early.
    Failed(Fault),
    EngineStopped(Fault),
}

/// What a file dialog is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pick {
    Files,
    Folder,
    /// Models to be installed.
    Model,
    /// An outline for this slice.
    Truth(EntryId),
    Export(ExportKind),
}

pub struct Tasks {
    jobs: Jobs<Done>,
}

impl Tasks {
    pub fn new(background: &Background) -> Self {
        Self { jobs: Jobs::new(background) }
    }

    pub fn poll(&self) -> Option<Done> {
        self.jobs.poll()
    }

    /// Runs the engine until its worker is dropped.
    pub fn run_engine(&self, service: Service, make: impl FnOnce() -> Started + Send + 'static) -> Job {
        self.jobs.run("engine", Done::EngineStopped, move |reporter| service.run(make, || reporter.wake()))
    }

    /// Shows the system's dialog. It blocks until it is answered, so it never runs on the UI thread.
    pub fn pick(&self, pick: Pick, folder: Option<PathBuf>) {
        let mut dialog = rfd::FileDialog::new();
        if let Some(folder) = folder.filter(|f| f.is_dir()) {
            dialog = dialog.set_directory(folder);
        }
        let (pictures_name, all_name) = (t!("dialog.pictures").into_owned(), t!("dialog.all_files").into_owned());
        self.jobs.run("dialog", Done::Failed, move |reporter| {
            let asked = Instant::now();
            let picked = Self::ask(pick, dialog, pictures_name, all_name, &EXTENSIONS);
            // Nobody dismisses a dialog so fast: there was none (no portal, no zenity).
            let none = (asked.elapsed() < NO_DIALOG).then_some(Done::NoDialog);
            if let Some(done) = picked.or(none) {
                reporter.tell(done);
            }
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
            Pick::Model => dialog.pick_files().filter(|files| !files.is_empty()).map(Done::Picked),
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
        let failed = move |fault: Fault| Done::Truth(id, place, Err(fault.text()));
        self.jobs.run("outline", failed, move |reporter| {
            let truth = io::load_truth(&path, &study, place);
            reporter.tell(Done::Truth(id, place, truth.map_err(|e| load_error(&e))));
        });
    }

    /// Makes a slice that is not at hand.
    pub fn show_slice(&self, id: EntryId, study: Arc<Study>, place: Place) {
        let failed = move |fault: Fault| Done::NoSlice(id, place, fault.text());
        self.jobs.run("slice", failed, move |reporter| {
            reporter.tell(match opener::show(&study, place) {
                Ok(shown) => Done::Slice(id, Box::new(shown)),
                Err(error) => Done::NoSlice(id, place, error.to_string()),
            });
        });
    }

    /// Looks into a model file.
    pub fn detect_model(&self, path: PathBuf) {
        self.jobs.run("model file", Done::Failed, move |reporter| {
            let detected = importing::detect(&path);
            reporter.tell(Done::Detected(detected.map(Box::new).map_err(|e| e.to_string())));
        });
    }

    /// Installs a model and tries it on a slice.
    pub fn install_model(&self, detected: Arc<Detected>, wishes: Wishes, folder: PathBuf, slice: Option<Arc<Slice>>) {
        let own = detected.clone();
        let failed = move |fault: Fault| Done::Installed(own.clone(), Err(fault.text()));
        self.jobs.run("install", failed, move |reporter| {
            let installed = detected.install(&wishes, &folder, slice.as_ref());
            reporter.tell(Done::Installed(detected, installed.map(Box::new).map_err(|e| e.to_string())));
        });
    }

    /// Draws an annotated picture for the clipboard.
    pub fn copy(&self, picture: Picture) {
        let failed = |fault: Fault| Done::Copied(Err(fault.text()));
        self.jobs.run("copy", failed, move |reporter| {
            let image = picture.pixels().map(|(width, height, pixels)| {
                let colours = pixels.into_iter().map(|[r, g, b]| egui::Color32::from_rgb(r, g, b)).collect();
                Box::new(egui::ColorImage::new([width, height], colours))
            });
            reporter.tell(Done::Copied(image.map_err(|e| e.to_string())));
        });
    }

    /// Reads what a DICOM file says before its pixels.
    pub fn read_tags(&self, path: PathBuf) {
        self.jobs.run("attributes", Done::Failed, move |reporter| {
            let attributes = io::dicom::attributes(&path).map_err(|e| load_error(&e));
            reporter.tell(Done::Tags(path, attributes));
        });
    }

    /// Makes the small picture of a slice for the list. A slice that cannot be read leaves the old one.
    pub fn make_thumbnail(&self, id: EntryId, study: Arc<Study>, place: Place) {
        self.jobs.run("thumbnail", Done::Failed, move |reporter| {
            if let Ok(slice) = study.frames.slice(place) {
                reporter.tell(Done::Thumbnail(id, place, opener::thumbnail(&slice)));
            }
        });
    }

    /// Keeps what is open.
    pub fn save_session(&self, snapshot: Snapshot, path: PathBuf) {
        let failed = |fault: Fault| Done::SessionSaved(Err(fault.text()));
        self.jobs.run("session", failed, move |reporter| {
            let saved = snapshot
                .save(&path)
                .map_err(|error| t!("settings.not_saved", path = path.display(), error = error).into_owned());
            reporter.tell(Done::SessionSaved(saved));
        });
    }

    /// Copies a study with the reader's outlines to the corrections.
    pub fn collect(&self, corrections: Corrections, what: Contribution) {
        let failed = |fault: Fault| Done::Collected(Err(fault.text()));
        self.jobs.run("corrections", failed, move |reporter| {
            let added = corrections.add(&what, &|_, _| {});
            reporter.tell(Done::Collected(added.map_err(|e| tuning_error(&e))));
        });
    }

    /// Counts what there is to learn from.
    pub fn count_corrections(&self, corrections: Corrections) {
        let failed = |fault: Fault| Done::Corrections(Err(fault.text()));
        self.jobs.run("corrections", failed, move |reporter| {
            reporter.tell(Done::Corrections(corrections.summary().map_err(|e| tuning_error(&e))));
        });
    }

    /// Runs a fine-tune until it is finished or its job is stopped.
    pub fn fine_tune(&self, plan: Plan) -> Job {
        let failed = |fault: Fault| Done::Tuned(Ended::Failed(fault.text()));
        self.jobs.run("fine-tune", failed, move |reporter| {
            let stop = AtomicBool::new(false);
            let mut tell = |news: News| {
                stop.store(reporter.is_cancelled(), Ordering::Relaxed);
                reporter.tell(Done::Tuning(news));
            };
            let ended = match tuning::run_installed(&plan, &mut tell, &stop) {
                Ok(tuned) => Ended::Finished(Box::new(tuned)),
                Err(error) if error.stopped().is_some() => Ended::Stopped,
                Err(error) => Ended::Failed(tuning_error(&error)),
            };
            reporter.tell(Done::Tuned(ended));
        })
    }

    /// Installs the model of a finished fine-tune.
    pub fn install_tuned(&self, run: PathBuf, id: String, folder: PathBuf) {
        let failed = |fault: Fault| Done::TunedInstalled(Err(fault.text()));
        self.jobs.run("install", failed, move |reporter| {
            let card = tuning::install(&run, &id, &folder);
            reporter.tell(Done::TunedInstalled(card.map(Box::new).map_err(|e| tuning_error(&e))));
        });
    }

    /// Deletes one of the reader's own models.
    pub fn remove_model(&self, id: String, folder: PathBuf) {
        self.jobs.run("remove model", Done::Failed, move |reporter| {
            let left = importing::remove(&id, &folder);
            reporter.tell(Done::ModelRemoved(id, left.map(|card| card.map(Box::new)).map_err(|e| e.to_string())));
        });
    }

    pub fn save_settings(&self, settings: Settings, base: Settings, path: PathBuf) {
        self.jobs.run("settings", Done::Failed, move |reporter| {
            if let Err(error) = settings.save_changes(&path, &base) {
                let text = t!("settings.not_saved", path = path.display(), error = error);
                reporter.tell(Done::SettingsFailed(text.into_owned()));
            }
        });
    }

    /// Writes an export.
    pub fn export(&self, export: Box<dyn Export>, path: PathBuf) -> Job {
        let failed = |fault: Fault| Done::Exported(Err(fault.text()));
        self.jobs.run("export", failed, move |reporter| {
            let progress = |done: usize, total: usize| {
                reporter.tell(Done::Exporting(done, total));
                !reporter.is_cancelled()
            };
            let written = export::write(export.as_ref(), &path, &progress);
            reporter.tell(Done::Exported(written.map(|()| path).map_err(|e| e.to_string())));
        })
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

//! Keeps what is open in the window's own file, and puts it back at the next start.

use super::App;
use super::entry::EntryId;
use super::session_file::{Kept, KeptStudy, Open, SessionFile, Snapshot, remove, stamp};
use crate::domain::study::Grouping;
use crate::io::paths::Source;
use rust_i18n::t;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Time between two looks at whether something changed.
const INTERVAL: Duration = Duration::from_secs(2);

/// This window's file, and what still waits to be put back.
#[derive(Default)]
pub struct Restoring {
    /// Where windows keep their files; `None` keeps nothing.
    folder: Option<PathBuf>,
    file: Option<SessionFile>,
    /// Studies that are being opened again; the last one told whether it was on show.
    waiting: Vec<(KeptStudy, bool)>,
    saved: Option<Snapshot>,
    looked: Option<Instant>,
    /// A file is being written.
    pub is_saving: bool,
}

impl Restoring {
    pub fn new(folder: Option<PathBuf>) -> Self {
        Self { folder, ..Self::default() }
    }
}

impl App {
    /// Opens what was open when the last window was closed. `false` when there is nothing.
    pub(super) fn restore(&mut self) -> bool {
        let Some(folder) = self.restoring.folder.clone().filter(|_| self.settings.restores) else { return false };
        let Some((file, Kept { studies, selected, models, thresholds, .. })) = SessionFile::take_over(&folder) else {
            return false;
        };
        self.restoring.file = Some(file);
        let is_known = |id: &Option<String>| id.as_ref().is_none_or(|id| self.cards.contains_key(id));
        if is_known(&models.classifier) && is_known(&models.segmenter) {
            self.session.models = models;
            self.session.thresholds = thresholds;
        }
        let mut missing = Vec::new();
        for (index, study) in studies.into_iter().enumerate() {
            let (there, gone): (Vec<PathBuf>, Vec<PathBuf>) = study.files.iter().cloned().partition(|f| f.exists());
            missing.extend(gone);
            if there.is_empty() {
                continue;
            }
            if study.by_hand {
                self.opener.open_sources(vec![Source::Slices { files: there, grouping: Grouping::Hand }]);
            } else {
                self.opener.open(there);
            }
            self.restoring.waiting.push((study, selected == Some(index)));
        }
        if let Some(first) = missing.first() {
            let more = missing.len() - 1;
            let text = if more == 0 {
                t!("restore.missing", path = first.display())
            } else {
                t!("restore.missing_more", path = first.display(), n = more)
            };
            self.notifications.error(text);
        }
        let opens = !self.restoring.waiting.is_empty();
        if opens {
            self.notifications.info(t!("restore.done"));
        }
        opens
    }

    /// Gives a study that was opened again what the reader had done to it.
    pub(super) fn put_back(&mut self, id: EntryId) {
        let Some(entry) = self.session.get_mut(id) else { return };
        let same = |(kept, _): &(KeptStudy, bool)| kept.files == entry.study.files;
        let Some(found) = self.restoring.waiting.iter().position(same) else { return };
        let (kept, was_shown) = self.restoring.waiting.remove(found);
        let count = |place: &crate::domain::study::Place| entry.study.frames.count(place.cut.plane);
        if kept.place.index < count(&kept.place) && kept.place.cut.time < entry.study.frames.times() {
            (entry.place, entry.asked_plane, entry.is_settled) = (kept.place, kept.asked_plane, true);
        }
        entry.calibration = kept.calibration;
        let work = kept.outlines.len() + kept.figures.len();
        if stamp(&kept.files) == kept.stamp {
            for (place, mask) in kept.outlines {
                if let Some(mask) = mask.mask().filter(|_| place.index < entry.study.frames.count(place.cut.plane)) {
                    entry.set_outline(place, mask);
                }
            }
            for (place, figures) in kept.figures {
                self.measuring.restore(id, place, figures);
            }
        } else if work > 0 {
            self.notifications.error(t!("restore.changed", path = entry.study.source.display()));
        }
        if was_shown {
            self.session.select(id);
        }
    }

    fn snapshot(&self) -> Snapshot {
        let open = self.session.list().filter(|entry| !self.session.is_example(entry));
        let entries: Vec<_> = open.collect();
        let selected = self.session.selected().map(|entry| entry.id);
        Snapshot {
            selected: entries.iter().position(|entry| Some(entry.id) == selected),
            studies: entries
                .iter()
                .map(|entry| Open {
                    study: entry.study.clone(),
                    place: entry.place,
                    asked_plane: entry.asked_plane,
                    calibration: entry.calibration,
                    outlines: entry.all_outlines(),
                    figures: self.measuring.of_study(entry.id),
                })
                .collect(),
            models: self.session.models.clone(),
            thresholds: self.session.thresholds,
        }
    }

    /// The snapshot that is to be written, and where: `None` when nothing changed, or nothing shall be kept. What is still being opened again is
    /// not forgotten meanwhile.
    fn unsaved(&mut self) -> Option<(Snapshot, PathBuf)> {
        let folder = self.restoring.folder.clone().filter(|_| self.settings.restores && self.opening.is_none())?;
        // Nothing is forgotten before the first study is open again.
        if !self.restoring.waiting.is_empty() && self.session.count() == 0 {
            return None;
        }
        let snapshot = self.snapshot();
        if self.restoring.saved.as_ref() == Some(&snapshot) {
            return None;
        }
        if self.restoring.file.is_none() {
            if snapshot.studies.is_empty() {
                return None;
            }
            // A folder that cannot be written keeps nothing; everything else works.
            self.restoring.file = SessionFile::new(&folder).ok();
        }
        let path = self.restoring.file.as_ref()?.path.clone();
        self.restoring.saved = Some(snapshot.clone());
        Some((snapshot, path))
    }

    /// Writes what is open soon after it changed.
    pub(super) fn save_session_soon(&mut self) {
        if self.restoring.folder.is_none() || self.restoring.is_saving {
            return;
        }
        let since = self.restoring.looked.map_or(INTERVAL, |looked| looked.elapsed());
        if since < INTERVAL {
            self.ctx.request_repaint_after(INTERVAL - since);
            return;
        }
        self.restoring.looked = Some(Instant::now());
        if let Some((snapshot, path)) = self.unsaved() {
            self.restoring.is_saving = true;
            self.tasks.save_session(snapshot, path);
        }
    }

    /// The last moment: nobody is left to be told of a failure.
    pub(super) fn save_session_now(&mut self) {
        if let Some((snapshot, path)) = self.unsaved() {
            snapshot.save(&path).ok();
        }
    }

    /// Keeps what is open, or forgets it at once.
    pub(super) fn set_restores(&mut self, on: bool) {
        self.settings.restores = on;
        self.restoring.saved = None;
        if let Some(file) = self.restoring.file.take().filter(|_| !on)
            && let Err(error) = remove(&file.path)
        {
            let text = t!("settings.not_saved", path = file.path.display(), error = error);
            self.notifications.error(text);
        }
    }
}

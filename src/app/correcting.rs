//! The reader's outlines of the selected study, and their way to the disk.

use super::editor::{Change, model_outline};
use super::entry::Entry;
use super::measuring::Stroke;
use super::{App, Dialog};
use crate::domain::mask::Mask;
use crate::domain::study::{Grouping, Place};
use crate::export::correction::{Correction, CorrectionFormat};
use crate::io::paths::stem;
use crate::tuning::Contribution;
use rust_i18n::t;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What is to be written: files, and how many slices the reader outlined and how many are as the model outlined them.
pub struct Plan {
    pub files: Vec<(PathBuf, Correction)>,
    pub drawn: usize,
    pub by_model: usize,
    /// Slices of the file that nobody outlined; there it says nothing.
    pub untouched: usize,
}

/// What a file of outlines holds in slices that the reader did not outline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Others {
    #[default]
    Nothing,
    /// The model's outline.
    Model,
}

impl App {
    pub(super) fn toggle_editor(&mut self) {
        let can = self.session.selected().is_some_and(Entry::is_asked_view);
        if !self.editor.is_on && !can {
            self.notifications.info(t!("editor.other_plane"));
            return;
        }
        self.editor.is_on = !self.editor.is_on;
        self.settings.show_overlay |= self.editor.is_on;
    }

    pub(super) fn paint(&mut self, stroke: Stroke) {
        let window = self.view().map_or(0.0, |view| view.window.width);
        self.editor.draw(&mut self.session, stroke, window);
    }

    pub(super) fn change_outline(&mut self, change: Change) {
        if !self.editor.change(&mut self.session, change) {
            self.notifications.info(t!("editor.nothing_between"));
        }
    }

    pub(super) fn save_outlines(&mut self) {
        if self.session.selected().is_some_and(|entry| self.session.is_example(entry)) {
            self.notifications.info(t!("editor.example"));
            return;
        }
        match self.outlines_to_save() {
            Some(plan) if plan.drawn > 0 => {
                self.fields.others = Others::default();
                self.fields.patient.clear();
                self.open(Dialog::SaveMask);
            }
            _ => self.notifications.info(t!("editor.nothing_drawn")),
        }
    }

    /// Writes the outlines. They are the study's reference from then on when it is opened again.
    pub(super) fn write_outlines(&mut self) {
        let Some(plan) = self.outlines_to_save() else { return };
        self.collect();
        for (path, correction) in plan.files {
            self.tasks.export(Box::new(correction), path);
        }
    }

    /// Copies the study with the reader's outlines to the corrections, if the reader wishes so.
    fn collect(&mut self) {
        let Some(corrections) = self.corrections.clone().filter(|_| self.settings.collects) else { return };
        let Some(entry) = self.session.selected() else { return };
        let outlined = |place: Place| Some((place.index, entry.outline(place)?.clone()));
        let started_from = match (&entry.study.truth, &self.session.models.segmenter) {
            (Some(_), _) => "reference".to_string(),
            (None, Some(model)) => format!("{model} at {:.2}", self.session.thresholds.mask),
            (None, None) => String::new(),
        };
        let contribution = Contribution {
            study: entry.study.clone(),
            cut: entry.cut(),
            outlines: entry.places().filter_map(outlined).collect(),
            patient: self.fields.patient.clone(),
            who: self.settings.reader.trim().to_string(),
            started_from,
        };
        self.tasks.collect(corrections, contribution);
    }

    /// The files that hold the outlines of the selected study: beside the scan, as `NAME_mask`. Pictures have one each, other studies
    /// one for all slices. Slices that the reader did not outline are as the reference has them, else empty or as the model has them.
    pub(super) fn outlines_to_save(&self) -> Option<Plan> {
        let entry = self.session.selected()?;
        let (study, cut) = (&entry.study, entry.cut());
        let drawn: Vec<Place> = entry.places().filter(|place| entry.outline(*place).is_some()).collect();
        let correction = |masks, format| Correction { study: study.clone(), cut, masks, format };
        let is_of_pictures =
            matches!(study.grouping, Grouping::Single | Grouping::Name | Grouping::Alike | Grouping::Hand)
                && study.subject.modality.is_none()
                && study.frames.planes().is_empty();
        if is_of_pictures {
            let file = |place: &Place| {
                let mask = entry.outline(*place)?.clone();
                let path = beside(study.file(*place), "png");
                Some((path, correction(vec![(place.index, mask)], CorrectionFormat::Png)))
            };
            let files = drawn.iter().filter_map(file).collect();
            return Some(Plan { files, drawn: drawn.len(), by_model: 0, untouched: 0 });
        }
        let (mut by_model, mut untouched) = (0, 0);
        let asks_model = self.fields.others == Others::Model && study.truth.is_none();
        let mut masks: Vec<(usize, Arc<Mask>)> = Vec::new();
        for place in entry.places() {
            let own = entry.outline(place).cloned();
            let reference = || {
                let slice = study.frames.slice(place).ok().filter(|_| study.truth.is_some())?;
                study.truth(place, &slice).ok().flatten().map(Arc::new)
            };
            let model = || {
                let mask = model_outline(&self.session, entry, place).filter(|_| asks_model)?;
                Some(Arc::new(mask)).filter(|mask| mask.area() > 0)
            };
            let kept = own.or_else(reference);
            if kept.is_none() {
                let mask = model();
                by_model += usize::from(mask.is_some());
                untouched += usize::from(mask.is_none() && study.truth.is_none());
                masks.extend(mask.map(|mask| (place.index, mask)));
            } else {
                masks.extend(kept.map(|mask| (place.index, mask)));
            }
        }
        let files = vec![(beside(&study.source, "nii.gz"), correction(masks, CorrectionFormat::Nifti))];
        Some(Plan { files, drawn: drawn.len(), by_model, untouched })
    }
}

/// `NAME_mask` beside a file or a folder.
fn beside(source: &Path, ending: &str) -> PathBuf {
    let name = if source.is_dir() {
        source.file_name().unwrap_or_default().to_string_lossy().into_owned()
    } else {
        stem(source)
    };
    source.with_file_name(format!("{name}_mask.{ending}"))
}

//! The whole mask of a study, measured off the UI thread once every slice that wants one has its mask.

use super::background::{Background, Fault, Latest};
use super::entry::EntryId;
use super::session::Session;
use crate::domain::mask::Mask;
use crate::domain::measure::VolumeMeasurements;
use crate::domain::prediction::Segmentation;
use crate::domain::slice::Spacing;
use crate::domain::study::Cut;
use rayon::prelude::*;
use std::sync::Arc;

/// What a measurement depends on.
#[derive(Debug, Clone, PartialEq)]
struct Key {
    entry: EntryId,
    cut: Cut,
    model: String,
    mask_threshold: f32,
    spacing: Option<Spacing>,
    /// Slices whose mask counts.
    slices: Vec<usize>,
}

/// What is known of the whole mask.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Progress {
    /// Slices outlined so far, and to outline.
    Outlining(usize, usize),
    Measuring,
    Done(VolumeMeasurements),
}

pub struct Volumetry {
    wanted: Option<Key>,
    result: Option<(Key, VolumeMeasurements)>,
    outlined: (usize, usize),
    work: Latest<Key, VolumeMeasurements>,
}

impl Volumetry {
    pub fn new(background: &Background) -> Self {
        Self { wanted: None, result: None, outlined: (0, 0), work: Latest::new(background) }
    }

    /// Takes in what was measured.
    ///
    /// # Errors
    /// If measuring ended early.
    pub fn poll(&mut self) -> Result<(), Fault> {
        match self.work.poll() {
            Some(done) => self.result = Some(done?),
            None => {}
        }
        Ok(())
    }

    /// Starts measuring when the masks of the selected study are complete and differ from those measured last.
    pub fn update(&mut self, session: &Session) {
        self.wanted = None;
        let Some(entry) = session.selected().filter(|entry| entry.count() > 1) else { return };
        let Some(model) = &session.models.segmenter else { return };
        self.outlined = session.outlined();
        // Pixel sizes are those of the slice on show, which may still be of another plane.
        if !session.is_complete() || entry.shown.place.cut != entry.cut() {
            return;
        }
        let maps: Vec<(usize, Arc<Segmentation>)> = entry
            .places()
            .filter(|place| session.gate_at(entry, *place).is_open())
            .filter_map(|place| Some((place.index, session.segmentation_at(entry, place)?.clone())))
            .collect();
        let key = Key {
            entry: entry.id,
            cut: entry.cut(),
            model: model.clone(),
            mask_threshold: session.thresholds.mask,
            spacing: entry.spacing(),
            slices: maps.iter().map(|(index, _)| *index).collect(),
        };
        self.wanted = Some(key.clone());
        if self.result.as_ref().is_some_and(|(old, _)| *old == key) {
            return;
        }
        let voxel_mm3 = entry.study.frames.layout(entry.cut()).and_then(|layout| layout.voxel_mm3());
        self.work.run("volume", key, move |key| {
            let masks: Vec<(usize, Mask)> =
                maps.par_iter().map(|(index, map)| (*index, map.mask(key.mask_threshold))).collect();
            VolumeMeasurements::of(&masks, key.spacing, voxel_mm3)
        });
    }

    /// Progress for the selected study; `None` when it is a single slice, no segmenter is chosen, or measuring failed.
    pub fn progress(&self, session: &Session) -> Option<Progress> {
        session.selected().filter(|entry| entry.count() > 1)?;
        session.models.segmenter.as_ref()?;
        Some(match (&self.wanted, &self.result) {
            (Some(wanted), Some((key, sizes))) if wanted == key => Progress::Done(*sizes),
            (Some(wanted), _) if self.work.has_failed(wanted) => return None,
            (Some(_), _) => Progress::Measuring,
            (None, _) => Progress::Outlining(self.outlined.0, self.outlined.1),
        })
    }
}

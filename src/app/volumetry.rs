//! The whole mask of a study, measured off the UI thread once every slice that wants one has its mask.

use super::background::{Background, Fault, Latest};
use super::entry::{Entry, EntryId};
use super::session::Session;
use crate::domain::geometry::Plane;
use crate::domain::headline::Contradiction;
use crate::domain::mask::Mask;
use crate::domain::measure::VolumeMeasurements;
use crate::domain::prediction::Segmentation;
use crate::domain::slice::{Spacing, SpacingSource};
use crate::domain::study::{Cut, Frames};
use crate::domain::voxel_mask::VoxelMask;
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

/// The whole mask of a study with its sizes.
pub struct Whole {
    pub sizes: VolumeMeasurements,
    /// How the mask contradicts the classifier.
    pub contradiction: Option<Contradiction>,
    /// The mask by voxel, where the study can be cut in several planes.
    pub mask: Option<Arc<VoxelMask>>,
    /// Pixels of the mask in every slice, by plane.
    areas: Vec<(Plane, Vec<usize>)>,
}

impl Whole {
    /// Measures masks by slice number, which were found in `cut`.
    fn of(frames: &dyn Frames, cut: Cut, masks: &[(usize, Mask)], spacing: Option<Spacing>, positive: usize) -> Self {
        let layout = |plane| frames.layout(Cut { plane, ..cut });
        let sizes = VolumeMeasurements::of(masks, spacing, layout(cut.plane).and_then(|layout| layout.voxel_mm3()));
        let by_voxel = || VoxelMask::of(&layout(cut.plane)?, masks);
        let mask = if frames.planes().is_empty() { None } else { by_voxel() };
        let areas_in = |mask: &VoxelMask, plane| {
            let slices = layout(plane).map(|layout| mask.slices(&layout)).unwrap_or_default();
            (plane, slices.iter().map(|(_, mask)| mask.area()).collect())
        };
        let areas = mask.iter().flat_map(|mask| frames.planes().iter().map(|plane| areas_in(mask, *plane))).collect();
        let contradiction = Contradiction::of_study(positive, masks.iter().map(|(_, mask)| mask));
        Self { sizes, contradiction, mask: mask.map(Arc::new), areas }
    }

    /// Pixels of the mask in every slice of a plane; none where the mask is not known by voxel.
    pub fn areas(&self, plane: Plane) -> &[usize] {
        self.areas.iter().find(|(of, _)| *of == plane).map_or(&[], |(_, areas)| areas.as_slice())
    }
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
    result: Option<(Key, Whole)>,
    outlined: (usize, usize),
    work: Latest<Key, Whole>,
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
        if let Some(done) = self.work.poll() {
            self.result = Some(done?);
        }
        Ok(())
    }

    /// Starts measuring when the masks of the selected study are complete and differ from those measured last.
    pub fn update(&mut self, session: &Session) {
        self.wanted = None;
        let Some(entry) = session.selected().filter(|entry| entry.count() > 1) else { return };
        let Some(model) = &session.models.segmenter else { return };
        self.outlined = session.outlined();
        if !session.is_complete() {
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
            spacing: pixel_of(entry),
            slices: maps.iter().map(|(index, _)| *index).collect(),
        };
        self.wanted = Some(key.clone());
        if self.result.as_ref().is_some_and(|(old, _)| *old == key) {
            return;
        }
        let frames = entry.study.frames.clone();
        let positive = session.headline(entry).map_or(0, |headline| headline.positive);
        self.work.run("volume", key, move |key| {
            let masks: Vec<(usize, Mask)> =
                maps.par_iter().map(|(index, map)| (*index, map.mask(key.mask_threshold))).collect();
            Whole::of(frames.as_ref(), key.cut, &masks, key.spacing, positive)
        });
    }

    /// The whole mask of the selected study, once it is measured.
    pub fn whole(&self, session: &Session) -> Option<&Whole> {
        let selected = session.selected()?.id;
        let (key, whole) = self.result.as_ref()?;
        (self.wanted.as_ref() == Some(key) && key.entry == selected).then_some(whole)
    }

    /// Progress for the selected study; `None` when it is a single slice, no segmenter is chosen, or measuring failed.
    pub fn progress(&self, session: &Session) -> Option<Progress> {
        session.selected().filter(|entry| entry.count() > 1)?;
        session.models.segmenter.as_ref()?;
        Some(match (&self.wanted, &self.result) {
            (Some(wanted), Some((key, whole))) if wanted == key => Progress::Done(whole.sizes),
            (Some(wanted), _) if self.work.has_failed(wanted) => return None,
            (Some(_), _) => Progress::Measuring,
            (None, _) => Progress::Outlining(self.outlined.0, self.outlined.1),
        })
    }
}

/// Size of a pixel in the plane that networks were asked about, whatever plane is on show.
fn pixel_of(entry: &Entry) -> Option<Spacing> {
    if entry.study.frames.planes().is_empty() {
        return entry.spacing();
    }
    let layout = entry.study.frames.layout(entry.cut())?;
    let mm = layout.spacing?;
    Spacing::new(mm[layout.rows.axis], mm[layout.columns.axis], SpacingSource::Nifti)
}

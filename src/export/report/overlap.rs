//! How masks and references overlap over the slices of a study.

use super::StudyReference;
use crate::domain::mask::Mask;

/// Running sums over slices.
#[derive(Debug, Default)]
pub struct Overlap {
    slices: usize,
    voxels: usize,
    /// Pixels of mask and reference together, and those in both, over the slices that have both.
    compared: Option<(usize, usize)>,
}

impl Overlap {
    /// Adds a slice with a reference; `mask` is `None` where it is not known what the models say.
    pub fn add(&mut self, truth: &Mask, mask: Option<&Mask>) {
        self.slices += 1;
        self.voxels += truth.area();
        if let Some(mask) = mask {
            let both = mask.pixels().iter().zip(truth.pixels()).filter(|(a, b)| **a && **b).count();
            let (total, shared) = self.compared.unwrap_or_default();
            self.compared = Some((total + mask.area() + truth.area(), shared + both));
        }
    }

    /// The reference; `None` when no slice has one. `voxel_mm3` is the volume of a voxel where it is known.
    pub fn reference(&self, voxel_mm3: Option<f64>) -> Option<StudyReference> {
        let volume_ml = voxel_mm3.map(|mm3| self.voxels as f64 * mm3 / 1000.0);
        (self.slices > 0).then_some(StudyReference { slices: self.slices, voxels: self.voxels, volume_ml })
    }

    /// Dice overlap in 0–1; two empty outlines agree fully.
    pub fn dice(&self) -> Option<f64> {
        self.compared.map(|(total, both)| if total == 0 { 1.0 } else { 2.0 * both as f64 / total as f64 })
    }
}

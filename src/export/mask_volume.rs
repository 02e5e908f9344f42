//! The mask of a whole study as one file.

use super::{Export, ExportError, Progress, dicom_seg, nifti};
use crate::domain::mask::Mask;
use crate::domain::prediction::{ModelRef, Segmentation};
use crate::domain::study::{Cut, Study};
use rayon::prelude::*;
use std::sync::Arc;

/// Format of a written mask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VolumeFormat {
    /// Voxels 0 and 1 in the array of the source.
    Nifti,
    /// A binary DICOM segmentation of the source series.
    Seg,
    /// A DICOM segmentation that holds probabilities.
    SegFractional,
}

impl VolumeFormat {
    /// Name on the command line and in locales.
    pub fn id(self) -> &'static str {
        match self {
            VolumeFormat::Nifti => "nifti",
            VolumeFormat::Seg => "seg",
            VolumeFormat::SegFractional => "seg-fractional",
        }
    }

    /// Ending of the file's name, without a dot in front.
    pub fn ending(self) -> &'static str {
        match self {
            VolumeFormat::Nifti => "nii.gz",
            VolumeFormat::Seg | VolumeFormat::SegFractional => "dcm",
        }
    }

    /// Whether the file carries the patient's name and id.
    pub fn names_the_patient(self) -> bool {
        self != VolumeFormat::Nifti
    }
}

/// The mask of a study, ready to be written.
pub struct MaskVolume {
    pub format: VolumeFormat,
    pub study: Arc<Study>,
    pub cut: Cut,
    /// Probabilities by slice number, ascending; all are of one model. Slices without any have no mask.
    pub maps: Vec<(usize, Arc<Segmentation>)>,
    /// Probability in 0–1 from which a pixel belongs to the mask.
    pub threshold: f32,
}

impl MaskVolume {
    fn masks(&self) -> Vec<(usize, Mask)> {
        self.maps.par_iter().map(|(index, map)| (*index, map.mask(self.threshold))).collect()
    }

    fn model(&self) -> Result<&ModelRef, ExportError> {
        self.maps.first().map(|(_, map)| &map.model).ok_or(ExportError::NothingOutlined)
    }
}

impl Export for MaskVolume {
    fn bytes(&self, _progress: Progress) -> Result<Vec<u8>, ExportError> {
        match self.format {
            VolumeFormat::Nifti => nifti::mask(&self.study, self.cut, &self.masks()),
            VolumeFormat::Seg => dicom_seg::binary(&self.study, self.cut, &self.masks(), self.model()?),
            VolumeFormat::SegFractional => dicom_seg::fractional(&self.study, self.cut, &self.maps, self.model()?),
        }
    }
}

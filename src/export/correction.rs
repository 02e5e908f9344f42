//! Outlines that a reader drew or corrected, as the reference beside the scan.

use super::{Export, ExportError, Progress, nifti, png};
use crate::domain::mask::Mask;
use crate::domain::study::{Cut, Study};
use std::sync::Arc;

/// The outlines of one file.
pub struct Correction {
    pub study: Arc<Study>,
    pub cut: Cut,
    /// By slice number, ascending.
    pub masks: Vec<(usize, Arc<Mask>)>,
    pub format: CorrectionFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CorrectionFormat {
    /// One slice, 0 outside and 255 inside.
    Png,
    /// The whole study, 0 outside and 1 inside.
    Nifti,
}

impl Export for Correction {
    fn bytes(&self, _progress: Progress) -> Result<Vec<u8>, ExportError> {
        match self.format {
            CorrectionFormat::Png => match self.masks.as_slice() {
                [(_, mask), ..] => png::mask(mask),
                [] => Err(ExportError::NothingOutlined),
            },
            CorrectionFormat::Nifti => {
                let masks: Vec<(usize, Mask)> = self.masks.iter().map(|(i, mask)| (*i, Mask::clone(mask))).collect();
                nifti::mask(&self.study, self.cut, &masks)
            }
        }
    }
}

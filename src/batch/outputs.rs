//! Where masks and pictures of a batch go: folders for `predict`, the answer of a request for `serve`.

use crate::domain::explanation::Explanation;
use crate::domain::mask::Mask;
use crate::domain::slice::Slice;
use crate::domain::study::Place;
use crate::export::ExportError;
use crate::export::mask_volume::{MaskVolume, VolumeFormat};

/// A slice whose pictures are wanted.
pub struct SlicePictures<'a> {
    /// Name of a file for it, without its ending.
    pub name: &'a str,
    /// Number of the study in the report, from 0.
    pub study: usize,
    pub place: Place,
    pub slice: &'a Slice,
    /// Mask where the cascade shows one.
    pub mask: Option<&'a Mask>,
    /// Outline by an expert.
    pub truth: Option<&'a Mask>,
    /// Why the classifier answered as it did, where that was asked and its answer is not withheld.
    pub explanation: Option<&'a Explanation>,
}

/// What was kept of the mask of a whole study.
pub struct WrittenVolume {
    /// Its file, as the report names it.
    pub file: String,
    /// A remark for the report, when the file had to be called otherwise.
    pub note: Option<String>,
}

/// Why a picture or a mask was not kept.
#[derive(Debug, thiserror::Error)]
pub enum OutputError {
    #[error(transparent)]
    Export(#[from] ExportError),
    #[error("{0} is one of the inputs and was not overwritten; choose another folder")]
    IsInput(String),
}

/// Keeps what a batch makes beside its report.
pub trait Outputs {
    /// The format in which masks of whole studies are wanted, if any are.
    fn volume_format(&self) -> Option<VolumeFormat>;

    /// Keeps what was asked for of one slice. Returns a remark for the report when a file had to be called otherwise.
    ///
    /// # Errors
    /// If a picture cannot be made or written.
    fn slice(&mut self, pictures: SlicePictures) -> Result<Option<String>, OutputError>;

    /// Keeps the mask of a whole study under `name`, which has no ending. Nothing is kept where nothing was outlined and the format
    /// cannot say so.
    ///
    /// # Errors
    /// If the mask cannot be made or written.
    fn volume(&mut self, name: &str, study: usize, volume: &MaskVolume) -> Result<Option<WrittenVolume>, OutputError>;
}

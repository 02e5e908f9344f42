//! Results on disk: annotated pictures, masks, tables. Every file is written whole or not at all.
//!
//! [`kind::ExportKind`] lists the kinds of files; whatever can be written as one is an [`Export`].

pub mod annotated_png;
pub mod clock;
pub mod contact_sheet;
pub mod correction;
pub mod dicom_seg;
pub mod evaluation_page;
pub mod heat;
mod html;
pub mod kind;
pub mod mask_volume;
pub mod nifti;
pub mod plot;
pub mod png;
pub mod report;
pub mod study_page;

use crate::domain::mask::Mask;
use crate::domain::overlay::{self, OverlayStyle};
use crate::domain::slice::{Channel, Slice};
use crate::domain::window::Window;
use crate::files::write_atomically;
use std::path::{Path, PathBuf};

/// Called with the number of slices done and to do; says whether to go on.
pub type Progress<'a> = &'a dyn Fn(usize, usize) -> bool;

/// The content of one file that is to be written.
pub trait Export: Send {
    /// Makes the bytes of the file.
    ///
    /// # Errors
    /// If a slice cannot be read, the study lacks what the format needs, or `progress` says no.
    fn bytes(&self, progress: Progress) -> Result<Vec<u8>, ExportError>;
}

/// Writes an export whole or not at all.
///
/// # Errors
/// As [`Export::bytes`], and if the file cannot be written.
pub fn write(export: &dyn Export, path: &Path, progress: Progress) -> Result<(), ExportError> {
    let bytes = export.bytes(progress)?;
    write_atomically(path, &bytes).map_err(|reason| ExportError::file(path, reason))
}

/// Reports progress before the next slice.
///
/// # Errors
/// [`ExportError::Cancelled`] if `progress` says no.
pub fn go_on(progress: Progress, done: usize, total: usize) -> Result<(), ExportError> {
    if progress(done, total) { Ok(()) } else { Err(ExportError::Cancelled) }
}

/// How the scan looks in exported pictures.
#[derive(Debug, Clone, Copy)]
pub struct Looks {
    pub window: Window,
    pub invert: bool,
    /// Channel of a colour picture; its luminance without one.
    pub channel: Option<Channel>,
    pub style: OverlayStyle,
}

impl Looks {
    /// Pixels of the slice with masks painted over it, row by row at the slice's own size.
    pub fn paint(&self, slice: &Slice, prediction: Option<&Mask>, truth: Option<&Mask>) -> Vec<[u8; 3]> {
        let painted = overlay::paint(prediction, truth, self.style);
        overlay::composite(&slice.shades_of(self.channel, self.window, self.invert), painted.as_deref())
    }
}

/// Why nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    #[error("cannot write {path} ({reason}); choose another folder or free some space")]
    File { path: PathBuf, reason: std::io::Error },
    #[error("the enlarged picture would be {side} pixels long, more than {limit}; export at a smaller size")]
    TooLarge { side: usize, limit: usize },
    #[error("the built-in font cannot be read")]
    Font,
    #[error("cannot encode the picture: {0}")]
    Png(#[from] ::png::EncodingError),
    #[error("cannot draw the plot: {0}")]
    Plot(String),
    #[error("cannot write the segmentation: {0}")]
    Segmentation(String),
    #[error("nothing was outlined, and a segmentation without a pixel is no segmentation")]
    NothingOutlined,
    #[error("cannot write the volume: {0}")]
    Nifti(String),
    #[error("{0}; nothing was written")]
    Slice(String),
    #[error("cancelled; nothing was written")]
    Cancelled,
    #[error("cannot write the table: {0}")]
    Table(String),
}

impl ExportError {
    pub fn file(path: &Path, reason: std::io::Error) -> Self {
        Self::File { path: path.to_path_buf(), reason }
    }
}

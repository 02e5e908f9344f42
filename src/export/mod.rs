//! Results on disk: annotated pictures, masks, tables. Every file is written whole or not at all.

pub mod annotated_png;
mod clock;
pub mod contact_sheet;
pub mod dicom_seg;
pub mod evaluation_page;
pub mod nifti;
pub mod plot;
pub mod png;
pub mod report;

use std::path::{Path, PathBuf};

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

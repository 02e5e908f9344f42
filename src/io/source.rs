//! Sources: files that are opened together as one study.

use super::dicom::Header;
use crate::domain::study::Grouping;
use std::path::{Path, PathBuf};

/// Files that are opened together as one study.
#[derive(Debug, Clone, PartialEq)]
pub enum Source {
    /// One file, of whatever format.
    File(PathBuf),
    /// DICOM files of one series, or those of them that lie alike.
    Series(Vec<Header>),
    /// Pictures of one folder that are slices of one study, in their order, and why they are taken for one.
    Slices { files: Vec<PathBuf>, grouping: Grouping },
}

impl Source {
    /// Its files.
    pub fn paths(&self) -> Vec<&Path> {
        match self {
            Source::File(path) => vec![path],
            Source::Series(headers) => headers.iter().map(|h| h.path.as_path()).collect(),
            Source::Slices { files, .. } => files.iter().map(PathBuf::as_path).collect(),
        }
    }

    /// For messages: the file, or the folder of several.
    pub fn place(&self) -> &Path {
        match self.paths().as_slice() {
            [only] => only,
            several => several.first().and_then(|p| p.parent()).unwrap_or(Path::new(".")),
        }
    }
}

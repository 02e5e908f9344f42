//! Labelled pictures before they are read.

use std::path::PathBuf;
use std::sync::Arc;

/// One slice of a file below the data folder.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Page {
    pub file: PathBuf,
    /// Slice of the file in the plane it is stored in, from 0.
    pub index: usize,
}

impl Page {
    /// The only slice of a picture.
    pub fn only(file: PathBuf) -> Self {
        Self { file, index: 0 }
    }

    /// Name for reports: the file, and the slice's number in a volume.
    pub fn name(&self) -> String {
        match self.index {
            0 => self.file.display().to_string(),
            index => format!("{}#{}", self.file.display(), index + 1),
        }
    }
}

/// Where a tumour's outline is, and how many pixels it had when it was listed.
#[derive(Debug, Clone, PartialEq)]
pub struct Outline {
    /// `None` where the outline was found beside a volume by its name.
    pub file: Option<PathBuf>,
    pub pixels: u64,
}

/// A picture of a source with the source's own class name.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    pub page: Page,
    pub outline: Option<Outline>,
    /// Slices before and after, where the list has them.
    pub beside: [Option<Page>; 2],
    /// All slices of the study that this one belongs to, in their order; `None` for a picture that stands alone.
    pub stack: Option<Arc<[Page]>>,
    pub patient: String,
    pub class: String,
}

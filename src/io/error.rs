//! Why a file did not open: the file, the problem, the remedy.

use std::path::{Path, PathBuf};

/// A file and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {problem}", path.display())]
pub struct LoadError {
    pub path: PathBuf,
    pub problem: Problem,
}

impl LoadError {
    pub fn new(path: &Path, problem: Problem) -> Self {
        Self { path: path.to_path_buf(), problem }
    }
}

impl Problem {
    /// A decoder's own words, on one line.
    pub fn damaged(error: &impl std::fmt::Display) -> Self {
        Problem::Damaged(error.to_string().split_whitespace().collect::<Vec<_>>().join(" "))
    }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    #[error("cannot be read ({0}); check the path and your permission to read it")]
    Unreadable(std::io::ErrorKind),
    #[error("does not exist; check the path")]
    Missing,
    #[error("is neither a file nor a folder; copy what you want to see into a file")]
    NotAFile,
    #[error("is empty (0 bytes); copy or export it again")]
    Empty,
    #[error("is a folder; open the folder itself or a picture in it")]
    Folder,
    #[error("holds no picture that LesionLens reads; it opens PNG, JPEG, TIFF, DICOM and NIfTI")]
    FolderWithoutImages,
    #[error(
        "is not a picture that LesionLens reads; it opens PNG, JPEG, TIFF, DICOM and NIfTI, whatever the file is called"
    )]
    NotAnImage,
    #[error("is larger than {} MiB; export the slices you need as single pictures", limit_bytes >> 20)]
    FileTooLarge { limit_bytes: u64 },
    #[error("is {width}×{height} pixels; at least 16×16 are needed")]
    TooSmall { width: u32, height: u32 },
    #[error("says it is {width}×{height} pixels, more than the 64 megapixels that are opened; export it smaller")]
    TooLarge { width: u32, height: u32 },
    #[error("is a stack of more than 256 megapixels; split it")]
    StackTooLarge,
    #[error("is a volume of more than {} MiB uncompressed; crop it, or store it with fewer bits", limit_bytes >> 20)]
    VolumeTooLarge { limit_bytes: u64 },
    #[error("is a DICOM file without a picture (a report, an annotation or a list); open the series it belongs to")]
    NoPixels,
    #[error("is a segmentation, not a scan; open the series it belongs to")]
    IsSegmentation,
    #[error("lists no file that is there; open the folder with the pictures itself")]
    EmptyDirectory,
    #[error(
        "is packed as {0}, which LesionLens does not unpack; have it sent uncompressed, as JPEG lossless or as JPEG 2000"
    )]
    UnsupportedSyntax(String),
    #[error("is a NIfTI or ANALYZE header whose voxels are missing; copy its .img file beside it")]
    NoImageBeside,
    /// In the words of the slice's own reader.
    #[error("{0}")]
    Slice(String),
    #[error("ends before the picture does; copy or export it again")]
    Truncated,
    #[error("is damaged ({0}); copy or export it again")]
    Damaged(String),
    #[error("uses {0}, which LesionLens does not read; export it as 8- or 16-bit grey")]
    Unsupported(String),
    #[error(
        "is a trained network, not a scan; `lesionlens models import` installs it, and so does dropping it on the window"
    )]
    Model,
    #[error("is an outline (its name ends in `_mask`), not a scan; open its scan, which shows the outline too")]
    Outline,
    #[error(
        "lies elsewhere in the patient than its study, or does not say where; save it with the study's own geometry"
    )]
    TruthPlace,
    #[error("has {pages} pages, none for slice {page}; an outline needs one page, or one for every slice")]
    TruthPages { pages: usize, page: usize },
    #[error("is {}×{} pixels, but its slice is {}×{}; an outline must have its slice's size", found.0, found.1, wanted.0, wanted.1)]
    TruthSize { found: (usize, usize), wanted: (usize, usize) },
}

//! What one file or folder gives: slices in order, with what the reader should know about them.

use super::mask::Mask;
use super::slice::Slice;
use std::path::PathBuf;
use std::sync::Arc;

/// Something the reader should know before trusting what is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Warning {
    /// The camera's orientation note was applied.
    Rotated,
    /// The camera's orientation note asks for a mirror image, which was *not* applied: left and right stay as stored.
    MirrorIgnored,
    /// Colour became grey (BT.601 luminance).
    ColourToGrey,
    /// Transparent parts were laid on black.
    Transparency,
    /// At most four different grey values: an outline or a blank, hardly a scan.
    FewGreys,
    /// The truth mask could not be used, and why.
    TruthUnusable(String),
}

impl Warning {
    /// Stable name for machine-readable output.
    pub fn code(&self) -> String {
        match self {
            Warning::Rotated => "rotated-by-exif".into(),
            Warning::MirrorIgnored => "exif-mirror-ignored".into(),
            Warning::ColourToGrey => "colour-to-grey".into(),
            Warning::Transparency => "transparency-on-black".into(),
            Warning::FewGreys => "few-grey-values".into(),
            Warning::TruthUnusable(why) => format!("truth-unusable: {why}"),
        }
    }
}

/// The content of one file.
#[derive(Debug, Clone)]
pub struct Study {
    /// The file, or the name of something that is no file (the bundled example).
    pub source: PathBuf,
    /// sha256 of the file's bytes, lower-case hex.
    pub sha256: String,
    pub slices: Vec<Arc<Slice>>,
    /// Expert outline per slice where one was found beside the file.
    pub truth: Vec<Option<Mask>>,
    pub warnings: Vec<Warning>,
}

impl Study {
    /// File name for lists.
    pub fn title(&self) -> String {
        self.source.file_name().map_or_else(|| self.source.display().to_string(), |n| n.to_string_lossy().into_owned())
    }
}

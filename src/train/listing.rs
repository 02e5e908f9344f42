//! What the layouts of labelled data have in common when their folders are listed.

use super::error::TrainError;
use super::found::{Outline, Page};
use super::reader::Reader;
use crate::io;
use std::path::{Path, PathBuf};

/// The class of a picture whose outline has this many pixels.
pub fn class_of(pixels: u64) -> &'static str {
    if pixels > 0 { "tumor" } else { "no_tumor" }
}

/// The outline in `file`, or beside the volume without one, with its pixels counted; `None` for an empty one.
///
/// # Errors
/// If the slice or its outline cannot be read.
pub fn outline(reader: &Reader, page: &Page, file: Option<PathBuf>) -> Result<Option<Outline>, TrainError> {
    let outline = Outline { file, pixels: 0 };
    let pixels = reader.outline(page, &outline, &*reader.slice(page)?)?.area() as u64;
    Ok((pixels > 0).then_some(Outline { pixels, ..outline }))
}

/// The path of a file below `data`, from there.
pub fn below(data: &Path, path: &Path) -> PathBuf {
    path.strip_prefix(data).unwrap_or(path).to_path_buf()
}

/// Pictures of a folder, sorted.
pub fn pictures(folder: &Path) -> Result<Vec<PathBuf>, TrainError> {
    Ok(children(folder)?.into_iter().filter(|path| io::looks_like_image(path)).collect())
}

/// Sorted, so that every machine lists the same.
pub fn children(folder: &Path) -> Result<Vec<PathBuf>, TrainError> {
    let entries = std::fs::read_dir(folder).map_err(|e| TrainError::file(folder, e))?;
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    Ok(paths)
}

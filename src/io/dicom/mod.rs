//! DICOM: single files, multi-frame files, series and DICOMDIR (PS3.10, PS3.3).

mod frame;
mod header;
mod parse;

mod series;
mod table;

pub use header::Header;
pub use series::load;

use super::error::{LoadError, Problem};
use dicom_dictionary_std::{tags, uids};
use dicom_object::DefaultDicomObject;
use parse::{Extent, parse};
use std::path::{Path, PathBuf};

/// Whether the first bytes of a file are DICOM's: the prefix after the preamble (PS3.10, 7.1).
pub fn is_dicom(head: &[u8]) -> bool {
    head.get(128..132) == Some(b"DICM")
}

/// Bytes that [`is_dicom`] looks at.
pub const HEAD: usize = 132;

/// Everything before the pixels.
fn open_head(path: &Path) -> Result<DefaultDicomObject, Problem> {
    super::check_file(path)?;
    super::guarded(|| parse(path, Extent::Head))
}

/// The picture and everything before it.
fn open_whole(path: &Path) -> Result<DefaultDicomObject, Problem> {
    super::check_file(path)?;
    super::guarded(|| parse(path, Extent::Pixels))
}

fn problem(error: &dyn std::error::Error) -> Problem {
    let mut text = error.to_string();
    let mut inner = error.source();
    while let Some(cause) = inner {
        text = format!("{text}: {cause}");
        inner = cause.source();
    }
    let ends = ["failed to fill whole buffer", "end of file", "UnexpectedEof", "early eof"];
    if ends.iter().any(|end| text.contains(end)) { Problem::Truncated } else { Problem::damaged(&text) }
}

/// The pictures that a DICOMDIR lists (PS3.10, 8.6); `None` for any other file.
///
/// # Errors
/// If it lists none.
pub fn directory(path: &Path) -> Option<Result<Vec<PathBuf>, LoadError>> {
    let is_named = path.file_name().is_some_and(|name| name.eq_ignore_ascii_case("DICOMDIR"));
    let object = is_named.then(|| open_head(path).ok()).flatten()?;
    if object.meta().media_storage_sop_class_uid() != uids::MEDIA_STORAGE_DIRECTORY_STORAGE {
        return None;
    }
    let folder = path.parent().unwrap_or(Path::new("."));
    let records = object.get(tags::DIRECTORY_RECORD_SEQUENCE).and_then(|e| e.items()).unwrap_or_default();
    let mut files = Vec::new();
    for record in records {
        let Some(id) = record.get(tags::REFERENCED_FILE_ID).and_then(|e| e.to_multi_str().ok()) else { continue };
        // A listed name never leads out of the folder.
        let parts: Vec<&str> = id.iter().map(|part| part.trim()).collect();
        if parts.iter().all(|part| !part.is_empty() && !part.contains(['/', '\\']) && *part != "..") {
            // One that is missing is told when it is opened.
            files.push(folder.join(parts.iter().collect::<PathBuf>()));
        }
    }
    Some(if files.is_empty() { Err(LoadError::new(path, Problem::EmptyDirectory)) } else { Ok(files) })
}

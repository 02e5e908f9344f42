//! DICOMDIR: the list of pictures on a medium (PS3.10, 8.6).

use super::open_head;
use crate::io::error::{LoadError, Problem};
use dicom_dictionary_std::{tags, uids};
use std::path::{Path, PathBuf};

/// The pictures that a DICOMDIR lists; `None` for any other file.
///
/// # Errors
/// If it lists none.
pub fn directory(path: &Path) -> Option<Result<Vec<PathBuf>, LoadError>> {
    let object = path.file_name().filter(|name| is_directory(&name.to_string_lossy())).and(open_head(path).ok())?;
    if object.meta().media_storage_sop_class_uid() != uids::MEDIA_STORAGE_DIRECTORY_STORAGE {
        return None;
    }
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let records = object.get(tags::DIRECTORY_RECORD_SEQUENCE).and_then(|e| e.items()).unwrap_or_default();
    let mut files = Vec::new();
    for record in records {
        let Some(id) = record.get(tags::REFERENCED_FILE_ID).and_then(|e| e.to_multi_str().ok()) else { continue };
        // A listed name never leads out of the folder.
        let parts: Vec<&str> = id.iter().map(|part| part.trim_matches([' ', '\0'])).collect();
        if parts.iter().all(|part| !part.is_empty() && !part.contains(['/', '\\']) && *part != "..") {
            files.push(listed(folder, &parts));
        }
    }
    Some(if files.is_empty() { Err(LoadError::new(path, Problem::EmptyDirectory)) } else { Ok(files) })
}

/// Whether a file of this name may be a DICOMDIR.
pub fn is_directory(name: &str) -> bool {
    plain(name) == "dicomdir"
}

/// The file of a record. Copies of a medium may have its names in lower case, or with the version that ISO 9660 puts behind them; a file
/// that is missing is told when it is opened.
fn listed(folder: &Path, parts: &[&str]) -> PathBuf {
    parts.iter().fold(folder.to_path_buf(), |folder, part| {
        let exact = folder.join(part);
        if exact.exists() {
            return exact;
        }
        let alike = |name: &std::ffi::OsStr| plain(&name.to_string_lossy()) == plain(part);
        let entries = std::fs::read_dir(&folder).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).find(|path| path.file_name().is_some_and(alike)).unwrap_or(exact)
    })
}

/// A name without its version (`;1`), a full stop at its end, and differences of case.
fn plain(name: &str) -> String {
    let name =
        name.rsplit_once(';').filter(|(_, version)| version.parse::<u32>().is_ok()).map_or(name, |(name, _)| name);
    name.trim_end_matches('.').to_lowercase()
}

//! From what a user names to the files that are opened: folders are walked, outlines set aside, numbers sorted as numbers.

use super::error::{LoadError, Problem};
use super::looks_like_image;
use std::cmp::Ordering;
use std::path::{Path, PathBuf};

/// Folders deeper than this are not walked.
const MAX_DEPTH: usize = 12;

/// Whether a file is the truth of its neighbour: `NAME_mask.*`.
pub fn is_truth(path: &Path) -> bool {
    path.file_stem().is_some_and(|stem| stem.to_string_lossy().to_lowercase().ends_with("_mask"))
}

/// The outline beside `path`: same folder, `NAME_mask` with any ending, in any case.
pub fn truth_beside(path: &Path) -> Option<PathBuf> {
    let stem = path.file_stem()?.to_string_lossy().into_owned();
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // The usual endings are tried first: listing a folder of thousands for every file would take its time.
    let usual = ["png", "tif", "tiff", "jpg"].map(|ending| folder.join(format!("{stem}_mask.{ending}")));
    if let Some(found) = usual.into_iter().find(|p| p.is_file()) {
        return Some(found);
    }
    let wanted = format!("{stem}_mask").to_lowercase();
    let named =
        |candidate: &PathBuf| candidate.file_stem().is_some_and(|s| s.to_string_lossy().to_lowercase() == wanted);
    std::fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path()).find(|p| named(p) && p.is_file())
}

/// What a list of paths stands for.
#[derive(Debug, Default)]
pub struct Expanded {
    /// Pictures, each once.
    pub files: Vec<PathBuf>,
    /// Outlines that were named themselves: truth for a picture, never input.
    pub outlines: Vec<PathBuf>,
    pub errors: Vec<LoadError>,
}

/// The pictures that `paths` stand for, and what could not be used; `cancelled` is asked for every file.
///
/// A file given by name is kept whatever it holds, so that opening it can say what is wrong; files found in folders are kept
/// when their content is a picture, or their name says they should be one.
pub fn expand(paths: &[PathBuf], cancelled: &dyn Fn() -> bool) -> Expanded {
    let mut out = Expanded::default();
    for path in paths {
        if path.is_dir() {
            let mut found = Vec::new();
            let before = out.errors.len();
            walk(path, 0, &mut found, &mut out.errors, cancelled);
            if found.is_empty() && out.errors.len() == before && !cancelled() {
                out.errors.push(LoadError::new(path, Problem::FolderWithoutImages));
            }
            found.sort_by(|a, b| natural(&a.to_string_lossy(), &b.to_string_lossy()));
            out.files.extend(found);
        } else if is_truth(path) {
            out.outlines.push(path.clone());
        } else {
            out.files.push(path.clone());
        }
    }
    let mut seen = std::collections::HashSet::new();
    out.files.retain(|file| seen.insert(file.clone()));
    out
}

/// Goes on past whatever cannot be read, and says so.
fn walk(
    folder: &Path,
    depth: usize,
    found: &mut Vec<PathBuf>,
    errors: &mut Vec<LoadError>,
    cancelled: &dyn Fn() -> bool,
) {
    let children = match std::fs::read_dir(folder) {
        Ok(children) => children,
        Err(error) => return errors.push(LoadError::new(folder, Problem::Unreadable(error.kind()))),
    };
    for entry in children {
        if cancelled() {
            return;
        }
        let Ok(entry) = entry else { continue };
        let path = entry.path();
        if entry.file_name().to_string_lossy().starts_with('.') {
            continue;
        }
        // Links to folders are not followed: they can lead in circles.
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            if depth < MAX_DEPTH {
                walk(&path, depth + 1, found, errors, cancelled);
            }
        } else if path.is_file() && !is_truth(&path) && (looks_like_image(&path) || is_called_image(&path)) {
            found.push(path);
        }
    }
}

/// A file that calls itself a picture is opened, so that a damaged one is named and not passed over.
fn is_called_image(path: &Path) -> bool {
    let endings = ["png", "jpg", "jpeg", "tif", "tiff"];
    path.extension().is_some_and(|e| endings.iter().any(|ending| e.eq_ignore_ascii_case(ending)))
}

/// Compares names with runs of digits as numbers: `slice_9` before `slice_10`.
pub fn natural(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a, b);
    loop {
        let digits = |s: &str| s.bytes().take_while(u8::is_ascii_digit).count();
        let (n, m) = (digits(a), digits(b));
        let order = if n > 0 && m > 0 {
            let (x, y) = (a[..n].trim_start_matches('0'), b[..m].trim_start_matches('0'));
            let order = x.len().cmp(&y.len()).then(x.cmp(y)).then(n.cmp(&m));
            (a, b) = (&a[n..], &b[m..]);
            order
        } else {
            let (mut x, mut y) = (a.chars(), b.chars());
            let order = match (x.next(), y.next()) {
                (None, None) => return Ordering::Equal,
                (x, y) => x.cmp(&y),
            };
            (a, b) = (x.as_str(), y.as_str());
            order
        };
        if order != Ordering::Equal {
            return order;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_sort_as_numbers() {
        let mut names = vec!["s_10.png", "s_9.png", "s_1.png", "r_99.png", "s_09.png", "s.png"];
        names.sort_by(|a, b| natural(a, b));
        assert_eq!(names, vec!["r_99.png", "s.png", "s_1.png", "s_9.png", "s_09.png", "s_10.png"]);
    }

    #[test]
    fn outlines_are_known_by_their_name() {
        assert!(is_truth(Path::new("/x/TCGA_1_mask.tif")) && is_truth(Path::new("a_MASK.png")));
        assert!(!is_truth(Path::new("mask.png")) && !is_truth(Path::new("a_masked.png")));
    }
}

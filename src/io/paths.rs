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

/// The outline beside `path`: same folder, `NAME_mask` with any ending that holds a picture.
pub fn truth_beside(path: &Path) -> Option<PathBuf> {
    let stem = path.file_stem()?.to_string_lossy().into_owned();
    let folder = path.parent()?;
    ["png", "tif", "tiff", "jpg", "jpeg", "PNG", "TIF", "TIFF", "JPG"]
        .iter()
        .map(|ending| folder.join(format!("{stem}_mask.{ending}")))
        .find(|candidate| candidate != path && candidate.is_file())
}

/// The pictures that `paths` stand for, each once, and what could not be used.
///
/// A file given by name is always kept, whatever it holds, so that opening it can say what is wrong; files found in folders
/// are kept when their content is a picture. Outlines are never input.
pub fn expand(paths: &[PathBuf]) -> (Vec<PathBuf>, Vec<LoadError>) {
    let (mut files, mut errors) = (Vec::new(), Vec::new());
    for path in paths {
        if path.is_dir() {
            let mut found = Vec::new();
            if let Err(error) = walk(path, 0, &mut found) {
                errors.push(LoadError::new(path, Problem::Unreadable(error.kind())));
            } else if found.is_empty() {
                errors.push(LoadError::new(path, Problem::FolderWithoutImages));
            }
            found.sort_by(|a, b| natural(&a.to_string_lossy(), &b.to_string_lossy()));
            files.extend(found);
        } else if !is_truth(path) {
            files.push(path.clone());
        }
    }
    let mut seen = std::collections::HashSet::new();
    files.retain(|file| seen.insert(file.clone()));
    (files, errors)
}

fn walk(folder: &Path, depth: usize, found: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let path = entry.path();
        if entry.file_name().to_string_lossy().starts_with('.') {
            continue;
        }
        // Links to folders are not followed: they can lead in circles.
        let kind = entry.file_type()?;
        if kind.is_dir() && depth < MAX_DEPTH {
            walk(&path, depth + 1, found)?;
        } else if path.is_file() && !is_truth(&path) && looks_like_image(&path) {
            found.push(path);
        }
    }
    Ok(())
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

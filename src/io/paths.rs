//! From what a user names to the files that are opened: folders are walked, outlines set aside, numbers sorted as numbers.

use super::dicom::{Header, Identity, divided};
use super::error::{LoadError, Problem};
use super::grouping::{self, Pattern};
use super::looks_like_image;
pub use super::source::Source;
use std::cmp::Ordering;
use std::collections::{HashMap, HashSet};
use std::io::Read;
use std::path::{Path, PathBuf};

/// Folders deeper than this are not walked.
const MAX_DEPTH: usize = 12;

/// What files that are opened are usually called, in both spellings: some dialogs tell them apart.
pub const EXTENSIONS: [&str; 20] = [
    "png",
    "PNG",
    "jpg",
    "JPG",
    "jpeg",
    "JPEG",
    "tif",
    "TIF",
    "tiff",
    "TIFF",
    "dcm",
    "DCM",
    "nii",
    "gz",
    "h5",
    "keras",
    "onnx",
    "pt",
    "pth",
    "safetensors",
];

/// Whether a file is a trained network: HDF5, or what its name says and its first bytes do not deny.
pub fn is_model(path: &Path) -> bool {
    let mut head = [0; 9];
    let read = path.is_file() && std::fs::File::open(path).is_ok_and(|mut file| file.read_exact(&mut head).is_ok());
    let extension = path.extension().map(|e| e.to_string_lossy().to_lowercase());
    let is_zip = head.starts_with(b"PK\x03\x04");
    let is_named = match extension.as_deref() {
        Some("keras") => is_zip,
        // PyTorch before 1.6 wrote a pickle.
        Some("pt" | "pth" | "bin" | "ckpt") => is_zip || head.starts_with(b"\x80\x02"),
        Some("safetensors") => head[8] == b'{',
        // The first field of the message is its format's version, a small number.
        Some("onnx") => head[0] == 8 && (1..32).contains(&head[1]),
        _ => false,
    };
    read && (head.starts_with(b"\x89HDF\r\n\x1a\n") || is_named)
}

/// A file's name without its ending; `.nii.gz` is one.
pub fn stem(path: &Path) -> String {
    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
    let lower = name.to_lowercase();
    match [".nii.gz", ".hdr.gz", ".img.gz"].iter().find(|ending| lower.ends_with(*ending)) {
        Some(ending) => name[..name.len() - ending.len()].to_string(),
        None => path.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
    }
}

/// Whether a file is the truth of its neighbour: `NAME_mask.*`, or the outline of a BraTS case.
pub fn is_truth(path: &Path) -> bool {
    stem(path).to_lowercase().ends_with("_mask") || is_brats_outline(path)
}

/// What the BraTS data sets call their sequences and, at last, the outline of the same case: `CASE_flair.nii.gz`, `CASE_seg.nii.gz`,
/// in newer editions `CASE-t2f.nii.gz`, `CASE-seg.nii.gz`.
const BRATS_SEQUENCES: [&str; 8] = ["flair", "t1", "t1ce", "t2", "t1n", "t1c", "t2w", "t2f"];
const BRATS_OUTLINE: &str = "seg";

/// The case and the part of it that a file is called after, with the sign between them.
fn brats_parts(path: &Path) -> Option<(String, char, String)> {
    let stem = stem(path);
    let at = stem.rfind(['_', '-'])?;
    let part = stem[at + 1..].to_lowercase();
    Some((stem[..at].to_string(), stem[at..].chars().next()?, part))
}

/// Whether a file is called as an outline and lies beside a sequence of its case.
fn is_brats_outline(path: &Path) -> bool {
    brats_parts(path).is_some_and(|(case, sign, part)| {
        let is_beside = |sequence: &str| volume_beside(path, &format!("{case}{sign}{sequence}")).is_some();
        part == BRATS_OUTLINE && BRATS_SEQUENCES.iter().any(|sequence| is_beside(sequence))
    })
}

/// The NIfTI file in the folder of `path` that is called `stem`.
fn volume_beside(path: &Path, stem: &str) -> Option<PathBuf> {
    let called = ["nii.gz", "nii"].map(|ending| path.with_file_name(format!("{stem}.{ending}")));
    called.into_iter().find(|path| path.is_file())
}

/// The outline beside `path`: same folder, `NAME_mask` with any ending, in any case; else that of its BraTS case.
pub fn truth_beside(path: &Path) -> Option<PathBuf> {
    mask_beside(path).or_else(|| {
        let (case, sign, part) = brats_parts(path)?;
        let outline = volume_beside(path, &format!("{case}{sign}{BRATS_OUTLINE}"));
        outline.filter(|_| BRATS_SEQUENCES.contains(&part.as_str()))
    })
}

fn mask_beside(path: &Path) -> Option<PathBuf> {
    let stem_of = stem(path);
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // The usual endings are tried first: listing a folder of thousands for every file would take its time.
    let usual =
        ["png", "tif", "tiff", "jpg", "nii.gz", "nii"].map(|ending| folder.join(format!("{stem_of}_mask.{ending}")));
    if let Some(found) = usual.into_iter().find(|p| p.is_file()) {
        return Some(found);
    }
    let wanted = format!("{stem_of}_mask").to_lowercase();
    let named = |candidate: &PathBuf| stem(candidate).to_lowercase() == wanted;
    std::fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path()).find(|p| named(p) && p.is_file())
}

/// What a list of paths stands for.
#[derive(Debug, Default)]
pub struct Expanded {
    /// Studies, each once.
    pub sources: Vec<Source>,
    /// Outlines that were named themselves: truth for a picture, never input.
    pub outlines: Vec<PathBuf>,
    /// Networks that were named themselves.
    pub models: Vec<PathBuf>,
    pub errors: Vec<LoadError>,
}

/// The studies that `paths` stand for, and what could not be used; `cancelled` is asked for every file.
///
/// A file given by name is kept whatever it holds, so that opening it can say what is wrong; files found in folders are kept
/// when their content is a picture, or their name says they should be one. DICOM files of one series belong together, and so do
/// numbered pictures of a folder as far as [`grouping::studies`] finds them to.
pub fn expand(paths: &[PathBuf], cancelled: &dyn Fn() -> bool) -> Expanded {
    let mut out = Expanded::default();
    let (mut named, mut found) = (Vec::new(), Vec::new());
    let mut order: Vec<PathBuf> = Vec::new();
    for path in paths {
        if path.is_dir() {
            let before = (out.errors.len(), found.len());
            let mut walk = Walk { root: path, walked: HashSet::new(), found: Vec::new(), cancelled };
            walk.enter(path, 0, &mut out.errors);
            let mut inside = walk.found;
            inside.sort_by(|a, b| natural(&a.to_string_lossy(), &b.to_string_lossy()));
            found.extend(inside);
            order.extend_from_slice(&found[before.1..]);
            if (out.errors.len(), found.len()) == before && !cancelled() {
                out.errors.push(LoadError::new(path, Problem::FolderWithoutImages));
            }
        } else if let Some(listed) = super::dicom::directory(path) {
            match listed {
                Ok(files) => {
                    order.extend_from_slice(&files);
                    found.extend(files);
                }
                Err(error) => out.errors.push(error),
            }
        } else if is_model(path) {
            out.models.push(path.clone());
        } else if is_truth(path) {
            out.outlines.push(path.clone());
        } else {
            order.push(path.clone());
            named.push(path.clone());
        }
    }
    let mut seen = HashSet::new();
    order.retain(|file| seen.insert(file.clone()));
    // Who names single pictures means single pictures.
    let named: HashSet<PathBuf> = named.into_iter().collect();
    out.sources = together(order, &named, &mut out.errors, cancelled);
    out
}

/// What a file was found to be part of.
enum Part {
    Source(Source),
    /// Numbered pictures of one pattern, to be looked at together.
    Numbered(Pattern, Vec<PathBuf>),
}

/// Files that make one study, at the place of the first of them.
fn together(
    files: Vec<PathBuf>,
    named: &HashSet<PathBuf>,
    errors: &mut Vec<LoadError>,
    cancelled: &dyn Fn() -> bool,
) -> Vec<Source> {
    let mut parts: Vec<Part> = Vec::new();
    let mut series: HashMap<Identity, usize> = HashMap::new();
    let mut numbered: HashMap<Pattern, usize> = HashMap::new();
    for path in files {
        if cancelled() {
            break;
        }
        if let Some(header) = is_dicom(&path).then(|| Header::read(&path)) {
            match header {
                Ok(header) => match series.get(&header.identity).and_then(|at| parts.get_mut(*at)) {
                    Some(Part::Source(Source::Series(all))) => all.push(header),
                    _ => {
                        series.insert(header.identity.clone(), parts.len());
                        parts.push(Part::Source(Source::Series(vec![header])));
                    }
                },
                // A folder from a scanner holds reports beside its pictures.
                Err(error)
                    if [Problem::NoPixels, Problem::IsSegmentation].contains(&error.problem)
                        && !named.contains(&path) => {}
                Err(error) => errors.push(error),
            }
            continue;
        }
        match Pattern::of(&path).filter(|_| !named.contains(&path)) {
            None => parts.push(Part::Source(Source::File(path))),
            Some(pattern) => match numbered.get(&pattern).and_then(|at| parts.get_mut(*at)) {
                Some(Part::Numbered(_, all)) => all.push(path),
                _ => {
                    numbered.insert(pattern.clone(), parts.len());
                    parts.push(Part::Numbered(pattern, vec![path]));
                }
            },
        }
    }
    join_single_files(&mut parts);
    let sources = |part: Part| match part {
        Part::Source(Source::Series(headers)) => divided(headers).into_iter().map(Source::Series).collect(),
        Part::Source(source) => vec![source],
        Part::Numbered(pattern, files) => grouping::studies(&pattern, files, cancelled),
    };
    parts.into_iter().flat_map(sources).collect()
}

/// Fewest series of one file that are taken for one series.
const FEWEST_SINGLE: usize = 3;

/// Joins series of one file each that differ in nothing but their number.
fn join_single_files(parts: &mut Vec<Part>) {
    let key = |part: &Part| match part {
        Part::Source(Source::Series(headers)) => match headers.as_slice() {
            [only] => only.identity_without_number(),
            _ => None,
        },
        _ => None,
    };
    let mut counts: HashMap<Identity, usize> = HashMap::new();
    parts.iter().filter_map(key).for_each(|key| *counts.entry(key).or_default() += 1);
    counts.retain(|_, count| *count >= FEWEST_SINGLE);
    let mut joined: HashMap<Identity, usize> = HashMap::new();
    let mut out: Vec<Part> = Vec::new();
    for part in std::mem::take(parts) {
        let key = key(&part).filter(|key| counts.contains_key(key));
        let first = key.as_ref().and_then(|key| joined.get(key)).and_then(|at| out.get_mut(*at));
        match (first, part) {
            (Some(Part::Source(Source::Series(all))), Part::Source(Source::Series(own))) => all.extend(own),
            (_, part) => {
                if let Some(key) = key {
                    joined.insert(key, out.len());
                }
                out.push(part);
            }
        }
    }
    *parts = out;
}

fn is_dicom(path: &Path) -> bool {
    let mut head = Vec::new();
    // A pipe would wait for its writer for ever.
    if !path.is_file() {
        return false;
    }
    let read = std::fs::File::open(path).and_then(|f| f.take(super::dicom::HEAD as u64).read_to_end(&mut head));
    read.is_ok() && super::dicom::is_dicom(&head)
}

/// A walk through a folder, which goes on past whatever cannot be read, and says so. Links to folders are followed, but never to where
/// the walk came from: no folder is walked twice, and none that holds the root.
struct Walk<'a> {
    root: &'a Path,
    walked: HashSet<PathBuf>,
    found: Vec<PathBuf>,
    cancelled: &'a dyn Fn() -> bool,
}

impl Walk<'_> {
    fn enter(&mut self, folder: &Path, depth: usize, errors: &mut Vec<LoadError>) {
        let opened = folder.canonicalize().and_then(|place| Ok((place, std::fs::read_dir(folder)?)));
        let (place, children) = match opened {
            Ok(opened) => opened,
            Err(error) => return errors.push(LoadError::new(folder, Problem::Unreadable(error.kind()))),
        };
        let is_above = depth > 0 && self.root.canonicalize().is_ok_and(|root| root.starts_with(&place));
        if depth > MAX_DEPTH || is_above || !self.walked.insert(place) {
            return;
        }
        for entry in children.flatten() {
            if (self.cancelled)() {
                return;
            }
            let path = entry.path();
            let name = entry.file_name();
            if name.to_string_lossy().starts_with('.') || super::dicom::is_directory(&name.to_string_lossy()) {
                continue;
            }
            if path.is_dir() {
                self.enter(&path, depth + 1, errors);
            } else if path.is_file() && !is_truth(&path) && (looks_like_image(&path) || is_called_image(&path)) {
                self.found.push(path);
            }
        }
    }
}

/// A file that calls itself a picture is opened, so that a damaged one is named and not passed over.
fn is_called_image(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    let endings = [".png", ".jpg", ".jpeg", ".tif", ".tiff", ".dcm", ".nii", ".nii.gz"];
    endings.iter().any(|ending| name.ends_with(ending))
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
    fn networks_are_told_from_pictures() {
        let folder = tempfile::tempdir().unwrap();
        let is_one = |name: &str, bytes: &[u8]| {
            let path = folder.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            is_model(&path)
        };
        assert!(is_one("a.onnx", b"\x08\x08\x12\x07pytorch"));
        assert!(is_one("a.dat", b"\x89HDF\r\n\x1a\n and more"));
        assert!(is_one("a.pth", b"\x80\x02\x8a\x0a and more"));
        assert!(!is_one("b.onnx", b"\x89PNG\r\n\x1a\n and more"));
        assert!(!is_one("a.png", b"\x08\x08\x12\x07pytorch"));
    }

    #[test]
    fn numbers_sort_as_numbers() {
        let mut names = vec!["s_10.png", "s_9.png", "s_1.png", "r_99.png", "s_09.png", "s.png"];
        names.sort_by(|a, b| natural(a, b));
        assert_eq!(names, vec!["r_99.png", "s.png", "s_1.png", "s_9.png", "s_09.png", "s_10.png"]);
    }

    #[test]
    fn a_stem_is_the_name_without_its_ending() {
        assert_eq!((stem(Path::new("a/b.c.nii.gz")), stem(Path::new("b.c.nii"))), ("b.c".into(), "b.c".into()));
    }

    #[test]
    fn outlines_are_known_by_their_name() {
        assert!(is_truth(Path::new("/x/TCGA_1_mask.tif")) && is_truth(Path::new("a_MASK.png")));
        assert!(!is_truth(Path::new("mask.png")) && !is_truth(Path::new("a_masked.png")));
    }
}

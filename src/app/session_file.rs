//! What was open, kept in a small file so that a window that was closed by accident can be put back.
//!
//! Every window has a file of its own, which it holds by a lock as long as it lives. A new window takes over the newest file that
//! nobody holds.

use super::session::Models;
use crate::domain::geometry::Plane;
use crate::domain::mask::Mask;
use crate::domain::prediction::Thresholds;
use crate::domain::ruler::Figure;
use crate::domain::study::{Grouping, Place, Study};
use crate::files::write_atomically;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// Number of the file's format.
const FORMAT: u32 = 1;
/// Files of former windows that are kept.
const MOST: usize = 3;

/// All that is put back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Kept {
    format: u32,
    pub studies: Vec<KeptStudy>,
    /// Index of the study on show.
    pub selected: Option<usize>,
    pub models: Models,
    pub thresholds: Thresholds,
}

/// One study with what the reader did to it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KeptStudy {
    pub files: Vec<PathBuf>,
    /// Bytes of all files and the time of their last change, by which a changed study is known.
    pub stamp: (u64, u64),
    /// Whether the reader joined its pictures.
    pub by_hand: bool,
    pub place: Place,
    pub asked_plane: Plane,
    pub calibration: Option<f64>,
    pub outlines: Vec<(Place, KeptMask)>,
    pub figures: Vec<(Place, Vec<Figure>)>,
}

/// A mask as lengths of runs, row by row: outside, inside, outside …
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KeptMask {
    width: usize,
    height: usize,
    runs: Vec<usize>,
}

impl KeptMask {
    pub fn of(mask: &Mask) -> Self {
        let (mut runs, mut inside) = (vec![0], false);
        for pixel in mask.pixels() {
            if *pixel != inside {
                inside = !inside;
                runs.push(0);
            }
            if let Some(last) = runs.last_mut() {
                *last += 1;
            }
        }
        Self { width: mask.width(), height: mask.height(), runs }
    }

    /// `None` unless the runs fill the mask.
    pub fn mask(&self) -> Option<Mask> {
        let area = self.width.checked_mul(self.height)?;
        let total = self.runs.iter().try_fold(0usize, |sum, run| sum.checked_add(*run))?;
        if total != area {
            return None;
        }
        let run = |(place, length): (usize, &usize)| std::iter::repeat_n(place % 2 == 1, *length);
        Mask::new(self.width, self.height, self.runs.iter().enumerate().flat_map(run).collect())
    }
}

/// A study as the window holds it, cheap to take and to compare.
#[derive(Clone)]
pub struct Open {
    pub study: Arc<Study>,
    pub place: Place,
    pub asked_plane: Plane,
    pub calibration: Option<f64>,
    pub outlines: Vec<(Place, Arc<Mask>)>,
    pub figures: Vec<(Place, Vec<Figure>)>,
}

impl PartialEq for Open {
    fn eq(&self, other: &Self) -> bool {
        let outlines =
            |open: &Self| open.outlines.iter().map(|(at, mask)| (*at, Arc::as_ptr(mask))).collect::<Vec<_>>();
        Arc::ptr_eq(&self.study, &other.study)
            && (self.place, self.asked_plane, self.calibration) == (other.place, other.asked_plane, other.calibration)
            && outlines(self) == outlines(other)
            && self.figures == other.figures
    }
}

/// All that is open, cheap to take and to compare.
#[derive(Clone, PartialEq)]
pub struct Snapshot {
    pub studies: Vec<Open>,
    pub selected: Option<usize>,
    pub models: Models,
    pub thresholds: Thresholds,
}

/// Bytes of all files together and seconds of the last change of any; zeros for a file that is not there.
pub fn stamp(files: &[PathBuf]) -> (u64, u64) {
    let of = |path: &PathBuf| {
        let info = std::fs::metadata(path).ok()?;
        let time = info.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
        Some((info.len(), time.as_secs()))
    };
    files.iter().filter_map(of).fold((0, 0), |(bytes, time), (more, later)| (bytes + more, time.max(later)))
}

impl Snapshot {
    fn kept(&self) -> Kept {
        let study = |open: &Open| KeptStudy {
            stamp: stamp(&open.study.files),
            files: open.study.files.clone(),
            by_hand: open.study.grouping == Grouping::Hand,
            place: open.place,
            asked_plane: open.asked_plane,
            calibration: open.calibration,
            outlines: open.outlines.iter().map(|(place, mask)| (*place, KeptMask::of(mask))).collect(),
            figures: open.figures.clone(),
        };
        Kept {
            format: FORMAT,
            studies: self.studies.iter().map(study).collect(),
            selected: self.selected,
            models: self.models.clone(),
            thresholds: self.thresholds,
        }
    }

    /// Writes what is open; the file goes when nothing is.
    ///
    /// # Errors
    /// If the file cannot be written or removed.
    pub fn save(&self, path: &Path) -> io::Result<()> {
        if self.studies.is_empty() {
            return remove(path);
        }
        write_atomically(path, &serde_json::to_vec(&self.kept()).map_err(io::Error::other)?)
    }
}

/// Removes a file if it is there.
pub fn remove(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// This window's file, held until the window goes.
pub struct SessionFile {
    pub path: PathBuf,
    _lock: File,
}

impl SessionFile {
    /// A new file in `folder`; it appears when something is open.
    ///
    /// # Errors
    /// If the folder cannot be written.
    pub fn new(folder: &Path) -> io::Result<Self> {
        std::fs::create_dir_all(folder)?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_nanos());
        let path = folder.join(format!("{}-{now}.json", std::process::id()));
        let lock = File::create(path.with_extension("lock"))?;
        lock.lock()?;
        Ok(Self { path, _lock: lock })
    }

    /// Takes over the newest file in `folder` that no window holds and that can be read. Old ones beyond a few are removed.
    pub fn take_over(folder: &Path) -> Option<(Self, Kept)> {
        let entries = std::fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path());
        let mut files: Vec<(SystemTime, PathBuf)> = entries
            .filter(|path| path.extension().is_some_and(|ending| ending == "json"))
            .filter_map(|path| Some((std::fs::metadata(&path).ok()?.modified().ok()?, path)))
            .collect();
        files.sort_by(|a, b| b.cmp(a));
        let mut free = files.into_iter().filter_map(|(_, path)| {
            let lock = File::create(path.with_extension("lock")).ok()?;
            lock.try_lock().ok()?;
            Some(Self { path, _lock: lock })
        });
        let taken = free.find_map(|file| {
            let kept: Kept = serde_json::from_slice(&std::fs::read(&file.path).ok()?).ok()?;
            (kept.format == FORMAT).then_some((file, kept))
        });
        for old in free.skip(MOST) {
            // What cannot be removed now is tried again at the next start.
            remove(&old.path).ok();
            remove(&old.path.with_extension("lock")).ok();
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::study::Cut;

    #[test]
    fn a_mask_comes_back_pixel_by_pixel() {
        let pixels: Vec<bool> = (0..35).map(|i| i % 3 == 0 || i > 30).collect();
        let mask = Mask::new(7, 5, pixels).unwrap();
        assert_eq!(KeptMask::of(&mask).mask(), Some(mask));
        let short = KeptMask { width: 4, height: 4, runs: vec![3, 2] };
        assert_eq!(short.mask(), None);
        let huge = KeptMask { width: usize::MAX, height: 2, runs: vec![usize::MAX, usize::MAX] };
        assert_eq!(huge.mask(), None);
    }

    fn snapshot(name: &Path) -> Snapshot {
        let slice =
            crate::domain::slice::Slice::new(16, 16, vec![1.0; 256], crate::domain::slice::Depth::Eight).unwrap();
        let study = Arc::new(Study::of_pages(name, vec![slice]));
        let place = Place { cut: Cut { plane: Plane::Axial, time: 0 }, index: 0 };
        let outlines = vec![(place, Arc::new(Mask::empty(16, 16)))];
        let figures = vec![(place, vec![Figure::Distance([[1.0, 2.0], [3.5, 4.0]])])];
        let open = Open { study, place, asked_plane: Plane::Axial, calibration: Some(0.5), outlines, figures };
        let thresholds = Thresholds { classifier: 0.4, mask: 0.7 };
        Snapshot { studies: vec![open], selected: Some(0), models: Models::default(), thresholds }
    }

    #[test]
    fn windows_have_files_of_their_own_and_a_new_one_takes_over_what_nobody_holds() {
        let folder = tempfile::tempdir().unwrap();
        let (one, two) = (SessionFile::new(folder.path()).unwrap(), SessionFile::new(folder.path()).unwrap());
        let (first, second) = (snapshot(Path::new("/one.png")), snapshot(Path::new("/two.png")));
        first.save(&one.path).unwrap();
        second.save(&two.path).unwrap();
        assert!(SessionFile::take_over(folder.path()).is_none(), "both windows live");
        drop(one);
        let (file, kept) = SessionFile::take_over(folder.path()).unwrap();
        assert_eq!(kept, first.kept());
        assert!(SessionFile::take_over(folder.path()).is_none(), "it is held again");
        // Nothing open leaves no file.
        Snapshot { studies: Vec::new(), ..first }.save(&file.path).unwrap();
        assert!(!file.path.exists());
        // A damaged file is passed over.
        drop((file, two));
        std::fs::write(folder.path().join("9-9.json"), "{").unwrap();
        assert_eq!(SessionFile::take_over(folder.path()).unwrap().1, second.kept());
    }
}

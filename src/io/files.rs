//! Pictures of one folder that are one study, each file opened when its slice is asked for.

use super::error::{LoadError, Problem};
use super::recent::Recent;
use super::{grouping, paths, pictures};
use crate::domain::geometry::{Layout, Plane};
use crate::domain::intensities::sampled;
use crate::domain::slice::{Depth, Slice, shared_window};
use crate::domain::study::{Cut, FrameError, Frames, Grouping, Origin, Place, Study};
use crate::domain::window::Window;
use rayon::prelude::*;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Slices that may be damaged before a study counts as such.
const MOST_TRIED: usize = 8;
/// Bytes of decoded slices that are kept.
const SLICES_BYTES: usize = 24 << 20;

struct Files {
    /// `None` where a slice has no file.
    files: Vec<Option<PathBuf>>,
    size: Option<(usize, usize)>,
    /// The window that all slices open with; `None` where each has its own.
    window: Option<Window>,
    decoded: Recent<usize, Arc<Slice>>,
}

impl Files {
    fn new(files: Vec<Option<PathBuf>>, size: Option<(usize, usize)>, window: Option<Window>) -> Self {
        Self { files, size, window, decoded: Recent::new(SLICES_BYTES) }
    }
}

impl Frames for Files {
    fn count(&self, _plane: Plane) -> usize {
        self.files.len()
    }

    fn layout(&self, _cut: Cut) -> Option<Layout> {
        let (width, height) = self.size?;
        Some(Layout::stored([width, height, self.files.len()], None))
    }

    fn origin(&self, place: Place) -> Option<Origin<'_>> {
        Some(Origin { file: self.files.get(place.index)?.as_deref()?, frame: 0 })
    }

    fn is_at_hand(&self, place: Place) -> bool {
        // Where there is no file the answer is short.
        self.decoded.has(&place.index) || !matches!(self.files.get(place.index), Some(Some(_)))
    }

    fn slice(&self, place: Place) -> Result<Arc<Slice>, FrameError> {
        let missing = FrameError::NoSuchSlice { index: place.index + 1, count: self.files.len() };
        let path = self.files.get(place.index).and_then(Option::as_ref).ok_or(missing)?;
        self.decoded.get_or_make(place.index, || {
            let mut slice = single(path)?;
            slice.set_windows(self.window.into_iter().collect());
            let bytes = slice.area() * size_of::<f32>();
            Ok((Arc::new(slice), bytes))
        })
    }
}

fn single(path: &Path) -> Result<Slice, FrameError> {
    let failed = |problem: String| FrameError::File { file: path.to_path_buf(), problem };
    let mut pages = pictures(path).map_err(|e| failed(e.problem.to_string()))?;
    match pages.pop() {
        Some(page) if pages.is_empty() => Ok(page),
        _ => Err(failed(format!("has {} pages, not one", pages.len() + 1))),
    }
}

/// The window that fits all of these pictures, of which some are looked at; `None` where the first has eight bits, which are shown as
/// they are.
fn window_of(files: &[PathBuf], first: &Slice) -> Option<Window> {
    if first.depth() == Depth::Eight {
        return None;
    }
    let indices: Vec<usize> = sampled(files.len()).collect();
    let slices: Vec<Slice> = indices.into_par_iter().filter_map(|index| single(&files[index]).ok()).collect();
    shared_window(&slices)
}

/// A study of pictures that belong together, in this order, with the outlines beside them.
///
/// # Errors
/// If none of the first few can be read.
pub fn load(files: Vec<PathBuf>, grouping: Grouping) -> Result<Study, LoadError> {
    let Some(first) = files.first().cloned() else {
        return Err(LoadError::new(Path::new(""), Problem::FolderWithoutImages));
    };
    // A damaged slice does not close the others.
    let mut slice = single(&first);
    for other in files.iter().take(MOST_TRIED) {
        if slice.is_ok() {
            break;
        }
        slice = single(other).or(slice);
    }
    let slice = slice.map_err(|e| match e {
        FrameError::File { file, problem } => LoadError::new(&file, Problem::Slice(problem)),
        other => LoadError::new(&first, Problem::Slice(other.to_string())),
    })?;
    let outlines: Vec<Option<PathBuf>> = files.iter().map(|file| paths::truth_beside(file)).collect();
    let truth =
        outlines.iter().any(Option::is_some).then(|| Arc::new(Files::new(outlines, None, None)) as Arc<dyn Frames>);
    let window = window_of(&files, &slice);
    let size = Some((slice.width(), slice.height()));
    let folder = first.parent().unwrap_or(Path::new(".")).to_path_buf();
    Ok(Study {
        source: folder,
        title: grouping::title(&files, grouping),
        grouping,
        frames: Arc::new(Files::new(files.iter().cloned().map(Some).collect(), size, window)),
        truth,
        files,
        ..Study::of_pages(&first, Vec::new())
    })
}

//! What one file or folder gives: slices in order, with what the reader should know about them.

use super::card::Surroundings;
use super::geometry::{Layout, Plane};
use super::intensities::{ChannelIntensities, StudyIntensities, sampled};
use super::mask::Mask;
use super::slice::{Depth, Slice, shared_window};
use super::subject::Subject;
pub use super::warning::{Warning, mm};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Which slices of a study are looked at: a plane and a point in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct Cut {
    /// Of no weight for a study that has no planes to choose from.
    pub plane: Plane,
    pub time: usize,
}

/// One slice of a study.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct Place {
    pub cut: Cut,
    pub index: usize,
}

/// Where in the files of a study a slice stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin<'a> {
    pub file: &'a Path,
    /// Frame of the file, from 0.
    pub frame: usize,
}

/// Why one slice of a study cannot be shown.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    #[error("{}: {problem}", file.display())]
    File { file: PathBuf, problem: String },
    #[error("there is no slice {index}; the study has {count}")]
    NoSuchSlice { index: usize, count: usize },
    #[error("the outline is {}×{} pixels, the slice {}×{}", found.0, found.1, wanted.0, wanted.1)]
    TruthSize { found: (usize, usize), wanted: (usize, usize) },
}

/// Slices that are made when they are asked for.
pub trait Frames: Send + Sync {
    /// Planes to choose from; none when slices come only as they were stored.
    fn planes(&self) -> &[Plane] {
        &[]
    }

    /// Whether the slices of [`Self::native`] come as they are stored, whatever their place in the patient.
    fn is_as_stored(&self) -> bool {
        self.planes().is_empty()
    }

    /// Points in time.
    fn times(&self) -> usize {
        1
    }

    /// The plane to start with.
    fn native(&self) -> Plane {
        Plane::Axial
    }

    /// Number of slices.
    fn count(&self, plane: Plane) -> usize;

    /// How slices lie in the source's array and in the patient; `None` when they do not make a regular box.
    fn layout(&self, cut: Cut) -> Option<Layout>;

    /// The file a slice comes from, where there are several, and its frame's number in it, from 0.
    fn origin(&self, _place: Place) -> Option<Origin<'_>> {
        None
    }

    /// Whether [`Self::slice`] answers within a frame of the window.
    fn is_at_hand(&self, place: Place) -> bool;

    /// The slice; may read and decode a file.
    ///
    /// # Errors
    /// If there is no such slice, or its file cannot be read.
    fn slice(&self, place: Place) -> Result<Arc<Slice>, FrameError>;
}

/// One slice of some study, to be made where it is needed.
#[derive(Clone)]
pub struct Picture {
    pub frames: Arc<dyn Frames>,
    pub intensities: Arc<StudyIntensities>,
    /// What the study says it shows.
    pub subject: Arc<Subject>,
    pub place: Place,
}

/// A slice with those beside it, for models whose card asks for them.
#[derive(Clone)]
pub struct Neighbourhood {
    pub slice: Arc<Slice>,
    pub before: Option<Arc<Slice>>,
    pub after: Option<Arc<Slice>>,
    /// Intensities of the study; those of the slice itself without it.
    pub study: Option<Arc<ChannelIntensities>>,
    /// What the study says it shows.
    pub subject: Arc<Subject>,
    /// Whether the slice is the only one of its study.
    pub alone: bool,
}

impl From<&Arc<Slice>> for Neighbourhood {
    fn from(slice: &Arc<Slice>) -> Self {
        slice.clone().into()
    }
}

impl From<Arc<Slice>> for Neighbourhood {
    fn from(slice: Arc<Slice>) -> Self {
        Self { slice, before: None, after: None, study: None, subject: Arc::default(), alone: true }
    }
}

impl Picture {
    /// The slice with what is `wanted` of its surroundings, as far as it is there and can be read.
    ///
    /// # Errors
    /// As [`Frames::slice`].
    pub fn among(&self, wanted: Surroundings) -> Result<Neighbourhood, FrameError> {
        let study = wanted.intensities.then(|| self.intensities.at(self.place.cut.time, || self.measured()));
        let beside = |index: Option<usize>| {
            let place = Place { index: index.filter(|_| wanted.neighbours)?, ..self.place };
            self.frames.slice(place).ok()
        };
        let (before, after) = (beside(self.place.index.checked_sub(1)), beside(Some(self.place.index + 1)));
        let alone = self.frames.count(self.place.cut.plane) == 1;
        Ok(Neighbourhood { slice: self.slice()?, before, after, study, subject: self.subject.clone(), alone })
    }

    /// Intensities over evenly spaced slices of the plane that the study is stored in. Slices that cannot be read do not count.
    fn measured(&self) -> ChannelIntensities {
        let cut = Cut { plane: self.frames.native(), time: self.place.cut.time };
        let indices = sampled(self.frames.count(cut.plane));
        let slices: Vec<_> = indices.filter_map(|index| self.frames.slice(Place { cut, index }).ok()).collect();
        ChannelIntensities::of(&slices)
    }

    /// As [`Frames::slice`].
    pub fn slice(&self) -> Result<Arc<Slice>, FrameError> {
        self.frames.slice(self.place)
    }
}

/// Slices of one file, all in memory.
pub struct Pages(pub Vec<Arc<Slice>>);

impl Frames for Pages {
    fn count(&self, _plane: Plane) -> usize {
        self.0.len()
    }

    fn layout(&self, _cut: Cut) -> Option<Layout> {
        let first = self.0.first()?;
        let size = (first.width(), first.height());
        let alike = self.0.iter().all(|s| (s.width(), s.height()) == size);
        alike.then(|| Layout::stored([size.0, size.1, self.0.len()], None))
    }

    fn is_at_hand(&self, _place: Place) -> bool {
        true
    }

    fn slice(&self, place: Place) -> Result<Arc<Slice>, FrameError> {
        let (index, count) = (place.index, self.0.len());
        self.0.get(index).cloned().ok_or(FrameError::NoSuchSlice { index: index + 1, count })
    }
}

/// Why the slices of a study are taken for one study.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grouping {
    /// There is one slice only.
    Single,
    /// Pages or frames of one file that does not say how they lie.
    Pages,
    /// Slices of a volume in one file.
    Volume,
    /// DICOM files of one series.
    Series,
    /// Numbered pictures whose names carry a patient part.
    Name,
    /// Numbered pictures of which successive ones look alike.
    Alike,
    /// Pictures that the reader joined.
    Hand,
}

impl Grouping {
    pub const ALL: [Grouping; 7] = [
        Grouping::Single,
        Grouping::Pages,
        Grouping::Volume,
        Grouping::Series,
        Grouping::Name,
        Grouping::Alike,
        Grouping::Hand,
    ];

    /// Name in results and locales.
    pub fn id(self) -> &'static str {
        match self {
            Grouping::Single => "single",
            Grouping::Pages => "pages",
            Grouping::Volume => "volume",
            Grouping::Series => "series",
            Grouping::Name => "name",
            Grouping::Alike => "alike",
            Grouping::Hand => "hand",
        }
    }
}

/// The content of one file or series.
#[derive(Clone)]
pub struct Study {
    /// The file or folder, or the name of something that is neither (the bundled example).
    pub source: PathBuf,
    /// For lists: the file's name, a series' description.
    pub title: String,
    /// All files it was made of.
    pub files: Vec<PathBuf>,
    pub frames: Arc<dyn Frames>,
    /// Expert outlines found beside the file: bright where the tumour is, slice by slice as in `frames`.
    pub truth: Option<Arc<dyn Frames>>,
    pub subject: Arc<Subject>,
    pub grouping: Grouping,
    /// Intensities of its slices, measured when a network first needs them.
    pub intensities: Arc<StudyIntensities>,
    pub warnings: Vec<Warning>,
}

impl std::fmt::Debug for Study {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(f, "Study({}, {} slices)", self.source.display(), self.count())
    }
}

impl Study {
    /// Slices as they lie in a file, without anything else known. Several of more than eight bits open with one window.
    pub fn of_pages(source: &Path, mut pages: Vec<Slice>) -> Self {
        if pages.len() > 1
            && let Some(window) = shared_window(&pages)
        {
            pages.iter_mut().filter(|page| page.depth() == Depth::Deep).for_each(|page| page.set_windows(vec![window]));
        }
        Self {
            grouping: if pages.len() == 1 { Grouping::Single } else { Grouping::Pages },
            source: source.to_path_buf(),
            title: source.file_name().unwrap_or(source.as_os_str()).to_string_lossy().into_owned(),
            files: vec![source.to_path_buf()],
            frames: Arc::new(Pages(pages.into_iter().map(Arc::new).collect())),
            truth: None,
            subject: Arc::default(),
            intensities: Arc::default(),
            warnings: Vec::new(),
        }
    }

    /// The slice at `place`, to be made where it is needed.
    pub fn picture(&self, place: Place) -> Picture {
        Picture {
            frames: self.frames.clone(),
            intensities: self.intensities.clone(),
            subject: self.subject.clone(),
            place,
        }
    }

    /// The cut to start with.
    pub fn native(&self) -> Cut {
        Cut { plane: self.frames.native(), time: 0 }
    }

    /// Slices of the cut to start with.
    pub fn count(&self) -> usize {
        self.frames.count(self.frames.native())
    }

    /// Slice `index` of the cut to start with.
    ///
    /// # Errors
    /// As [`Frames::slice`].
    pub fn slice(&self, index: usize) -> Result<Arc<Slice>, FrameError> {
        self.frames.slice(Place { cut: self.native(), index })
    }

    /// The file a slice comes from.
    pub fn file(&self, place: Place) -> &Path {
        let own = self.frames.origin(place).map(|origin| origin.file);
        own.or(self.files.first().map(PathBuf::as_path)).unwrap_or(&self.source)
    }

    /// The outline of `slice`, which lies at `place`; `None` without one.
    ///
    /// # Errors
    /// If the outline cannot be read or has another size.
    pub fn truth(&self, place: Place, slice: &Slice) -> Result<Option<Mask>, FrameError> {
        // An outline that comes as it is stored has no slices in other planes.
        let is_cut = |truth: &&Arc<dyn Frames>| {
            let stored = truth.planes().is_empty() && !self.frames.planes().is_empty();
            !stored || place.cut.plane == self.frames.native()
        };
        let Some(truth) = self.truth.as_ref().filter(is_cut) else { return Ok(None) };
        match truth.slice(place) {
            Ok(page) => outline_of(&page, slice).map(Some),
            Err(FrameError::NoSuchSlice { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// `page` read as the outline of `slice`.
///
/// # Errors
/// If it has another size.
pub fn outline_of(page: &Slice, slice: &Slice) -> Result<Mask, FrameError> {
    let (found, wanted) = ((page.width(), page.height()), (slice.width(), slice.height()));
    page.outline().filter(|_| found == wanted).ok_or(FrameError::TruthSize { found, wanted })
}

//! Opens files on a thread of its own and tells as it goes.

use super::entry::Shown;
use crate::domain::card::Resize;
use crate::domain::resample::Placement;
use crate::domain::study::{FrameError, Place, Study};
use crate::io::error::{LoadError, Problem};
use crate::io::{self, paths::Expanded};
use crossbeam_channel::{Receiver, Sender, unbounded};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Side of a thumbnail in pixels.
pub const THUMBNAIL: usize = 96;
/// Slices that may be damaged before a study counts as such.
const MOST_TRIED: usize = 8;
/// Slices of up to this many pixels are put on show within a frame.
const AT_ONCE: usize = 1 << 20;
/// Longest side of what is shown of a whole picture at once.
pub const DISPLAY_SIDE: usize = 2048;

/// The first view of a study, made off the UI thread.
pub struct Prepared {
    pub shown: Shown,
    /// `THUMBNAIL`² grey values.
    pub thumbnail: Vec<u8>,
}

pub enum Event {
    Opened(Box<Study>, Box<Prepared>),
    Failed(LoadError),
    /// An outline named on its own: truth for the slice on show.
    Outline(PathBuf),
    /// A trained network.
    Model(PathBuf),
    /// Files done and to do; equal when finished.
    Progress {
        done: usize,
        total: usize,
    },
}

struct Request {
    generation: u64,
    wish: Wish,
}

enum Wish {
    Example,
    Paths(Vec<PathBuf>),
}

/// Handle to the thread.
pub struct Opener {
    requests: Sender<Request>,
    events: Receiver<(u64, Event)>,
    generation: Arc<AtomicU64>,
}

impl Opener {
    /// `wake` is called after every event. `None` when the system gives no thread.
    pub fn start(wake: impl Fn() + Send + 'static) -> Option<Self> {
        let (requests, inbox) = unbounded::<Request>();
        let (outbox, events) = unbounded();
        let generation = Arc::new(AtomicU64::new(0));
        let current = generation.clone();
        let work = move || {
            for Request { generation, wish } in inbox {
                let tell = |event: Event| {
                    let heard = outbox.send((generation, event)).is_ok();
                    wake();
                    heard
                };
                let cancelled = || current.load(Ordering::Relaxed) != generation;
                if !serve(wish, &tell, &cancelled) {
                    return;
                }
            }
        };
        std::thread::Builder::new().name("opener".into()).spawn(work).ok()?;
        Some(Self { requests, events, generation })
    }

    pub fn open(&self, paths: Vec<PathBuf>) {
        self.request(Wish::Paths(paths));
    }

    pub fn open_example(&self) {
        self.request(Wish::Example);
    }

    fn request(&self, wish: Wish) {
        let generation = self.generation.load(Ordering::Relaxed);
        // The thread lives as long as this handle.
        self.requests.send(Request { generation, wish }).ok();
    }

    /// Files not yet opened stay closed.
    pub fn cancel(&self) {
        self.generation.fetch_add(1, Ordering::Relaxed);
    }

    /// The next event of what was not cancelled.
    pub fn poll(&self) -> Option<Event> {
        let current = self.generation.load(Ordering::Relaxed);
        self.events.try_iter().find(|(generation, _)| *generation == current).map(|(_, event)| event)
    }
}

/// `false` when nobody listens any more.
fn serve(wish: Wish, tell: &dyn Fn(Event) -> bool, cancelled: &dyn Fn() -> bool) -> bool {
    let opened = |study: Study| match prepare(&study) {
        Ok(prepared) => tell(Event::Opened(Box::new(study), Box::new(prepared))),
        Err(error) => tell(Event::Failed(LoadError::new(&study.source, Problem::Slice(error.to_string())))),
    };
    let paths = match wish {
        Wish::Example => return opened(io::example()),
        Wish::Paths(paths) => paths,
    };
    let Expanded { sources, outlines, models, errors } = io::paths::expand(&paths, cancelled);
    if !models.into_iter().all(|model| tell(Event::Model(model))) {
        return false;
    }
    if let ([], [outline]) = (sources.as_slice(), outlines.as_slice()) {
        return tell(Event::Outline(outline.clone()));
    }
    let total = sources.len();
    for error in errors {
        if !tell(Event::Failed(error)) {
            return false;
        }
    }
    for (done, source) in sources.into_iter().enumerate() {
        if cancelled() {
            break;
        }
        if !tell(Event::Progress { done, total }) {
            return false;
        }
        let heard = match io::open(source) {
            Ok(study) => opened(study),
            Err(error) => tell(Event::Failed(error)),
        };
        if !heard {
            return false;
        }
    }
    tell(Event::Progress { done: total, total })
}

/// Where a study opens: in its middle when it is a volume, at its beginning when it is a list.
pub fn prepare(study: &Study) -> Result<Prepared, FrameError> {
    let cut = study.native();
    let is_volume = study.frames.layout(cut).is_some_and(|layout| layout.affine.is_some());
    let index = if is_volume { study.count() / 2 } else { 0 };
    // A damaged slice does not close the others.
    let mut shown = show(study, Place { cut, index });
    for other in (0..study.count()).take(MOST_TRIED) {
        if shown.is_ok() {
            break;
        }
        shown = show(study, Place { cut, index: other }).or(shown);
    }
    let shown = shown?;
    let display = &shown.display;
    let placement = Placement::new(display.width(), display.height(), THUMBNAIL, Resize::Fit);
    let thumbnail = placement.place(&display.grey(), display.width(), display.height());
    Ok(Prepared { thumbnail: thumbnail.into_iter().map(|v| v.round() as u8).collect(), shown })
}

/// A slice as the window wants it; takes its time for large pictures and packed files.
pub fn show(study: &Study, place: Place) -> Result<Shown, FrameError> {
    let slice = study.frames.slice(place)?;
    let (width, height) = (slice.width(), slice.height());
    let longest = width.max(height);
    let display = if longest <= DISPLAY_SIDE {
        slice.clone()
    } else {
        let fit = |side: usize| (side * DISPLAY_SIDE / longest).max(1);
        slice.resized(fit(width), fit(height)).map_or_else(|| slice.clone(), Arc::new)
    };
    let (truth, truth_problem) = match study.truth(place, &slice) {
        Ok(truth) => (truth.map(Arc::new), None),
        Err(error) => (None, Some(error.to_string())),
    };
    Ok(Shown { place, slice, display, truth, truth_problem })
}

/// Whether [`show`] is done within a frame.
pub fn shows_at_once(study: &Study, place: Place) -> bool {
    let area = study.frames.layout(place.cut).map_or(usize::MAX, |layout| {
        let (width, height) = layout.slice_size();
        width * height
    });
    area <= AT_ONCE && study.frames.is_at_hand(place) && study.truth.as_ref().is_none_or(|t| t.is_at_hand(place))
}

//! Opens files on a thread of its own and tells as it goes.

use crate::domain::card::Resize;
use crate::domain::resample::{Placement, resize};
use crate::domain::slice::Slice;
use crate::domain::study::Study;
use crate::io::{self, error::LoadError, paths::Expanded};
use crossbeam_channel::{Receiver, Sender, unbounded};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Side of a thumbnail in pixels.
pub const THUMBNAIL: usize = 96;
/// Longest side of what is shown of a whole picture at once.
pub const DISPLAY_SIDE: usize = 2048;

/// One slice as the window wants it, made off the UI thread.
pub struct Prepared {
    pub slice: Arc<Slice>,
    /// The same slice, or a smaller one for pictures too large to draw whole.
    pub display: Arc<Slice>,
    /// `THUMBNAIL`² grey values.
    pub thumbnail: Vec<u8>,
}

pub enum Event {
    Opened(Box<Study>, Vec<Prepared>),
    Failed(LoadError),
    /// An outline named on its own: truth for the slice on show.
    Outline(PathBuf),
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
    let opened = |study: Study| {
        let prepared = study.slices.iter().map(prepare).collect();
        tell(Event::Opened(Box::new(study), prepared))
    };
    let paths = match wish {
        Wish::Example => return opened(io::example()),
        Wish::Paths(paths) => paths,
    };
    let Expanded { files, outlines, errors } = io::paths::expand(&paths, cancelled);
    if let ([], [outline]) = (files.as_slice(), outlines.as_slice()) {
        return tell(Event::Outline(outline.clone()));
    }
    let total = files.len();
    for error in errors {
        if !tell(Event::Failed(error)) {
            return false;
        }
    }
    for (done, file) in files.iter().enumerate() {
        if cancelled() {
            break;
        }
        if !tell(Event::Progress { done, total }) {
            return false;
        }
        let heard = match io::load(file) {
            Ok(study) => opened(study),
            Err(error) => tell(Event::Failed(error)),
        };
        if !heard {
            return false;
        }
    }
    tell(Event::Progress { done: total, total })
}

fn prepare(slice: &Arc<Slice>) -> Prepared {
    let (width, height) = (slice.width(), slice.height());
    let longest = width.max(height);
    let display = if longest <= DISPLAY_SIDE {
        slice.clone()
    } else {
        let fit = |side: usize| (side * DISPLAY_SIDE / longest).max(1);
        let pixels = resize(&slice.values(), (width, height), (fit(width), fit(height)));
        Slice::new(fit(width), fit(height), pixels, slice.depth()).map_or_else(|| slice.clone(), Arc::new)
    };
    let placement = Placement::new(display.width(), display.height(), THUMBNAIL, Resize::Fit);
    let thumbnail = placement.place(&display.grey(), display.width(), display.height());
    Prepared { slice: slice.clone(), display, thumbnail: thumbnail.into_iter().map(|v| v.round() as u8).collect() }
}

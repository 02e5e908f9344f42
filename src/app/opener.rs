//! Opens files in the background and tells as it goes.

use super::background::{Background, Fault, Job, Jobs, Reporter};
use super::shown::{Prepared, Shown, THUMBNAIL};
use crate::domain::card::Resize;
use crate::domain::resample::Placement;
use crate::domain::slice::Slice;
use crate::domain::study::{FrameError, Place, Study};
use crate::io;
use crate::io::error::{LoadError, Problem};
use crate::io::paths::{Expanded, Source};
use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;

/// Slices that may be damaged before a study counts as such.
const MOST_TRIED: usize = 8;
/// Slices of up to this many pixels are put on show within a frame.
const AT_ONCE: usize = 1 << 20;
/// Longest side of what is shown of a whole picture at once.
pub const DISPLAY_SIDE: usize = 2048;

pub enum Event {
    Opened(Box<Study>, Box<Prepared>),
    /// The drawn example.
    Example(Box<Study>, Box<Prepared>),
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
    /// Nothing more comes of the request.
    Stopped(Fault),
}

enum Wish {
    Example,
    Paths(Vec<PathBuf>),
    /// Studies that were open already, put together otherwise.
    Sources(Vec<Source>),
}

/// Opens what is asked for, one request after the other.
pub struct Opener {
    jobs: Jobs<Event>,
    running: Option<Job>,
    waiting: VecDeque<Wish>,
}

impl Opener {
    pub fn new(background: &Background) -> Self {
        Self { jobs: Jobs::new(background), running: None, waiting: VecDeque::new() }
    }

    pub fn open(&mut self, paths: Vec<PathBuf>) {
        self.request(Wish::Paths(paths));
    }

    /// Opens what is known to be a study each.
    pub fn open_sources(&mut self, sources: Vec<Source>) {
        self.request(Wish::Sources(sources));
    }

    pub fn open_example(&mut self) {
        self.request(Wish::Example);
    }

    fn request(&mut self, wish: Wish) {
        self.waiting.push_back(wish);
        self.start_next();
    }

    fn start_next(&mut self) {
        if self.running.as_ref().is_none_or(Job::has_ended)
            && let Some(wish) = self.waiting.pop_front()
        {
            self.running = Some(self.jobs.run("opener", Event::Stopped, |reporter| serve(wish, reporter)));
        }
    }

    /// Files not yet opened stay closed.
    pub fn cancel(&mut self) {
        self.waiting.clear();
        if let Some(job) = &self.running {
            job.cancel();
        }
    }

    /// The next event of what was not cancelled.
    pub fn poll(&mut self) -> Option<Event> {
        self.start_next();
        self.jobs.poll()
    }
}

fn serve(wish: Wish, reporter: &Reporter<Event>) {
    type Made = fn(Box<Study>, Box<Prepared>) -> Event;
    let opened = |study: Study, event: Made| match prepare(&study) {
        Ok(prepared) => reporter.tell(event(Box::new(study), Box::new(prepared))),
        Err(error) => reporter.tell(Event::Failed(LoadError::new(&study.source, Problem::Slice(error.to_string())))),
    };
    let Expanded { sources, outlines, models, errors } = match wish {
        Wish::Example => return opened(io::example(), Event::Example),
        Wish::Paths(paths) => io::paths::expand(&paths, &|| reporter.is_cancelled()),
        Wish::Sources(sources) => Expanded { sources, ..Expanded::default() },
    };
    models.into_iter().for_each(|model| reporter.tell(Event::Model(model)));
    if let ([], [outline]) = (sources.as_slice(), outlines.as_slice()) {
        return reporter.tell(Event::Outline(outline.clone()));
    }
    errors.into_iter().for_each(|error| reporter.tell(Event::Failed(error)));
    let total = sources.len();
    for (done, source) in sources.into_iter().enumerate() {
        if reporter.is_cancelled() {
            return;
        }
        reporter.tell(Event::Progress { done, total });
        match io::open(source) {
            Ok(study) => opened(study, Event::Opened),
            Err(error) => reporter.tell(Event::Failed(error)),
        }
    }
    reporter.tell(Event::Progress { done: total, total });
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
    Ok(Prepared { thumbnail: thumbnail(&shown.display), shown })
}

/// `THUMBNAIL`² grey values of a slice.
pub fn thumbnail(slice: &Slice) -> Vec<u8> {
    let placement = Placement::new(slice.extent(), THUMBNAIL, Resize::Fit);
    let values = placement.place(&slice.grey(), slice.width(), slice.height());
    values.into_iter().map(|v| v.round() as u8).collect()
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::png;
    use std::time::{Duration, Instant};

    #[test]
    fn a_cancelled_request_is_not_served_and_the_next_one_is() {
        let folder = tempfile::tempdir().unwrap();
        let (slice, _) = crate::domain::phantom::Phantom::example().draw();
        let paths = ["a.png", "b.png", "c.png"].map(|name| folder.path().join(name));
        paths.iter().for_each(|path| std::fs::write(path, png::slice(&slice).unwrap()).unwrap());
        let mut opener = Opener::new(&Background::new(&egui::Context::default()));
        opener.open(paths[..1].to_vec());
        opener.open(paths[1..2].to_vec());
        opener.cancel();
        opener.open(paths[2..].to_vec());
        let deadline = Instant::now() + Duration::from_secs(20);
        let mut opened = Vec::new();
        while opened.last().is_none_or(|name| name != "c.png") {
            assert!(Instant::now() < deadline, "waited in vain");
            match opener.poll() {
                Some(Event::Opened(study, _)) => opened.push(study.title.clone()),
                Some(_) => {}
                None => std::thread::sleep(Duration::from_millis(1)),
            }
        }
        // The first one may have been open before it was cancelled.
        assert!(!opened.contains(&"b.png".to_string()), "{opened:?}");
    }

    #[test]
    fn a_request_without_a_thread_is_told() {
        let mut opener = Opener::new(&Background::without_threads());
        opener.open_example();
        assert!(matches!(opener.poll(), Some(Event::Stopped(Fault::NoThread))));
    }
}

//! The one door for work off the window's thread.
//!
//! Work reports through events. A panic, or a system that gives no thread, becomes an event as well, so that nothing waits for
//! ever; events of cancelled work are dropped.

use crossbeam_channel::{Receiver, Sender, unbounded};
use rust_i18n::t;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

/// Why work ended without its result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The system gave no thread.
    NoThread,
    /// The work panicked.
    Panicked,
}

impl Fault {
    /// A sentence for the reader, in the current language.
    pub fn text(self) -> String {
        match self {
            Fault::NoThread => t!("error.no_thread"),
            Fault::Panicked => t!("error.panicked"),
        }
        .into_owned()
    }
}

type Body = Box<dyn FnOnce() + Send>;
/// Starts a named thread; says whether it could.
type Spawn = fn(&'static str, Body) -> bool;

/// Starts threads that wake the window after every event.
#[derive(Clone)]
pub struct Background {
    wake: Arc<dyn Fn() + Send + Sync>,
    spawn: Spawn,
}

impl Background {
    pub fn new(ctx: &egui::Context) -> Self {
        let ctx = ctx.clone();
        Self { wake: Arc::new(move || ctx.request_repaint()), spawn: |name, body| named(name).spawn(body).is_ok() }
    }

    /// A system that gives no threads.
    #[cfg(test)]
    pub fn without_threads() -> Self {
        Self { wake: Arc::new(|| {}), spawn: |_, _| false }
    }
}

fn named(name: &str) -> thread::Builder {
    thread::Builder::new().name(name.into())
}

/// What both sides know of a piece of work.
#[derive(Default)]
struct State {
    /// It was asked to stop.
    stopping: AtomicBool,
    /// Its events are dropped.
    muted: AtomicBool,
    ended: AtomicBool,
}

/// Work under way. It goes on when this is dropped.
#[derive(Clone)]
pub struct Job(Arc<State>);

impl Job {
    /// Asks the work to stop. What comes of it is still heard.
    pub fn stop(&self) {
        self.0.stopping.store(true, Ordering::Relaxed);
    }

    /// Asks the work to stop. Its events are dropped from now on.
    pub fn cancel(&self) {
        self.stop();
        self.0.muted.store(true, Ordering::Relaxed);
    }

    /// Whether nothing runs any more. Its events may still wait to be polled.
    pub fn has_ended(&self) -> bool {
        self.0.ended.load(Ordering::Acquire)
    }
}

/// How work reports.
pub struct Reporter<E> {
    state: Arc<State>,
    outbox: Sender<(Arc<State>, E)>,
    wake: Arc<dyn Fn() + Send + Sync>,
}

impl<E> Reporter<E> {
    /// Whether the work should stop.
    pub fn is_cancelled(&self) -> bool {
        self.state.stopping.load(Ordering::Relaxed)
    }

    pub fn tell(&self, event: E) {
        // The receiver goes only with the window.
        self.outbox.send((self.state.clone(), event)).ok();
        self.wake();
    }

    /// Has the window draw a frame, in which it looks for what is new.
    pub fn wake(&self) {
        (self.wake)();
    }

    fn end(&self) {
        self.state.ended.store(true, Ordering::Release);
        self.wake();
    }
}

/// Work of one kind, whose events are of type `E`.
pub struct Jobs<E> {
    background: Background,
    outbox: Sender<(Arc<State>, E)>,
    inbox: Receiver<(Arc<State>, E)>,
}

impl<E: Send + 'static> Jobs<E> {
    pub fn new(background: &Background) -> Self {
        let (outbox, inbox) = unbounded();
        Self { background: background.clone(), outbox, inbox }
    }

    /// Starts `work` on a thread of its own. If it cannot start or panics, `failed` makes the event that says so.
    pub fn run(
        &self,
        name: &'static str,
        failed: impl Fn(Fault) -> E + Send + Sync + 'static,
        work: impl FnOnce(&Reporter<E>) + Send + 'static,
    ) -> Job {
        let state = Arc::new(State::default());
        let (outbox, wake) = (self.outbox.clone(), self.background.wake.clone());
        let reporter = Arc::new(Reporter { state: state.clone(), outbox, wake });
        let (failed, own) = (Arc::new(failed), reporter.clone());
        // A thread that cannot start takes its body with it, so the rest of this function keeps a share of both.
        let told = failed.clone();
        let body = move || {
            if catch_unwind(AssertUnwindSafe(|| work(&own))).is_err() {
                own.tell(told(Fault::Panicked));
            }
            own.end();
        };
        if !(self.background.spawn)(name, Box::new(body)) {
            reporter.tell(failed(Fault::NoThread));
            reporter.end();
        }
        Job(state)
    }

    /// The next event of work that was not cancelled.
    pub fn poll(&self) -> Option<E> {
        let heard = |(state, _): &(Arc<State>, E)| !state.muted.load(Ordering::Relaxed);
        self.inbox.try_iter().find(heard).map(|(_, event)| event)
    }
}

/// Work of which only the newest wish counts. One piece runs at a time; wishes in between are never started.
pub struct Latest<K, V> {
    jobs: Jobs<(K, Result<V, Fault>)>,
    is_running: bool,
    /// What failed last; it is not tried again.
    failed: Option<K>,
}

impl<K: Clone + PartialEq + Send + Sync + 'static, V: Send + 'static> Latest<K, V> {
    pub fn new(background: &Background) -> Self {
        Self { jobs: Jobs::new(background), is_running: false, failed: None }
    }

    /// Whether the last work that failed was for `key`.
    pub fn has_failed(&self, key: &K) -> bool {
        self.failed.as_ref() == Some(key)
    }

    /// Whether work for `key` would start now.
    pub fn is_free_for(&self, key: &K) -> bool {
        !self.is_running && !self.has_failed(key)
    }

    /// Starts `work`, whose result belongs to `key`, if [`Self::is_free_for`] the key.
    pub fn run(&mut self, name: &'static str, key: K, work: impl FnOnce(&K) -> V + Send + 'static) {
        if !self.is_free_for(&key) {
            return;
        }
        self.is_running = true;
        let told = key.clone();
        self.jobs.run(
            name,
            move |fault| (told.clone(), Err(fault)),
            move |reporter| {
                let value = work(&key);
                reporter.tell((key, Ok(value)));
            },
        );
    }

    /// What came of the work, once it has ended.
    pub fn poll(&mut self) -> Option<Result<(K, V), Fault>> {
        let (key, outcome) = self.jobs.poll()?;
        self.is_running = false;
        Some(match outcome {
            Ok(value) => Ok((key, value)),
            Err(fault) => {
                self.failed = Some(key);
                Err(fault)
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    fn background() -> Background {
        Background::new(&egui::Context::default())
    }

    /// What `poll` gives in the end; fails after ten seconds.
    fn awaited<T>(mut poll: impl FnMut() -> Option<T>) -> T {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            if let Some(value) = poll() {
                return value;
            }
            assert!(Instant::now() < deadline, "waited in vain");
            thread::sleep(Duration::from_millis(1));
        }
    }

    #[test]
    fn a_panic_becomes_an_event_and_other_work_goes_on() {
        let jobs: Jobs<Result<u8, Fault>> = Jobs::new(&background());
        let job = jobs.run("panics", Err, |_| panic!("for the test"));
        assert_eq!(awaited(|| jobs.poll()), Err(Fault::Panicked));
        awaited(|| job.has_ended().then_some(()));
        jobs.run("works", Err, |reporter| reporter.tell(Ok(7)));
        assert_eq!(awaited(|| jobs.poll()), Ok(7));
    }

    #[test]
    fn a_thread_that_cannot_start_is_told_at_once() {
        let jobs: Jobs<Result<u8, Fault>> = Jobs::new(&Background::without_threads());
        let job = jobs.run("never", Err, |reporter| reporter.tell(Ok(7)));
        assert_eq!(jobs.poll(), Some(Err(Fault::NoThread)));
        assert!(job.has_ended());
    }

    #[test]
    fn cancelled_work_is_not_heard_again() {
        let jobs: Jobs<Option<Fault>> = Jobs::new(&background());
        let job = jobs.run("waits", Some, |reporter| {
            reporter.tell(None);
            while !reporter.is_cancelled() {
                thread::sleep(Duration::from_millis(1));
            }
            reporter.tell(None);
        });
        awaited(|| jobs.poll());
        job.cancel();
        awaited(|| job.has_ended().then_some(()));
        assert_eq!(jobs.poll(), None);
    }

    #[test]
    fn one_wish_runs_at_a_time_and_what_failed_is_not_tried_again() {
        let mut latest: Latest<u8, u8> = Latest::new(&background());
        latest.run("first", 1, |key| key * 10);
        latest.run("too early", 2, |key| key * 10);
        assert_eq!(awaited(|| latest.poll()), Ok((1, 10)));
        latest.run("panics", 3, |_| panic!("for the test"));
        assert_eq!(awaited(|| latest.poll()), Err(Fault::Panicked));
        assert!(!latest.is_free_for(&3) && latest.is_free_for(&4));
        latest.run("newest", 4, |key| key * 10);
        assert_eq!(awaited(|| latest.poll()), Ok((4, 40)));
    }
}

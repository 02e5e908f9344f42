//! A named thread that owns an engine: jobs in, replies out, everything cancellable.

use super::{Answer, Engine, EngineError, Question};
use crate::domain::slice::Slice;
use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Waiting jobs; a sender that is ahead of this keeps its wishes to itself for a while.
const QUEUE: usize = 256;

/// Identifies a job for its reply.
pub type JobId = u64;

struct Job {
    id: JobId,
    /// Jobs of an older generation were cancelled.
    generation: u64,
    question: Question,
    model: String,
    slice: Arc<Slice>,
}

enum Message {
    Prepare(String),
    Ask(Job),
}

/// What the worker tells.
#[derive(Debug)]
pub enum Reply {
    /// The engine is there; where it runs, and a notice if that is not where it was asked to.
    Ready {
        device: String,
        notice: Option<String>,
    },
    /// A model was loaded ahead of time, or could not be.
    Prepared(Result<(), EngineError>),
    Done {
        id: JobId,
        result: Result<Answer, EngineError>,
    },
}

/// A fault in a driver or a library becomes an error, not a silent thread.
fn guarded<T>(work: impl FnOnce() -> Result<T, EngineError>) -> Result<T, EngineError> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).unwrap_or_else(|_| {
        Err(EngineError::Failed("the model stopped unexpectedly; choose another device in the settings".into()))
    })
}

/// Handle to the thread; dropping it ends the thread after the job at hand.
pub struct Worker {
    jobs: Sender<Message>,
    replies: Receiver<Reply>,
    generation: Arc<AtomicU64>,
    closing: Arc<AtomicBool>,
    next: JobId,
}

/// An engine with the notice of its making.
pub struct Started {
    pub engine: Box<dyn Engine>,
    pub notice: Option<String>,
}

impl Worker {
    /// Starts the thread; `make` runs on it, so that opening a device never blocks the caller. `wake` is called after every
    /// reply. `None` when the system gives no thread.
    pub fn start(make: impl FnOnce() -> Started + Send + 'static, wake: impl Fn() + Send + 'static) -> Option<Self> {
        let (jobs, inbox) = bounded::<Message>(QUEUE);
        let (outbox, replies) = unbounded();
        let generation = Arc::new(AtomicU64::new(0));
        let closing = Arc::new(AtomicBool::new(false));
        let (current, closed) = (generation.clone(), closing.clone());
        std::thread::Builder::new()
            .name("engine".into())
            .spawn(move || {
                let Started { mut engine, notice } = make();
                let tell = |reply: Reply| {
                    let heard = outbox.send(reply).is_ok();
                    wake();
                    heard
                };
                if !tell(Reply::Ready { device: engine.device(), notice }) {
                    return;
                }
                for message in inbox {
                    if closed.load(Ordering::Relaxed) {
                        return;
                    }
                    let reply = match message {
                        Message::Prepare(model) => Reply::Prepared(guarded(|| engine.prepare(&model))),
                        Message::Ask(job) => {
                            let cancelled =
                                || closed.load(Ordering::Relaxed) || current.load(Ordering::Relaxed) != job.generation;
                            let result = if cancelled() {
                                Err(EngineError::Cancelled)
                            } else {
                                guarded(|| engine.answer(job.question, &job.model, &job.slice, &cancelled))
                            };
                            Reply::Done { id: job.id, result }
                        }
                    };
                    if !tell(reply) {
                        return;
                    }
                }
            })
            .ok()?;
        Some(Self { jobs, replies, generation, closing, next: 0 })
    }

    /// Asks for a model to be loaded soon.
    pub fn prepare(&self, model: &str) {
        // A full queue means the worker is busy; the model is then loaded by its first question.
        self.jobs.try_send(Message::Prepare(model.to_string())).ok();
    }

    /// Queues a question; `None` when the queue is full, to be asked again later.
    pub fn ask(&mut self, question: Question, model: &str, slice: Arc<Slice>) -> Option<JobId> {
        let id = self.next;
        let generation = self.generation.load(Ordering::Relaxed);
        let job = Job { id, generation, question, model: model.to_string(), slice };
        self.jobs.try_send(Message::Ask(job)).ok()?;
        self.next += 1;
        Some(id)
    }

    /// Cancels everything asked so far; each such job still gets its reply.
    pub fn cancel_all(&self) {
        self.generation.fetch_add(1, Ordering::Relaxed);
    }

    /// The next reply, if one is waiting.
    pub fn poll(&self) -> Option<Reply> {
        self.replies.try_recv().ok()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.closing.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::slice::Depth;
    use std::time::{Duration, Instant};

    /// Answers only once it is cancelled, and then says so.
    struct Stubborn;

    impl Engine for Stubborn {
        fn device(&self) -> String {
            "none".into()
        }

        fn prepare(&mut self, _: &str) -> Result<(), EngineError> {
            Ok(())
        }

        fn answer(
            &mut self,
            _: Question,
            _: &str,
            _: &Slice,
            cancelled: &(dyn Fn() -> bool + Sync),
        ) -> Result<Answer, EngineError> {
            while !cancelled() {
                std::thread::sleep(Duration::from_millis(1));
            }
            Err(EngineError::Cancelled)
        }
    }

    #[test]
    fn cancelling_ends_the_job_at_hand_and_those_that_wait() {
        let started = || Started { engine: Box::new(Stubborn), notice: None };
        let mut worker = Worker::start(started, || {}).unwrap();
        let slice = Arc::new(Slice::new(16, 16, vec![0.0; 256], Depth::Eight).unwrap());
        let ids: Vec<_> = (0..3).filter_map(|_| worker.ask(Question::Classify, "m", slice.clone())).collect();
        worker.cancel_all();
        let (mut done, deadline) = (Vec::new(), Instant::now() + Duration::from_secs(10));
        while done.len() < 3 && Instant::now() < deadline {
            match worker.poll() {
                Some(Reply::Done { id, result }) => {
                    assert!(matches!(result, Err(EngineError::Cancelled)));
                    done.push(id);
                }
                _ => std::thread::sleep(Duration::from_millis(1)),
            }
        }
        assert_eq!(done, ids);
    }
}

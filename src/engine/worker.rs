//! An engine behind a queue: jobs in, replies out, everything cancellable.

use super::{Answer, Engine, EngineError, Question, Watch, answer_each};
use crate::domain::explanation::{Explanation, Inquiry};
use crate::domain::prediction::Classification;
use crate::domain::study::{FrameError, Neighbourhood, Picture};
use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use rayon::prelude::*;
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
    pictures: Vec<Picture>,
}

/// An answer that is to be explained.
struct ExplainJob {
    id: JobId,
    model: String,
    picture: Picture,
    said: Box<Classification>,
    inquiry: Inquiry,
}

enum Message {
    Explain(ExplainJob),
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
    /// How far an explanation is: steps done and to do.
    Explaining {
        id: JobId,
        done: usize,
        total: usize,
    },
    Explained {
        id: JobId,
        result: Result<Box<Explanation>, EngineError>,
    },
    Done {
        id: JobId,
        /// One for every picture, in their order.
        results: Vec<Result<Answer, EngineError>>,
    },
}

/// A fault in a driver or a library becomes an error, not a silent thread.
fn guarded<T>(work: impl FnOnce() -> Result<T, EngineError>) -> Result<T, EngineError> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).unwrap_or_else(|_| {
        Err(EngineError::Failed("the model stopped unexpectedly; choose another device in the settings".into()))
    })
}

/// Makes the slices, side by side, and asks about those that could be made.
fn answer(
    engine: &mut dyn Engine,
    job: &Job,
    cancelled: &(dyn Fn() -> bool + Sync),
) -> Vec<Result<Answer, EngineError>> {
    let all = |error: EngineError| vec![Err(error); job.pictures.len()];
    if cancelled() {
        return all(EngineError::Cancelled);
    }
    let made = guarded(|| {
        let wanted = engine.surroundings(&job.model);
        Ok(job.pictures.par_iter().map(|picture| picture.among(wanted)).collect::<Vec<_>>())
    });
    let made = match made {
        Ok(made) => made,
        Err(error) => return all(error),
    };
    let slices: Vec<Neighbourhood> = made.iter().filter_map(|slice| slice.as_ref().ok().cloned()).collect();
    let answers = guarded(|| Ok(answer_each(engine, job.question, &job.model, &slices, cancelled)));
    let mut answers = match answers {
        Ok(answers) => answers.into_iter(),
        Err(error) => return all(error),
    };
    let result = |slice: Result<_, FrameError>| match slice {
        Ok(_) => answers.next().unwrap_or(Err(EngineError::Cancelled)),
        Err(error) => Err(EngineError::Failed(error.to_string())),
    };
    made.into_iter().map(result).collect()
}

/// Makes the slice and explains what was said of it.
fn explain(engine: &mut dyn Engine, job: &ExplainJob, watch: Watch) -> Result<Box<Explanation>, EngineError> {
    if (watch.cancelled)() {
        return Err(EngineError::Cancelled);
    }
    guarded(|| {
        let seen = job.picture.among(engine.surroundings(&job.model));
        let seen = seen.map_err(|error| EngineError::Failed(error.to_string()))?;
        engine.explain(&job.model, &seen, &job.said, &job.inquiry, watch).map(Box::new)
    })
}

/// Asks the service; dropping it ends the service after the job at hand.
pub struct Worker {
    jobs: Sender<Message>,
    replies: Receiver<Reply>,
    generation: Arc<AtomicU64>,
    /// The explanation that is wanted; all others are cancelled.
    explained: Arc<AtomicU64>,
    closing: Arc<AtomicBool>,
    next: JobId,
}

/// Answers the worker's questions, on whatever thread it is run.
pub struct Service {
    inbox: Receiver<Message>,
    outbox: Sender<Reply>,
    current: Arc<AtomicU64>,
    explained: Arc<AtomicU64>,
    closed: Arc<AtomicBool>,
}

/// An engine with the notice of its making.
pub struct Started {
    pub engine: Box<dyn Engine>,
    pub notice: Option<String>,
}

impl Service {
    /// Makes the engine and answers until the worker is dropped. Making takes place here, so that opening a device never blocks the
    /// window. `wake` is called after every reply.
    pub fn run(self, make: impl FnOnce() -> Started, wake: impl Fn()) {
        let Self { inbox, outbox, current, explained, closed } = self;
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
                Message::Explain(job) => {
                    let id = job.id;
                    let cancelled = || closed.load(Ordering::Relaxed) || explained.load(Ordering::Relaxed) != id;
                    let progress = |done: usize, total: usize| _ = tell(Reply::Explaining { id, done, total });
                    let watch = Watch { progress: &progress, cancelled: &cancelled };
                    Reply::Explained { id, result: explain(engine.as_mut(), &job, watch) }
                }
                Message::Ask(job) => {
                    let cancelled =
                        || closed.load(Ordering::Relaxed) || current.load(Ordering::Relaxed) != job.generation;
                    Reply::Done { id: job.id, results: answer(engine.as_mut(), &job, &cancelled) }
                }
            };
            if !tell(reply) {
                return;
            }
        }
    }
}

impl Worker {
    /// A worker and the service that answers it.
    pub fn new() -> (Self, Service) {
        let (jobs, inbox) = bounded::<Message>(QUEUE);
        let (outbox, replies) = unbounded();
        let (generation, closing) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let explained = Arc::new(AtomicU64::new(JobId::MAX));
        let (current, closed) = (generation.clone(), closing.clone());
        let service = Service { inbox, outbox, current, explained: explained.clone(), closed };
        (Self { jobs, replies, generation, explained, closing, next: 0 }, service)
    }

    /// Asks for a model to be loaded soon.
    pub fn prepare(&self, model: &str) {
        // A full queue means the worker is busy; the model is then loaded by its first question.
        self.jobs.try_send(Message::Prepare(model.to_string())).ok();
    }

    /// Queues a question about some pictures; `None` when the queue is full, to be asked again later.
    pub fn ask(&mut self, question: Question, model: &str, pictures: Vec<Picture>) -> Option<JobId> {
        let id = self.next;
        let generation = self.generation.load(Ordering::Relaxed);
        let job = Job { id, generation, question, model: model.to_string(), pictures };
        self.jobs.try_send(Message::Ask(job)).ok()?;
        self.next += 1;
        Some(id)
    }

    /// Queues an explanation of what a model `said` of a picture, and cancels the one before; `None` when the queue is full.
    pub fn explain(&mut self, model: &str, picture: Picture, said: Classification, inquiry: Inquiry) -> Option<JobId> {
        let id = self.next;
        self.explained.store(id, Ordering::Relaxed);
        let job = ExplainJob { id, model: model.to_string(), picture, said: Box::new(said), inquiry };
        self.jobs.try_send(Message::Explain(job)).ok()?;
        self.next += 1;
        Some(id)
    }

    /// Cancels the explanation under way.
    pub fn cancel_explanation(&self) {
        self.explained.store(JobId::MAX, Ordering::Relaxed);
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
    use crate::domain::slice::{Depth, Slice};
    use crate::domain::study::{Place, Study};
    use std::path::Path;
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
            _: &[Neighbourhood],
            cancelled: &(dyn Fn() -> bool + Sync),
        ) -> Result<Vec<Answer>, EngineError> {
            while !cancelled() {
                std::thread::sleep(Duration::from_millis(1));
            }
            Err(EngineError::Cancelled)
        }
    }

    #[test]
    fn cancelling_ends_the_job_at_hand_and_those_that_wait() {
        let (mut worker, service) = Worker::new();
        std::thread::spawn(move || service.run(|| Started { engine: Box::new(Stubborn), notice: None }, || {}));
        let slice = Slice::new(16, 16, vec![0.0; 256], Depth::Eight).unwrap();
        let study = Study::of_pages(Path::new("m"), vec![slice]);
        let picture = study.picture(Place { cut: study.native(), index: 0 });
        let ids: Vec<_> = (0..3).filter_map(|_| worker.ask(Question::Classify, "m", vec![picture.clone()])).collect();
        worker.cancel_all();
        let (mut done, deadline) = (Vec::new(), Instant::now() + Duration::from_secs(10));
        while done.len() < 3 && Instant::now() < deadline {
            match worker.poll() {
                Some(Reply::Done { id, results }) => {
                    assert_eq!(results.iter().filter(|r| matches!(r, Err(EngineError::Cancelled))).count(), 1);
                    done.push(id);
                }
                _ => std::thread::sleep(Duration::from_millis(1)),
            }
        }
        assert_eq!(done, ids);
    }
}

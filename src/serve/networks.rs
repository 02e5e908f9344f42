//! The networks behind the service: one thread runs them, and requests that wait for the same network share a run.

use super::metrics::Metrics;
use crate::domain::explanation::{Explanation, Inquiry};
use crate::domain::prediction::Classification;
use crate::domain::study::Neighbourhood;
use crate::engine::candle::CandleEngine;
use crate::engine::{Answer, Engine, EngineError, Question, Watch, answer_each};
use candle_core::Tensor;
use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// Slices that one run takes together at most.
const MOST_TOGETHER: usize = 16;

type Reply<T> = Sender<Result<T, EngineError>>;

/// What is asked of the thread.
enum Job {
    Prepare {
        model: String,
        reply: Reply<()>,
    },
    Ask {
        question: Question,
        model: String,
        slices: Vec<Neighbourhood>,
        reply: Sender<Vec<Result<Answer, EngineError>>>,
    },
    Explain {
        model: String,
        slice: Box<Neighbourhood>,
        said: Box<Classification>,
        inquiry: Inquiry,
        reply: Reply<Explanation>,
    },
    /// A tensor [N, side, side, channels] for the bare network.
    Run {
        model: String,
        input: Tensor,
        reply: Reply<Tensor>,
    },
}

/// A handle on the thread that runs the networks. Clones share the thread, which ends with the last of them.
#[derive(Clone)]
pub struct Networks {
    jobs: Sender<Job>,
    device: String,
}

impl Networks {
    pub fn start(engine: CandleEngine, metrics: Arc<Metrics>) -> Self {
        let (jobs, waiting) = unbounded();
        let device = engine.device();
        std::thread::spawn(move || Runs { engine, metrics, jobs: waiting, waiting: VecDeque::new() }.go());
        Self { jobs, device }
    }

    fn asked<T>(&self, job: impl FnOnce(Sender<T>) -> Job) -> Result<T, EngineError> {
        let gone = || EngineError::Failed("the networks stopped; start the service again".into());
        let (reply, answer) = bounded(1);
        self.jobs.send(job(reply)).map_err(|_| gone())?;
        answer.recv().map_err(|_| gone())
    }

    /// Output of the bare network for a batch [N, side, side, channels].
    ///
    /// # Errors
    /// If the model cannot be loaded or fails.
    pub fn run(&self, model: &str, input: Tensor) -> Result<Tensor, EngineError> {
        self.asked(|reply| Job::Run { model: model.into(), input, reply })?
    }
}

impl Engine for Networks {
    fn device(&self) -> String {
        self.device.clone()
    }

    fn prepare(&mut self, model: &str) -> Result<(), EngineError> {
        self.asked(|reply| Job::Prepare { model: model.into(), reply })?
    }

    fn answer(
        &mut self,
        question: Question,
        model: &str,
        slices: &[Neighbourhood],
        cancelled: &(dyn Fn() -> bool + Sync),
    ) -> Result<Vec<Answer>, EngineError> {
        if cancelled() {
            return Err(EngineError::Cancelled);
        }
        let job = |reply| Job::Ask { question, model: model.into(), slices: slices.to_vec(), reply };
        self.asked(job)?.into_iter().collect()
    }

    fn explain(
        &mut self,
        model: &str,
        slice: &Neighbourhood,
        said: &Classification,
        inquiry: &Inquiry,
        watch: Watch,
    ) -> Result<Explanation, EngineError> {
        if (watch.cancelled)() {
            return Err(EngineError::Cancelled);
        }
        let (slice, said) = (Box::new(slice.clone()), Box::new(said.clone()));
        let (model, inquiry) = (model.to_string(), inquiry.clone());
        self.asked(|reply| Job::Explain { model, slice, said, inquiry, reply })?
    }
}

/// The thread's side.
struct Runs {
    engine: CandleEngine,
    metrics: Arc<Metrics>,
    jobs: Receiver<Job>,
    /// Jobs that came while another was under way.
    waiting: VecDeque<Job>,
}

/// One job among those that share a run.
struct Asker {
    count: usize,
    reply: Sender<Vec<Result<Answer, EngineError>>>,
}

impl Runs {
    fn go(&mut self) {
        loop {
            if self.waiting.is_empty() {
                let Ok(job) = self.jobs.recv() else { return };
                self.waiting.push_back(job);
            }
            self.waiting.extend(self.jobs.try_iter());
            // Whoever no longer waits for the reply needs none.
            match self.waiting.pop_front() {
                Some(Job::Prepare { model, reply }) => {
                    let done = guarded(|| self.engine.prepare(&model));
                    let _ = reply.send(done);
                }
                Some(Job::Run { model, input, reply }) => {
                    self.metrics.network_run(&model, input.dims().first().copied().unwrap_or_default());
                    let output = guarded(|| Ok(self.engine.model(&model)?.bare_output(&input)?));
                    let _ = reply.send(output);
                }
                Some(Job::Explain { model, slice, said, inquiry, reply }) => {
                    let watch = Watch { progress: &|_, _| {}, cancelled: &|| false };
                    let explained = guarded(|| self.engine.explain(&model, &slice, &said, &inquiry, watch));
                    let _ = reply.send(explained);
                }
                Some(Job::Ask { question, model, slices, reply }) => self.ask(question, &model, slices, reply),
                None => {}
            }
        }
    }

    /// Runs a model on the slices of one job and of all waiting ones that ask the same, as far as they fit.
    fn ask(
        &mut self,
        question: Question,
        model: &str,
        mut slices: Vec<Neighbourhood>,
        reply: Sender<Vec<Result<Answer, EngineError>>>,
    ) {
        let mut askers = vec![Asker { count: slices.len(), reply }];
        for job in std::mem::take(&mut self.waiting) {
            match job {
                Job::Ask { question: also, model: of, slices: more, reply }
                    if also == question && of == model && slices.len() + more.len() <= MOST_TOGETHER =>
                {
                    askers.push(Asker { count: more.len(), reply });
                    slices.extend(more);
                }
                other => self.waiting.push_back(other),
            }
        }
        self.metrics.network_run(model, slices.len());
        let asked = || Ok(answer_each(&mut self.engine, question, model, &slices, &|| false));
        let mut answers = guarded(asked).unwrap_or_else(|error| vec![Err(error); slices.len()]).into_iter();
        for Asker { count, reply } in askers {
            let _ = reply.send(answers.by_ref().take(count).collect());
        }
    }
}

/// A panic in a network costs its own answer, never the thread.
fn guarded<T>(work: impl FnOnce() -> Result<T, EngineError>) -> Result<T, EngineError> {
    catch_unwind(AssertUnwindSafe(work))
        .unwrap_or_else(|_| Err(EngineError::Failed("the model stopped unexpectedly; choose another".into())))
}

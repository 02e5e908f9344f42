//! Answers questions about slices in plain types: no tensors, no files, no window.

pub mod candle;
pub mod device;
pub mod importing;
pub mod mock;
pub mod worker;

use crate::domain::band::{OutlineBand, ProbabilityBand};
use crate::domain::card::Surroundings;
use crate::domain::explanation::{Explanation, Inquiry};
use crate::domain::prediction::{Classification, Segmentation};
use crate::domain::study::Neighbourhood;

/// What is asked of a slice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Question {
    Classify,
    Segment,
    /// How far the classifier's answer moves when the picture is changed a little.
    ProbabilityBand,
    /// How far the outline moves when the picture is changed a little.
    OutlineBand,
}

/// What came back.
#[derive(Debug, Clone)]
pub enum Answer {
    Classification(Classification),
    Segmentation(Segmentation),
    ProbabilityBand(ProbabilityBand),
    OutlineBand(OutlineBand),
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EngineError {
    #[error("cancelled")]
    Cancelled,
    #[error("{0}")]
    Failed(String),
}

/// Anything that can run models by id.
pub trait Engine: Send {
    /// Where networks run, for people: "cpu", "cuda", "metal".
    fn device(&self) -> String;

    /// Loads a model ahead of its first question.
    fn prepare(&mut self, model: &str) -> Result<(), EngineError>;

    /// What a model looks at beside a slice's own pixels.
    fn surroundings(&mut self, _model: &str) -> Surroundings {
        Surroundings::default()
    }

    /// An answer for every slice, in their order; `cancelled` is asked now and then.
    fn answer(
        &mut self,
        question: Question,
        model: &str,
        slices: &[Neighbourhood],
        cancelled: &(dyn Fn() -> bool + Sync),
    ) -> Result<Vec<Answer>, EngineError>;

    /// Explains what a model `said` of a slice. `watch` is told how far the work is, and asked whether it is still wanted.
    fn explain(
        &mut self,
        _model: &str,
        _slice: &Neighbourhood,
        _said: &Classification,
        _inquiry: &Inquiry,
        _watch: Watch,
    ) -> Result<Explanation, EngineError> {
        Err(EngineError::Failed("this engine explains no answers".into()))
    }
}

/// Who waits for slow work.
#[derive(Clone, Copy)]
pub struct Watch<'a> {
    /// Is told of steps done and to do.
    pub progress: &'a dyn Fn(usize, usize),
    pub cancelled: &'a (dyn Fn() -> bool + Sync),
}

/// As [`Engine::answer`], but a slice that the model fails on spoils no other's answer: they are then asked one by one.
pub fn answer_each(
    engine: &mut dyn Engine,
    question: Question,
    model: &str,
    slices: &[Neighbourhood],
    cancelled: &(dyn Fn() -> bool + Sync),
) -> Vec<Result<Answer, EngineError>> {
    let short = || EngineError::Failed("the model gave too few answers; choose another device or model".into());
    let mut together = |slices: &[Neighbourhood]| -> Result<Vec<Answer>, EngineError> {
        let answers = engine.answer(question, model, slices, cancelled)?;
        if answers.len() == slices.len() { Ok(answers) } else { Err(short()) }
    };
    match together(slices) {
        Ok(answers) => answers.into_iter().map(Ok).collect(),
        Err(EngineError::Failed(_)) if slices.len() > 1 => {
            slices.iter().map(|slice| together(std::slice::from_ref(slice))?.pop().ok_or_else(short)).collect()
        }
        Err(error) => vec![Err(error); slices.len()],
    }
}

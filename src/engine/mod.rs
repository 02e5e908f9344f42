//! Answers questions about slices in plain types: no tensors, no files, no window.

pub mod candle;
pub mod device;
pub mod mock;
pub mod worker;

use crate::domain::prediction::{Classification, Segmentation};
use crate::domain::slice::Slice;
use std::sync::Arc;

/// What is asked of a slice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Question {
    Classify,
    Segment,
}

/// What came back.
#[derive(Debug, Clone)]
pub enum Answer {
    Classification(Classification),
    Segmentation(Segmentation),
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

    /// An answer for every slice, in their order; `cancelled` is asked now and then.
    fn answer(
        &mut self,
        question: Question,
        model: &str,
        slices: &[Arc<Slice>],
        cancelled: &(dyn Fn() -> bool + Sync),
    ) -> Result<Vec<Answer>, EngineError>;
}

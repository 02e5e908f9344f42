//! What can go wrong while training.

use std::path::{Path, PathBuf};

#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    #[error("{path}: {problem}")]
    File { path: PathBuf, problem: String },
    #[error("recipe {path}: {problem}")]
    Recipe { path: PathBuf, problem: String },
    #[error("{0}")]
    Data(String),
    #[error(
        "the loss became {value} in epoch {epoch}, step {step}; lower the learning rate and start anew in another --out (nothing was written over)"
    )]
    Diverged { value: f32, epoch: usize, step: usize },
    #[error("the network gives values that are not numbers; lower the learning rate and start anew in another --out")]
    NotANumber,
    #[error("stopped; a checkpoint is in {0}, continue with --resume")]
    Interrupted(PathBuf),
    #[error(transparent)]
    Graph(#[from] lesionlens_nn::graph::GraphError),
    #[error(transparent)]
    Weights(#[from] lesionlens_nn::weights::WeightsError),
    #[error(transparent)]
    Plan(#[from] lesionlens_nn::plan::PlanError),
    #[error(transparent)]
    Exec(#[from] lesionlens_nn::exec::ExecError),
    #[error(transparent)]
    Model(#[from] crate::models::model::ModelError),
    #[error(transparent)]
    Tensor(#[from] candle_core::Error),
}

impl TrainError {
    pub fn file(path: &Path, problem: impl ToString) -> Self {
        Self::File { path: path.to_path_buf(), problem: problem.to_string() }
    }
}

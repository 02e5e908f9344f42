//! What can go wrong while corrections are collected or learnt from.

use crate::export::ExportError;
use crate::models::import::ImportError;
use crate::models::model::ModelError;
use crate::train::error::TrainError;
use std::path::{Path, PathBuf};

#[derive(Debug, thiserror::Error)]
pub enum TuningError {
    #[error("{path}: {problem}")]
    File { path: PathBuf, problem: String },
    #[error("model `{0}` gives classes, no outline; corrections are outlines, so choose a segmenter")]
    NotASegmenter(String),
    #[error("model `{0}` is a network of its own, which cannot be trained here; train it where it came from")]
    NotTrainable(String),
    #[error("{0} holds no corrected slice; correct some outlines in the window (key E) and save them")]
    Nothing(PathBuf),
    #[error(
        "{folder} has {slices} corrected slices with a lesion to learn from, at least 2 are needed; correct some more"
    )]
    TooFew { folder: PathBuf, slices: usize },
    #[error("{0} already holds a run; continue it (--resume) or choose another folder")]
    Exists(PathBuf),
    #[error("{0} holds no run to continue; start one anew")]
    NoRun(PathBuf),
    #[error("{run} was started from another model than `{model}` is now; start anew in another folder")]
    OtherModel { run: PathBuf, model: String },
    #[error("{0} is not finished; continue it first")]
    Unfinished(PathBuf),
    #[error("slice {slice} has no outline of its size; draw it on the slice itself")]
    Outline { slice: usize },
    #[error(transparent)]
    Train(#[from] TrainError),
    #[error(transparent)]
    Model(#[from] ModelError),
    #[error(transparent)]
    Import(#[from] ImportError),
    #[error(transparent)]
    Export(#[from] ExportError),
}

impl TuningError {
    pub fn file(path: &Path, problem: impl ToString) -> Self {
        Self::File { path: path.to_path_buf(), problem: problem.to_string() }
    }

    /// The folder of a run that was stopped on request.
    pub fn stopped(&self) -> Option<&Path> {
        match self {
            Self::Train(TrainError::Interrupted(folder)) => Some(folder),
            _ => None,
        }
    }
}

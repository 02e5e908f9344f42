//! A [`crate::graph::Graph`] and its weights → files of other runtimes.

pub mod keras;
pub mod onnx;

/// Why a graph was not written.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    #[error("no tensor `{0}`")]
    Missing(String),
    #[error("its layer `{node}` ({operation}) has no counterpart in Keras; export it as ONNX")]
    NoCounterpart { node: String, operation: String },
    #[error("the tensors cannot be written: {0}")]
    Hdf5(String),
    #[error(transparent)]
    File(#[from] std::io::Error),
    #[error(transparent)]
    Tensor(#[from] candle_core::Error),
}

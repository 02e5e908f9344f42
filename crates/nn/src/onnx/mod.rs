//! ONNX files → a [`Graph`] and its weights.
//!
//! The file is read by a small reader of its wire format (`wire`, `proto`). Every tensor of the file is either a constant,
//! which is computed here, or a value of the graph, of which is known which of the file's axes are rows, columns and channels;
//! so exporters' transpositions cost nothing. What is not known is listed with its operator's name.

mod arithmetic;
mod array;
mod layers;
mod proto;
mod reader;
mod shapes;
mod wire;

use super::exec::Parameters;
use super::graph::{Graph, GraphError};
use super::weights;

/// Why an ONNX file does not become a network.
#[derive(Debug, thiserror::Error)]
pub enum OnnxError {
    #[error("the ONNX file is damaged: {0}")]
    Damaged(String),
    #[error("its weights lie in `{0}`, which is not a file beside it; only files in the same folder are read")]
    External(String),
    #[error("its weights lie in `{file}` beside it, which cannot be read: {problem}; copy both into one folder")]
    Missing { file: String, problem: String },
    #[error("it has {0} inputs; networks here take one picture")]
    Inputs(usize),
    #[error("it answers with {}; export it with the one output that you want", .0.join(", "))]
    Outputs(Vec<String>),
    #[error("its input is no picture: {0}")]
    Input(String),
    #[error("the model uses what LesionLens does not know:\n  {}", weights::listed(.0))]
    Unsupported(Vec<String>),
    #[error(transparent)]
    Graph(#[from] GraphError),
    #[error(transparent)]
    Tensor(#[from] candle_core::Error),
}

/// A file that was parsed, and can be made a network for pictures of several sizes when it takes any.
#[derive(Debug)]
pub struct OnnxFile(proto::Model);

/// A network of an ONNX file.
#[derive(Debug)]
pub struct OnnxModel {
    pub graph: Graph,
    pub weights: Parameters,
    /// It takes pictures of any size.
    pub any_side: bool,
}

impl OnnxFile {
    /// Parses a file. `beside` reads another file of the same folder by its plain name, for tensors that are kept apart.
    ///
    /// # Errors
    /// If the file is damaged, or keeps tensors in other folders.
    pub fn parse(bytes: &[u8], beside: &dyn Fn(&str) -> Result<Vec<u8>, String>) -> Result<Self, OnnxError> {
        proto::model(bytes, beside).map(Self)
    }

    /// The network for square pictures of `side` pixels, where the file does not say the size (256 by default).
    ///
    /// # Errors
    /// If it has several inputs or outputs, or operators that are not known; every one of these is listed.
    pub fn network(&self, side: Option<usize>) -> Result<OnnxModel, OnnxError> {
        reader::read(&self.0, side)
    }
}

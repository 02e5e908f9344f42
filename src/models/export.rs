//! A model for other runtimes: its network as ONNX, Keras or safetensors, and beside it how pictures become its input.

use super::model::{self, ModelError};
use super::preprocessing_note;
use super::registry::Entry;
use lesionlens_nn::export::{ExportError as GraphError, keras, onnx};
use lesionlens_nn::weights::{self, Precision, WeightsError};
use std::collections::BTreeMap;

/// Formats that are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// For ONNX Runtime, OpenVINO, Triton and KServe.
    Onnx,
    /// For Keras 3 on any backend.
    Keras,
    /// The weights with this program's description of the graph.
    Safetensors,
}

impl Format {
    pub const ALL: [Format; 3] = [Format::Onnx, Format::Keras, Format::Safetensors];

    /// Name on the command line.
    pub fn id(self) -> &'static str {
        match self {
            Format::Onnx => "onnx",
            Format::Keras => "keras",
            Format::Safetensors => "safetensors",
        }
    }
}

/// Why a model was not exported.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    #[error("model `{0}` runs through another library and is no graph here; export it where it was trained")]
    NoGraph(String),
    #[error("model `{id}`: {reason}")]
    Graph { id: String, reason: GraphError },
    #[error("model `{id}`: {reason}")]
    Weights { id: String, reason: WeightsError },
    #[error(transparent)]
    Model(#[from] ModelError),
}

/// The bytes of the network's file.
///
/// # Errors
/// If the model cannot be read, or is no graph.
pub fn network(entry: &Entry, format: Format) -> Result<Vec<u8>, ExportError> {
    let card = &entry.card;
    let id = card.id.clone();
    let read = model::read_graph(&entry.source, card)?;
    let (graph, parameters) = read.ok_or_else(|| ExportError::NoGraph(id.clone()))?;
    match format {
        Format::Onnx => {
            let notes = BTreeMap::from([
                ("id".to_string(), card.id.clone()),
                ("classes".to_string(), card.classes.join(", ")),
                ("preprocessing".to_string(), preprocessing_note::of(card).to_string()),
                ("sha256".to_string(), card.sha256.clone()),
                ("licence".to_string(), card.licence.clone()),
                ("intended_use".to_string(), card.intended_use.clone()),
            ]);
            onnx::write(&graph, &parameters, &notes).map_err(|reason| ExportError::Graph { id, reason })
        }
        Format::Keras => keras::write(&graph, &parameters).map_err(|reason| ExportError::Graph { id, reason }),
        Format::Safetensors => weights::write(&parameters, Precision::F32, Some(&graph))
            .map_err(|reason| ExportError::Weights { id, reason }),
    }
}

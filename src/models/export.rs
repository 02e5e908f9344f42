//! A model for other runtimes: its network as ONNX or safetensors, and beside it how pictures become its input.

use super::model::{self, ModelError};
use super::registry::Entry;
use crate::domain::card::{Card, Scale, Sequence, Task};
use lesionlens_nn::export::onnx::{self, ExportError as GraphError};
use lesionlens_nn::weights::{self, Precision, WeightsError};
use serde_json::json;
use std::collections::BTreeMap;

/// Formats that are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// For ONNX Runtime, OpenVINO, Triton and KServe.
    Onnx,
    /// The weights with this program's description of the graph.
    Safetensors,
}

impl Format {
    pub const ALL: [Format; 2] = [Format::Onnx, Format::Safetensors];

    /// Name on the command line.
    pub fn id(self) -> &'static str {
        match self {
            Format::Onnx => "onnx",
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
                ("preprocessing".to_string(), preprocessing(card).to_string()),
                ("sha256".to_string(), card.sha256.clone()),
                ("licence".to_string(), card.licence.clone()),
                ("intended_use".to_string(), card.intended_use.clone()),
            ]);
            onnx::write(&graph, &parameters, &notes).map_err(|reason| ExportError::Graph { id, reason })
        }
        Format::Safetensors => weights::write(&parameters, Precision::F32, Some(&graph))
            .map_err(|reason| ExportError::Weights { id, reason }),
    }
}

/// How a picture becomes the network's input and what the answer means, for whoever feeds the file elsewhere.
pub fn preprocessing(card: &Card) -> serde_json::Value {
    let input = &card.input;
    let formula = match input.scale {
        Scale::Raw => "x",
        Scale::Unit => "x / 255",
        Scale::Tf => "x / 127.5 - 1",
        Scale::Torch => "(x / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]",
        Scale::Caffe => "x - [103.939, 116.779, 123.68]",
        Scale::Standardize => "(x - mean of the slice) / standard deviation of the slice",
        Scale::Head => "(v - mean) / standard deviation of the head's values v over the whole study, kept in -3 to 5",
    };
    let channels = match (input.channels, input.neighbours, input.sequence) {
        (3, true, _) => "the slice before, the slice, the slice after",
        (3, false, Sequence::Three) => "three sequences",
        (3, false, _) => "the grey slice three times",
        _ => "the grey slice",
    };
    let answer = match (card.task, card.classes.len()) {
        (Task::Binary, _) => "probability of the first class",
        (Task::Multiclass, _) => "probability of each class",
        (Task::Segmentation, 1) => "probability of a finding at each pixel",
        (Task::Segmentation, _) => "probability of each class at each pixel",
    };
    json!({
        "model": card.id,
        "input": { "name": "input", "shape": ["batch", input.side, input.side, input.channels], "order": "NHWC" },
        "x": "grey values 0-255 of the slice with square pixels, fitted into the square, black around it",
        "value": formula,
        "channels": channels,
        "mean_with_mirror_image": input.mirrored,
        "output": { "name": "output", "meaning": answer, "classes": card.classes },
        "threshold": card.threshold.default,
        "temperature": card.calibration.map(|calibration| calibration.temperature),
    })
}

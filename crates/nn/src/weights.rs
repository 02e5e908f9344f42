//! Weights as safetensors: checked against the graph they are for, read as f32, written as f16 or f32.

use super::exec::Parameters;
use super::graph::Graph;
use candle_core::{DType, Device, Tensor};
use half::{bf16, f16};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use std::collections::{BTreeMap, HashMap};

/// Why weights do not fit a network.
#[derive(Debug, thiserror::Error)]
pub enum WeightsError {
    #[error("not a safetensors file: {0}")]
    Format(String),
    #[error("the weights do not fit the architecture:\n  {}", listed(.0))]
    Mismatch(Vec<String>),
    #[error(transparent)]
    Tensor(#[from] candle_core::Error),
}

/// One problem a line; a wholly different file would fill pages, so only the first dozen are spelt out.
pub fn listed(problems: &[String]) -> String {
    let mut lines: Vec<String> = problems.iter().take(12).cloned().collect();
    if problems.len() > lines.len() {
        lines.push(format!("… and {} more", problems.len() - lines.len()));
    }
    lines.join("\n  ")
}

/// Number format of a weights file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    F16,
    F32,
}

/// Compares shapes by name with what `graph` needs; every difference is listed.
pub fn check(graph: &Graph, parameters: &Parameters) -> Result<(), WeightsError> {
    let mut problems = Vec::new();
    let wanted: BTreeMap<_, _> = graph.parameters().into_iter().map(|p| (p.name, p.shape)).collect();
    for (name, shape) in &wanted {
        match parameters.get(name).map(Tensor::dims) {
            None => problems.push(format!("`{name}` is missing")),
            Some(found) if found != shape => problems.push(format!("`{name}` is {found:?}, needs {shape:?}")),
            Some(_) => {}
        }
    }
    let mut extra: Vec<_> = parameters.keys().filter(|name| !wanted.contains_key(*name)).collect();
    extra.sort();
    problems.extend(extra.iter().map(|name| format!("`{name}` is not part of the architecture")));
    if problems.is_empty() { Ok(()) } else { Err(WeightsError::Mismatch(problems)) }
}

/// Reads the tensors of a safetensors file as f32 by name.
pub fn read(bytes: &[u8], device: &Device) -> Result<Parameters, WeightsError> {
    let file = SafeTensors::deserialize(bytes).map_err(|e| WeightsError::Format(e.to_string()))?;
    let mut out = HashMap::new();
    for (name, view) in file.tensors() {
        let problem = || WeightsError::Format(format!("`{name}` holds {:?}, which no weights are", view.dtype()));
        let values = floats(&view).ok_or_else(problem)?;
        out.insert(name, Tensor::from_vec(values, view.shape(), device)?);
    }
    Ok(out)
}

/// As [`read`], but whole numbers, such as the batch counters of a state dict, are left out.
pub fn read_floats(bytes: &[u8]) -> Result<Parameters, WeightsError> {
    let file = SafeTensors::deserialize(bytes).map_err(|e| WeightsError::Format(e.to_string()))?;
    let mut out = HashMap::new();
    for (name, view) in file.tensors() {
        if let Some(values) = floats(&view) {
            out.insert(name, Tensor::from_vec(values, view.shape(), &Device::Cpu)?);
        }
    }
    Ok(out)
}

/// The values of a tensor of floating-point numbers.
fn floats(view: &TensorView) -> Option<Vec<f32>> {
    let data = view.data();
    Some(match view.dtype() {
        Dtype::F32 => data.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect(),
        Dtype::F16 => data.as_chunks().0.iter().map(|b| f16::from_le_bytes(*b).to_f32()).collect(),
        Dtype::BF16 => data.as_chunks().0.iter().map(|b| bf16::from_le_bytes(*b).to_f32()).collect(),
        Dtype::F64 => data.as_chunks().0.iter().map(|b| f64::from_le_bytes(*b) as f32).collect(),
        _ => return None,
    })
}

/// Reads the weights of `graph`, refusing anything missing, misshapen or superfluous.
pub fn load(graph: &Graph, bytes: &[u8], device: &Device) -> Result<Parameters, WeightsError> {
    let parameters = read(bytes, device)?;
    check(graph, &parameters)?;
    Ok(parameters)
}

/// Key of the graph in a file's metadata.
const GRAPH: &str = "lesionlens.graph";

/// The graph that lies in a weights file, if one does; it is built anew, so that none that contradicts itself is believed.
///
/// # Errors
/// If it is no graph, or its layers do not fit each other.
pub fn graph(bytes: &[u8]) -> Result<Option<Graph>, WeightsError> {
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(|e| WeightsError::Format(e.to_string()))?;
    let Some(text) = header.metadata().as_ref().and_then(|known| known.get(GRAPH)) else { return Ok(None) };
    let graph: Graph = serde_json::from_str(text).map_err(|e| WeightsError::Format(format!("its graph: {e}")))?;
    graph.rebuilt().map(Some).map_err(|e| WeightsError::Format(format!("its graph: {e}")))
}

/// Serialises parameters, with the graph they are for when it is none that the program knows by name; the same tensors always give
/// the same bytes.
pub fn write(parameters: &Parameters, precision: Precision, graph: Option<&Graph>) -> Result<Vec<u8>, WeightsError> {
    let graph = graph.map(serde_json::to_string).transpose().map_err(|e| WeightsError::Format(e.to_string()))?;
    let metadata = graph.map(|text| HashMap::from([(GRAPH.to_string(), text)]));
    let mut tensors = BTreeMap::new();
    for (name, tensor) in parameters {
        let values = tensor.to_dtype(DType::F32)?.to_device(&Device::Cpu)?.flatten_all()?.to_vec1::<f32>()?;
        let (dtype, bytes): (_, Vec<u8>) = match precision {
            Precision::F32 => (Dtype::F32, values.iter().flat_map(|v| v.to_le_bytes()).collect()),
            Precision::F16 => (Dtype::F16, values.iter().flat_map(|v| f16::from_f32(*v).to_le_bytes()).collect()),
        };
        tensors.insert(name.as_str(), (dtype, tensor.dims().to_vec(), bytes));
    }
    let mut views = Vec::new();
    for (name, (dtype, shape, bytes)) in &tensors {
        let view = TensorView::new(*dtype, shape.clone(), bytes).map_err(|e| WeightsError::Format(e.to_string()))?;
        views.push((*name, view));
    }
    safetensors::serialize(views, metadata).map_err(|e| WeightsError::Format(e.to_string()))
}

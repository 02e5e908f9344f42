//! Tensors of a Keras HDF5 file in the layout of this program.

use super::KerasError;
use super::config::Description;
use crate::exec::Parameters;
use crate::graph::{Op, Parameter, Role};
use crate::weights::WeightsError;
use candle_core::{Device, Tensor};
use half::f16;
use hdf5_pure::{Datatype, FormatError};
use std::collections::HashMap;

/// Names of the tensor in a Keras file; Keras 2 and 3 differ in one.
pub fn keras_names(op: &Op, role: Role) -> &'static [&'static str] {
    match (op, role) {
        (Op::BatchNorm { .. } | Op::LayerNorm { .. }, Role::Bias) => &["beta"],
        (_, Role::Bias) => &["bias"],
        (Op::DepthwiseConv { .. }, Role::Kernel) => &["depthwise_kernel", "kernel"],
        (_, Role::Kernel) => &["kernel"],
        (_, Role::Scale) => &["gamma"],
        (_, Role::RunningMean) => &["moving_mean"],
        (_, Role::RunningVariance) => &["moving_variance"],
    }
}

/// How a file arranges its tensors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrangement {
    /// By layer names, below this group (`model_weights/` in a whole model, nothing in a file of weights).
    Named(&'static str),
    /// By class and order, as Keras 3 does in `.keras` and `.weights.h5`: `layers/conv2d_1/vars/0`.
    Numbered,
}

impl Arrangement {
    /// Where a parameter may lie, the likeliest place first. `position` counts the layer's own parameters.
    fn paths(self, description: &Description, parameter: &Parameter, position: usize) -> Vec<String> {
        let node = description.graph.node(parameter.node);
        let root = match self {
            Arrangement::Numbered => {
                let group = description.groups.get(&node.name).cloned().unwrap_or_default();
                return vec![format!("{group}/vars/{position}")];
            }
            Arrangement::Named(root) => root,
        };
        // Layers of a model inside the model lie in that model's group; Keras 3 puts the model's name in between.
        let places = match node.name.split_once('/') {
            // Or the layer's own name holds a stroke.
            Some(_) => vec![node.name.clone(), format!("{0}/{0}", node.name)],
            None => vec![format!("{0}/{0}", node.name), format!("{0}/{1}/{0}", node.name, description.name)],
        };
        let stored = keras_names(&node.op, parameter.role);
        let path = |place: &String, name: &str, end: &str| format!("{root}{place}/{name}{end}");
        let all = places.iter().flat_map(|place| stored.iter().map(move |name| (place, name)));
        all.flat_map(|(place, name)| [":0", ""].map(|end| path(place, name, end))).collect()
    }
}

/// All tensors of the graph; every one that is missing or misshapen is listed.
pub fn read(
    file: &hdf5_pure::File,
    description: &Description,
    arrangement: Arrangement,
) -> Result<Parameters, KerasError> {
    let mut weights = HashMap::new();
    let mut problems = Vec::new();
    let (mut last, mut position) = (None, 0);
    for parameter in description.graph.parameters() {
        position = if last == Some(parameter.node) { position + 1 } else { 0 };
        last = Some(parameter.node);
        let paths = arrangement.paths(description, &parameter, position);
        let depthwise = matches!(description.graph.node(parameter.node).op, Op::DepthwiseConv { .. });
        match find(file, &paths)? {
            None => problems.push(format!("`{}` is missing", paths[0])),
            Some((path, dataset)) => match tensor(&dataset, &parameter.shape, depthwise) {
                Ok(tensor) => {
                    weights.insert(parameter.name, tensor);
                }
                Err(problem) => problems.push(format!("`{path}`: {problem}")),
            },
        }
    }
    if problems.is_empty() { Ok(weights) } else { Err(WeightsError::Mismatch(problems).into()) }
}

/// The first of these datasets that is there.
fn find(file: &hdf5_pure::File, paths: &[String]) -> Result<Option<(String, hdf5_pure::Dataset)>, KerasError> {
    for path in paths {
        match file.dataset(path) {
            Ok(dataset) => return Ok(Some((path.clone(), dataset))),
            Err(hdf5_pure::Error::Format(FormatError::PathNotFound(_))) => {}
            // A file cut short or damaged would report every tensor after the first; one sentence says it better.
            Err(error) => return Err(KerasError::Damaged { path: path.clone(), problem: error.to_string() }),
        }
    }
    Ok(None)
}

/// Reads a dataset that must hold the values of `wanted` (our layout) in Keras' layout.
pub fn tensor(dataset: &hdf5_pure::Dataset, wanted: &[usize], depthwise: bool) -> Result<Tensor, String> {
    let keras_shape: Vec<usize> = match *wanted {
        [channels, one, rows, columns] if depthwise => vec![rows, columns, channels, one],
        [out, input, rows, columns] => vec![rows, columns, input, out],
        [out, input] => vec![input, out],
        _ => wanted.to_vec(),
    };
    // Sizes are compared before anything is allocated, so a lying header cannot ask for more than the network needs.
    let shape = dataset.shape().map_err(|e| e.to_string())?;
    if !shape.iter().copied().eq(keras_shape.iter().map(|s| *s as u64)) {
        return Err(format!("is {shape:?}, needs {keras_shape:?}"));
    }
    let values = match dataset.datatype().map_err(|e| e.to_string())? {
        Datatype::FloatingPoint { size: 4 | 8, .. } => dataset.read_f32().map_err(|e| e.to_string())?,
        Datatype::FloatingPoint { size: 2, .. } => {
            let bytes = dataset.read_raw().map_err(|e| e.to_string())?;
            bytes.as_chunks().0.iter().map(|b| f16::from_le_bytes(*b).to_f32()).collect()
        }
        _ => return Err("is not a floating-point tensor".into()),
    };
    if values.len() != keras_shape.iter().product::<usize>() {
        return Err("is cut short".into());
    }
    if let Some(bad) = values.iter().find(|v| !v.is_finite()) {
        return Err(format!("holds {bad}"));
    }
    let build = || {
        let tensor = Tensor::from_vec(values, keras_shape.as_slice(), &Device::Cpu)?;
        match wanted.len() {
            4 if depthwise => tensor.permute((2, 3, 0, 1))?.contiguous(),
            4 => tensor.permute((3, 2, 0, 1))?.contiguous(),
            2 => tensor.t()?.contiguous(),
            _ => Ok(tensor),
        }
    };
    build().map_err(|e: candle_core::Error| e.to_string())
}

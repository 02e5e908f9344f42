//! Keras HDF5 files → a [`Graph`] and its weights, read from the file's own `model_config`.
//!
//! The legacy HDF5 layout of Keras 2 (`model.save("x.h5")`): attribute `model_config` holds the layers as JSON, group
//! `model_weights` the tensors. Kernels are stored rows × columns × in × out, dense kernels in × out; both are transposed.
//! HDF5 is parsed in pure Rust, on a thread of its own and under a read budget, because a hostile file may nest without end.

use super::exec::Parameters;
use super::graph::{Activation, Builder, Graph, GraphError, NodeId, Op, Padding, Role, Shape, Window};
use super::weights::{self, WeightsError};
use candle_core::{Device, Tensor};
use half::f16;
use hdf5_pure::{AttrValue, Datatype, FormatError, Source};
use serde_json::Value;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};

/// Largest file that is read: Keras' own largest application, NASNetLarge with optimiser state, stays below.
const MAX_FILE_BYTES: usize = 2 << 30;
/// Deeply nested types are parsed recursively by the HDF5 library.
const STACK_BYTES: usize = 256 << 20;

/// Why a Keras file does not become a network.
#[derive(Debug, thiserror::Error)]
pub enum KerasError {
    #[error("not a readable HDF5 file: {0}")]
    Hdf5(String),
    #[error("the file is cut short or damaged at `{path}` ({problem}); copy it again")]
    Damaged { path: String, problem: String },
    #[error("the file has no `model_config`: it holds weights only; save the whole model with `model.save`")]
    NoConfig,
    #[error("`model_config` is not what Keras writes: {0}")]
    Config(String),
    #[error("the model uses what LesionLens does not know:\n  {}", weights::listed(.0))]
    Unsupported(Vec<String>),
    #[error(transparent)]
    Graph(#[from] GraphError),
    #[error(transparent)]
    Weights(#[from] WeightsError),
    #[error("the model in the file is not a {architecture}: {reason}")]
    OtherArchitecture { architecture: &'static str, reason: GraphError },
}

/// A network as a Keras file describes it.
#[derive(Debug)]
pub struct KerasModel {
    pub graph: Graph,
    pub weights: Parameters,
}

impl KerasModel {
    /// The same weights under the names of `graph`, when both describe the same computation.
    pub fn renamed(self, graph: &Graph, architecture: &'static str) -> Result<Parameters, KerasError> {
        let twins =
            self.graph.matching(graph).map_err(|reason| KerasError::OtherArchitecture { architecture, reason })?;
        let mut renamed = HashMap::new();
        for parameter in self.graph.parameters() {
            let Some(tensor) = self.weights.get(&parameter.name) else { continue };
            let name = format!("{}.{}", graph.node(twins[&parameter.node]).name, parameter.role.suffix());
            renamed.insert(name, tensor.clone());
        }
        let shapes = renamed.iter().map(|(name, t)| (name.clone(), t.dims().to_vec())).collect();
        weights::check(graph, &shapes)?;
        Ok(renamed)
    }
}

/// Parses a legacy HDF5 model.
pub fn read(bytes: Vec<u8>) -> Result<KerasModel, KerasError> {
    if bytes.len() > MAX_FILE_BYTES {
        return Err(KerasError::Hdf5(format!("larger than {} GiB", MAX_FILE_BYTES >> 30)));
    }
    let worker = std::thread::Builder::new().name("keras-import".into()).stack_size(STACK_BYTES);
    let worker = worker.spawn(move || read_here(bytes)).map_err(|e| KerasError::Hdf5(e.to_string()))?;
    worker.join().unwrap_or_else(|_| Err(KerasError::Hdf5("the HDF5 structure is damaged".into())))
}

fn read_here(bytes: Vec<u8>) -> Result<KerasModel, KerasError> {
    let budget = AtomicU64::new(4 * bytes.len() as u64 + (64 << 20));
    let file = hdf5_pure::File::from_source(Budgeted { bytes, budget }).map_err(hdf5)?;
    let attributes = file.root().attrs().map_err(hdf5)?;
    let config = attributes.get("model_config").and_then(AttrValue::as_str).ok_or(KerasError::NoConfig)?;
    let config: Value = serde_json::from_str(config).map_err(|e| KerasError::Config(e.to_string()))?;
    let graph = graph_from_config(&config)?;
    let weights = read_weights(&file, &graph)?;
    Ok(KerasModel { graph, weights })
}

fn hdf5(error: hdf5_pure::Error) -> KerasError {
    KerasError::Hdf5(error.to_string())
}

/// A file in memory that stops answering once far more was read than any honest file needs.
struct Budgeted {
    bytes: Vec<u8>,
    budget: AtomicU64,
}

impl Source for Budgeted {
    fn len(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), FormatError> {
        let cost = buffer.len() as u64 + 64;
        self.budget
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(cost))
            .map_err(|_| FormatError::Source("the file refers to itself without end".into()))?;
        let found = usize::try_from(offset)
            .ok()
            .and_then(|start| self.bytes.get(start..start.checked_add(buffer.len())?))
            .ok_or(FormatError::UnexpectedEof { expected: buffer.len(), available: self.bytes.len() })?;
        buffer.copy_from_slice(found);
        Ok(())
    }
}

/// One layer of a config with what was found wrong so far.
struct LayerReader<'a> {
    class: &'a str,
    name: &'a str,
    config: &'a Value,
}

fn text<'a>(value: &'a Value, key: &str) -> Option<&'a str> {
    value.get(key).and_then(Value::as_str)
}

fn pair(value: Option<&Value>) -> Option<[usize; 2]> {
    match value? {
        Value::Array(items) => match items.as_slice() {
            [a, b] => Some([a.as_u64()? as usize, b.as_u64()? as usize]),
            _ => None,
        },
        Value::Number(n) => Some([n.as_u64()? as usize; 2]),
        _ => None,
    }
}

impl LayerReader<'_> {
    fn flag(&self, key: &str, default: bool) -> bool {
        self.config.get(key).and_then(Value::as_bool).unwrap_or(default)
    }

    fn count(&self, key: &str) -> Result<usize, String> {
        self.config.get(key).and_then(Value::as_u64).map(|v| v as usize).ok_or_else(|| self.lacks(key))
    }

    fn number(&self, key: &str) -> Result<f64, String> {
        self.config.get(key).and_then(Value::as_f64).ok_or_else(|| self.lacks(key))
    }

    fn lacks(&self, key: &str) -> String {
        format!("{} `{}`: no readable `{key}`", self.class, self.name)
    }

    fn refuses(&self, what: &str) -> String {
        format!("{} `{}`: {what}", self.class, self.name)
    }

    fn window(&self, size_key: &str) -> Result<Window, String> {
        let size = pair(self.config.get(size_key)).ok_or_else(|| self.lacks(size_key))?;
        let stride = match self.config.get("strides") {
            None | Some(Value::Null) => size,
            given => pair(given).ok_or_else(|| self.lacks("strides"))?,
        };
        let padding = match text(self.config, "padding") {
            // Both rules agree for a single pixel.
            Some("same") if size == [1, 1] => Padding::Valid,
            Some("same") => Padding::Same,
            Some("valid") | None => Padding::Valid,
            Some(other) => return Err(self.refuses(&format!("padding `{other}`"))),
        };
        Ok(Window { size, stride, padding })
    }

    /// `None` for a linear activation.
    fn activation(&self) -> Result<Option<Activation>, String> {
        match text(self.config, "activation") {
            None | Some("linear") => Ok(None),
            Some("relu") => Ok(Some(Activation::Relu)),
            Some("relu6") => Ok(Some(Activation::Relu6)),
            Some("sigmoid") => Ok(Some(Activation::Sigmoid)),
            Some("softmax") => Ok(Some(Activation::Softmax)),
            Some(other) => Err(self.refuses(&format!("activation `{other}`"))),
        }
    }

    fn channels_last(&self) -> Result<(), String> {
        match text(self.config, "data_format") {
            None | Some("channels_last") => Ok(()),
            Some(other) => Err(self.refuses(&format!("data format `{other}`"))),
        }
    }

    /// The operations this layer stands for, to be applied one after the other; the first may take several inputs.
    fn ops(&self) -> Result<Vec<Op>, String> {
        self.channels_last()?;
        let activate = |op: Op| -> Result<Vec<Op>, String> {
            Ok(std::iter::once(op).chain(self.activation()?.map(|function| Op::Activation { function })).collect())
        };
        match self.class {
            "Conv2D" => {
                if pair(self.config.get("dilation_rate")).is_some_and(|d| d != [1, 1]) {
                    return Err(self.refuses("dilation"));
                }
                if self.config.get("groups").and_then(Value::as_u64).is_some_and(|g| g != 1) {
                    return Err(self.refuses("grouped convolution"));
                }
                let window = self.window("kernel_size")?;
                activate(Op::Conv { filters: self.count("filters")?, window, bias: self.flag("use_bias", true) })
            }
            "Dense" => activate(Op::Dense { units: self.count("units")?, bias: self.flag("use_bias", true) }),
            "BatchNormalization" => {
                if !self.flag("center", true) {
                    return Err(self.refuses("batch normalisation without centre"));
                }
                let (epsilon, momentum) = (self.number("epsilon")?, self.number("momentum")?);
                Ok(vec![Op::BatchNorm { epsilon, momentum, scale: self.flag("scale", true) }])
            }
            "Activation" => Ok(self.activation()?.map(|function| Op::Activation { function }).into_iter().collect()),
            "ReLU" => match self.config.get("max_value").and_then(Value::as_f64) {
                None => Ok(vec![Op::Activation { function: Activation::Relu }]),
                Some(6.0) => Ok(vec![Op::Activation { function: Activation::Relu6 }]),
                Some(other) => Err(self.refuses(&format!("a ceiling of {other}"))),
            },
            "Softmax" => Ok(vec![Op::Activation { function: Activation::Softmax }]),
            "MaxPooling2D" => Ok(vec![Op::MaxPool { window: self.window("pool_size")? }]),
            "AveragePooling2D" => Ok(vec![Op::AveragePool { window: self.window("pool_size")? }]),
            "GlobalAveragePooling2D" => Ok(vec![Op::GlobalAveragePool]),
            "UpSampling2D" => match (pair(self.config.get("size")), text(self.config, "interpolation")) {
                (Some([a, b]), Some("nearest") | None) if a == b => Ok(vec![Op::Upsample { factor: a }]),
                _ => Err(self.refuses("upsampling other than nearest by one factor")),
            },
            "ZeroPadding2D" => match self.config.get("padding").and_then(Value::as_array).map(Vec::as_slice) {
                Some([rows, columns]) => match (pair(Some(rows)), pair(Some(columns))) {
                    (Some(rows), Some(columns)) => Ok(vec![Op::ZeroPad { rows, columns }]),
                    _ => Err(self.lacks("padding")),
                },
                _ => Err(self.lacks("padding")),
            },
            "Add" => Ok(vec![Op::Add]),
            "Concatenate" => Ok(vec![Op::Concat]),
            "Flatten" => Ok(vec![Op::Flatten]),
            "Dropout" => Ok(vec![Op::Dropout { rate: self.number("rate")? }]),
            _ => Err(format!("layer class `{}` (`{}`)", self.class, self.name)),
        }
    }
}

/// Reads a `Functional` or `Sequential` configuration with a single image input; models that stand in it as a layer, as Keras
/// Applications' bases do, become part of the graph, their layers named `model/layer`.
pub fn graph_from_config(config: &Value) -> Result<Graph, KerasError> {
    let mut reader = ModelReader { builder: None, problems: Vec::new() };
    reader.model(config, "", None)?;
    if !reader.problems.is_empty() {
        return Err(KerasError::Unsupported(reader.problems));
    }
    Ok(reader.builder.ok_or_else(|| KerasError::Config("no input layer".into()))?.finish()?)
}

/// Walks a model and the models inside it.
struct ModelReader {
    /// There from the first input layer on.
    builder: Option<Builder>,
    problems: Vec<String>,
}

impl ModelReader {
    /// Adds the layers of a model, their names behind `prefix`; `given` is what flows into its input layer, `None` for the
    /// outermost. Returns what flows out.
    fn model(&mut self, config: &Value, prefix: &str, given: Option<NodeId>) -> Result<NodeId, KerasError> {
        let bad = |what: &str| KerasError::Config(what.to_string());
        let sequential = match text(config, "class_name") {
            Some("Functional" | "Model") => false,
            Some("Sequential") => true,
            other => return Err(KerasError::Config(format!("class `{}`", other.unwrap_or("none")))),
        };
        let layers = config.pointer("/config/layers").and_then(Value::as_array).ok_or_else(|| bad("no layers"))?;
        let mut outputs: HashMap<&str, NodeId> = HashMap::new();
        let (mut last, mut inputs_seen) = (None, 0);
        for layer in layers {
            let inner = layer.get("config").unwrap_or(&Value::Null);
            let name = text(inner, "name").ok_or_else(|| bad("a layer without a name"))?;
            let class = text(layer, "class_name").ok_or_else(|| bad("a layer without a class"))?;
            if class == "InputLayer" {
                inputs_seen += 1;
                if inputs_seen > 1 {
                    self.problems.push("more than one input".to_string());
                    continue;
                }
                let id = match given {
                    Some(id) => id,
                    None => {
                        let (started, id) = Builder::new(input_shape(inner)?);
                        self.builder = Some(started);
                        id
                    }
                };
                outputs.insert(name, id);
                last = Some(id);
                continue;
            }
            let inputs: Vec<NodeId> = if sequential { last.into_iter().collect() } else { inbound(layer, &outputs)? };
            let output = match class {
                "Functional" | "Model" | "Sequential" => match inputs[..] {
                    [input] => Some(self.model(layer, &format!("{prefix}{name}/"), Some(input))?),
                    _ => return Err(bad("a model inside the model with other than one input")),
                },
                _ => self.layer(LayerReader { class, name, config: inner }, prefix, inputs)?,
            };
            if let Some(id) = output {
                outputs.insert(name, id);
                last = Some(id);
            }
        }
        last.ok_or_else(|| bad("no layers"))
    }

    /// Adds one layer; what cannot be read is noted and skipped, so that every problem is listed at once.
    fn layer(&mut self, reader: LayerReader, prefix: &str, inputs: Vec<NodeId>) -> Result<Option<NodeId>, KerasError> {
        let Some(builder) = self.builder.as_mut() else {
            return Err(KerasError::Config("the first layer is not an input".into()));
        };
        let ops = match reader.ops() {
            Ok(ops) => ops,
            Err(problem) => {
                self.problems.push(problem);
                return Ok(inputs.first().copied());
            }
        };
        let mut inputs = inputs;
        // Keras flattens vectors too, to no effect.
        let is_vector = |id: &NodeId| matches!(builder.shape(*id), Shape::Vector { .. });
        if ops == [Op::Flatten] && inputs.iter().all(is_vector) {
            return Ok(inputs.first().copied());
        }
        for (i, op) in ops.into_iter().enumerate() {
            let suffix = if i == 0 { "" } else { "/activation" };
            inputs = vec![builder.push(format!("{prefix}{}{suffix}", reader.name), op, &inputs)];
        }
        Ok(match inputs[..] {
            [id] => Some(id),
            _ => None,
        })
    }
}

fn input_shape(config: &Value) -> Result<Shape, KerasError> {
    let shape = config.get("batch_input_shape").or_else(|| config.get("batch_shape"));
    let sides: Option<Vec<usize>> = shape
        .and_then(Value::as_array)
        .and_then(|items| items.iter().skip(1).map(|v| v.as_u64().map(|v| v as usize)).collect());
    match sides.as_deref() {
        Some(&[height, width, channels]) => Ok(Shape::Image { height, width, channels }),
        _ => Err(KerasError::Config("the input is not an image of fixed size".into())),
    }
}

fn inbound(layer: &Value, outputs: &HashMap<&str, NodeId>) -> Result<Vec<NodeId>, KerasError> {
    let nodes = layer.get("inbound_nodes").and_then(Value::as_array);
    let [Value::Array(tensors)] = nodes.map(Vec::as_slice).unwrap_or_default() else {
        return Err(KerasError::Config("a layer used other than once".into()));
    };
    let find = |tensor: &Value| {
        let name = tensor.get(0).and_then(Value::as_str)?;
        outputs.get(name).copied()
    };
    tensors
        .iter()
        .map(|t| find(t).ok_or_else(|| KerasError::Config(format!("an input from an unknown layer: {t}"))))
        .collect()
}

/// Name of the tensor in a Keras file.
fn keras_name(op: &Op, role: Role) -> &'static str {
    match (op, role) {
        (Op::BatchNorm { .. }, Role::Bias) => "beta",
        (_, Role::Bias) => "bias",
        (_, Role::Kernel) => "kernel",
        (_, Role::Scale) => "gamma",
        (_, Role::RunningMean) => "moving_mean",
        (_, Role::RunningVariance) => "moving_variance",
    }
}

fn read_weights(file: &hdf5_pure::File, graph: &Graph) -> Result<Parameters, KerasError> {
    let mut weights = HashMap::new();
    let mut problems = Vec::new();
    for parameter in graph.parameters() {
        let node = graph.node(parameter.node);
        let stored = keras_name(&node.op, parameter.role);
        // Layers of a model inside the model lie in that model's group.
        let place = if node.name.contains('/') { node.name.clone() } else { format!("{0}/{0}", node.name) };
        let path = format!("model_weights/{place}/{stored}:0");
        match file.dataset(&path) {
            Err(hdf5_pure::Error::Format(FormatError::PathNotFound(_))) => {
                problems.push(format!("`{path}` is missing"))
            }
            // A file cut short or damaged would report every tensor after the first; one sentence says it better.
            Err(error) => return Err(KerasError::Damaged { path, problem: error.to_string() }),
            Ok(dataset) => match tensor(&dataset, &parameter.shape) {
                Ok(tensor) => {
                    weights.insert(parameter.name, tensor);
                }
                Err(problem) => problems.push(format!("`{path}`: {problem}")),
            },
        }
    }
    if problems.is_empty() { Ok(weights) } else { Err(WeightsError::Mismatch(problems).into()) }
}

/// Reads a dataset that must hold the values of `wanted` (our layout) in Keras' layout.
fn tensor(dataset: &hdf5_pure::Dataset, wanted: &[usize]) -> Result<Tensor, String> {
    let keras_shape: Vec<usize> = match *wanted {
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
            4 => tensor.permute((3, 2, 0, 1))?.contiguous(),
            2 => tensor.t()?.contiguous(),
            _ => Ok(tensor),
        }
    };
    build().map_err(|e: candle_core::Error| e.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn layer(class: &str, config: Value, inbound: &str) -> Value {
        let nodes = if inbound.is_empty() { json!([]) } else { json!([[[inbound, 0, 0, {}]]]) };
        json!({ "class_name": class, "config": config, "inbound_nodes": nodes })
    }

    /// A base inside a Sequential, as transfer learning writes it: one graph, the base's layers under its name, a Flatten of a
    /// vector gone.
    #[test]
    fn a_model_inside_a_model_becomes_part_of_the_graph() {
        let conv = json!({ "name": "conv", "filters": 4, "kernel_size": [3, 3], "strides": [1, 1], "padding": "same" });
        let base = json!({
            "name": "base",
            "layers": [
                layer("InputLayer", json!({ "name": "picture", "batch_input_shape": [null, 8, 8, 3] }), ""),
                layer("Conv2D", conv, "picture"),
                layer("GlobalAveragePooling2D", json!({ "name": "mean" }), "conv"),
            ],
        });
        let input = json!({ "name": "input", "batch_input_shape": [null, 8, 8, 3] });
        let dense = json!({ "name": "dense", "units": 2, "activation": "softmax" });
        let config = json!({ "class_name": "Sequential", "config": { "name": "whole", "layers": [
            layer("InputLayer", input, ""),
            layer("Functional", base, ""),
            layer("Flatten", json!({ "name": "flatten" }), ""),
            layer("Dense", dense, ""),
        ] } });
        let graph = graph_from_config(&config).unwrap();
        let names: Vec<&str> = graph.nodes().iter().map(|n| n.name.as_str()).collect();
        assert_eq!(names, ["input", "base/conv", "base/mean", "dense", "dense/activation"]);
        assert_eq!(graph.output_shape(), Shape::Vector { len: 2 });

        // What is not known is named, in the inner model too.
        let text = config.to_string().replace("Conv2D", "Conv3D");
        let error = graph_from_config(&serde_json::from_str(&text).unwrap()).unwrap_err().to_string();
        assert!(error.contains("`Conv3D` (`conv`)"), "{error}");
    }
}

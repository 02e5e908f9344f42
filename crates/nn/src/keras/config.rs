//! `model_config` → a [`Graph`] whose layers keep their Keras names.

use super::KerasError;
use crate::graph::{Activation, Builder, Graph, NodeId, Op, Padding, Shape, Window};
use serde_json::Value;
use std::collections::HashMap;

/// One layer of a config with what was found wrong so far.
struct LayerReader<'a> {
    class: &'a str,
    name: &'a str,
    config: &'a Value,
    /// All its inputs are vectors.
    vectors: bool,
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

    fn nonzero(&self, key: &str) -> bool {
        self.config.get(key).is_some_and(|value| !value.is_null() && value.as_f64() != Some(0.0))
    }

    /// Windows with holes; also when what is said of them cannot be read.
    fn is_dilated(&self) -> bool {
        let told = self.config.get("dilation_rate").filter(|value| !value.is_null());
        told.is_some_and(|value| pair(Some(value)) != Some([1, 1]))
    }

    /// The axis is the last one of a map, channels.
    fn on_channels(&self) -> Result<(), String> {
        let axis = self.config.get("axis");
        let axis = axis.and_then(|a| a.as_i64().or_else(|| a.get(0)?.as_i64()));
        match axis {
            None | Some(-1 | 3) => Ok(()),
            // Of a vector, behind a dense layer, the second axis is the last.
            Some(1) if self.vectors => Ok(()),
            Some(other) => Err(self.refuses(&format!("axis {other}"))),
        }
    }

    /// `None` for a linear activation.
    fn activation(&self) -> Result<Option<Activation>, String> {
        let told = match self.config.get("activation") {
            None | Some(Value::Null) => return Ok(None),
            Some(Value::String(name)) => name.clone(),
            // A function or layer of its own, with what it is set to.
            Some(other) => other.to_string(),
        };
        match told.as_str() {
            "linear" => Ok(None),
            "relu" => Ok(Some(Activation::Relu)),
            "relu6" => Ok(Some(Activation::Relu6)),
            "silu" | "swish" => Ok(Some(Activation::Silu)),
            "gelu" => Ok(Some(Activation::Gelu)),
            "sigmoid" => Ok(Some(Activation::Sigmoid)),
            "softmax" => Ok(Some(Activation::Softmax)),
            other => Err(self.refuses(&format!("activation `{other}`"))),
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
                if self.is_dilated() {
                    return Err(self.refuses("dilation"));
                }
                if self.config.get("groups").and_then(Value::as_u64).is_some_and(|g| g != 1) {
                    return Err(self.refuses("grouped convolution"));
                }
                let window = self.window("kernel_size")?;
                activate(Op::Conv { filters: self.count("filters")?, window, bias: self.flag("use_bias", true) })
            }
            "DepthwiseConv2D" => {
                if self.is_dilated() {
                    return Err(self.refuses("dilation"));
                }
                if self.config.get("depth_multiplier").and_then(Value::as_u64).is_some_and(|m| m != 1) {
                    return Err(self.refuses("several filters a channel"));
                }
                let window = self.window("kernel_size")?;
                activate(Op::DepthwiseConv { window, bias: self.flag("use_bias", true) })
            }
            "Dense" => activate(Op::Dense { units: self.count("units")?, bias: self.flag("use_bias", true) }),
            "BatchNormalization" => {
                self.on_channels()?;
                if !self.flag("center", true) {
                    return Err(self.refuses("batch normalisation without centre"));
                }
                let (epsilon, momentum) = (self.number("epsilon")?, self.number("momentum")?);
                Ok(vec![Op::BatchNorm { epsilon, momentum, scale: self.flag("scale", true) }])
            }
            "LayerNormalization" if !(self.flag("center", true) && self.flag("scale", true)) => {
                Err(self.refuses("layer normalisation without centre or scale"))
            }
            "LayerNormalization" => {
                self.on_channels()?;
                Ok(vec![Op::LayerNorm { epsilon: self.number("epsilon")? }])
            }
            "Activation" => Ok(self.activation()?.map(|function| Op::Activation { function }).into_iter().collect()),
            "ReLU" if ["negative_slope", "threshold"].iter().any(|key| self.nonzero(key)) => {
                Err(self.refuses("a slope or a threshold below its ramp"))
            }
            "ReLU" if self.config.get("max_value").is_some_and(|max| !max.is_null() && max.as_f64().is_none()) => {
                Err(self.lacks("max_value"))
            }
            "ReLU" => match self.config.get("max_value").and_then(Value::as_f64) {
                None => Ok(vec![Op::Activation { function: Activation::Relu }]),
                Some(6.0) => Ok(vec![Op::Activation { function: Activation::Relu6 }]),
                Some(other) => Err(self.refuses(&format!("a ceiling of {other}"))),
            },
            "Softmax" => self.on_channels().map(|()| vec![Op::Activation { function: Activation::Softmax }]),
            "MaxPooling2D" => Ok(vec![Op::MaxPool { window: self.window("pool_size")? }]),
            "AveragePooling2D" => Ok(vec![Op::AveragePool { window: self.window("pool_size")? }]),
            "GlobalAveragePooling2D" if self.flag("keepdims", false) => Err(self.refuses("kept dimensions")),
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
            "Multiply" => Ok(vec![Op::Multiply]),
            "Concatenate" => self.on_channels().map(|()| vec![Op::Concat]),
            "Flatten" => Ok(vec![Op::Flatten]),
            "Dropout" => Ok(vec![Op::Dropout { rate: self.number("rate")? }]),
            _ => Err(format!("layer class `{}` (`{}`)", self.class, self.name)),
        }
    }
}

/// A graph with the places where Keras 3 keeps its layers' tensors.
#[derive(Debug)]
pub struct Description {
    pub graph: Graph,
    /// Of the outermost model.
    pub name: String,
    /// Group in a Keras 3 weights file by node name, such as `layers/functional/layers/conv2d_3`.
    pub groups: HashMap<String, String>,
}

/// Reads a `Functional` or `Sequential` configuration with a single image input, as Keras 2 or Keras 3 writes it; models that stand
/// in it as a layer, as Keras Applications' bases do, become part of the graph, their layers named `model/layer`.
///
/// # Errors
/// If it is no such model, or holds a layer that is not known; every one of these is listed.
pub fn describe(config: &Value) -> Result<Description, KerasError> {
    let mut reader = ModelReader { builder: None, problems: Vec::new(), groups: HashMap::new() };
    reader.model(config, "", "", None)?;
    if !reader.problems.is_empty() {
        return Err(KerasError::Unsupported(reader.problems));
    }
    let graph = reader.builder.ok_or_else(|| KerasError::Config("no input layer".into()))?.finish()?;
    let name = config.pointer("/config/name").and_then(Value::as_str).unwrap_or_default().to_string();
    Ok(Description { graph, name, groups: reader.groups })
}

/// Walks a model and the models inside it.
struct ModelReader {
    /// There from the first input layer on.
    builder: Option<Builder>,
    problems: Vec<String>,
    groups: HashMap<String, String>,
}

/// Keras 3 names a layer's group by its class, and numbers classes that come again in one model.
#[derive(Default)]
struct Counter(HashMap<String, usize>);

impl Counter {
    fn name(&mut self, class: &str) -> String {
        let plain = snake_case(class);
        let count = self.0.entry(plain.clone()).or_default();
        *count += 1;
        if *count == 1 { plain } else { format!("{plain}_{}", *count - 1) }
    }
}

/// As `keras.src.utils.naming.to_snake_case`: `DepthwiseConv2D` → `depthwise_conv2d`, `ReLU` → `re_lu`.
fn snake_case(class: &str) -> String {
    let letters: Vec<char> = class.chars().filter(|c| c.is_alphanumeric() || *c == '_').collect();
    let mut out = String::new();
    for (i, letter) in letters.iter().enumerate() {
        let before = i.checked_sub(1).is_some_and(|at| letters[at].is_lowercase());
        let after = i > 0 && letters.get(i + 1).is_some_and(|c| c.is_lowercase());
        if letter.is_uppercase() && (before || after) {
            out.push('_');
        }
        out.extend(letter.to_lowercase());
    }
    out
}

impl ModelReader {
    /// Adds the layers of a model, their names behind `prefix`, their tensors in `group`; `given` is what flows into its input layer, `None` for the
    /// outermost. Returns what flows out.
    fn model(
        &mut self,
        config: &Value,
        prefix: &str,
        group: &str,
        given: Option<NodeId>,
    ) -> Result<NodeId, KerasError> {
        let bad = |what: &str| KerasError::Config(what.to_string());
        let sequential = match text(config, "class_name") {
            Some("Functional" | "Model") => false,
            Some("Sequential") => true,
            other => return Err(KerasError::Config(format!("class `{}`", other.unwrap_or("none")))),
        };
        let layers = config.pointer("/config/layers").and_then(Value::as_array).ok_or_else(|| bad("no layers"))?;
        let mut outputs: HashMap<&str, NodeId> = HashMap::new();
        let (mut last, mut inputs_seen) = (None, 0);
        let mut counter = Counter::default();
        for layer in layers {
            let inner = layer.get("config").unwrap_or(&Value::Null);
            let name = text(inner, "name").ok_or_else(|| bad("a layer without a name"))?;
            let class = text(layer, "class_name").ok_or_else(|| bad("a layer without a class"))?;
            let own = format!("{group}layers/{}", counter.name(class));
            if self.builder.is_none() && class != "InputLayer" && input_shape(inner).is_ok() {
                // A Sequential of Keras 2 says the shape at its first layer.
                let (started, id) = Builder::new(input_shape(inner)?);
                self.builder = Some(started);
                last = Some(id);
            }
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
                    [input] => Some(self.model(layer, &format!("{prefix}{name}/"), &format!("{own}/"), Some(input))?),
                    _ => return Err(bad("a model inside the model with other than one input")),
                },
                _ => {
                    self.groups.insert(format!("{prefix}{name}"), own);
                    self.layer((class, name, inner), prefix, inputs)?
                }
            };
            if let Some(id) = output {
                outputs.insert(name, id);
                last = Some(id);
            }
        }
        let last = last.ok_or_else(|| bad("no layers"))?;
        let output = match output_layer(config)? {
            Some(name) => *outputs.get(name).ok_or_else(|| bad("its output is no layer of it"))?,
            None => last,
        };
        // A graph answers with its last node.
        let is_last = self.builder.as_ref().is_none_or(|builder| builder.last() == output);
        if given.is_none() && !is_last && self.problems.is_empty() {
            return Err(bad("layers behind its output"));
        }
        Ok(output)
    }

    /// Adds one layer; what cannot be read is noted and skipped, so that every problem is listed at once.
    fn layer(
        &mut self,
        (class, name, config): (&str, &str, &Value),
        prefix: &str,
        inputs: Vec<NodeId>,
    ) -> Result<Option<NodeId>, KerasError> {
        let Some(builder) = self.builder.as_mut() else {
            return Err(KerasError::Config("the first layer is not an input".into()));
        };
        let is_vector = |id: &NodeId| matches!(builder.shape(*id), Shape::Vector { .. });
        let vectors = inputs.iter().all(is_vector);
        let reader = LayerReader { class, name, config, vectors };
        let ops = match reader.ops() {
            Ok(ops) => ops,
            Err(problem) => {
                self.problems.push(problem);
                return Ok(inputs.first().copied());
            }
        };
        let mut inputs = inputs;
        // Keras flattens vectors too, to no effect.
        if ops == [Op::Flatten] && vectors {
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

/// The one layer that a functional model answers with; a Sequential says none.
fn output_layer(config: &Value) -> Result<Option<&str>, KerasError> {
    let Some(told) = config.pointer("/config/output_layers") else { return Ok(None) };
    let one = match told.as_array().map(Vec::as_slice) {
        Some([Value::String(_), ..]) => told,
        Some([one]) => one,
        _ => {
            return Err(KerasError::Config(
                "it answers with several outputs; save a model with the one you want".into(),
            ));
        }
    };
    match (one.get(0).and_then(Value::as_str), one.get(2).and_then(Value::as_u64)) {
        (Some(name), Some(0) | None) => Ok(Some(name)),
        _ => Err(KerasError::Config("its output is not the first of a layer".into())),
    }
}

/// What flows into a layer: Keras 2 lists `[name, node, tensor, {}]`, Keras 3 the call's arguments.
fn inbound(layer: &Value, outputs: &HashMap<&str, NodeId>) -> Result<Vec<NodeId>, KerasError> {
    let nodes = layer.get("inbound_nodes").and_then(Value::as_array);
    let mut names: Vec<&str> = Vec::new();
    match nodes.map(Vec::as_slice) {
        Some([Value::Array(tensors)]) => {
            if tensors.iter().any(|t| t.get(2).and_then(Value::as_u64).is_some_and(|index| index != 0)) {
                return Err(second_output());
            }
            names.extend(tensors.iter().filter_map(|t| t.get(0)?.as_str()));
        }
        Some([call]) => histories(call.get("args").unwrap_or(&Value::Null), &mut names)?,
        _ => return Err(KerasError::Config("a layer used other than once".into())),
    }
    let unknown = |name: &str| KerasError::Config(format!("an input from an unknown layer: {name}"));
    names.into_iter().map(|name| outputs.get(name).copied().ok_or_else(|| unknown(name))).collect()
}

/// Names of the layers whose tensors stand in a call's arguments, however they are nested.
fn histories<'a>(argument: &'a Value, names: &mut Vec<&'a str>) -> Result<(), KerasError> {
    match argument.pointer("/config/keras_history/0").and_then(Value::as_str) {
        Some(_) if argument.pointer("/config/keras_history/2").and_then(Value::as_u64).is_some_and(|i| i != 0) => {
            Err(second_output())
        }
        Some(name) => {
            names.push(name);
            Ok(())
        }
        None => argument.as_array().into_iter().flatten().try_for_each(|inner| histories(inner, names)),
    }
}

fn second_output() -> KerasError {
    KerasError::Config("a layer that reads the second output of another".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn groups_are_named_as_keras_3_names_them() {
        for (class, name) in [
            ("Conv2D", "conv2d"),
            ("DepthwiseConv2D", "depthwise_conv2d"),
            ("ReLU", "re_lu"),
            ("GlobalAveragePooling2D", "global_average_pooling2d"),
            ("InputLayer", "input_layer"),
        ] {
            assert_eq!(snake_case(class), name);
        }
        let mut counter = Counter::default();
        assert_eq!(["Add", "Add", "ReLU"].map(|class| counter.name(class)), ["add", "add_1", "re_lu"]);
    }

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
        let graph = describe(&config).unwrap().graph;
        let names: Vec<&str> = graph.nodes().iter().map(|n| n.name.as_str()).collect();
        assert_eq!(names, ["input", "base/conv", "base/mean", "dense", "dense/activation"]);
        assert_eq!(graph.output_shape(), Shape::Vector { len: 2 });

        // What is not known is named, in the inner model too.
        let text = config.to_string().replace("Conv2D", "Conv3D");
        let error = describe(&serde_json::from_str(&text).unwrap()).unwrap_err().to_string();
        assert!(error.contains("`Conv3D` (`conv`)"), "{error}");
    }
}

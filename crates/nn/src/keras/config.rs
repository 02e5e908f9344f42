//! `model_config` → a [`Graph`] whose layers keep their Keras names.

use super::KerasError;
use super::layer::{Layer, NEEDS_MAP, Sink, numbers, text};
use super::stored::Origin;
use crate::graph::{Builder, Graph, NodeId, Op, Shape};
use serde_json::Value;
use std::collections::HashMap;

/// Side of the pictures for a network that takes any, where its owner says none.
pub const USUAL_SIDE: usize = 256;

/// Models in models that are followed.
const MAX_DEPTH: usize = 16;

/// A graph with the places of its tensors in a Keras file.
#[derive(Debug)]
pub struct Description {
    pub graph: Graph,
    /// Name of the outermost model.
    pub name: String,
    /// Where the values of each parameter come from.
    pub origins: HashMap<String, Origin>,
    /// The network takes pictures of any size.
    pub any_side: bool,
}

/// Reads a `Functional` or `Sequential` configuration with a single image input, as Keras 2 or Keras 3 writes it; models that stand
/// in it as a layer, as Keras Applications' bases do, become part of the graph, their layers named `model/layer`. `side` is for
/// networks that take pictures of any size.
///
/// # Errors
/// If it is no such model, or holds a layer that is not known; every one of these is listed.
pub fn describe(config: &Value, side: Option<usize>) -> Result<Description, KerasError> {
    let says = |what: &str| config.to_string().contains(what);
    let mut reader = ModelReader {
        builder: None,
        problems: Vec::new(),
        origins: HashMap::new(),
        legacy: says("\"batch_input_shape\""),
        channels_first: says("\"data_format\":\"channels_first\""),
        side,
        any_side: false,
    };
    let end = reader.model(config, Place::default(), None)?;
    if !reader.problems.is_empty() {
        return Err(KerasError::Unsupported(reader.problems));
    }
    let mut builder = reader.builder.ok_or_else(|| KerasError::Config("no input layer".into()))?;
    if builder.last() != end {
        // A graph answers with its last node.
        let shape = builder.shape(end);
        builder.push("answer", Op::Reshape { shape }, &[end]);
    }
    let graph = builder.finish()?;
    let name = config.pointer("/config/name").and_then(Value::as_str).unwrap_or_default().to_string();
    Ok(Description { graph, name, origins: reader.origins, any_side: reader.any_side })
}

/// Walks a model and the models inside it.
struct ModelReader {
    /// There from the first input layer on.
    builder: Option<Builder>,
    problems: Vec<String>,
    origins: HashMap<String, Origin>,
    legacy: bool,
    channels_first: bool,
    side: Option<usize>,
    any_side: bool,
}

/// Where a model stands in others.
#[derive(Debug, Clone, Default)]
struct Place {
    /// Before the names of its layers, such as `base/`.
    prefix: String,
    /// Before its layers' groups in a Keras 3 file.
    group: String,
    depth: usize,
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
    /// Adds the layers of a model; `given` is what flows into its input layer, `None` for the outermost. Returns what flows out.
    fn model(&mut self, config: &Value, place: Place, given: Option<NodeId>) -> Result<NodeId, KerasError> {
        let bad = |what: &str| KerasError::Config(what.to_string());
        let sequential = match text(config, "class_name") {
            Some("Functional" | "Model") => false,
            Some("Sequential") => true,
            other => {
                let class = other.unwrap_or("none").to_string();
                return Err(KerasError::Class(class));
            }
        };
        if place.depth > MAX_DEPTH {
            return Err(bad("models in models without end"));
        }
        let layers = config.pointer("/config/layers").and_then(Value::as_array).ok_or_else(|| bad("no layers"))?;
        let mut outputs: HashMap<&str, NodeId> = HashMap::new();
        let (mut last, mut inputs_seen) = (given.filter(|_| sequential), 0);
        let mut counter = Counter::default();
        for layer in layers {
            let inner = layer.get("config").unwrap_or(&Value::Null);
            let name = text(inner, "name").ok_or_else(|| bad("a layer without a name"))?;
            let class = text(layer, "class_name").ok_or_else(|| bad("a layer without a class"))?;
            let group = format!("{}layers/{}", place.group, counter.name(class));
            if class == "InputLayer" {
                inputs_seen += 1;
                if inputs_seen > 1 {
                    self.problems.push("more than one input".to_string());
                    continue;
                }
                let id = match given {
                    Some(id) => id,
                    None => self.start(inner)?,
                };
                outputs.insert(name, id);
                last = Some(id);
                continue;
            }
            let is_model = ["Functional", "Model", "Sequential"].contains(&class);
            if self.builder.is_none() && !is_model {
                // A Sequential may say the shape at its first layer, or only where it was built.
                let built =
                    config.pointer("/config/build_input_shape").or_else(|| config.pointer("/build_config/input_shape"));
                let built = built.map(|shape| serde_json::json!({ "batch_shape": shape }));
                let says =
                    |config: &Value| config.get("batch_input_shape").or_else(|| config.get("batch_shape")).is_some();
                last = Some(self.start(if says(inner) { inner } else { built.as_ref().unwrap_or(inner) })?);
            }
            let inputs: Vec<NodeId> =
                if sequential { last.into_iter().collect() } else { inbound(layer, name, &outputs)? };
            let output = if is_model {
                let place = Place {
                    prefix: format!("{}{name}/", place.prefix),
                    group: format!("{group}/"),
                    depth: place.depth + 1,
                };
                match inputs[..] {
                    [input] => Some(self.model(layer, place, Some(input))?),
                    [] if self.builder.is_none() => Some(self.model(layer, place, None)?),
                    _ => return Err(bad("a model inside the model with other than one input")),
                }
            } else {
                let constants = constants(layer);
                let path = format!("{}{name}", place.prefix);
                self.layer(&Layer { class, name, path, group, config: inner, constants }, &inputs)?
            };
            if let Some(id) = output {
                outputs.insert(name, id);
                last = Some(id);
            }
        }
        let last = last.ok_or_else(|| bad("no layers"))?;
        match output_layer(config)? {
            Some(name) => outputs.get(name).copied().ok_or_else(|| bad("its output is no layer of it")),
            None => Ok(last),
        }
    }

    /// The network's input.
    fn start(&mut self, config: &Value) -> Result<NodeId, KerasError> {
        let (shape, any_side) = input_shape(config, self.side, self.channels_first)?;
        self.any_side = any_side;
        let (builder, id) = Builder::new(shape);
        self.builder = Some(builder);
        Ok(id)
    }

    /// Adds one layer; what cannot be read is noted and skipped, so that every problem is listed at once.
    fn layer(&mut self, layer: &Layer, inputs: &[NodeId]) -> Result<Option<NodeId>, KerasError> {
        let Some(builder) = self.builder.as_mut() else {
            return Err(KerasError::Config("the first layer is not an input".into()));
        };
        // Layers behind a mistake would be blamed for it.
        let is_broken = builder.is_broken();
        if is_broken && self.problems.is_empty() {
            return Ok(inputs.first().copied());
        }
        let (legacy, channels_first) = (self.legacy, self.channels_first);
        let mut sink = Sink { builder, origins: &mut self.origins, legacy, channels_first };
        match layer.emit(&mut sink, inputs) {
            Ok(id) => Ok(Some(id)),
            Err(problem) => {
                if !(is_broken && problem.ends_with(NEEDS_MAP)) {
                    self.problems.push(problem);
                }
                Ok(inputs.first().copied())
            }
        }
    }
}

/// Shape of the pictures, and whether they may have any size.
fn input_shape(config: &Value, side: Option<usize>, channels_first: bool) -> Result<(Shape, bool), KerasError> {
    let shape = config.get("batch_input_shape").or_else(|| config.get("batch_shape"));
    let sides = shape.and_then(Value::as_array).map(|items| items.iter().skip(1).collect::<Vec<_>>());
    let (height, width, channels) = match (sides.as_deref(), channels_first) {
        (Some(&[height, width, channels]), false) | (Some(&[channels, height, width]), true) => {
            (height, width, channels)
        }
        _ => return Err(KerasError::Config("its input is no image".into())),
    };
    let number = |value: &Value| value.as_u64().and_then(|n| usize::try_from(n).ok());
    let channels =
        number(channels).ok_or_else(|| KerasError::Config("its input does not say how many channels it has".into()))?;
    Ok(match (number(height), number(width)) {
        (Some(height), Some(width)) => (Shape::Image { height, width, channels }, false),
        _ => {
            let side = side.unwrap_or(USUAL_SIDE);
            (Shape::Image { height: side, width: side, channels }, true)
        }
    })
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
fn inbound(layer: &Value, own: &str, outputs: &HashMap<&str, NodeId>) -> Result<Vec<NodeId>, KerasError> {
    let nodes = layer.get("inbound_nodes").and_then(Value::as_array);
    let mut names: Vec<&str> = Vec::new();
    match nodes.map(Vec::as_slice) {
        Some([Value::Array(tensors)]) => {
            // A call with one tensor may stand without the list around it.
            let one = [Value::Array(tensors.clone())];
            let tensors = if tensors.first().is_some_and(Value::is_string) { &one[..] } else { tensors };
            for tensor in tensors {
                keras_2_tensor(tensor, outputs, &mut names)?;
            }
        }
        Some([call]) => histories(call.get("args").unwrap_or(&Value::Null), &mut names)?,
        _ => {
            return Err(KerasError::Config(format!(
                "the layer `{own}` is used other than once; build one for each use"
            )));
        }
    }
    let unknown = |name: &str| KerasError::Config(format!("an input from an unknown layer: {name}"));
    names.into_iter().map(|name| outputs.get(name).copied().ok_or_else(|| unknown(name))).collect()
}

/// Names in `[name, node, tensor, kwargs]`; keyword arguments may be tensors too.
fn keras_2_tensor<'a>(
    tensor: &Value,
    outputs: &HashMap<&'a str, NodeId>,
    names: &mut Vec<&'a str>,
) -> Result<(), KerasError> {
    if tensor.get(2).and_then(Value::as_u64).is_some_and(|index| index != 0) {
        return Err(second_output());
    }
    let known = |name: &str| {
        let unknown = || KerasError::Config(format!("an input from an unknown layer: {name}"));
        outputs.get_key_value(name).map(|(name, _)| *name).ok_or_else(unknown)
    };
    if let Some(name) = tensor.get(0).and_then(Value::as_str) {
        names.push(known(name)?);
    }
    for value in tensor.get(3).and_then(Value::as_object).into_iter().flat_map(|kwargs| kwargs.values()) {
        if let (Some(name), Some(_)) = (value.get(0).and_then(Value::as_str), value.get(2).and_then(Value::as_u64)) {
            names.push(known(name)?);
        }
    }
    Ok(())
}

/// Numbers that stand beside the tensors in a layer's call, as bare TensorFlow functions have them.
fn constants(layer: &Value) -> Vec<f32> {
    let call = layer.pointer("/inbound_nodes/0");
    let of_keras_3 = call.and_then(|call| call.pointer("/args")).and_then(Value::as_array);
    let of_keras_2 =
        call.and_then(|call| call.pointer("/0/3").or_else(|| call.pointer("/3"))).and_then(Value::as_object);
    let mut found = Vec::new();
    for argument in of_keras_3.into_iter().flatten() {
        found.extend(numbers(argument).unwrap_or_default());
    }
    for key in ["y", "bias", "x"] {
        found.extend(of_keras_2.and_then(|kwargs| numbers(kwargs.get(key)?)).unwrap_or_default());
    }
    found
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
        let graph = describe(&config, None).unwrap().graph;
        let names: Vec<&str> = graph.nodes().iter().map(|n| n.name.as_str()).collect();
        assert_eq!(names, ["input", "base/conv", "base/mean", "dense", "dense/activation"]);
        assert_eq!(graph.output_shape(), Shape::Vector { len: 2 });

        // What is not known is named, in the inner model too.
        let text = config.to_string().replace("Conv2D", "Conv3D");
        let error = describe(&serde_json::from_str(&text).unwrap(), None).unwrap_err().to_string();
        assert!(error.contains("`Conv3D` (`conv`)"), "{error}");
    }
}

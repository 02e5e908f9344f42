//! Walks the operations of a file and grows the graph.

use super::array::Array;
use super::proto::{Attribute, Input, Model, Node};
use super::{OnnxError, OnnxModel};
use crate::exec::Parameters;
use crate::graph::{Activation, Builder, NodeId, Op, Role, Shape};
use candle_core::{Device, Tensor};
use std::collections::HashMap;

/// Side of the pictures for a network that takes any, where its owner says none.
const USUAL_SIDE: usize = 256;

/// What an axis of a value stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Axis {
    Batch,
    Row,
    Column,
    Channel,
}

/// Channels × rows × columns, as PyTorch has maps.
pub const CHANNELS_FIRST: [Axis; 4] = [Axis::Batch, Axis::Channel, Axis::Row, Axis::Column];
pub const CHANNELS_LAST: [Axis; 4] = [Axis::Batch, Axis::Row, Axis::Column, Axis::Channel];
pub const VECTOR: [Axis; 2] = [Axis::Batch, Axis::Channel];

/// How a value of the graph stands in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// Each axis of the file is one of the map or vector.
    Plain(Vec<Axis>),
    /// Channels are cut into a table of `groups` rows, which was turned or not: on the way of a channel shuffle.
    Table { groups: usize, turned: bool },
    /// A map as [1, groups, rest]: on the way of a group normalisation.
    Grouped { groups: usize },
}

/// A value of the graph.
#[derive(Debug, Clone)]
pub struct Flow {
    pub id: NodeId,
    pub standing: Standing,
}

#[derive(Debug, Clone)]
pub enum Value {
    Constant(Array),
    Flow(Flow),
}

/// State of the walk.
pub struct Reader<'a> {
    pub model: &'a Model,
    pub builder: Builder,
    pub weights: Parameters,
    values: HashMap<&'a str, Value>,
    /// Operations by the node of their value, for patterns such as x · sigmoid(x).
    pub ops: HashMap<NodeId, (Op, Vec<NodeId>)>,
    /// Scale and shift of nodes that are the same for all channels.
    pub scalars: HashMap<NodeId, (f32, f32)>,
}

/// An operation of the file with what flows into it.
pub struct Call<'a, 'm> {
    pub node: &'m Node,
    /// Name of its first output, which its nodes of the graph bear.
    pub name: &'m str,
    pub inputs: &'a [Option<Value>],
}

pub fn read(model: &Model, side: Option<usize>) -> Result<OnnxModel, OnnxError> {
    let [input] = model.inputs.as_slice() else { return Err(OnnxError::Inputs(model.inputs.len())) };
    let [output] = model.outputs.as_slice() else { return Err(OnnxError::Outputs(model.outputs.clone())) };
    let (shape, axes, any_side) = picture(input, side)?;
    let (builder, id) = Builder::new(shape);
    let flow = Value::Flow(Flow { id, standing: Standing::Plain(axes) });
    let mut values: HashMap<&str, Value> = HashMap::new();
    for (name, array) in &model.constants {
        values.insert(name, Value::Constant(array.clone()));
    }
    values.insert(&input.name, flow);
    let (weights, ops, scalars) = (Parameters::new(), HashMap::new(), HashMap::new());
    let mut reader = Reader { model, builder, weights, values, ops, scalars };
    let mut problems: Vec<String> = Vec::new();
    for node in &model.nodes {
        if let Err(problem) = reader.step(node) {
            let name = if node.name.is_empty() {
                node.outputs.first().cloned().unwrap_or_default()
            } else {
                node.name.clone()
            };
            let domain = if node.domain.is_empty() { String::new() } else { format!("{}.", node.domain) };
            problems.push(format!("{domain}{} `{name}`: {problem}", node.operator));
        }
    }
    // What follows an unknown operator has no input; the first cause is enough.
    problems.retain(|problem| !problem.ends_with(NO_INPUT));
    if !problems.is_empty() {
        return Err(OnnxError::Unsupported(problems));
    }
    let Some(Value::Flow(flow)) = reader.values.get(output.as_str()).cloned() else {
        return Err(OnnxError::Damaged(format!("nothing in it makes its output `{output}`")));
    };
    let end = reader
        .in_order(flow)
        .map_err(|problem| OnnxError::Unsupported(vec![format!("output `{output}`: {problem}")]))?;
    let mut builder = reader.builder;
    if builder.last() != end {
        // A graph answers with its last node.
        let shape = builder.shape(end);
        builder.push("answer", Op::Reshape { shape }, &[end]);
    }
    let graph = builder.finish()?;
    Ok(OnnxModel { graph, weights: reader.weights, any_side })
}

/// Shape of the pictures, where their axes stand, and whether they may have any size.
fn picture(input: &Input, side: Option<usize>) -> Result<(Shape, Vec<Axis>, bool), OnnxError> {
    let bad = || OnnxError::Input(format!("`{}` has the sides {:?}", input.name, input.sides));
    let &[_, a, b, c] = input.sides.as_slice() else { return Err(bad()) };
    let few = |side: Option<usize>| side.is_some_and(|side| side <= 4);
    let last = few(c) && !few(a);
    let (channels, height, width) = if last { (c, a, b) } else { (a, b, c) };
    let channels = channels.ok_or_else(bad)?;
    let axes = if last { CHANNELS_LAST.to_vec() } else { CHANNELS_FIRST.to_vec() };
    let (height, width, any) = match (height, width) {
        (Some(height), Some(width)) => (height, width, false),
        _ => {
            let side = side.unwrap_or(USUAL_SIDE);
            (side, side, true)
        }
    };
    Ok((Shape::Image { height, width, channels }, axes, any))
}

const NO_INPUT: &str = "has an input that was not computed";

impl<'a> Reader<'a> {
    fn step(&mut self, node: &'a Node) -> Result<(), String> {
        let Some(name) = node.outputs.first() else { return Ok(()) };
        let mut inputs = Vec::new();
        for input in &node.inputs {
            inputs.push(match self.values.get(input.as_str()) {
                Some(value) => Some(value.clone()),
                None if input.is_empty() => None,
                None => return Err(NO_INPUT.into()),
            });
        }
        if !node.domain.is_empty() && node.domain != "ai.onnx" && node.domain != "com.microsoft" {
            return Err("an operator of another standard".into());
        }
        let call = Call { node, name, inputs: &inputs };
        let results = self.call(&call)?;
        for (name, value) in node.outputs.iter().zip(results) {
            self.values.insert(name, value);
        }
        Ok(())
    }

    fn call(&mut self, call: &Call) -> Result<Vec<Value>, String> {
        let is_constant = call.inputs.iter().flatten().all(|value| matches!(value, Value::Constant(_)));
        if is_constant && let Some(array) = self.constant(call)? {
            return Ok(vec![Value::Constant(array)]);
        }
        if call.node.operator == "Split" {
            return self.split(call);
        }
        let found = self.layer(call).or_else(|| self.reshaping(call)).or_else(|| self.arithmetic(call));
        found.unwrap_or_else(|| Err("is not known".into())).map(|value| vec![value])
    }

    /// The shape of a value as the file sees it, with a batch of one.
    pub fn sides(&self, flow: &Flow) -> Vec<usize> {
        let shape = self.builder.shape(flow.id);
        let (height, width, channels) = match shape {
            Shape::Image { height, width, channels } => (height, width, channels),
            Shape::Vector { len } => (1, 1, len),
        };
        match &flow.standing {
            Standing::Plain(axes) => axes
                .iter()
                .map(|axis| match axis {
                    Axis::Batch => 1,
                    Axis::Row => height,
                    Axis::Column => width,
                    Axis::Channel => channels,
                })
                .collect(),
            Standing::Table { groups, turned: false } => vec![1, *groups, channels / groups, height, width],
            Standing::Table { groups, turned: true } => vec![1, channels / groups, *groups, height, width],
            Standing::Grouped { groups } => vec![1, *groups, shape.values() / groups],
        }
    }

    /// Adds a node named after the file's value.
    pub fn push(&mut self, call: &Call, part: &str, op: Op, inputs: &[NodeId]) -> NodeId {
        self.push_named(call.name, part, op, inputs)
    }

    fn push_named(&mut self, name: &str, part: &str, op: Op, inputs: &[NodeId]) -> NodeId {
        let name = if part.is_empty() { name.to_string() } else { format!("{name}/{part}") };
        let id = self.builder.push(name, op.clone(), inputs);
        self.ops.insert(id, (op, inputs.to_vec()));
        id
    }

    /// Says the values of a parameter of a node that was added.
    pub fn parameter(
        &mut self,
        call: &Call,
        part: &str,
        role: Role,
        values: Vec<f32>,
        sides: &[usize],
    ) -> Result<(), String> {
        let tensor = Tensor::from_vec(values, sides, &Device::Cpu).map_err(|e| e.to_string())?;
        let name = if part.is_empty() { call.name.to_string() } else { format!("{}/{part}", call.name) };
        self.weights.insert(format!("{name}.{}", role.suffix()), tensor);
        Ok(())
    }

    /// A map or vector whose values stand in the file as in the graph, so that its output can be told.
    fn in_order(&mut self, flow: Flow) -> Result<NodeId, String> {
        match (&flow.standing, self.builder.shape(flow.id)) {
            (Standing::Plain(_), Shape::Image { height: 1, width: 1, .. }) => {
                Ok(self.push_named("answer", "vector", Op::Flatten, &[flow.id]))
            }
            (Standing::Plain(_), _) => Ok(flow.id),
            _ => Err("ends with its channels in groups".into()),
        }
    }
}

impl Call<'_, '_> {
    /// The value that flows in at a place.
    pub fn flow(&self, at: usize) -> Result<Flow, String> {
        match self.inputs.get(at) {
            Some(Some(Value::Flow(flow))) => Ok(flow.clone()),
            _ => Err(format!("needs a computed value as its input {at}")),
        }
    }

    /// A map with its channels first.
    pub fn map(&self, at: usize) -> Result<NodeId, String> {
        let flow = self.flow(at)?;
        match flow.standing {
            Standing::Plain(axes) if axes == CHANNELS_FIRST => Ok(flow.id),
            _ => Err("works on a map whose channels do not come first".into()),
        }
    }

    pub fn constant(&self, at: usize) -> Option<&Array> {
        match self.inputs.get(at) {
            Some(Some(Value::Constant(array))) => Some(array),
            _ => None,
        }
    }

    /// A constant that must be there.
    pub fn weights(&self, at: usize, what: &str) -> Result<&Array, String> {
        self.constant(at).ok_or_else(|| format!("its {what} is not a constant"))
    }

    pub fn integer(&self, name: &str, default: i64) -> i64 {
        match self.node.attributes.get(name) {
            Some(Attribute::Integer(value)) => *value,
            _ => default,
        }
    }

    pub fn float(&self, name: &str, default: f32) -> f32 {
        match self.node.attributes.get(name) {
            Some(Attribute::Float(value)) => *value,
            _ => default,
        }
    }

    pub fn text(&self, name: &str) -> &str {
        match self.node.attributes.get(name) {
            Some(Attribute::Text(value)) => value,
            _ => "",
        }
    }

    pub fn integers(&self, name: &str) -> Option<Vec<i64>> {
        match self.node.attributes.get(name) {
            Some(Attribute::Integers(values)) => Some(values.clone()),
            Some(Attribute::Integer(value)) => Some(vec![*value]),
            _ => None,
        }
    }

    /// Integers that older versions have as an attribute and newer ones as an input.
    pub fn list(&self, name: &str, at: usize) -> Option<Vec<i64>> {
        self.integers(name).or_else(|| self.constant(at).map(Array::as_integers))
    }

    /// A pair of attribute values, or 1s.
    pub fn pair(&self, name: &str) -> Result<[usize; 2], String> {
        let Some(values) = self.integers(name) else { return Ok([1; 2]) };
        let sides: Option<Vec<usize>> = values.iter().map(|v| usize::try_from(*v).ok()).collect();
        sides.and_then(|sides| sides.try_into().ok()).ok_or_else(|| format!("`{name}` is {values:?}"))
    }
}

/// A function by an activation's operator, where no constants are involved.
pub fn plain_activation(call: &Call) -> Option<Activation> {
    Some(match call.node.operator.as_str() {
        "Relu" => Activation::Relu,
        "Sigmoid" => Activation::Sigmoid,
        "Tanh" => Activation::Tanh,
        "Softplus" => Activation::Softplus,
        "Softsign" => Activation::Softsign,
        "Exp" => Activation::Exp,
        "Mish" => Activation::Mish,
        "Erf" => Activation::Erf,
        "HardSwish" => Activation::HardSwish,
        "Gelu" if call.text("approximate") == "tanh" => Activation::GeluTanh,
        "Gelu" => Activation::Gelu,
        "LeakyRelu" => Activation::LeakyRelu { slope: f64::from(call.float("alpha", 0.01)) },
        "Elu" => Activation::Elu { alpha: f64::from(call.float("alpha", 1.0)) },
        "Selu" => Activation::Selu,
        "HardSigmoid" => Activation::HardSigmoid {
            slope: f64::from(call.float("alpha", 0.2)),
            shift: f64::from(call.float("beta", 0.5)),
        },
        _ => return None,
    })
}

//! A network is data: a [`Graph`] of a few operations with inferred shapes and named parameters.
//!
//! The same value is trained and run by [`exec`](super::exec), counted, imported into from Keras, and compared with others.
//! Images are height × width × channels in every shape here (Keras' order), whatever layout an executor prefers.

mod activation;
mod builder;
mod cells;
mod matching;
mod op;
mod places;
mod probe;
mod shape;

pub use activation::{Activation, SELU};
pub use builder::Builder;
pub use cells::Cells;
pub use op::{Grid, Op, Resampling};
pub use shape::{Padding, Shape, Window};

use serde::{Deserialize, Serialize};

/// Place of a node in its graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NodeId(pub(crate) usize);

impl NodeId {
    /// The input of every graph.
    pub const INPUT: NodeId = NodeId(0);

    /// Place in [`Graph::nodes`].
    pub fn index(self) -> usize {
        self.0
    }
}

/// One operation with its inputs, which always stand earlier in the graph.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Node {
    pub name: String,
    pub op: Op,
    pub inputs: Vec<NodeId>,
    pub shape: Shape,
}

/// What a parameter is for, which decides its initialisation and whether the optimiser may touch it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    Kernel,
    Bias,
    Scale,
    RunningMean,
    RunningVariance,
}

impl Role {
    /// Last part of the parameter's name in a weights file.
    pub fn suffix(self) -> &'static str {
        match self {
            Role::Kernel | Role::Scale => "weight",
            Role::Bias => "bias",
            Role::RunningMean => "running_mean",
            Role::RunningVariance => "running_var",
        }
    }
}

/// A named tensor that a graph needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameter {
    pub node: NodeId,
    pub name: String,
    pub role: Role,
    pub shape: Vec<usize>,
}

/// Why a description is not a network.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum GraphError {
    #[error("layer `{layer}`: {problem}")]
    Layer { layer: String, problem: String },
    #[error("two layers are named `{0}`; names must be unique")]
    DuplicateName(String),
}

/// A directed acyclic network with one input and one output (the last node).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Graph {
    nodes: Vec<Node>,
}

impl Graph {
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.0]
    }

    pub fn ids(&self) -> impl DoubleEndedIterator<Item = NodeId> + use<> {
        (0..self.nodes.len()).map(NodeId)
    }

    pub fn output(&self) -> NodeId {
        NodeId(self.nodes.len() - 1)
    }

    pub fn find(&self, name: &str) -> Option<NodeId> {
        self.nodes.iter().position(|n| n.name == name).map(NodeId)
    }

    /// Shape of one input example.
    pub fn input_shape(&self) -> Shape {
        self.nodes[0].shape
    }

    pub fn output_shape(&self) -> Shape {
        self.node(self.output()).shape
    }

    /// The node before the closing sigmoid or softmax, whose values a loss wants; the output itself when there is none.
    pub fn logits(&self) -> NodeId {
        let output = self.node(self.output());
        match output.op {
            Op::Activation { function: Activation::Sigmoid | Activation::Softmax } => output.inputs[0],
            _ => self.output(),
        }
    }

    /// The part of the network that computes `output`.
    pub fn up_to(&self, output: NodeId) -> Graph {
        Graph { nodes: self.nodes[..=output.0].to_vec() }
    }

    /// Index of the last node that reads each node's value, so that executors can free it; the output reads itself.
    pub fn last_uses(&self) -> Vec<usize> {
        let mut last: Vec<usize> = (0..self.nodes.len()).collect();
        for (i, node) in self.nodes.iter().enumerate() {
            for input in &node.inputs {
                last[input.0] = i;
            }
        }
        last
    }

    /// The nodes that read each node's value, in order; one that reads it twice stands twice.
    pub fn readers(&self) -> Vec<Vec<NodeId>> {
        let mut readers = vec![Vec::new(); self.nodes.len()];
        for id in self.ids() {
            for input in &self.node(id).inputs {
                readers[input.0].push(id);
            }
        }
        readers
    }

    /// Every tensor the network needs, in node order.
    pub fn parameters(&self) -> Vec<Parameter> {
        let mut out = Vec::new();
        for id in self.ids() {
            let node = self.node(id);
            let input = node.inputs.first().map(|i| self.node(*i).shape.channels());
            let mut add = |role: Role, shape: Vec<usize>| {
                out.push(Parameter { node: id, name: format!("{}.{}", node.name, role.suffix()), role, shape });
            };
            match (&node.op, input) {
                (Op::Conv { filters, window, bias }, Some(channels)) => {
                    add(Role::Kernel, vec![*filters, channels, window.size[0], window.size[1]]);
                    if *bias {
                        add(Role::Bias, vec![*filters]);
                    }
                }
                (Op::DepthwiseConv { window, bias }, Some(channels)) => {
                    add(Role::Kernel, vec![channels, 1, window.size[0], window.size[1]]);
                    if *bias {
                        add(Role::Bias, vec![channels]);
                    }
                }
                (Op::ConvTranspose { filters, size, bias, .. }, Some(channels)) => {
                    add(Role::Kernel, vec![*filters, channels, size[0], size[1]]);
                    if *bias {
                        add(Role::Bias, vec![*filters]);
                    }
                }
                (Op::PRelu { by_channel }, Some(channels)) => {
                    add(Role::Scale, if *by_channel { vec![channels] } else { node.shape.dims() });
                }
                (Op::Dense { units, bias }, Some(features)) => {
                    add(Role::Kernel, vec![*units, features]);
                    if *bias {
                        add(Role::Bias, vec![*units]);
                    }
                }
                (Op::LayerNorm { .. } | Op::GroupNorm { .. } | Op::Affine, Some(channels)) => {
                    add(Role::Scale, vec![channels]);
                    add(Role::Bias, vec![channels]);
                }
                (Op::BatchNorm { scale, .. }, Some(channels)) => {
                    if *scale {
                        add(Role::Scale, vec![channels]);
                    }
                    add(Role::Bias, vec![channels]);
                    add(Role::RunningMean, vec![channels]);
                    add(Role::RunningVariance, vec![channels]);
                }
                _ => {}
            }
        }
        out
    }

    /// The same graph, checked node by node: for one that was read from a file.
    ///
    /// # Errors
    /// If it does not begin with its input, a node reads a later one, or a shape is not what its inputs make.
    pub fn rebuilt(self) -> Result<Graph, GraphError> {
        let wrong =
            |node: &Node, problem: &str| GraphError::Layer { layer: node.name.clone(), problem: problem.into() };
        let empty = GraphError::Layer { layer: "input".into(), problem: "is missing".into() };
        let Some(Op::Input { shape }) = self.nodes.first().map(|node| node.op.clone()) else { return Err(empty) };
        let (mut builder, _) = Builder::new(shape);
        for (index, node) in self.nodes.iter().enumerate().skip(1) {
            if node.inputs.iter().any(|input| input.0 >= index) {
                return Err(wrong(node, "reads a layer that comes after it"));
            }
            if matches!(node.op, Op::Input { .. }) {
                return Err(wrong(node, "is a second input"));
            }
            builder.push(node.name.clone(), node.op.clone(), &node.inputs);
        }
        let graph = builder.finish()?;
        let differs = graph.nodes.iter().zip(&self.nodes).find(|(own, told)| own.shape != told.shape);
        match differs {
            Some((node, _)) => Err(wrong(node, "has another shape than it says")),
            None => Ok(graph),
        }
    }

    /// Number of parameters as Keras' `summary()` counts them, running statistics included.
    pub fn parameter_count(&self) -> usize {
        self.parameters().iter().map(|p| p.shape.iter().product::<usize>()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(side: usize, channels: usize) -> Shape {
        Shape::Image { height: side, width: side, channels }
    }

    #[test]
    fn same_padding_follows_tensorflow() {
        // TensorFlow: 7 pixels, window 3, stride 2 -> 4 outputs, total padding 2; 8 pixels -> 4 outputs, 1 below/right.
        let window = Window::new([3, 3], [2, 2], Padding::Same);
        assert_eq!((window.pads(0, 7), window.output_side(0, 7)), (Some((1, 1)), Some(4)));
        assert_eq!((window.pads(0, 8), window.output_side(0, 8)), (Some((0, 1)), Some(4)));
    }

    #[test]
    fn mistakes_name_the_layer() {
        let (mut b, x) = Builder::new(image(8, 3));
        b.dense("head", x, 4);
        let message = b.finish().unwrap_err().to_string();
        assert!(message.contains("`head`") && message.contains("flatten"), "{message}");

        let (mut b, x) = Builder::new(image(8, 3));
        let y = b.conv("a", x, 4, Window::dense(3, Padding::Valid));
        b.push("sum", Op::Add, &[x, y]);
        assert!(b.finish().unwrap_err().to_string().contains("8×8×3, 6×6×4"));

        let (mut b, x) = Builder::new(image(2, 1));
        b.conv("wide", x, 4, Window::dense(3, Padding::Valid));
        assert!(b.finish().is_err());
    }

    #[test]
    fn twins_are_found_whatever_the_order_of_an_addition() {
        let build = |swap: bool, filters: usize| {
            let (mut b, x) = Builder::new(image(8, 3));
            let left = b.conv(if swap { "l" } else { "left" }, x, filters, Window::dense(1, Padding::Valid));
            let right = b.conv("right", x, filters, Window::dense(3, Padding::Same));
            let order = if swap { [right, left] } else { [left, right] };
            b.push("sum", Op::Add, &order);
            b.finish().unwrap()
        };
        let (a, b) = (build(true, 4), build(false, 4));
        let twins = a.matching(&b).unwrap();
        assert_eq!(b.node(twins[&a.find("l").unwrap()]).name, "left");
        assert!(a.matching(&build(false, 5)).is_err());
    }
}

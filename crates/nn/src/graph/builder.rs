//! Growing a graph node by node.

use super::{Activation, Graph, GraphError, Node, NodeId, Op, Shape, Window};
use std::collections::HashSet;

/// Layers of a network; the deepest published ones have some thousand.
const MOST_NODES: usize = 20_000;

/// Grows a [`Graph`] node by node; the first mistake is kept and told by [`Builder::finish`].
pub struct Builder {
    nodes: Vec<Node>,
    names: HashSet<String>,
    error: Option<GraphError>,
}

/// Goes on from a finished graph.
impl From<Graph> for Builder {
    fn from(graph: Graph) -> Self {
        let names = graph.nodes.iter().map(|node| node.name.clone()).collect();
        Self { nodes: graph.nodes, names, error: None }
    }
}

impl Builder {
    /// Starts with the input; its id is returned beside the builder.
    pub fn new(input: Shape) -> (Self, NodeId) {
        let mut builder = Self { nodes: Vec::new(), names: HashSet::new(), error: None };
        let id = builder.push("input", Op::Input { shape: input }, &[]);
        (builder, id)
    }

    /// Appends a node. Inputs must come from this builder.
    pub fn push(&mut self, name: impl Into<String>, op: Op, inputs: &[NodeId]) -> NodeId {
        let name = name.into();
        let shapes: Vec<Shape> = inputs.iter().map(|i| self.nodes[i.0].shape).collect();
        let shape = match op.infer(&shapes) {
            Ok(shape) if shape.is_believable() => shape,
            Ok(shape) => {
                let problem = format!("gives {shape}, more than any network here does");
                self.error.get_or_insert(GraphError::Layer { layer: name.clone(), problem });
                Shape::Vector { len: 1 }
            }
            Err(problem) => {
                self.error.get_or_insert(GraphError::Layer { layer: name.clone(), problem });
                Shape::Vector { len: 1 }
            }
        };
        if !self.names.insert(name.clone()) {
            self.error.get_or_insert(GraphError::DuplicateName(name.clone()));
        }
        if self.nodes.len() >= MOST_NODES {
            let problem = format!("is one more than {MOST_NODES} layers");
            self.error.get_or_insert(GraphError::Layer { layer: name.clone(), problem });
        }
        self.nodes.push(Node { name, op, inputs: inputs.to_vec(), shape });
        NodeId(self.nodes.len() - 1)
    }

    /// Whether a mistake was made; what is added behind it makes no sense.
    pub fn is_broken(&self) -> bool {
        self.error.is_some()
    }

    /// The node that was added last.
    pub fn last(&self) -> NodeId {
        NodeId(self.nodes.len() - 1)
    }

    /// Shape of a node's value.
    pub fn shape(&self, id: NodeId) -> Shape {
        self.nodes[id.0].shape
    }

    pub fn finish(self) -> Result<Graph, GraphError> {
        match self.error {
            Some(error) => Err(error),
            None => Ok(Graph { nodes: self.nodes }),
        }
    }

    pub fn conv(&mut self, name: impl Into<String>, input: NodeId, filters: usize, window: Window) -> NodeId {
        self.push(name, Op::Conv { filters, window, bias: true }, &[input])
    }

    pub fn depthwise(&mut self, name: impl Into<String>, input: NodeId, window: Window) -> NodeId {
        self.push(name, Op::DepthwiseConv { window, bias: true }, &[input])
    }

    pub fn dense(&mut self, name: impl Into<String>, input: NodeId, units: usize) -> NodeId {
        self.push(name, Op::Dense { units, bias: true }, &[input])
    }

    /// With Keras' defaults: epsilon 1e-3, momentum 0.99.
    pub fn batch_norm(&mut self, name: impl Into<String>, input: NodeId) -> NodeId {
        self.push(name, Op::BatchNorm { epsilon: 1e-3, momentum: 0.99, scale: true }, &[input])
    }

    pub fn activation(&mut self, name: impl Into<String>, input: NodeId, function: Activation) -> NodeId {
        self.push(name, Op::Activation { function }, &[input])
    }

    pub fn relu(&mut self, name: impl Into<String>, input: NodeId) -> NodeId {
        self.activation(name, input, Activation::Relu)
    }

    /// 2×2, stride 2, valid.
    pub fn max_pool(&mut self, name: impl Into<String>, input: NodeId) -> NodeId {
        self.push(name, Op::MaxPool { window: Window::tiles(2) }, &[input])
    }
}

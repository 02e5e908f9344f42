//! A network is data: a [`Graph`] of a few operations with inferred shapes and named parameters.
//!
//! The same value is trained and run by [`exec`](super::exec), counted, imported into from Keras, and compared with others.
//! Images are height × width × channels in every shape here (Keras' order), whatever layout an executor prefers.

use serde::{Deserialize, Serialize};
use std::collections::{HashMap, HashSet};
use std::fmt;

/// Shape of one example as it leaves a node; the batch dimension is never part of a graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Shape {
    /// A feature map.
    Image { height: usize, width: usize, channels: usize },
    /// A flat vector of features.
    Vector { len: usize },
}

/// Values of one example that a layer may give: 1 GiB in f32.
const MOST_VALUES: usize = 1 << 28;

/// Layers of a network; the deepest published ones have some thousand.
const MOST_NODES: usize = 20_000;

impl Shape {
    /// Channels of a feature map or length of a vector: the axis that dense layers and batch-norm work on.
    pub fn channels(self) -> usize {
        match self {
            Shape::Image { channels, .. } => channels,
            Shape::Vector { len } => len,
        }
    }

    /// Rows of a feature map or length of a vector.
    pub fn rows(self) -> usize {
        match self {
            Shape::Image { height, .. } => height,
            Shape::Vector { len } => len,
        }
    }

    /// Sides of one example as tensors have them: rows, columns, channels, or the length.
    pub fn dims(self) -> Vec<usize> {
        match self {
            Shape::Image { height, width, channels } => vec![height, width, channels],
            Shape::Vector { len } => vec![len],
        }
    }

    /// Whether every side and their product stay below what an honest network has.
    fn is_believable(self) -> bool {
        let product = self.dims().into_iter().try_fold(1usize, |product, side| product.checked_mul(side));
        product.is_some_and(|values| values <= MOST_VALUES)
    }

    /// Values in one example.
    pub fn values(self) -> usize {
        match self {
            Shape::Image { height, width, channels } => height * width * channels,
            Shape::Vector { len } => len,
        }
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Shape::Image { height, width, channels } => write!(f, "{height}×{width}×{channels}"),
            Shape::Vector { len } => write!(f, "{len}"),
        }
    }
}

/// Padding of a convolution or pooling window, as Keras names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Padding {
    /// Only windows that lie inside the image.
    Valid,
    /// Output side = ⌈side / stride⌉; an odd total goes to the bottom and right (TensorFlow's rule).
    Same,
}

/// A square-free sliding window: rows first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    pub size: [usize; 2],
    pub stride: [usize; 2],
    pub padding: Padding,
}

impl Window {
    /// `size`×`size` at stride 1.
    pub fn dense(size: usize, padding: Padding) -> Self {
        Self { size: [size; 2], stride: [1; 2], padding }
    }

    /// `size`×`size` without overlap, as pooling layers use it.
    pub fn tiles(size: usize) -> Self {
        Self { size: [size; 2], stride: [size; 2], padding: Padding::Valid }
    }

    /// Zeros added (before, after) along `axis` (0 = rows) of an input side; `None` if no window fits.
    pub fn pads(&self, axis: usize, side: usize) -> Option<(usize, usize)> {
        let (size, stride) = (self.size[axis], self.stride[axis]);
        if stride == 0 || size == 0 || side == 0 {
            return None;
        }
        match self.padding {
            Padding::Valid => (side >= size).then_some((0, 0)),
            Padding::Same => {
                let total = ((side.div_ceil(stride) - 1) * stride + size).saturating_sub(side);
                Some((total / 2, total - total / 2))
            }
        }
    }

    /// Rows (axis 0) or columns (axis 1) of an input of `side` that the window at output position `at` covers.
    pub fn span(&self, axis: usize, side: usize, at: usize) -> std::ops::Range<usize> {
        let before = self.pads(axis, side).map_or(0, |(before, _)| before);
        let start = at * self.stride[axis];
        start.saturating_sub(before)..(start + self.size[axis]).saturating_sub(before).min(side)
    }

    /// Output side along `axis`; `None` if no window fits.
    pub fn output_side(&self, axis: usize, side: usize) -> Option<usize> {
        let (before, after) = self.pads(axis, side)?;
        Some((side + before + after - self.size[axis]) / self.stride[axis] + 1)
    }
}

/// Pointwise non-linearities; `Softmax` works along the channel axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    Relu,
    Relu6,
    /// x · sigmoid(x), also called swish.
    Silu,
    /// x · Φ(x) with the normal distribution's own Φ, not the approximation by tanh (Hendrycks & Gimpel 2016).
    Gelu,
    Sigmoid,
    Softmax,
}

/// What a node computes. Weight layouts: convolution [out, in, rows, columns], depthwise [channels, 1, rows, columns], dense
/// [out, in].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Op {
    Input {
        shape: Shape,
    },
    Conv {
        filters: usize,
        window: Window,
        bias: bool,
    },
    /// One filter a channel, which sees only that channel.
    DepthwiseConv {
        window: Window,
        bias: bool,
    },
    Dense {
        units: usize,
        bias: bool,
    },
    /// Over channels; running statistics follow Keras: new = momentum · old + (1 − momentum) · batch.
    BatchNorm {
        epsilon: f64,
        momentum: f64,
        scale: bool,
    },
    /// Of each pixel over its channels, with a scale and a shift by channel (Ba et al. 2016).
    LayerNorm {
        epsilon: f64,
    },
    Activation {
        function: Activation,
    },
    MaxPool {
        window: Window,
    },
    /// The mean over the window's pixels that lie inside the image (Keras' rule at borders).
    AveragePool {
        window: Window,
    },
    GlobalAveragePool,
    /// Nearest neighbour, by a whole factor.
    Upsample {
        factor: usize,
    },
    Add,
    /// A map times another of its size, or times one value a channel (1×1×channels, second).
    Multiply,
    /// Along channels.
    Concat,
    /// A frame of zeros: (above, below) and (left, right).
    ZeroPad {
        rows: [usize; 2],
        columns: [usize; 2],
    },
    /// In (row, column, channel) order, as Keras.
    Flatten,
    /// Zeroes a share of the values in training only.
    Dropout {
        rate: f64,
    },
}

/// Place of a node in its graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NodeId(pub(crate) usize);

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

    pub fn ids(&self) -> impl Iterator<Item = NodeId> + use<> {
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
                (Op::Dense { units, bias }, Some(features)) => {
                    add(Role::Kernel, vec![*units, features]);
                    if *bias {
                        add(Role::Bias, vec![*units]);
                    }
                }
                (Op::LayerNorm { .. }, Some(channels)) => {
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

    /// Pairs every node of `self` with its twin in `other` when both describe the same computation, names aside.
    ///
    /// The inputs of an addition may stand in either order. `Err` names the layer, seen from the output, where they part.
    pub fn matching(&self, other: &Graph) -> Result<HashMap<NodeId, NodeId>, GraphError> {
        let mut matcher = Matcher { left: self, right: other, twins: HashMap::new(), parting: None };
        if matcher.pair(self.output(), other.output()) {
            return Ok(matcher.twins);
        }
        let (a, b) = matcher.parting.unwrap_or((self.output(), other.output()));
        let (found, wanted) = (self.node(a), other.node(b));
        let describe = |node: &Node| format!("{} giving {}", node.op.label(), node.shape);
        Err(GraphError::Layer {
            layer: found.name.clone(),
            problem: format!("{}, where `{}` is {}", describe(found), wanted.name, describe(wanted)),
        })
    }
}

/// Walks two graphs at once from their outputs.
struct Matcher<'a> {
    left: &'a Graph,
    right: &'a Graph,
    twins: HashMap<NodeId, NodeId>,
    /// Where they first differed.
    parting: Option<(NodeId, NodeId)>,
}

impl Matcher<'_> {
    fn pair(&mut self, a: NodeId, b: NodeId) -> bool {
        if let Some(known) = self.twins.get(&a) {
            return *known == b;
        }
        let (left, right) = (self.left.node(a), self.right.node(b));
        if left.op != right.op || left.shape != right.shape || left.inputs.len() != right.inputs.len() {
            self.parting.get_or_insert((a, b));
            return false;
        }
        let before = self.twins.clone();
        let in_order: Vec<_> = left.inputs.iter().copied().zip(right.inputs.iter().copied()).collect();
        if !in_order.into_iter().all(|(x, y)| self.pair(x, y)) {
            if left.op != Op::Add {
                return false;
            }
            self.twins = before;
            let crossed: Vec<_> = left.inputs.iter().rev().copied().zip(right.inputs.iter().copied()).collect();
            if !crossed.into_iter().all(|(x, y)| self.pair(x, y)) {
                return false;
            }
        }
        self.twins.insert(a, b);
        true
    }
}

impl Op {
    /// The operation in a few words, for messages.
    pub fn label(&self) -> String {
        match self {
            Op::Input { .. } => "input".into(),
            Op::Conv { filters, window, .. } => {
                format!("convolution {}×{} with {filters} filters", window.size[0], window.size[1])
            }
            Op::DepthwiseConv { window, .. } => format!("depthwise convolution {}×{}", window.size[0], window.size[1]),
            Op::Dense { units, .. } => format!("dense with {units} units"),
            Op::BatchNorm { .. } => "batch normalisation".into(),
            Op::LayerNorm { .. } => "layer normalisation".into(),
            Op::Activation { function } => format!("{function:?}").to_lowercase(),
            Op::MaxPool { .. } => "max pooling".into(),
            Op::AveragePool { .. } => "average pooling".into(),
            Op::GlobalAveragePool => "global average pooling".into(),
            Op::Upsample { factor } => format!("upsampling ×{factor}"),
            Op::Add => "addition".into(),
            Op::Multiply => "multiplication".into(),
            Op::Concat => "concatenation".into(),
            Op::ZeroPad { .. } => "zero padding".into(),
            Op::Flatten => "flatten".into(),
            Op::Dropout { .. } => "dropout".into(),
        }
    }

    /// Shape after this operation, or what is wrong.
    fn infer(&self, inputs: &[Shape]) -> Result<Shape, String> {
        let one = || match inputs {
            [shape] => Ok(*shape),
            _ => Err(format!("takes one input, has {}", inputs.len())),
        };
        let image = || match one()? {
            Shape::Image { height, width, channels } => Ok((height, width, channels)),
            shape => Err(format!("needs an image, gets a vector of {shape}")),
        };
        let windowed = |window: &Window, channels: Option<usize>| {
            let (height, width, input_channels) = image()?;
            match (window.output_side(0, height), window.output_side(1, width)) {
                (Some(height), Some(width)) => {
                    Ok(Shape::Image { height, width, channels: channels.unwrap_or(input_channels) })
                }
                _ => Err(format!("a {}×{} window does not fit {height}×{width}", window.size[0], window.size[1])),
            }
        };
        match self {
            Op::Input { shape } if inputs.is_empty() && shape.values() > 0 => Ok(*shape),
            Op::Input { .. } => Err("an input has no inputs and at least one value".into()),
            Op::Conv { filters: 0, .. } | Op::Dense { units: 0, .. } | Op::Upsample { factor: 0 } => {
                Err("has no outputs".into())
            }
            Op::Conv { filters, window, .. } => windowed(window, Some(*filters)),
            Op::DepthwiseConv { window, .. } | Op::MaxPool { window } | Op::AveragePool { window } => {
                windowed(window, None)
            }
            Op::Dense { units, .. } => match one()? {
                Shape::Vector { .. } => Ok(Shape::Vector { len: *units }),
                shape => Err(format!("needs a vector, gets {shape}; flatten first")),
            },
            Op::BatchNorm { .. } | Op::LayerNorm { .. } | Op::Activation { .. } | Op::Dropout { .. } => one(),
            Op::GlobalAveragePool => image().map(|(_, _, channels)| Shape::Vector { len: channels }),
            Op::Upsample { factor } => {
                image().map(|(h, w, channels)| Shape::Image { height: h * factor, width: w * factor, channels })
            }
            Op::ZeroPad { rows, columns } => image().map(|(height, width, channels)| Shape::Image {
                height: height + rows[0] + rows[1],
                width: width + columns[0] + columns[1],
                channels,
            }),
            Op::Flatten => one().map(|shape| Shape::Vector { len: shape.values() }),
            Op::Add => match inputs {
                [a, b] if a == b => Ok(*a),
                _ => Err(format!("needs two inputs of one shape, gets {}", list(inputs))),
            },
            Op::Multiply => match inputs {
                [map @ Shape::Image { channels, .. }, by]
                    if by == map || *by == (Shape::Image { height: 1, width: 1, channels: *channels }) =>
                {
                    Ok(*map)
                }
                _ => Err(format!("needs a map and another like it or 1×1, gets {}", list(inputs))),
            },
            Op::Concat => {
                let mut total = 0;
                for shape in inputs {
                    match (shape, inputs[0]) {
                        (Shape::Image { height, width, channels }, Shape::Image { height: h, width: w, .. })
                            if *height == h && *width == w =>
                        {
                            total += channels;
                        }
                        _ => return Err(format!("needs images of one size, gets {}", list(inputs))),
                    }
                }
                match inputs.first() {
                    Some(Shape::Image { height, width, .. }) => {
                        Ok(Shape::Image { height: *height, width: *width, channels: total })
                    }
                    _ => Err("needs at least one input".into()),
                }
            }
        }
    }
}

fn list(shapes: &[Shape]) -> String {
    shapes.iter().map(Shape::to_string).collect::<Vec<_>>().join(", ")
}

/// Grows a [`Graph`] node by node; the first mistake is kept and told by [`Builder::finish`].
pub struct Builder {
    nodes: Vec<Node>,
    names: HashSet<String>,
    error: Option<GraphError>,
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

#[cfg(test)]
mod tests {
    use super::*;

    fn image(side: usize, channels: usize) -> Shape {
        Shape::Image { height: side, width: side, channels }
    }

    #[test]
    fn same_padding_follows_tensorflow() {
        // TensorFlow: 7 pixels, window 3, stride 2 -> 4 outputs, total padding 2; 8 pixels -> 4 outputs, 1 below/right.
        let window = Window { size: [3, 3], stride: [2, 2], padding: Padding::Same };
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

//! A graph as an ONNX model (opset 17), for ONNX Runtime, OpenVINO, Triton or KServe.
//!
//! The model takes `input` as batch × rows × columns × channels, as the graph does, and answers with `output` in the same order;
//! inside, maps have their channels first.

use super::super::exec::Parameters;
use super::super::graph::{Activation, Graph, Grid, NodeId, Op, Padding, Resampling, Role, SELU, Shape, Window};
use super::ExportError;
use candle_core::Tensor;
use std::collections::BTreeMap;

/// The version of the standard's operators that is written.
const OPSET: u64 = 17;

/// The bytes of an ONNX file; `notes` are kept as its metadata.
///
/// # Errors
/// If a tensor is missing.
pub fn write(graph: &Graph, parameters: &Parameters, notes: &BTreeMap<String, String>) -> Result<Vec<u8>, ExportError> {
    let mut writer = Writer { graph, parameters, nodes: Vec::new(), constants: Vec::new(), count: 0 };
    for id in graph.ids() {
        writer.node(id)?;
    }
    let last = writer.value(graph.output());
    if matches!(graph.output_shape(), Shape::Image { .. }) {
        writer.call("Transpose", &[&last], "output", &[("perm", Attribute::Integers(vec![0, 2, 3, 1]))]);
    } else {
        writer.call("Identity", &[&last], "output", &[]);
    }
    let mut message = Message::default();
    message.integer(1, 8);
    message.text(2, "LesionLens");
    let mut body = Message::default();
    for node in &writer.nodes {
        body.bytes(1, node);
    }
    body.text(2, "network");
    for constant in &writer.constants {
        body.bytes(5, constant);
    }
    body.bytes(11, &told("input", graph.input_shape()));
    body.bytes(12, &told("output", graph.output_shape()));
    message.bytes(7, &body.0);
    let mut opset = Message::default();
    opset.text(1, "");
    opset.integer(2, OPSET);
    message.bytes(8, &opset.0);
    for (key, value) in notes {
        let mut note = Message::default();
        note.text(1, key);
        note.text(2, value);
        message.bytes(14, &note.0);
    }
    Ok(message.0)
}

/// A protobuf message that grows.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn varint(&mut self, mut value: u64) {
        while value > 0x7f {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    fn integer(&mut self, field: u64, value: u64) {
        self.varint(field << 3);
        self.varint(value);
    }

    fn bytes(&mut self, field: u64, bytes: &[u8]) {
        self.varint(field << 3 | 2);
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    fn text(&mut self, field: u64, text: &str) {
        self.bytes(field, text.as_bytes());
    }
}

/// Name and shape of an input or output, with any batch.
fn told(name: &str, shape: Shape) -> Vec<u8> {
    let mut sides = Message::default();
    let mut batch = Message::default();
    batch.text(2, "batch");
    sides.bytes(1, &batch.0);
    for side in shape.dims() {
        let mut dimension = Message::default();
        dimension.integer(1, side as u64);
        sides.bytes(1, &dimension.0);
    }
    let mut tensor = Message::default();
    tensor.integer(1, 1);
    tensor.bytes(2, &sides.0);
    let mut kind = Message::default();
    kind.bytes(1, &tensor.0);
    let mut value = Message::default();
    value.text(1, name);
    value.bytes(2, &kind.0);
    value.0
}

enum Attribute {
    Integer(i64),
    Float(f32),
    Text(&'static str),
    Integers(Vec<i64>),
}

impl Attribute {
    fn message(&self, name: &str) -> Vec<u8> {
        let mut message = Message::default();
        message.text(1, name);
        let kind = match self {
            Attribute::Float(value) => {
                message.varint(2 << 3 | 5);
                message.0.extend_from_slice(&value.to_le_bytes());
                1
            }
            Attribute::Integer(value) => {
                message.integer(3, *value as u64);
                2
            }
            Attribute::Text(value) => {
                message.text(4, value);
                3
            }
            Attribute::Integers(values) => {
                for value in values {
                    message.integer(8, *value as u64);
                }
                7
            }
        };
        message.integer(20, kind);
        message.0
    }
}

struct Writer<'a> {
    graph: &'a Graph,
    parameters: &'a Parameters,
    nodes: Vec<Vec<u8>>,
    constants: Vec<Vec<u8>>,
    /// Values and constants with made-up names so far.
    count: usize,
}

fn integers<const N: usize>(values: [usize; N]) -> Attribute {
    Attribute::Integers(values.iter().map(|v| *v as i64).collect())
}

impl Writer<'_> {
    fn value(&self, id: NodeId) -> String {
        format!("{}:{}", id.index(), self.graph.node(id).name)
    }

    fn fresh(&mut self, what: &str) -> String {
        self.count += 1;
        format!("{what}#{}", self.count)
    }

    fn call(&mut self, operator: &str, inputs: &[&str], output: &str, attributes: &[(&str, Attribute)]) {
        let mut node = Message::default();
        inputs.iter().for_each(|input| node.text(1, input));
        node.text(2, output);
        node.text(3, output);
        node.text(4, operator);
        attributes.iter().for_each(|(name, attribute)| node.bytes(5, &attribute.message(name)));
        self.nodes.push(node.0);
    }

    /// An operator whose value gets a made-up name.
    fn through(&mut self, operator: &str, inputs: &[&str], attributes: &[(&str, Attribute)]) -> String {
        let name = self.fresh(operator);
        self.call(operator, inputs, &name, attributes);
        name
    }

    fn constant(&mut self, name: &str, kind: u64, sides: &[usize], raw: &[u8]) {
        let mut tensor = Message::default();
        sides.iter().for_each(|side| tensor.integer(1, *side as u64));
        tensor.integer(2, kind);
        tensor.text(8, name);
        tensor.bytes(9, raw);
        self.constants.push(tensor.0);
    }

    fn floats(&mut self, values: &[f32], sides: &[usize]) -> String {
        let name = self.fresh("floats");
        let raw: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.constant(&name, 1, sides, &raw);
        name
    }

    fn list(&mut self, values: &[i64]) -> String {
        let name = self.fresh("integers");
        let raw: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.constant(&name, 7, &[values.len()], &raw);
        name
    }

    fn tensor(&self, id: NodeId, role: Role) -> Result<Tensor, ExportError> {
        let name = format!("{}.{}", self.graph.node(id).name, role.suffix());
        self.parameters.get(&name).cloned().ok_or(ExportError::Missing(name))
    }

    /// A parameter as a constant with these sides.
    fn parameter(&mut self, id: NodeId, role: Role, sides: Option<&[usize]>) -> Result<String, ExportError> {
        let tensor = self.tensor(id, role)?;
        let values: Vec<f32> = tensor.flatten_all()?.to_dtype(candle_core::DType::F32)?.to_vec1()?;
        let dims = tensor.dims().to_vec();
        Ok(self.floats(&values, sides.unwrap_or(&dims)))
    }

    /// Sides of one value a channel beside a value of this shape.
    fn by_channel(shape: Shape) -> Vec<usize> {
        match shape {
            Shape::Image { channels, .. } => vec![1, channels, 1, 1],
            Shape::Vector { len } => vec![1, len],
        }
    }

    fn window(window: &Window, from: Shape) -> Vec<(&'static str, Attribute)> {
        let Shape::Image { height, width, .. } = from else { return Vec::new() };
        let mut all = vec![("kernel_shape", integers(window.size)), ("strides", integers(window.stride))];
        if window.dilation != [1, 1] {
            all.push(("dilations", integers(window.dilation)));
        }
        if window.padding != Padding::Valid {
            let [rows, columns] =
                [(0, height), (1, width)].map(|(axis, side)| window.pads(axis, side).unwrap_or((0, 0)));
            all.push(("pads", integers([rows.0, columns.0, rows.1, columns.1])));
        }
        all
    }

    fn scaled(&mut self, x: &str, name: &str, scale: &str, shift: &str) {
        let product = self.through("Mul", &[x, scale], &[]);
        self.call("Add", &[&product, shift], name, &[]);
    }

    fn node(&mut self, id: NodeId) -> Result<(), ExportError> {
        let node = self.graph.node(id);
        let name = self.value(id);
        let inputs: Vec<String> = node.inputs.iter().map(|input| self.value(*input)).collect();
        let all: Vec<&str> = inputs.iter().map(String::as_str).collect();
        let from = node.inputs.first().map_or(node.shape, |input| self.graph.node(*input).shape);
        let x = all.first().copied().unwrap_or_default();
        match &node.op {
            Op::Input { shape: Shape::Image { .. } } => {
                self.call("Transpose", &["input"], &name, &[("perm", Attribute::Integers(vec![0, 3, 1, 2]))]);
            }
            Op::Input { shape: Shape::Vector { .. } } => self.call("Identity", &["input"], &name, &[]),
            Op::Conv { window, bias, .. } | Op::DepthwiseConv { window, bias } => {
                let mut attributes = Self::window(window, from);
                if let Op::DepthwiseConv { .. } = node.op {
                    attributes.push(("group", Attribute::Integer(from.channels() as i64)));
                }
                let kernel = self.parameter(id, Role::Kernel, None)?;
                let bias = if *bias { Some(self.parameter(id, Role::Bias, None)?) } else { None };
                let reads: Vec<&str> = [x, &kernel].into_iter().chain(bias.as_deref()).collect();
                self.call("Conv", &reads, &name, &attributes);
            }
            Op::ConvTranspose { size, stride, crop, bias, .. } => {
                let kernel = self.tensor(id, Role::Kernel)?.transpose(0, 1)?.contiguous()?;
                let dims = kernel.dims().to_vec();
                let kernel = self.floats(&kernel.flatten_all()?.to_vec1()?, &dims);
                let bias = if *bias { Some(self.parameter(id, Role::Bias, None)?) } else { None };
                let reads: Vec<&str> = [x, &kernel].into_iter().chain(bias.as_deref()).collect();
                let pads: Vec<i64> =
                    [crop[0][0], crop[1][0], crop[0][1], crop[1][1]].iter().map(|n| (*n).max(0) as i64).collect();
                let extra: Vec<i64> = crop.iter().map(|[_, after]| (-after).max(0) as i64).collect();
                let attributes = [
                    ("kernel_shape", integers(*size)),
                    ("strides", integers([*stride; 2])),
                    ("pads", Attribute::Integers(pads)),
                    ("output_padding", Attribute::Integers(extra)),
                ];
                self.call("ConvTranspose", &reads, &name, &attributes);
            }
            Op::Dense { bias, .. } => {
                let kernel = self.parameter(id, Role::Kernel, None)?;
                let bias = if *bias { Some(self.parameter(id, Role::Bias, None)?) } else { None };
                let reads: Vec<&str> = [x, &kernel].into_iter().chain(bias.as_deref()).collect();
                self.call("Gemm", &reads, &name, &[("transB", Attribute::Integer(1))]);
            }
            Op::BatchNorm { epsilon, scale, .. } => {
                let channels = node.shape.channels();
                let gamma = if *scale {
                    self.parameter(id, Role::Scale, None)?
                } else {
                    self.floats(&vec![1.0; channels], &[channels])
                };
                let beta = self.parameter(id, Role::Bias, None)?;
                let mean = self.parameter(id, Role::RunningMean, None)?;
                let variance = self.parameter(id, Role::RunningVariance, None)?;
                let attributes = [("epsilon", Attribute::Float(*epsilon as f32))];
                self.call("BatchNormalization", &[x, &gamma, &beta, &mean, &variance], &name, &attributes);
            }
            Op::Affine => {
                let sides = Self::by_channel(node.shape);
                let scale = self.parameter(id, Role::Scale, Some(&sides))?;
                let shift = self.parameter(id, Role::Bias, Some(&sides))?;
                self.scaled(x, &name, &scale, &shift);
            }
            Op::LayerNorm { epsilon } => {
                let (scale, shift) = (self.parameter(id, Role::Scale, None)?, self.parameter(id, Role::Bias, None)?);
                let attributes = [("axis", Attribute::Integer(-1)), ("epsilon", Attribute::Float(*epsilon as f32))];
                if let Shape::Vector { .. } = node.shape {
                    self.call("LayerNormalization", &[x, &scale, &shift], &name, &attributes);
                } else {
                    let last = self.through("Transpose", &[x], &[("perm", Attribute::Integers(vec![0, 2, 3, 1]))]);
                    let normal = self.through("LayerNormalization", &[&last, &scale, &shift], &attributes);
                    self.call("Transpose", &[&normal], &name, &[("perm", Attribute::Integers(vec![0, 3, 1, 2]))]);
                }
            }
            Op::GroupNorm { groups, epsilon } => {
                let Shape::Image { height, width, channels } = node.shape else { return Ok(()) };
                let (grouped, back) =
                    (self.list(&[0, *groups as i64, -1]), [0, channels, height, width].map(|n| n as i64));
                let back = self.list(&back);
                let rows = self.through("Reshape", &[x, &grouped], &[]);
                let (ones, zeros) =
                    (self.floats(&vec![1.0; *groups], &[*groups]), self.floats(&vec![0.0; *groups], &[*groups]));
                let attributes = [("epsilon", Attribute::Float(*epsilon as f32))];
                let normal = self.through("InstanceNormalization", &[&rows, &ones, &zeros], &attributes);
                let map = self.through("Reshape", &[&normal, &back], &[]);
                let sides = Self::by_channel(node.shape);
                let scale = self.parameter(id, Role::Scale, Some(&sides))?;
                let shift = self.parameter(id, Role::Bias, Some(&sides))?;
                self.scaled(&map, &name, &scale, &shift);
            }
            Op::PRelu { by_channel } => {
                let slopes = if *by_channel {
                    let sides: Vec<usize> = Self::by_channel(node.shape).split_off(1);
                    self.parameter(id, Role::Scale, Some(&sides))?
                } else {
                    let slopes = self.tensor(id, Role::Scale)?;
                    let slopes = if slopes.rank() == 3 { slopes.permute((2, 0, 1))?.contiguous()? } else { slopes };
                    let dims = slopes.dims().to_vec();
                    self.floats(&slopes.flatten_all()?.to_vec1()?, &dims)
                };
                self.call("PRelu", &[x, &slopes], &name, &[]);
            }
            Op::Activation { function } => self.activation(*function, x, &name),
            Op::MaxPool { window } => self.call("MaxPool", &[x], &name, &Self::window(window, from)),
            Op::AveragePool { window } => self.call("AveragePool", &[x], &name, &Self::window(window, from)),
            Op::GlobalAveragePool => {
                let pixel = self.through("GlobalAveragePool", &[x], &[]);
                self.call("Flatten", &[&pixel], &name, &[]);
            }
            Op::Upsample { factor } => {
                let scales = self.floats(&[1.0, 1.0, *factor as f32, *factor as f32], &[4]);
                self.resized(&[x, "", &scales], &name, "nearest", "asymmetric", "floor");
            }
            Op::Resize { to, resampling, grid } => {
                let sizes = [from.channels(), to[0], to[1]].map(|n| n as i64);
                // The batch is copied from the value itself.
                let shape =
                    self.through("Shape", &[x], &[("start", Attribute::Integer(0)), ("end", Attribute::Integer(1))]);
                let rest = self.list(&sizes);
                let sizes = self.through("Concat", &[&shape, &rest], &[("axis", Attribute::Integer(0))]);
                let coordinates = match grid {
                    Grid::HalfPixel => "half_pixel",
                    Grid::Corners => "align_corners",
                    Grid::Asymmetric => "asymmetric",
                };
                let (mode, rounding) = match resampling {
                    Resampling::Floor => ("nearest", "floor"),
                    Resampling::Nearest => ("nearest", "round_prefer_floor"),
                    Resampling::Bilinear => ("linear", "round_prefer_floor"),
                };
                self.resized(&[x, "", "", &sizes], &name, mode, coordinates, rounding);
            }
            Op::Add => self.call("Add", &all, &name, &[]),
            Op::Multiply => self.call("Mul", &all, &name, &[]),
            Op::Maximum => self.call("Max", &all, &name, &[]),
            Op::Concat => self.call("Concat", &all, &name, &[("axis", Attribute::Integer(1))]),
            Op::ZeroPad { rows, columns } => {
                let pads = [0, 0, rows[0], columns[0], 0, 0, rows[1], columns[1]].map(|n| n as i64);
                let pads = self.list(&pads);
                self.call("Pad", &[x, &pads], &name, &[]);
            }
            Op::Crop { rows, columns } => {
                let Shape::Image { height, width, .. } = from else { return Ok(()) };
                let ends = [height - rows[1], width - columns[1]];
                self.sliced(x, &name, [rows[0], columns[0]], ends, [2, 3]);
            }
            Op::Channels { first, count } => self.sliced(x, &name, [*first], [first + count], [1]),
            Op::ShuffleChannels { groups } => {
                let (each, shape) = (node.shape.channels() / groups, node.shape);
                let (table, back, order): (Vec<i64>, Vec<i64>, Vec<i64>) = match shape {
                    Shape::Image { height, width, channels } => (
                        vec![0, *groups as i64, each as i64, height as i64, width as i64],
                        vec![0, channels as i64, height as i64, width as i64],
                        vec![0, 2, 1, 3, 4],
                    ),
                    Shape::Vector { len } => (vec![0, *groups as i64, each as i64], vec![0, len as i64], vec![0, 2, 1]),
                };
                let (table, back) = (self.list(&table), self.list(&back));
                let cut = self.through("Reshape", &[x, &table], &[]);
                let turned = self.through("Transpose", &[&cut], &[("perm", Attribute::Integers(order))]);
                self.call("Reshape", &[&turned, &back], &name, &[]);
            }
            Op::DepthToSpace { block } => {
                let attributes = [("blocksize", Attribute::Integer(*block as i64)), ("mode", Attribute::Text("DCR"))];
                self.call("DepthToSpace", &[x], &name, &attributes);
            }
            Op::Permute { axes } => {
                // From channels first to last, in the new order, and back.
                let place = [2, 3, 1];
                let last = axes.map(|axis| place[axis]);
                let order = vec![0, last[2], last[0], last[1]];
                self.call("Transpose", &[x], &name, &[("perm", Attribute::Integers(order))]);
            }
            Op::Reshape { .. } | Op::Flatten => {
                let last = match from {
                    Shape::Image { .. } => {
                        self.through("Transpose", &[x], &[("perm", Attribute::Integers(vec![0, 2, 3, 1]))])
                    }
                    Shape::Vector { .. } => x.to_string(),
                };
                let sides: Vec<i64> =
                    std::iter::once(0).chain(node.shape.dims().into_iter().map(|side| side as i64)).collect();
                let sides = self.list(&sides);
                if let Shape::Image { .. } = node.shape {
                    let map = self.through("Reshape", &[&last, &sides], &[]);
                    self.call("Transpose", &[&map], &name, &[("perm", Attribute::Integers(vec![0, 3, 1, 2]))]);
                } else {
                    self.call("Reshape", &[&last, &sides], &name, &[]);
                }
            }
            Op::Dropout { .. } => self.call("Identity", &[x], &name, &[]),
        }
        Ok(())
    }

    fn resized(
        &mut self,
        inputs: &[&str],
        name: &str,
        mode: &'static str,
        coordinates: &'static str,
        rounding: &'static str,
    ) {
        let attributes = [
            ("mode", Attribute::Text(mode)),
            ("coordinate_transformation_mode", Attribute::Text(coordinates)),
            ("nearest_mode", Attribute::Text(rounding)),
        ];
        self.call("Resize", inputs, name, &attributes);
    }

    fn sliced<const N: usize>(&mut self, x: &str, name: &str, starts: [usize; N], ends: [usize; N], axes: [usize; N]) {
        let [starts, ends, axes] = [starts, ends, axes].map(|values| self.list(&values.map(|n| n as i64)));
        self.call("Slice", &[x, &starts, &ends, &axes], name, &[]);
    }

    fn activation(&mut self, function: Activation, x: &str, name: &str) {
        let float = |name: &'static str, value: f64| (name, Attribute::Float(value as f32));
        match function {
            Activation::Relu => self.call("Relu", &[x], name, &[]),
            Activation::Relu6 => self.clipped(x, name, 0.0, 6.0),
            Activation::Clip { low, high } => self.clipped(x, name, low as f32, high as f32),
            Activation::Sigmoid => self.call("Sigmoid", &[x], name, &[]),
            Activation::Softmax => self.call("Softmax", &[x], name, &[("axis", Attribute::Integer(1))]),
            Activation::Tanh => self.call("Tanh", &[x], name, &[]),
            Activation::LeakyRelu { slope } => self.call("LeakyRelu", &[x], name, &[float("alpha", slope)]),
            Activation::Elu { alpha } => self.call("Elu", &[x], name, &[float("alpha", alpha)]),
            Activation::Selu => {
                self.call("Selu", &[x], name, &[float("gamma", SELU.0), float("alpha", SELU.1)]);
            }
            Activation::HardSigmoid { slope, shift } => {
                self.call("HardSigmoid", &[x], name, &[float("alpha", slope), float("beta", shift)]);
            }
            Activation::HardSwish => self.call("HardSwish", &[x], name, &[]),
            Activation::Softplus => self.call("Softplus", &[x], name, &[]),
            Activation::Softsign => self.call("Softsign", &[x], name, &[]),
            Activation::Exp => self.call("Exp", &[x], name, &[]),
            Activation::Erf => self.call("Erf", &[x], name, &[]),
            Activation::Silu => {
                let gate = self.through("Sigmoid", &[x], &[]);
                self.call("Mul", &[x, &gate], name, &[]);
            }
            Activation::Mish => {
                let soft = self.through("Softplus", &[x], &[]);
                let gate = self.through("Tanh", &[&soft], &[]);
                self.call("Mul", &[x, &gate], name, &[]);
            }
            Activation::Gelu => {
                let root = self.floats(&[std::f32::consts::SQRT_2], &[]);
                let divided = self.through("Div", &[x, &root], &[]);
                let erf = self.through("Erf", &[&divided], &[]);
                self.half_gated(x, &erf, name);
            }
            Activation::GeluTanh => {
                let three = self.floats(&[3.0], &[]);
                let cube = self.through("Pow", &[x, &three], &[]);
                let share = self.floats(&[0.044_715], &[]);
                let small = self.through("Mul", &[&cube, &share], &[]);
                let sum = self.through("Add", &[x, &small], &[]);
                let factor = self.floats(&[(2.0 / std::f32::consts::PI).sqrt()], &[]);
                let scaled = self.through("Mul", &[&sum, &factor], &[]);
                let tanh = self.through("Tanh", &[&scaled], &[]);
                self.half_gated(x, &tanh, name);
            }
        }
    }

    /// x / 2 · (1 + gate).
    fn half_gated(&mut self, x: &str, gate: &str, name: &str) {
        let (one, half) = (self.floats(&[1.0], &[]), self.floats(&[0.5], &[]));
        let sum = self.through("Add", &[gate, &one], &[]);
        let product = self.through("Mul", &[x, &sum], &[]);
        self.call("Mul", &[&product, &half], name, &[]);
    }

    fn clipped(&mut self, x: &str, name: &str, low: f32, high: f32) {
        let (low, high) = (self.floats(&[low], &[]), self.floats(&[high], &[]));
        self.call("Clip", &[x, &low, &high], name, &[]);
    }
}

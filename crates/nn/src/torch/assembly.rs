//! A graph grown along the names of a state dict, which tell every size but strides and padding.

use super::TorchError;
use super::dict::Dict;
use crate::exec::Parameters;
use crate::graph::{Activation, Builder, Graph, Grid, NodeId, Op, Padding, Resampling, Shape, Window};
use crate::weights;
use candle_core::Tensor;
use std::collections::BTreeSet;

/// Where a convolution's zeros go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Zeros {
    /// As many on every side as keep the size at stride 1 (PyTorch's usual `padding = size // 2`).
    Around,
    /// TensorFlow's rule, which puts an odd one to the bottom and right.
    TensorFlow,
    None,
    /// So many (above and left, below and right).
    Given([usize; 2]),
}

/// A network with weights.
pub struct Built {
    pub name: &'static str,
    pub graph: Graph,
    pub weights: Parameters,
}

/// Grows the graph; what does not fit is collected and told at the end.
pub struct Assembly<'a> {
    name: &'static str,
    dict: &'a Dict,
    pub builder: Builder,
    zeros: Zeros,
    /// Of the batch-norms.
    epsilon: f64,
    weights: Parameters,
    used: BTreeSet<String>,
    problems: Vec<String>,
}

impl<'a> Assembly<'a> {
    /// With PyTorch's padding and its batch-norms' ε of 1e-5.
    pub fn new(name: &'static str, dict: &'a Dict, input: Shape) -> (Self, NodeId) {
        let (builder, x) = Builder::new(input);
        let (weights, used, problems) = (Parameters::new(), BTreeSet::new(), Vec::new());
        (Self { name, dict, builder, zeros: Zeros::Around, epsilon: 1e-5, weights, used, problems }, x)
    }

    pub fn with(self, zeros: Zeros, epsilon: f64) -> Self {
        Self { zeros, epsilon, ..self }
    }

    /// ε of the batch-norms from here on.
    pub fn set_epsilon(&mut self, epsilon: f64) {
        self.epsilon = epsilon;
    }

    /// Takes a tensor of the dict for the graph's tensor of that name.
    fn take(&mut self, name: &str, rank: usize) -> Option<Tensor> {
        let found = self.dict.get(name).filter(|t| t.rank() == rank);
        if found.is_none() {
            self.problems.push(match self.dict.get(name) {
                Some(tensor) => format!("`{name}` is {:?}, needs {rank} sides", tensor.dims()),
                None => format!("`{name}` is missing"),
            });
        }
        self.used.insert(name.to_string());
        found.cloned()
    }

    /// A convolution, one filter a channel when its kernel says so, with a bias when there is one.
    pub fn conv(&mut self, name: &str, input: NodeId, stride: usize) -> NodeId {
        let Some(kernel) = self.take(&format!("{name}.weight"), 4) else { return input };
        let (dims, channels) = (kernel.dims().to_vec(), self.builder.shape(input).channels());
        let depthwise = dims[1] == 1 && dims[0] == channels && channels > 1;
        if !depthwise && dims[1] != channels {
            // The rest is still looked at as if it fitted.
            self.problems.push(format!("`{name}.weight` is {dims:?} for {channels} channels"));
        }
        self.weights.insert(format!("{name}.weight"), kernel);
        let bias = self.bias(name);
        let size = [dims[2], dims[3]];
        let around = if self.zeros == Zeros::None { [0, 0] } else { size.map(|side| side / 2) };
        let same = stride == 1 && size.iter().all(|side| side % 2 == 1) || self.zeros == Zeros::TensorFlow;
        let padding = match self.zeros {
            Zeros::Given(zeros) => Padding::Explicit([zeros; 2]),
            _ if same && around != [0, 0] => Padding::Same,
            _ => Padding::Valid,
        };
        let input = if padding == Padding::Valid { self.frame(name, input, around) } else { input };
        let window = Window::new(size, [stride; 2], padding);
        let op =
            if depthwise { Op::DepthwiseConv { window, bias } } else { Op::Conv { filters: dims[0], window, bias } };
        self.builder.push(name, op, &[input])
    }

    /// A convolution of patches side by side: as long a stride as its kernel, no zeros.
    pub fn patches(&mut self, name: &str, input: NodeId) -> NodeId {
        let side = self.dict.dims(&format!("{name}.weight")).last().copied().unwrap_or(1);
        self.conv_with(Zeros::None, name, input, side)
    }

    /// As [`Self::conv`] with zeros of its own.
    pub fn conv_with(&mut self, zeros: Zeros, name: &str, input: NodeId, stride: usize) -> NodeId {
        let usual = std::mem::replace(&mut self.zeros, zeros);
        let x = self.conv(name, input, stride);
        self.zeros = usual;
        x
    }

    /// A dense layer at every pixel, kept as a matrix or as a 1×1 convolution; its outputs are scaled by a vector where one is named.
    pub fn pointwise(&mut self, name: &str, input: NodeId, scale: Option<&str>) -> NodeId {
        let (weight, bias) = (format!("{name}.weight"), format!("{name}.bias"));
        let rank = if self.dict.dims(&weight).len() == 2 { 2 } else { 4 };
        let (Some(kernel), Some(shift)) = (self.take(&weight, rank), self.take(&bias, 1)) else { return input };
        let gamma = scale.and_then(|scale| self.take(scale, 1));
        let (filters, channels) = (kernel.dims()[0], self.builder.shape(input).channels());
        let scaled = || {
            let kernel = kernel.reshape((filters, channels, 1, 1))?;
            match &gamma {
                Some(gamma) => Ok((kernel.broadcast_mul(&gamma.reshape(((), 1, 1, 1))?)?, (&shift * gamma)?)),
                None => Ok((kernel, shift.clone())),
            }
        };
        match scaled() {
            Ok((kernel, shift)) => self.weights.extend([(weight, kernel), (bias, shift)]),
            Err::<_, candle_core::Error>(_) => {
                self.problems.push(format!("`{weight}` is {:?} for {channels} channels", kernel.dims()));
            }
        }
        self.builder.conv(name, input, filters, Window::dense(1, Padding::Valid))
    }

    /// A transposed convolution whose output loses so many pixels (before, after) on each axis.
    pub fn transposed(&mut self, name: &str, input: NodeId, stride: usize, crop: [isize; 2]) -> NodeId {
        let weight = format!("{name}.weight");
        let Some(kernel) = self.take(&weight, 4) else { return input };
        let (dims, channels) = (kernel.dims().to_vec(), self.builder.shape(input).channels());
        // PyTorch keeps these as [in, out, rows, columns].
        match kernel.transpose(0, 1).and_then(|kernel| kernel.contiguous()) {
            Ok(kernel) if dims[0] == channels => _ = self.weights.insert(weight, kernel),
            _ => self.problems.push(format!("`{weight}` is {dims:?} for {channels} channels")),
        }
        let bias = self.bias(name);
        let op = Op::ConvTranspose { filters: dims[1], size: [dims[2], dims[3]], stride, crop: [crop; 2], bias };
        self.builder.push(name, op, &[input])
    }

    /// Twice the size, between pixels, corners on corners.
    pub fn smooth_double(&mut self, name: &str, input: NodeId) -> NodeId {
        let Shape::Image { height, width, .. } = self.builder.shape(input) else { return input };
        let op = Op::Resize { to: [2 * height, 2 * width], resampling: Resampling::Bilinear, grid: Grid::Corners };
        self.builder.push(format!("{name}.larger"), op, &[input])
    }

    /// A batch-norm when the dict has its statistics, else instance normalisation, with a scale and shift where there are.
    pub fn norm(&mut self, name: &str, input: NodeId) -> NodeId {
        if self.dict.has(&format!("{name}.running_mean")) {
            return self.batch_norm(name, input);
        }
        let channels = self.builder.shape(input).channels();
        if self.dict.has(&format!("{name}.weight")) {
            self.vectors(name, &["weight", "bias"]);
        } else {
            for (part, value) in [("weight", 1.0f32), ("bias", 0.0)] {
                if let Ok(tensor) = Tensor::full(value, channels, &candle_core::Device::Cpu) {
                    self.weights.insert(format!("{name}.{part}"), tensor);
                }
            }
        }
        self.builder.push(name, Op::GroupNorm { groups: channels, epsilon: 1e-5 }, &[input])
    }

    /// A parametric ReLU of one slope, or of one a channel.
    pub fn slopes(&mut self, name: &str, input: NodeId) -> NodeId {
        let weight = format!("{name}.weight");
        let channels = self.builder.shape(input).channels();
        if let Some(slopes) = self.take(&weight, 1) {
            match slopes.broadcast_as(channels).and_then(|slopes| slopes.contiguous()) {
                Ok(slopes) => _ = self.weights.insert(weight, slopes),
                Err(_) => self.problems.push(format!("`{weight}` is {:?} for {channels} channels", slopes.dims())),
            }
        }
        self.builder.push(name, Op::PRelu { by_channel: true }, &[input])
    }

    /// Zeros on every side.
    fn frame(&mut self, name: &str, input: NodeId, by: [usize; 2]) -> NodeId {
        if by == [0, 0] {
            return input;
        }
        let op = Op::ZeroPad { rows: [by[0]; 2], columns: [by[1]; 2] };
        self.builder.push(format!("{name}.zeros"), op, &[input])
    }

    fn bias(&mut self, name: &str) -> bool {
        let name = format!("{name}.bias");
        let has = self.dict.has(&name);
        if has && let Some(bias) = self.take(&name, 1) {
            self.weights.insert(name, bias);
        }
        has
    }

    /// Takes these vectors of a layer.
    fn vectors(&mut self, name: &str, parts: &[&str]) {
        for part in parts {
            let name = format!("{name}.{part}");
            if let Some(tensor) = self.take(&name, 1) {
                self.weights.insert(name, tensor);
            }
        }
    }

    /// Convolution, batch-norm and, unless it projects, an activation.
    pub fn unit(&mut self, names: [&str; 2], input: NodeId, stride: usize, active: Option<Activation>) -> NodeId {
        let [conv, norm] = names;
        let x = self.conv(conv, input, stride);
        self.normalised(norm, x, active)
    }

    /// As [`Self::unit`] at stride 2 for the first layer, whose size is known; another size is a variant with strides of its own.
    pub fn stem(&mut self, names: [&str; 2], input: NodeId, size: usize, active: Activation) -> NodeId {
        let [conv, norm] = names;
        let dims = self.dict.dims(&format!("{conv}.weight"));
        if dims.len() == 4 && dims[2..] != [size; 2] {
            self.problems.push(format!("`{conv}.weight` is {dims:?}; only those of {size}×{size} are known"));
        }
        let x = self.conv(conv, input, 2);
        self.normalised(norm, x, Some(active))
    }

    /// Batch-norm and, unless nothing follows, an activation.
    pub fn normalised(&mut self, norm: &str, x: NodeId, active: Option<Activation>) -> NodeId {
        let x = self.batch_norm(norm, x);
        active.map_or(x, |function| self.activation(norm, x, function))
    }

    pub fn batch_norm(&mut self, name: &str, input: NodeId) -> NodeId {
        self.vectors(name, &["weight", "bias", "running_mean", "running_var"]);
        // Momentum as Keras counts it; PyTorch's 0.1 is the other share.
        self.builder.push(name, Op::BatchNorm { epsilon: self.epsilon, momentum: 0.9, scale: true }, &[input])
    }

    pub fn activation(&mut self, after: &str, input: NodeId, function: Activation) -> NodeId {
        self.builder.activation(format!("{after}.act"), input, function)
    }

    pub fn relu(&mut self, after: &str, input: NodeId) -> NodeId {
        self.activation(after, input, Activation::Relu)
    }

    /// Size 3, stride 2, one pixel around; behind a ReLU, where zeros are the floor.
    pub fn overlapping_pool(&mut self, name: &str, input: NodeId) -> NodeId {
        let input = self.frame(name, input, [1, 1]);
        let window = Window::new([3; 2], [2; 2], Padding::Valid);
        self.builder.push(name, Op::MaxPool { window }, &[input])
    }

    /// A layer-norm with timm's and torchvision's ε.
    pub fn layer_norm(&mut self, name: &str, input: NodeId) -> NodeId {
        self.vectors(name, &["weight", "bias"]);
        self.builder.push(name, Op::LayerNorm { epsilon: 1e-6 }, &[input])
    }

    /// The mean of each channel as a map of one pixel.
    pub fn mean_pixel(&mut self, name: &str, input: NodeId) -> NodeId {
        let Shape::Image { height, width, .. } = self.builder.shape(input) else { return input };
        let window = Window { size: [height, width], ..Window::tiles(1) };
        self.builder.push(format!("{name}.mean"), Op::AveragePool { window }, &[input])
    }

    pub fn global_mean(&mut self, input: NodeId) -> NodeId {
        self.builder.push("global_mean", Op::GlobalAveragePool, &[input])
    }

    /// A dense layer; `whole` is the map that was flattened before it, in PyTorch's order of channel, row, column.
    pub fn dense(&mut self, name: &str, input: NodeId, whole: Option<Shape>) -> NodeId {
        let weight = format!("{name}.weight");
        // timm keeps VGG's first dense layers as convolutions.
        let rank = self.dict.dims(&weight).len().max(2);
        let Some(kernel) = self.take(&weight, rank) else { return input };
        let (units, features) = (kernel.dims()[0], self.builder.shape(input).channels());
        match in_order(&kernel, units, whole) {
            Ok(kernel) if kernel.dims() == [units, features] => {
                self.weights.insert(weight, kernel);
                let bias = self.bias(name);
                self.builder.push(name, Op::Dense { units, bias }, &[input])
            }
            _ => {
                self.problems.push(format!("`{weight}` is {:?} for {features} features", kernel.dims()));
                input
            }
        }
    }

    /// The last dense layers, as [`Dict::head`] finds them, with a ReLU wherever their numbers leave room for one.
    pub fn head(&mut self, modules: &[&str], input: NodeId) -> NodeId {
        self.head_with(modules, input, Activation::Relu, None)
    }

    /// As [`Self::head`] with another function than ReLU; `whole` is the map that was flattened before it.
    pub fn head_with(&mut self, modules: &[&str], input: NodeId, function: Activation, whole: Option<Shape>) -> NodeId {
        let layers = match self.dict.head(modules) {
            Ok(layers) => layers,
            Err(problem) => {
                self.problems.push(problem);
                return input;
            }
        };
        let mut x = input;
        for (place, layer) in layers.into_iter().enumerate() {
            x = self.dense(layer.name, x, whole.filter(|_| place == 0));
            if layer.is_active {
                x = self.activation(layer.name, x, function);
            }
        }
        x
    }

    /// Tensors of a layer that the network has and its answer does not use.
    pub fn pass_over(&mut self, layer: &str) {
        let prefix = format!("{layer}.");
        self.used.extend(self.dict.names().filter(|name| name.starts_with(&prefix)).map(str::to_string));
    }

    /// Notes what keeps the tensors from being this network.
    pub fn problem(&mut self, problem: String) {
        self.problems.push(problem);
    }

    /// Closes the network with probabilities of what `scores` gives.
    pub fn finish(mut self, scores: NodeId) -> Result<Built, TorchError> {
        self.problems.extend(self.dict.left_over(&self.used));
        if !self.problems.is_empty() {
            return Err(TorchError::Mismatch { name: self.name, problems: self.problems });
        }
        let one = self.builder.shape(scores).channels() == 1;
        let function = if one { Activation::Sigmoid } else { Activation::Softmax };
        self.builder.activation("probabilities", scores, function);
        let graph = self.builder.finish()?;
        weights::check(&graph, &self.weights)?;
        Ok(Built { name: self.name, graph, weights: self.weights })
    }
}

/// [units, features] in row, column, channel order.
fn in_order(kernel: &Tensor, units: usize, whole: Option<Shape>) -> candle_core::Result<Tensor> {
    match whole {
        Some(Shape::Image { height, width, channels }) => {
            let kernel = kernel.reshape((units, channels, height, width))?;
            kernel.permute((0, 2, 3, 1))?.contiguous()?.reshape((units, ()))
        }
        _ => kernel.reshape((units, ())),
    }
}

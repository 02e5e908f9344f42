//! Runs a [`Graph`] on candle tensors: for inference or training, on any device, up to any node.
//!
//! Tensors enter and leave as batch × rows × columns × channels. On the CPU they stay so and run through this crate's own
//! [`ops`]; on a GPU they are turned to channels-first and run through candle's operations.

use super::graph::{Activation, Graph, NodeId, Op, Role};
use super::layers::{self, Axes};
use super::ops::{self, BatchStatistics};
use super::stock;
use candle_core::{DType, Device, Result, Tensor};
use std::collections::HashMap;

/// Tensors by parameter name.
pub type Parameters = HashMap<String, Tensor>;

/// The same weights with those of convolutions and dense layers in a half-precision `format`, for training with mixed precision on a GPU; norms
/// stay as they are. Gradients flow back to the given tensors.
pub fn halved(graph: &Graph, parameters: Parameters, format: DType) -> Result<Parameters> {
    let is_norm = |name: &String| {
        let layer = name.rsplit_once('.').and_then(|(layer, _)| graph.find(layer));
        layer.is_some_and(|id| {
            matches!(graph.node(id).op, Op::BatchNorm { .. } | Op::LayerNorm { .. } | Op::GroupNorm { .. })
        })
    };
    let half = |(name, tensor): (String, Tensor)| {
        let tensor = if is_norm(&name) { tensor } else { tensor.to_dtype(format)? };
        Ok((name, tensor))
    };
    parameters.into_iter().map(half).collect()
}

/// Whose operations run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backend {
    /// This crate's, channels last, CPU only.
    Own,
    /// candle's, channels first, any device.
    Stock,
}

impl Backend {
    pub fn of(device: &Device) -> Self {
        if device.is_cpu() { Backend::Own } else { Backend::Stock }
    }
}

/// What a training pass leaves behind and draws from.
pub struct Training<'a> {
    /// Statistics of every batch-norm layer of this pass, for its running averages.
    pub statistics: Vec<(NodeId, BatchStatistics)>,
    /// Layers whose batch-norms work by their running statistics, as outside training.
    pub frozen: &'a [NodeId],
    /// Uniform numbers in [0, 1) for dropout: called with how many are wanted.
    pub uniform: &'a mut dyn FnMut(usize) -> Vec<f32>,
}

/// One walk over a graph.
pub struct Pass<'a> {
    pub graph: &'a Graph,
    pub parameters: &'a Parameters,
    pub backend: Backend,
    pub training: Option<Training<'a>>,
    /// Asked before each layer; `true` stops the walk.
    pub cancelled: &'a (dyn Fn() -> bool + Sync),
}

/// Why a walk ended without a result.
#[derive(Debug, thiserror::Error)]
pub enum ExecError {
    #[error("cancelled")]
    Cancelled,
    #[error("layer `{layer}`: {reason}")]
    Layer { layer: String, reason: candle_core::Error },
    #[error(transparent)]
    Tensor(#[from] candle_core::Error),
}

impl Pass<'_> {
    /// The value of node `until` for a batch `x` [batch, rows, columns, channels].
    pub fn run(&mut self, x: &Tensor, until: NodeId) -> std::result::Result<Tensor, ExecError> {
        let mut values = self.run_to(x, &[until])?;
        values.pop().ok_or_else(|| candle_core::Error::Msg("the wanted layer was not computed".into()).into())
    }

    /// The values of several nodes.
    pub fn run_to(&mut self, x: &Tensor, wanted: &[NodeId]) -> std::result::Result<Vec<Tensor>, ExecError> {
        self.run_from(&[(NodeId::INPUT, x.clone())], wanted)
    }

    /// The values of several nodes, where those of other nodes are `given`: [batch, rows, columns, channels] or [batch, length].
    /// Nothing is computed that the wanted values do not depend on.
    pub fn run_from(
        &mut self,
        given: &[(NodeId, Tensor)],
        wanted: &[NodeId],
    ) -> std::result::Result<Vec<Tensor>, ExecError> {
        let known: Vec<NodeId> = given.iter().map(|(id, _)| *id).collect();
        let mut last_uses = self.graph.last_uses();
        for id in wanted {
            last_uses[id.0] = usize::MAX;
        }
        let needed = self.needed(&known, wanted);
        let joined = self.joined(&[&known, wanted].concat());
        let mut values: Vec<Option<Tensor>> = vec![None; self.graph.nodes().len()];
        for (id, value) in given {
            values[id.0] = Some(self.enter(value)?);
        }
        for id in self.graph.ids().filter(|id| needed[id.0] && !known.contains(id)) {
            if (self.cancelled)() {
                return Err(ExecError::Cancelled);
            }
            if joined.values().any(|before| *before == id) {
                continue;
            }
            let node = self.graph.node(id);
            let before = joined.get(&id);
            let reads = before.map_or(&node.inputs, |before| &self.graph.node(*before).inputs);
            let inputs: Vec<Tensor> = reads.iter().filter_map(|i| values[i.0].clone()).collect();
            let value = match (&node.op, before) {
                (Op::Input { .. }, _) => Err(candle_core::Error::Msg("its value is not given".into())),
                (Op::Activation { function }, Some(before)) => self.with_relu(*before, *function, &inputs),
                _ => self.step(id, &inputs),
            };
            values[id.0] = Some(value.map_err(|reason| ExecError::Layer { layer: node.name.clone(), reason })?);
            for input in reads {
                if last_uses[input.0] <= id.0 {
                    values[input.0] = None;
                }
            }
        }
        wanted.iter().filter_map(|id| values[id.0].take()).map(|value| Ok(self.leave(value)?)).collect()
    }

    /// For each node whether the wanted values depend on it, where those of `known` nodes are given.
    fn needed(&self, known: &[NodeId], wanted: &[NodeId]) -> Vec<bool> {
        let mut needed = vec![false; self.graph.nodes().len()];
        wanted.iter().for_each(|id| needed[id.0] = true);
        for id in self.graph.ids().rev() {
            if needed[id.0] && !known.contains(&id) {
                self.graph.node(id).inputs.iter().for_each(|input| needed[input.0] = true);
            }
        }
        needed
    }

    /// Sums and batch-norms that only the ReLU right behind them reads, by that ReLU: both run as one of this crate's operations.
    /// Nodes whose own values are `kept` stay alone.
    fn joined(&self, kept: &[NodeId]) -> HashMap<NodeId, NodeId> {
        if self.backend == Backend::Stock {
            return HashMap::new();
        }
        let readers = self.graph.readers();
        let join = |id: NodeId| {
            let [next] = readers[id.0].as_slice() else { return None };
            let Op::Activation { function } = self.graph.node(*next).op else { return None };
            let fits = match self.graph.node(id).op {
                Op::Add => {
                    let [a, b] = [0, 1].map(|i| self.graph.node(self.graph.node(id).inputs[i]).shape);
                    function == Activation::Relu && a == b
                }
                Op::BatchNorm { .. } => self.learns(id) && relu_ceiling(function).is_some(),
                _ => false,
            };
            (fits && next.0 == id.0 + 1 && !kept.contains(&id)).then_some((*next, id))
        };
        self.graph.ids().filter_map(join).collect()
    }

    /// A sum or batch-norm and the ReLU behind it at once.
    fn with_relu(&mut self, before: NodeId, function: Activation, inputs: &[Tensor]) -> Result<Tensor> {
        match self.graph.node(before).op {
            Op::BatchNorm { epsilon, scale, .. } => {
                self.batch_norm(before, &inputs[0], epsilon, scale, relu_ceiling(function))
            }
            _ => ops::add_relu(&inputs[0], &inputs[1]),
        }
    }

    /// Whether a batch-norm uses the batch's own statistics.
    fn learns(&self, id: NodeId) -> bool {
        self.training.as_ref().is_some_and(|training| !training.frozen.contains(&id))
    }

    fn enter(&self, x: &Tensor) -> Result<Tensor> {
        match (self.backend, x.rank()) {
            (Backend::Stock, 4) => x.permute((0, 3, 1, 2))?.contiguous(),
            _ => x.contiguous(),
        }
    }

    fn leave(&self, value: Tensor) -> Result<Tensor> {
        match (self.backend, value.rank()) {
            (Backend::Stock, 4) => value.permute((0, 2, 3, 1))?.contiguous(),
            _ => Ok(value),
        }
    }

    fn parameter(&self, id: NodeId, role: Role) -> Result<Tensor> {
        let name = format!("{}.{}", self.graph.node(id).name, role.suffix());
        self.parameters.get(&name).cloned().ok_or_else(|| candle_core::Error::Msg(format!("no tensor `{name}`")))
    }

    /// A bias, or zeros where the layer has none.
    fn bias(&self, id: NodeId, present: bool, len: usize, like: &Tensor) -> Result<Tensor> {
        if present { self.parameter(id, Role::Bias) } else { Tensor::zeros(len, like.dtype(), like.device()) }
    }

    fn step(&mut self, id: NodeId, inputs: &[Tensor]) -> Result<Tensor> {
        let own = self.backend == Backend::Own;
        let x = &inputs[0];
        match &self.graph.node(id).op {
            Op::Input { .. } => Ok(x.clone()),
            Op::Conv { filters, window, bias } => {
                let kernel = self.parameter(id, Role::Kernel)?;
                let bias = self.bias(id, *bias, *filters, x)?;
                let (kernel, window) = (&layers::filled_kernel(&kernel, *window)?, &window.filled());
                if own { ops::conv2d(x, kernel, &bias, *window) } else { stock::conv2d(x, kernel, &bias, *window) }
            }
            Op::DepthwiseConv { window, bias } => {
                let kernel = self.parameter(id, Role::Kernel)?;
                let bias = self.bias(id, *bias, kernel.dim(0)?, x)?;
                let (kernel, window) = (&layers::filled_kernel(&kernel, *window)?, &window.filled());
                if own {
                    ops::depthwise(x, kernel, &bias, *window)
                } else {
                    stock::depthwise(x, kernel, &bias, *window)
                }
            }
            Op::Dense { units, bias } => {
                let kernel = self.parameter(id, Role::Kernel)?;
                x.matmul(&kernel.t()?)?.broadcast_add(&self.bias(id, *bias, *units, x)?)
            }
            Op::BatchNorm { epsilon, scale, .. } => self.batch_norm(id, x, *epsilon, *scale, None),
            Op::LayerNorm { epsilon } => self.layer_norm(id, x, *epsilon),
            Op::Activation { function: Activation::Relu } if own => ops::relu(x, false),
            Op::Activation { function: Activation::Relu6 } if own => ops::relu(x, true),
            Op::Activation { function } => layers::activation(x, *function, self.axes()),
            Op::MaxPool { window } if own => ops::max_pool(x, *window),
            Op::MaxPool { window } => stock::max_pool(x, *window),
            Op::AveragePool { window } if own => ops::average_pool(x, *window),
            Op::AveragePool { window } => stock::average_pool(x, *window),
            Op::GlobalAveragePool => x.mean(if own { (1, 2) } else { (2, 3) }),
            Op::Upsample { factor } if own => ops::upsample(x, *factor),
            Op::Upsample { factor } => stock::upsample(x, *factor),
            Op::Add if own && x.shape() == inputs[1].shape() => ops::add(x, &inputs[1]),
            Op::Add => x.broadcast_add(&inputs[1]),
            Op::Multiply => x.broadcast_mul(&inputs[1]),
            Op::Maximum => x.broadcast_maximum(&inputs[1]),
            Op::Concat => Tensor::cat(inputs, self.axes().channel_of(x)),
            Op::ZeroPad { rows, columns } => {
                let (row_axis, column_axis) = if own { (1, 2) } else { (2, 3) };
                x.pad_with_zeros(row_axis, rows[0], rows[1])?.pad_with_zeros(column_axis, columns[0], columns[1])
            }
            Op::Crop { rows, columns } => {
                let Axes { row, column, .. } = self.axes();
                let x = x.narrow(row, rows[0], x.dim(row)? - rows[0] - rows[1])?;
                x.narrow(column, columns[0], x.dim(column)? - columns[0] - columns[1])?.contiguous()
            }
            Op::Channels { first, count } => x.narrow(self.axes().channel_of(x), *first, *count)?.contiguous(),
            Op::ShuffleChannels { groups } => layers::shuffle_channels(x, *groups, self.axes()),
            Op::DepthToSpace { block } => layers::depth_to_space(x, *block, self.axes()),
            Op::Reshape { shape } => layers::reshape(x, &shape.dims(), self.axes()),
            Op::Permute { axes } => layers::permute(x, *axes, self.axes()),
            Op::Resize { to, resampling, grid } => layers::resize(x, *to, *resampling, *grid, self.axes()),
            Op::ConvTranspose { filters, stride, crop, bias, .. } => {
                let bias = self.bias(id, *bias, *filters, x)?;
                layers::conv_transpose(x, &self.parameter(id, Role::Kernel)?, &bias, *stride, *crop, self.axes())
            }
            Op::Affine => {
                let (scale, shift) = (self.parameter(id, Role::Scale)?, self.parameter(id, Role::Bias)?);
                layers::affine(x, &scale.to_dtype(x.dtype())?, &shift.to_dtype(x.dtype())?, self.axes())
            }
            Op::PRelu { .. } => {
                layers::parametric_relu(x, &self.parameter(id, Role::Scale)?.to_dtype(x.dtype())?, self.axes())
            }
            Op::GroupNorm { groups, epsilon } => {
                let (scale, shift) = (self.parameter(id, Role::Scale)?, self.parameter(id, Role::Bias)?);
                let y =
                    layers::group_norm(&x.to_dtype(scale.dtype())?, *groups, *epsilon, &scale, &shift, self.axes())?;
                y.to_dtype(x.dtype())
            }
            Op::Flatten => self.leave(x.clone())?.flatten_from(1),
            Op::Dropout { rate } => self.dropout(x, *rate),
        }
    }

    /// Where the axes of maps stand.
    fn axes(&self) -> Axes {
        if self.backend == Backend::Own { Axes::CHANNELS_LAST } else { Axes::CHANNELS_FIRST }
    }

    /// `relu` is the ceiling of a ReLU to do at once; only a batch-norm that learns here can.
    fn batch_norm(&mut self, id: NodeId, x: &Tensor, epsilon: f64, scaled: bool, relu: Option<f64>) -> Result<Tensor> {
        let beta = self.parameter(id, Role::Bias)?;
        let gamma = if scaled { self.parameter(id, Role::Scale)? } else { beta.ones_like()? };
        let learns = self.learns(id);
        // Statistics over many values need f32, whatever the maps are in.
        let dtype = x.dtype();
        let x = &x.to_dtype(gamma.dtype())?;
        if let Some(training) = self.training.as_mut().filter(|_| learns) {
            let (y, statistics) = match self.backend {
                Backend::Own => ops::batch_norm_train(x, &gamma, &beta, epsilon, relu)?,
                Backend::Stock => stock::batch_norm_train(x, &gamma, &beta, epsilon)?,
            };
            training.statistics.push((id, statistics));
            return y.to_dtype(dtype);
        }
        let mean = self.parameter(id, Role::RunningMean)?;
        let variance = self.parameter(id, Role::RunningVariance)?;
        let scale = (gamma / (variance + epsilon)?.sqrt()?)?;
        let shift = (beta - (mean * &scale)?)?;
        match self.backend {
            Backend::Own => ops::channel_affine(x, &scale, &shift),
            Backend::Stock => stock::channel_affine(x, &scale, &shift)?.to_dtype(dtype),
        }
    }

    fn layer_norm(&self, id: NodeId, x: &Tensor, epsilon: f64) -> Result<Tensor> {
        let (scale, shift) = (self.parameter(id, Role::Scale)?, self.parameter(id, Role::Bias)?);
        let dtype = x.dtype();
        let x = &x.to_dtype(scale.dtype())?;
        let axis = if self.backend == Backend::Stock { 1 } else { x.rank() - 1 };
        let centred = x.broadcast_sub(&x.mean_keepdim(axis)?)?;
        let normal = centred.broadcast_div(&(centred.sqr()?.mean_keepdim(axis)? + epsilon)?.sqrt()?)?;
        match self.backend {
            Backend::Own => ops::channel_affine(&normal, &scale, &shift),
            Backend::Stock => stock::channel_affine(&normal, &scale, &shift)?.to_dtype(dtype),
        }
    }

    fn dropout(&mut self, x: &Tensor, rate: f64) -> Result<Tensor> {
        let Some(training) = &mut self.training else { return Ok(x.clone()) };
        let keep = (1.0 / (1.0 - rate)) as f32;
        let mask = (training.uniform)(x.elem_count()).into_iter().map(|u| if f64::from(u) < rate { 0.0 } else { keep });
        x * Tensor::from_iter(mask, x.device())?.reshape(x.shape())?.to_dtype(x.dtype())?
    }
}

/// The ceiling of a ReLU; `None` for other functions.
fn relu_ceiling(function: Activation) -> Option<f64> {
    match function {
        Activation::Relu => Some(f64::INFINITY),
        Activation::Relu6 => Some(6.0),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::zoo::Architecture;
    use candle_core::Var;

    fn flat(t: &Tensor) -> Vec<f32> {
        t.flatten_all().unwrap().to_vec1().unwrap()
    }

    /// Half-precision maps on candle's operations (f16 here, for candle has no products of bf16 on the CPU): logits within 5 % of their spread of those in f32, gradients pointing the same
    /// way.
    #[test]
    fn mixed_precision_stays_near_full_precision() {
        let graph = Architecture::Resunet.graph(32).unwrap();
        let device = Device::Cpu;
        let number = |i: usize| ((i as f32 * 12.9898).sin() * 43_758.547).fract();
        let var = |p: crate::graph::Parameter| {
            let fan_in = p.shape.iter().skip(1).product::<usize>() as f32;
            let value = |i| match p.role {
                Role::Kernel => number(i) * (6.0 / fan_in).sqrt(),
                Role::Scale | Role::RunningVariance => 1.0,
                _ => 0.0,
            };
            let values: Vec<f32> = (0..p.shape.iter().product()).map(value).collect();
            let tensor = Tensor::from_vec(values, p.shape.as_slice(), &device).unwrap();
            (p.name, Var::from_tensor(&tensor).unwrap())
        };
        let vars: Vec<(String, Var)> = graph.parameters().into_iter().map(var).collect();
        let values: Vec<f32> = (0..2 * 32 * 32 * 3).map(number).collect();
        let x = Tensor::from_vec(values, (2, 32, 32, 3), &device).unwrap();
        let run = |half: bool| {
            let mut parameters: Parameters =
                vars.iter().map(|(name, v)| (name.clone(), v.as_tensor().clone())).collect();
            let mut x = x.clone();
            if half {
                (parameters, x) = (halved(&graph, parameters, DType::F16).unwrap(), x.to_dtype(DType::F16).unwrap());
            }
            let training = Some(Training { statistics: Vec::new(), frozen: &[], uniform: &mut |n| vec![0.5; n] });
            let backend = Backend::Stock;
            let mut pass = Pass { graph: &graph, parameters: &parameters, backend, training, cancelled: &|| false };
            let logits = pass.run(&x, graph.logits()).unwrap().to_dtype(DType::F32).unwrap();
            let grads = logits.sqr().unwrap().mean_all().unwrap().backward().unwrap();
            let all: Vec<f32> = vars.iter().filter_map(|(_, v)| grads.get(v)).flat_map(flat).collect();
            (flat(&logits), all)
        };
        let ((full, full_grads), (half, half_grads)) = (run(false), run(true));
        let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
        let length = |a: &[f32]| dot(a, a).sqrt();
        let mean = full.iter().sum::<f32>() / full.len() as f32;
        let centred: Vec<f32> = full.iter().map(|v| v - mean).collect();
        let off: Vec<f32> = full.iter().zip(&half).map(|(a, b)| a - b).collect();
        assert!(length(&off) < 0.05 * length(&centred), "off by {} of {}", length(&off), length(&centred));
        let cosine = dot(&full_grads, &half_grads) / (length(&full_grads) * length(&half_grads));
        assert!(cosine > 0.98, "gradients meet at a cosine of {cosine}");
    }
}

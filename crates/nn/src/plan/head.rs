//! The part of a network behind its last map: vectors of a whole batch at a time, so that dense weights are read once.

use super::PlanError;
use super::kernels::{End, Kernel, Run, Runs, Start, Tile};
use super::maps::Pointwise;
use super::pack::{PackedPanel, Recipe, Stretch};
use super::value::Value;
use crate::graph::{Graph, NodeId, Op, Role};
use rayon::prelude::*;

/// Source of a parameter's values by node and role.
pub type Weights<'a> = dyn Fn(NodeId, Role) -> Result<Vec<f32>, PlanError> + 'a;

struct Dense<T> {
    panels: Vec<PackedPanel<T>>,
    runs: Runs,
    features: usize,
    units: usize,
}

enum VectorOp<T> {
    Dense(Dense<T>),
    Pointwise(Pointwise),
    /// With the second source.
    Binary(fn(f32, f32) -> f32),
    PRelu(Vec<f32>),
    Concat,
    /// The values at these places.
    Pick(Vec<usize>),
}

struct Step<T> {
    op: VectorOp<T>,
    /// Indices of values.
    sources: Vec<usize>,
    target: usize,
}

/// Ready head.
pub struct Head<T: Value> {
    kernel: &'static Kernel<T>,
    steps: Vec<Step<T>>,
    /// Length of every value: those that come from maps first.
    lens: Vec<usize>,
    output: usize,
}

/// Values of a head for one batch, reused.
#[derive(Default)]
pub struct HeadSpace<T> {
    pub values: Vec<Vec<f32>>,
    rounded: Vec<T>,
    /// [panel][example][channel of the panel]
    sums: Vec<f32>,
}

impl<T: Value> Head<T> {
    /// `entries` are the nodes whose vectors come from maps, in order; everything that only reads vectors follows.
    pub fn new(
        graph: &Graph,
        entries: &[NodeId],
        kernel: &'static Kernel<T>,
        weights: &Weights,
    ) -> Result<Self, PlanError> {
        let mut nodes: Vec<NodeId> = entries.to_vec();
        let mut steps = Vec::new();
        for id in graph.ids() {
            let node = graph.node(id);
            let sources: Option<Vec<usize>> = node.inputs.iter().map(|i| nodes.iter().position(|n| n == i)).collect();
            let (Some(sources), false) = (sources, node.inputs.is_empty()) else { continue };
            let op = match &node.op {
                Op::Dense { units, bias } => {
                    let features = graph.node(node.inputs[0]).shape.values();
                    let kernel_values = weights(id, Role::Kernel)?;
                    let bias = bias.then(|| weights(id, Role::Bias)).transpose()?;
                    VectorOp::Dense(Dense::new(kernel, &kernel_values, bias.as_deref(), features, *units))
                }
                Op::BatchNorm { .. } => {
                    let (scale, shift) = super::running_affine(graph, id, weights)?;
                    VectorOp::Pointwise(Pointwise::Affine { scale, shift })
                }
                Op::LayerNorm { epsilon } => VectorOp::Pointwise(super::layer_norm(id, *epsilon, weights)?),
                Op::Affine => {
                    let (scale, shift) = super::affine(id, weights)?;
                    VectorOp::Pointwise(Pointwise::Affine { scale, shift })
                }
                Op::PRelu { .. } => VectorOp::PRelu(weights(id, Role::Scale)?),
                Op::Activation { function } => VectorOp::Pointwise(Pointwise::Activation(*function)),
                Op::Add => VectorOp::Binary(|a, b| a + b),
                Op::Multiply => VectorOp::Binary(|a, b| a * b),
                Op::Maximum => VectorOp::Binary(f32::max),
                Op::Concat => VectorOp::Concat,
                Op::Channels { first, count } => VectorOp::Pick((*first..first + count).collect()),
                Op::ShuffleChannels { groups } => {
                    let each = node.shape.channels() / groups;
                    VectorOp::Pick((0..each).flat_map(|k| (0..*groups).map(move |g| g * each + k)).collect())
                }
                Op::Flatten | Op::Reshape { .. } | Op::Dropout { .. } => VectorOp::Pointwise(Pointwise::Copy),
                _ => return Err(PlanError::Unsupported(node.name.clone())),
            };
            steps.push(Step { op, sources, target: nodes.len() });
            nodes.push(id);
        }
        let output = nodes.iter().position(|n| *n == graph.output());
        let output = output.ok_or_else(|| PlanError::Unsupported(graph.node(graph.output()).name.clone()))?;
        let lens = nodes.iter().map(|n| graph.node(*n).shape.values()).collect();
        Ok(Self { kernel, steps, lens, output })
    }

    /// Room for the values of `batch` examples; the caller fills those that come from maps.
    pub fn prepare(&self, space: &mut HeadSpace<T>, batch: usize) {
        space.values.resize_with(self.lens.len(), Vec::new);
        for (values, len) in space.values.iter_mut().zip(&self.lens) {
            values.resize(batch * len, 0.0);
        }
    }

    /// Computes all values; the output's is returned.
    pub fn run<'a>(&self, space: &'a mut HeadSpace<T>, batch: usize) -> &'a [f32] {
        for step in &self.steps {
            let mut to = std::mem::take(&mut space.values[step.target]);
            match &step.op {
                VectorOp::Dense(dense) => {
                    let from = &space.values[step.sources[0]];
                    dense.run(self.kernel, from, batch, &mut space.rounded, &mut space.sums, &mut to);
                }
                VectorOp::Pointwise(function) => {
                    to.copy_from_slice(&space.values[step.sources[0]]);
                    to.chunks_mut(self.lens[step.target]).for_each(|vector| function.apply(vector));
                }
                VectorOp::Binary(function) => {
                    let pairs = space.values[step.sources[0]].iter().zip(&space.values[step.sources[1]]);
                    to.iter_mut().zip(pairs).for_each(|(to, (a, b))| *to = function(*a, *b));
                }
                VectorOp::PRelu(slopes) => {
                    let from = space.values[step.sources[0]].iter().zip(slopes.iter().cycle());
                    to.iter_mut().zip(from).for_each(|(to, (x, slope))| *to = if *x < 0.0 { x * slope } else { *x });
                }
                VectorOp::Concat => {
                    let whole = self.lens[step.target];
                    let mut first = 0;
                    for source in &step.sources {
                        let len = self.lens[*source];
                        for (to, from) in to.chunks_mut(whole).zip(space.values[*source].chunks(len)) {
                            to[first..first + len].copy_from_slice(from);
                        }
                        first += len;
                    }
                }
                VectorOp::Pick(places) => {
                    let len = self.lens[step.sources[0]];
                    let vectors = to.chunks_mut(places.len()).zip(space.values[step.sources[0]].chunks(len));
                    vectors.for_each(|(to, from)| to.iter_mut().zip(places).for_each(|(to, at)| *to = from[*at]));
                }
            }
            space.values[step.target] = to;
        }
        &space.values[self.output]
    }
}

impl<T: Value> Dense<T> {
    fn new(kernel: &Kernel<T>, weights: &[f32], bias: Option<&[f32]>, features: usize, units: usize) -> Self {
        // Narrow panels: there are enough of them for all threads.
        let panels = kernel.panels(units, 1).into_par_iter();
        let recipe = Recipe::dense(weights, bias, units);
        let all = [Stretch::whole(features)];
        let panels = panels.map(|panel| PackedPanel::new(&recipe, panel, &all, kernel.group())).collect();
        let mut runs = Runs::new(kernel.group());
        runs.push(Run { offset: 0, groups: features.div_ceil(kernel.group()) });
        Self { panels, runs, features, units }
    }

    fn run(
        &self,
        kernel: &Kernel<T>,
        from: &[f32],
        batch: usize,
        rounded: &mut Vec<T>,
        sums: &mut Vec<f32>,
        to: &mut [f32],
    ) {
        // A last group may reach past the last feature; it must not meet the next example there.
        let stride = self.features.next_multiple_of(kernel.group());
        rounded.clear();
        for example in from.chunks_exact(self.features) {
            rounded.extend(example.iter().map(|v| T::of(*v)));
            rounded.resize(rounded.len().next_multiple_of(stride), T::default());
        }
        let width = self.panels.iter().map(|p| p.panel.width).max().unwrap_or(1);
        sums.resize(self.panels.len() * batch * width, 0.0);
        let parts: Vec<_> = self.panels.iter().zip(sums.chunks_exact_mut(batch * width)).collect();
        parts.into_par_iter().for_each(|(packed, sums)| {
            let most = packed.panel.most_pixels;
            for first in (0..batch).step_by(most) {
                let mut tile = Tile {
                    pixels: most.min(batch - first),
                    source: &rounded[first * stride..],
                    source_stride: stride,
                    runs: &self.runs,
                    weights: &packed.weights,
                    bias: &packed.bias,
                    sums: &mut sums[first * packed.panel.width..],
                    start: Start::Bias,
                    end: End::Sums,
                };
                kernel.tile(&packed.panel, &mut tile);
            }
        });
        for (packed, sums) in self.panels.iter().zip(sums.chunks_exact(batch * width)) {
            let panel = &packed.panel;
            for (vector, sums) in to.chunks_exact_mut(self.units).zip(sums.chunks_exact(panel.width)) {
                vector[panel.first..][..panel.channels].copy_from_slice(&sums[..panel.channels]);
            }
        }
    }
}

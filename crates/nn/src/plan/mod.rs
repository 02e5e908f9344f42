//! The CPU path for inference: a [`Graph`] compiled once into a few fused operations over reused buffers.
//!
//! Compiling goes: dropout away and batch-norms into convolutions ([`super::fold`]), what has no kernel into what has one
//! (`lower`), 1×1 convolutions below enlargements
//! (`super::simplify`), neighbours into one operation (`fuse`), values into buffers (`layout`), weights into the order of the
//! processor's kernels (`pack`, `kernels`). A run then walks the operations; maps are channels last in f32 or bf16, sums
//! always f32. One picture is shared out by rows, several pictures one to a thread; what lies behind the last map runs for the
//! whole batch at once (`head`).

mod arena;
mod conv;
mod depthwise;
mod direct;
mod functions;
mod fuse;
mod head;
pub mod isa;
mod kernels;
mod layout;
mod lower;
mod maps;
mod pack;
mod site;
mod strips;
#[cfg(test)]
mod tests;
mod value;
mod winograd;

use super::exec::Parameters;
use super::fold::fold_batch_norms;
use super::graph::{Activation, Graph, NodeId, Op, Resampling, Role, Shape, Window};
use super::layers::taps;
use super::rewrite::RewriteError;
use super::simplify::commute_upsampling;
use arena::{Pool, Workspaces};
use conv::Convolution;
use depthwise::Depthwise;
use fuse::{FusedConv, Stage, Work, fuse};
use half::bf16;
use head::{Head, HeadSpace};
use isa::{Isa, Kernels};
use kernels::Kernel;
use layout::{Layout, Target, View};
use maps::{Leave, MapOp, Pointwise};
use pack::Recipe;
use rayon::prelude::*;
use site::Addition;
use value::Value;

/// Why a graph did not become a plan.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    #[error(transparent)]
    Rewrite(#[from] RewriteError),
    #[error("no tensor `{0}`")]
    Missing(String),
    #[error("tensor `{0}` is not in f32 on the CPU: {1}")]
    Tensor(String, candle_core::Error),
    #[error("layer `{0}` stands where the CPU plan has no place for it")]
    Unsupported(String),
    #[error("this processor has no {0}")]
    Isa(Isa),
}

/// The run was cancelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cancelled;

/// A compiled network for this processor.
pub struct Plan {
    isa: Isa,
    input: usize,
    output: usize,
    compiled: Compiled,
}

/// In the number format of its kernels.
enum Compiled {
    F32(Typed<f32>),
    Bf16(Typed<bf16>),
}

impl Plan {
    /// Compiles for one instruction set; `parameters` must hold every tensor of the graph in its shape.
    ///
    /// # Errors
    /// If a tensor is missing or not on the CPU, or the processor has not these instructions.
    pub fn compile(graph: &Graph, parameters: Parameters, isa: Isa) -> Result<Self, PlanError> {
        let (graph, parameters) = fold_batch_norms(graph, parameters)?;
        let (graph, parameters) = lower::lower(&graph, parameters)?;
        let (graph, parameters) = commute_upsampling(&graph, parameters)?;
        let compiled = match isa.kernels().ok_or(PlanError::Isa(isa))? {
            Kernels::F32(kernel) => Compiled::F32(Typed::new(&graph, &parameters, kernel)?),
            Kernels::Bf16(kernel) => Compiled::Bf16(Typed::new(&graph, &parameters, kernel)?),
        };
        Ok(Self { isa, input: graph.input_shape().values(), output: graph.output_shape().values(), compiled })
    }

    pub fn isa(&self) -> Isa {
        self.isa
    }

    /// Outputs of a batch of examples, each rows × columns × channels, one after the other; `cancelled` is asked between
    /// operations.
    ///
    /// # Errors
    /// When cancelled.
    ///
    /// # Panics
    /// If `examples` is not a whole number of inputs.
    pub fn run(&self, examples: &[f32], cancelled: &(dyn Fn() -> bool + Sync)) -> Result<Vec<f32>, Cancelled> {
        assert!(examples.len().is_multiple_of(self.input), "not a whole number of examples");
        let mut outputs = vec![0.0; examples.len() / self.input * self.output];
        match &self.compiled {
            Compiled::F32(plan) => plan.run(examples, self.input, &mut outputs, cancelled)?,
            Compiled::Bf16(plan) => plan.run(examples, self.input, &mut outputs, cancelled)?,
        }
        Ok(outputs)
    }
}

/// What a step does to maps.
enum StepWork<T: Value> {
    Conv(Box<Convolution<T>>),
    Depthwise(Box<Depthwise<T>>),
    Map {
        op: MapOp,
        sources: Vec<View>,
    },
    /// To vector `entry` of the head.
    Leave {
        how: Leave,
        source: View,
        entry: usize,
    },
}

struct Step<T: Value> {
    work: StepWork<T>,
    /// `None` when the step leaves the maps.
    target: Option<Target>,
}

/// Memory of one picture on its way.
struct Arena<T> {
    slots: Vec<Vec<T>>,
    vectors: Vec<Vec<f32>>,
}

/// A plan in one number format.
struct Typed<T: Value> {
    steps: Vec<Step<T>>,
    /// Where the picture goes, unless the network takes a vector.
    entrance: Option<Target>,
    slots: Vec<usize>,
    /// Lengths of the vectors that maps become.
    entries: Vec<usize>,
    /// `None` when the output is a map, which then is the only entry.
    head: Option<Head<T>>,
    arenas: Pool<Vec<Arena<T>>>,
    heads: Pool<HeadSpace<T>>,
    workspaces: Workspaces<T>,
}

/// Compiling: what the methods below share.
struct Compiler<'a, T: Value> {
    graph: &'a Graph,
    kernel: &'static Kernel<T>,
    layout: &'a Layout,
    weights: &'a head::Weights<'a>,
}

impl<T: Value> Typed<T> {
    fn new(graph: &Graph, parameters: &Parameters, kernel: &'static Kernel<T>) -> Result<Self, PlanError> {
        let weights = |id: NodeId, role: Role| -> Result<Vec<f32>, PlanError> {
            let name = format!("{}.{}", graph.node(id).name, role.suffix());
            let tensor = parameters.get(&name).ok_or_else(|| PlanError::Missing(name.clone()))?;
            tensor.flatten_all().and_then(|t| t.to_vec1()).map_err(|e| PlanError::Tensor(name, e))
        };
        let is_map = |id: NodeId| matches!(graph.node(id).shape, Shape::Image { .. });
        let stages = fuse(graph);
        let on_maps: Vec<Stage> =
            stages.into_iter().filter(|s| s.reads(graph).iter().any(|read| is_map(*read))).collect();
        let layout = Layout::new(graph, &on_maps);
        let compiler = Compiler { graph, kernel, layout: &layout, weights: &weights };
        let (mut steps, mut entries) = (Vec::new(), Vec::new());
        for stage in &on_maps {
            compiler.push(stage, &mut steps, &mut entries)?;
        }
        let output = graph.output();
        let head = if is_map(output) {
            let source = compiler.target(output)?.view;
            steps.push(Step { work: StepWork::Leave { how: Leave::Flat, source, entry: entries.len() }, target: None });
            entries.push(output);
            None
        } else {
            if !is_map(NodeId(0)) {
                entries.insert(0, NodeId(0));
            }
            Some(Head::new(graph, &entries, kernel, &weights)?)
        };
        Ok(Self {
            steps,
            entrance: layout.target(NodeId(0)),
            slots: layout.slots.clone(),
            entries: entries.iter().map(|id| graph.node(*id).shape.values()).collect(),
            head,
            arenas: Pool::default(),
            heads: Pool::default(),
            workspaces: Workspaces::default(),
        })
    }

    fn arena(&self) -> Arena<T> {
        Arena {
            slots: self.slots.iter().map(|len| vec![T::default(); *len]).collect(),
            vectors: self.entries.iter().map(|len| vec![0.0; *len]).collect(),
        }
    }

    /// Several pictures: one to a thread at a time. A rest smaller than that: each by all threads.
    fn run(
        &self,
        examples: &[f32],
        input: usize,
        outputs: &mut [f32],
        cancelled: &(dyn Fn() -> bool + Sync),
    ) -> Result<(), Cancelled> {
        let threads = rayon::current_num_threads();
        let batch = examples.len() / input;
        let mut head = self.heads.lend_or(HeadSpace::default);
        if let Some(plan) = &self.head {
            plan.prepare(&mut head, batch);
        }
        let mut arenas = self.arenas.lend_or(Vec::new);
        let together = if batch >= threads { threads } else { 1 };
        let wanted = arenas.len().max(together);
        arenas.resize_with(wanted, || self.arena());
        let output = outputs.len() / batch.max(1);
        let mut done = 0;
        while done < batch {
            let together = if batch - done >= threads { threads } else { 1 };
            let images = examples[done * input..].par_chunks_exact(input);
            if together == 1 {
                self.walk(&examples[done * input..][..input], &mut arenas[0], threads, cancelled)?;
            } else {
                let walk = |(arena, image): (&mut Arena<T>, &[f32])| self.walk(image, arena, 1, cancelled);
                arenas[..together].par_iter_mut().zip(images).try_for_each(walk)?;
            }
            for (i, arena) in arenas[..together].iter().enumerate() {
                match &self.head {
                    None => outputs[(done + i) * output..][..output].copy_from_slice(&arena.vectors[0]),
                    Some(_) => {
                        for (vector, all) in arena.vectors.iter().zip(&mut head.values) {
                            all[(done + i) * vector.len()..][..vector.len()].copy_from_slice(vector);
                        }
                    }
                }
            }
            done += together;
        }
        if let (Some(plan), false) = (&self.head, batch == 0) {
            outputs.copy_from_slice(plan.run(&mut head, batch));
        }
        if cancelled() { Err(Cancelled) } else { Ok(()) }
    }

    /// One picture through all maps, with rows shared out to `threads`.
    fn walk(
        &self,
        image: &[f32],
        arena: &mut Arena<T>,
        threads: usize,
        cancelled: &(dyn Fn() -> bool + Sync),
    ) -> Result<(), Cancelled> {
        match &self.entrance {
            Some(target) => {
                let mut out = std::mem::take(&mut arena.slots[target.view.slot]);
                maps::clear_frame(target, &mut out);
                maps::enter(image, target, &mut out);
                arena.slots[target.view.slot] = out;
            }
            None => arena.vectors[0].copy_from_slice(image),
        }
        for step in &self.steps {
            if cancelled() {
                return Err(Cancelled);
            }
            if let StepWork::Leave { how, source, entry } = &step.work {
                maps::leave(*how, source, &arena.slots, &mut arena.vectors[*entry]);
            }
            let Some(target) = &step.target else { continue };
            // Sources never share the target's slot, so it can be taken out while they are read.
            let mut out = std::mem::take(&mut arena.slots[target.view.slot]);
            maps::clear_frame(target, &mut out);
            match &step.work {
                StepWork::Conv(conv) => conv.run(&arena.slots, &mut out, &self.workspaces, threads),
                StepWork::Depthwise(conv) => conv.run(&arena.slots, &mut out, threads),
                StepWork::Map { op, sources } => op.run(sources, target, &arena.slots, &mut out, threads),
                StepWork::Leave { .. } => {}
            }
            arena.slots[target.view.slot] = out;
        }
        Ok(())
    }
}

impl<T: Value> Compiler<'_, T> {
    fn target(&self, id: NodeId) -> Result<Target, PlanError> {
        self.layout.target(id).ok_or_else(|| PlanError::Unsupported(self.graph.node(id).name.clone()))
    }

    fn view(&self, id: NodeId) -> Result<View, PlanError> {
        Ok(self.target(id)?.view)
    }

    /// Appends the steps of one stage; vectors it leaves to the head are noted in `entries`.
    fn push(&self, stage: &Stage, steps: &mut Vec<Step<T>>, entries: &mut Vec<NodeId>) -> Result<(), PlanError> {
        let node = self.graph.node(stage.output);
        let ready = match &stage.work {
            Work::Conv(fused) => Some(StepWork::Conv(Box::new(self.convolution(fused, stage.output)?))),
            Work::Depthwise { conv, clamp } => {
                Some(StepWork::Depthwise(Box::new(self.depthwise(*conv, *clamp, stage.output)?)))
            }
            Work::Node => None,
        };
        if let Some(work) = ready {
            steps.push(Step { work, target: Some(self.target(stage.output)?) });
            return Ok(());
        }
        let mut map = |op: MapOp, inputs: &[NodeId], target: Target| -> Result<(), PlanError> {
            let sources = inputs.iter().map(|i| self.view(*i)).collect::<Result<_, _>>()?;
            steps.push(Step { work: StepWork::Map { op, sources }, target: Some(target) });
            Ok(())
        };
        let mut whole = |op: MapOp| map(op, &node.inputs, self.target(stage.output)?);
        let leave = match &node.op {
            Op::MaxPool { window } => return whole(MapOp::MaxPool { window: *window }),
            Op::AveragePool { window } => return whole(MapOp::AveragePool { window: *window }),
            Op::Upsample { factor } => return whole(MapOp::Upsample { factor: *factor }),
            Op::Resize { to: [height, width], resampling, grid } => {
                let source = self.view(node.inputs[0])?;
                let taps = |from: usize, to: usize| taps(from, to, *resampling, *grid);
                let (rows, columns) = (taps(source.height, *height), taps(source.width, *width));
                let blends = *resampling == Resampling::Bilinear;
                return whole(MapOp::Resize { rows, columns, blends });
            }
            Op::Crop { rows, columns } => return whole(MapOp::Crop { top: rows[0], left: columns[0] }),
            Op::Channels { first, .. } => return whole(MapOp::Channels { first: *first }),
            Op::ShuffleChannels { groups } => return whole(MapOp::Shuffle { groups: *groups }),
            Op::DepthToSpace { block } => return whole(MapOp::DepthToSpace { block: *block }),
            Op::Permute { axes } => return whole(MapOp::Permute { axes: *axes }),
            Op::Reshape { shape: Shape::Image { width, .. } } => return whole(MapOp::Reshape { width: *width }),
            Op::GroupNorm { groups, epsilon } => {
                let (scale, shift) = affine(stage.output, self.weights)?;
                return whole(MapOp::GroupNorm { groups: *groups, epsilon: *epsilon, scale, shift });
            }
            Op::PRelu { by_channel } => {
                let slopes = (self.weights)(stage.output, Role::Scale)?;
                return whole(MapOp::PRelu { slopes, by_channel: *by_channel });
            }
            Op::Affine => {
                let (scale, shift) = affine(stage.output, self.weights)?;
                return whole(MapOp::Pointwise(Pointwise::Affine { scale, shift }));
            }
            Op::Add => return whole(MapOp::Pointwise(Pointwise::Add)),
            Op::Multiply => return whole(MapOp::Pointwise(Pointwise::Multiply)),
            Op::Maximum => return whole(MapOp::Pointwise(Pointwise::Maximum)),
            Op::Activation { function } => return whole(MapOp::Pointwise(Pointwise::Activation(*function))),
            Op::BatchNorm { .. } => {
                let (scale, shift) = running_affine(self.graph, stage.output, self.weights)?;
                return whole(MapOp::Pointwise(Pointwise::Affine { scale, shift }));
            }
            Op::LayerNorm { epsilon } => {
                return whole(MapOp::Pointwise(layer_norm(stage.output, *epsilon, self.weights)?));
            }
            Op::Concat => {
                let target = self.target(stage.output)?;
                let mut channel = 0;
                for part in &node.inputs {
                    let channels = self.graph.node(*part).shape.channels();
                    if !self.layout.is_in_place(*part, stage.output) {
                        let view = View { start: target.view.start + channel, channels, ..target.view };
                        let target = Target { view, channel: target.channel + channel, ..target };
                        map(MapOp::Pointwise(Pointwise::Copy), &[*part], target)?;
                    }
                    channel += channels;
                }
                return Ok(());
            }
            // A wider look at its input, see `layout`.
            Op::ZeroPad { .. } => return Ok(()),
            Op::Flatten | Op::Reshape { shape: Shape::Vector { .. } } => Leave::Flat,
            Op::GlobalAveragePool => Leave::Mean,
            _ => return Err(PlanError::Unsupported(node.name.clone())),
        };
        let source = self.view(node.inputs[0])?;
        steps.push(Step { work: StepWork::Leave { how: leave, source, entry: entries.len() }, target: None });
        entries.push(stage.output);
        Ok(())
    }

    fn convolution(&self, fused: &FusedConv, output: NodeId) -> Result<Convolution<T>, PlanError> {
        let node = self.graph.node(fused.conv);
        let Op::Conv { filters, window, bias } = node.op else {
            return Err(PlanError::Unsupported(node.name.clone()));
        };
        let source = self.view(node.inputs[0])?;
        let before = zeros_before(window, &source);
        let kernel = (self.weights)(fused.conv, Role::Kernel)?;
        let bias = bias.then(|| (self.weights)(fused.conv, Role::Bias)).transpose()?;
        let affine = fused.affine.map(|norm| scale_and_shift(self.graph, norm, self.weights)).transpose()?;
        let recipe = Recipe {
            kernel: &kernel,
            bias: bias.as_deref(),
            filters,
            size: window.size,
            stride: window.stride,
            dilation: window.dilation,
            before,
            clamp: fused.clamp,
            affine,
            pool: fused.pool,
        };
        let addition = fused
            .addend
            .map(|a| Ok::<_, PlanError>(Addition { view: self.view(a.node)?, shift: a.shift }))
            .transpose()?;
        Ok(Convolution::new(&recipe, self.kernel, source, addition, self.target(output)?))
    }

    fn depthwise(&self, conv: NodeId, clamp: Option<Activation>, output: NodeId) -> Result<Depthwise<T>, PlanError> {
        let node = self.graph.node(conv);
        let Op::DepthwiseConv { window, bias } = node.op else {
            return Err(PlanError::Unsupported(node.name.clone()));
        };
        let source = self.view(node.inputs[0])?;
        let kernel = (self.weights)(conv, Role::Kernel)?;
        let bias = bias.then(|| (self.weights)(conv, Role::Bias)).transpose()?;
        let recipe = Recipe {
            kernel: &kernel,
            bias: bias.as_deref(),
            filters: source.channels,
            size: window.size,
            stride: window.stride,
            dilation: window.dilation,
            before: zeros_before(window, &source),
            clamp,
            affine: None,
            pool: false,
        };
        Ok(Depthwise::new(&recipe, self.kernel, source, self.target(output)?))
    }
}

/// Zeros above and to the left.
fn zeros_before(window: Window, source: &View) -> [usize; 2] {
    [window.pads(0, source.height), window.pads(1, source.width)].map(|p| p.map_or(0, |(before, _)| before))
}

fn layer_norm(id: NodeId, epsilon: f64, weights: &head::Weights) -> Result<Pointwise, PlanError> {
    let (scale, shift) = (weights(id, Role::Scale)?, weights(id, Role::Bias)?);
    Ok(Pointwise::LayerNorm { scale, shift, epsilon: epsilon as f32 })
}

/// A scale and a shift by channel as the weights have them.
fn affine(id: NodeId, weights: &head::Weights) -> Result<(Vec<f32>, Vec<f32>), PlanError> {
    Ok((weights(id, Role::Scale)?, weights(id, Role::Bias)?))
}

/// What a convolution does behind its ReLU.
fn scale_and_shift(graph: &Graph, id: NodeId, weights: &head::Weights) -> Result<(Vec<f32>, Vec<f32>), PlanError> {
    if graph.node(id).op == Op::Affine { affine(id, weights) } else { running_affine(graph, id, weights) }
}

/// A batch-norm with its running statistics as scale and shift.
fn running_affine(graph: &Graph, id: NodeId, weights: &head::Weights) -> Result<(Vec<f32>, Vec<f32>), PlanError> {
    let node = graph.node(id);
    let Op::BatchNorm { epsilon, scale, .. } = node.op else {
        return Err(PlanError::Unsupported(node.name.clone()));
    };
    let (mean, variance) = (weights(id, Role::RunningMean)?, weights(id, Role::RunningVariance)?);
    let beta = weights(id, Role::Bias)?;
    let gamma = if scale { weights(id, Role::Scale)? } else { vec![1.0; beta.len()] };
    let factor = |(gamma, variance): (f32, &f32)| (f64::from(gamma) / (f64::from(*variance) + epsilon).sqrt()) as f32;
    let scale: Vec<f32> = gamma.into_iter().zip(&variance).map(factor).collect();
    let shift = beta.iter().zip(&mean).zip(&scale).map(|((beta, mean), scale)| beta - mean * scale).collect();
    Ok((scale, shift))
}

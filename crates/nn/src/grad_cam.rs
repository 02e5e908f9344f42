//! Grad-CAM (Selvaraju et al. 2017): which places of a map speak for a class.
//!
//! The way from the input to the map runs on the compiled [`plan`](super::plan). Only what lies behind the map is computed again
//! with gradients, which for a classifier that ends in pooling and a dense layer is next to nothing.

use super::exec::{Backend, ExecError, Parameters, Pass};
use super::graph::{Builder, Graph, NodeId, Op};
use super::plan::isa::Isa;
use super::plan::{Plan, PlanError};
use super::rewrite::RewriteError;
use candle_core::{Device, Tensor, Var};

/// Why there is no explanation.
#[derive(Debug, thiserror::Error)]
pub enum GradCamError {
    #[error(transparent)]
    Plan(#[from] PlanError),
    #[error(transparent)]
    Exec(#[from] ExecError),
    #[error("the network has {there} outputs, none numbered {asked} from 0")]
    NoClass { there: usize, asked: usize },
}

impl From<candle_core::Error> for GradCamError {
    fn from(error: candle_core::Error) -> Self {
        Self::Exec(error.into())
    }
}

/// How much each place of a map speaks for a class: rows × columns values ≥ 0, row by row. Their unit is that of the class's logit
/// times a number that depends on the layer, so that only values of one layer can be compared.
#[derive(Debug, Clone, PartialEq)]
pub struct Heat {
    pub rows: usize,
    pub columns: usize,
    pub values: Vec<f32>,
}

/// A classifier, ready to be explained at one of its layers.
pub struct GradCam {
    graph: Graph,
    /// Those behind the layer.
    parameters: Parameters,
    /// From the input to the values of `sources`, one after the other.
    head: Plan,
    /// The layer, and what is read beside it behind it.
    sources: Vec<NodeId>,
}

impl GradCam {
    /// `layer` must be a map that the output depends on ([`Graph::explainable`]); `parameters` must hold every tensor of the graph.
    ///
    /// # Errors
    /// If a tensor is missing, or the processor has not these instructions.
    pub fn new(graph: &Graph, mut parameters: Parameters, layer: NodeId, isa: Isa) -> Result<Self, GradCamError> {
        let mut sources = vec![layer];
        sources.extend(graph.read_beside(layer, graph.logits()));
        let head = Self::head(graph, &sources).map_err(|e| PlanError::Rewrite(RewriteError::Graph(e)))?;
        let head = Plan::compile(&head, parameters.clone(), isa)?;
        let is_behind = |name: &str| {
            let node = name.rsplit_once('.').and_then(|(node, _)| graph.find(node));
            node.is_some_and(|id| id > layer)
        };
        parameters.retain(|name, _| is_behind(name));
        Ok(Self { graph: graph.clone(), parameters, head, sources })
    }

    /// The part of the network that computes `sources`, with their values one after the other for its output.
    fn head(graph: &Graph, sources: &[NodeId]) -> Result<Graph, super::graph::GraphError> {
        let last = sources.iter().max().copied().unwrap_or(graph.output());
        let mut builder = Builder::from(graph.up_to(last));
        let flat = |(index, id): (usize, &NodeId)| builder.push(format!("explained.{index}"), Op::Flatten, &[*id]);
        let parts: Vec<NodeId> = sources.iter().enumerate().map(flat).collect();
        builder.push("explained", Op::Concat, &parts);
        builder.finish()
    }

    /// Rows × columns of the layer's map that speak for output `class` (from 0), for each example; `examples` are rows × columns ×
    /// channels, one after the other. `cancelled` is asked between layers.
    ///
    /// # Errors
    /// When cancelled, or when a layer behind the map has no gradient.
    pub fn heat(
        &self,
        examples: &[f32],
        class: usize,
        cancelled: &(dyn Fn() -> bool + Sync),
    ) -> Result<Vec<Heat>, GradCamError> {
        let count = examples.len() / self.graph.input_shape().values();
        let flat = self.head.run(examples, cancelled).map_err(|_| ExecError::Cancelled)?;
        let flat = Tensor::from_vec(flat, (count, ()), &Device::Cpu)?;
        let (mut given, mut from) = (Vec::new(), 0);
        for id in &self.sources {
            let shape = self.graph.node(*id).shape;
            let own = flat.narrow(1, from, shape.values())?.contiguous()?;
            from += shape.values();
            given.push((*id, own.reshape([vec![count], shape.dims()].concat())?));
        }
        let map = Var::from_tensor(&given[0].1)?;
        given[0].1 = map.as_tensor().clone();
        let mut pass =
            Pass { graph: &self.graph, parameters: &self.parameters, backend: Backend::Own, training: None, cancelled };
        let outputs = pass.run_from(&given, &[self.graph.logits()])?.remove(0).flatten_from(1)?;
        let there = outputs.dim(1)?;
        if class >= there {
            return Err(GradCamError::NoClass { there, asked: class });
        }
        let gradients = outputs.narrow(1, class, 1)?.sum_all()?.backward()?;
        let gradient = match gradients.get(&map) {
            Some(gradient) => gradient.clone(),
            None => map.zeros_like()?,
        };
        let weights = gradient.mean_keepdim((1, 2))?;
        let heat = map.as_detached_tensor().broadcast_mul(&weights)?.sum(3)?.relu()?;
        let (_, rows, columns) = heat.dims3()?;
        let values: Vec<f32> = heat.flatten_all()?.to_vec1()?;
        Ok(values.chunks_exact(rows * columns).map(|v| Heat { rows, columns, values: v.to_vec() }).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{Activation, Padding, Shape, Window};
    use candle_core::DType;

    fn numbers(count: usize, salt: f64, spread: f64) -> Vec<f64> {
        (0..count).map(|i| spread * ((i as f64 * 12.9898 + salt) * 1.618).sin()).collect()
    }

    /// Two convolutions, the second beside a 1×1 one, pooling, two dense layers.
    fn network() -> (Graph, Parameters) {
        let (mut b, x) = Builder::new(Shape::Image { height: 6, width: 6, channels: 3 });
        let first = b.conv("first", x, 4, Window::dense(3, Padding::Same));
        let first = b.relu("first_relu", first);
        let main = b.conv("main", first, 5, Window::dense(3, Padding::Same));
        let beside = b.conv("beside", first, 5, Window::dense(1, Padding::Valid));
        let sum = b.push("sum", Op::Add, &[main, beside]);
        let last = b.relu("last", sum);
        let pooled = b.max_pool("pool", last);
        let flat = b.push("flatten", Op::Flatten, &[pooled]);
        let hidden = b.dense("hidden", flat, 6);
        let hidden = b.relu("hidden_relu", hidden);
        let logits = b.dense("logits", hidden, 3);
        b.activation("probabilities", logits, Activation::Softmax);
        let graph = b.finish().unwrap();
        let spreads = [("first", 0.4), ("main", 0.4), ("beside", 0.4), ("hidden", 0.3), ("logits", 90.0)];
        let tensor = |(index, p): (usize, crate::graph::Parameter)| {
            let (_, spread) = spreads[index / 2];
            let spread = if p.role == crate::graph::Role::Bias { 0.1 } else { spread };
            let values = numbers(p.shape.iter().product(), index as f64 + 1.0, spread);
            let tensor = Tensor::from_vec(values, p.shape.as_slice(), &Device::Cpu).unwrap();
            (p.name, tensor.to_dtype(DType::F32).unwrap())
        };
        let parameters = graph.parameters().into_iter().enumerate().map(tensor).collect();
        (graph, parameters)
    }

    fn heat(layer: &str, class: usize) -> Result<Vec<Heat>, GradCamError> {
        let (graph, parameters) = network();
        let layer = graph.find(layer).unwrap();
        let cam = GradCam::new(&graph, parameters, layer, Isa::exact()).unwrap();
        let example: Vec<f32> = numbers(6 * 6 * 3, 0.3, 1.0).into_iter().map(|v| v as f32).collect();
        let other: Vec<f32> = example.iter().map(|v| -v).collect();
        cam.heat(&[example, other].concat(), class, &|| false)
    }

    /// Heat of class 2 by PyTorch 2.15 (tests/fixtures/pytorch_grad_cam.py): within 1e-3 of its largest value, at the last map and at one
    /// of two branches.
    #[test]
    fn heat_is_what_pytorch_gives() {
        #[rustfmt::skip]
        let (last, main) = ([
            0.0781, 0.0, 0.0, 0.0, 0.0, 0.0,
            0.0, 0.0, 0.0, 0.0, 0.1263, 0.0,
            0.0, 0.0, 0.0, 0.0, 0.2422, 0.0,
            0.0, 0.0, 0.0, 0.0, 0.3472, 0.0,
            0.1214, 0.0, 0.0, 0.0, 0.3416, 0.0,
            0.0072, 0.0, 0.0, 0.0, 0.2611, 0.0,
        ], [
            0.0, 0.0, 0.0, 0.0, 0.0, 0.0,
            0.0, 0.0, 0.0, 0.0, 0.1344, 0.0,
            0.0, 0.0, 0.0, 0.0, 0.1538, 0.0,
            0.0, 0.0, 0.0, 0.0, 0.2352, 0.0,
            0.0, 0.0, 0.0, 0.0, 0.2349, 0.0,
            0.0, 0.0, 0.0, 0.0, 0.1685, 0.0,
        ]);
        for (layer, wanted) in [("last", last), ("main", main)] {
            let found = heat(layer, 2).unwrap();
            assert_eq!((found.len(), found[0].rows, found[0].columns), (2, 6, 6));
            let most = wanted.iter().copied().fold(0.0, f32::max);
            let off = found[0].values.iter().zip(wanted).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(most > 0.0 && off < 1e-3 * most, "{layer}: off by {off} of {most}");
            assert_ne!(found[0], found[1], "each example has its own");
        }
    }

    #[test]
    fn a_class_that_is_not_there_and_a_cancelled_run_are_told() {
        assert!(matches!(heat("last", 3), Err(GradCamError::NoClass { there: 3, asked: 3 })));
        let (graph, parameters) = network();
        let cam = GradCam::new(&graph, parameters, graph.find("last").unwrap(), Isa::exact()).unwrap();
        let cancelled = cam.heat(&[0.0; 108], 0, &|| true);
        assert!(matches!(cancelled, Err(GradCamError::Exec(ExecError::Cancelled))));
    }
}

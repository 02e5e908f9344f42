//! A network with weights, ready to answer: on the CPU by this crate's plan, on a GPU by candle's operations, or whole by
//! candle-transformers.

use super::exec::{Backend, ExecError, Parameters, Pass};
use super::fold::fold_batch_norms;
use super::graph::{Graph, Shape};
use super::ops;
use super::plan::isa::Isa;
use super::plan::{Plan, PlanError};
use super::rewrite::RewriteError;
use super::torch::stock::Stock;
use candle_core::{Device, Tensor};

/// Where a network runs.
#[derive(Debug, Clone)]
pub enum Runner {
    /// This crate's plan, by the given instruction set or by what suits the network ([`Isa::for_network`]).
    Cpu(Option<Isa>),
    /// candle's operations.
    Gpu(Device),
}

impl Runner {
    pub fn of(device: &Device) -> Self {
        if device.is_cpu() { Runner::Cpu(None) } else { Runner::Gpu(device.clone()) }
    }
}

fn on(parameters: Parameters, device: &Device) -> std::result::Result<Parameters, RewriteError> {
    parameters.into_iter().map(|(name, t)| Ok((name, t.to_device(device)?))).collect()
}

/// A graph with the weights that fill it, ready for inference.
pub struct Network {
    path: Path,
}

/// How it runs.
enum Path {
    /// This crate's compiled plan, on the CPU.
    Plan { plan: Box<Plan>, input: Shape, output: Shape },
    /// candle's operations, node by node.
    Stock { graph: Graph, parameters: Parameters, device: Device },
    /// One of candle-transformers' own networks.
    Whole(Stock),
}

impl Network {
    /// `parameters` must hold every tensor of the graph in its shape, as [`super::weights::load`] makes sure.
    ///
    /// Batch-norms that follow a convolution are merged into it.
    ///
    /// # Errors
    /// If a tensor is missing or the processor has not the wanted instructions.
    pub fn new(graph: &Graph, parameters: Parameters, runner: &Runner) -> std::result::Result<Self, PlanError> {
        let path = match runner {
            Runner::Cpu(isa) => {
                let (input, output) = (graph.input_shape(), graph.output_shape());
                let isa = isa.unwrap_or_else(|| Isa::for_network(graph));
                Path::Plan { plan: Box::new(Plan::compile(graph, parameters, isa)?), input, output }
            }
            Runner::Gpu(device) => {
                let (graph, parameters) = fold_batch_norms(graph, parameters)?;
                let parameters = on(parameters, device)?;
                Path::Stock { graph, parameters, device: device.clone() }
            }
        };
        Ok(Self { path })
    }

    /// A network that is no graph.
    pub fn whole(network: Stock) -> Self {
        Self { path: Path::Whole(network) }
    }

    /// The instruction set in use; `None` where candle runs the network.
    pub fn isa(&self) -> Option<Isa> {
        match &self.path {
            Path::Plan { plan, .. } => Some(plan.isa()),
            Path::Stock { .. } | Path::Whole(_) => None,
        }
    }

    /// Output for a batch [batch, rows, columns, channels]; `cancelled` is asked between layers.
    ///
    /// # Errors
    /// When cancelled, or when the examples have another shape than the network's input.
    pub fn infer(&self, x: &Tensor, cancelled: &(dyn Fn() -> bool + Sync)) -> std::result::Result<Tensor, ExecError> {
        match &self.path {
            Path::Plan { plan, input, output } => {
                if x.rank() == 0 || x.dims()[1..] != input.dims() {
                    let message = format!("input of {:?}, the network takes {input} an example", x.dims());
                    return Err(candle_core::Error::Msg(message).into());
                }
                let y = ops::with_values(x, |values| plan.run(values, cancelled))?.map_err(|_| ExecError::Cancelled)?;
                Ok(Tensor::from_vec(y, [vec![x.dim(0)?], output.dims()].concat(), &Device::Cpu)?)
            }
            Path::Stock { graph, parameters, device } => {
                let x = x.to_device(device)?;
                let mut pass = Pass { graph, parameters, backend: Backend::Stock, training: None, cancelled };
                pass.run(&x, graph.output())
            }
            Path::Whole(network) => network.run(x, cancelled)?.ok_or(ExecError::Cancelled),
        }
    }
}

//! Where training starts: random weights, those of a file, and layers that stay as they are.

use super::augment;
use super::error::TrainError;
use candle_core::{Device, Tensor};
use lesionlens_nn::exec::Parameters;
use lesionlens_nn::graph::{Graph, NodeId, Op, Role};
use lesionlens_nn::keras;
use lesionlens_nn::torch::pickle;
use lesionlens_nn::weights;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use std::collections::HashSet;
use std::path::Path;

/// He-normal kernels (He et al. 2015), zero biases, unit scales, standard running statistics.
pub fn random(graph: &Graph, seed: u64, device: &Device) -> Result<Parameters, TrainError> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut out = Parameters::new();
    for parameter in graph.parameters() {
        let count: usize = parameter.shape.iter().product();
        let values = match parameter.role {
            Role::Kernel => {
                let fan_in = parameter.shape[1..].iter().product::<usize>() as f32;
                let deviation = (2.0 / fan_in).sqrt();
                (0..count).map(|_| augment::normal(&mut rng) * deviation).collect()
            }
            Role::Bias | Role::RunningMean => vec![0.0; count],
            Role::Scale | Role::RunningVariance => vec![1.0; count],
        };
        out.insert(parameter.name, Tensor::from_vec(values, parameter.shape.as_slice(), device)?);
    }
    Ok(out)
}

/// Weights of a file for as much of a network as they fit.
pub struct Start {
    pub parameters: Parameters,
    /// Tensors of the network that the file has not, or in another shape; they start at random.
    pub fresh: Vec<String>,
}

/// Reads a safetensors file or a PyTorch state dict (`.pt`, `.pth`; the pickle is parsed, never executed) with the names of
/// `graph`, or Keras weights (`.h5`) with layers in its order.
///
/// # Errors
/// If the file cannot be read, or fits less than half of the network's tensors: then it is another network's.
pub fn from_file(graph: &Graph, path: &Path) -> Result<Start, TrainError> {
    let failed = |e: &dyn ToString| TrainError::file(path, e.to_string());
    let bytes = std::fs::read(path).map_err(|e| failed(&e))?;
    let mut found: Parameters = if pickle::is_pickle(&bytes) {
        pickle::read(&bytes).map_err(|e| failed(&e))?
    } else if keras::is_hdf5(&bytes) {
        keras::fitting(bytes, graph.clone()).map_err(|e| failed(&e))?
    } else {
        weights::read(&bytes, &Device::Cpu).map_err(|e| failed(&e))?
    };
    let mut start = Start { parameters: Parameters::new(), fresh: Vec::new() };
    for wanted in graph.parameters() {
        match found.remove(&wanted.name).filter(|t| t.dims() == wanted.shape) {
            Some(tensor) => {
                start.parameters.insert(wanted.name, tensor);
            }
            None => start.fresh.push(wanted.name),
        }
    }
    if start.fresh.len() > start.parameters.len() {
        let (fits, all) = (start.parameters.len(), start.parameters.len() + start.fresh.len());
        return Err(failed(&format!("fits {fits} of the network's {all} tensors; it belongs to another architecture")));
    }
    Ok(start)
}

/// Whether a layer or parameter is `layers` or part of it: `block.1` has `block.1.conv` in it, but not `block.10`, which `block.1*` has.
pub fn is_among(name: &str, layers: &str) -> bool {
    if let Some(beginning) = layers.strip_suffix('*') {
        return name.starts_with(beginning);
    }
    let rest = name.strip_prefix(layers);
    rest.is_some_and(|rest| !rest.starts_with(|c: char| c.is_ascii_alphanumeric()))
}

/// Layers that are named here or part of what is named.
///
/// # Errors
/// If a name names no layer, or a frozen batch-norm stands behind a layer that is trained: nothing would reach that one.
pub fn frozen(graph: &Graph, prefixes: &[String]) -> Result<Vec<NodeId>, TrainError> {
    let starts = |id: NodeId, layers: &String| is_among(&graph.node(id).name, layers);
    if let Some(unknown) = prefixes.iter().find(|prefix| !graph.ids().any(|id| starts(id, prefix))) {
        return Err(TrainError::Data(format!("`freeze` names `{unknown}`, but no layer is called so")));
    }
    let frozen: Vec<NodeId> = graph.ids().filter(|id| prefixes.iter().any(|prefix| starts(*id, prefix))).collect();
    let trained: HashSet<NodeId> =
        graph.parameters().iter().map(|p| p.node).filter(|id| !frozen.contains(id)).collect();
    let mut behind: HashSet<NodeId> = HashSet::new();
    for id in graph.ids() {
        let node = graph.node(id);
        if node.inputs.iter().any(|i| behind.contains(i) || trained.contains(i)) {
            behind.insert(id);
            if frozen.contains(&id) && matches!(node.op, Op::BatchNorm { .. }) {
                let message = format!("`freeze` keeps `{}`, which stands behind layers that are trained", node.name);
                return Err(TrainError::Data(message));
            }
        }
    }
    Ok(frozen)
}

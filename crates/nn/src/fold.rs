//! For inference a batch-norm right after a convolution is part of it: y = γ·(W∗x + b − μ)/√(σ² + ε) + β is a convolution again.

use super::exec::Parameters;
use super::graph::{Builder, Graph, NodeId, Op, Role};
use super::rewrite::RewriteError;
use super::simplify::without_dropout;
use candle_core::Tensor;
use std::collections::{HashMap, HashSet};

/// The same function with every such pair made one, and without dropout or nodes that the output does not depend on; all other
/// nodes keep their names.
///
/// # Errors
/// If a tensor of a pair is missing.
pub fn fold_batch_norms(graph: &Graph, mut parameters: Parameters) -> Result<(Graph, Parameters), RewriteError> {
    // A dead node behind the last convolution would be taken for the output once the batch-norm is gone.
    let graph = &without_dropout(graph)?;
    let pairs: HashMap<NodeId, NodeId> = graph.ids().filter_map(|id| Some((id, foldable(graph, id)?))).collect();
    let folded: HashSet<NodeId> = pairs.values().copied().collect();
    for (norm, conv) in &pairs {
        merge(graph, *norm, *conv, &mut parameters)?;
    }
    let (mut builder, input) = Builder::new(graph.input_shape());
    let mut place = HashMap::from([(NodeId(0), input)]);
    for id in graph.ids().skip(1) {
        let node = graph.node(id);
        let new = match (pairs.get(&id), &node.op) {
            (Some(conv), _) => place[conv],
            (None, op) => {
                let op = match op {
                    Op::Conv { filters, window, .. } if folded.contains(&id) => {
                        Op::Conv { filters: *filters, window: *window, bias: true }
                    }
                    Op::DepthwiseConv { window, .. } if folded.contains(&id) => {
                        Op::DepthwiseConv { window: *window, bias: true }
                    }
                    Op::ConvTranspose { filters, size, stride, crop, .. } if folded.contains(&id) => {
                        Op::ConvTranspose { filters: *filters, size: *size, stride: *stride, crop: *crop, bias: true }
                    }
                    other => other.clone(),
                };
                let inputs: Vec<NodeId> = node.inputs.iter().map(|i| place[i]).collect();
                builder.push(node.name.clone(), op, &inputs)
            }
        };
        place.insert(id, new);
    }
    Ok((builder.finish()?, parameters))
}

/// The convolution a batch-norm can be merged into: its input, read by nobody else.
fn foldable(graph: &Graph, norm: NodeId) -> Option<NodeId> {
    let node = graph.node(norm);
    let (Op::BatchNorm { .. } | Op::Affine) = node.op else { return None };
    let conv = node.inputs[0];
    let readers = graph.nodes().iter().flat_map(|n| &n.inputs).filter(|i| **i == conv).count();
    let is_conv = matches!(graph.node(conv).op, Op::Conv { .. } | Op::DepthwiseConv { .. } | Op::ConvTranspose { .. });
    (is_conv && readers == 1).then_some(conv)
}

fn merge(graph: &Graph, norm: NodeId, conv: NodeId, parameters: &mut Parameters) -> candle_core::Result<()> {
    let (Op::Conv { bias, .. } | Op::DepthwiseConv { bias, .. } | Op::ConvTranspose { bias, .. }) = graph.node(conv).op
    else {
        return Ok(());
    };
    let name = |id: NodeId, role: Role| format!("{}.{}", graph.node(id).name, role.suffix());
    let mut take = |id: NodeId, role: Role| {
        let name = name(id, role);
        parameters.remove(&name).ok_or_else(|| candle_core::Error::Msg(format!("no tensor `{name}`")))
    };
    let (scale, shift) = match graph.node(norm).op {
        Op::BatchNorm { epsilon, scale, .. } => {
            let gamma = scale.then(|| take(norm, Role::Scale)).transpose()?;
            let (beta, mean) = (take(norm, Role::Bias)?, take(norm, Role::RunningMean)?);
            let scale = (take(norm, Role::RunningVariance)? + epsilon)?.sqrt()?.recip()?;
            let scale = gamma.map_or_else(|| Ok(scale.clone()), |gamma| gamma * &scale)?;
            let shift = (beta - (mean * &scale)?)?;
            (scale, shift)
        }
        _ => (take(norm, Role::Scale)?, take(norm, Role::Bias)?),
    };
    let bias = bias.then(|| take(conv, Role::Bias)).transpose()?;
    let kernel = take(conv, Role::Kernel)?;
    let bias: Tensor = bias.map_or_else(|| Ok(shift.clone()), |bias| (bias * &scale)? + &shift)?;
    parameters.insert(name(conv, Role::Kernel), kernel.broadcast_mul(&scale.reshape(((), 1, 1, 1))?)?);
    parameters.insert(name(conv, Role::Bias), bias);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exec::{Backend, Pass};
    use crate::graph::{Padding, Shape, Window};
    use crate::zoo::Architecture;
    use candle_core::{DType, Device};

    /// A node that nobody reads must not become the output when the batch-norm behind it is merged away.
    #[test]
    fn the_output_stays_the_output() {
        let (mut b, x) = Builder::new(Shape::Image { height: 4, width: 4, channels: 2 });
        let conv = b.conv("conv", x, 2, Window::dense(1, Padding::Valid));
        b.relu("dead", conv);
        b.batch_norm("norm", conv);
        let graph = b.finish().unwrap();
        let ones =
            |p: crate::graph::Parameter| (p.name, Tensor::ones(p.shape.as_slice(), DType::F32, &Device::Cpu).unwrap());
        let (folded, _) = fold_batch_norms(&graph, graph.parameters().into_iter().map(ones).collect()).unwrap();
        assert_eq!(folded.node(folded.output()).name, "conv");
        let missing = fold_batch_norms(&graph, Parameters::new()).err().unwrap().to_string();
        assert!(missing.contains("`norm.weight`"), "{missing}");
    }

    /// Both networks give the same probabilities folded and not, to 1e-5, and no foldable batch-norm is left.
    #[test]
    fn folding_changes_nothing_but_the_work() {
        let number = |i: usize, salt: f64| ((i as f64 * 12.9898 + salt) * 1.618).sin();
        for (architecture, side) in [(Architecture::ResnetClassifier, 64), (Architecture::Resunet, 32)] {
            let graph = architecture.graph(side).unwrap();
            let mut parameters = Parameters::new();
            for (salt, p) in graph.parameters().into_iter().enumerate() {
                let spread = (2.0 / p.shape.iter().skip(1).product::<usize>() as f64).sqrt().min(0.3);
                let value = |i: usize| match p.role {
                    Role::RunningVariance | Role::Scale => 1.0 + 0.4 * number(i, salt as f64),
                    _ => spread * number(i, salt as f64),
                };
                let values: Vec<f64> = (0..p.shape.iter().product()).map(value).collect();
                let tensor = Tensor::from_vec(values, p.shape.as_slice(), &Device::Cpu).unwrap();
                parameters.insert(p.name, tensor.to_dtype(DType::F32).unwrap());
            }
            let x: Vec<f32> = (0..side * side * 3).map(|i| number(i, 0.3) as f32).collect();
            let x = Tensor::from_vec(x, (1, side, side, 3), &Device::Cpu).unwrap();
            let run = |graph: &Graph, parameters: &Parameters| {
                let mut pass = Pass { graph, parameters, backend: Backend::Own, training: None, cancelled: &|| false };
                pass.run(&x, graph.output()).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap()
            };
            let before = run(&graph, &parameters);
            let (folded, merged) = fold_batch_norms(&graph, parameters).unwrap();
            let after = run(&folded, &merged);
            assert!(before.iter().zip(&after).all(|(a, b)| (a - b).abs() < 1e-5));
            assert!(folded.nodes().len() < graph.nodes().len());
            assert!(folded.ids().all(|id| foldable(&folded, id).is_none()));
            let spread = before.iter().fold((1f32, 0f32), |(low, high), p| (low.min(*p), high.max(*p)));
            assert!(spread.0 > 0.0 && spread.1 < 1.0, "saturated outputs prove nothing: {spread:?}");
        }
    }
}

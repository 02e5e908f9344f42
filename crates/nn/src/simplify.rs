//! Graph → graph rewrites that inference allows; the function stays the same, the work shrinks.

use super::exec::Parameters;
use super::graph::{Builder, Graph, NodeId, Op, Padding, Role, Window};
use super::rewrite::RewriteError;
use std::collections::{HashMap, HashSet};

/// Dropout is the identity outside training; what the output does not depend on goes with it.
pub fn without_dropout(graph: &Graph) -> Result<Graph, RewriteError> {
    let kept = |mut id: NodeId| {
        while let Op::Dropout { .. } = graph.node(id).op {
            id = graph.node(id).inputs[0];
        }
        id
    };
    let mut needed = HashSet::from([kept(graph.output())]);
    for id in graph.ids().collect::<Vec<_>>().into_iter().rev() {
        if needed.contains(&id) {
            needed.extend(graph.node(id).inputs.iter().map(|i| kept(*i)));
        }
    }
    let (mut builder, input) = Builder::new(graph.input_shape());
    let mut place = HashMap::from([(NodeId(0), input)]);
    for id in graph.ids().skip(1).filter(|id| needed.contains(id)) {
        let node = graph.node(id);
        let inputs: Vec<NodeId> = node.inputs.iter().map(|i| place[&kept(*i)]).collect();
        place.insert(id, builder.push(node.name.clone(), node.op.clone(), &inputs));
    }
    Ok(builder.finish()?)
}

/// A 1×1 convolution commutes with nearest enlargement: Conv(Concat(Up(a), b)) = Up(Conv(a)) + Conv(b).
///
/// The first convolution then works on the small map, and neither the enlarged map nor the concatenation is ever built: in a
/// U-Net's decoder these are the largest maps of all.
pub fn commute_upsampling(graph: &Graph, mut parameters: Parameters) -> Result<(Graph, Parameters), RewriteError> {
    let readers = graph.readers();
    let (mut builder, input) = Builder::new(graph.input_shape());
    let mut place = HashMap::from([(NodeId(0), input)]);
    let splits: HashMap<NodeId, Split> =
        graph.ids().filter_map(|id| Some((id, Split::find(graph, &readers, id)?))).collect();
    for id in graph.ids().skip(1) {
        if splits.contains_key(&id) || splits.values().any(|s| s.enlarged.iter().any(|(up, _)| *up == id)) {
            continue;
        }
        let node = graph.node(id);
        let split = node.inputs.first().and_then(|i| splits.get(i));
        let new = match split {
            Some(split) => split.convolve(graph, id, &mut builder, &place, &mut parameters)?,
            None => {
                let inputs: Vec<NodeId> = node.inputs.iter().map(|i| place[i]).collect();
                builder.push(node.name.clone(), node.op.clone(), &inputs)
            }
        };
        place.insert(id, new);
    }
    Ok((builder.finish()?, parameters))
}

/// A concatenation whose every reader is a 1×1 convolution and some of whose inputs are enlarged maps that nobody else reads.
struct Split {
    concat: NodeId,
    /// Enlargements among the inputs, with their factors.
    enlarged: Vec<(NodeId, usize)>,
}

impl Split {
    fn find(graph: &Graph, readers: &[Vec<NodeId>], concat: NodeId) -> Option<Self> {
        let node = graph.node(concat);
        let pointwise = |reader: &NodeId| matches!(graph.node(*reader).op, Op::Conv { window, .. } if window.size == [1, 1] && window.stride == [1, 1] && !matches!(window.padding, Padding::Explicit(_)));
        if node.op != Op::Concat || readers[concat.0].is_empty() || !readers[concat.0].iter().all(pointwise) {
            return None;
        }
        let enlarged: Vec<_> = node
            .inputs
            .iter()
            .filter_map(|i| match graph.node(*i).op {
                Op::Upsample { factor } if readers[i.0].len() == 1 => Some((*i, factor)),
                _ => None,
            })
            .collect();
        (!enlarged.is_empty() && enlarged.len() < node.inputs.len()).then_some(Self { concat, enlarged })
    }

    /// Builds the replacement of convolution `id`; the closing sum bears its name.
    fn convolve(
        &self,
        graph: &Graph,
        id: NodeId,
        builder: &mut Builder,
        place: &HashMap<NodeId, NodeId>,
        parameters: &mut Parameters,
    ) -> Result<NodeId, RewriteError> {
        let node = graph.node(id);
        let Op::Conv { filters, bias, .. } = node.op else { unreachable!("only convolutions are split") };
        let name = |part: &str, role: Role| format!("{}{part}.{}", node.name, role.suffix());
        let missing = |name: String| candle_core::Error::Msg(format!("no tensor `{name}`"));
        let kernel = name("", Role::Kernel);
        let kernel = parameters.remove(&kernel).ok_or_else(|| missing(kernel))?;
        if bias {
            let old = name("", Role::Bias);
            let values = parameters.remove(&old).ok_or_else(|| missing(old))?;
            parameters.insert(name(".rest", Role::Bias), values);
        }
        let window = Window::dense(1, Padding::Valid);
        let (mut rest, mut rest_kernels, mut low) = (Vec::new(), Vec::new(), Vec::new());
        let mut from = 0;
        for part in &graph.node(self.concat).inputs {
            let channels = graph.node(*part).shape.channels();
            let slice = kernel.narrow(1, from, channels)?.contiguous()?;
            from += channels;
            match self.enlarged.iter().find(|(up, _)| up == part) {
                Some((up, factor)) => {
                    let label = format!(".low{}", low.len());
                    parameters.insert(name(&label, Role::Kernel), slice);
                    let small = place[&graph.node(*up).inputs[0]];
                    let op = Op::Conv { filters, window, bias: false };
                    let small = builder.push(format!("{}{label}", node.name), op, &[small]);
                    let label = format!("{}.up{}", node.name, low.len());
                    low.push(builder.push(label, Op::Upsample { factor: *factor }, &[small]));
                }
                None => {
                    rest.push(place[part]);
                    rest_kernels.push(slice);
                }
            }
        }
        parameters.insert(name(".rest", Role::Kernel), candle_core::Tensor::cat(&rest_kernels, 1)?);
        let input = match rest[..] {
            [one] => one,
            _ => builder.push(format!("{}.parts", node.name), Op::Concat, &rest),
        };
        let mut sum = builder.push(format!("{}.rest", node.name), Op::Conv { filters, window, bias }, &[input]);
        for (i, low) in low.iter().enumerate().rev() {
            let label = if i == 0 { node.name.clone() } else { format!("{}.sum{i}", node.name) };
            sum = builder.push(label, Op::Add, &[sum, *low]);
        }
        Ok(sum)
    }
}

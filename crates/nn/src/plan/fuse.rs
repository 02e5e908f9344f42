//! Which nodes of a graph run as one operation.
//!
//! A convolution takes along, in this order: an addition, a ReLU, a batch-norm that could not be folded and a 2×2 max-pool (which
//! commutes with ReLU). It then runs where the last of them stands, so the other summand is there already.

use crate::graph::{Activation, Graph, NodeId, Op, Window};
use std::collections::HashMap;

/// A map that is added, enlarged by 2^shift on the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Addend {
    pub node: NodeId,
    pub shift: u32,
}

/// A convolution with what it does to its sums before they are stored.
#[derive(Debug, Clone, PartialEq)]
pub struct FusedConv {
    pub conv: NodeId,
    pub addend: Option<Addend>,
    pub clamp: Option<Activation>,
    /// A batch-norm after the clamp.
    pub affine: Option<NodeId>,
    /// 2×2 max-pool at the end.
    pub pool: bool,
}

/// One operation of the plan.
#[derive(Debug, Clone, PartialEq)]
pub enum Work {
    Conv(FusedConv),
    /// With the ReLU behind it.
    Depthwise {
        conv: NodeId,
        clamp: Option<Activation>,
    },
    /// The node alone.
    Node,
}

/// An operation and the node whose value it leaves.
#[derive(Debug, Clone, PartialEq)]
pub struct Stage {
    pub output: NodeId,
    pub work: Work,
}

/// Stages in the order they run, for a graph without dropout; the input is none.
pub fn fuse(graph: &Graph) -> Vec<Stage> {
    let readers = graph.readers();
    let mut stages: HashMap<NodeId, Work> = HashMap::new();
    for id in graph.ids().skip(1) {
        let node = graph.node(id);
        // The convolution that a node may join must have nobody else waiting for its bare value.
        let joinable = |input: NodeId| readers[input.0].len() == 1;
        let conv_at = |stages: &HashMap<NodeId, Work>, input: NodeId| match stages.get(&input) {
            Some(Work::Conv(conv)) if joinable(input) => Some(conv.clone()),
            _ => None,
        };
        let mut absorbed: Vec<NodeId> = node.inputs.iter().copied().take(1).collect();
        let fused = match (&node.op, node.inputs.as_slice()) {
            (Op::Conv { .. }, _) => {
                absorbed.clear();
                Some(Work::Conv(FusedConv { conv: id, addend: None, clamp: None, affine: None, pool: false }))
            }
            (Op::DepthwiseConv { .. }, _) => {
                absorbed.clear();
                Some(Work::Depthwise { conv: id, clamp: None })
            }
            (Op::Activation { function }, [input]) if function.bounds().is_some() => {
                match stages.get(input).filter(|_| joinable(*input)) {
                    Some(Work::Depthwise { conv, clamp: None }) => {
                        Some(Work::Depthwise { conv: *conv, clamp: Some(*function) })
                    }
                    _ => conv_at(&stages, *input)
                        .filter(|c| c.clamp.is_none() && c.affine.is_none())
                        .map(|c| Work::Conv(FusedConv { clamp: Some(*function), ..c })),
                }
            }
            (Op::BatchNorm { .. } | Op::Affine, [input]) => conv_at(&stages, *input)
                .filter(|c| c.affine.is_none() && !c.pool)
                .map(|c| Work::Conv(FusedConv { affine: Some(id), ..c })),
            (Op::MaxPool { window }, [input]) if *window == Window::tiles(2) => {
                conv_at(&stages, *input).filter(|c| !c.pool).map(|c| Work::Conv(FusedConv { pool: true, ..c }))
            }
            (Op::Add, [a, b]) if a != b && graph.node(*a).shape == graph.node(*b).shape => {
                let candidates = [(*a, *b), (*b, *a)].map(|(own, other)| {
                    let conv = conv_at(&stages, own)
                        .filter(|c| c.addend.is_none() && c.clamp.is_none() && c.affine.is_none() && !c.pool)?;
                    let enlarged = match graph.node(other).op {
                        Op::Upsample { factor } if joinable(other) && factor.is_power_of_two() => Some(factor),
                        _ => None,
                    };
                    Some((own, other, enlarged, conv))
                });
                // Rather the side whose other summand need not be enlarged in memory.
                let best = candidates.into_iter().flatten().max_by_key(|(.., enlarged, _)| enlarged.is_some());
                best.map(|(own, other, enlarged, conv)| {
                    absorbed = vec![own];
                    let addend = match enlarged {
                        Some(factor) => {
                            absorbed.push(other);
                            Addend { node: graph.node(other).inputs[0], shift: factor.ilog2() }
                        }
                        None => Addend { node: other, shift: 0 },
                    };
                    Work::Conv(FusedConv { addend: Some(addend), ..conv })
                })
            }
            _ => None,
        };
        if fused.is_some() {
            for done in absorbed {
                stages.remove(&done);
            }
        }
        stages.insert(id, fused.unwrap_or(Work::Node));
    }
    let mut stages: Vec<Stage> = stages.into_iter().map(|(output, work)| Stage { output, work }).collect();
    stages.sort_by_key(|stage| stage.output);
    stages
}

impl Stage {
    /// The nodes whose values this stage reads.
    pub fn reads(&self, graph: &Graph) -> Vec<NodeId> {
        match &self.work {
            Work::Conv(conv) => {
                graph.node(conv.conv).inputs.iter().copied().chain(conv.addend.map(|a| a.node)).collect()
            }
            Work::Depthwise { conv, .. } => graph.node(*conv).inputs.clone(),
            Work::Node => graph.node(self.output).inputs.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{Builder, Padding, Shape};

    /// conv → BN-like chain with a shortcut and a pool becomes two operations; a value with two readers is never swallowed.
    #[test]
    fn a_residual_block_is_two_operations() {
        let (mut b, x) = Builder::new(Shape::Image { height: 8, width: 8, channels: 4 });
        let main = b.conv("main", x, 8, Window::dense(3, Padding::Same));
        let short = b.conv("short", x, 8, Window::dense(1, Padding::Valid));
        let sum = b.push("sum", Op::Add, &[main, short]);
        let relu = b.relu("relu", sum);
        b.max_pool("pool", relu);
        let graph = b.finish().unwrap();
        let stages = fuse(&graph);
        assert_eq!(stages.len(), 2);
        let Work::Conv(last) = &stages[1].work else { panic!("not fused") };
        assert!(last.pool && last.clamp == Some(Activation::Relu) && last.addend.is_some());

        let (mut b, x) = Builder::new(Shape::Image { height: 8, width: 8, channels: 4 });
        let conv = b.conv("conv", x, 4, Window::dense(3, Padding::Same));
        let relu = b.relu("relu", conv);
        let sum = b.push("sum", Op::Add, &[conv, relu]);
        let graph = b.finish().unwrap();
        assert_eq!(fuse(&graph).iter().map(|s| s.output).collect::<Vec<_>>(), [conv, relu, sum]);
    }

    /// conv(b) + up(a) needs no enlarged map.
    #[test]
    fn an_enlarged_summand_is_read_where_it_is() {
        let (mut b, x) = Builder::new(Shape::Image { height: 8, width: 8, channels: 4 });
        let small = b.max_pool("small", x);
        let up = b.push("up", Op::Upsample { factor: 2 }, &[small]);
        let conv = b.conv("conv", x, 4, Window::dense(1, Padding::Valid));
        b.push("sum", Op::Add, &[up, conv]);
        let graph = b.finish().unwrap();
        let stages = fuse(&graph);
        assert_eq!(stages.len(), 2);
        let Work::Conv(conv) = &stages[1].work else { panic!("not fused") };
        assert_eq!(conv.addend, Some(Addend { node: small, shift: 1 }));
    }
}

//! Whether two graphs describe one computation.

use super::{Graph, GraphError, Node, NodeId, Op};
use std::collections::HashMap;

impl Graph {
    /// Pairs every node of `self` with its twin in `other` when both describe the same computation, names aside.
    ///
    /// The inputs of an addition may stand in either order. `Err` names the layer, seen from the output, where they part.
    pub fn matching(&self, other: &Graph) -> Result<HashMap<NodeId, NodeId>, GraphError> {
        let mut matcher = Matcher { left: self, right: other, twins: HashMap::new(), parting: None };
        if matcher.pair(self.output(), other.output()) {
            return Ok(matcher.twins);
        }
        let (a, b) = matcher.parting.unwrap_or((self.output(), other.output()));
        let (found, wanted) = (self.node(a), other.node(b));
        let describe = |node: &Node| format!("{} giving {}", node.op.label(), node.shape);
        Err(GraphError::Layer {
            layer: found.name.clone(),
            problem: format!("{}, where `{}` is {}", describe(found), wanted.name, describe(wanted)),
        })
    }
}

/// Walks two graphs at once from their outputs.
struct Matcher<'a> {
    left: &'a Graph,
    right: &'a Graph,
    twins: HashMap<NodeId, NodeId>,
    /// Where they first differed.
    parting: Option<(NodeId, NodeId)>,
}

impl Matcher<'_> {
    fn pair(&mut self, a: NodeId, b: NodeId) -> bool {
        if let Some(known) = self.twins.get(&a) {
            return *known == b;
        }
        let (left, right) = (self.left.node(a), self.right.node(b));
        if left.op != right.op || left.shape != right.shape || left.inputs.len() != right.inputs.len() {
            self.parting.get_or_insert((a, b));
            return false;
        }
        let before = self.twins.clone();
        let in_order: Vec<_> = left.inputs.iter().copied().zip(right.inputs.iter().copied()).collect();
        if !in_order.into_iter().all(|(x, y)| self.pair(x, y)) {
            if left.op != Op::Add {
                return false;
            }
            self.twins = before;
            let crossed: Vec<_> = left.inputs.iter().rev().copied().zip(right.inputs.iter().copied()).collect();
            if !crossed.into_iter().all(|(x, y)| self.pair(x, y)) {
                return false;
            }
        }
        self.twins.insert(a, b);
        true
    }
}

//! Where in a network it can be looked: maps that still tell places apart, and what else the output reads beside one of them.

use super::{Graph, NodeId, Op, Shape};

impl Graph {
    /// Maps on which an answer can be explained: of each size the last one that every way from the input to the output goes
    /// through, in node order. The last is the last map before the pooling that ends a classifier. Empty where places are lost at
    /// once.
    pub fn explainable(&self) -> Vec<NodeId> {
        let leads = self.leading();
        let readers = self.readers();
        let mut found: Vec<NodeId> = Vec::new();
        // The farthest node that reads something before the one at hand.
        let mut farthest = 0;
        for id in self.ids().filter(|id| leads[id.0]) {
            let size = self.places_of(id);
            if farthest <= id.0 && id != NodeId::INPUT && !self.only_pools(id) && size > [1, 1] {
                found.retain(|other| self.places_of(*other) != size);
                found.push(id);
            }
            let reader = readers[id.0].iter().filter(|reader| leads[reader.0]).map(|reader| reader.0).max();
            farthest = farthest.max(reader.unwrap_or(id.0));
        }
        found
    }

    /// The map called `name`, where an answer can be explained on it: it tells places apart, and the output depends on it.
    pub fn explainable_map(&self, name: &str) -> Option<NodeId> {
        let id = self.find(name).filter(|id| *id != NodeId::INPUT)?;
        (self.leading()[id.0] && self.places_of(id) > [1, 1]).then_some(id)
    }

    /// What `until` reads, directly or not, beside `layer`: values that do not depend on the layer, but that nodes behind it read.
    pub fn read_beside(&self, layer: NodeId, until: NodeId) -> Vec<NodeId> {
        let mut behind = vec![false; self.nodes().len()];
        behind[layer.0] = true;
        for id in self.ids() {
            behind[id.0] |= self.node(id).inputs.iter().any(|input| behind[input.0]);
        }
        let leads = self.leading_to(until);
        let readers = self.ids().filter(|id| *id != layer && behind[id.0] && leads[id.0]);
        let mut beside: Vec<NodeId> =
            readers.flat_map(|id| &self.node(id).inputs).copied().filter(|input| !behind[input.0]).collect();
        beside.sort();
        beside.dedup();
        beside
    }

    /// Rows and columns of a node's map, the larger first; one place for a vector.
    fn places_of(&self, id: NodeId) -> [usize; 2] {
        match self.node(id).shape {
            Shape::Image { height, width, .. } => [height.max(width), height.min(width)],
            Shape::Vector { .. } => [1, 1],
        }
    }

    /// Whether the node's map is one before it, only coarser or with a frame.
    fn only_pools(&self, id: NodeId) -> bool {
        matches!(
            self.node(id).op,
            Op::MaxPool { .. } | Op::AveragePool { .. } | Op::ZeroPad { .. } | Op::Crop { .. } | Op::Dropout { .. }
        )
    }

    /// For each node whether the output depends on it.
    fn leading(&self) -> Vec<bool> {
        self.leading_to(self.output())
    }

    fn leading_to(&self, until: NodeId) -> Vec<bool> {
        let mut leads = vec![false; self.nodes().len()];
        leads[until.0] = true;
        for id in self.ids().rev().filter(|id| *id <= until) {
            if leads[id.0] {
                self.node(id).inputs.iter().for_each(|input| leads[input.0] = true);
            }
        }
        leads
    }
}

#[cfg(test)]
mod tests {
    use crate::zoo::Architecture;

    fn names(architecture: Architecture) -> Vec<String> {
        let graph = architecture.graph(architecture.native().side).unwrap();
        graph.explainable().into_iter().map(|id| graph.node(id).name.clone()).collect()
    }

    #[test]
    fn the_last_map_before_pooling_is_offered_and_one_of_each_size_before_it() {
        let resnet = ["stem1.norm", "stem1.relu", "stem2.norm", "block3.relu", "tail.norm", "tail.relu"];
        assert_eq!(names(Architecture::ResnetClassifier), resnet);
        let vgg = names(Architecture::Vgg16);
        assert_eq!((vgg.len(), vgg.last().map(String::as_str)), (5, Some("block5_conv3_relu")));
        let lite = names(Architecture::EfficientnetLite0);
        assert_eq!(lite.last().map(String::as_str), Some("_bn1_relu"));
        // 112, 56, 28, 14 and 7 pixels.
        assert_eq!(lite.len(), 5, "{lite:?}");
    }

    /// A map in one of two branches is no way that everything goes through. What the other branch gives is read beside it.
    #[test]
    fn branches_are_told_from_the_trunk() {
        let graph = Architecture::ResnetClassifier.graph(256).unwrap();
        let at = |name: &str| graph.find(name).unwrap();
        let offered = graph.explainable();
        assert!(!offered.contains(&at("block1.main_norm")));
        let beside = graph.read_beside(at("block1.main_norm"), graph.output());
        assert_eq!(beside, [at("block1.shortcut_norm")]);
        assert!(graph.read_beside(at("tail.relu"), graph.output()).is_empty());
        assert_eq!(graph.explainable_map("block1.main_norm"), Some(at("block1.main_norm")));
        assert!(graph.explainable_map("input").is_none() && graph.explainable_map("dense1").is_none());
    }
}

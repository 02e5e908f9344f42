//! A network that also tells what its inner layers saw.

use super::{Builder, Graph, GraphError, NodeId, Op, Shape};

impl Graph {
    /// The same network with one vector for its output: the values of the old output, flat, and behind them the mean over all
    /// places of each of `layers`, channel by channel. The layers are computed once for both.
    ///
    /// # Errors
    /// If a layer gives a vector, or a layer's name ends as the names of the added nodes do.
    pub fn probed(&self, layers: &[NodeId]) -> Result<Graph, GraphError> {
        let mut builder = Builder::from(self.clone());
        let flat = |builder: &mut Builder, id: NodeId| match self.node(id).shape {
            Shape::Vector { .. } => id,
            Shape::Image { .. } => builder.push("probe.answer", Op::Flatten, &[id]),
        };
        let mut parts = vec![flat(&mut builder, self.output())];
        parts.extend(self.means(&mut builder, layers));
        builder.push("probe", Op::Concat, &parts);
        builder.finish()
    }

    /// The part of the network that computes `layers`, with the mean over all places of each for its output.
    ///
    /// # Errors
    /// As [`Self::probed`], or if there is no layer.
    pub fn means_of(&self, layers: &[NodeId]) -> Result<Graph, GraphError> {
        let last = layers.iter().max().copied().unwrap_or(self.output());
        let mut builder = Builder::from(self.up_to(last));
        let parts = self.means(&mut builder, layers);
        builder.push("probe", Op::Concat, &parts);
        builder.finish()
    }

    fn means(&self, builder: &mut Builder, layers: &[NodeId]) -> Vec<NodeId> {
        let mean = |id: &NodeId| builder.push(format!("probe.{}", self.node(*id).name), Op::GlobalAveragePool, &[*id]);
        layers.iter().map(mean).collect()
    }

    /// Three layers from the middle to the end of the way to the coarsest map, where parts of a network meet: what they see is
    /// general enough to tell kinds of pictures apart.
    pub fn landmarks(&self) -> Vec<NodeId> {
        let rows = |id: &NodeId| match self.node(*id).shape {
            Shape::Image { height, .. } => Some(height),
            Shape::Vector { .. } => None,
        };
        let coarsest = self.ids().filter_map(|id| rows(&id)).min();
        let end = self.ids().rev().find(|id| rows(id).is_some() && rows(id) == coarsest);
        let readers = self.readers();
        let is_map = |id: &NodeId| id.0 > 0 && Some(*id) <= end && rows(id).is_some();
        let is_pooled = |id: &NodeId| {
            readers[id.0].iter().any(|reader| {
                matches!(self.node(*reader).op, Op::MaxPool { .. } | Op::AveragePool { .. } | Op::GlobalAveragePool)
            })
        };
        let meets = |id: &NodeId| matches!(self.node(*id).op, Op::Add | Op::Concat);
        let kinds: [&dyn Fn(&NodeId) -> bool; 3] = [&meets, &is_pooled, &|_| true];
        let of_kind = |kind: &dyn Fn(&NodeId) -> bool| self.ids().filter(|id| is_map(id) && kind(id)).collect();
        let mut found: Vec<NodeId> = Vec::new();
        for kind in kinds {
            found = of_kind(kind);
            if found.len() >= 3 {
                break;
            }
        }
        let last = found.len().saturating_sub(1);
        let mut places = vec![last * 3 / 8, last * 5 / 8, last];
        places.dedup();
        places.into_iter().filter_map(|place| found.get(place).copied()).collect()
    }

    /// The last map that the output depends on: of a classifier, what its last pooling layer reads. `None` if there is none.
    pub fn last_map(&self) -> Option<NodeId> {
        let mut place = self.output();
        loop {
            match self.node(place).shape {
                Shape::Image { .. } => return Some(place),
                Shape::Vector { .. } => place = *self.node(place).inputs.first()?,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::exec::{Backend, Parameters, Pass};
    use crate::graph::{Graph, Role};
    use crate::plan::Plan;
    use crate::plan::isa::Isa;
    use crate::zoo::Architecture;
    use candle_core::{DType, Device, Tensor};

    #[test]
    fn landmarks_stand_where_parts_meet() {
        let names = |architecture: Architecture, side: usize| {
            let graph = architecture.graph(side).unwrap();
            graph.landmarks().iter().map(|id| graph.node(*id).name.clone()).collect::<Vec<_>>()
        };
        let lite = ["_blocks.7.add", "_blocks.10.add", "_blocks.14.add"];
        assert_eq!(names(Architecture::EfficientnetLite0, 64), lite);
        assert_eq!(names(Architecture::EfficientnetUnet, 64), lite);
        // VGG16 has no sums: what its five pooling layers read.
        assert_eq!(names(Architecture::Vgg16, 64).len(), 3);
    }

    /// Values that differ from place to place.
    fn number(i: usize, salt: f64) -> f64 {
        ((i as f64 * 12.9898 + salt) * 1.618).sin()
    }

    fn parameters(graph: &Graph) -> Parameters {
        let tensor = |(salt, p): (usize, crate::graph::Parameter)| {
            let value = |i: usize| match p.role {
                Role::RunningVariance | Role::Scale => 1.0 + 0.4 * number(i, salt as f64),
                _ => 0.1 * number(i, salt as f64),
            };
            let values: Vec<f64> = (0..p.shape.iter().product()).map(value).collect();
            let tensor = Tensor::from_vec(values, p.shape.as_slice(), &Device::Cpu).unwrap();
            (p.name, tensor.to_dtype(DType::F32).unwrap())
        };
        graph.parameters().into_iter().enumerate().map(tensor).collect()
    }

    /// The plan of a probed classifier and of a probed segmenter gives the plain answer and the layer's means, to 1e-4 of what
    /// candle computes node by node.
    #[test]
    fn a_probed_plan_gives_the_answer_and_the_means_of_the_layer() {
        let side = 64;
        for (architecture, layer) in [
            (Architecture::EfficientnetLite0, "_blocks.10.add"),
            (Architecture::EfficientnetUnet, "_blocks.10.add"),
            (Architecture::Resunet, "none"),
        ] {
            let graph = architecture.graph(side).unwrap();
            let layer = graph.find(layer).or_else(|| graph.ids().nth(graph.nodes().len() / 2)).unwrap();
            let probed = graph.probed(&[layer]).unwrap();
            let parameters = parameters(&graph);
            let x: Vec<f32> = (0..2 * side * side * 3).map(|i| number(i, 0.3) as f32).collect();
            let plan = Plan::compile(&probed, parameters.clone(), Isa::exact()).unwrap();
            let given = plan.run(&x, &|| false).unwrap();
            let x = Tensor::from_vec(x, (2, side, side, 3), &Device::Cpu).unwrap();
            let mut pass = Pass {
                graph: &graph,
                parameters: &parameters,
                backend: Backend::Stock,
                training: None,
                cancelled: &|| false,
            };
            let values = pass.run_to(&x, &[layer, graph.output()]).unwrap();
            let means = values[0].mean((1, 2)).unwrap();
            let wanted = Tensor::cat(&[values[1].flatten_from(1).unwrap(), means], 1).unwrap();
            let wanted = wanted.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            assert_eq!(given.len(), wanted.len());
            let off = given.iter().zip(&wanted).map(|(a, b)| (a - b).abs() / (1.0 + b.abs())).fold(0.0, f32::max);
            assert!(off < 1e-4, "{architecture:?}: off by {off}");
        }
    }
}

//! Deep supervision (Lee et al. 2015): while training, inner maps are asked for the outline as well, each through a 1×1 convolution
//! that is thrown away in the end. A classifier so learns where the tumour is, not only whether there is one.

use super::error::TrainError;
use super::loss;
use candle_core::{DType, Device, Result, Tensor};
use lesionlens_nn::graph::{Builder, Cells, Graph, NodeId, Padding, Window};
use serde::{Deserialize, Serialize};

/// An inner layer that learns from outlines.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeepSupervision {
    /// Must give a map.
    pub layer: String,
    /// Of its cross-entropy in the sum that is minimised.
    pub weight: f64,
}

/// A network with what is added to train it.
pub struct Supervised {
    /// The network's nodes, then the heads.
    pub graph: Graph,
    logits: NodeId,
    heads: Vec<Head>,
}

struct Head {
    node: NodeId,
    weight: f64,
    cells: [Cells; 2],
}

impl Supervised {
    /// # Errors
    /// If a layer is not there or gives no map.
    pub fn new(network: &Graph, rules: &[DeepSupervision]) -> std::result::Result<Self, TrainError> {
        let mut builder = Builder::from(network.clone());
        let mut heads = Vec::new();
        for DeepSupervision { layer, weight } in rules {
            let found = network.find(layer);
            let Some((inner, cells)) = found.and_then(|id| Some((id, network.cells(id)?))) else {
                let what = if found.is_some() { "gives no map" } else { "is no layer" };
                return Err(TrainError::Data(format!(
                    "`deep_supervision` names `{layer}`, which {what} of the network"
                )));
            };
            let node = builder.conv(format!("{layer}.outline"), inner, 1, Window::dense(1, Padding::Valid));
            heads.push(Head { node, weight: *weight, cells });
        }
        Ok(Self { graph: builder.finish()?, logits: network.logits(), heads })
    }

    /// Nodes whose values [`Self::loss`] wants, the network's logits first.
    pub fn outputs(&self) -> Vec<NodeId> {
        [self.logits].into_iter().chain(self.heads.iter().map(|head| head.node)).collect()
    }

    /// What each head should say of outlines of side² pixels, each 0 or 1: the share of tumour in each cell, n × rows × columns × 1.
    pub fn targets(&self, outlines: &[&[f32]], side: usize, device: &Device) -> Result<Vec<Tensor>> {
        let target = |head: &Head| {
            let [rows, columns] = head.cells;
            let shares: Vec<f32> = outlines.iter().flat_map(|outline| shares(outline, side, head.cells)).collect();
            Tensor::from_vec(shares, (outlines.len(), rows.count, columns.count, 1), device)
        };
        self.heads.iter().map(target).collect()
    }

    /// The weighed cross-entropies of the heads' `answers`, to be added to the network's own loss.
    pub fn loss(&self, own: Tensor, answers: &[Tensor], targets: &[Tensor]) -> Result<Tensor> {
        let mut sum = own;
        for ((head, answer), target) in self.heads.iter().zip(answers).zip(targets) {
            sum = (sum + (loss::bce(&answer.to_dtype(DType::F32)?, target)? * head.weight)?)?;
        }
        Ok(sum)
    }
}

/// The mean of an outline in each cell's own square, row by row; 0 beyond the picture.
fn shares(outline: &[f32], side: usize, [rows, columns]: [Cells; 2]) -> Vec<f32> {
    let width = |cells: Cells| cells.step.round().max(1.0);
    let spans = |cells: Cells| -> Vec<std::ops::Range<usize>> {
        let inside = |edge: f64| edge.clamp(0.0, side as f64) as usize;
        let span = |i: usize| {
            let from = (cells.first + i as f64 * cells.step - (width(cells) - 1.0) / 2.0).round();
            inside(from)..inside(from + width(cells))
        };
        (0..cells.count).map(span).collect()
    };
    let (down, across) = (spans(rows), spans(columns));
    let area = (width(rows) * width(columns)) as f32;
    let share = |y: &std::ops::Range<usize>, x: &std::ops::Range<usize>| {
        y.clone().map(|row| outline[row * side..][x.clone()].iter().sum::<f32>()).sum::<f32>() / area
    };
    down.iter().flat_map(|y| across.iter().map(|x| share(y, x)).collect::<Vec<_>>()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A 6×6 outline with its lower right 3×3 filled, seen by 2×2 cells of a step of 2: by hand.
    #[test]
    fn shares_of_tumour_by_hand() {
        let outline: Vec<f32> = (0..36).map(|i| if i / 6 >= 3 && i % 6 >= 3 { 1.0 } else { 0.0 }).collect();
        let cells = Cells { count: 3, step: 2.0, first: 0.5 };
        assert_eq!(shares(&outline, 6, [cells; 2]), [0.0, 0.0, 0.0, 0.0, 0.25, 0.5, 0.0, 0.5, 1.0]);
        // The last cell of these rows lies half beyond the picture.
        let shifted = Cells { first: 1.5, ..cells };
        assert_eq!(shares(&outline, 6, [shifted, cells])[6..], [0.0, 0.25, 0.5]);
    }

    #[test]
    fn only_maps_of_the_network_can_be_supervised() {
        let network = lesionlens_nn::zoo::Architecture::ResnetClassifier.graph(64).unwrap();
        let of = |layer: &str| Supervised::new(&network, &[DeepSupervision { layer: layer.into(), weight: 1.0 }]);
        assert!(of("tail.relu").is_ok());
        for layer in ["dense1", "nowhere"] {
            let error = of(layer).err().map(|e| e.to_string()).unwrap_or_default();
            assert!(error.contains(layer), "{error}");
        }
    }
}

//! The architectures the program knows by name, one builder a file.

mod resnet_classifier;
mod resunet;

use super::graph::{Builder, Graph, GraphError, NodeId, Op, Padding, Shape, Window};
use serde::{Deserialize, Serialize};

/// A named architecture; its text form is what cards and the command line use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Architecture {
    ResnetClassifier,
    Resunet,
}

impl Architecture {
    pub const ALL: [Architecture; 2] = [Architecture::ResnetClassifier, Architecture::Resunet];

    /// The name used in cards, recipes and on the command line.
    pub fn id(self) -> &'static str {
        match self {
            Architecture::ResnetClassifier => "resnet-classifier",
            Architecture::Resunet => "resunet",
        }
    }

    /// Side of the square input the published network takes.
    pub fn native_side(self) -> usize {
        256
    }

    /// The network for `side`×`side`×3 inputs.
    pub fn graph(self, side: usize) -> Result<Graph, GraphError> {
        let input = Shape::Image { height: side, width: side, channels: 3 };
        match self {
            Architecture::ResnetClassifier => resnet_classifier::build(input),
            Architecture::Resunet => resunet::build(input),
        }
    }
}

/// Residual block of both LGG networks: 1×1 → BN → ReLU → 3×3 → BN beside a 1×1 → BN shortcut, added, then ReLU.
fn residual_block(b: &mut Builder, name: &str, input: NodeId, filters: usize) -> NodeId {
    let x = b.conv(format!("{name}.reduce"), input, filters, Window::dense(1, Padding::Valid));
    let x = b.batch_norm(format!("{name}.reduce_norm"), x);
    let x = b.relu(format!("{name}.reduce_relu"), x);
    let x = b.conv(format!("{name}.main"), x, filters, Window::dense(3, Padding::Same));
    let x = b.batch_norm(format!("{name}.main_norm"), x);
    let s = b.conv(format!("{name}.shortcut"), input, filters, Window::dense(1, Padding::Valid));
    let s = b.batch_norm(format!("{name}.shortcut_norm"), s);
    let x = b.push(format!("{name}.add"), Op::Add, &[x, s]);
    b.relu(format!("{name}.relu"), x)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counts printed by Keras' `summary()` for the two published networks.
    #[test]
    fn parameter_counts_are_those_of_keras() {
        for (architecture, count) in [(Architecture::ResnetClassifier, 8_880_897), (Architecture::Resunet, 1_210_513)] {
            assert_eq!(architecture.graph(256).unwrap().parameter_count(), count, "{}", architecture.id());
        }
    }

    #[test]
    fn shapes_are_those_of_the_papers() {
        let classifier = Architecture::ResnetClassifier.graph(256).unwrap();
        assert_eq!(classifier.node(classifier.find("flatten").unwrap()).shape, Shape::Vector { len: 57_600 });
        assert_eq!(classifier.output_shape(), Shape::Vector { len: 1 });
        let resunet = Architecture::Resunet.graph(256).unwrap();
        assert_eq!(resunet.output_shape(), Shape::Image { height: 256, width: 256, channels: 1 });
    }
}

//! The architectures the program knows by name, one builder a file.

mod efficientnet_lite0;
mod inception_v3;
mod resnet50;
mod resnet_classifier;
mod resunet;
mod small_cnn;
mod vgg16;

use super::graph::{Builder, Graph, GraphError, NodeId, Op, Padding, Shape, Window};
use serde::{Deserialize, Serialize};

/// A named architecture; its text form is what cards and the command line use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Architecture {
    ResnetClassifier,
    Resunet,
    Vgg16,
    Vgg16V2,
    Resnet50,
    InceptionV3,
    SmallCnn,
    EfficientnetLite0,
    EfficientnetUnet,
}

/// What an architecture is built for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Format {
    /// Side of the square input in pixels.
    pub side: usize,
    /// Channels of the input.
    pub channels: usize,
    /// Values that come out: one for yes or no and for a mask, else one a class.
    pub outputs: usize,
}

impl Architecture {
    pub const ALL: [Architecture; 9] = [
        Architecture::ResnetClassifier,
        Architecture::Resunet,
        Architecture::Vgg16,
        Architecture::Vgg16V2,
        Architecture::Resnet50,
        Architecture::InceptionV3,
        Architecture::SmallCnn,
        Architecture::EfficientnetLite0,
        Architecture::EfficientnetUnet,
    ];

    /// The name used in cards, recipes and on the command line.
    pub fn id(self) -> &'static str {
        match self {
            Architecture::ResnetClassifier => "resnet-classifier",
            Architecture::Resunet => "resunet",
            Architecture::Vgg16 => "vgg16",
            Architecture::Vgg16V2 => "vgg16-v2",
            Architecture::Resnet50 => "resnet50",
            Architecture::InceptionV3 => "inception-v3",
            Architecture::SmallCnn => "small-cnn",
            Architecture::EfficientnetLite0 => "efficientnet-lite0",
            Architecture::EfficientnetUnet => "efficientnet-unet",
        }
    }

    /// What the published network takes and gives; for the four-class networks, glioma, meningioma, pituitary and none.
    pub fn native(self) -> Format {
        match self {
            Architecture::ResnetClassifier | Architecture::Resunet | Architecture::EfficientnetUnet => {
                Format { side: 256, channels: 3, outputs: 1 }
            }
            Architecture::SmallCnn => Format { side: 224, channels: 1, outputs: 1 },
            _ => Format { side: 224, channels: 3, outputs: 4 },
        }
    }

    /// The published network for `side`×`side` inputs.
    pub fn graph(self, side: usize) -> Result<Graph, GraphError> {
        self.with(Format { side, ..self.native() })
    }

    /// The network for inputs and outputs of one's own; the LGG pair and the other U-Net always have one output.
    pub fn with(self, format: Format) -> Result<Graph, GraphError> {
        let Format { side, channels, outputs } = format;
        let input = Shape::Image { height: side, width: side, channels };
        match self {
            Architecture::ResnetClassifier => resnet_classifier::build(input),
            Architecture::Resunet => resunet::build(input),
            Architecture::Vgg16 => vgg16::build(input, outputs),
            Architecture::Vgg16V2 => vgg16::build_v2(input, outputs),
            Architecture::Resnet50 => resnet50::build(input, outputs),
            Architecture::InceptionV3 => inception_v3::build(input, outputs),
            Architecture::SmallCnn => small_cnn::build(input, outputs),
            Architecture::EfficientnetLite0 => efficientnet_lite0::build(input, outputs),
            Architecture::EfficientnetUnet => efficientnet_lite0::build_unet(input),
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

    /// Counts printed by Keras' `summary()`: the LGG pair whole, the others as documented for the base, plus the head by hand.
    #[test]
    fn parameter_counts_are_those_of_keras() {
        let dense = |inputs: usize, units: usize| inputs * units + units;
        let conv = |inputs: usize, filters: usize| 9 * inputs * filters + filters;
        let vgg = 14_714_688;
        let v2 = vgg + conv(512, 256) + conv(256, 128) + dense(128, 256) + dense(256, 128) + dense(128, 4);
        let small =
            conv(1, 32) + conv(32, 64) + conv(64, 128) + conv(128, 256) + dense(14 * 14 * 256, 64) + dense(64, 1);
        for (architecture, count) in [
            (Architecture::ResnetClassifier, 8_880_897),
            (Architecture::Resunet, 1_210_513),
            (Architecture::Vgg16, vgg + dense(7 * 7 * 512, 4)),
            (Architecture::Vgg16V2, v2),
            (Architecture::Resnet50, 23_587_712 + dense(2048, 128) + dense(128, 4)),
            (Architecture::InceptionV3, 21_802_784 + dense(2048, 256) + dense(256, 4)),
            (Architecture::SmallCnn, small),
            // Of the PyTorch port, with running statistics, without its own head.
            (Architecture::EfficientnetLite0, 3_413_024 + dense(1280, 4)),
        ] {
            let graph = architecture.graph(architecture.native().side).unwrap();
            assert_eq!(graph.parameter_count(), count, "{}", architecture.id());
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

//! State dicts of PyTorch's model libraries, torchvision and timm → networks that run here.
//!
//! A state dict holds names and numbers, no network; the network is found by the names and its sizes by the shapes. Networks of
//! convolutions become a [`Graph`] and run as this crate's own do: candle-transformers' VGG ends in a ReLU and has a thousand
//! classes whatever the file holds, its EfficientNet pads as TensorFlow does, which torchvision's weights were not trained for, and
//! depthwise convolutions take ten times as long in candle. Vision transformers, MobileNetV4s with attention and ConvNeXts of the second version
//! run through candle-transformers ([`stock`]).
//!
//! Such networks end in bare scores; a sigmoid is put behind a single one, a softmax behind several.

mod assembly;
mod bottleneck;
mod convnext;
mod densenet;
mod dict;
mod efficientnet;
mod mobilenet_v2;
mod mobilenet_v3;
mod mobilenet_v4;
pub mod pickle;
mod renaming;
mod resnet;
mod segmentation_models;
mod shufflenet;
mod squeezenet;
pub mod stock;
mod transformer;
mod unet;
mod vgg;

use super::exec::Parameters;
use super::graph::{Graph, GraphError, Shape};
use super::weights::{self, WeightsError};
use dict::Dict;
use pickle::PytorchError;
use stock::{Kind, Stock};

/// Side of the square pictures that these libraries train on unless told otherwise.
const USUAL_SIDE: usize = 224;

/// Why a state dict does not become a network.
#[derive(Debug, thiserror::Error)]
pub enum TorchError {
    #[error(transparent)]
    Pickle(#[from] PytorchError),
    #[error(transparent)]
    Weights(#[from] WeightsError),
    #[error(
        "its tensors are named as in no network that is known here (the first are {first}); known are ResNet, VGG, DenseNet, SqueezeNet, ShuffleNetV2, MobileNetV2 to V4, EfficientNet, ConvNeXt and ViT as torchvision and timm name them, and the U-Nets of brain-segmentation-pytorch, Pytorch-UNet, MONAI and segmentation_models_pytorch (encoders of ResNet and EfficientNet); export any other network to ONNX (`torch.onnx.export`) and import that file"
    )]
    Unknown { first: String },
    #[error("it holds no tensors with names; save `model.state_dict()` alone")]
    Empty,
    #[error("it is named as a {name}, but:\n  {}", weights::listed(.problems))]
    Mismatch { name: &'static str, problems: Vec<String> },
    #[error(transparent)]
    Graph(#[from] GraphError),
    #[error("a {name} takes pictures of {wanted}, not {side} pixels")]
    Side { name: &'static str, side: usize, wanted: String },
    #[error(transparent)]
    Tensor(#[from] candle_core::Error),
}

/// A network that was found in a state dict.
#[derive(Debug)]
pub enum TorchModel {
    /// Runs as this crate's own networks.
    Graph { name: &'static str, graph: Graph, weights: Parameters },
    /// Runs through candle-transformers; the weights have the file's names.
    Stock { kind: Kind, side: usize, outputs: usize, weights: Parameters },
}

/// How an EfficientNet was trained: timm's `tf_` ones pad as TensorFlow and have another ε, and no tensor tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Flavour {
    #[default]
    Torch,
    TensorFlow,
}

/// What cannot be read from the tensors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Hints {
    /// Side of the square input in pixels; 224 by default, and what a vision transformer's positions say.
    pub side: Option<usize>,
    pub flavour: Flavour,
}

/// Whether a file looks like a state dict: one of `torch.save`'s two formats or safetensors.
pub fn is_state_dict(bytes: &[u8]) -> bool {
    // Eight bytes of length come before the JSON of safetensors.
    bytes.get(8) == Some(&b'{') || pickle::is_pickle(bytes)
}

/// Reads the tensors of a state dict (`torch.save`'s zip or stream, or safetensors).
///
/// # Errors
/// If the file is damaged.
pub fn read(bytes: &[u8]) -> Result<Parameters, TorchError> {
    Ok(if pickle::is_pickle(bytes) { pickle::read(bytes)? } else { weights::read_floats(bytes)? })
}

/// Finds the network that tensors belong to.
///
/// # Errors
/// If it is none that is known here; what is missing, misshapen or superfluous is listed.
pub fn recognise(tensors: Parameters, hints: Hints) -> Result<TorchModel, TorchError> {
    let dict = Dict::new(tensors);
    let side = hints.side.unwrap_or(USUAL_SIDE);
    let input = Shape::Image { height: side, width: side, channels: dict.channels() };
    let built = if resnet::fits(&dict) {
        resnet::build(&dict, input)
    } else if densenet::fits(&dict) {
        densenet::build(&dict, input)
    } else if squeezenet::fits(&dict) {
        squeezenet::build(&dict, input)
    } else if shufflenet::fits(&dict) {
        shufflenet::build(&dict, input)
    } else if segmentation_models::fits(&dict) {
        segmentation_models::build(&dict, input)
    } else if mobilenet_v3::fits(&dict) {
        // timm's has gates as its EfficientNets have and is told by a bias of its own.
        mobilenet_v3::build(&dict, input, hints.flavour)
    } else if mobilenet_v2::fits(&dict) {
        mobilenet_v2::build(&dict, input, hints.flavour)
    } else if vgg::fits(&dict) {
        vgg::build(&dict, input)
    } else if efficientnet::fits(&dict) {
        efficientnet::build(&dict, input, hints.flavour)
    } else if mobilenet_v4::fits(&dict) {
        mobilenet_v4::build(&dict, input)
    } else if convnext::fits(&dict) && !convnext::is_second(&dict) {
        convnext::build(&dict, input)
    } else if unet::fits(&dict) {
        unet::build(&dict, input)
    } else if let Some(kind) = Kind::of(&dict) {
        let stock = Stock::new(kind, &dict, hints.side)?;
        return Ok(TorchModel::Stock {
            kind,
            side: stock.side(),
            outputs: stock.outputs(),
            weights: dict.into_tensors(),
        });
    } else if dict.names().next().is_none() {
        return Err(TorchError::Empty);
    } else {
        return Err(TorchError::Unknown { first: dict.first_names() });
    }?;
    Ok(TorchModel::Graph { name: built.name, graph: built.graph, weights: built.weights })
}

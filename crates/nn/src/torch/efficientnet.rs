//! EfficientNets (Tan & Le 2019) as torchvision and timm name them.

use super::assembly::{Assembly, Built, Zeros};
use super::bottleneck::{Bottleneck, Functions};
use super::dict::Dict;
use super::{Flavour, TorchError};
use crate::graph::{Activation, Shape};

/// Strides of the seven stages of B0 to B7.
pub const STRIDES: [usize; 7] = [1, 2, 2, 2, 1, 2, 1];
const SILU: Option<Activation> = Some(Activation::Silu);
/// What its blocks are made with.
pub const FUNCTIONS: Functions = Functions { active: Activation::Silu, gate: [Activation::Silu, Activation::Sigmoid] };

pub fn fits(dict: &Dict) -> bool {
    dict.has("features.1.0.block.1.fc1.weight") || dict.has("blocks.0.0.se.conv_reduce.weight")
}

pub fn build(dict: &Dict, input: Shape, flavour: Flavour) -> Result<Built, TorchError> {
    let timm = dict.has("conv_stem.weight");
    let name = match flavour {
        Flavour::Torch => "EfficientNet",
        Flavour::TensorFlow => "EfficientNet with TensorFlow's padding",
    };
    let (mut net, x) = Assembly::new(name, dict, input);
    // torchvision took B5 to B7 from TensorFlow with their ε; their first stage has three blocks or more.
    let tensorflow_epsilon = !timm && dict.has("features.1.2.block.0.0.weight");
    let epsilon = if tensorflow_epsilon || flavour == Flavour::TensorFlow { 1e-3 } else { 1e-5 };
    let zeros = if flavour == Flavour::TensorFlow { Zeros::TensorFlow } else { Zeros::Around };
    net = net.with(zeros, epsilon);
    let [stem, last] = if timm {
        [["conv_stem", "bn1"], ["conv_head", "bn2"]]
    } else {
        [["features.0.0", "features.0.1"], ["features.8.0", "features.8.1"]]
    };
    let mut x = net.stem(stem, x, 3, Activation::Silu);
    for (stage, stride) in STRIDES.into_iter().enumerate() {
        let prefix = |block: usize| {
            if timm { format!("blocks.{stage}.{block}.") } else { format!("features.{}.{block}.block.", stage + 1) }
        };
        let first = if timm { "conv_dw.weight" } else { "0.0.weight" };
        for block in 0..dict.count(|block| format!("{}{first}", prefix(block))) {
            let names =
                if timm { Bottleneck::in_timm(dict, &prefix(block)) } else { in_torchvision(dict, &prefix(block)) };
            let stride = if block == 0 { stride } else { 1 };
            x = names.push(&mut net, prefix(block).trim_end_matches('.'), x, stride, FUNCTIONS);
        }
    }
    let x = net.unit(last, x, 1, SILU);
    let x = net.global_mean(x);
    let x = net.head(&["classifier"], x);
    net.finish(x)
}

fn in_torchvision(dict: &Dict, prefix: &str) -> Bottleneck {
    let pair = |place: usize| [format!("{prefix}{place}.0"), format!("{prefix}{place}.1")];
    let expands = !dict.has(&format!("{prefix}1.fc1.weight"));
    let place = usize::from(expands);
    Bottleneck {
        expand: expands.then(|| pair(0)),
        depthwise: pair(place),
        gate: Some(["fc1", "fc2"].map(|layer| format!("{prefix}{}.{layer}", place + 1))),
        project: pair(place + 2),
    }
}

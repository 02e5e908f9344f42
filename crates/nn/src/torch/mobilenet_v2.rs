//! MobileNetV2 (Sandler et al. 2018) as torchvision and timm name it, and timm's EfficientNet-Lite0, which is made of the same parts.

use super::assembly::{Assembly, Built, Zeros};
use super::bottleneck::{Bottleneck, Functions};
use super::dict::Dict;
use super::{Flavour, TorchError};
use crate::graph::{Activation, NodeId, Shape};

const FUNCTIONS: Functions = Functions { active: Activation::Relu6, gate: [Activation::Relu, Activation::Sigmoid] };

/// Strides of torchvision's blocks from the first on.
const STRIDES: [usize; 17] = [1, 2, 1, 2, 1, 1, 2, 1, 1, 1, 1, 1, 1, 2, 1, 1, 1];
/// Strides of the first block of each of timm's stages; others keep the size.
const STAGES: [usize; 7] = [1, 2, 2, 2, 1, 2, 1];

/// Blocks of timm's stages and sides of their kernels. Others of timm's have these names with other functions between their layers.
const KNOWN: [(&str, [usize; 7], [usize; 7]); 2] = [
    ("MobileNetV2", [1, 2, 3, 4, 3, 3, 1], [3; 7]),
    ("EfficientNet-Lite0", [1, 2, 2, 3, 3, 4, 1], [3, 3, 5, 3, 5, 5, 3]),
];

pub fn fits(dict: &Dict) -> bool {
    dict.has("features.1.conv.0.0.weight") || is_timm(dict)
}

/// timm's has the names of its EfficientNets without gates.
fn is_timm(dict: &Dict) -> bool {
    let is_gated = |name: &str| name.contains(".se.") || name.contains(".dw_") || name.contains("conv_exp");
    let names = ["conv_stem", "bn2", "conv_head", "blocks.1.0.conv_pwl"];
    names.iter().all(|name| dict.has(&format!("{name}.weight"))) && !dict.names().any(is_gated)
}

pub fn build(dict: &Dict, input: Shape, flavour: Flavour) -> Result<Built, TorchError> {
    if is_timm(dict) {
        return timm(dict, input, flavour);
    }
    let (mut net, x) = Assembly::new("MobileNetV2", dict, input);
    let mut x = net.stem(["features.0.0", "features.0.1"], x, 3, Activation::Relu6);
    for (place, stride) in STRIDES.into_iter().enumerate() {
        let name = format!("features.{}", place + 1);
        x = in_torchvision(dict, &name).push(&mut net, &name, x, stride, FUNCTIONS);
    }
    closed(net, ["features.18.0", "features.18.1"], x)
}

fn timm(dict: &Dict, input: Shape, flavour: Flavour) -> Result<Built, TorchError> {
    let depthwise = |stage: usize, block: usize| format!("blocks.{stage}.{block}.conv_dw.weight");
    let stages: [usize; 7] = std::array::from_fn(|stage| stage);
    let blocks = stages.map(|stage| dict.count(|block| depthwise(stage, block)));
    let kernels = stages.map(|stage| dict.dims(&depthwise(stage, 0)).last().copied().unwrap_or(0));
    let known = KNOWN.iter().find(|(_, counts, sides)| (*counts, *sides) == (blocks, kernels));
    let (net, x) = Assembly::new(known.map_or("MobileNetV2", |(name, ..)| name), dict, input);
    let mut net = match flavour {
        Flavour::Torch => net,
        Flavour::TensorFlow => net.with(Zeros::TensorFlow, 1e-3),
    };
    if known.is_none() {
        net.problem(format!(
            "its stages have {blocks:?} blocks with kernels of {kernels:?}, those of no network known here"
        ));
    }
    let mut x = net.stem(["conv_stem", "bn1"], x, 3, Activation::Relu6);
    for (stage, stride) in STAGES.into_iter().enumerate() {
        for block in 0..blocks[stage] {
            let (name, stride) = (format!("blocks.{stage}.{block}"), if block == 0 { stride } else { 1 });
            x = Bottleneck::in_timm(dict, &format!("{name}.")).push(&mut net, &name, x, stride, FUNCTIONS);
        }
    }
    closed(net, ["conv_head", "bn2"], x)
}

/// The last convolution and the head.
fn closed(mut net: Assembly, last: [&str; 2], x: NodeId) -> Result<Built, TorchError> {
    let x = net.unit(last, x, 1, Some(Activation::Relu6));
    let x = net.global_mean(x);
    let x = net.head(&["classifier"], x);
    net.finish(x)
}

fn in_torchvision(dict: &Dict, name: &str) -> Bottleneck {
    let pair = |conv: String, norm: String| [format!("{name}.conv.{conv}"), format!("{name}.conv.{norm}")];
    let inner = |place: usize| pair(format!("{place}.0"), format!("{place}.1"));
    let expands = dict.has(&format!("{name}.conv.1.0.weight"));
    let last = if expands { 2 } else { 1 };
    Bottleneck {
        expand: expands.then(|| inner(0)),
        depthwise: inner(last - 1),
        gate: None,
        project: pair(last.to_string(), (last + 1).to_string()),
    }
}

//! EfficientNets (Tan & Le 2019) as torchvision and timm name them.

use super::assembly::{Assembly, Built, Zeros};
use super::dict::Dict;
use super::{Flavour, TorchError};
use crate::graph::{Activation, NodeId, Op, Shape};

/// Strides of the seven stages of B0 to B7.
const STRIDES: [usize; 7] = [1, 2, 2, 2, 1, 2, 1];
const SILU: Option<Activation> = Some(Activation::Silu);

pub fn fits(dict: &Dict) -> bool {
    dict.has("features.1.0.block.1.fc1.weight") || dict.has("blocks.0.0.se.conv_reduce.weight")
}

/// The layers of an inverted bottleneck, by name: convolution and batch-norm, twice for the gate.
struct Bottleneck {
    expand: Option<[String; 2]>,
    depthwise: [String; 2],
    gate: [String; 2],
    project: [String; 2],
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
            let names = if timm { in_timm(dict, &prefix(block)) } else { in_torchvision(dict, &prefix(block)) };
            x = bottleneck(&mut net, &prefix(block), &names, x, if block == 0 { stride } else { 1 });
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
        gate: ["fc1", "fc2"].map(|layer| format!("{prefix}{}.{layer}", place + 1)),
        project: pair(place + 2),
    }
}

fn in_timm(dict: &Dict, prefix: &str) -> Bottleneck {
    let pair = |conv: &str, norm: &str| [format!("{prefix}{conv}"), format!("{prefix}{norm}")];
    let gate = ["conv_reduce", "conv_expand"].map(|layer| format!("{prefix}se.{layer}"));
    if dict.has(&format!("{prefix}conv_pwl.weight")) {
        let (expand, depthwise) = (Some(pair("conv_pw", "bn1")), pair("conv_dw", "bn2"));
        Bottleneck { expand, depthwise, gate, project: pair("conv_pwl", "bn3") }
    } else {
        Bottleneck { expand: None, depthwise: pair("conv_dw", "bn1"), gate, project: pair("conv_pw", "bn2") }
    }
}

fn both(names: &[String; 2]) -> [&str; 2] {
    names.each_ref().map(String::as_str)
}

fn bottleneck(net: &mut Assembly, prefix: &str, names: &Bottleneck, input: NodeId, stride: usize) -> NodeId {
    let name = prefix.trim_end_matches('.');
    let x = names.expand.as_ref().map_or(input, |expand| net.unit(both(expand), input, 1, SILU));
    let x = net.unit(both(&names.depthwise), x, stride, SILU);
    let gated = gate(net, name, &names.gate, x);
    let x = net.unit(both(&names.project), gated, 1, None);
    if stride == 1 && net.builder.shape(x) == net.builder.shape(input) {
        net.builder.push(format!("{name}.sum"), Op::Add, &[x, input])
    } else {
        x
    }
}

/// Squeeze and excitation (Hu et al. 2018): each channel times what a small network says of all channels' means.
fn gate(net: &mut Assembly, name: &str, [reduce, widen]: &[String; 2], x: NodeId) -> NodeId {
    let mean = net.mean_pixel(name, x);
    let y = net.conv(reduce, mean, 1);
    let y = net.activation(reduce, y, Activation::Silu);
    let y = net.conv(widen, y, 1);
    let y = net.activation(widen, y, Activation::Sigmoid);
    net.builder.push(format!("{name}.gated"), Op::Multiply, &[x, y])
}

//! ResNets of basic blocks or bottlenecks (He et al. 2015; torchvision's and timm's, with the stride in the 3×3 convolution).

use super::TorchError;
use super::assembly::{Assembly, Built};
use super::dict::Dict;
use crate::graph::{Activation, NodeId, Op, Shape};

pub fn fits(dict: &Dict) -> bool {
    dict.has("conv1.weight") && dict.has("layer1.0.conv1.weight")
}

pub fn build(dict: &Dict, input: Shape) -> Result<Built, TorchError> {
    let blocks = |stage: usize| dict.count(|block| format!("layer{stage}.{block}.conv1.weight"));
    let bottlenecks = dict.has("layer1.0.conv3.weight");
    let name = match ([1, 2, 3, 4].map(blocks), bottlenecks) {
        ([2, 2, 2, 2], false) => "ResNet-18",
        ([3, 4, 6, 3], false) => "ResNet-34",
        ([3, 4, 6, 3], true) => "ResNet-50",
        ([3, 4, 23, 3], true) => "ResNet-101",
        ([3, 8, 36, 3], true) => "ResNet-152",
        _ => "ResNet",
    };
    let (mut net, x) = Assembly::new(name, dict, input);
    let x = net.stem(["conv1", "bn1"], x, 7, Activation::Relu);
    let x = net.overlapping_pool("maxpool", x);
    let [.., last] = stages(&mut net, dict, "", x);
    let x = net.global_mean(last);
    let x = net.head(&["fc"], x);
    net.finish(x)
}

/// The maps behind each of the four stages.
pub fn stages(net: &mut Assembly, dict: &Dict, prefix: &str, mut x: NodeId) -> [NodeId; 4] {
    [1, 2, 3, 4].map(|stage| {
        let name = |block: usize| format!("{prefix}layer{stage}.{block}");
        for block in 0..dict.count(|block| format!("{}.conv1.weight", name(block))) {
            let stride = if stage > 1 && block == 0 { 2 } else { 1 };
            x = residual(net, dict, &name(block), x, stride);
        }
        x
    })
}

fn residual(net: &mut Assembly, dict: &Dict, name: &str, input: NodeId, stride: usize) -> NodeId {
    let strides: &[usize] = if dict.has(&format!("{name}.conv3.weight")) { &[1, stride, 1] } else { &[stride, 1] };
    let mut x = input;
    for (i, stride) in strides.iter().enumerate() {
        let active = (i + 1 < strides.len()).then_some(Activation::Relu);
        x = net.unit([&format!("{name}.conv{}", i + 1), &format!("{name}.bn{}", i + 1)], x, *stride, active);
    }
    let shortcut = if dict.has(&format!("{name}.downsample.0.weight")) {
        net.unit([&format!("{name}.downsample.0"), &format!("{name}.downsample.1")], input, stride, None)
    } else {
        input
    };
    let sum = net.builder.push(format!("{name}.sum"), Op::Add, &[x, shortcut]);
    net.relu(name, sum)
}

//! ShuffleNetV2 (Ma et al. 2018) as torchvision names it.

use super::TorchError;
use super::assembly::{Assembly, Built};
use super::dict::Dict;
use crate::graph::{Activation, NodeId, Op, Shape};

const RELU: Option<Activation> = Some(Activation::Relu);

pub fn fits(dict: &Dict) -> bool {
    dict.has("conv1.0.weight") && dict.has("stage2.0.branch1.0.weight")
}

pub fn build(dict: &Dict, input: Shape) -> Result<Built, TorchError> {
    let (mut net, x) = Assembly::new("ShuffleNetV2", dict, input);
    let x = net.stem(["conv1.0", "conv1.1"], x, 3, Activation::Relu);
    let mut x = net.overlapping_pool("maxpool", x);
    for stage in 2..=4 {
        let name = |block: usize| format!("stage{stage}.{block}");
        for block in 0..dict.count(|block| format!("{}.branch2.0.weight", name(block))) {
            x = unit(&mut net, dict, &name(block), x);
        }
    }
    let x = net.unit(["conv5.0", "conv5.1"], x, 1, RELU);
    let x = net.global_mean(x);
    let x = net.head(&["fc"], x);
    net.finish(x)
}

/// Two branches side by side, whose channels are shuffled: of a block that halves the map both compute, else one passes through.
fn unit(net: &mut Assembly, dict: &Dict, name: &str, input: NodeId) -> NodeId {
    let halves = dict.has(&format!("{name}.branch1.0.weight"));
    let stride = if halves { 2 } else { 1 };
    let mut layer = |branch: usize, conv: usize, x: NodeId, stride: usize, active: Option<Activation>| {
        let names = [conv, conv + 1].map(|place| format!("{name}.branch{branch}.{place}"));
        net.unit(names.each_ref().map(String::as_str), x, stride, active)
    };
    let (first, second) = if halves {
        let x = layer(1, 0, input, stride, None);
        (layer(1, 2, x, 1, RELU), input)
    } else {
        let half = net.builder.shape(input).channels() / 2;
        let mut part = |which: &str, first: usize| {
            net.builder.push(format!("{name}.{which}"), Op::Channels { first, count: half }, &[input])
        };
        (part("left", 0), part("right", half))
    };
    let mut layer = |conv: usize, x: NodeId, stride: usize, active: Option<Activation>| {
        let names = [conv, conv + 1].map(|place| format!("{name}.branch2.{place}"));
        net.unit(names.each_ref().map(String::as_str), x, stride, active)
    };
    let x = layer(0, second, 1, RELU);
    let x = layer(3, x, stride, None);
    let x = layer(5, x, 1, RELU);
    let joined = net.builder.push(format!("{name}.joined"), Op::Concat, &[first, x]);
    net.builder.push(format!("{name}.shuffled"), Op::ShuffleChannels { groups: 2 }, &[joined])
}

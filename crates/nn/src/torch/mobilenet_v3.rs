//! MobileNetV3, large and small (Howard et al. 2019), as torchvision and timm name it.

use super::assembly::{Assembly, Built, Zeros};
use super::bottleneck::{Bottleneck, Functions};
use super::dict::Dict;
use super::{Flavour, TorchError};
use crate::graph::{Activation, Activation::HardSwish, Activation::Relu, Op, Shape};

const HARD_SIGMOID: Activation = Activation::HardSigmoid { slope: 1.0 / 6.0, shift: 0.5 };

/// What no tensor tells: the stride of a stage's first block and the function of its blocks, by timm's division into stages.
struct Size {
    name: &'static str,
    stages: &'static [(usize, Activation)],
    /// Blocks of each stage in torchvision, which numbers them through.
    blocks: &'static [usize],
    /// Inputs and outputs of torchvision's first dense layer, at full width.
    hidden: [usize; 2],
}

const LARGE: Size = Size {
    name: "MobileNetV3-Large",
    stages: &[(1, Relu), (2, Relu), (2, Relu), (2, HardSwish), (1, HardSwish), (2, HardSwish)],
    blocks: &[1, 2, 3, 4, 2, 3],
    hidden: [960, 1280],
};
const SMALL: Size = Size {
    name: "MobileNetV3-Small",
    stages: &[(2, Relu), (2, Relu), (2, HardSwish), (1, HardSwish), (2, HardSwish)],
    blocks: &[1, 2, 3, 2, 3],
    hidden: [576, 1024],
};

/// Widths of narrower networks are rounded to multiples of this.
const WIDTH_STEP: usize = 8;

fn functions(active: Activation) -> Functions {
    Functions { active, gate: [Relu, HARD_SIGMOID] }
}

pub fn fits(dict: &Dict) -> bool {
    dict.has("features.1.block.0.0.weight") || is_timm(dict)
}

fn is_timm(dict: &Dict) -> bool {
    ["conv_stem.weight", "conv_head.bias", "blocks.0.0.conv_dw.weight"].iter().all(|name| dict.has(name))
}

pub fn build(dict: &Dict, input: Shape, flavour: Flavour) -> Result<Built, TorchError> {
    if is_timm(dict) { in_timm(dict, input, flavour) } else { in_torchvision(dict, input) }
}

fn in_timm(dict: &Dict, input: Shape, flavour: Flavour) -> Result<Built, TorchError> {
    let size = if dict.has("blocks.6.0.conv.weight") { LARGE } else { SMALL };
    let (net, x) = Assembly::new(size.name, dict, input);
    let mut net = match flavour {
        Flavour::Torch => net,
        Flavour::TensorFlow => net.with(Zeros::TensorFlow, 1e-3),
    };
    let mut x = net.stem(["conv_stem", "bn1"], x, 3, HardSwish);
    for (stage, (stride, active)) in size.stages.iter().enumerate() {
        let prefix = |block: usize| format!("blocks.{stage}.{block}.");
        let (count, known) = (dict.count(|block| format!("{}conv_dw.weight", prefix(block))), size.blocks[stage]);
        if count != known {
            // Others of timm's have these names with other functions between their layers.
            net.problem(format!("`blocks.{stage}` has {count} blocks, a {} has {known}", size.name));
        }
        for block in 0..count {
            let (prefix, stride) = (prefix(block), if block == 0 { *stride } else { 1 });
            let name = prefix.trim_end_matches('.');
            x = Bottleneck::in_timm(dict, &prefix).push(&mut net, name, x, stride, functions(*active));
        }
    }
    let last = format!("blocks.{}.0", size.stages.len());
    let x = net.unit([&format!("{last}.conv"), &format!("{last}.bn1")], x, 1, Some(HardSwish));
    let mean = net.mean_pixel("head", x);
    let x = net.conv("conv_head", mean, 1);
    let x = net.activation("conv_head", x, HardSwish);
    let x = net.builder.push("flatten", Op::Flatten, &[x]);
    let x = net.head(&["classifier"], x);
    net.finish(x)
}

fn in_torchvision(dict: &Dict, input: Shape) -> Result<Built, TorchError> {
    let size = if dict.has("features.15.block.0.0.weight") { LARGE } else { SMALL };
    let (net, x) = Assembly::new(size.name, dict, input);
    let mut net = net.with(Zeros::Around, 1e-3);
    let mut x = net.stem(["features.0.0", "features.0.1"], x, 3, HardSwish);
    let mut place = 1;
    for ((stride, active), blocks) in size.stages.iter().zip(size.blocks) {
        for block in 0..*blocks {
            let name = format!("features.{place}");
            x = block_of(dict, &name).push(
                &mut net,
                &name,
                x,
                if block == 0 { *stride } else { 1 },
                functions(*active),
            );
            place += 1;
        }
    }
    let last = format!("features.{place}");
    let x = net.unit([&format!("{last}.0"), &format!("{last}.1")], x, 1, Some(HardSwish));
    let x = net.global_mean(x);
    // Whoever made a head of another width made it with ReLU.
    let is_own = match dict.dims("classifier.0.weight") {
        [units, features] => {
            let [narrow, wide] = size.hidden;
            dict.has("classifier.3.weight") && (units * narrow).abs_diff(features * wide) < narrow * WIDTH_STEP
        }
        _ => false,
    };
    let x = net.head_with(&["classifier"], x, if is_own { HardSwish } else { Relu }, None);
    net.finish(x)
}

/// The block's parts are numbered from 0 on, as many as it has.
fn block_of(dict: &Dict, name: &str) -> Bottleneck {
    let part = |place: usize| [format!("{name}.block.{place}.0"), format!("{name}.block.{place}.1")];
    let kernel = |place: usize| dict.dims(&format!("{name}.block.{place}.0.weight"));
    // A depthwise kernel sees one channel.
    let expands = kernel(0).get(1) != Some(&1);
    let depthwise = usize::from(expands);
    let gate = format!("{name}.block.{}", depthwise + 1);
    let is_gated = dict.has(&format!("{gate}.fc1.weight"));
    Bottleneck {
        expand: expands.then(|| part(0)),
        depthwise: part(depthwise),
        gate: is_gated.then(|| ["fc1", "fc2"].map(|layer| format!("{gate}.{layer}"))),
        project: part(depthwise + 1 + usize::from(is_gated)),
    }
}

//! U-Nets of segmentation_models_pytorch, with the encoders of its ResNets and EfficientNets.

use super::TorchError;
use super::assembly::{Assembly, Built, Zeros};
use super::bottleneck::Bottleneck;
use super::dict::Dict;
use super::{efficientnet, resnet};
use crate::graph::{Activation, NodeId, Op, Shape};

const RELU: Option<Activation> = Some(Activation::Relu);

/// Steps of the decoder.
const STEPS: usize = 5;

/// EfficientNet-B0 to B7 by number of blocks and width of the layer behind them: the side of the pictures that their padding was
/// computed for, and the last block before each halving that the decoder joins.
const SIZES: [(usize, usize, usize, [usize; 3]); 8] = [
    (16, 1280, 224, [2, 4, 8]),
    (23, 1280, 240, [4, 7, 15]),
    (23, 1408, 260, [4, 7, 15]),
    (26, 1536, 300, [4, 7, 17]),
    (32, 1792, 380, [5, 9, 21]),
    (39, 2048, 456, [7, 12, 26]),
    (45, 2304, 528, [8, 14, 30]),
    (55, 2560, 600, [10, 17, 37]),
];

pub fn fits(dict: &Dict) -> bool {
    let encoder = ["encoder.conv1.weight", "encoder._conv_stem.weight"].iter().any(|name| dict.has(name));
    encoder && dict.has("decoder.blocks.0.conv1.0.weight") && dict.has("segmentation_head.0.weight")
}

pub fn build(dict: &Dict, input: Shape) -> Result<Built, TorchError> {
    let is_resnet = dict.has("encoder.conv1.weight");
    let name = if is_resnet { "U-Net with a ResNet" } else { "U-Net with an EfficientNet" };
    let (mut net, x) = Assembly::new(name, dict, input);
    let side = input.rows();
    if !side.is_multiple_of(1 << STEPS) {
        return Err(TorchError::Side { name, side, wanted: "multiples of 32".into() });
    }
    let features = if is_resnet { of_resnet(&mut net, dict, x) } else { of_efficientnet(&mut net, dict, x) };
    net.set_epsilon(1e-5);
    let mut x = features[STEPS - 1];
    for step in 0..STEPS {
        let name = format!("decoder.blocks.{step}");
        x = net.builder.push(format!("{name}.larger"), Op::Upsample { factor: 2 }, &[x]);
        if let Some(skip) = (STEPS - 1).checked_sub(step + 1).map(|level| features[level]) {
            x = net.builder.push(format!("{name}.joined"), Op::Concat, &[x, skip]);
        }
        for conv in ["conv1", "conv2"] {
            x = net.unit([&format!("{name}.{conv}.0"), &format!("{name}.{conv}.1")], x, 1, RELU);
        }
    }
    let x = net.conv("segmentation_head.0", x, 1);
    net.finish(x)
}

/// Maps of a half to a thirty-second of the picture's side.
fn of_resnet(net: &mut Assembly, dict: &Dict, x: NodeId) -> [NodeId; STEPS] {
    let first = net.stem(["encoder.conv1", "encoder.bn1"], x, 7, Activation::Relu);
    let pooled = net.overlapping_pool("encoder.maxpool", first);
    let [second, third, fourth, fifth] = resnet::stages(net, dict, "encoder.", pooled);
    [first, second, third, fourth, fifth]
}

/// As [`of_resnet`]. Its padding is that of TensorFlow for pictures of the size it was trained with, whatever size it is given.
fn of_efficientnet(net: &mut Assembly, dict: &Dict, input: NodeId) -> [NodeId; STEPS] {
    net.set_epsilon(1e-3);
    let prefix = |block: usize| format!("encoder._blocks.{block}");
    let blocks = dict.count(|block| format!("{}._project_conv.weight", prefix(block)));
    let width = dict.dims("encoder._conv_head.weight").first().copied().unwrap_or(0);
    let known = SIZES.iter().find(|(count, head, ..)| (*count, *head) == (blocks, width));
    let Some((_, _, trained, joined)) = known else {
        net.problem(format!("its encoder has {blocks} blocks; no EfficientNet-B0 to B7 has"));
        return [input; STEPS];
    };
    // Known layers behind the last block, which segmentation does without.
    for layer in ["encoder._conv_head", "encoder._bn1"] {
        net.pass_over(layer);
    }
    let mut side = *trained;
    let x = net.conv_with(zeros(3, 2, &mut side), "encoder._conv_stem", input, 2);
    let mut x = net.normalised("encoder._bn0", x, Some(Activation::Silu));
    let (mut features, mut stage, mut last_width) = (vec![x], 0, None);
    for block in 0..blocks {
        let name = prefix(block);
        let names = named(dict, &name);
        // Stages are told apart by their blocks' widths.
        let width = dict.dims(&format!("{name}._project_conv.weight")).first().copied();
        let is_first = last_width.is_some() && width != last_width;
        stage += usize::from(is_first);
        last_width = width;
        let stride = if is_first { efficientnet::STRIDES.get(stage).copied().unwrap_or(1) } else { 1 };
        let [conv, norm] = &names.depthwise;
        let size = dict.dims(&format!("{conv}.weight")).last().copied().unwrap_or(1);
        let wide = names.expanded(net, x, efficientnet::FUNCTIONS);
        let y = net.conv_with(zeros(size, stride, &mut side), conv, wide, stride);
        let y = net.normalised(norm, y, Some(Activation::Silu));
        x = names.projected(net, &name, [x, y], stride, efficientnet::FUNCTIONS);
        if joined.contains(&block) {
            features.push(x);
        }
    }
    features.push(x);
    features.try_into().unwrap_or([x; STEPS])
}

fn named(dict: &Dict, name: &str) -> Bottleneck {
    let pair = |conv: &str, norm: &str| [format!("{name}.{conv}"), format!("{name}.{norm}")];
    Bottleneck {
        expand: dict.has(&format!("{name}._expand_conv.weight")).then(|| pair("_expand_conv", "_bn0")),
        depthwise: pair("_depthwise_conv", "_bn1"),
        gate: Some(["_se_reduce", "_se_expand"].map(|layer| format!("{name}.{layer}"))),
        project: pair("_project_conv", "_bn2"),
    }
}

/// TensorFlow's padding of a map of `side` pixels, which becomes the side of the output.
fn zeros(size: usize, stride: usize, side: &mut usize) -> Zeros {
    let out = side.div_ceil(stride);
    let all = ((out - 1) * stride + size).saturating_sub(*side);
    *side = out;
    Zeros::Given([all / 2, all - all / 2])
}

//! MobileNetV4s of convolutions (Qin et al. 2024) as timm names them; those with attention run through candle-transformers.

use super::TorchError;
use super::assembly::{Assembly, Built};
use super::dict::Dict;
use crate::graph::{Activation, NodeId, Op, Shape};

/// Of the first block of each stage; the others keep the size.
const STRIDES: [usize; 5] = [2, 2, 2, 2, 1];
const RELU: Option<Activation> = Some(Activation::Relu);

pub fn fits(dict: &Dict) -> bool {
    let is_beyond = |name: &str| name.contains(".attn.") || name.contains("layer_scale");
    dict.has("conv_stem.weight") && dict.has("norm_head.weight") && !dict.names().any(is_beyond)
}

pub fn build(dict: &Dict, input: Shape) -> Result<Built, TorchError> {
    let (mut net, x) = Assembly::new("MobileNetV4", dict, input);
    let mut x = net.stem(["conv_stem", "bn1"], x, 3, Activation::Relu);
    for (stage, stride) in STRIDES.into_iter().enumerate() {
        let name = |block: usize| format!("blocks.{stage}.{block}");
        let is_there = |block: &usize| dict.names().any(|tensor| tensor.starts_with(&format!("{}.", name(*block))));
        for block in (0..).take_while(is_there) {
            x = any_block(&mut net, dict, &name(block), x, if block == 0 { stride } else { 1 });
        }
    }
    let mean = net.mean_pixel("head", x);
    let x = net.unit(["conv_head", "norm_head"], mean, 1, RELU);
    let x = net.builder.push("flatten", Op::Flatten, &[x]);
    let x = net.head(&["classifier"], x);
    net.finish(x)
}

/// A plain convolution, a fused bottleneck, or the universal bottleneck with a depthwise convolution before, in its middle, or both.
fn any_block(net: &mut Assembly, dict: &Dict, name: &str, input: NodeId, stride: usize) -> NodeId {
    let part = |part: &str| format!("{name}.{part}");
    let has = |layer: &str| dict.has(&format!("{name}.{layer}.weight"));
    if has("conv") {
        return net.unit([&part("conv"), &part("bn1")], input, stride, RELU);
    }
    if has("conv_exp") {
        let x = net.unit([&part("conv_exp"), &part("bn1")], input, stride, RELU);
        return net.unit([&part("conv_pwl"), &part("bn2")], x, 1, None);
    }
    let mut pair = |place: &str, x: NodeId, stride: usize, active: Option<Activation>| {
        net.unit([&part(&format!("{place}.conv")), &part(&format!("{place}.bn"))], x, stride, active)
    };
    let has_middle = has("dw_mid.conv");
    let mut x = input;
    if has("dw_start.conv") {
        x = pair("dw_start", x, if has_middle { 1 } else { stride }, None);
    }
    x = pair("pw_exp", x, 1, RELU);
    if has_middle {
        x = pair("dw_mid", x, stride, RELU);
    }
    x = pair("pw_proj", x, 1, None);
    if stride == 1 && net.builder.shape(x) == net.builder.shape(input) {
        x = net.builder.push(part("sum"), Op::Add, &[x, input]);
    }
    x
}

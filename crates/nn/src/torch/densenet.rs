//! DenseNets (Huang et al. 2017) as torchvision and timm name them.

use super::TorchError;
use super::assembly::{Assembly, Built};
use super::dict::Dict;
use crate::graph::{Activation, NodeId, Op, Shape, Window};

pub fn fits(dict: &Dict) -> bool {
    dict.has("features.conv0.weight") && dict.has("features.denseblock1.denselayer1.conv1.weight")
}

pub fn build(dict: &Dict, input: Shape) -> Result<Built, TorchError> {
    // Blocks and their layers are numbered from 1 on.
    let block_name = |block: usize| format!("features.denseblock{}", block + 1);
    let layer_name = |block: usize, layer: usize| format!("{}.denselayer{}", block_name(block), layer + 1);
    let layers = |block: usize| dict.count(|layer| format!("{}.conv1.weight", layer_name(block, layer)));
    let name = match [0, 1, 2, 3].map(layers) {
        [6, 12, 24, 16] => "DenseNet-121",
        [6, 12, 32, 32] => "DenseNet-169",
        [6, 12, 48, 32] => "DenseNet-201",
        [6, 12, 36, 24] => "DenseNet-161",
        _ => "DenseNet",
    };
    let (mut net, x) = Assembly::new(name, dict, input);
    let x = net.stem(["features.conv0", "features.norm0"], x, 7, Activation::Relu);
    let mut x = net.overlapping_pool("features.pool0", x);
    for block in (0..).take_while(|block| layers(*block) > 0) {
        for layer in 0..layers(block) {
            let name = layer_name(block, layer);
            let y = before(&mut net, &format!("{name}.norm1"), &format!("{name}.conv1"), x);
            let y = before(&mut net, &format!("{name}.norm2"), &format!("{name}.conv2"), y);
            x = net.builder.push(format!("{name}.joined"), Op::Concat, &[x, y]);
        }
        let transition = format!("features.transition{}", block + 1);
        if dict.has(&format!("{transition}.conv.weight")) {
            x = before(&mut net, &format!("{transition}.norm"), &format!("{transition}.conv"), x);
            x = net.builder.push(format!("{transition}.pool"), Op::AveragePool { window: Window::tiles(2) }, &[x]);
        }
    }
    let x = net.normalised("features.norm5", x, Some(Activation::Relu));
    let x = net.global_mean(x);
    let x = net.head(&["classifier"], x);
    net.finish(x)
}

/// Batch-norm and ReLU before a convolution.
fn before(net: &mut Assembly, norm: &str, conv: &str, x: NodeId) -> NodeId {
    let x = net.normalised(norm, x, Some(Activation::Relu));
    net.conv(conv, x, 1)
}

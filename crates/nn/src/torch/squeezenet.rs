//! SqueezeNet 1.0 and 1.1 (Iandola et al. 2016) as torchvision names them.

use super::TorchError;
use super::assembly::{Assembly, Built, Zeros};
use super::dict::Dict;
use crate::graph::{NodeId, Op, Padding, Shape, Window};

pub fn fits(dict: &Dict) -> bool {
    dict.has("features.0.weight") && dict.has("features.3.squeeze.weight")
}

pub fn build(dict: &Dict, input: Shape) -> Result<Built, TorchError> {
    let (mut net, x) = Assembly::new("SqueezeNet", dict, input);
    let x = net.conv_with(Zeros::None, "features.0", x, 2);
    let mut x = net.relu("features.0", x);
    let is_fire = |place: &usize| dict.has(&format!("features.{place}.squeeze.weight"));
    let fires: Vec<usize> = (0..32).filter(is_fire).collect();
    // Layers are numbered with what has no tensors: the convolution's ReLU is 1, and every other gap is a pool.
    for place in 2..=fires.last().copied().unwrap_or(2) {
        let name = format!("features.{place}");
        x = if fires.contains(&place) { fire(&mut net, &name, x) } else { pool(&mut net, &name, x) };
    }
    let x = net.conv("classifier.1", x, 1);
    let x = net.relu("classifier.1", x);
    let x = net.global_mean(x);
    net.finish(x)
}

/// Few channels, from which two convolutions make many.
fn fire(net: &mut Assembly, name: &str, input: NodeId) -> NodeId {
    let mut layer = |part: &str, x: NodeId| {
        let layer = format!("{name}.{part}");
        let x = net.conv(&layer, x, 1);
        net.relu(&layer, x)
    };
    let few = layer("squeeze", input);
    let parts = [layer("expand1x1", few), layer("expand3x3", few)];
    net.builder.push(format!("{name}.joined"), Op::Concat, &parts)
}

/// Size 3 and stride 2, the last window reaching over the border; behind a ReLU, where zeros are the floor.
fn pool(net: &mut Assembly, name: &str, input: NodeId) -> NodeId {
    let Shape::Image { height, width, .. } = net.builder.shape(input) else { return input };
    let over = |side: usize| usize::from(side.is_multiple_of(2));
    let padding = Padding::Explicit([[0, over(height)], [0, over(width)]]);
    net.builder.push(name, Op::MaxPool { window: Window::new([3; 2], [2; 2], padding) }, &[input])
}

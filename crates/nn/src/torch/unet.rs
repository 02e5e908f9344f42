//! U-Nets as the commonest repositories name them: PyTorch Hub's brain-segmentation-pytorch (Buda et al. 2019), milesial's
//! Pytorch-UNet, MONAI's UNet and BasicUNet.

use super::TorchError;
use super::assembly::{Assembly, Built};
use super::dict::{Dict, FIRST_OF_UNETS};
use crate::graph::{Activation, NodeId, Op, Shape, Window};

pub fn fits(dict: &Dict) -> bool {
    FIRST_OF_UNETS.iter().any(|name| dict.dims(&format!("{name}.weight")).len() == 4)
}

pub fn build(dict: &Dict, input: Shape) -> Result<Built, TorchError> {
    if dict.has("encoder1.enc1conv1.weight") {
        brain_segmentation(dict, input)
    } else if dict.has("inc.double_conv.0.weight") {
        milesial(dict, input)
    } else if dict.has("conv_0.conv_0.conv.weight") {
        basic(dict, input)
    } else {
        monai(dict, input)
    }
}

fn pool(net: &mut Assembly, name: &str, x: NodeId) -> NodeId {
    net.builder.push(format!("{name}.pool"), Op::MaxPool { window: Window::tiles(2) }, &[x])
}

fn join(net: &mut Assembly, name: &str, parts: [NodeId; 2]) -> NodeId {
    net.builder.push(format!("{name}.joined"), Op::Concat, &parts)
}

fn brain_segmentation(dict: &Dict, input: Shape) -> Result<Built, TorchError> {
    let (mut net, mut x) = Assembly::new("U-Net of brain-segmentation-pytorch", dict, input);
    let block = |net: &mut Assembly, place: &str, layer: &str, mut x: NodeId| {
        for i in 1..=2 {
            let names = [format!("{place}.{layer}conv{i}"), format!("{place}.{layer}norm{i}")];
            x = net.unit(names.each_ref().map(String::as_str), x, 1, Some(Activation::Relu));
        }
        x
    };
    let mut skips = Vec::new();
    for level in 1..=4 {
        let place = format!("encoder{level}");
        x = block(&mut net, &place, &format!("enc{level}"), x);
        skips.push(x);
        x = pool(&mut net, &place, x);
    }
    x = block(&mut net, "bottleneck", "bottleneck", x);
    for level in (1..=4).rev() {
        let (up, place) = (format!("upconv{level}"), format!("decoder{level}"));
        x = net.transposed(&up, x, 2, [0, 0]);
        x = join(&mut net, &place, [x, skips[level - 1]]);
        x = block(&mut net, &place, &format!("dec{level}"), x);
    }
    x = net.conv("conv", x, 1);
    net.finish(x)
}

fn milesial(dict: &Dict, input: Shape) -> Result<Built, TorchError> {
    let (mut net, mut x) = Assembly::new("U-Net of Pytorch-UNet", dict, input);
    let block = |net: &mut Assembly, place: &str, mut x: NodeId| {
        for i in [0, 3] {
            let names = [format!("{place}.double_conv.{i}"), format!("{place}.double_conv.{}", i + 1)];
            x = net.unit(names.each_ref().map(String::as_str), x, 1, Some(Activation::Relu));
        }
        x
    };
    x = block(&mut net, "inc", x);
    let mut skips = vec![x];
    for level in 1..=4 {
        let place = format!("down{level}.maxpool_conv.1");
        x = pool(&mut net, &place, x);
        x = block(&mut net, &place, x);
        skips.push(x);
    }
    for level in 1..=4 {
        let place = format!("up{level}");
        x = if dict.has(&format!("{place}.up.weight")) {
            net.transposed(&format!("{place}.up"), x, 2, [0, 0])
        } else {
            net.smooth_double(&place, x)
        };
        // The upper map comes first here.
        x = join(&mut net, &place, [skips[4 - level], x]);
        x = block(&mut net, &format!("{place}.conv"), x);
    }
    x = net.conv("outc.conv", x, 1);
    net.finish(x)
}

fn basic(dict: &Dict, input: Shape) -> Result<Built, TorchError> {
    let (mut net, mut x) = Assembly::new("MONAI BasicUNet", dict, input);
    let block = |net: &mut Assembly, place: &str, mut x: NodeId| {
        for i in 0..2 {
            let name = format!("{place}.conv_{i}");
            x = net.conv(&format!("{name}.conv"), x, 1);
            x = net.norm(&format!("{name}.adn.N"), x);
            x = net.activation(&name, x, Activation::LeakyRelu { slope: 0.1 });
        }
        x
    };
    x = block(&mut net, "conv_0", x);
    let mut skips = vec![x];
    for level in 1..=4 {
        let place = format!("down_{level}");
        x = pool(&mut net, &place, x);
        x = block(&mut net, &format!("{place}.convs"), x);
        skips.push(x);
    }
    for level in (1..=4).rev() {
        let place = format!("upcat_{level}");
        x = net.transposed(&format!("{place}.upsample.deconv"), x, 2, [0, 0]);
        x = join(&mut net, &place, [skips[level - 1], x]);
        x = block(&mut net, &format!("{place}.convs"), x);
    }
    x = net.conv("final_conv", x, 1);
    net.finish(x)
}

/// With strides of 2, which no tensor tells, and instance normalisation where no tensors of a norm are there.
fn monai(dict: &Dict, input: Shape) -> Result<Built, TorchError> {
    let (mut net, x) = Assembly::new("MONAI UNet", dict, input);
    let x = level(&mut net, dict, "", x, true);
    net.finish(x)
}

fn level(net: &mut Assembly, dict: &Dict, prefix: &str, input: NodeId, top: bool) -> NodeId {
    let down = unit(net, dict, &format!("{prefix}0"), input, 2, false);
    let inner = format!("{prefix}1.submodule");
    let deeper = dict.names().any(|name| name.starts_with(&format!("{inner}.1.submodule")));
    let below = if deeper {
        level(net, dict, &format!("{inner}."), down, false)
    } else {
        unit(net, dict, &inner, down, 1, false)
    };
    let x = join(net, &inner, [down, below]);
    let up = format!("{prefix}2");
    if dict.has(&format!("{up}.0.conv.weight")) {
        let x = net.transposed(&format!("{up}.0.conv"), x, 2, [1, 0]);
        let x = norm_and_slope(net, dict, &format!("{up}.0"), x);
        return unit(net, dict, &format!("{up}.1"), x, 1, top);
    }
    let x = net.transposed(&format!("{up}.conv"), x, 2, [1, 0]);
    if top { x } else { norm_and_slope(net, dict, &up, x) }
}

/// A convolution, or several with a shortcut around them. `bare` leaves out what follows the last.
fn unit(net: &mut Assembly, dict: &Dict, name: &str, input: NodeId, stride: usize, bare: bool) -> NodeId {
    let one = |unit: usize| format!("{name}.conv.unit{unit}");
    let units = dict.count(|unit| format!("{}.conv.weight", one(unit)));
    if units == 0 {
        let x = net.conv(&format!("{name}.conv"), input, stride);
        return if bare { x } else { norm_and_slope(net, dict, name, x) };
    }
    let mut x = input;
    for unit in 0..units {
        x = net.conv(&format!("{}.conv", one(unit)), x, if unit == 0 { stride } else { 1 });
        if !(bare && unit + 1 == units) {
            x = norm_and_slope(net, dict, &one(unit), x);
        }
    }
    let shortcut = format!("{name}.residual");
    let shortcut = if dict.has(&format!("{shortcut}.weight")) { net.conv(&shortcut, input, stride) } else { input };
    net.builder.push(format!("{name}.sum"), Op::Add, &[x, shortcut])
}

fn norm_and_slope(net: &mut Assembly, dict: &Dict, name: &str, x: NodeId) -> NodeId {
    let x = net.norm(&format!("{name}.adn.N"), x);
    let slope = format!("{name}.adn.A");
    if dict.has(&format!("{slope}.weight")) { net.slopes(&slope, x) } else { net.relu(name, x) }
}

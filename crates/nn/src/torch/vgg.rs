//! VGGs of any depth, with or without batch-norms (Simonyan & Zisserman 2014; torchvision's and timm's).

use super::TorchError;
use super::assembly::{Assembly, Built};
use super::dict::Dict;
use crate::graph::{Activation, NodeId, Op, Shape, Window};

/// Rows and columns of the last map, whatever the picture's size.
const LAST_SIDE: usize = 7;

pub fn fits(dict: &Dict) -> bool {
    dict.dims("features.0.weight").len() == 4
        && (dict.has("pre_logits.fc1.weight") || dict.head(&["classifier"]).is_ok())
}

pub fn build(dict: &Dict, input: Shape) -> Result<Built, TorchError> {
    let place = |name: &str| name.strip_prefix("features.")?.strip_suffix(".weight")?.parse::<usize>().ok();
    let mut convs: Vec<usize> = dict.names().filter(|name| dict.dims(name).len() == 4).filter_map(place).collect();
    convs.sort_unstable();
    let has_norm = |conv: usize| dict.has(&format!("features.{}.running_mean", conv + 1));
    let name = match (convs.len(), has_norm(0)) {
        (8, false) => "VGG-11",
        (10, false) => "VGG-13",
        (13, false) => "VGG-16",
        (16, false) => "VGG-19",
        _ => "VGG",
    };
    let (mut net, mut x) = Assembly::new(name, dict, input);
    for (i, conv) in convs.iter().enumerate() {
        x = net.conv(&format!("features.{conv}"), x, 1);
        let layers = if has_norm(*conv) {
            x = net.batch_norm(&format!("features.{}", conv + 1), x);
            3
        } else {
            2
        };
        x = net.relu(&format!("features.{conv}"), x);
        // Layers are numbered with what has no tensors: a pool leaves a gap behind the ReLU.
        if convs.get(i + 1).is_none_or(|next| *next > conv + layers) {
            x = net.builder.max_pool(format!("features.{}", conv + layers), x);
        }
    }
    let (timm, rows) = (dict.has("pre_logits.fc1.weight"), net.builder.shape(x).rows());
    if timm && rows != LAST_SIDE {
        // timm slides its first dense layer over larger maps instead of averaging them.
        return Err(TorchError::Side { name, side: input.rows(), wanted: "224".into() });
    }
    let x = to_last_side(&mut net, x, name, input)?;
    let whole = net.builder.shape(x);
    let x = net.builder.push("flatten", Op::Flatten, &[x]);
    let x = if timm {
        let x = net.dense("pre_logits.fc1", x, Some(whole));
        let x = net.relu("pre_logits.fc1", x);
        let x = net.dense("pre_logits.fc2", x, None);
        let x = net.relu("pre_logits.fc2", x);
        net.head(&["head.fc"], x)
    } else {
        net.head_with(&["classifier"], x, Activation::Relu, Some(whole))
    };
    net.finish(x)
}

/// The mean over tiles, which is what an adaptive average to 7×7 does to sides that are multiples of it.
fn to_last_side(net: &mut Assembly, x: NodeId, name: &'static str, input: Shape) -> Result<NodeId, TorchError> {
    let rows = net.builder.shape(x).rows();
    if rows == 0 || !rows.is_multiple_of(LAST_SIDE) {
        return Err(TorchError::Side { name, side: input.rows(), wanted: "multiples of 224".into() });
    }
    let factor = rows / LAST_SIDE;
    Ok(if factor == 1 {
        x
    } else {
        net.builder.push("average", Op::AveragePool { window: Window::tiles(factor) }, &[x])
    })
}

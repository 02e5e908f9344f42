//! ConvNeXts (Liu et al. 2022) as torchvision and timm name them; those of the second version run through candle-transformers.

use super::TorchError;
use super::assembly::{Assembly, Built};
use super::dict::Dict;
use super::renaming::Renaming;
use crate::graph::{Activation, NodeId, Op, Shape};
use candle_core::Tensor;

/// Whether it is one at all.
pub fn fits(dict: &Dict) -> bool {
    dict.has("stages.0.blocks.0.conv_dw.weight") || dict.has("features.1.0.layer_scale")
}

/// Whether it has the second version's response normalisation.
pub fn is_second(dict: &Dict) -> bool {
    dict.names().any(|name| name.contains(".mlp.grn."))
}

/// The same tensors under timm's names, for torchvision's are numbers.
///
/// # Errors
/// If something is missing or left over.
pub fn in_timm_names(dict: &Dict) -> Result<Dict, TorchError> {
    if dict.has("stem.0.weight") {
        return Ok(dict.clone());
    }
    let mut names = Renaming::new("ConvNeXt", dict);
    names.layer("features.0.0", "stem.0");
    names.layer("features.0.1", "stem.1");
    for stage in 0..4 {
        if stage > 0 {
            for part in 0..2 {
                names.layer(&format!("features.{}.{part}", 2 * stage), &format!("stages.{stage}.downsample.{part}"));
            }
        }
        let from = |block: usize| format!("features.{}.{block}", 2 * stage + 1);
        for block in 0..dict.count(|block| format!("{}.layer_scale", from(block))) {
            let (from, to) = (from(block), format!("stages.{stage}.blocks.{block}"));
            for (place, layer) in [(0, "conv_dw"), (2, "norm"), (3, "mlp.fc1"), (5, "mlp.fc2")] {
                names.layer(&format!("{from}.block.{place}"), &format!("{to}.{layer}"));
            }
            names.with(&format!("{from}.layer_scale"), &format!("{to}.gamma"), Tensor::flatten_all);
        }
    }
    names.layer("classifier.0", "head.norm");
    names.head(&["classifier"], "head.fc");
    Ok(Dict::new(names.finish()?))
}

pub fn build(dict: &Dict, input: Shape) -> Result<Built, TorchError> {
    let dict = &in_timm_names(dict)?;
    let (mut net, x) = Assembly::new("ConvNeXt", dict, input);
    let x = net.patches("stem.0", x);
    let mut x = net.layer_norm("stem.1", x);
    for stage in 0..4 {
        if stage > 0 {
            x = net.layer_norm(&format!("stages.{stage}.downsample.0"), x);
            x = net.patches(&format!("stages.{stage}.downsample.1"), x);
        }
        let name = |block: usize| format!("stages.{stage}.blocks.{block}");
        for block in 0..dict.count(|block| format!("{}.conv_dw.weight", name(block))) {
            x = residual(&mut net, dict, &name(block), x);
        }
    }
    let x = net.global_mean(x);
    let x = net.layer_norm("head.norm", x);
    let x = net.head(&["head.fc"], x);
    net.finish(x)
}

fn residual(net: &mut Assembly, dict: &Dict, name: &str, input: NodeId) -> NodeId {
    let part = |part: &str| format!("{name}.{part}");
    let x = net.conv(&part("conv_dw"), input, 1);
    let x = net.layer_norm(&part("norm"), x);
    let x = net.pointwise(&part("mlp.fc1"), x, None);
    let x = net.activation(&part("mlp"), x, Activation::Gelu);
    let gamma = Some(part("gamma")).filter(|gamma| dict.has(gamma));
    let x = net.pointwise(&part("mlp.fc2"), x, gamma.as_deref());
    net.builder.push(part("sum"), Op::Add, &[x, input])
}

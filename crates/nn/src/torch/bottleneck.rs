//! Inverted bottlenecks (Sandler et al. 2018), which MobileNets and EfficientNets are made of.

use super::assembly::Assembly;
use super::dict::Dict;
use crate::graph::{Activation, NodeId, Op};

/// The layers of a bottleneck, by name: convolution and batch-norm, twice for the gate.
pub struct Bottleneck {
    pub expand: Option<[String; 2]>,
    pub depthwise: [String; 2],
    pub gate: Option<[String; 2]>,
    pub project: [String; 2],
}

/// The functions between the layers of a bottleneck.
#[derive(Debug, Clone, Copy)]
pub struct Functions {
    /// Behind the expansion and the depthwise convolution.
    pub active: Activation,
    /// Behind the two layers of the gate.
    pub gate: [Activation; 2],
}

impl Bottleneck {
    /// As timm names them, with or without expansion and gate.
    pub fn in_timm(dict: &Dict, prefix: &str) -> Self {
        let pair = |conv: &str, norm: &str| [format!("{prefix}{conv}"), format!("{prefix}{norm}")];
        let gate = dict
            .has(&format!("{prefix}se.conv_reduce.weight"))
            .then(|| ["conv_reduce", "conv_expand"].map(|layer| format!("{prefix}se.{layer}")));
        if dict.has(&format!("{prefix}conv_pwl.weight")) {
            let (expand, depthwise) = (Some(pair("conv_pw", "bn1")), pair("conv_dw", "bn2"));
            Self { expand, depthwise, gate, project: pair("conv_pwl", "bn3") }
        } else {
            Self { expand: None, depthwise: pair("conv_dw", "bn1"), gate, project: pair("conv_pw", "bn2") }
        }
    }

    /// Adds the block `name`; its input is added to its output where they have one shape.
    pub fn push(&self, net: &mut Assembly, name: &str, input: NodeId, stride: usize, functions: Functions) -> NodeId {
        let [conv, norm] = both(&self.depthwise);
        let expanded = self.expanded(net, input, functions);
        let x = net.unit([conv, norm], expanded, stride, Some(functions.active));
        self.projected(net, name, [input, x], stride, functions)
    }

    /// The input with more channels.
    pub fn expanded(&self, net: &mut Assembly, input: NodeId, functions: Functions) -> NodeId {
        self.expand.as_ref().map_or(input, |expand| net.unit(both(expand), input, 1, Some(functions.active)))
    }

    /// What follows the depthwise convolution; of `input` and `x`, the first is the block's and the second is gated.
    pub fn projected(
        &self,
        net: &mut Assembly,
        name: &str,
        [input, x]: [NodeId; 2],
        stride: usize,
        functions: Functions,
    ) -> NodeId {
        let gated = self.gate.as_ref().map_or(x, |layers| gate(net, name, layers, x, functions.gate));
        let x = net.unit(both(&self.project), gated, 1, None);
        if stride == 1 && net.builder.shape(x) == net.builder.shape(input) {
            net.builder.push(format!("{name}.sum"), Op::Add, &[x, input])
        } else {
            x
        }
    }
}

fn both(names: &[String; 2]) -> [&str; 2] {
    names.each_ref().map(String::as_str)
}

/// Squeeze and excitation (Hu et al. 2018): each channel times what a small network says of all channels' means.
fn gate(net: &mut Assembly, name: &str, layers: &[String; 2], x: NodeId, functions: [Activation; 2]) -> NodeId {
    let mut y = net.mean_pixel(name, x);
    for (layer, function) in layers.iter().zip(functions) {
        y = net.conv(layer, y, 1);
        y = net.activation(layer, y, function);
    }
    net.builder.push(format!("{name}.gated"), Op::Multiply, &[x, y])
}

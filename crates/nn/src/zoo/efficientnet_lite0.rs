//! EfficientNet-Lite0 (Tan & Le 2019; the "lite" variant without squeeze-and-excitation, with ReLU6), and a U-Net that has it for
//! an encoder. Names and shapes are those of the PyTorch port, so that its ImageNet weights are a start for training.

use super::*;
use crate::graph::Activation;

/// Inverted bottlenecks of one stage: how many, window, stride of the first, expansion, channels out.
const STAGES: [(usize, usize, usize, usize, usize); 7] = [
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
];

/// Classifier: 3,413,024 parameters before the dense head of 1280 features, running statistics included. One output is a sigmoid,
/// several a softmax.
pub fn build(input: Shape, outputs: usize) -> Result<Graph, GraphError> {
    let (mut b, x) = Builder::new(input);
    let mut maps = encoder(&mut b, x);
    let x = maps.pop().unwrap_or(x);
    let x = conv_norm(&mut b, "_conv_head", "_bn1", x, 1280, Window::dense(1, Padding::Valid));
    let x = b.push("pool", Op::GlobalAveragePool, &[x]);
    let x = b.push("dropout", Op::Dropout { rate: 0.3 }, &[x]);
    let x = b.dense("logit", x, outputs);
    let function = if outputs == 1 { Activation::Sigmoid } else { Activation::Softmax };
    b.activation("probability", x, function);
    b.finish()
}

/// Segmenter for sides that are multiples of 32: the decoder of the LGG ResUNet on this encoder, a tumour probability per pixel.
pub fn build_unet(input: Shape) -> Result<Graph, GraphError> {
    let (mut b, x) = Builder::new(input);
    let mut skips = encoder(&mut b, x);
    let mut x = skips.pop().unwrap_or(x);
    for (i, filters) in [96, 64, 32, 24, 16].into_iter().enumerate() {
        let name = format!("up{}", i + 1);
        let up = b.push(format!("{name}.upsample"), Op::Upsample { factor: 2 }, &[x]);
        x = match skips.pop() {
            Some(skip) => b.push(format!("{name}.concat"), Op::Concat, &[up, skip]),
            None => up,
        };
        x = residual_block(&mut b, &name, x, filters);
    }
    x = b.conv("logit", x, 1, Window::dense(1, Padding::Valid));
    b.activation("probability", x, Activation::Sigmoid);
    b.finish()
}

/// The last map at every resolution, from a half to a thirty-second of the input.
fn encoder(b: &mut Builder, input: NodeId) -> Vec<NodeId> {
    let stem = Window::new([3; 2], [2; 2], Padding::Same);
    let mut x = conv_norm(b, "_conv_stem", "_bn0", input, 32, stem);
    let (mut maps, mut index) = (Vec::new(), 0);
    for (repeats, size, first_stride, expansion, channels) in STAGES {
        for repeat in 0..repeats {
            let stride = if repeat == 0 { first_stride } else { 1 };
            if stride == 2 {
                maps.push(x);
            }
            let window = Window::new([size; 2], [stride; 2], Padding::Same);
            x = bottleneck(b, &format!("_blocks.{index}"), x, window, expansion, channels);
            index += 1;
        }
    }
    maps.push(x);
    maps
}

/// 1×1 expansion → depthwise → 1×1 projection, with a shortcut where nothing changes shape (Sandler et al. 2018).
fn bottleneck(b: &mut Builder, name: &str, input: NodeId, window: Window, expansion: usize, channels: usize) -> NodeId {
    let inputs = b.shape(input).channels();
    let point = Window::dense(1, Padding::Valid);
    let mut x = input;
    if expansion > 1 {
        let (conv, norm) = (format!("{name}._expand_conv"), format!("{name}._bn0"));
        x = conv_norm(b, &conv, &norm, x, inputs * expansion, point);
    }
    x = b.push(format!("{name}._depthwise_conv"), Op::DepthwiseConv { window, bias: false }, &[x]);
    x = norm(b, &format!("{name}._bn1"), x);
    x = b.activation(format!("{name}._bn1_relu"), x, Activation::Relu6);
    x = b.push(format!("{name}._project_conv"), Op::Conv { filters: channels, window: point, bias: false }, &[x]);
    x = norm(b, &format!("{name}._bn2"), x);
    if window.stride == [1; 2] && inputs == channels {
        x = b.push(format!("{name}.add"), Op::Add, &[x, input]);
    }
    x
}

/// Convolution without bias → BN → ReLU6.
fn conv_norm(b: &mut Builder, conv: &str, norm_name: &str, input: NodeId, filters: usize, window: Window) -> NodeId {
    let x = b.push(conv, Op::Conv { filters, window, bias: false }, &[input]);
    let x = norm(b, norm_name, x);
    b.activation(format!("{norm_name}_relu"), x, Activation::Relu6)
}

/// The published epsilon; running statistics follow faster than the published 0.99, for fine-tuning is short.
fn norm(b: &mut Builder, name: &str, input: NodeId) -> NodeId {
    b.push(name, Op::BatchNorm { epsilon: 1e-3, momentum: 0.95, scale: true }, &[input])
}

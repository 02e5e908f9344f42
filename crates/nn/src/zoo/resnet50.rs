//! ResNet50 v1 (He et al. 2015) as Keras Applications builds it: biased convolutions, epsilon 1.001e-5, the stride on the first
//! 1×1 of a stack. torchvision's, and so candle-transformers', differs in all three.

use super::*;
use crate::graph::Activation;

/// Base (23,587,712 parameters), mean over the map, a dense layer with dropout, softmax; with one output a bare sigmoid instead.
pub fn build(input: Shape, outputs: usize) -> Result<Graph, GraphError> {
    let (mut b, x) = Builder::new(input);
    let x = b.push("conv1_pad", Op::ZeroPad { rows: [3; 2], columns: [3; 2] }, &[x]);
    let window = Window::new([7; 2], [2; 2], Padding::Valid);
    let x = conv_norm(&mut b, "conv1", x, 64, window);
    let x = b.relu("conv1_relu", x);
    let x = b.push("pool1_pad", Op::ZeroPad { rows: [1; 2], columns: [1; 2] }, &[x]);
    let window = Window::new([3; 2], [2; 2], Padding::Valid);
    let mut x = b.push("pool1_pool", Op::MaxPool { window }, &[x]);
    for (stack, (filters, blocks, stride)) in
        [(64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2)].into_iter().enumerate()
    {
        for block in 0..blocks {
            let name = format!("conv{}_block{}", stack + 2, block + 1);
            x = bottleneck(&mut b, &name, x, filters, (block == 0).then_some(stride));
        }
    }
    x = b.push("average_pool", Op::GlobalAveragePool, &[x]);
    if outputs > 1 {
        x = b.dense("dense1", x, 128);
        x = b.relu("dense1_relu", x);
    }
    x = b.push("dropout", Op::Dropout { rate: 0.5 }, &[x]);
    x = b.dense("logits", x, outputs);
    b.activation("probabilities", x, if outputs > 1 { Activation::Softmax } else { Activation::Sigmoid });
    b.finish()
}

fn conv_norm(b: &mut Builder, name: &str, x: NodeId, filters: usize, window: Window) -> NodeId {
    let x = b.conv(format!("{name}_conv"), x, filters, window);
    b.push(format!("{name}_bn"), Op::BatchNorm { epsilon: 1.001e-5, momentum: 0.99, scale: true }, &[x])
}

/// 1×1 → 3×3 → 1×1 with four times the filters, beside the input or, where a stack begins, its projection with `stride`.
fn bottleneck(b: &mut Builder, name: &str, input: NodeId, filters: usize, stride: Option<usize>) -> NodeId {
    let window = Window::new([1; 2], [stride.unwrap_or(1); 2], Padding::Valid);
    let shortcut = match stride {
        Some(_) => conv_norm(b, &format!("{name}_0"), input, 4 * filters, window),
        None => input,
    };
    let x = conv_norm(b, &format!("{name}_1"), input, filters, window);
    let x = b.relu(format!("{name}_1_relu"), x);
    let x = conv_norm(b, &format!("{name}_2"), x, filters, Window::dense(3, Padding::Same));
    let x = b.relu(format!("{name}_2_relu"), x);
    let x = conv_norm(b, &format!("{name}_3"), x, 4 * filters, Window::dense(1, Padding::Valid));
    let x = b.push(format!("{name}_add"), Op::Add, &[shortcut, x]);
    b.relu(format!("{name}_out"), x)
}

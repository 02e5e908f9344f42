//! VGG16 (Simonyan & Zisserman 2015) as Keras Applications builds it, with the two heads that tumour notebooks put on it.

use super::*;
use crate::graph::Activation;

/// Thirteen 3×3 convolutions in five blocks; 14,714,688 parameters.
fn base(b: &mut Builder, mut x: NodeId) -> NodeId {
    for (block, (convolutions, filters)) in [(2, 64), (2, 128), (3, 256), (3, 512), (3, 512)].into_iter().enumerate() {
        for conv in 0..convolutions {
            x = conv_relu(b, &format!("block{}_conv{}", block + 1, conv + 1), x, filters);
        }
        x = b.max_pool(format!("block{}_pool", block + 1), x);
    }
    x
}

fn conv_relu(b: &mut Builder, name: &str, x: NodeId, filters: usize) -> NodeId {
    let x = b.conv(name, x, filters, Window::dense(3, Padding::Same));
    b.relu(format!("{name}_relu"), x)
}

/// Base, flatten, dense with softmax.
pub fn build(input: Shape, outputs: usize) -> Result<Graph, GraphError> {
    let (mut b, x) = Builder::new(input);
    let x = base(&mut b, x);
    let x = b.push("flatten", Op::Flatten, &[x]);
    let x = b.dense("logits", x, outputs);
    b.activation("probabilities", x, Activation::Softmax);
    b.finish()
}

/// Base, two further convolutions with pooling, two dense layers with dropout, softmax.
pub fn build_v2(input: Shape, outputs: usize) -> Result<Graph, GraphError> {
    let (mut b, x) = Builder::new(input);
    let mut x = base(&mut b, x);
    for (i, filters) in [256, 128].into_iter().enumerate() {
        x = conv_relu(&mut b, &format!("extra{}_conv", i + 1), x, filters);
        x = b.max_pool(format!("extra{}_pool", i + 1), x);
    }
    x = b.push("flatten", Op::Flatten, &[x]);
    for (i, units) in [256, 128].into_iter().enumerate() {
        x = b.dense(format!("dense{}", i + 1), x, units);
        x = b.relu(format!("dense{}_relu", i + 1), x);
        x = b.push(format!("dense{}_dropout", i + 1), Op::Dropout { rate: 0.5 }, &[x]);
    }
    let x = b.dense("logits", x, outputs);
    b.activation("probabilities", x, Activation::Softmax);
    b.finish()
}

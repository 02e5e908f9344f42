//! The small CNN of many first notebooks: four convolutions with pooling and two dense layers.

use super::*;
use crate::graph::Activation;

/// One sigmoid for one output, else a softmax.
pub fn build(input: Shape, outputs: usize) -> Result<Graph, GraphError> {
    let (mut b, mut x) = Builder::new(input);
    for (i, filters) in [32, 64, 128, 256].into_iter().enumerate() {
        x = b.conv(format!("conv{}", i + 1), x, filters, Window::dense(3, Padding::Same));
        x = b.relu(format!("conv{}_relu", i + 1), x);
        x = b.max_pool(format!("pool{}", i + 1), x);
    }
    x = b.push("flatten", Op::Flatten, &[x]);
    x = b.push("dropout", Op::Dropout { rate: 0.5 }, &[x]);
    x = b.dense("dense1", x, 64);
    x = b.relu("dense1_relu", x);
    x = b.dense("logits", x, outputs);
    b.activation("probabilities", x, if outputs > 1 { Activation::Softmax } else { Activation::Sigmoid });
    b.finish()
}

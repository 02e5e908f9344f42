//! The LGG slice classifier: a small residual network that answers "tumour or not" for a 256×256×3 slice.

use super::*;
use crate::graph::Activation;

/// 8,880,897 parameters at 256². Input scaled x/255; output one sigmoid, the probability of tumour.
pub fn build(input: Shape) -> Result<Graph, GraphError> {
    let (mut b, mut x) = Builder::new(input);
    x = stem(&mut b, "stem1", x, 32);
    x = stem(&mut b, "stem2", x, 64);
    for (i, filters) in [64, 128, 256].into_iter().enumerate() {
        x = residual_block(&mut b, &format!("block{}", i + 1), x, filters);
    }
    x = stem(&mut b, "tail", x, 256);
    x = b.push("average_pool", Op::AveragePool { window: Window::tiles(2) }, &[x]);
    x = b.push("flatten", Op::Flatten, &[x]);
    for (i, (units, dropout)) in [(128, true), (128, true), (64, false)].into_iter().enumerate() {
        let name = format!("dense{}", i + 1);
        x = b.dense(&name, x, units);
        x = b.relu(format!("{name}_relu"), x);
        if dropout {
            x = b.push(format!("{name}_dropout"), Op::Dropout { rate: 0.2 }, &[x]);
        }
        x = b.batch_norm(format!("{name}_norm"), x);
    }
    x = b.dense("logit", x, 1);
    b.activation("probability", x, Activation::Sigmoid);
    b.finish()
}

/// 3×3 valid convolution → BN → 2×2 max-pool → ReLU.
fn stem(b: &mut Builder, name: &str, input: NodeId, filters: usize) -> NodeId {
    let x = b.conv(format!("{name}.conv"), input, filters, Window::dense(3, Padding::Valid));
    let x = b.batch_norm(format!("{name}.norm"), x);
    let x = b.max_pool(format!("{name}.pool"), x);
    b.relu(format!("{name}.relu"), x)
}

//! The LGG segmenter: a U-Net (Ronneberger et al. 2015) of residual blocks for 256×256×3 slices.

use super::*;
use crate::graph::Activation;

/// 1,210,513 parameters, whatever the side (a multiple of 16). Input standardised by the slice's own mean and standard
/// deviation; output a tumour probability per pixel.
pub fn build(input: Shape) -> Result<Graph, GraphError> {
    let (mut b, mut x) = Builder::new(input);
    for name in ["stem1", "stem2"] {
        x = b.conv(format!("{name}.conv"), x, 16, Window::dense(3, Padding::Same));
        x = b.relu(format!("{name}.relu"), x);
        x = b.batch_norm(format!("{name}.norm"), x);
    }
    let mut skips = vec![x];
    for (i, filters) in [32, 64, 128].into_iter().enumerate() {
        x = b.max_pool(format!("down{}.pool", i + 1), x);
        x = residual_block(&mut b, &format!("down{}", i + 1), x, filters);
        skips.push(x);
    }
    x = b.max_pool("bottom.pool", x);
    x = residual_block(&mut b, "bottom", x, 256);
    for (i, filters) in [128, 64, 32, 16].into_iter().enumerate() {
        let name = format!("up{}", i + 1);
        let up = b.push(format!("{name}.upsample"), Op::Upsample { factor: 2 }, &[x]);
        let skip = skips.pop().unwrap_or(up);
        x = b.push(format!("{name}.concat"), Op::Concat, &[up, skip]);
        x = residual_block(&mut b, &name, x, filters);
    }
    x = b.conv("logit", x, 1, Window::dense(1, Padding::Valid));
    b.activation("probability", x, Activation::Sigmoid);
    b.finish()
}

//! Nearest-neighbour enlargement of channels-last maps by a whole factor.

use super::{Dims, Element, by_dtype, by_storage, output, slice, tensor_like, wide, with_values};
use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

/// Every pixel becomes `factor`×`factor` pixels.
pub fn upsample(x: &Tensor, factor: usize) -> Result<Tensor> {
    x.contiguous()?.apply_op1(Upsample { factor })
}

struct Upsample {
    factor: usize,
}

impl CustomOp1 for Upsample {
    fn name(&self) -> &'static str {
        "upsample"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let input = Dims::of(layout.shape())?;
        let f = self.factor;
        let large = Dims { height: input.height * f, width: input.width * f, ..input };
        by_storage!(x, T => {
            let x = slice::<T>(x, layout)?;
            let (small_row, large_row) = (input.width * input.channels, large.width * large.channels);
            let mut y = vec![T::of(0.0); large.batch * large.image()];
            // Rows of the whole batch follow each other, so `f` large rows always stem from one small row.
            y.par_chunks_mut(large_row * f).zip(x.par_chunks(small_row)).for_each(|(rows, x)| wide(#[inline(always)] || {
                for row in rows.chunks_exact_mut(large_row) {
                    for (block, pixel) in row.chunks_exact_mut(f * input.channels).zip(x.chunks_exact(input.channels)) {
                        block.chunks_exact_mut(input.channels).for_each(|to| to.copy_from_slice(pixel));
                    }
                }
            }));
            output(y, large.shape())
        })
    }

    fn bwd(&self, x: &Tensor, _y: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let input = Dims::of(x.shape())?;
        by_dtype!(x, T => {
            let dx = with_values::<T, _>(grad, |grad| shrink(input, self.factor, grad))?;
            Ok(Some(tensor_like(dx, x)?))
        })
    }
}

/// The adjoint: every small pixel collects the sum of its block.
fn shrink<T: Element>(small: Dims, factor: usize, grad: &[T]) -> Vec<T> {
    let (small_row, large_row) = (small.width * small.channels, small.width * factor * small.channels);
    let mut dx = vec![T::of(0.0); small.batch * small.image()];
    dx.par_chunks_mut(small_row).zip(grad.par_chunks(large_row * factor)).for_each(|(dx, rows)| {
        wide(
            #[inline(always)]
            || {
                for row in rows.chunks_exact(large_row) {
                    for (to, block) in
                        dx.chunks_exact_mut(small.channels).zip(row.chunks_exact(factor * small.channels))
                    {
                        for pixel in block.chunks_exact(small.channels) {
                            to.iter_mut().zip(pixel).for_each(|(sum, value)| *sum += *value);
                        }
                    }
                }
            },
        )
    });
    dx
}

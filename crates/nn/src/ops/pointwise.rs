//! Operations that look at one value at a time.

use super::{Element, by_dtype, by_storage, output, slice, tensor_like, wide, with_values};
use candle_core::{CpuStorage, CustomOp1, CustomOp2, CustomOp3, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

/// Values a thread takes at a time.
const CHUNK: usize = 1 << 14;

/// A fresh vector whose chunks are filled in parallel by `fill(offset, chunk)`.
fn filled<T: Element>(len: usize, fill: impl Fn(usize, &mut [T]) + Sync) -> Vec<T> {
    let mut values = vec![T::of(0.0); len];
    values.par_chunks_mut(CHUNK).enumerate().for_each(|(i, chunk)| {
        wide(
            #[inline(always)]
            || fill(i * CHUNK, chunk),
        )
    });
    values
}

/// max(x, 0), capped at 6 when `six`; the gradient at the corners is 0.
pub fn relu(x: &Tensor, six: bool) -> Result<Tensor> {
    x.contiguous()?.apply_op1(Relu { cap: six.then_some(6.0) })
}

/// `grad` where the result `y` lies between the corners, else 0.
fn relu_gradient<T: Element>(y: &Tensor, grad: &Tensor, cap: Option<f64>) -> Result<Tensor> {
    let (zero, cap) = (T::of(0.0), T::of(cap.unwrap_or(f64::INFINITY)));
    let dx = with_values::<T, _>(y, |y| {
        with_values::<T, _>(grad, |grad| {
            filled(y.len(), |start, dx| {
                for ((dx, y), grad) in dx.iter_mut().zip(&y[start..]).zip(&grad[start..]) {
                    *dx = if *y > zero && *y < cap { *grad } else { zero };
                }
            })
        })
    })??;
    tensor_like(dx, y)
}

struct Relu {
    cap: Option<f64>,
}

impl Relu {
    fn cap<T: Element>(&self) -> T {
        T::of(self.cap.unwrap_or(f64::INFINITY))
    }
}

impl CustomOp1 for Relu {
    fn name(&self) -> &'static str {
        "relu"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        by_storage!(x, T => {
            let (x, zero, cap) = (slice::<T>(x, layout)?, T::of(0.0), self.cap::<T>());
            let y = filled(x.len(), |start, y| {
                for (y, x) in y.iter_mut().zip(&x[start..]) {
                    // Written so that a NaN stays one and is noticed, not silently zeroed.
                    *y = if *x < zero { zero } else if *x > cap { cap } else { *x };
                }
            });
            output(y, layout.shape())
        })
    }

    fn bwd(&self, _x: &Tensor, y: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        Ok(Some(by_dtype!(y, T => relu_gradient::<T>(y, grad, self.cap)?)))
    }
}

/// a + b, of one shape.
pub fn add(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    a.contiguous()?.apply_op2(&b.contiguous()?, Add { relu: false })
}

/// max(a + b, 0), of one shape; the bare sum is never kept. The gradient at the corner is 0.
pub fn add_relu(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    a.contiguous()?.apply_op2(&b.contiguous()?, Add { relu: true })
}

struct Add {
    relu: bool,
}

impl CustomOp2 for Add {
    fn name(&self) -> &'static str {
        if self.relu { "add-relu" } else { "add" }
    }

    fn cpu_fwd(
        &self,
        a: &CpuStorage,
        a_layout: &Layout,
        b: &CpuStorage,
        b_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        if a_layout.shape() != b_layout.shape() {
            candle_core::bail!("addition of {:?} and {:?}", a_layout.shape(), b_layout.shape());
        }
        by_storage!(a, T => {
            let (a, b) = (slice::<T>(a, a_layout)?, slice::<T>(b, b_layout)?);
            let floor = T::of(if self.relu { 0.0 } else { f64::NEG_INFINITY });
            let sum = filled(a.len(), |start, sum| {
                for ((sum, a), b) in sum.iter_mut().zip(&a[start..]).zip(&b[start..]) {
                    let value = *a + *b;
                    *sum = if value < floor { floor } else { value };
                }
            });
            output(sum, a_layout.shape())
        })
    }

    fn bwd(&self, _a: &Tensor, _b: &Tensor, sum: &Tensor, grad: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let grad = if self.relu { by_dtype!(sum, T => relu_gradient::<T>(sum, grad, None)?) } else { grad.clone() };
        Ok((Some(grad.clone()), Some(grad)))
    }
}

/// x · scale + shift along the last axis, for inference only: batch-norm with its running statistics. No gradient.
pub fn channel_affine(x: &Tensor, scale: &Tensor, shift: &Tensor) -> Result<Tensor> {
    x.contiguous()?.apply_op3_no_bwd(&scale.contiguous()?, &shift.contiguous()?, &ChannelAffine)
}

struct ChannelAffine;

impl CustomOp3 for ChannelAffine {
    fn name(&self) -> &'static str {
        "channel-affine"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        scale: &CpuStorage,
        scale_layout: &Layout,
        shift: &CpuStorage,
        shift_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        by_storage!(x, T => {
            let x = slice::<T>(x, x_layout)?;
            let (scale, shift) = (slice::<T>(scale, scale_layout)?, slice::<T>(shift, shift_layout)?);
            let channels = scale.len();
            let mut y = vec![T::of(0.0); x.len()];
            y.par_chunks_mut(channels * 1024).zip(x.par_chunks(channels * 1024)).for_each(|(y, x)| {
                for (y, x) in y.chunks_exact_mut(channels).zip(x.chunks_exact(channels)) {
                    for c in 0..channels {
                        y[c] = x[c] * scale[c] + shift[c];
                    }
                }
            });
            output(y, x_layout.shape())
        })
    }
}

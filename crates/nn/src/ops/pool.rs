//! Max and average pooling over channels-last maps, any window, stride and padding.

use super::{Dims, Element, by_dtype, by_storage, output, slice, tensor_like, wide, with_values};
use crate::graph::Window;
use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;
use std::ops::Range;

/// The largest value of each window; padding never wins. The gradient goes to the first largest value.
pub fn max_pool(x: &Tensor, window: Window) -> Result<Tensor> {
    x.contiguous()?.apply_op1(MaxPool { window })
}

/// The mean of each window's pixels inside the image.
pub fn average_pool(x: &Tensor, window: Window) -> Result<Tensor> {
    x.contiguous()?.apply_op1(AveragePool { window })
}

struct MaxPool {
    window: Window,
}

struct AveragePool {
    window: Window,
}

struct Geometry {
    input: Dims,
    output: Dims,
    window: Window,
}

impl Geometry {
    fn new(input: Dims, window: Window) -> Result<Self> {
        let sides = (window.output_side(0, input.height), window.output_side(1, input.width));
        match sides {
            (Some(height), Some(width)) => Ok(Self { input, output: Dims { height, width, ..input }, window }),
            _ => bail!("pooling {input:?} with {window:?}"),
        }
    }

    /// Input rows (axis 0) or columns (axis 1) that output position `at` looks at.
    fn span(&self, axis: usize, at: usize) -> Range<usize> {
        let side = if axis == 0 { self.input.height } else { self.input.width };
        self.window.span(axis, side, at)
    }

    /// Offset of a pixel inside one input image.
    fn input_offset(&self, y: usize, x: usize) -> usize {
        (y * self.input.width + x) * self.input.channels
    }

    /// Calls `visit(output offset, input offset)` for every pixel of every window of output row `y`, within one image.
    #[inline(always)]
    fn each_pixel(&self, y: usize, mut visit: impl FnMut(usize, usize)) {
        for x in 0..self.output.width {
            for from_y in self.span(0, y) {
                for from_x in self.span(1, x) {
                    visit(x * self.output.channels, self.input_offset(from_y, from_x));
                }
            }
        }
    }

    fn row(&self) -> usize {
        self.output.width * self.output.channels
    }

    /// Fills the output row by row: `fill(row index, image, output row)`.
    fn rows<T: Element>(&self, x: &[T], start: f64, fill: impl Fn(usize, &[T], &mut [T]) + Sync) -> Vec<T> {
        let mut out = vec![T::of(start); self.output.batch * self.output.image()];
        out.par_chunks_mut(self.output.image()).zip(x.par_chunks(self.input.image())).for_each(|(out, x)| {
            out.par_chunks_mut(self.row()).enumerate().for_each(|(y, row)| {
                wide(
                    #[inline(always)]
                    || fill(y, x, row),
                )
            });
        });
        out
    }

    /// Share of an output's gradient that each of its pixels gets under average pooling.
    fn share<T: Element>(&self, y: usize, x: usize) -> T {
        T::of(1.0 / (self.span(0, y).len() * self.span(1, x).len()) as f64)
    }
}

impl CustomOp1 for MaxPool {
    fn name(&self) -> &'static str {
        "max-pool"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let g = Geometry::new(Dims::of(layout.shape())?, self.window)?;
        let channels = g.input.channels;
        by_storage!(x, T => {
            let y = g.rows::<T>(slice(x, layout)?, f64::NEG_INFINITY, |y, x, row| {
                g.each_pixel(y, |to, from| {
                    for (out, x) in row[to..to + channels].iter_mut().zip(&x[from..from + channels]) {
                        *out = out.largest(*x);
                    }
                });
            });
            output(y, g.output.shape())
        })
    }

    fn bwd(&self, x: &Tensor, result: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let g = Geometry::new(Dims::of(x.shape())?, self.window)?;
        let channels = g.input.channels;
        by_dtype!(x, T => {
            let zero = T::of(0.0);
            let dx = with_values::<T, _>(x, |x| with_values::<T, _>(result, |result| with_values::<T, _>(grad, |grad| {
                let mut dx = vec![zero; x.len()];
                dx.par_chunks_mut(g.input.image()).enumerate().for_each(|(image, dx)| wide(#[inline(always)] || {
                    let x = &x[image * g.input.image()..][..g.input.image()];
                    // A gradient is spent at the first pixel that equals the maximum.
                    let mut left = grad[image * g.output.image()..][..g.output.image()].to_vec();
                    let result = &result[image * g.output.image()..][..g.output.image()];
                    for y in 0..g.output.height {
                        let (left, result) = (&mut left[y * g.row()..][..g.row()], &result[y * g.row()..][..g.row()]);
                        g.each_pixel(y, |to, from| {
                            for c in 0..channels {
                                if x[from + c] == result[to + c] {
                                    dx[from + c] += left[to + c];
                                    left[to + c] = zero;
                                }
                            }
                        });
                    }
                }));
                dx
            })))???;
            Ok(Some(tensor_like(dx, x)?))
        })
    }
}

impl CustomOp1 for AveragePool {
    fn name(&self) -> &'static str {
        "average-pool"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let g = Geometry::new(Dims::of(layout.shape())?, self.window)?;
        let channels = g.input.channels;
        by_storage!(x, T => {
            let y = g.rows::<T>(slice(x, layout)?, 0.0, |y, x, row| {
                g.each_pixel(y, |to, from| {
                    for (out, x) in row[to..to + channels].iter_mut().zip(&x[from..from + channels]) {
                        *out += *x;
                    }
                });
                for (x, pixel) in row.chunks_exact_mut(channels).enumerate() {
                    let share = g.share::<T>(y, x);
                    pixel.iter_mut().for_each(|value| *value *= share);
                }
            });
            output(y, g.output.shape())
        })
    }

    fn bwd(&self, x: &Tensor, _result: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let g = Geometry::new(Dims::of(x.shape())?, self.window)?;
        let channels = g.input.channels;
        by_dtype!(x, T => {
            let dx = with_values::<T, _>(grad, |grad| {
                let mut dx = vec![T::of(0.0); g.input.batch * g.input.image()];
                dx.par_chunks_mut(g.input.image()).zip(grad.par_chunks(g.output.image())).for_each(|(dx, grad)| wide(#[inline(always)] || {
                    for y in 0..g.output.height {
                        let grad = &grad[y * g.row()..][..g.row()];
                        g.each_pixel(y, |to, from| {
                            let share = g.share::<T>(y, to / channels);
                            for c in 0..channels {
                                dx[from + c] += grad[to + c] * share;
                            }
                        });
                    }
                }));
                dx
            })?;
            Ok(Some(tensor_like(dx, x)?))
        })
    }
}

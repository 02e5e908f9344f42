//! Depthwise convolution over channels-last maps: one filter a channel (Howard et al. 2017), any window, stride and padding.

use super::filter::{Filter, apply};
use super::{Dims, Element, wide};
use crate::graph::Window;
use candle_core::{Result, Shape, Tensor, bail};
use rayon::prelude::*;
use std::ops::Range;

/// Convolves every channel of `x`, batch × rows × columns × channels, with its own `kernel`, channels × 1 × k × k, and adds
/// `bias`, one value a channel.
///
/// Errors when the window does not fit or the channels differ.
pub fn depthwise(x: &Tensor, kernel: &Tensor, bias: &Tensor, window: Window) -> Result<Tensor> {
    apply::<Geometry>(x, kernel, bias, window)
}

struct Geometry {
    input: Dims,
    output: Dims,
    window: Window,
    /// Input columns under each output column, and the first kernel column that meets them.
    columns: Vec<(Range<usize>, usize)>,
    rows: Vec<(Range<usize>, usize)>,
}

impl Geometry {
    /// Calls `visit(output offset, input offset, tap)` for every pixel under every window of output row `y`; offsets are within the
    /// output row and within one input image.
    #[inline(always)]
    fn each_tap(&self, y: usize, mut visit: impl FnMut(usize, usize, usize)) {
        let channels = self.input.channels;
        let (rows, first_row) = &self.rows[y];
        for (i, from_y) in rows.clone().enumerate() {
            for (x, (columns, first)) in self.columns.iter().enumerate() {
                for (j, from_x) in columns.clone().enumerate() {
                    let tap = (first_row + i) * self.window.size[1] + first + j;
                    visit(x * channels, (from_y * self.input.width + from_x) * channels, tap);
                }
            }
        }
    }

    fn row(&self) -> usize {
        self.output.width * self.output.channels
    }
}

/// [channels, 1, k, k] → [k·k, channels], so that one tap's weights lie side by side; and back with the sides exchanged.
fn transposed<T: Element>(values: &[T], rows: usize) -> Vec<T> {
    let columns = values.len() / rows;
    (0..columns).flat_map(|j| (0..rows).map(move |i| values[i * columns + j])).collect()
}

/// out += a · b, value by value.
#[inline(always)]
fn multiply_add<T: Element>(out: &mut [T], a: &[T], b: &[T]) {
    for ((out, a), b) in out.iter_mut().zip(a).zip(b) {
        *out += *a * *b;
    }
}

impl Filter for Geometry {
    const NAME: &str = "depthwise";

    fn new(input: Dims, kernel: &Shape, window: Window) -> Result<Self> {
        let (channels, one, rows, columns) = kernel.dims4()?;
        let sides = (window.output_side(0, input.height), window.output_side(1, input.width));
        match sides {
            (Some(height), Some(width)) if (channels, one) == (input.channels, 1) && window.size == [rows, columns] => {
                let spans = |axis: usize, side: usize, count: usize| -> Vec<(Range<usize>, usize)> {
                    let before = window.pads(axis, side).map_or(0, |(before, _)| before);
                    let skipped = |at: usize| before.saturating_sub(at * window.stride[axis]);
                    (0..count).map(|at| (window.span(axis, side, at), skipped(at))).collect()
                };
                let (rows, columns) = (spans(0, input.height, height), spans(1, input.width, width));
                Ok(Self { input, output: Dims { height, width, ..input }, window, columns, rows })
            }
            _ => bail!("depthwise convolution of {input:?} with a kernel of {kernel:?} and {window:?}"),
        }
    }

    fn output(&self) -> Dims {
        self.output
    }

    fn forward<T: Element>(&self, x: &[T], kernel: &[T], bias: &[T]) -> Vec<T> {
        let channels = self.input.channels;
        let taps = transposed(kernel, channels);
        let mut y = vec![T::of(0.0); self.output.batch * self.output.image()];
        y.par_chunks_mut(self.output.image()).zip(x.par_chunks(self.input.image())).for_each(|(y, x)| {
            y.par_chunks_mut(self.row()).enumerate().for_each(|(row, y)| {
                wide(
                    #[inline(always)]
                    || {
                        y.chunks_exact_mut(channels).for_each(|pixel| pixel.copy_from_slice(bias));
                        self.each_tap(row, |to, from, tap| {
                            multiply_add(
                                &mut y[to..to + channels],
                                &x[from..from + channels],
                                &taps[tap * channels..][..channels],
                            );
                        });
                    },
                )
            });
        });
        y
    }

    fn kernel_gradient<T: Element>(&self, x: &[T], grad: &[T]) -> (Vec<T>, Vec<T>) {
        let channels = self.input.channels;
        let area = self.window.size[0] * self.window.size[1];
        // The bias is one tap more, which sees ones.
        let partial: Vec<Vec<T>> = x
            .par_chunks(self.input.image())
            .zip(grad.par_chunks(self.output.image()))
            .map(|(x, grad)| {
                wide(
                    #[inline(always)]
                    || {
                        let mut sums = vec![T::of(0.0); (area + 1) * channels];
                        let (taps, bias) = sums.split_at_mut(area * channels);
                        for (row, grad) in grad.chunks_exact(self.row()).enumerate() {
                            for pixel in grad.chunks_exact(channels) {
                                bias.iter_mut().zip(pixel).for_each(|(sum, value)| *sum += *value);
                            }
                            self.each_tap(row, |to, from, tap| {
                                let sums = &mut taps[tap * channels..][..channels];
                                multiply_add(sums, &grad[to..to + channels], &x[from..from + channels]);
                            });
                        }
                        sums
                    },
                )
            })
            .collect();
        let mut total = vec![T::of(0.0); (area + 1) * channels];
        for part in &partial {
            total.iter_mut().zip(part).for_each(|(total, part)| *total += *part);
        }
        let bias = total.split_off(area * channels);
        (transposed(&total, area), bias)
    }

    fn input_gradient<T: Element>(&self, kernel: &[T], grad: &[T]) -> Vec<T> {
        let channels = self.input.channels;
        let taps = transposed(kernel, channels);
        let mut dx = vec![T::of(0.0); self.input.batch * self.input.image()];
        dx.par_chunks_mut(self.input.image()).zip(grad.par_chunks(self.output.image())).for_each(|(dx, grad)| {
            wide(
                #[inline(always)]
                || {
                    for (row, grad) in grad.chunks_exact(self.row()).enumerate() {
                        self.each_tap(row, |to, from, tap| {
                            let weights = &taps[tap * channels..][..channels];
                            multiply_add(&mut dx[from..from + channels], &grad[to..to + channels], weights);
                        });
                    }
                },
            )
        });
        dx
    }
}

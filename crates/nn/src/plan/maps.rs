//! Operations of the plan on maps other than convolution; all but the convolutions' share of the time.

use super::layout::{SLACK, Target, View};
use super::strips::each_strip;
use super::value::Value;
use crate::graph::{Activation, Window};
use candle_core::cpu::erf::erf_f32;
use std::ops::Range;

/// What is done at every pixel.
#[derive(Debug, Clone, PartialEq)]
pub enum Pointwise {
    Copy,
    /// The sum with the second source.
    Add,
    /// The product with the second source, which may have one pixel only.
    Multiply,
    /// Batch-norm by running statistics: x · scale + shift.
    Affine {
        scale: Vec<f32>,
        shift: Vec<f32>,
    },
    /// Over the channels of each pixel, or over a vector.
    LayerNorm {
        scale: Vec<f32>,
        shift: Vec<f32>,
        epsilon: f32,
    },
    Activation(Activation),
}

impl Pointwise {
    /// Applies an activation or batch-norm to one pixel's channels or one vector.
    pub fn apply(&self, values: &mut [f32]) {
        match self {
            Pointwise::Copy | Pointwise::Add | Pointwise::Multiply => {}
            Pointwise::Affine { scale, shift } => {
                for ((value, scale), shift) in values.iter_mut().zip(scale).zip(shift) {
                    *value = *value * scale + shift;
                }
            }
            Pointwise::LayerNorm { scale, shift, epsilon } => {
                let share = 1.0 / values.len() as f32;
                let mean = values.iter().sum::<f32>() * share;
                let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f32>() * share;
                let factor = 1.0 / (variance + epsilon).sqrt();
                for ((value, scale), shift) in values.iter_mut().zip(scale).zip(shift) {
                    *value = (*value - mean) * factor * scale + shift;
                }
            }
            // Written so that a NaN stays one.
            Pointwise::Activation(Activation::Relu) => {
                values.iter_mut().for_each(|v| *v = if *v < 0.0 { 0.0 } else { *v });
            }
            Pointwise::Activation(Activation::Relu6) => values.iter_mut().for_each(|v| *v = v.clamp(0.0, 6.0)),
            Pointwise::Activation(Activation::Silu) => values.iter_mut().for_each(|v| *v /= 1.0 + (-*v).exp()),
            Pointwise::Activation(Activation::Gelu) => {
                let half = std::f32::consts::FRAC_1_SQRT_2;
                values.iter_mut().for_each(|v| *v *= 0.5 * (1.0 + erf_f32(*v * half)));
            }
            Pointwise::Activation(Activation::Sigmoid) => {
                values.iter_mut().for_each(|v| *v = 1.0 / (1.0 + (-*v).exp()))
            }
            Pointwise::Activation(Activation::Softmax) => {
                let largest = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                values.iter_mut().for_each(|v| *v = (*v - largest).exp());
                let total: f32 = values.iter().sum();
                values.iter_mut().for_each(|v| *v /= total);
            }
        }
    }
}

/// An operation on maps.
pub enum MapOp {
    MaxPool {
        window: Window,
    },
    /// The mean over the window's pixels inside the image.
    AveragePool {
        window: Window,
    },
    Upsample {
        factor: usize,
    },
    Pointwise(Pointwise),
}

/// An output pixel and the input pixels under its window.
struct Place {
    y: usize,
    x: usize,
    rows: Range<usize>,
    columns: Range<usize>,
}

impl View {
    /// Channels of a pixel.
    pub fn at<'a, T>(&self, slots: &'a [Vec<T>], y: usize, x: usize) -> &'a [T] {
        &slots[self.slot][self.start + y * self.row + x * self.pixel..][..self.channels]
    }
}

impl MapOp {
    /// Computes the target's interior from the sources; `out` is the target's slot.
    pub fn run<T: Value>(&self, sources: &[View], target: &Target, slots: &[Vec<T>], out: &mut [T], threads: usize) {
        let (view, first) = (&target.view, target.frame.left * target.view.pixel + target.channel);
        let rows = &mut out[target.frame.top * view.row..][..view.height * view.row];
        let strip = if threads > 1 { view.height.div_ceil(4 * threads) } else { view.height };
        let window = match self {
            MapOp::MaxPool { window } | MapOp::AveragePool { window } => *window,
            MapOp::Upsample { .. } | MapOp::Pointwise(_) => Window::tiles(1),
        };
        let spans = |axis: usize, side: usize, count: usize| -> Vec<Range<usize>> {
            (0..count).map(|at| window.span(axis, side, at)).collect()
        };
        let (down, across) = (spans(0, sources[0].height, view.height), spans(1, sources[0].width, view.width));
        let work = |(i, rows): (usize, &mut [T])| {
            let mut sums = vec![0.0; view.channels];
            for (j, row) in rows.chunks_mut(view.row).enumerate() {
                let y = i * strip + j;
                let pixels = row[first..].chunks_mut(view.pixel).take(view.width);
                for (x, to) in pixels.enumerate() {
                    let place = Place { y, x, rows: down[y].clone(), columns: across[x].clone() };
                    self.pixel(sources, slots, place, &mut to[..view.channels], &mut sums);
                }
            }
        };
        each_strip(rows, strip * view.row, threads, work);
    }

    #[inline(always)]
    fn pixel<T: Value>(&self, sources: &[View], slots: &[Vec<T>], place: Place, to: &mut [T], sums: &mut [f32]) {
        let (source, Place { y, x, rows, columns }) = (&sources[0], place);
        match self {
            MapOp::MaxPool { .. } => {
                to.copy_from_slice(source.at(slots, rows.start, columns.start));
                for row in rows {
                    for column in columns.clone() {
                        for (to, from) in to.iter_mut().zip(source.at(slots, row, column)) {
                            *to = to.largest(*from);
                        }
                    }
                }
            }
            MapOp::AveragePool { .. } => {
                let share = 1.0 / (rows.len() * columns.len()) as f32;
                sums.fill(0.0);
                for row in rows {
                    for column in columns.clone() {
                        for (sum, from) in sums.iter_mut().zip(source.at(slots, row, column)) {
                            *sum += from.get();
                        }
                    }
                }
                for (to, sum) in to.iter_mut().zip(sums) {
                    *to = T::of(*sum * share);
                }
            }
            MapOp::Upsample { factor } => to.copy_from_slice(source.at(slots, y / factor, x / factor)),
            MapOp::Pointwise(Pointwise::Copy) => to.copy_from_slice(source.at(slots, y, x)),
            MapOp::Pointwise(Pointwise::Add) => {
                let pairs = source.at(slots, y, x).iter().zip(sources[1].at(slots, y, x));
                for (to, (a, b)) in to.iter_mut().zip(pairs) {
                    *to = T::of(a.get() + b.get());
                }
            }
            MapOp::Pointwise(Pointwise::Multiply) => {
                let by = &sources[1];
                let by = by.at(slots, y.min(by.height - 1), x.min(by.width - 1));
                for (to, (a, b)) in to.iter_mut().zip(source.at(slots, y, x).iter().zip(by)) {
                    *to = T::of(a.get() * b.get());
                }
            }
            MapOp::Pointwise(function) => {
                for (sum, from) in sums.iter_mut().zip(source.at(slots, y, x)) {
                    *sum = from.get();
                }
                function.apply(sums);
                for (to, value) in to.iter_mut().zip(sums) {
                    *to = T::of(*value);
                }
            }
        }
    }
}

/// Zeros on the target's frame, in its own channels only: other parts of a buffer write theirs. Behind the last row too: kernels
/// multiply what they read there by zero, which must not be 0 · ∞ from another picture.
pub fn clear_frame<T: Value>(target: &Target, out: &mut [T]) {
    let Target { view, frame, channel } = target;
    let end = (frame.top + view.height + frame.bottom) * view.row;
    out[end..][..SLACK].fill(T::default());
    let columns = frame.left + view.width + frame.right;
    let mut clear = |y: usize, columns: Range<usize>| {
        let row = &mut out[y * view.row..][..view.row];
        for x in columns {
            row[x * view.pixel + channel..][..view.channels].fill(T::default());
        }
    };
    let inner = frame.top..frame.top + view.height;
    for y in 0..inner.end + frame.bottom {
        if inner.contains(&y) {
            clear(y, 0..frame.left);
            clear(y, frame.left + view.width..columns);
        } else {
            clear(y, 0..columns);
        }
    }
}

/// The picture, rows × columns × channels in f32, into its target.
pub fn enter<T: Value>(image: &[f32], target: &Target, out: &mut [T]) {
    let (view, frame) = (&target.view, &target.frame);
    let rows = out[frame.top * view.row..].chunks_mut(view.row);
    for (row, image) in rows.zip(image.chunks_exact(view.width * view.channels)) {
        let row = &mut row[frame.left * view.pixel..];
        for (to, from) in row.chunks_mut(view.pixel).zip(image.chunks_exact(view.channels)) {
            for (to, from) in to.iter_mut().zip(from) {
                *to = T::of(*from);
            }
        }
    }
}

/// How a map becomes a vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leave {
    /// In (row, column, channel) order.
    Flat,
    /// The mean over all pixels.
    Mean,
}

/// Reads a map out as f32.
pub fn leave<T: Value>(how: Leave, view: &View, slots: &[Vec<T>], to: &mut [f32]) {
    let pixels = (0..view.height).flat_map(|y| (0..view.width).map(move |x| (y, x)));
    match how {
        Leave::Flat => {
            for ((y, x), to) in pixels.zip(to.chunks_exact_mut(view.channels)) {
                for (to, from) in to.iter_mut().zip(view.at(slots, y, x)) {
                    *to = from.get();
                }
            }
        }
        Leave::Mean => {
            to.fill(0.0);
            for (y, x) in pixels {
                for (to, from) in to.iter_mut().zip(view.at(slots, y, x)) {
                    *to += from.get();
                }
            }
            let share = 1.0 / (view.height * view.width) as f32;
            to.iter_mut().for_each(|v| *v *= share);
        }
    }
}

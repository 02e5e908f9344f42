//! Operations of the plan on maps other than convolution; all but the convolutions' share of the time.

use super::functions;
use super::layout::{SLACK, Target, View};
use super::strips::each_strip;
use super::value::Value;
use crate::graph::{Activation, Window};
use crate::ops::wide;
use std::ops::Range;

/// What is done at every pixel.
#[derive(Debug, Clone, PartialEq)]
pub enum Pointwise {
    Copy,
    /// The sum with the second source.
    Add,
    /// The product with the second source.
    Multiply,
    /// The larger of the value and the second source's.
    Maximum,
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
    #[inline(always)]
    pub fn apply(&self, values: &mut [f32]) {
        match self {
            Pointwise::Copy | Pointwise::Add | Pointwise::Multiply | Pointwise::Maximum => {}
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
            Pointwise::Activation(function) => functions::activate(*function, values),
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
    /// The two source rows and columns of every target row and column, with the share of the second; it counts only when values
    /// are blended.
    Resize {
        rows: Vec<(usize, usize, f32)>,
        columns: Vec<(usize, usize, f32)>,
        blends: bool,
    },
    Crop {
        top: usize,
        left: usize,
    },
    Channels {
        first: usize,
    },
    Shuffle {
        groups: usize,
    },
    DepthToSpace {
        block: usize,
    },
    Permute {
        axes: [usize; 3],
    },
    /// Values in order into a map of this width.
    Reshape {
        width: usize,
    },
    PRelu {
        slopes: Vec<f32>,
        by_channel: bool,
    },
    GroupNorm {
        groups: usize,
        epsilon: f64,
        scale: Vec<f32>,
        shift: Vec<f32>,
    },
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
        if let MapOp::GroupNorm { groups, epsilon, scale, shift } = self {
            let affine = group_affine(&sources[0], slots, *groups, *epsilon, scale, shift);
            return MapOp::Pointwise(affine).run(sources, target, slots, out, threads);
        }
        let (view, first) = (&target.view, target.frame.left * target.view.pixel + target.channel);
        let rows = &mut out[target.frame.top * view.row..][..view.height * view.row];
        let strip = if threads > 1 { view.height.div_ceil(4 * threads) } else { view.height };
        let window = match self {
            MapOp::MaxPool { window } | MapOp::AveragePool { window } => *window,
            _ => Window::tiles(1),
        };
        let spans = |axis: usize, side: usize, count: usize| -> Vec<Range<usize>> {
            (0..count).map(|at| window.span(axis, side, at)).collect()
        };
        let (down, across) = (spans(0, sources[0].height, view.height), spans(1, sources[0].width, view.width));
        let work = |(i, rows): (usize, &mut [T])| {
            wide(
                #[inline(always)]
                || {
                    let mut sums = vec![0.0; view.channels];
                    for (j, row) in rows.chunks_mut(view.row).enumerate() {
                        let y = i * strip + j;
                        let pixels = row[first..].chunks_mut(view.pixel).take(view.width);
                        for (x, to) in pixels.enumerate() {
                            let place = Place { y, x, rows: down[y].clone(), columns: across[x].clone() };
                            self.pixel(sources, slots, place, &mut to[..view.channels], &mut sums);
                        }
                    }
                },
            );
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
            MapOp::Pointwise(Pointwise::Add) => binary(sources, slots, (y, x), to, |a, b| a + b),
            MapOp::Pointwise(Pointwise::Multiply) => binary(sources, slots, (y, x), to, |a, b| a * b),
            MapOp::Pointwise(Pointwise::Maximum) => binary(sources, slots, (y, x), to, f32::max),
            MapOp::Resize { rows, columns, blends: false } => {
                to.copy_from_slice(source.at(slots, rows[y].0, columns[x].0));
            }
            MapOp::Resize { rows, columns, blends: true } => {
                let ((above, below, down), (left, right, across)) = (rows[y], columns[x]);
                let corners = [(above, left), (above, right), (below, left), (below, right)];
                let [a, b, c, d] = corners.map(|(y, x)| source.at(slots, y, x));
                for (i, to) in to.iter_mut().enumerate() {
                    let upper = a[i].get() + (b[i].get() - a[i].get()) * across;
                    let lower = c[i].get() + (d[i].get() - c[i].get()) * across;
                    *to = T::of(upper + (lower - upper) * down);
                }
            }
            MapOp::Crop { top, left } => to.copy_from_slice(source.at(slots, y + top, x + left)),
            MapOp::Channels { first } => to.copy_from_slice(&source.at(slots, y, x)[*first..][..to.len()]),
            MapOp::Shuffle { groups } => {
                let (from, each) = (source.at(slots, y, x), to.len() / groups);
                for (to, k) in to.chunks_mut(*groups).zip(0..each) {
                    to.iter_mut().enumerate().for_each(|(g, to)| *to = from[g * each + k]);
                }
            }
            MapOp::DepthToSpace { block } => {
                let part = (y % block * block + x % block) * to.len();
                to.copy_from_slice(&source.at(slots, y / block, x / block)[part..][..to.len()]);
            }
            MapOp::Permute { axes } => {
                for (c, to) in to.iter_mut().enumerate() {
                    let mut at = [0; 3];
                    axes.iter().zip([y, x, c]).for_each(|(axis, place)| at[*axis] = place);
                    *to = source.at(slots, at[0], at[1])[at[2]];
                }
            }
            MapOp::Reshape { width } => {
                let first = (y * width + x) * to.len();
                for (c, to) in to.iter_mut().enumerate() {
                    let (pixel, channel) = ((first + c) / source.channels, (first + c) % source.channels);
                    *to = source.at(slots, pixel / source.width, pixel % source.width)[channel];
                }
            }
            MapOp::PRelu { slopes, by_channel } => {
                let first = if *by_channel { 0 } else { (y * source.width + x) * to.len() };
                let pairs = source.at(slots, y, x).iter().zip(&slopes[first..]);
                for (to, (value, slope)) in to.iter_mut().zip(pairs) {
                    let value = value.get();
                    *to = T::of(if value < 0.0 { value * slope } else { value });
                }
            }
            MapOp::GroupNorm { .. } => {}
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

/// A function of both sources at one pixel; the second may have one row, column or channel for all.
#[inline(always)]
fn binary<T: Value>(
    sources: &[View],
    slots: &[Vec<T>],
    (y, x): (usize, usize),
    to: &mut [T],
    function: impl Fn(f32, f32) -> f32,
) {
    let by = &sources[1];
    let by = by.at(slots, y.min(by.height - 1), x.min(by.width - 1));
    let from = sources[0].at(slots, y, x);
    match by {
        [one] => {
            let one = one.get();
            to.iter_mut().zip(from).for_each(|(to, a)| *to = T::of(function(a.get(), one)));
        }
        _ => to.iter_mut().zip(from.iter().zip(by)).for_each(|(to, (a, b))| *to = T::of(function(a.get(), b.get()))),
    }
}

/// What normalising groups of channels over a map comes to for each channel.
fn group_affine<T: Value>(
    source: &View,
    slots: &[Vec<T>],
    groups: usize,
    epsilon: f64,
    scale: &[f32],
    shift: &[f32],
) -> Pointwise {
    let channels = source.channels;
    let rows = |y: usize| (0..source.width).map(move |x| source.at(slots, y, x));
    let mut sums = vec![0.0f64; channels];
    let mut row_sums = vec![0.0f32; channels];
    let mut add_up = |term: &dyn Fn(f32, usize) -> f32| -> Vec<f64> {
        sums.fill(0.0);
        for y in 0..source.height {
            row_sums.fill(0.0);
            wide(
                #[inline(always)]
                || {
                    for pixel in rows(y) {
                        for (c, (sum, value)) in row_sums.iter_mut().zip(pixel).enumerate() {
                            *sum += term(value.get(), c);
                        }
                    }
                },
            );
            sums.iter_mut().zip(&row_sums).for_each(|(sum, row)| *sum += f64::from(*row));
        }
        let each = channels / groups;
        let count = (source.height * source.width * each) as f64;
        let of_group = sums.chunks(each).map(|group| group.iter().sum::<f64>() / count);
        of_group.flat_map(|mean| std::iter::repeat_n(mean, each)).collect()
    };
    let means = add_up(&|value, _| value);
    // Around the mean, as sums of squares alone would cancel.
    let variances = add_up(&|value, c| (value - means[c] as f32).powi(2));
    let factors: Vec<f32> =
        scale.iter().zip(&variances).map(|(scale, v)| (f64::from(*scale) / (v + epsilon).sqrt()) as f32).collect();
    let shift = shift.iter().zip(&means).zip(&factors);
    let shift = shift.map(|((shift, mean), factor)| shift - *mean as f32 * factor).collect();
    Pointwise::Affine { scale: factors, shift }
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

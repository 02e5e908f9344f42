//! A depthwise convolution of the plan: weights by tap, rows shared out to threads.

use super::kernels::Kernel;
use super::kernels::depthwise::Row;
use super::layout::{Target, View};
use super::pack::{Recipe, clamp_bounds};
use super::strips::each_strip;
use super::value::Value;

/// A ready depthwise convolution with the ReLU behind it.
pub struct Depthwise<T: Value> {
    kernel: &'static Kernel<T>,
    stride: [usize; 2],
    source: View,
    target: Target,
    /// Offset of the first window's first value in the source's slot.
    origin: usize,
    /// Offset of each tap from a window's first value.
    taps: Vec<usize>,
    /// [tap][channel]
    weights: Vec<f32>,
    bias: Vec<f32>,
    lower: f32,
    upper: f32,
}

impl<T: Value> Depthwise<T> {
    /// Packs weights for reading `source` and writing `target`; `recipe.kernel` is [channels, 1, rows, columns].
    pub fn new(recipe: &Recipe, kernel: &'static Kernel<T>, source: View, target: Target) -> Self {
        let padded = kernel.padded(source.channels);
        let area = recipe.size[0] * recipe.size[1];
        let weight = |tap: usize, c: usize| if c < source.channels { recipe.kernel[c * area + tap] } else { 0.0 };
        let weights = (0..area).flat_map(|tap| (0..padded).map(move |c| (tap, c))).map(|(tap, c)| weight(tap, c));
        let mut bias = recipe.bias.map_or_else(Vec::new, <[f32]>::to_vec);
        bias.resize(padded, 0.0);
        let taps = (0..recipe.size[0]).flat_map(|y| (0..recipe.size[1]).map(move |x| (y, x)));
        let (lower, upper) = clamp_bounds(recipe.clamp);
        Self {
            kernel,
            stride: recipe.stride,
            source,
            target,
            origin: source.start - recipe.before[0] * source.row - recipe.before[1] * source.pixel,
            taps: taps
                .map(|(y, x)| y * recipe.dilation[0] * source.row + x * recipe.dilation[1] * source.pixel)
                .collect(),
            weights: weights.collect(),
            bias,
            lower,
            upper,
        }
    }

    /// Computes the target's interior. `slots` holds the source; `out` is the target's slot.
    pub fn run(&self, slots: &[Vec<T>], out: &mut [T], threads: usize) {
        let Target { view, frame, channel } = self.target;
        let rows = &mut out[frame.top * view.row..][..view.height * view.row];
        let strip = if threads > 1 { view.height.div_ceil(4 * threads) } else { view.height };
        let work = |(i, rows): (usize, &mut [T])| {
            for (j, row) in rows.chunks_mut(view.row).enumerate() {
                let from = self.origin + (i * strip + j) * self.stride[0] * self.source.row;
                self.kernel.depthwise(&mut Row {
                    pixels: view.width,
                    source: &slots[self.source.slot][from..],
                    source_stride: self.stride[1] * self.source.pixel,
                    taps: &self.taps,
                    weights: &self.weights,
                    bias: &self.bias,
                    lower: self.lower,
                    upper: self.upper,
                    channels: view.channels,
                    target: &mut row[frame.left * view.pixel + channel..],
                    target_stride: view.pixel,
                });
            }
        };
        each_strip(rows, strip * view.row, threads, work);
    }
}

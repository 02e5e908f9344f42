//! A convolution of the plan: weights packed for its kernels, and the walk over rows, panels and tiles.

use super::arena::{Workspace, Workspaces};
use super::kernels::{End, Finish, Kernel, Panel, Residual, Run, Start, Tile};
use super::layout::{Target, View};
use super::pack::{PackedPanel, Recipe, stretches};
use super::value::Value;
use crate::nn::graph::Activation;
use rayon::prelude::*;
use std::ops::Range;

/// Weights of a panel that are used together should stay in the second-level cache: 256 KiB.
const BLOCK_BYTES: usize = 256 * 1024;
/// Sums kept between blocks: 64 KiB.
const MOST_SUMS: usize = 16 * 1024;
/// From so many pixels on, blocking the weights pays.
const FEW_PIXELS: usize = 16;

/// A map that is added to the sums.
#[derive(Debug, Clone, Copy)]
pub struct Addition {
    pub view: View,
    pub shift: u32,
}

/// Part of a panel's weights, with the input values they meet.
struct Block {
    runs: Vec<Run>,
    /// In the panel's weights.
    weights: Range<usize>,
}

/// A ready convolution.
pub struct Convolution<T: Value> {
    kernel: &'static Kernel<T>,
    panels: Vec<PackedPanel<T>>,
    /// The same for every panel; offsets are from the window's first value.
    blocks: Vec<Block>,
    stride: [usize; 2],
    before: [usize; 2],
    /// Rows and columns of sums, before pooling.
    height: usize,
    width: usize,
    lower: f32,
    upper: f32,
    pool: bool,
    source: View,
    addition: Option<Addition>,
    target: Target,
}

impl<T: Value> Convolution<T> {
    /// Packs weights for reading `source` and writing `target`.
    pub fn new(
        recipe: &Recipe,
        kernel: &'static Kernel<T>,
        source: View,
        addition: Option<Addition>,
        target: Target,
    ) -> Self {
        let (pooling, group) = (1 + usize::from(recipe.pool), kernel.group());
        // The last odd row and column of a pooled convolution would be thrown away.
        let (height, width) = (target.view.height * pooling, target.view.width * pooling);
        let panels = kernel.panels(recipe.filters, usize::MAX);
        let widest = panels.iter().map(|p| p.width).max().unwrap_or(1);
        let most = (BLOCK_BYTES / (widest * size_of::<T>())).next_multiple_of(group);
        let most = if height * width < FEW_PIXELS { usize::MAX / 2 * 2 } else { most };
        let stretches = stretches(recipe.size, &source, most);
        let mut blocks: Vec<Block> = Vec::new();
        let (mut values, mut groups) = (0, 0);
        for stretch in &stretches {
            if blocks.is_empty() || values + stretch.len > most {
                blocks.push(Block { runs: Vec::new(), weights: groups..groups });
                values = 0;
            }
            let run = Run { offset: stretch.offset, groups: stretch.len.div_ceil(group) };
            (values, groups) = (values + stretch.len, groups + run.groups);
            if let Some(block) = blocks.last_mut() {
                block.runs.push(run);
                block.weights.end = groups;
            }
        }
        let panels = panels.into_par_iter().map(|panel| PackedPanel::new(recipe, panel, &stretches, group)).collect();
        let (lower, upper) = match recipe.clamp {
            Some(Activation::Relu) => (0.0, f32::INFINITY),
            Some(Activation::Relu6) => (0.0, 6.0),
            _ => (f32::NEG_INFINITY, f32::INFINITY),
        };
        Self {
            kernel,
            panels,
            blocks,
            stride: recipe.stride,
            before: recipe.before,
            height,
            width,
            lower,
            upper,
            pool: recipe.pool,
            source,
            addition,
            target,
        }
    }

    /// Rows of output that one pass over a panel's weights covers.
    fn rows_per_pass(&self, widest: usize) -> usize {
        if self.blocks.len() == 1 { self.height } else { (MOST_SUMS / (self.width * widest)).max(1) }
    }

    /// Computes the target's interior. `slots` holds the sources; `out` is the target's slot.
    pub fn run(&self, slots: &[Vec<T>], out: &mut [T], workspaces: &Workspaces<T>, threads: usize) {
        let Target { view, frame, .. } = self.target;
        let rows = &mut out[frame.top * view.row..][..view.height * view.row];
        // A short map with many channels is shared out by channels: its weights are what takes the time.
        if threads > 1 && view.height < 4 * threads && self.panels.len() >= threads {
            return self.run_by_panels(slots, rows, workspaces);
        }
        let strip = if threads > 1 { (view.height / (8 * threads)).max(1) } else { view.height };
        let work = |(i, rows): (usize, &mut [T])| {
            let mut workspace = workspaces.lend();
            let first = i * strip;
            let rows_here = rows.len() / view.row;
            for packed in &self.panels {
                let to = &mut rows[frame.left * view.pixel + self.target.channel + packed.panel.first..];
                let place = Strip { rows: first..first + rows_here, row: view.row, pixel: view.pixel };
                self.strip(packed, slots, &place, to, &mut workspace);
            }
        };
        if threads > 1 {
            rows.par_chunks_mut(strip * view.row).enumerate().for_each(work);
        } else {
            rows.chunks_mut(strip * view.row).enumerate().for_each(work);
        }
    }

    /// Every panel into a map of its own, then side by side.
    fn run_by_panels(&self, slots: &[Vec<T>], rows: &mut [T], workspaces: &Workspaces<T>) {
        let Target { view, frame, channel } = self.target;
        let pixels = view.height * view.width;
        let mut gathered = workspaces.lend();
        let width: usize = self.panels.iter().map(|p| p.panel.width).sum();
        gathered.maps.resize(pixels * width, T::default());
        let mut parts = Vec::with_capacity(self.panels.len());
        let mut rest = &mut gathered.maps[..];
        for packed in &self.panels {
            let (part, after) = rest.split_at_mut(pixels * packed.panel.width);
            parts.push((packed, part));
            rest = after;
        }
        parts.par_iter_mut().for_each(|(packed, part)| {
            let pixel = packed.panel.width;
            let place = Strip { rows: 0..view.height, row: view.width * pixel, pixel };
            self.strip(packed, slots, &place, part, &mut workspaces.lend());
        });
        for (packed, part) in parts {
            let Panel { first, channels, width, .. } = packed.panel;
            for (row, part) in rows.chunks_mut(view.row).zip(part.chunks(view.width * width)) {
                let row = row[frame.left * view.pixel + channel + first..].chunks_mut(view.pixel);
                for (to, from) in row.zip(part.chunks(width)) {
                    to[..channels].copy_from_slice(&from[..channels]);
                }
            }
        }
    }

    /// One panel of some rows of the target; `to` starts at the first row's first pixel and the panel's first channel.
    fn strip(&self, packed: &PackedPanel<T>, slots: &[Vec<T>], strip: &Strip, to: &mut [T], space: &mut Workspace<T>) {
        let width = packed.panel.width;
        if !self.pool {
            let pass = self.rows_per_pass(width);
            for start in strip.rows.clone().step_by(pass) {
                let rows = start..(start + pass).min(strip.rows.end);
                let to = &mut to[(start - strip.rows.start) * strip.row..];
                self.rows(packed, slots, &Strip { rows, ..strip.clone() }, to, &mut space.sums);
            }
            return;
        }
        // Two rows of sums beside each other, then their largest.
        space.maps.resize(2 * self.width * width, T::default());
        for (i, y) in strip.rows.clone().enumerate() {
            let pair = Strip { rows: 2 * y..2 * y + 2, row: self.width * width, pixel: width };
            self.rows(packed, slots, &pair, &mut space.maps, &mut space.sums);
            let (upper, lower) = space.maps.split_at(self.width * width);
            let pixels = to[i * strip.row..].chunks_mut(strip.pixel).take(self.width / 2);
            for ((to, upper), lower) in pixels.zip(upper.chunks_exact(2 * width)).zip(lower.chunks_exact(2 * width)) {
                for (c, to) in to.iter_mut().take(packed.panel.channels).enumerate() {
                    *to = upper[c].largest(upper[c + width]).largest(lower[c].largest(lower[c + width]));
                }
            }
        }
    }

    /// Sums of some rows (before pooling) of one panel, all blocks, finished into `to`.
    fn rows(&self, packed: &PackedPanel<T>, slots: &[Vec<T>], strip: &Strip, to: &mut [T], sums: &mut Vec<f32>) {
        let panel = &packed.panel;
        let (view, tiles) = (&self.source, self.width.div_ceil(panel.most_pixels));
        let source = &slots[view.slot];
        let origin = view.start - self.before[0] * view.row - self.before[1] * view.pixel;
        if self.blocks.len() > 1 {
            sums.resize(strip.rows.len() * self.width * panel.width, 0.0);
        }
        let affine = packed.affine.as_ref().map(|(a, b)| (a.as_slice(), b.as_slice()));
        let finish = Finish { lower: self.lower, upper: self.upper, affine };
        for (b, block) in self.blocks.iter().enumerate() {
            let weights = block.weights.start * panel.width * self.kernel.group()
                ..block.weights.end * panel.width * self.kernel.group();
            let last = b + 1 == self.blocks.len();
            for (i, y) in strip.rows.clone().enumerate() {
                let row = origin + y * self.stride[0] * view.row;
                for tile in 0..tiles {
                    // Tiles as equal as can be, so that a narrow map wastes nothing.
                    let (x, next) = (tile * self.width / tiles, (tile + 1) * self.width / tiles);
                    let end = if last {
                        End::Values {
                            target: &mut to[i * strip.row + x * strip.pixel..],
                            stride: strip.pixel,
                            channels: panel.channels,
                            finish,
                            residual: self.addition.map(|a| Residual {
                                values: &slots[a.view.slot][a.view.start + (y >> a.shift) * a.view.row + panel.first..],
                                stride: a.view.pixel,
                                first: x,
                                shift: a.shift,
                            }),
                        }
                    } else {
                        End::Sums
                    };
                    let sums =
                        if self.blocks.len() > 1 { &mut sums[(i * self.width + x) * panel.width..] } else { &mut [] };
                    let mut tile = Tile {
                        pixels: next - x,
                        source: &source[row + x * self.stride[1] * view.pixel..],
                        source_stride: self.stride[1] * view.pixel,
                        runs: &block.runs,
                        weights: &packed.weights[weights.clone()],
                        bias: &packed.bias,
                        sums,
                        start: if b == 0 { Start::Bias } else { Start::Sums },
                        end,
                    };
                    self.kernel.tile(panel, &mut tile);
                }
            }
        }
    }
}

/// Rows that are computed together and how their target lies in memory.
#[derive(Clone)]
struct Strip {
    rows: Range<usize>,
    /// Values between rows of the target.
    row: usize,
    /// Values between pixels of the target.
    pixel: usize,
}

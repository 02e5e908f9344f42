//! Convolution as sums over the window: any kernel, any stride.

use super::arena::Workspace;
use super::kernels::{End, Residual, Run, Runs, Start, Tile};
use super::pack::{PackedPanel, Recipe, stretches};
use super::site::{Site, Strip};
use super::value::Value;
use rayon::prelude::*;
use std::ops::Range;

/// Weights of a panel that are used together should stay in the second-level cache: 256 KiB.
const BLOCK_BYTES: usize = 256 * 1024;
/// Sums kept between blocks: 64 KiB.
const MOST_SUMS: usize = 16 * 1024;
/// From so many pixels on, blocking the weights pays.
const FEW_PIXELS: usize = 16;

/// Part of a panel's weights, with the input values they meet.
struct Block {
    runs: Runs,
    /// In groups of the panel's weights.
    weights: Range<usize>,
}

/// Packed weights.
pub struct Direct<T: Value> {
    pub panels: Vec<PackedPanel<T>>,
    /// The same for every panel; offsets are from the window's first value.
    blocks: Vec<Block>,
}

impl<T: Value> Direct<T> {
    pub fn new(recipe: &Recipe, site: &Site<T>) -> Self {
        let group = site.kernel.group();
        let panels = site.kernel.panels(recipe.filters, usize::MAX);
        let widest = panels.iter().map(|p| p.width).max().unwrap_or(1);
        let few = site.height * site.width < FEW_PIXELS;
        let most = if few { usize::MAX / 2 } else { BLOCK_BYTES / (widest * size_of::<T>()) };
        let most = (most / group * group).max(group);
        let stretches = stretches(recipe, &site.source, most);
        let mut blocks: Vec<Block> = Vec::new();
        let (mut values, mut groups) = (0, 0);
        for stretch in &stretches {
            if blocks.is_empty() || values + stretch.len > most {
                blocks.push(Block { runs: Runs::new(group), weights: groups..groups });
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
        Self { panels, blocks }
    }

    /// All panels of some rows; `to` starts at the first row's first pixel.
    pub fn run(&self, site: &Site<T>, slots: &[Vec<T>], strip: Strip, to: &mut [T], space: &mut Workspace<T>) {
        for packed in &self.panels {
            self.panel(site, packed, slots, strip, &mut to[packed.panel.first..], space);
        }
    }

    /// One panel of some rows; `to` starts at the panel's first channel.
    pub fn panel(
        &self,
        site: &Site<T>,
        packed: &PackedPanel<T>,
        slots: &[Vec<T>],
        strip: Strip,
        to: &mut [T],
        space: &mut Workspace<T>,
    ) {
        let width = packed.panel.width;
        if !site.pool {
            let rows = strip.first..strip.first + strip.rows;
            let pass = if self.blocks.len() == 1 { strip.rows } else { (MOST_SUMS / (site.width * width)).max(1) };
            for first in rows.clone().step_by(pass) {
                let part = Strip { first, rows: pass.min(rows.end - first), ..strip };
                self.rows(site, packed, slots, part, &mut to[(first - strip.first) * strip.row..], &mut space.sums);
            }
            return;
        }
        // Two rows of sums beside each other, then their largest.
        let row = site.width * width;
        space.maps.resize(2 * row, T::default());
        for i in 0..strip.rows {
            let pair = Strip { first: 2 * (strip.first + i), rows: 2, row, pixel: width };
            self.rows(site, packed, slots, pair, &mut space.maps, &mut space.sums);
            let (upper, lower) = space.maps.split_at(row);
            let pixels = to[i * strip.row..].chunks_mut(strip.pixel).take(site.width / 2);
            for ((to, upper), lower) in pixels.zip(upper.chunks_exact(2 * width)).zip(lower.chunks_exact(2 * width)) {
                for (c, to) in to.iter_mut().take(packed.panel.channels).enumerate() {
                    *to = upper[c].largest(upper[c + width]).largest(lower[c].largest(lower[c + width]));
                }
            }
        }
    }

    /// Sums of some rows (before pooling) of one panel, all blocks, finished into `to`.
    fn rows(
        &self,
        site: &Site<T>,
        packed: &PackedPanel<T>,
        slots: &[Vec<T>],
        strip: Strip,
        to: &mut [T],
        sums: &mut Vec<f32>,
    ) {
        let (panel, view, group) = (&packed.panel, &site.source, site.kernel.group());
        let tiles = site.width.div_ceil(panel.most_pixels);
        let source = &slots[view.slot][site.origin()..];
        let parts = self.blocks.len() > 1;
        if parts {
            sums.resize(strip.rows * site.width * panel.width, 0.0);
        }
        let finish = site.finish(packed);
        for (b, block) in self.blocks.iter().enumerate() {
            let weights = &packed.weights[block.weights.start * panel.width * group..];
            let last = b + 1 == self.blocks.len();
            for i in 0..strip.rows {
                let y = strip.first + i;
                for tile in 0..tiles {
                    // Tiles as equal as can be, so that a narrow map wastes nothing.
                    let (x, next) = (tile * site.width / tiles, (tile + 1) * site.width / tiles);
                    let end = if last {
                        let residual = site.addition.map(|a| Residual {
                            values: &slots[a.view.slot][a.view.start + (y >> a.shift) * a.view.row + panel.first..],
                            stride: a.view.pixel,
                            first: x,
                            shift: a.shift,
                        });
                        let target = &mut to[i * strip.row + x * strip.pixel..];
                        End::Values { target, stride: strip.pixel, channels: panel.channels, finish, residual }
                    } else {
                        End::Sums
                    };
                    let mut tile = Tile {
                        pixels: next - x,
                        source: &source[y * site.stride[0] * view.row + x * site.stride[1] * view.pixel..],
                        source_stride: site.stride[1] * view.pixel,
                        runs: &block.runs,
                        weights,
                        bias: &packed.bias,
                        sums: if parts { &mut sums[(i * site.width + x) * panel.width..] } else { &mut [] },
                        start: if b == 0 { Start::Bias } else { Start::Sums },
                        end,
                    };
                    site.kernel.tile(panel, &mut tile);
                }
            }
        }
    }
}

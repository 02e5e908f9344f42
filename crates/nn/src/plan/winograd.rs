//! 3×3 convolutions at stride 1 by Winograd's F(2×2, 3×3): transform tiles, multiply, transform back (see
//! [`super::kernels::winograd`]). The detour costs no accuracy that matters and saves more than half of the work.

use super::arena::Workspace;
use super::kernels::winograd::{Input, Output, PRODUCTS, transform_kernel};
use super::kernels::{End, Run, Runs, Start, Tile};
use super::pack::{PackedPanel, Recipe};
use super::site::{Site, Strip};
use super::value::Value;
use rayon::prelude::*;
use std::ops::Range;

/// Below so many channels in or out the transforms cost more than they save.
const FEWEST_CHANNELS: usize = 32;
/// Transformed values of a block of tiles that should stay in the second-level cache: 256 KiB.
const BLOCK_VALUES: usize = 64 * 1024;

/// Packed weights: [product][group of input channels][channel of the panel][input channel of the group].
pub struct Winograd<T: Value> {
    pub panels: Vec<PackedPanel<T>>,
    /// Tiles in a block.
    block: usize,
    /// A panel's worth of zeros: the bias comes after the transform.
    zeros: Vec<f32>,
    /// All channels.
    runs: Runs,
}

impl<T: Value> Winograd<T> {
    pub fn suits(recipe: &Recipe, site: &Site<T>) -> bool {
        let channels = site.source.channels;
        recipe.size == [3, 3]
            && recipe.stride == [1, 1]
            && recipe.dilation == [1, 1]
            && channels.min(recipe.filters) >= FEWEST_CHANNELS
            && site.kernel.has_winograd(channels)
    }

    pub fn new(recipe: &Recipe, site: &Site<T>) -> Self {
        let (channels, group) = (site.source.channels, site.kernel.group());
        let panels = site.kernel.panels(recipe.filters, usize::MAX);
        let zeros = vec![0.0; panels.iter().map(|p| p.width).max().unwrap_or(0)];
        let pack = |panel| {
            let mut packed = PackedPanel::constants(recipe, panel);
            packed.weights.resize(PRODUCTS * channels * panel.width, T::default());
            for lane in 0..panel.channels {
                let filter = &recipe.kernel[(panel.first + lane) * channels * 9..][..channels * 9];
                for (c, g) in filter.chunks_exact(9).enumerate() {
                    let product = transform_kernel([[g[0], g[1], g[2]], [g[3], g[4], g[5]], [g[6], g[7], g[8]]]);
                    for (k, value) in product.into_iter().enumerate() {
                        let at = (k * channels + c) / group * panel.width + lane;
                        packed.weights[at * group + c % group] = T::of(value);
                    }
                }
            }
            packed
        };
        let block = (BLOCK_VALUES / (PRODUCTS * channels)).clamp(24, 64);
        let mut runs = Runs::new(group);
        runs.push(Run { offset: 0, groups: channels / group });
        Self { panels: panels.into_par_iter().map(pack).collect(), block, zeros, runs }
    }

    /// Transformed values of one block of tiles.
    fn block_values(&self, site: &Site<T>) -> usize {
        self.block * PRODUCTS * site.source.channels
    }

    fn tiles_across(site: &Site<T>) -> usize {
        site.width.div_ceil(2)
    }

    /// Target rows that make enough tiles to be worth reading the weights for.
    pub fn rows_at_once(&self, site: &Site<T>) -> usize {
        let tile_rows = self.block.div_ceil(2).div_ceil(Self::tiles_across(site));
        if site.pool { tile_rows } else { 2 * tile_rows }
    }

    /// Tiles of some target rows.
    fn tiles(site: &Site<T>, strip: Strip) -> Range<usize> {
        let (first, end) = (strip.first, strip.first + strip.rows);
        let rows = if site.pool { first..end } else { first / 2..end.div_ceil(2) };
        rows.start * Self::tiles_across(site)..rows.end * Self::tiles_across(site)
    }

    /// All panels of some rows, which begin with a whole tile; `to` starts at the first row's first pixel.
    pub fn run(&self, site: &Site<T>, slots: &[Vec<T>], strip: Strip, to: &mut [T], space: &mut Workspace<T>) {
        let tiles = Self::tiles(site, strip);
        for first in tiles.clone().step_by(self.block) {
            let block = first..(first + self.block).min(tiles.end);
            space.maps.resize(self.block_values(site), T::default());
            self.transform(site, slots, block.clone(), &mut space.maps);
            for packed in &self.panels {
                let to = &mut to[packed.panel.first..];
                self.finish(site, packed, &space.maps, block.clone(), slots, strip, to, &mut space.sums);
            }
        }
    }

    /// Transforms of all tiles, block after block, into the workspace's maps.
    pub fn transform_all(&self, site: &Site<T>, slots: &[Vec<T>], space: &mut Workspace<T>) {
        let tiles = Self::tiles_across(site) * site.height.div_ceil(2);
        let values = self.block_values(site);
        space.maps.resize(tiles.div_ceil(self.block) * values, T::default());
        space.maps.par_chunks_mut(values).enumerate().for_each(|(i, to)| {
            let first = i * self.block;
            self.transform(site, slots, first..(first + self.block).min(tiles), to);
        });
    }

    /// One panel of the whole map from what [`Self::transform_all`] left; `to` starts at the panel's first channel.
    #[expect(clippy::too_many_arguments, reason = "a task's inputs, its place and its scratch")]
    pub fn panel(
        &self,
        site: &Site<T>,
        packed: &PackedPanel<T>,
        transformed: &[T],
        slots: &[Vec<T>],
        strip: Strip,
        to: &mut [T],
        sums: &mut Vec<f32>,
    ) {
        let tiles = Self::tiles(site, strip);
        let values = self.block_values(site);
        for (first, transformed) in tiles.clone().step_by(self.block).zip(transformed.chunks(values)) {
            let block = first..(first + self.block).min(tiles.end);
            self.finish(site, packed, transformed, block, slots, strip, to, sums);
        }
    }

    /// [product][tile of the block][channel]
    fn transform(&self, site: &Site<T>, slots: &[Vec<T>], tiles: Range<usize>, to: &mut [T]) {
        let (view, across) = (&site.source, Self::tiles_across(site));
        // The last tile of an odd side reads one line that only outputs beyond the map would need.
        let row = |y: usize| y.min(site.height + 1) * view.row;
        let column = |x: usize| x.min(site.width + 1) * view.pixel;
        for (i, tile) in tiles.enumerate() {
            let (y, x) = (tile / across * 2, tile % across * 2);
            let mut job = Input {
                source: &slots[view.slot][site.origin()..],
                rows: [0, 1, 2, 3].map(|i| row(y + i)),
                columns: [0, 1, 2, 3].map(|i| column(x + i)),
                channels: view.channels,
                to: &mut to[i * view.channels..],
                plane: self.block * view.channels,
            };
            site.kernel.winograd_input(&mut job);
        }
    }

    #[expect(clippy::too_many_arguments, reason = "a task's inputs, its place and its scratch")]
    fn finish(
        &self,
        site: &Site<T>,
        packed: &PackedPanel<T>,
        transformed: &[T],
        tiles: Range<usize>,
        slots: &[Vec<T>],
        strip: Strip,
        to: &mut [T],
        sums: &mut Vec<f32>,
    ) {
        let (panel, channels) = (&packed.panel, site.source.channels);
        let (plane, count) = (self.block * panel.width, tiles.len());
        sums.resize(PRODUCTS * plane, 0.0);
        let pieces = count.div_ceil(panel.most_pixels);
        for k in 0..PRODUCTS {
            let source = &transformed[k * self.block * channels..];
            for piece in 0..pieces {
                let (first, next) = (piece * count / pieces, (piece + 1) * count / pieces);
                let mut tile = Tile {
                    pixels: next - first,
                    source: &source[first * channels..],
                    source_stride: channels,
                    runs: &self.runs,
                    weights: &packed.weights[k * channels * panel.width..],
                    bias: &self.zeros,
                    sums: &mut sums[k * plane + first * panel.width..],
                    start: Start::Bias,
                    end: End::Sums,
                };
                site.kernel.tile(panel, &mut tile);
            }
        }
        let finish = site.finish(packed);
        let across = Self::tiles_across(site);
        for (i, tile) in tiles.enumerate() {
            let (y, x) = (tile / across, tile % across);
            let outputs = [(2 * y, 2 * x), (2 * y, 2 * x + 1), (2 * y + 1, 2 * x), (2 * y + 1, 2 * x + 1)];
            let place = |(row, column): (usize, usize)| (row - strip.first) * strip.row + column * strip.pixel;
            let places = if site.pool {
                [Some(place((y, x))), None, None, None]
            } else {
                outputs.map(|at| (at.0 < site.height && at.1 < site.width).then(|| place(at)))
            };
            let residual = site.addition.map(|a| {
                let offset = |(y, x): (usize, usize)| {
                    a.view.start + (y >> a.shift) * a.view.row + (x >> a.shift) * a.view.pixel + panel.first
                };
                (slots[a.view.slot].as_slice(), outputs.map(offset))
            });
            let mut job = Output {
                sums: &sums[i * panel.width..],
                plane,
                width: panel.width,
                channels: panel.channels,
                bias: &packed.bias,
                finish,
                residual,
                target: to,
                places,
                pool: site.pool,
            };
            site.kernel.winograd_output(&mut job);
        }
    }
}

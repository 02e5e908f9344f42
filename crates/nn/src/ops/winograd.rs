//! 3×3 convolution at stride 1 by Winograd's F(4×4, 3×3) (Lavin & Gray 2016), forward and backward, for training.
//!
//! A tile is 6×6 input pixels and gives 4×4 outputs by 36 products where 144 were: Y = Aᵀ[(G g Gᵀ) ⊙ (Bᵀ d B)]A. Tiles of one image
//! are taken together, so that every product is a matrix product over tiles. All three products are linear maps and their backward
//! is exact: the gradient of the input is a convolution with the kernel turned round, that of the kernel Gᵀ[(Bᵀ d B) ⊙ (A y Aᵀ)]G.

use super::filter::{Filter, add_rows, fit};
use super::lanes::{LANES, Lanes};
use super::matrix::{View, product};
use super::{Dims, Element, wide};
use crate::graph::Window;
use candle_core::{Result, Shape, bail};
use rayon::prelude::*;
use std::ops::Range;

/// Side of a tile of outputs and of the inputs under it.
const TILE: usize = 4;
const REACH: usize = TILE + 2;
const PRODUCTS: usize = REACH * REACH;
/// Transformed values of a block of tiles: as much as still goes through the third-level cache, 2 MiB in f32, for the products are the
/// more worthwhile the more tiles they have.
const BLOCK_VALUES: usize = 512 * 1024;
/// Images whose gradients of the kernel are summed one after the other: fixed, so that results do not depend on the number of threads.
const IMAGES: usize = 2;

/// Whether a convolution takes this way: the transforms work on whole groups of channels and must not cost more than they save.
pub fn suits(input: usize, filters: usize, window: Window) -> bool {
    window.size == [3, 3] && window.stride == [1, 1] && input.is_multiple_of(LANES) && filters.is_multiple_of(LANES)
}

/// Where the tiles of a convolution lie.
pub struct Winograd {
    input: Dims,
    output: Dims,
    /// Zero rows above and zero columns left of the input.
    before: [usize; 2],
}

/// A map seen as tiles: of `N` pixels a side, four pixels apart.
struct Tiles<'a, T> {
    image: &'a [T],
    dims: Dims,
    /// Zero rows above and zero columns left of the map.
    before: [usize; 2],
}

/// Scratch of one thread.
struct Space<T> {
    lines: Vec<T>,
    /// Transformed inputs and sums or gradients of outputs, [product][tile][channel].
    maps: Vec<T>,
    sums: Vec<T>,
}

impl<T> Default for Space<T> {
    fn default() -> Self {
        Self { lines: Vec::new(), maps: Vec::new(), sums: Vec::new() }
    }
}

impl Winograd {
    fn across(&self) -> usize {
        self.output.width.div_ceil(TILE)
    }

    fn down(&self) -> usize {
        self.output.height.div_ceil(TILE)
    }

    /// Rows of tiles that are worked on together.
    fn blocks(&self) -> impl Iterator<Item = Range<usize>> {
        let row = PRODUCTS * self.across() * self.input.channels.max(self.output.channels);
        let (rows, down) = ((BLOCK_VALUES / row.max(1)).max(1), self.down());
        (0..down).step_by(rows).map(move |first| first..(first + rows).min(down))
    }

    /// The convolution whose outputs are gradients of this one's inputs.
    fn adjoint(&self) -> Self {
        Self { input: self.output, output: self.input, before: self.before.map(|before| 2 - before) }
    }

    fn inputs<'a, T>(&self, image: &'a [T]) -> Tiles<'a, T> {
        Tiles { image, dims: self.input, before: self.before }
    }

    /// Convolves with an already transformed kernel and adds `bias`.
    fn convolve<T: Element>(&self, x: &[T], kernel: &[T], bias: &[T]) -> Vec<T> {
        let (channels, filters) = (self.input.channels, self.output.channels);
        let mut y = vec![T::of(0.0); self.output.batch * self.output.image()];
        let images = y.par_chunks_mut(self.output.image()).zip(x.par_chunks(self.input.image()));
        images.for_each_init(Space::default, |space, (y, x)| {
            for rows in self.blocks() {
                let tiles = rows.len() * self.across();
                self.inputs(x).spread(
                    rows.clone(),
                    self.across(),
                    #[inline(always)]
                    |d| Lanes::around(d),
                    &mut space.lines,
                    &mut space.maps,
                );
                space.sums.resize(PRODUCTS * tiles * filters, T::of(0.0));
                for (k, sums) in space.sums.chunks_exact_mut(tiles * filters).enumerate() {
                    let maps = View::new(&space.maps[k * tiles * channels..], tiles, channels);
                    let kernel = View::strided(&kernel[k * filters..], channels, filters, PRODUCTS * filters);
                    product(sums, maps, kernel, false);
                }
                self.gather(rows, &space.sums, bias, &mut space.lines, y);
            }
        });
        y
    }

    /// Aᵀ M A of rows of tiles, plus bias, into the image they belong to.
    fn gather<T: Element>(&self, rows: Range<usize>, sums: &[T], bias: &[T], lines: &mut Vec<T>, y: &mut [T]) {
        let (channels, across) = (self.output.channels, self.across());
        let (line, row) = (across * TILE * channels, self.output.width * channels);
        let plane = rows.len() * across * channels;
        lines.resize(REACH * line, T::of(0.0));
        wide(
            #[inline(always)]
            || {
                for (i, tile_row) in rows.enumerate() {
                    for (k, to) in lines.chunks_exact_mut(line).enumerate() {
                        for tile in 0..across {
                            let from = (i * across + tile) * channels;
                            for c in (0..channels).step_by(LANES) {
                                let row = Lanes::load_each(&sums[k * REACH * plane + from + c..], plane);
                                let to = &mut to[tile * TILE * channels + c..];
                                Lanes::store_each(Lanes::gathered(row), to, channels);
                            }
                        }
                    }
                    let first = tile_row * TILE;
                    let count = TILE.min(self.output.height - first);
                    for at in (0..row).step_by(LANES) {
                        let bias = Lanes::load(&bias[at % channels..]);
                        let column = Lanes::load_each(&lines[at..], line);
                        for (j, value) in Lanes::gathered(column).into_iter().take(count).enumerate() {
                            value.add(bias).store(&mut y[(first + j) * row + at..]);
                        }
                    }
                }
            },
        );
    }
}

impl<T: Element> Tiles<'_, T> {
    /// Transforms the tiles of `rows`, by `transform` along both axes, into `maps`, [product][tile][channel].
    fn spread<const N: usize>(
        &self,
        rows: Range<usize>,
        across: usize,
        transform: impl Fn([Lanes<T>; N]) -> [Lanes<T>; REACH],
        lines: &mut Vec<T>,
        maps: &mut Vec<T>,
    ) {
        let Dims { height, width, channels, .. } = self.dims;
        let (row, margin) = (width * channels, self.before[1] * channels);
        let line = (across * TILE + N - TILE) * channels;
        let plane = rows.len() * across * channels;
        // What lies beside the map stays zero: it is written nowhere below.
        lines.clear();
        lines.resize(REACH * line, T::of(0.0));
        maps.resize(PRODUCTS * plane, T::of(0.0));
        wide(
            #[inline(always)]
            || {
                for (i, tile_row) in rows.enumerate() {
                    let source: [Option<&[T]>; N] = std::array::from_fn(|k| {
                        let y = (tile_row * TILE + k).checked_sub(self.before[0]).filter(|y| *y < height)?;
                        Some(&self.image[y * row..][..row])
                    });
                    for at in (0..row).step_by(LANES) {
                        let mut column = [Lanes::zero(); N];
                        for (value, row) in column.iter_mut().zip(&source) {
                            if let Some(row) = row {
                                *value = Lanes::load(&row[at..]);
                            }
                        }
                        Lanes::store_each(transform(column), &mut lines[margin + at..], line);
                    }
                    for (k, from) in lines.chunks_exact(line).enumerate() {
                        for tile in 0..across {
                            let to = (i * across + tile) * channels;
                            for c in (0..channels).step_by(LANES) {
                                let row = Lanes::load_each(&from[tile * TILE * channels + c..], channels);
                                let to = &mut maps[k * REACH * plane + to + c..];
                                Lanes::store_each(transform(row), to, plane);
                            }
                        }
                    }
                }
            },
        );
    }
}

/// The transforms along one axis, in the names of the paper.
impl<T: Element> Lanes<T> {
    /// Bᵀ d.
    #[inline(always)]
    fn around([a, b, c, d, e, f]: [Self; REACH]) -> [Self; REACH] {
        let (even, odd) = (e.sub(c.times(4.0)), d.sub(b.times(4.0)));
        let (far_even, far_odd) = (e.sub(c), d.sub(b).times(2.0));
        let first = a.times(4.0).sub(c.times(5.0)).add(e);
        let last = b.times(4.0).sub(d.times(5.0)).add(f);
        [first, even.add(odd), even.sub(odd), far_even.add(far_odd), far_even.sub(far_odd), last]
    }

    /// Aᵀ m.
    #[inline(always)]
    fn gathered([a, b, c, d, e, f]: [Self; REACH]) -> [Self; TILE] {
        let (near, far) = (b.add(c), d.add(e));
        let (near_odd, far_odd) = (b.sub(c), d.sub(e));
        [
            a.add(near).add(far),
            near_odd.add(far_odd.times(2.0)),
            near.add(far.times(4.0)),
            near_odd.add(far_odd.times(8.0)).add(f),
        ]
    }

    /// A y: the way back of [`Self::gathered`].
    #[inline(always)]
    fn scattered([a, b, c, d]: [Self; TILE]) -> [Self; REACH] {
        let (even, odd) = (a.add(c), b.add(d));
        let (far_even, far_odd) = (a.add(c.times(4.0)), b.times(2.0).add(d.times(8.0)));
        [a, even.add(odd), even.sub(odd), far_even.add(far_odd), far_even.sub(far_odd), d]
    }

    /// G g.
    #[inline(always)]
    fn of_kernel([a, b, c]: [Self; 3]) -> [Self; REACH] {
        let outer = a.add(c).times(-1.0 / 6.0);
        let far = a.times(1.0 / 24.0).add(c.times(1.0 / 6.0));
        let (middle, far_middle) = (b.times(1.0 / 6.0), b.times(1.0 / 12.0));
        [a.times(0.25), outer.sub(middle), outer.add(middle), far.add(far_middle), far.sub(far_middle), c]
    }

    /// Gᵀ u: the way back of [`Self::of_kernel`].
    #[inline(always)]
    fn to_kernel([a, b, c, d, e, f]: [Self; REACH]) -> [Self; 3] {
        let (near, far) = (b.add(c).times(1.0 / 6.0), d.add(e));
        [
            a.times(0.25).sub(near).add(far.times(1.0 / 24.0)),
            c.sub(b).times(1.0 / 6.0).add(d.sub(e).times(1.0 / 12.0)),
            far.times(1.0 / 6.0).sub(near).add(f),
        ]
    }
}

/// A transform of one axis, done to both axes of a square.
#[inline(always)]
fn both_ways<T: Element, const M: usize, const N: usize>(
    square: [[Lanes<T>; M]; M],
    transform: impl Fn([Lanes<T>; M]) -> [Lanes<T>; N],
) -> [[Lanes<T>; N]; N] {
    let columns: [[Lanes<T>; N]; M] = std::array::from_fn(|j| transform(std::array::from_fn(|i| square[i][j])));
    std::array::from_fn(|i| transform(std::array::from_fn(|j| columns[j][i])))
}

/// G g Gᵀ of all kernels, [input channel][product][filter]. `tap(filter, channel, row, column)` is where the kernel has that value.
fn transformed<T: Element>(
    kernel: &[T],
    channels: usize,
    filters: usize,
    tap: impl Fn(usize, usize, usize, usize) -> usize + Sync,
) -> Vec<T> {
    let mut out = vec![T::of(0.0); channels * PRODUCTS * filters];
    out.par_chunks_mut(PRODUCTS * filters).enumerate().for_each(|(channel, out)| {
        for first in (0..filters).step_by(LANES) {
            let g: [[Lanes<T>; 3]; 3] = std::array::from_fn(|i| {
                std::array::from_fn(|j| Lanes(std::array::from_fn(|lane| kernel[tap(first + lane, channel, i, j)])))
            });
            let products = both_ways(g, Lanes::of_kernel);
            for (k, row) in products.into_iter().enumerate() {
                Lanes::store_each(row, &mut out[k * REACH * filters + first..], filters);
            }
        }
    });
    out
}

impl Filter for Winograd {
    const NAME: &str = "conv2d";

    fn new(input: Dims, kernel: &Shape, window: Window) -> Result<Self> {
        let (output, before) = fit(input, kernel, window)?;
        if !suits(input.channels, output.channels, window) {
            bail!("Winograd's way of a convolution of {input:?} with a kernel of {kernel:?} and {window:?}");
        }
        Ok(Self { input, output, before })
    }

    fn output(&self) -> Dims {
        self.output
    }

    fn forward<T: Element>(&self, x: &[T], kernel: &[T], bias: &[T]) -> Vec<T> {
        let (channels, filters) = (self.input.channels, self.output.channels);
        let kernel = transformed(kernel, channels, filters, |filter, c, i, j| (filter * channels + c) * 9 + 3 * i + j);
        self.convolve(x, &kernel, bias)
    }

    fn input_gradient<T: Element>(&self, kernel: &[T], grad: &[T]) -> Vec<T> {
        let (channels, filters) = (self.input.channels, self.output.channels);
        // Filters and channels change places, and the window is turned by 180°.
        let turned = |c, filter, i, j| (filter * channels + c) * 9 + 8 - (3 * i + j);
        let kernel = transformed(kernel, filters, channels, turned);
        self.adjoint().convolve(grad, &kernel, &vec![T::of(0.0); channels])
    }

    fn kernel_gradient<T: Element>(&self, x: &[T], grad: &[T]) -> (Vec<T>, Vec<T>) {
        let (channels, filters) = (self.input.channels, self.output.channels);
        let zeros = |count: usize| vec![T::of(0.0); count];
        let images = x.par_chunks(IMAGES * self.input.image()).zip(grad.par_chunks(IMAGES * self.output.image()));
        let partial: Vec<(Vec<T>, Vec<T>)> = images
            .map_init(Space::default, |space, (x, grad)| {
                let (mut products, mut bias) = (zeros(PRODUCTS * channels * filters), zeros(filters));
                add_rows(&mut bias, grad);
                for (x, grad) in x.chunks_exact(self.input.image()).zip(grad.chunks_exact(self.output.image())) {
                    let outputs = Tiles { image: grad, dims: self.output, before: [0, 0] };
                    for rows in self.blocks() {
                        let (across, tiles) = (self.across(), rows.len() * self.across());
                        let Space { lines, maps, sums } = &mut *space;
                        self.inputs(x).spread(
                            rows.clone(),
                            across,
                            #[inline(always)]
                            |d| Lanes::around(d),
                            lines,
                            maps,
                        );
                        outputs.spread(
                            rows,
                            across,
                            #[inline(always)]
                            |y| Lanes::scattered(y),
                            lines,
                            sums,
                        );
                        for (k, to) in products.chunks_exact_mut(channels * filters).enumerate() {
                            let maps = View::new(&maps[k * tiles * channels..], tiles, channels);
                            let sums = View::new(&sums[k * tiles * filters..], tiles, filters);
                            product(to, maps.transposed(), sums, true);
                        }
                    }
                }
                (products, bias)
            })
            .collect();
        let (mut products, mut bias) = (zeros(PRODUCTS * channels * filters), zeros(filters));
        for (partial_products, partial_bias) in &partial {
            let sums = products.par_chunks_mut(channels * filters).zip(partial_products.par_chunks(channels * filters));
            sums.for_each(|(sum, part)| sum.iter_mut().zip(part).for_each(|(sum, part)| *sum += *part));
            add_rows(&mut bias, partial_bias);
        }
        let mut kernel = zeros(filters * channels * 9);
        kernel.par_chunks_mut(LANES * channels * 9).enumerate().for_each(|(group, to)| {
            for c in 0..channels {
                let product = |i, j| &products[((i * REACH + j) * channels + c) * filters + group * LANES..];
                let square = std::array::from_fn(|i| std::array::from_fn(|j| Lanes::load(product(i, j))));
                let taps: [[Lanes<T>; 3]; 3] = both_ways(square, Lanes::to_kernel);
                for (tap, values) in taps.as_flattened().iter().enumerate() {
                    for (lane, value) in values.0.iter().enumerate() {
                        to[(lane * channels + c) * 9 + tap] = *value;
                    }
                }
            }
        });
        (kernel, bias)
    }
}

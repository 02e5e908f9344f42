//! 2-D convolution (cross-correlation, as Keras and PyTorch mean it) over channels-last maps.
//!
//! Output rows are computed in tiles: the input patches of a tile are laid out as a matrix (im2col) small enough for the
//! second-level cache and multiplied by the kernel. A 1×1 convolution at stride 1 needs no patches at all; most 3×3 ones take
//! [`super::winograd`]'s shorter way.

use super::filter::{Filter, add_rows, apply, fit};
use super::matrix::{View, product};
use super::winograd::{self, Winograd};
use super::{Dims, Element, wide};
use crate::graph::Window;
use candle_core::{Result, Shape, Tensor};
use rayon::prelude::*;

/// Patch-matrix values a tile aims at: 384 KiB in f32.
const TILE_VALUES: usize = 96 * 1024;

/// Convolves `x`, batch × rows × columns × in, with `kernel`, out × in × k × k, and adds `bias`, one value per filter.
///
/// Errors when the window does not fit or the channels differ.
pub fn conv2d(x: &Tensor, kernel: &Tensor, bias: &Tensor, window: Window) -> Result<Tensor> {
    let (filters, channels, ..) = kernel.dims4()?;
    if winograd::suits(channels, filters, window) {
        return apply::<Winograd>(x, kernel, bias, window);
    }
    apply::<Geometry>(x, kernel, bias, window)
}

/// Everything about one convolution that its loops need.
struct Geometry {
    input: Dims,
    output: Dims,
    window: Window,
    /// Zero rows above and zero columns left of the input.
    before: [usize; 2],
    /// Values in one patch.
    patch: usize,
    /// Output rows in a tile.
    tile_rows: usize,
}

impl Geometry {
    /// The patches are the input itself.
    fn is_pointwise(&self) -> bool {
        self.window.size == [1, 1] && self.window.stride == [1, 1] && self.input.height == self.output.height
    }

    fn tiles(&self) -> usize {
        self.output.height.div_ceil(self.tile_rows)
    }

    /// Rows of output in tile `tile`.
    fn rows(&self, tile: usize) -> std::ops::Range<usize> {
        let start = tile * self.tile_rows;
        start..(start + self.tile_rows).min(self.output.height)
    }

    /// Values of the output rows `rows` of one image.
    fn output_span(&self, rows: &std::ops::Range<usize>) -> std::ops::Range<usize> {
        let row = self.output.width * self.output.channels;
        rows.start * row..rows.end * row
    }

    /// Walks the patches of `rows`: for every run of values that lie side by side in both, calls
    /// `visit(patch offset, image offset, length)`. What is not visited is padding.
    #[inline(always)]
    fn each_run(&self, rows: std::ops::Range<usize>, mut visit: impl FnMut(usize, usize, usize)) {
        let Self { input, output, window, before, patch, .. } = self;
        let line = window.size[1] * input.channels;
        for (tile_row, y) in rows.enumerate() {
            for kernel_row in 0..window.size[0] {
                let Some(from_row) = (y * window.stride[0] + kernel_row).checked_sub(before[0]) else { continue };
                if from_row >= input.height {
                    continue;
                }
                for x in 0..output.width {
                    let start = x * window.stride[1];
                    let skip = before[1].saturating_sub(start).min(window.size[1]);
                    let end = (input.width + before[1]).saturating_sub(start).min(window.size[1]);
                    if skip >= end {
                        continue;
                    }
                    let in_patch = (tile_row * output.width + x) * patch + kernel_row * line + skip * input.channels;
                    let in_image = (from_row * input.width + start + skip - before[1]) * input.channels;
                    visit(in_patch, in_image, (end - skip) * input.channels);
                }
            }
        }
    }

    /// The patch matrix of `rows` of `image`, [pixels, patch], written into `patches`.
    fn gather<T: Element>(&self, image: &[T], rows: std::ops::Range<usize>, patches: &mut Vec<T>) {
        patches.clear();
        patches.resize(rows.len() * self.output.width * self.patch, T::of(0.0));
        self.each_run(rows, |to, from, len| patches[to..to + len].copy_from_slice(&image[from..from + len]));
    }

    /// The adjoint of [`Self::gather`]: adds patch values back to where they came from.
    fn scatter<T: Element>(&self, patches: &[T], rows: std::ops::Range<usize>, image: &mut [T]) {
        wide(
            #[inline(always)]
            || {
                self.each_run(rows, |from, to, len| {
                    for (value, add) in image[to..to + len].iter_mut().zip(&patches[from..from + len]) {
                        *value += *add;
                    }
                });
            },
        );
    }

    /// `rows` of `image` as a patch matrix; borrows the image where it already is one.
    fn patches<'a, T: Element>(
        &self,
        image: &'a [T],
        rows: std::ops::Range<usize>,
        buffer: &'a mut Vec<T>,
    ) -> View<'a, T> {
        let pixels = rows.len() * self.output.width;
        if self.is_pointwise() {
            return View::new(&image[rows.start * self.input.width * self.patch..], pixels, self.patch);
        }
        self.gather(image, rows, buffer);
        View::new(buffer, pixels, self.patch)
    }
}

/// [out, in, k, k] → [out, k·k·in], the order of a channels-last patch.
fn kernel_rows<T: Element>(kernel: &[T], geometry: &Geometry) -> Vec<T> {
    let (area, channels) = (geometry.window.size[0] * geometry.window.size[1], geometry.input.channels);
    let mut rows = Vec::with_capacity(kernel.len());
    for filter in kernel.chunks(area * channels) {
        for tap in 0..area {
            rows.extend((0..channels).map(|c| filter[c * area + tap]));
        }
    }
    rows
}

/// The inverse of [`kernel_rows`].
fn kernel_from_rows<T: Element>(rows: &[T], geometry: &Geometry) -> Vec<T> {
    let (area, channels) = (geometry.window.size[0] * geometry.window.size[1], geometry.input.channels);
    let mut kernel = Vec::with_capacity(rows.len());
    for filter in rows.chunks(area * channels) {
        for c in 0..channels {
            kernel.extend((0..area).map(|tap| filter[tap * channels + c]));
        }
    }
    kernel
}

impl Filter for Geometry {
    const NAME: &str = "conv2d";

    fn new(input: Dims, kernel: &Shape, window: Window) -> Result<Self> {
        let (output, before) = fit(input, kernel, window)?;
        let patch = window.size[0] * window.size[1] * input.channels;
        let tile_rows = (TILE_VALUES / (patch * output.width).max(1)).clamp(1, output.height);
        Ok(Self { input, output, window, before, patch, tile_rows })
    }

    fn output(&self) -> Dims {
        self.output
    }

    fn forward<T: Element>(&self, x: &[T], kernel: &[T], bias: &[T]) -> Vec<T> {
        let kernel = kernel_rows(kernel, self);
        let kernel = View::new(&kernel, self.output.channels, self.patch).transposed();
        let mut y = vec![T::of(0.0); self.output.batch * self.output.image()];
        let tile_values = self.tile_rows * self.output.width * self.output.channels;
        y.par_chunks_mut(self.output.image()).zip(x.par_chunks(self.input.image())).for_each(|(y, x)| {
            y.par_chunks_mut(tile_values).enumerate().for_each_init(Vec::new, |buffer, (tile, y)| {
                for pixel in y.chunks_exact_mut(bias.len()) {
                    pixel.copy_from_slice(bias);
                }
                product(y, self.patches(x, self.rows(tile), buffer), kernel, true);
            });
        });
        y
    }

    fn kernel_gradient<T: Element>(&self, x: &[T], grad: &[T]) -> (Vec<T>, Vec<T>) {
        let zero = T::of(0.0);
        let partial: Vec<(Vec<T>, Vec<T>)> = x
            .par_chunks(self.input.image())
            .zip(grad.par_chunks(self.output.image()))
            .map_init(Vec::new, |buffer, (x, grad)| {
                let mut kernel = vec![zero; self.output.channels * self.patch];
                let mut bias = vec![zero; self.output.channels];
                for tile in 0..self.tiles() {
                    let rows = self.rows(tile);
                    let grad = &grad[self.output_span(&rows)];
                    let pixels = rows.len() * self.output.width;
                    add_rows(&mut bias, grad);
                    let grad = View::new(grad, pixels, self.output.channels).transposed();
                    product(&mut kernel, grad, self.patches(x, rows, buffer), true);
                }
                (kernel, bias)
            })
            .collect();
        let sum = |mut total: Vec<T>, part: &[T]| {
            total.iter_mut().zip(part).for_each(|(t, p)| *t += *p);
            total
        };
        let (kernel, bias) = partial.iter().fold(
            (vec![zero; self.output.channels * self.patch], vec![zero; self.output.channels]),
            |(k, b), (pk, pb)| (sum(k, pk), sum(b, pb)),
        );
        (kernel_from_rows(&kernel, self), bias)
    }

    fn input_gradient<T: Element>(&self, kernel: &[T], grad: &[T]) -> Vec<T> {
        let kernel = kernel_rows(kernel, self);
        let kernel = View::new(&kernel, self.output.channels, self.patch);
        let mut dx = vec![T::of(0.0); self.input.batch * self.input.image()];
        dx.par_chunks_mut(self.input.image()).zip(grad.par_chunks(self.output.image())).for_each_init(
            Vec::new,
            |patches, (dx, grad)| {
                for tile in 0..self.tiles() {
                    let rows = self.rows(tile);
                    let pixels = rows.len() * self.output.width;
                    let grad = View::new(&grad[self.output_span(&rows)], pixels, self.output.channels);
                    if self.is_pointwise() {
                        product(&mut dx[rows.start * self.input.width * self.patch..], grad, kernel, false);
                    } else {
                        patches.resize(pixels * self.patch, T::of(0.0));
                        product(patches, grad, kernel, false);
                        self.scatter(patches, rows, dx);
                    }
                }
            },
        );
        dx
    }
}

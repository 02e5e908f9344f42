//! Weights in the order in which kernels want them.

use super::kernels::Panel;
use super::layout::View;
use super::value::Value;
use crate::graph::Activation;

/// What makes a convolution, before packing. Kernel values are [out, in, rows, columns].
pub struct Recipe<'a> {
    pub kernel: &'a [f32],
    pub bias: Option<&'a [f32]>,
    pub filters: usize,
    pub size: [usize; 2],
    pub stride: [usize; 2],
    /// Pixels between the values under the window.
    pub dilation: [usize; 2],
    /// Zeros above and to the left.
    pub before: [usize; 2],
    pub clamp: Option<Activation>,
    /// Scale and shift after the clamp.
    pub affine: Option<(Vec<f32>, Vec<f32>)>,
    pub pool: bool,
}

impl<'a> Recipe<'a> {
    /// A dense layer is a 1×1 convolution over examples; `kernel` is [out, in].
    pub fn dense(kernel: &'a [f32], bias: Option<&'a [f32]>, filters: usize) -> Self {
        let (size, stride, dilation, before) = ([1; 2], [1; 2], [1; 2], [0; 2]);
        Self { kernel, bias, filters, size, stride, dilation, before, clamp: None, affine: None, pool: false }
    }
}

/// Bounds of the ReLU behind a sum; infinite without one.
pub fn clamp_bounds(clamp: Option<Activation>) -> (f32, f32) {
    let bounds = clamp.and_then(Activation::bounds).unwrap_or((f64::NEG_INFINITY, f64::INFINITY));
    (bounds.0 as f32, bounds.1 as f32)
}

/// One panel's weights and the constants of its channels, padded to whole registers.
pub struct PackedPanel<T> {
    pub panel: Panel,
    /// In the order in which the method that uses them reads them.
    pub weights: Vec<T>,
    pub bias: Vec<f32>,
    pub affine: Option<(Vec<f32>, Vec<f32>)>,
}

/// Values that one logical run of weights meets: consecutive in memory and in the kernel's (row, column, channel) order.
pub struct Stretch {
    pub offset: usize,
    /// First value's place in (row, column, channel) order.
    pub first: usize,
    pub len: usize,
}

/// The input values under one window, cut so that every piece is contiguous and no larger than `most`.
pub fn stretches(recipe: &Recipe, source: &View, most: usize) -> Vec<Stretch> {
    let Recipe { size, dilation, .. } = recipe;
    let (line, channels) = (size[1] * source.channels, source.channels);
    let contiguous = source.pixel == channels && dilation[1] == 1;
    let mut whole = Vec::new();
    for row in 0..size[0] {
        if contiguous {
            whole.push(Stretch { offset: row * dilation[0] * source.row, first: row * line, len: line });
            continue;
        }
        for column in 0..size[1] {
            let offset = row * dilation[0] * source.row + column * dilation[1] * source.pixel;
            whole.push(Stretch { offset, first: row * line + column * channels, len: channels });
        }
    }
    let cut = |s: &Stretch| {
        let (offset, first, len) = (s.offset, s.first, s.len);
        (0..len).step_by(most).map(move |at| Stretch {
            offset: offset + at,
            first: first + at,
            len: most.min(len - at),
        })
    };
    whole.iter().flat_map(cut).collect()
}

impl Stretch {
    /// All of a dense layer's features.
    pub fn whole(len: usize) -> Self {
        Self { offset: 0, first: 0, len }
    }
}

impl<T: Value> PackedPanel<T> {
    /// Without weights yet.
    pub fn constants(recipe: &Recipe, panel: Panel) -> Self {
        let padded = |values: &[f32]| {
            let mut out = values[panel.first..panel.first + panel.channels].to_vec();
            out.resize(panel.width, 0.0);
            out
        };
        Self {
            panel,
            weights: Vec::new(),
            bias: recipe.bias.map_or_else(|| vec![0.0; panel.width], &padded),
            affine: recipe.affine.as_ref().map(|(scale, shift)| (padded(scale), padded(shift))),
        }
    }

    /// With weights for sums over stretches of the input.
    pub fn new(recipe: &Recipe, panel: Panel, stretches: &[Stretch], group: usize) -> Self {
        let area = recipe.size[0] * recipe.size[1];
        let patch = recipe.kernel.len() / recipe.filters;
        let channels = patch / area;
        // (row, column, channel) order here, (channel, row, column) in the kernel.
        let place = |at: usize| (at % channels) * area + at / channels;
        let mut packed = Self::constants(recipe, panel);
        packed
            .weights
            .reserve_exact(stretches.iter().map(|s| s.len.next_multiple_of(group)).sum::<usize>() * panel.width);
        let mut places = Vec::with_capacity(group);
        for stretch in stretches {
            for at in (0..stretch.len).step_by(group) {
                places.clear();
                places.extend((at..stretch.len.min(at + group)).map(|k| place(stretch.first + k)));
                for lane in 0..panel.width {
                    let filter = (panel.first + lane) * patch;
                    let value = |k: usize| match places.get(k) {
                        Some(place) if lane < panel.channels => T::of(recipe.kernel[filter + place]),
                        _ => T::default(),
                    };
                    packed.weights.extend((0..group).map(value));
                }
            }
        }
        packed
    }
}

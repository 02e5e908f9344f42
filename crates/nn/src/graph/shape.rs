//! Shapes of values, and windows that slide over them.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Shape of one example as it leaves a node; the batch dimension is never part of a graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Shape {
    /// A feature map.
    Image { height: usize, width: usize, channels: usize },
    /// A flat vector of features.
    Vector { len: usize },
}

/// Values of one example that a layer may give: 1 GiB in f32.
const MOST_VALUES: usize = 1 << 28;

impl Shape {
    /// Channels of a feature map or length of a vector: the axis that dense layers and batch-norm work on.
    pub fn channels(self) -> usize {
        match self {
            Shape::Image { channels, .. } => channels,
            Shape::Vector { len } => len,
        }
    }

    /// Rows of a feature map or length of a vector.
    pub fn rows(self) -> usize {
        match self {
            Shape::Image { height, .. } => height,
            Shape::Vector { len } => len,
        }
    }

    /// Sides of one example as tensors have them: rows, columns, channels, or the length.
    pub fn dims(self) -> Vec<usize> {
        match self {
            Shape::Image { height, width, channels } => vec![height, width, channels],
            Shape::Vector { len } => vec![len],
        }
    }

    /// Whether every side and their product stay below what an honest network has.
    pub(super) fn is_believable(self) -> bool {
        let product = self.dims().into_iter().try_fold(1usize, |product, side| product.checked_mul(side));
        product.is_some_and(|values| values <= MOST_VALUES)
    }

    /// Values in one example.
    pub fn values(self) -> usize {
        match self {
            Shape::Image { height, width, channels } => height * width * channels,
            Shape::Vector { len } => len,
        }
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Shape::Image { height, width, channels } => write!(f, "{height}×{width}×{channels}"),
            Shape::Vector { len } => write!(f, "{len}"),
        }
    }
}

/// Padding of a convolution or pooling window, as Keras names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Padding {
    /// Only windows that lie inside the image.
    Valid,
    /// Output side = ⌈side / stride⌉; an odd total goes to the bottom and right (TensorFlow's rule).
    Same,
}

/// A square-free sliding window: rows first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    pub size: [usize; 2],
    pub stride: [usize; 2],
    pub padding: Padding,
}

impl Window {
    /// `size`×`size` at stride 1.
    pub fn dense(size: usize, padding: Padding) -> Self {
        Self { size: [size; 2], stride: [1; 2], padding }
    }

    /// `size`×`size` without overlap, as pooling layers use it.
    pub fn tiles(size: usize) -> Self {
        Self { size: [size; 2], stride: [size; 2], padding: Padding::Valid }
    }

    /// Zeros added (before, after) along `axis` (0 = rows) of an input side; `None` if no window fits.
    pub fn pads(&self, axis: usize, side: usize) -> Option<(usize, usize)> {
        let (size, stride) = (self.size[axis], self.stride[axis]);
        if stride == 0 || size == 0 || side == 0 {
            return None;
        }
        match self.padding {
            Padding::Valid => (side >= size).then_some((0, 0)),
            Padding::Same => {
                let total = ((side.div_ceil(stride) - 1) * stride + size).saturating_sub(side);
                Some((total / 2, total - total / 2))
            }
        }
    }

    /// Rows (axis 0) or columns (axis 1) of an input of `side` that the window at output position `at` covers.
    pub fn span(&self, axis: usize, side: usize, at: usize) -> std::ops::Range<usize> {
        let before = self.pads(axis, side).map_or(0, |(before, _)| before);
        let start = at * self.stride[axis];
        start.saturating_sub(before)..(start + self.size[axis]).saturating_sub(before).min(side)
    }

    /// Output side along `axis`; `None` if no window fits.
    pub fn output_side(&self, axis: usize, side: usize) -> Option<usize> {
        let (before, after) = self.pads(axis, side)?;
        Some((side + before + after - self.size[axis]) / self.stride[axis] + 1)
    }
}

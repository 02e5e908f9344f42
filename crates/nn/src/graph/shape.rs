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

    /// Whether it is another's shape, or has one row, column or channel where the other has more.
    pub fn spreads_over(self, whole: Shape) -> bool {
        match (self, whole) {
            (Shape::Image { .. }, Shape::Image { .. }) => {
                self.dims().into_iter().zip(whole.dims()).all(|(own, other)| own == other || own == 1)
            }
            _ => self == whole,
        }
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
    /// So many pixels (above, below) and (left, right), as PyTorch and ONNX give them.
    Explicit([[usize; 2]; 2]),
}

/// A square-free sliding window: rows first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    pub size: [usize; 2],
    pub stride: [usize; 2],
    pub padding: Padding,
    /// Pixels between the values under the window; 1 for a window without holes.
    #[serde(default = "without_holes", skip_serializing_if = "is_without_holes")]
    pub dilation: [usize; 2],
}

fn without_holes() -> [usize; 2] {
    [1; 2]
}

fn is_without_holes(dilation: &[usize; 2]) -> bool {
    *dilation == without_holes()
}

impl Window {
    /// A window without holes.
    pub fn new(size: [usize; 2], stride: [usize; 2], padding: Padding) -> Self {
        Self { size, stride, padding, dilation: without_holes() }
    }

    /// `size`×`size` at stride 1.
    pub fn dense(size: usize, padding: Padding) -> Self {
        Self::new([size; 2], [1; 2], padding)
    }

    /// `size`×`size` without overlap, as pooling layers use it.
    pub fn tiles(size: usize) -> Self {
        Self::new([size; 2], [size; 2], Padding::Valid)
    }

    /// Rows and columns from the first value under the window to the last.
    pub fn extent(&self) -> [usize; 2] {
        [0, 1].map(|axis| self.size[axis].saturating_sub(1).saturating_mul(self.dilation[axis]).saturating_add(1))
    }

    /// The window without holes that covers the same pixels.
    pub fn filled(&self) -> Self {
        Self { size: self.extent(), dilation: without_holes(), ..*self }
    }

    /// Zeros added (before, after) along `axis` (0 = rows) of an input side; `None` if no window fits.
    pub fn pads(&self, axis: usize, side: usize) -> Option<(usize, usize)> {
        let (size, stride) = (self.extent()[axis], self.stride[axis]);
        if stride == 0 || self.size[axis] == 0 || self.dilation[axis] == 0 || side == 0 {
            return None;
        }
        match self.padding {
            Padding::Valid => (side >= size).then_some((0, 0)),
            Padding::Same => {
                let total = ((side.div_ceil(stride) - 1) * stride).saturating_add(size).saturating_sub(side);
                Some((total / 2, total - total / 2))
            }
            Padding::Explicit(pads) => {
                let [before, after] = pads[axis];
                (before < size.max(2) && after < size.max(2) && side + before + after >= size)
                    .then_some((before, after))
            }
        }
    }

    /// Rows (axis 0) or columns (axis 1) of an input of `side` that the window at output position `at` covers.
    pub fn span(&self, axis: usize, side: usize, at: usize) -> std::ops::Range<usize> {
        let before = self.pads(axis, side).map_or(0, |(before, _)| before);
        let start = at * self.stride[axis];
        start.saturating_sub(before)..(start + self.extent()[axis]).saturating_sub(before).min(side)
    }

    /// Output side along `axis`; `None` if no window fits.
    pub fn output_side(&self, axis: usize, side: usize) -> Option<usize> {
        let (before, after) = self.pads(axis, side)?;
        Some((side + before + after - self.extent()[axis]) / self.stride[axis] + 1)
    }
}

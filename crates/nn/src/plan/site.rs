//! Where a convolution of the plan reads and writes.

use super::kernels::{Finish, Kernel};
use super::layout::{Target, View};
use super::pack::PackedPanel;
use super::value::Value;

/// A map that is added to the sums, enlarged by 2^shift on the way.
#[derive(Debug, Clone, Copy)]
pub struct Addition {
    pub view: View,
    pub shift: u32,
}

/// Everything about a convolution but its weights.
pub struct Site<T: Value> {
    pub kernel: &'static Kernel<T>,
    pub stride: [usize; 2],
    /// Zeros above and to the left.
    pub before: [usize; 2],
    /// Rows and columns of sums, before pooling.
    pub height: usize,
    pub width: usize,
    /// Bounds of the ReLU.
    pub lower: f32,
    pub upper: f32,
    /// 2×2 max-pool at the end.
    pub pool: bool,
    pub source: View,
    pub addition: Option<Addition>,
    pub target: Target,
}

impl<T: Value> Site<T> {
    /// What happens to a panel's sums.
    pub fn finish<'a>(&self, packed: &'a PackedPanel<T>) -> Finish<'a> {
        let affine = packed.affine.as_ref().map(|(a, b)| (a.as_slice(), b.as_slice()));
        Finish { lower: self.lower, upper: self.upper, affine }
    }

    /// Offset of the first window's first value in the source's slot.
    pub fn origin(&self) -> usize {
        self.source.start - self.before[0] * self.source.row - self.before[1] * self.source.pixel
    }
}

/// Some rows of one panel of the target and how they lie in memory.
#[derive(Debug, Clone, Copy)]
pub struct Strip {
    /// First row, after pooling.
    pub first: usize,
    pub rows: usize,
    /// Values between rows.
    pub row: usize,
    /// Values between pixels.
    pub pixel: usize,
}

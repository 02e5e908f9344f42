//! One filter a channel: registers hold channels, so a tap is one multiplication a register.

use super::{Kernel, Lanes, extent, store_some};
use crate::plan::value::Value;

/// Neighbouring pixels that share the weights they load.
const PIXELS: usize = 4;

/// One row of output pixels.
pub struct Row<'a, T> {
    pub pixels: usize,
    /// From the first value under the first pixel's window.
    pub source: &'a [T],
    /// Input values between neighbouring output pixels.
    pub source_stride: usize,
    /// Offset of each tap from a pixel's first value.
    pub taps: &'a [usize],
    /// [tap][channel], channels padded to whole registers.
    pub weights: &'a [f32],
    /// One a channel, padded likewise.
    pub bias: &'a [f32],
    pub lower: f32,
    pub upper: f32,
    pub channels: usize,
    pub target: &'a mut [T],
    /// Output values between neighbouring pixels.
    pub target_stride: usize,
}

impl<T: Value> Kernel<T> {
    /// Channels padded to whole registers.
    pub fn padded(&self, channels: usize) -> usize {
        channels.next_multiple_of(self.lanes)
    }

    /// Computes one row.
    ///
    /// # Panics
    /// If a slice is too short for what the row says; that would be a fault of the plan.
    pub fn depthwise(&self, row: &mut Row<T>) {
        let padded = self.padded(row.channels);
        let reach = row.taps.iter().fold(0, |far, tap| far.max(*tap)) + padded;
        assert!(row.pixels > 0 && row.source.len() >= extent(row.pixels, row.source_stride, reach));
        assert!(row.weights.len() >= row.taps.len() * padded && row.bias.len() >= padded);
        assert!(row.target.len() >= extent(row.pixels, row.target_stride, row.channels));
        // SAFETY: the processor has the instructions (see `Kernel`); the assertions prove the last index of every slice.
        unsafe { (self.depthwise)(row) }
    }
}

/// # Safety
/// The instruction set of `L` must be there and the slices as long as [`Kernel::depthwise`] checks.
#[inline(always)]
pub(super) unsafe fn row<L: Lanes>(row: &mut Row<L::Value>) {
    let mut pixel = 0;
    while pixel + PIXELS <= row.pixels {
        // SAFETY: passed on from the caller; so many pixels are left.
        unsafe { pixels::<L, PIXELS>(row, pixel) };
        pixel += PIXELS;
    }
    while pixel < row.pixels {
        // SAFETY: as above.
        unsafe { pixels::<L, 1>(row, pixel) };
        pixel += 1;
    }
}

/// `P` pixels from `first` on.
///
/// # Safety
/// As [`row`]; the pixels must exist.
#[inline(always)]
unsafe fn pixels<L: Lanes, const P: usize>(row: &mut Row<L::Value>, first: usize) {
    let padded = row.channels.next_multiple_of(L::WIDTH);
    // SAFETY: passed on from the caller; every offset is below those that were checked.
    unsafe {
        let source = row.source.as_ptr().add(first * row.source_stride);
        let (lower, upper) = (L::splat(row.lower), L::splat(row.upper));
        let mut channel = 0;
        while channel < row.channels {
            let mut sums = [L::load(row.bias.as_ptr().add(channel)); P];
            let mut weights = row.weights.as_ptr().add(channel);
            for tap in row.taps {
                let weight = L::load(weights);
                let from = source.add(*tap + channel);
                for (p, sum) in sums.iter_mut().enumerate() {
                    *sum = L::load_values(from.add(p * row.source_stride)).affine(weight, *sum);
                }
                weights = weights.add(padded);
            }
            for (p, sum) in sums.iter().enumerate() {
                let at = (first + p) * row.target_stride;
                let to = &mut row.target[at..at + row.channels];
                store_some(sum.clamp(lower, upper), to, channel, row.channels);
            }
            channel += L::WIDTH;
        }
    }
}

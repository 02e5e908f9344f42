//! NEON: four f32 lanes, thirty-two registers.

use super::{Kernel, Lanes, Tile, accumulate_tile, families};
use std::arch::aarch64::*;

impl Lanes for float32x4_t {
    type Value = f32;
    type Packed = float32x4_t;
    const WIDTH: usize = 4;
    const GROUP: usize = 1;

    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        // SAFETY: the caller has NEON.
        unsafe { vdupq_n_f32(value) }
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: the caller has NEON and 4 values there.
        unsafe { vld1q_f32(from) }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: the caller has NEON and room for 4 values.
        unsafe { vst1q_f32(to, self) }
    }

    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        // SAFETY: the caller has NEON.
        unsafe { vaddq_f32(self, other) }
    }

    #[inline(always)]
    unsafe fn clamp(self, lower: Self, upper: Self) -> Self {
        // SAFETY: the caller has NEON; a NaN is kept.
        unsafe { vminq_f32(upper, vmaxq_f32(lower, self)) }
    }

    #[inline(always)]
    unsafe fn affine(self, scale: Self, shift: Self) -> Self {
        // SAFETY: the caller has NEON.
        unsafe { vfmaq_f32(shift, self, scale) }
    }

    #[inline(always)]
    unsafe fn load_values(from: *const f32) -> Self {
        // SAFETY: as `load`.
        unsafe { Self::load(from) }
    }

    #[inline(always)]
    unsafe fn store_values(self, to: *mut f32) {
        // SAFETY: as `store`.
        unsafe { self.store(to) }
    }

    #[inline(always)]
    unsafe fn weights(from: *const f32) -> float32x4_t {
        // SAFETY: as `load`.
        unsafe { Self::load(from) }
    }

    #[inline(always)]
    unsafe fn spread(from: *const f32) -> float32x4_t {
        // SAFETY: the caller has NEON and one value there.
        unsafe { vdupq_n_f32(*from) }
    }

    #[inline(always)]
    unsafe fn multiply_add(self, a: float32x4_t, w: float32x4_t) -> Self {
        // SAFETY: the caller has NEON.
        unsafe { vfmaq_f32(self, a, w) }
    }
}

/// # Safety
/// As [`accumulate_tile`].
#[target_feature(enable = "neon")]
unsafe fn entry<const P: usize, const N: usize>(tile: &mut Tile<f32>) {
    // SAFETY: this function has NEON; the tile is the caller's promise.
    unsafe { accumulate_tile::<float32x4_t, P, N>(tile) }
}

/// For every 64-bit ARM processor.
pub const KERNEL: Kernel<f32> = Kernel {
    lanes: 4,
    group: 1,
    families: families![entry;
        4 => [1, 2, 3, 4, 5, 6],
        2 => [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12],
        1 => [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]],
};

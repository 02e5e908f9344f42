//! AVX-512 F: sixteen f32 lanes, thirty-two registers.

use super::{Kernel, Lanes, Tile, accumulate_tile, families};
use std::arch::x86_64::*;

impl Lanes for __m512 {
    type Value = f32;
    type Packed = __m512;
    const WIDTH: usize = 16;
    const GROUP: usize = 1;

    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        // SAFETY: the caller has AVX-512 F.
        unsafe { _mm512_set1_ps(value) }
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: the caller has AVX-512 F and 16 values there.
        unsafe { _mm512_loadu_ps(from) }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: the caller has AVX-512 F and room for 16 values.
        unsafe { _mm512_storeu_ps(to, self) }
    }

    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        // SAFETY: the caller has AVX-512 F.
        unsafe { _mm512_add_ps(self, other) }
    }

    #[inline(always)]
    unsafe fn clamp(self, lower: Self, upper: Self) -> Self {
        // SAFETY: the caller has AVX-512 F. The sum stands second because a NaN there is kept.
        unsafe { _mm512_min_ps(upper, _mm512_max_ps(lower, self)) }
    }

    #[inline(always)]
    unsafe fn affine(self, scale: Self, shift: Self) -> Self {
        // SAFETY: the caller has AVX-512 F.
        unsafe { _mm512_fmadd_ps(self, scale, shift) }
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
    unsafe fn weights(from: *const f32) -> __m512 {
        // SAFETY: as `load`.
        unsafe { Self::load(from) }
    }

    #[inline(always)]
    unsafe fn spread(from: *const f32) -> __m512 {
        // SAFETY: the caller has AVX-512 F and one value there.
        unsafe { _mm512_set1_ps(*from) }
    }

    #[inline(always)]
    unsafe fn multiply_add(self, a: __m512, w: __m512) -> Self {
        // SAFETY: the caller has AVX-512 F.
        unsafe { _mm512_fmadd_ps(a, w, self) }
    }
}

/// # Safety
/// As [`accumulate_tile`].
#[target_feature(enable = "avx512f")]
unsafe fn entry<const P: usize, const N: usize>(tile: &mut Tile<f32>) {
    // SAFETY: this function has AVX-512 F; the tile is the caller's promise.
    unsafe { accumulate_tile::<__m512, P, N>(tile) }
}

/// For processors with `avx512f`.
pub const KERNEL: Kernel<f32> = Kernel {
    lanes: 16,
    group: 1,
    families: families![entry;
        4 => [1, 2, 3, 4, 5, 6],
        2 => [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12],
        1 => [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]],
};

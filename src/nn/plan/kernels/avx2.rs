//! AVX2 with FMA: eight f32 lanes, sixteen registers.

use super::{Kernel, Lanes, Tile, accumulate_tile, families};
use std::arch::x86_64::*;

impl Lanes for __m256 {
    type Value = f32;
    type Packed = __m256;
    const WIDTH: usize = 8;
    const GROUP: usize = 1;

    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        // SAFETY: the caller has AVX2 and FMA.
        unsafe { _mm256_set1_ps(value) }
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: the caller has AVX2 and FMA and 8 values there.
        unsafe { _mm256_loadu_ps(from) }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: the caller has AVX2 and FMA and room for 8 values.
        unsafe { _mm256_storeu_ps(to, self) }
    }

    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        // SAFETY: the caller has AVX2 and FMA.
        unsafe { _mm256_add_ps(self, other) }
    }

    #[inline(always)]
    unsafe fn clamp(self, lower: Self, upper: Self) -> Self {
        // SAFETY: the caller has AVX2 and FMA. The sum stands second because a NaN there is kept.
        unsafe { _mm256_min_ps(upper, _mm256_max_ps(lower, self)) }
    }

    #[inline(always)]
    unsafe fn affine(self, scale: Self, shift: Self) -> Self {
        // SAFETY: the caller has AVX2 and FMA.
        unsafe { _mm256_fmadd_ps(self, scale, shift) }
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
    unsafe fn weights(from: *const f32) -> __m256 {
        // SAFETY: as `load`.
        unsafe { Self::load(from) }
    }

    #[inline(always)]
    unsafe fn spread(from: *const f32) -> __m256 {
        // SAFETY: the caller has AVX2 and FMA and one value there.
        unsafe { _mm256_set1_ps(*from) }
    }

    #[inline(always)]
    unsafe fn multiply_add(self, a: __m256, w: __m256) -> Self {
        // SAFETY: the caller has AVX2 and FMA.
        unsafe { _mm256_fmadd_ps(a, w, self) }
    }
}

/// # Safety
/// As [`accumulate_tile`].
#[target_feature(enable = "avx2,fma")]
unsafe fn entry<const P: usize, const N: usize>(tile: &mut Tile<f32>) {
    // SAFETY: this function has AVX2 and FMA; the tile is the caller's promise.
    unsafe { accumulate_tile::<__m256, P, N>(tile) }
}

/// For processors with `avx2` and `fma`.
pub const KERNEL: Kernel<f32> = Kernel {
    lanes: 8,
    group: 1,
    families: families![entry;
        2 => [1, 2, 3, 4, 5, 6],
        1 => [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]],
};

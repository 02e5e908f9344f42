//! AVX-512 BF16: activations and weights as bf16, products of pairs summed in f32, sixteen lanes.

use super::{Kernel, Lanes, Tile, accumulate_tile, depthwise, kernel, winograd};
use half::bf16;
use std::arch::x86_64::*;
use std::mem::transmute;

/// Accumulators are plain f32 registers; the type tells them from those of [`super::avx512`].
#[derive(Clone, Copy)]
struct Sums(__m512);

impl Lanes for Sums {
    type Value = bf16;
    type Packed = __m512bh;
    const WIDTH: usize = 16;
    const GROUP: usize = 2;

    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        // SAFETY: the caller has AVX-512 F.
        unsafe { Self(_mm512_set1_ps(value)) }
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: the caller has AVX-512 F and 16 values there.
        unsafe { Self(_mm512_loadu_ps(from)) }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: the caller has AVX-512 F and room for 16 values.
        unsafe { _mm512_storeu_ps(to, self.0) }
    }

    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        // SAFETY: the caller has AVX-512 F.
        unsafe { Self(_mm512_add_ps(self.0, other.0)) }
    }

    #[inline(always)]
    unsafe fn subtract(self, other: Self) -> Self {
        // SAFETY: the caller has AVX-512 F.
        unsafe { Self(_mm512_sub_ps(self.0, other.0)) }
    }

    #[inline(always)]
    unsafe fn clamp(self, lower: Self, upper: Self) -> Self {
        // SAFETY: the caller has AVX-512 F. The sum stands second because a NaN there is kept.
        unsafe { Self(_mm512_min_ps(upper.0, _mm512_max_ps(lower.0, self.0))) }
    }

    #[inline(always)]
    unsafe fn affine(self, scale: Self, shift: Self) -> Self {
        // SAFETY: the caller has AVX-512 F.
        unsafe { Self(_mm512_fmadd_ps(self.0, scale.0, shift.0)) }
    }

    #[inline(always)]
    unsafe fn load_values(from: *const bf16) -> Self {
        // SAFETY: the caller has AVX-512 F and 16 values there; a bf16 is the upper half of an f32.
        unsafe {
            let halves = _mm512_cvtepu16_epi32(_mm256_loadu_si256(from.cast()));
            Self(_mm512_castsi512_ps(_mm512_slli_epi32::<16>(halves)))
        }
    }

    #[inline(always)]
    unsafe fn store_values(self, to: *mut bf16) {
        // SAFETY: the caller has AVX-512 BF16 and room for 16 values; both types are 256 plain bits.
        unsafe { _mm256_storeu_si256(to.cast(), transmute::<__m256bh, __m256i>(_mm512_cvtneps_pbh(self.0))) }
    }

    #[inline(always)]
    unsafe fn weights(from: *const bf16) -> __m512bh {
        // SAFETY: the caller has AVX-512 F and 32 values there; both types are 512 plain bits.
        unsafe { transmute::<__m512i, __m512bh>(_mm512_loadu_si512(from.cast())) }
    }

    #[inline(always)]
    unsafe fn spread(from: *const bf16) -> __m512bh {
        // SAFETY: the caller has AVX-512 F and two values there; both types are 512 plain bits.
        unsafe { transmute::<__m512i, __m512bh>(_mm512_set1_epi32(from.cast::<i32>().read_unaligned())) }
    }

    #[inline(always)]
    unsafe fn multiply_add(self, a: __m512bh, w: __m512bh) -> Self {
        // SAFETY: the caller has AVX-512 BF16.
        unsafe { Self(_mm512_dpbf16_ps(self.0, a, w)) }
    }
}

kernel!(Sums, bf16, needs "avx512f,avx512bf16,avx512bw,avx512vl";
    4 => [1, 2, 3, 4, 5, 6],
    2 => [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12],
    1 => [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]);

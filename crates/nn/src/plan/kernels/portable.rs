//! No particular instructions: four f32 lanes, which the compiler turns into whatever the baseline has.

use super::{Kernel, Lanes, Tile, accumulate_tile, depthwise, kernel, winograd};

/// Lanes of the smallest vectors in use.
const LANES: usize = 4;

#[derive(Clone, Copy)]
struct Array([f32; LANES]);

impl Array {
    #[inline(always)]
    fn each(f: impl Fn(usize) -> f32) -> Self {
        Self(std::array::from_fn(f))
    }
}

impl Lanes for Array {
    type Value = f32;
    type Packed = Array;
    const WIDTH: usize = LANES;
    const GROUP: usize = 1;

    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        Self([value; LANES])
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: the caller has 4 values there; arrays of f32 need no more alignment than an f32.
        unsafe { Self(from.cast::<[f32; LANES]>().read()) }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: the caller has room for 4 values.
        unsafe { to.cast::<[f32; LANES]>().write(self.0) }
    }

    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        Self::each(|i| self.0[i] + other.0[i])
    }

    #[inline(always)]
    unsafe fn subtract(self, other: Self) -> Self {
        Self::each(|i| self.0[i] - other.0[i])
    }

    #[inline(always)]
    unsafe fn clamp(self, lower: Self, upper: Self) -> Self {
        // Written so that a NaN is kept.
        let above = Self::each(|i| if self.0[i] < lower.0[i] { lower.0[i] } else { self.0[i] });
        Self::each(|i| if above.0[i] > upper.0[i] { upper.0[i] } else { above.0[i] })
    }

    #[inline(always)]
    unsafe fn affine(self, scale: Self, shift: Self) -> Self {
        Self::each(|i| self.0[i] * scale.0[i] + shift.0[i])
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
    unsafe fn weights(from: *const f32) -> Array {
        // SAFETY: as `load`.
        unsafe { Self::load(from) }
    }

    #[inline(always)]
    unsafe fn spread(from: *const f32) -> Array {
        // SAFETY: the caller has one value there.
        unsafe { Self([*from; LANES]) }
    }

    #[inline(always)]
    unsafe fn multiply_add(self, a: Array, w: Array) -> Self {
        Self::each(|i| self.0[i] + a.0[i] * w.0[i])
    }
}

kernel!(Array, f32;
    2 => [1, 2, 3, 4],
    1 => [1, 2, 3, 4, 5, 6, 7, 8]);

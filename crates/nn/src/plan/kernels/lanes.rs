//! What the f32 instruction sets have in common: the same few operations under other names.

/// Implements [`super::Lanes`] for a register of f32 by naming its intrinsics.
macro_rules! f32_lanes {
    ($register:ty, $width:literal;
     splat $splat:ident, load $load:ident, store $store:ident, add $add:ident, subtract $subtract:ident,
     clamp $clamp:expr, multiply_add $multiply_add:expr) => {
        impl $crate::plan::kernels::Lanes for $register {
            type Value = f32;
            type Packed = $register;
            const WIDTH: usize = $width;
            const GROUP: usize = 1;

            #[inline(always)]
            unsafe fn splat(value: f32) -> Self {
                // SAFETY: the caller has the instruction set.
                unsafe { $splat(value) }
            }

            #[inline(always)]
            unsafe fn load(from: *const f32) -> Self {
                // SAFETY: the caller has the instruction set and a register's values there.
                unsafe { $load(from) }
            }

            #[inline(always)]
            unsafe fn store(self, to: *mut f32) {
                // SAFETY: the caller has the instruction set and room for a register's values.
                unsafe { $store(to, self) }
            }

            #[inline(always)]
            unsafe fn add(self, other: Self) -> Self {
                // SAFETY: the caller has the instruction set.
                unsafe { $add(self, other) }
            }

            #[inline(always)]
            unsafe fn subtract(self, other: Self) -> Self {
                // SAFETY: the caller has the instruction set.
                unsafe { $subtract(self, other) }
            }

            #[inline(always)]
            unsafe fn clamp(self, lower: Self, upper: Self) -> Self {
                // SAFETY: the caller has the instruction set.
                unsafe { $clamp(self, lower, upper) }
            }

            #[inline(always)]
            unsafe fn affine(self, scale: Self, shift: Self) -> Self {
                // SAFETY: the caller has the instruction set.
                unsafe { $multiply_add(self, scale, shift) }
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
            unsafe fn weights(from: *const f32) -> Self {
                // SAFETY: as `load`.
                unsafe { Self::load(from) }
            }

            #[inline(always)]
            unsafe fn spread(from: *const f32) -> Self {
                // SAFETY: the caller has the instruction set and one value there.
                unsafe { Self::splat(*from) }
            }

            #[inline(always)]
            unsafe fn multiply_add(self, a: Self, w: Self) -> Self {
                // SAFETY: the caller has the instruction set.
                unsafe { $multiply_add(a, w, self) }
            }
        }
    };
}
pub(super) use f32_lanes;

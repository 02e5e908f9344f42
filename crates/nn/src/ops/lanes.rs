//! A few values side by side, which the compiler keeps in vector registers inside [`super::wide`]. Plain loops over many slices it does
//! not: it would have to prove that none of them overlap.

use super::Element;

/// Two registers of AVX2, one of AVX-512.
pub const LANES: usize = 16;

#[derive(Clone, Copy)]
pub struct Lanes<T, const N: usize = LANES>(pub [T; N]);

impl<T: Element, const N: usize> Lanes<T, N> {
    #[inline(always)]
    pub fn splat(value: T) -> Self {
        Self([value; N])
    }

    #[inline(always)]
    pub fn zero() -> Self {
        Self::splat(T::of(0.0))
    }

    /// # Panics
    /// If there are fewer values than lanes.
    #[inline(always)]
    pub fn load(values: &[T]) -> Self {
        let mut lanes = Self::zero();
        lanes.0.copy_from_slice(&values[..N]);
        lanes
    }

    /// # Panics
    /// If there is room for fewer values than lanes.
    #[inline(always)]
    pub fn store(self, to: &mut [T]) {
        to[..N].copy_from_slice(&self.0);
    }

    /// Several, `step` values from one to the next.
    ///
    /// # Panics
    /// As [`Self::load`].
    #[inline(always)]
    pub fn load_each<const M: usize>(values: &[T], step: usize) -> [Self; M] {
        let mut all = [Self::zero(); M];
        // No `from_fn`: what it calls is compiled without the wide registers.
        for (i, lanes) in all.iter_mut().enumerate() {
            *lanes = Self::load(&values[i * step..]);
        }
        all
    }

    /// The way back of [`Self::load_each`].
    ///
    /// # Panics
    /// As [`Self::store`].
    #[inline(always)]
    pub fn store_each<const M: usize>(all: [Self; M], to: &mut [T], step: usize) {
        for (i, lanes) in all.into_iter().enumerate() {
            lanes.store(&mut to[i * step..]);
        }
    }

    #[inline(always)]
    pub fn add(mut self, other: Self) -> Self {
        for i in 0..N {
            self.0[i] += other.0[i];
        }
        self
    }

    #[inline(always)]
    pub fn sub(mut self, other: Self) -> Self {
        for i in 0..N {
            self.0[i] -= other.0[i];
        }
        self
    }

    #[inline(always)]
    pub fn mul(mut self, other: Self) -> Self {
        for i in 0..N {
            self.0[i] *= other.0[i];
        }
        self
    }

    #[inline(always)]
    pub fn times(self, factor: f64) -> Self {
        self.mul(Self::splat(T::of(factor)))
    }

    /// Zero in the lanes whose `guard` is not between the bounds.
    #[inline(always)]
    pub fn where_within(mut self, guard: Self, lower: T, upper: T) -> Self {
        for i in 0..N {
            let inside = (guard.0[i] > lower) & (guard.0[i] < upper);
            self.0[i] = if inside { self.0[i] } else { T::of(0.0) };
        }
        self
    }
}

//! A few values side by side, which the compiler keeps in vector registers inside [`super::wide`].

use super::Element;

/// Two registers of AVX2, one of AVX-512.
pub const LANES: usize = 16;

#[derive(Clone, Copy)]
pub struct Lanes<T>(pub [T; LANES]);

impl<T: Element> Lanes<T> {
    #[inline(always)]
    pub fn from_fn(value: impl FnMut(usize) -> T) -> Self {
        Self(std::array::from_fn(value))
    }

    #[inline(always)]
    pub fn zero() -> Self {
        Self([T::of(0.0); LANES])
    }

    /// # Panics
    /// If there are fewer values than lanes.
    #[inline(always)]
    pub fn load(values: &[T]) -> Self {
        let mut lanes = Self::zero();
        lanes.0.copy_from_slice(&values[..LANES]);
        lanes
    }

    /// # Panics
    /// If there is room for fewer values than lanes.
    #[inline(always)]
    pub fn store(self, to: &mut [T]) {
        to[..LANES].copy_from_slice(&self.0);
    }

    #[inline(always)]
    pub fn add(mut self, other: Self) -> Self {
        for i in 0..LANES {
            self.0[i] += other.0[i];
        }
        self
    }

    #[inline(always)]
    pub fn sub(mut self, other: Self) -> Self {
        for i in 0..LANES {
            self.0[i] -= other.0[i];
        }
        self
    }

    #[inline(always)]
    pub fn times(mut self, factor: f64) -> Self {
        let factor = T::of(factor);
        for value in &mut self.0 {
            *value *= factor;
        }
        self
    }
}

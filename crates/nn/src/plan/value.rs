//! The number formats that maps are kept in between operations.

use half::bf16;

/// A stored activation or weight.
pub trait Value: Copy + Default + PartialEq + Send + Sync + std::fmt::Debug + 'static {
    /// Rounded to nearest.
    fn of(value: f32) -> Self;
    fn get(self) -> f32;
    /// The larger of two; a NaN is kept.
    fn largest(self, other: Self) -> Self;
}

impl Value for f32 {
    #[inline(always)]
    fn of(value: f32) -> Self {
        value
    }

    #[inline(always)]
    fn get(self) -> f32 {
        self
    }

    #[inline(always)]
    fn largest(self, other: Self) -> Self {
        if other > self || other.is_nan() { other } else { self }
    }
}

impl Value for bf16 {
    #[inline(always)]
    fn of(value: f32) -> Self {
        bf16::from_f32(value)
    }

    #[inline(always)]
    fn get(self) -> f32 {
        // A bf16 is the upper half of an f32; this form, unlike the library's, is one shift and vectorises.
        f32::from_bits(u32::from(self.to_bits()) << 16)
    }

    #[inline(always)]
    fn largest(self, other: Self) -> Self {
        let (a, b) = (self.get(), other.get());
        if b > a || b.is_nan() { other } else { self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_larger_of_two_halves_is_that_of_the_numbers() {
        let values = [-1e30f32, -2.5, -0.0, 0.0, 1e-20, 0.75, 3.0, f32::INFINITY].map(bf16::from_f32);
        for a in values {
            for b in values {
                assert_eq!(a.largest(b).get(), a.get().max(b.get()), "{a} {b}");
            }
        }
        // ∞ − ∞ gives a NaN with its sign set on x86.
        for nan in [f32::NAN, -f32::NAN] {
            assert!(nan.largest(1.0).is_nan() && 1f32.largest(nan).is_nan());
            let half = bf16::from_f32(nan);
            assert!(half.largest(bf16::ONE).is_nan() && bf16::ONE.largest(half).is_nan());
        }
    }
}

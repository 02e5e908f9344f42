//! A drawn head: a plausible FLAIR-like axial slice with a lesion whose outline is known exactly.
//!
//! It is the bundled example, the picture in every screenshot, and what tests read. It is nobody.

use super::mask::Mask;
use super::slice::{Depth, Slice};

/// What to draw.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Phantom {
    /// Side of the square picture in pixels.
    pub side: usize,
    /// Varies texture, tilt and the shape of the folds.
    pub seed: u32,
    /// Centre and radius of the lesion in the head's own units (−1 … 1 over the picture); `None` for a healthy head.
    pub lesion: Option<Lesion>,
}

/// An irregular bright blob.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Lesion {
    pub x: f32,
    pub y: f32,
    pub radius: f32,
}

impl Phantom {
    /// The example the program opens with.
    pub fn example() -> Self {
        Self { side: 256, seed: 5, lesion: Some(Lesion { x: 0.27, y: -0.16, radius: 0.17 }) }
    }

    /// The picture (8-bit values) and the outline of its lesion.
    pub fn draw(&self) -> (Slice, Mask) {
        let mut pixels = Vec::with_capacity(self.side * self.side);
        let mut mask = Vec::with_capacity(self.side * self.side);
        for py in 0..self.side {
            for px in 0..self.side {
                let to_unit = |p: usize| (p as f32 + 0.5) / self.side as f32 * 2.0 - 1.0;
                let (value, inside) = self.tissue(to_unit(px), to_unit(py));
                let grain = self.noise(px as f32 * 0.9, py as f32 * 0.9, 31) * 9.0
                    + self.noise(px as f32, py as f32 * 1.3, 77) * 5.0;
                let value = if value > 1.0 { value + grain } else { grain.abs() * 0.35 };
                pixels.push(value.round().clamp(0.0, 255.0));
                mask.push(inside);
            }
        }
        let blurred = soften(&pixels, self.side);
        let slice = Slice::new(self.side, self.side, blurred, Depth::Eight);
        let mask = Mask::new(self.side, self.side, mask);
        // Both are filled to side² just above; an impossible side of zero gives the smallest picture instead of a panic.
        let nothing = || Phantom { side: 16, ..*self }.draw();
        match (slice, mask) {
            (Some(slice), Some(mask)) => (slice, mask),
            _ => nothing(),
        }
    }

    /// Brightness at a point of the unit square, and whether it lies in the lesion.
    fn tissue(&self, x: f32, y: f32) -> (f32, bool) {
        let tilt = (self.seed % 7) as f32 * 0.01 - 0.03;
        let (x, y) = (x + y * tilt, y - x * tilt);
        // An egg: narrower in front (up), as an axial head is.
        let (rx, ry) = (0.69 - 0.07 * (-y).max(0.0), 0.86);
        let ripple = 0.012 * self.noise(x * 4.0, y * 4.0, 3);
        let r = ((x / rx).powi(2) + (y / ry).powi(2)).sqrt() + ripple;
        if r > 1.0 {
            return (0.0, false);
        }
        if r > 0.93 {
            // Scalp fat, bright on FLAIR.
            return (150.0 - 500.0 * (r - 0.965).abs(), false);
        }
        if r > 0.865 {
            return (16.0, false); // skull
        }
        if r > 0.835 {
            return (34.0, false); // fluid under the skull
        }
        let warp = |salt: u32| 0.10 * self.noise(x * 3.5, y * 3.5, salt);
        let (u, v) = (x + warp(5), y + warp(6));
        // Ribbons where smooth noise crosses zero: the folds of the brain's surface.
        let ribbon = self.noise(u * 6.5, v * 6.5, 11).abs();
        let rim = smooth(0.34, 0.74, r);
        // FLAIR: grey matter is brighter than white, and lines the folds.
        let cortex = smooth(0.70, 0.80, r).max(smooth(0.30, 0.12, ribbon) * rim);
        let mut value = 84.0 + 30.0 * cortex + 6.0 * self.noise(x * 4.0, y * 4.0, 17);
        let sulcus = smooth(0.085, 0.02, ribbon) * smooth(0.50, 0.80, r);
        value -= 66.0 * sulcus;
        let fissure =
            smooth(0.020, 0.006, (x + 0.014 * self.noise(1.0, y * 7.0, 29)).abs()) * smooth(0.20, 0.40, y.abs());
        value -= 58.0 * fissure;
        // Deep grey nuclei beside the ventricles.
        let nucleus = blob(x.abs() - 0.20, y - 0.02, 0.085, 0.17);
        value += 15.0 * smooth(1.15, 0.75, nucleus);
        // Lateral ventricles: two dark horns in front, two behind, fluid is black on FLAIR, with a faint bright rim.
        let front = blob(x.abs() - 0.075 - 0.14 * (y + 0.2).abs(), y + 0.20, 0.045, 0.19);
        let back = blob(x.abs() - 0.115 - 0.20 * (y - 0.26).max(0.0), y - 0.27, 0.05, 0.17);
        let ventricle = front.min(back);
        value += 16.0 * smooth(1.45, 1.1, ventricle);
        value = value + (22.0 - value) * smooth(1.08, 0.86, ventricle);
        let inside = self.lesion.is_some_and(|lesion| {
            let (dx, dy) = (x - lesion.x, y - lesion.y);
            let angle = dy.atan2(dx);
            let edge = lesion.radius
                * (1.0
                    + 0.16 * (2.0 * angle + 0.7).sin()
                    + 0.10 * (3.0 * angle).cos()
                    + 0.06 * (5.0 * angle + 1.0).sin());
            let d = dx.hypot(dy) / edge;
            let bright = 188.0 + 26.0 * self.noise(x * 8.0, y * 8.0, 41) - 34.0 * smooth(0.45, 0.1, d);
            value = value + (bright - value) * smooth(1.07, 0.93, d);
            d <= 1.0
        });
        (value.clamp(4.0, 250.0), inside)
    }

    /// Smooth value noise in about −1 … 1.
    fn noise(&self, x: f32, y: f32, salt: u32) -> f32 {
        let (x0, y0) = (x.floor(), y.floor());
        let (fx, fy) = (fade(x - x0), fade(y - y0));
        let corner =
            |dx: f32, dy: f32| hash(((x0 + dx) as i32) as u32, ((y0 + dy) as i32) as u32, self.seed ^ (salt << 8));
        let mix = |a: f32, b: f32, t: f32| a + (b - a) * t;
        mix(mix(corner(0.0, 0.0), corner(1.0, 0.0), fx), mix(corner(0.0, 1.0), corner(1.0, 1.0), fx), fy)
    }
}

/// Distance in units of an ellipse's own radii.
fn blob(dx: f32, dy: f32, rx: f32, ry: f32) -> f32 {
    ((dx / rx).powi(2) + (dy / ry).powi(2)).sqrt()
}

fn fade(t: f32) -> f32 {
    t * t * (3.0 - 2.0 * t)
}

/// 0 at `from`, 1 at `to`, smooth between; works downwards too.
fn smooth(from: f32, to: f32, v: f32) -> f32 {
    fade(((v - from) / (to - from)).clamp(0.0, 1.0))
}

/// A repeatable number in −1 … 1 for a lattice point (a finaliser of MurmurHash3's kind).
fn hash(x: u32, y: u32, seed: u32) -> f32 {
    let mut h = x.wrapping_mul(0x9E37_79B1) ^ y.wrapping_mul(0x85EB_CA6B) ^ seed.wrapping_mul(0xC2B2_AE35);
    h ^= h >> 15;
    h = h.wrapping_mul(0x2C1B_3C6D);
    h ^= h >> 12;
    h = h.wrapping_mul(0x297A_2D39);
    h ^= h >> 15;
    h as f32 / u32::MAX as f32 * 2.0 - 1.0
}

/// A 3×3 binomial blur, as a scanner's point spread, rounded back to whole grey values.
fn soften(pixels: &[f32], side: usize) -> Vec<f32> {
    let at = |x: i64, y: i64| {
        let clamp = |v: i64| v.clamp(0, side as i64 - 1) as usize;
        pixels[clamp(y) * side + clamp(x)]
    };
    (0..side * side)
        .map(|i| {
            let (x, y) = ((i % side) as i64, (i / side) as i64);
            let sum: f32 = (-1..=1)
                .flat_map(|dy| (-1..=1).map(move |dx| (dx, dy)))
                .map(|(dx, dy)| at(x + dx, y + dy) * [4.0, 2.0, 1.0][(dx.abs() + dy.abs()) as usize])
                .sum();
            (sum / 16.0).round()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lesion_is_where_it_was_asked_for_and_bright() {
        let (slice, mask) = Phantom::example().draw();
        assert_eq!((slice.width(), slice.height()), (256, 256));
        // Radius 0.17 of a half-side of 128 pixels: about π·21.8² = 1,490 pixels, give or take the ragged edge.
        assert!((1_300..1_700).contains(&mask.area()), "{}", mask.area());
        assert_eq!(mask.components().len(), 1);
        let mean = |inside: bool| {
            let picked: Vec<f32> = slice
                .values()
                .iter()
                .zip(mask.pixels())
                .filter(|(v, m)| **m == inside && **v > 60.0)
                .map(|(v, _)| *v)
                .collect();
            picked.iter().sum::<f32>() / picked.len() as f32
        };
        assert!(mean(true) > mean(false) + 50.0, "{} {}", mean(true), mean(false));
    }

    #[test]
    fn a_healthy_head_has_no_lesion_and_drawing_repeats() {
        let healthy = Phantom { lesion: None, ..Phantom::example() };
        assert_eq!(healthy.draw().1.area(), 0);
        assert_eq!(healthy.draw().0, healthy.draw().0);
    }
}

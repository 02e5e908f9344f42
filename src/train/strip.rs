//! Heads without their skull, and slices with intensities of their own: training covers what users open, which may be either.

use super::cache::Pixels;
use super::dataset::Seen;
use crate::domain::intensities::Intensities;
use crate::domain::slice::{Depth, Slice};
use rand::Rng;

/// Grey values from here on are head, not air.
const HEAD: u8 = 25;
/// Share of a row or column that must be head for the head's box to reach it.
const REACH: f32 = 0.05;
/// Semi-axes of what is left, share of those of the head.
const LEFT: std::ops::RangeInclusive<f32> = 0.76..=0.9;
/// Smallest share of a lesion that must be left for a picture to be stripped.
const LESION: f32 = 0.8;

/// Blackens everything but an ellipse within the head, in the picture and those beside it alike. Returns false, with nothing changed,
/// for a picture without a head or whose lesion would be cut off.
pub fn strip(seen: &mut Seen, rng: &mut impl Rng) -> bool {
    let (shares, mut ripple) = ([0, 1].map(|_| rng.random_range(LEFT)), [0.0; 3]);
    ripple.fill_with(|| rng.random_range(-0.03..=0.03));
    let Some(head) = Ellipse::around(&seen.picture, shares, ripple) else { return false };
    let side = seen.picture.side;
    let inside = |i: usize| head.contains((i % side) as f32, (i / side) as f32);
    let lesion: Vec<usize> = (0..seen.picture.mask.len()).filter(|i| seen.picture.mask[*i] > 0).collect();
    let kept = lesion.iter().filter(|i| inside(**i)).count();
    if (kept as f32) < LESION * lesion.len() as f32 {
        return false;
    }
    for pixels in seen.slices_mut().into_iter().flatten() {
        for values in [&mut pixels.grey, &mut pixels.mask] {
            values.iter_mut().enumerate().filter(|(i, _)| !inside(*i)).for_each(|(_, value)| *value = 0);
        }
    }
    true
}

/// Gives grey values the scale that the picture has by itself; those beside it follow it.
pub fn renormalise(seen: &mut Seen) {
    let Pixels { side, grey, .. } = &seen.picture;
    let values = grey.iter().map(|v| f32::from(*v)).collect();
    let Some(slice) = Slice::new(*side, *side, values, Depth::Eight) else { return };
    let own = Intensities::of([&slice]);
    let table: [u8; 256] = std::array::from_fn(|v| own.grey(v as f32).round() as u8);
    for pixels in seen.slices_mut().into_iter().flatten() {
        pixels.grey.iter_mut().for_each(|v| *v = table[usize::from(*v)]);
    }
}

/// An ellipse with a wavy border.
struct Ellipse {
    centre: (f32, f32),
    axes: (f32, f32),
    /// Amplitudes of two, three and four waves around it, share of the radius.
    ripple: [f32; 3],
}

impl Ellipse {
    /// The ellipse in the head's box, its axes shortened to `shares`; `None` for a picture without a head.
    fn around(pixels: &Pixels, shares: [f32; 2], ripple: [f32; 3]) -> Option<Self> {
        let side = pixels.side;
        let is_head = |x: usize, y: usize| pixels.grey[y * side + x] >= HEAD;
        let reached = |count: usize| count as f32 >= REACH * side as f32;
        let columns: Vec<usize> =
            (0..side).filter(|x| reached((0..side).filter(|y| is_head(*x, *y)).count())).collect();
        let rows: Vec<usize> = (0..side).filter(|y| reached((0..side).filter(|x| is_head(*x, *y)).count())).collect();
        let middle =
            |at: &[usize]| Some(((at.first()? + at.last()?) as f32 / 2.0, (at.last()? - at.first()?) as f32 / 2.0));
        let ((x, width), (y, height)) = (middle(&columns)?, middle(&rows)?);
        let axes = (width * shares[0], height * shares[1]);
        (axes.0 >= 8.0 && axes.1 >= 8.0).then_some(Self { centre: (x, y), axes, ripple })
    }

    fn contains(&self, x: f32, y: f32) -> bool {
        let (u, v) = ((x - self.centre.0) / self.axes.0, (y - self.centre.1) / self.axes.1);
        let angle = v.atan2(u);
        let waves: f32 = (2..).zip(self.ripple).map(|(n, amplitude)| amplitude * (n as f32 * angle).sin()).sum();
        u.hypot(v) <= 1.0 + waves
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    /// A disc of `radius` pixels at grey 120 with a brighter rim, and a lesion of 9×9 pixels around (x, 32).
    fn head(radius: f32, x: usize) -> Seen {
        let side = 64;
        let distance = |i: usize| ((i % side) as f32 - 32.0).hypot((i / side) as f32 - 32.0);
        let is_lesion = |i: usize| (i % side).abs_diff(x) <= 4 && (i / side).abs_diff(32) <= 4;
        let grey = |i: usize| match distance(i) {
            d if d > radius => 0,
            d if d > radius - 2.0 => 250,
            _ if is_lesion(i) => 200,
            _ => 120,
        };
        let mask = (0..side * side).map(|i| u8::from(is_lesion(i))).collect();
        let picture = Pixels { side, grey: (0..side * side).map(grey).collect(), mask };
        Seen { beside: [Some(Pixels { mask: Vec::new(), ..picture.clone() }), None], picture }
    }

    #[test]
    fn the_skull_goes_and_the_brain_stays() {
        for seed in 0..20 {
            let mut seen = head(28.0, 32);
            assert!(strip(&mut seen, &mut ChaCha8Rng::seed_from_u64(seed)));
            let at = |x: usize, y: usize| seen.picture.grey[y * 64 + x];
            assert!(seen.picture.grey.iter().all(|v| *v < 250), "seed {seed}: some of the rim is left");
            assert_eq!((at(32, 32), at(44, 32), at(32, 20)), (200, 120, 120), "seed {seed}");
            assert_eq!(seen.beside[0].as_ref().unwrap().grey, seen.picture.grey);
            assert_eq!(seen.picture.mask.iter().filter(|m| **m == 1).count(), 81);
        }
    }

    #[test]
    fn a_lesion_at_the_border_and_an_empty_picture_stay_as_they_are() {
        for original in [head(28.0, 57), head(0.0, 32)] {
            let mut seen = original.clone();
            assert!(!strip(&mut seen, &mut ChaCha8Rng::seed_from_u64(1)));
            assert_eq!(seen, original);
        }
    }

    #[test]
    fn a_renormalised_picture_has_the_mean_and_deviation_of_its_own_head() {
        let mut seen = head(28.0, 32);
        renormalise(&mut seen);
        // Air stays black; tissue within the rim is darker than the head's mean, which is 3/8 of 255.
        let at = |x: usize, y: usize| seen.picture.grey[y * 64 + x];
        assert_eq!(at(0, 0), 0);
        let head: Vec<f64> = seen.picture.grey.iter().filter(|v| **v > 0).map(|v| f64::from(*v)).collect();
        let mean = head.iter().sum::<f64>() / head.len() as f64;
        assert!((mean - 255.0 * 3.0 / 8.0).abs() < 1.0, "{mean}");
    }
}

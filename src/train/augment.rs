//! Random variations of a training picture: one geometric transform for picture and mask, then changes of intensity.

use super::cache::Pixels;
use super::recipe::Augmentation;
use rand::Rng;

/// A picture ready for preprocessing (grey 0–255) with its mask, both `side`².
pub struct Varied {
    pub grey: Vec<f32>,
    pub mask: Vec<f32>,
}

/// Resamples `example` to `side` under a random affine and elastic map and varies its intensities. The same generator state gives
/// the same picture.
pub fn vary(example: &Pixels, side: usize, rule: &Augmentation, rng: &mut impl Rng) -> Varied {
    let mut within = |limit: f32| if limit > 0.0 { rng.random_range(-limit..=limit) } else { 0.0 };
    let angle = within(rule.rotate).to_radians();
    let scale = 1.0 + within(rule.scale);
    let (shift_x, shift_y) = (within(rule.shift), within(rule.shift));
    let (gamma, contrast) = (within(rule.gamma).exp2(), within(rule.contrast).exp2());
    let brightness = 255.0 * within(rule.brightness);
    let field: [f32; 5] = std::array::from_fn(|_| within(rule.bias_field));
    let blur = within(rule.blur).max(0.0);
    let flip = rng.random::<f32>() < rule.flip;
    let noise = 255.0 * rule.noise * rng.random::<f32>();
    let warp = (rule.elastic > 0.0).then(|| Warp::random(rule.elastic, rng));
    let hole = (rule.cut_out > 0.0 && rng.random_bool(0.5)).then(|| Hole::random(rule.cut_out, rng));

    let source = example.side as f32;
    let (sin, cos) = angle.sin_cos();
    let mut grey = Vec::with_capacity(side * side);
    let mut mask = vec![0.0; side * side];
    for y in 0..side {
        for x in 0..side {
            // Centred coordinates in −½…½, mapped back to where the pixel comes from.
            let (u, v) = ((x as f32 + 0.5) / side as f32 - 0.5, (y as f32 + 0.5) / side as f32 - 0.5);
            let u = if flip { -u } else { u };
            let (u, v) = warp.as_ref().map_or((u, v), |warp| warp.from(u, v));
            let (p, q) = ((cos * u + sin * v) / scale - shift_x, (cos * v - sin * u) / scale - shift_y);
            let (from_x, from_y) = ((p + 0.5) * source - 0.5, (q + 0.5) * source - 0.5);
            let value = bilinear(example.side, from_x, from_y, |i| f32::from(example.grey[i]));
            if !example.mask.is_empty() {
                let inside = bilinear(example.side, from_x, from_y, |i| f32::from(example.mask[i]));
                mask[y * side + x] = if inside >= 0.5 { 1.0 } else { 0.0 };
            }
            // A smooth multiplicative field: a quadratic in the position.
            let bias = 1.0 + field[0] * u + field[1] * v + field[2] * u * v + field[3] * u * u + field[4] * v * v;
            grey.push(255.0 * (value / 255.0).powf(gamma) * bias.max(0.1));
        }
    }
    if blur > 0.2 {
        grey = gaussian_blur(&grey, side, blur);
    }
    let mean = grey.iter().sum::<f32>() / grey.len() as f32;
    for value in &mut grey {
        let mut varied = (*value - mean) * contrast + mean + brightness;
        if noise > 0.0 {
            varied += noise * normal(rng);
        }
        *value = varied.clamp(0.0, 255.0);
    }
    if let Some(hole) = hole {
        // The outline stays: what is hidden must be guessed from its surroundings.
        hole.blacken(&mut grey, side);
    }
    Varied { grey, mask }
}

/// A smooth field of displacements: random at the nodes of a grid, interpolated between them.
struct Warp {
    nodes: [[(f32, f32); Warp::NODES]; Warp::NODES],
}

impl Warp {
    const NODES: usize = 6;

    fn random(limit: f32, rng: &mut impl Rng) -> Self {
        let mut nodes = [[(0.0, 0.0); Self::NODES]; Self::NODES];
        for node in nodes.iter_mut().flatten() {
            *node = (rng.random_range(-limit..=limit), rng.random_range(-limit..=limit));
        }
        Self { nodes }
    }

    /// Where the pixel at (u, v), in −½…½, comes from.
    fn from(&self, u: f32, v: f32) -> (f32, f32) {
        let place = |w: f32| {
            let at = ((w + 0.5) * (Self::NODES - 1) as f32).clamp(0.0, (Self::NODES - 1) as f32 - 1e-3);
            let t = at.fract();
            // Smoothstep, so that the field has no creases at the nodes.
            (at as usize, t * t * (3.0 - 2.0 * t))
        };
        let ((i, s), (j, t)) = (place(v), place(u));
        let mix = |a: (f32, f32), b: (f32, f32), t: f32| (a.0 + (b.0 - a.0) * t, a.1 + (b.1 - a.1) * t);
        let across = |row: &[(f32, f32)]| mix(row[j], row[j + 1], t);
        let (du, dv) = mix(across(&self.nodes[i]), across(&self.nodes[i + 1]), s);
        (u + du, v + dv)
    }
}

/// A rectangle, in shares of the side.
struct Hole {
    x: f32,
    y: f32,
    width: f32,
    height: f32,
}

impl Hole {
    fn random(limit: f32, rng: &mut impl Rng) -> Self {
        let mut length = || rng.random_range(0.0..=limit.min(1.0));
        let (width, height) = (length(), length());
        Self { x: rng.random_range(0.0..=1.0 - width), y: rng.random_range(0.0..=1.0 - height), width, height }
    }

    fn blacken(&self, grey: &mut [f32], side: usize) {
        let at = |share: f32| ((share * side as f32) as usize).min(side);
        for row in grey.chunks_exact_mut(side).take(at(self.y + self.height)).skip(at(self.y)) {
            row[at(self.x)..at(self.x + self.width)].fill(0.0);
        }
    }
}

/// The picture as it is, resampled to `side`.
pub fn plain(example: &Pixels, side: usize) -> Varied {
    use crate::domain::resample::resize;
    let from = (example.side, example.side);
    let grey: Vec<f32> = example.grey.iter().map(|v| f32::from(*v)).collect();
    let grey = resize(&grey, from, (side, side));
    let mask = if !example.mask.is_empty() {
        let mask: Vec<f32> = example.mask.iter().map(|m| f32::from(*m)).collect();
        resize(&mask, from, (side, side)).into_iter().map(|v| if v >= 0.5 { 1.0 } else { 0.0 }).collect()
    } else {
        vec![0.0; side * side]
    };
    Varied { grey, mask }
}

/// Interpolates a square of values; black outside.
pub(super) fn bilinear(side: usize, x: f32, y: f32, value: impl Fn(usize) -> f32) -> f32 {
    let (x0, y0) = (x.floor(), y.floor());
    let (fx, fy) = (x - x0, y - y0);
    let at = |dx: f32, dy: f32| {
        let (x, y) = (x0 + dx, y0 + dy);
        let inside = x >= 0.0 && y >= 0.0 && x < side as f32 && y < side as f32;
        if inside { value(y as usize * side + x as usize) } else { 0.0 }
    };
    (at(0.0, 0.0) * (1.0 - fx) + at(1.0, 0.0) * fx) * (1.0 - fy) + (at(0.0, 1.0) * (1.0 - fx) + at(1.0, 1.0) * fx) * fy
}

fn gaussian_blur(values: &[f32], side: usize, sigma: f32) -> Vec<f32> {
    let radius = (3.0 * sigma).ceil() as i64;
    let weights: Vec<f32> = (-radius..=radius).map(|d| (-(d * d) as f32 / (2.0 * sigma * sigma)).exp()).collect();
    let total: f32 = weights.iter().sum();
    let pass = |values: &[f32], dx: i64, dy: i64| -> Vec<f32> {
        let last = side as i64 - 1;
        (0..side * side)
            .map(|i| {
                let (x, y) = ((i % side) as i64, (i / side) as i64);
                let tap = |(k, w): (usize, &f32)| {
                    let d = k as i64 - radius;
                    let (x, y) = ((x + d * dx).clamp(0, last), (y + d * dy).clamp(0, last));
                    w * values[y as usize * side + x as usize]
                };
                weights.iter().enumerate().map(tap).sum::<f32>() / total
            })
            .collect()
    };
    pass(&pass(values, 1, 0), 0, 1)
}

/// A standard normal number (Box–Muller).
pub fn normal(rng: &mut impl Rng) -> f32 {
    let radius = (-2.0 * (1.0 - rng.random::<f32>()).ln()).sqrt();
    radius * (std::f32::consts::TAU * rng.random::<f32>()).cos()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    fn example() -> Pixels {
        let side = 32;
        let inside = |i: usize| (10..20).contains(&(i % side)) && (12..18).contains(&(i / side));
        Pixels {
            side,
            grey: (0..side * side).map(|i| if inside(i) { 200 } else { 40 }).collect(),
            mask: (0..side * side).map(|i| u8::from(inside(i))).collect(),
        }
    }

    #[test]
    fn nothing_switched_on_changes_nothing() {
        let e = example();
        let varied = vary(&e, 32, &Augmentation::default(), &mut ChaCha8Rng::seed_from_u64(1));
        for (i, v) in varied.grey.iter().enumerate() {
            assert!((v - f32::from(e.grey[i])).abs() < 1e-2, "{i}: {v}");
        }
        assert!(varied.mask.iter().zip(&e.mask).all(|(a, b)| (*a > 0.5) == (*b > 0)));
    }

    /// Whatever the transform, the mask must stay on the bright block of the picture.
    #[test]
    fn mask_and_picture_move_together() {
        let rule =
            Augmentation { flip: 0.5, rotate: 30.0, scale: 0.2, shift: 0.1, elastic: 0.03, ..Default::default() };
        for seed in 0..50 {
            let varied = vary(&example(), 32, &rule, &mut ChaCha8Rng::seed_from_u64(seed));
            let agree = varied.grey.iter().zip(&varied.mask).filter(|(g, m)| (**g > 120.0) == (**m > 0.5)).count();
            assert!(agree as f32 > 0.99 * 1024.0, "seed {seed}: {agree} of 1024 pixels agree");
        }
    }

    /// Half of the pictures lose one rectangle no larger than asked; the outline keeps its place.
    #[test]
    fn a_hole_hides_but_does_not_move() {
        let rule = Augmentation { cut_out: 0.5, ..Default::default() };
        let bright = Pixels { side: 32, grey: vec![200; 32 * 32], mask: example().mask };
        let black: Vec<usize> = (0..200)
            .map(|seed| {
                let varied = vary(&bright, 32, &rule, &mut ChaCha8Rng::seed_from_u64(seed));
                assert!(varied.mask.iter().zip(&bright.mask).all(|(a, b)| (*a > 0.5) == (*b > 0)));
                varied.grey.iter().filter(|v| **v == 0.0).count()
            })
            .collect();
        assert!(black.iter().all(|area| *area <= 17 * 17));
        let holes = black.iter().filter(|area| **area > 0).count();
        assert!((60..=110).contains(&holes), "{holes} of 200 pictures have a hole");
    }
}

//! Random variations of a training picture: one geometric transform for picture and mask, then changes of intensity.

use super::dataset::Example;
use super::recipe::Augmentation;
use rand::Rng;

/// A picture ready for preprocessing (grey 0–255) with its mask, both `side`².
pub struct Varied {
    pub grey: Vec<f32>,
    pub mask: Vec<f32>,
}

/// Resamples `example` to `side` under a random affine map and varies its intensities. The same generator state gives the
/// same picture.
pub fn vary(example: &Example, side: usize, rule: &Augmentation, rng: &mut impl Rng) -> Varied {
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

    let source = example.side as f32;
    let (sin, cos) = angle.sin_cos();
    let mut grey = Vec::with_capacity(side * side);
    let mut mask = vec![0.0; side * side];
    for y in 0..side {
        for x in 0..side {
            // Centred coordinates in −½…½, mapped back to where the pixel comes from.
            let (u, v) = ((x as f32 + 0.5) / side as f32 - 0.5, (y as f32 + 0.5) / side as f32 - 0.5);
            let u = if flip { -u } else { u };
            let (p, q) = ((cos * u + sin * v) / scale - shift_x, (cos * v - sin * u) / scale - shift_y);
            let (from_x, from_y) = ((p + 0.5) * source - 0.5, (q + 0.5) * source - 0.5);
            let value = bilinear(example.side, from_x, from_y, |i| f32::from(example.grey[i]));
            if example.is_positive() {
                let inside = bilinear(example.side, from_x, from_y, |i| f32::from(u8::from(example.mask[i])));
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
    Varied { grey, mask }
}

/// The picture as it is, resampled to `side`.
pub fn plain(example: &Example, side: usize) -> Varied {
    use crate::domain::resample::resize;
    let from = (example.side, example.side);
    let grey: Vec<f32> = example.grey.iter().map(|v| f32::from(*v)).collect();
    let grey = resize(&grey, from, (side, side));
    let mask = if example.is_positive() {
        let mask: Vec<f32> = example.mask.iter().map(|m| f32::from(u8::from(*m))).collect();
        resize(&mask, from, (side, side)).into_iter().map(|v| if v >= 0.5 { 1.0 } else { 0.0 }).collect()
    } else {
        vec![0.0; side * side]
    };
    Varied { grey, mask }
}

/// Interpolates a square of values; black outside.
fn bilinear(side: usize, x: f32, y: f32, value: impl Fn(usize) -> f32) -> f32 {
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

    fn example() -> Example {
        let side = 32;
        let inside = |i: usize| (10..20).contains(&(i % side)) && (12..18).contains(&(i / side));
        Example {
            file: "a.png".into(),
            patient: "a".into(),
            side,
            grey: (0..side * side).map(|i| if inside(i) { 200 } else { 40 }).collect(),
            mask: (0..side * side).map(inside).collect(),
        }
    }

    #[test]
    fn nothing_switched_on_changes_nothing() {
        let e = example();
        let varied = vary(&e, 32, &Augmentation::default(), &mut ChaCha8Rng::seed_from_u64(1));
        for (i, v) in varied.grey.iter().enumerate() {
            assert!((v - f32::from(e.grey[i])).abs() < 1e-2, "{i}: {v}");
        }
        assert!(varied.mask.iter().zip(&e.mask).all(|(a, b)| (*a > 0.5) == *b));
    }

    /// Whatever the transform, the mask must stay on the bright block of the picture.
    #[test]
    fn mask_and_picture_move_together() {
        let rule = Augmentation { flip: 0.5, rotate: 30.0, scale: 0.2, shift: 0.1, ..Default::default() };
        for seed in 0..50 {
            let varied = vary(&example(), 32, &rule, &mut ChaCha8Rng::seed_from_u64(seed));
            let agree = varied.grey.iter().zip(&varied.mask).filter(|(g, m)| (**g > 120.0) == (**m > 0.5)).count();
            assert!(agree as f32 > 0.99 * 1024.0, "seed {seed}: {agree} of 1024 pixels agree");
        }
    }
}

//! Pictures that are no scans, drawn: an input gate is shown them as examples of what no model knows.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Drawn pictures of a kind.
const OF_EACH: u64 = 12;

/// Squares [side²] of grey values 0–255: noise fine and coarse, gradients, shapes, pages of text, and the `known` squares cut into
/// pieces and put together anew. The same numbers draw the same pictures.
pub fn drawn(side: usize, known: &[Vec<f32>]) -> Vec<Vec<Vec<f32>>> {
    let each = |draw: &dyn Fn(&mut ChaCha8Rng) -> Vec<f32>, salt: u64| {
        (0..OF_EACH).map(|i| draw(&mut ChaCha8Rng::seed_from_u64(salt * 1000 + i))).collect::<Vec<_>>()
    };
    let mut kinds = vec![
        each(&|rng| noise(rng, side, 1), 1),
        each(
            &|rng| {
                let cell = rng.random_range(3..24);
                noise(rng, side, cell)
            },
            2,
        ),
        each(&|rng| layered(rng, side), 3),
        each(&|rng| page(rng, side), 4),
        each(&|rng| shapes(rng, side), 5),
    ];
    if !known.is_empty() {
        let pieces = |rng: &mut ChaCha8Rng| {
            let chosen = rng.random_range(0..known.len());
            shuffled(rng, &known[chosen], side)
        };
        kinds.push(each(&pieces, 6));
    }
    kinds
}

/// Random values on a grid of cells, interpolated between them.
fn noise(rng: &mut ChaCha8Rng, side: usize, cell: usize) -> Vec<f32> {
    let grid = side / cell + 2;
    let values: Vec<f32> = (0..grid * grid).map(|_| rng.random_range(0.0..255.0)).collect();
    let at = |x: usize, y: usize| {
        let (left, top) = (x / cell, y / cell);
        let (across, down) = ((x % cell) as f32 / cell as f32, (y % cell) as f32 / cell as f32);
        let row = |y: usize| values[y * grid + left] * (1.0 - across) + values[y * grid + left + 1] * across;
        row(top) * (1.0 - down) + row(top + 1) * down
    };
    (0..side * side).map(|i| at(i % side, i / side)).collect()
}

/// Noise of several scales, coarse ones stronger, as in photographs of nature.
fn layered(rng: &mut ChaCha8Rng, side: usize) -> Vec<f32> {
    let mut sum = vec![0.0; side * side];
    for cell in [1, 2, 4, 8, 16, 32, 64] {
        let weight = cell as f32;
        sum.iter_mut().zip(noise(rng, side, cell)).for_each(|(sum, v)| *sum += weight * v);
    }
    let (low, high) = sum.iter().fold((f32::MAX, f32::MIN), |(low, high), v| (low.min(*v), high.max(*v)));
    sum.into_iter().map(|v| (v - low) / (high - low).max(1e-3) * 255.0).collect()
}

/// Lines of short dark strokes on a light ground, or the other way round.
fn page(rng: &mut ChaCha8Rng, side: usize) -> Vec<f32> {
    let (ground, ink) = if rng.random_bool(0.7) { (245.0, 20.0) } else { (5.0, 235.0) };
    let mut square = vec![ground; side * side];
    let size = rng.random_range(4..10);
    let margin = side / 16;
    for top in (margin..side.saturating_sub(margin + size)).step_by(size * 3 / 2 + 1) {
        let mut left = margin;
        while left + size < side - margin {
            let is_space = rng.random_bool(0.18);
            for y in top..top + size {
                for x in left..left + size * 2 / 3 {
                    if !is_space && rng.random_bool(0.5) {
                        square[y * side + x] = ink;
                    }
                }
            }
            left += size * 2 / 3 + 1;
        }
    }
    square
}

/// A gradient with rectangles and discs of one grey each.
fn shapes(rng: &mut ChaCha8Rng, side: usize) -> Vec<f32> {
    let (from, to): (f32, f32) = (rng.random_range(0.0..255.0), rng.random_range(0.0..255.0));
    let mut square: Vec<f32> =
        (0..side * side).map(|i| from + (to - from) * (i % side + i / side) as f32 / (2 * side) as f32).collect();
    for _ in 0..rng.random_range(0..12) {
        let (x, y) = (rng.random_range(0..side) as f32, rng.random_range(0..side) as f32);
        let (radius, grey) = (rng.random_range(3..side / 3) as f32, rng.random_range(0.0..255.0));
        let is_disc = rng.random_bool(0.5);
        for (i, v) in square.iter_mut().enumerate() {
            let (dx, dy) = ((i % side) as f32 - x, (i / side) as f32 - y);
            let inside = if is_disc { dx.hypot(dy) < radius } else { dx.abs() < radius && dy.abs() < radius };
            *v = if inside { grey } else { *v };
        }
    }
    square
}

/// A square cut into four by four pieces that are put together in another order.
fn shuffled(rng: &mut ChaCha8Rng, square: &[f32], side: usize) -> Vec<f32> {
    let piece = side / 4;
    let mut order: Vec<usize> = (0..16).collect();
    for i in (1..16).rev() {
        order.swap(i, rng.random_range(0..=i));
    }
    let from = |i: usize| {
        let (x, y) = (i % side, i / side);
        let (column, row) = ((x / piece).min(3), (y / piece).min(3));
        let source = order[row * 4 + column];
        let (x, y) = (x - column * piece + source % 4 * piece, y - row * piece + source / 4 * piece);
        square[y.min(side - 1) * side + x.min(side - 1)]
    };
    (0..side * side).map(from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_are_varied_in_range_and_always_the_same() {
        let known = vec![(0..64 * 64).map(|i| (i % 251) as f32).collect::<Vec<f32>>()];
        let kinds = drawn(64, &known);
        assert_eq!((kinds.len(), kinds[0].len()), (6, OF_EACH as usize));
        for square in kinds.iter().flatten() {
            assert_eq!(square.len(), 64 * 64);
            assert!(square.iter().all(|v| (0.0..=255.0).contains(v)));
        }
        assert!(kinds == drawn(64, &known) && kinds[0][0] != kinds[0][1]);
        // A picture in pieces has the very same values.
        let sorted = |mut v: Vec<f32>| {
            v.sort_by(f32::total_cmp);
            v
        };
        assert_eq!(sorted(kinds[5][0].clone()), sorted(known[0].clone()));
    }
}

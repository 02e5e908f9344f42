//! Small changes of a picture that should not change what is said of it.

use super::preprocess::{Squares, mirrored};

/// A change of the square that a network sees.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Variation {
    /// Left and right change places.
    Mirror,
    /// The picture moves by these shares of the side, down and to the right.
    Shift { down: f32, right: f32 },
    /// The picture grows about its centre by this factor.
    Zoom(f32),
    /// Grey values are multiplied by this factor.
    Contrast(f32),
}

/// Variations that are tried beside the picture itself: no more than patients move, scanners differ and readers crop.
pub const VARIATIONS: [Variation; 7] = [
    Variation::Mirror,
    Variation::Shift { down: 0.03, right: 0.03 },
    Variation::Shift { down: -0.03, right: -0.03 },
    Variation::Zoom(1.08),
    Variation::Zoom(0.92),
    Variation::Contrast(1.15),
    Variation::Contrast(0.85),
];

/// Largest grey value of a square.
const WHITE: f32 = 255.0;

impl Variation {
    /// The changed squares of one slice; `side` is theirs in pixels.
    pub fn of(self, squares: &Squares, side: usize) -> Squares {
        let change = |square: &Vec<f32>| self.apply(square, side);
        Squares {
            own: change(&squares.own),
            beside: squares.beside.each_ref().map(|square| square.as_ref().map(change)),
        }
    }

    fn apply(self, square: &[f32], side: usize) -> Vec<f32> {
        match self {
            Variation::Mirror => mirrored(square, side, 1),
            Variation::Contrast(factor) => square.iter().map(|grey| (grey * factor).min(WHITE)).collect(),
            Variation::Shift { .. } | Variation::Zoom(_) => self.moved(square, side, false, |_| 0.0),
        }
    }

    /// Brings a map [side²] of the changed picture back to the place of the picture itself; where the changed picture had nothing,
    /// `own` stands.
    pub fn undo(self, map: &[f32], side: usize, own: &[f32]) -> Vec<f32> {
        match self {
            Variation::Mirror => mirrored(map, side, 1),
            Variation::Contrast(_) => map.to_vec(),
            Variation::Shift { .. } | Variation::Zoom(_) => self.moved(map, side, true, |at| own[at]),
        }
    }

    /// Where the value at a place of the changed picture comes from, in pixels; with `back` the other way round.
    fn source(self, (x, y): (f32, f32), side: f32, back: bool) -> (f32, f32) {
        let sign = if back { 1.0 } else { -1.0 };
        match self {
            Variation::Shift { down, right } => (x + sign * right * side, y + sign * down * side),
            Variation::Zoom(factor) => {
                let (centre, scale) = ((side - 1.0) / 2.0, if back { factor } else { 1.0 / factor });
                (centre + (x - centre) * scale, centre + (y - centre) * scale)
            }
            Variation::Mirror | Variation::Contrast(_) => (x, y),
        }
    }

    /// Values taken from where they come from, interpolated between four pixels; `outside` gives those of places (row by row) whose
    /// source lies outside.
    fn moved(self, values: &[f32], side: usize, back: bool, outside: impl Fn(usize) -> f32) -> Vec<f32> {
        let last = side.saturating_sub(1);
        let value = |at: usize| {
            let (x, y) = self.source(((at % side) as f32, (at / side) as f32), side as f32, back);
            if x < 0.0 || y < 0.0 || x > last as f32 || y > last as f32 {
                return outside(at);
            }
            let (left, top) = (x as usize, y as usize);
            let (right, bottom) = ((left + 1).min(last), (top + 1).min(last));
            let (across, down) = (x - left as f32, y - top as f32);
            let row = |y: usize| values[y * side + left] * (1.0 - across) + values[y * side + right] * across;
            row(top) * (1.0 - down) + row(bottom) * down
        };
        (0..side * side).map(value).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A bright disc that no variation pushes over the edge.
    fn disc(side: usize) -> Vec<f32> {
        let centre = side as f32 / 2.0 - 3.0;
        let at = |i: usize| ((i % side) as f32 - centre, (i / side) as f32 - centre - 4.0);
        (0..side * side).map(at).map(|(x, y)| if x.hypot(y) < 12.0 { 200.0 } else { 20.0 }).collect()
    }

    /// Undoing brings every pixel back but for the blur of interpolation at the disc's edge: within 2.5 grey values on average, where the wrong way would leave 6.
    #[test]
    fn what_is_done_is_undone() {
        let side = 64;
        let square = disc(side);
        for variation in VARIATIONS.into_iter().filter(|v| !matches!(v, Variation::Contrast(_))) {
            let changed = variation.apply(&square, side);
            let moved = changed.iter().zip(&square).filter(|(a, b)| (*a - *b).abs() > 50.0).count();
            assert!(moved > 20, "{variation:?} moved {moved} pixels");
            let back = variation.undo(&changed, side, &square);
            let off: f32 = back.iter().zip(&square).map(|(a, b)| (a - b).abs()).sum::<f32>() / square.len() as f32;
            assert!(off < 2.5, "{variation:?}: off by {off}");
        }
    }

    #[test]
    fn a_shift_moves_by_its_share_and_a_contrast_multiplies() {
        let mut square = vec![0.0; 100 * 100];
        square[50 * 100 + 40] = 100.0;
        let moved = Variation::Shift { down: 0.03, right: 0.03 }.apply(&square, 100);
        assert_eq!(moved.iter().position(|v| *v == 100.0), Some(53 * 100 + 43));
        assert_eq!(Variation::Contrast(1.15).apply(&[100.0, 250.0], 1), [115.0, 255.0]);
    }
}

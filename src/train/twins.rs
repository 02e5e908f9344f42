//! Pictures that stand in two parts of the data, perhaps turned or mirrored: public sets copy from each other.

use super::cache::Pixels;
use super::dataset::Dataset;
use super::error::TrainError;
use super::sources::Part;
use crate::domain::card::InputSpec;
use crate::domain::resample::resize;
use rayon::prelude::*;

/// Side of the small pictures that are compared first.
const COARSE: usize = 16;
/// Side of the pictures that decide.
const FINE: usize = 64;
/// Least correlation of small pictures. Different heads in one plane reach it too.
const ALIKE: f32 = 0.97;
/// Least correlation of details, which no two different heads reach.
const SAME: f32 = 0.9;

/// A picture for validation or test, and the training picture that it is a copy of; both are indices of examples.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Twins {
    pub measured: usize,
    pub trained: usize,
    /// Correlation of their details, up to 1.
    pub likeness: f32,
}

/// The likest training picture of each picture for validation or test that is a copy of one, over its eight turns and mirror images.
///
/// # Errors
/// If the cache was cut short or removed meanwhile.
pub fn across_parts(data: &Dataset, input: &InputSpec) -> Result<Vec<Twins>, TrainError> {
    let sketch = |index: usize| Ok((index, Sketch::of(&data.seen(index, input, true)?.picture)));
    let sketches = |part: Part| -> Result<Vec<(usize, Sketch)>, TrainError> {
        let all: Vec<(usize, Option<Sketch>)> =
            data.part(part).into_par_iter().map(sketch).collect::<Result<_, TrainError>>()?;
        Ok(all.into_iter().filter_map(|(index, sketch)| Some((index, sketch?))).collect())
    };
    let trained = sketches(Part::Train)?;
    let measured = [sketches(Part::Validation)?, sketches(Part::Test)?].concat();
    let twin = |(index, sketch): &(usize, Sketch)| {
        let turns = sketch.turns();
        let likeness = |other: &Sketch| {
            let alike = turns.iter().filter(|turn| correlation(&turn.coarse, &other.coarse) >= ALIKE);
            alike.map(|turn| correlation(&turn.fine, &other.fine)).fold(0.0, f32::max)
        };
        let best = trained.iter().map(|(trained, other)| (*trained, likeness(other)));
        let (trained, likeness) = best.max_by(|a, b| a.1.total_cmp(&b.1))?;
        (likeness >= SAME).then_some(Twins { measured: *index, trained, likeness })
    };
    Ok(measured.par_iter().filter_map(twin).collect())
}

/// A picture at two sizes, each of mean 0 and norm 1.
#[derive(Debug, Clone)]
struct Sketch {
    coarse: Vec<f32>,
    /// Details alone: each block of 4×4 pixels less its mean.
    fine: Vec<f32>,
}

impl Sketch {
    /// `None` for a picture without contrast.
    fn of(pixels: &Pixels) -> Option<Self> {
        let grey: Vec<f32> = pixels.grey.iter().map(|v| f32::from(*v)).collect();
        let at = |side: usize| resize(&grey, (pixels.side, pixels.side), (side, side));
        let fine = at(FINE);
        let blocks = resize(&fine, (FINE, FINE), (COARSE, COARSE));
        let details = (0..FINE * FINE).map(|i| fine[i] - blocks[i / FINE / 4 * COARSE + i % FINE / 4]).collect();
        Some(Self { coarse: normed(at(COARSE))?, fine: normed(details)? })
    }

    /// The picture in its eight turns and mirror images.
    fn turns(&self) -> Vec<Sketch> {
        let mut all = vec![self.clone()];
        for turn in [quarter, quarter, quarter] {
            let last = &all[all.len() - 1];
            all.push(Sketch { coarse: turn(&last.coarse, COARSE), fine: turn(&last.fine, FINE) });
        }
        let mirrored =
            all.iter().map(|s| Sketch { coarse: mirrored(&s.coarse, COARSE), fine: mirrored(&s.fine, FINE) });
        let mirrored: Vec<Sketch> = mirrored.collect();
        [all, mirrored].concat()
    }
}

/// Values less their mean, divided by their norm; `None` if they are all alike.
fn normed(mut values: Vec<f32>) -> Option<Vec<f32>> {
    let mean = values.iter().sum::<f32>() / values.len() as f32;
    values.iter_mut().for_each(|v| *v -= mean);
    let norm = values.iter().map(|v| v * v).sum::<f32>().sqrt();
    (norm > 1e-3).then(|| values.iter().map(|v| v / norm).collect())
}

fn correlation(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// A square turned by 90°.
fn quarter(values: &[f32], side: usize) -> Vec<f32> {
    (0..side * side).map(|i| values[(side - 1 - i % side) * side + i / side]).collect()
}

/// A square with each row from right to left.
fn mirrored(values: &[f32], side: usize) -> Vec<f32> {
    values.chunks_exact(side).flat_map(|row| row.iter().rev().copied()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    /// A disc of random tissue.
    fn head(seed: u64) -> Pixels {
        let (side, mut rng) = (96, ChaCha8Rng::seed_from_u64(seed));
        let tissue: Vec<f32> = (0..24 * 24).map(|_| rng.random_range(60.0..200.0)).collect();
        let tissue = resize(&tissue, (24, 24), (side, side));
        let is_head = |i: usize| (i % side).abs_diff(48).pow(2) + (i / side).abs_diff(48).pow(2) < 40 * 40;
        let grey = (0..side * side).map(|i| if is_head(i) { tissue[i] as u8 } else { 0 }).collect();
        Pixels { side, grey, mask: Vec::new() }
    }

    fn likeness(a: &Pixels, b: &Pixels) -> f32 {
        let (a, b) = (Sketch::of(a).unwrap(), Sketch::of(b).unwrap());
        let alike = a.turns().into_iter().filter(|turn| correlation(&turn.coarse, &b.coarse) >= ALIKE);
        alike.map(|turn| correlation(&turn.fine, &b.fine)).fold(0.0, f32::max)
    }

    #[test]
    fn a_copy_is_known_turned_mirrored_and_brighter_and_another_head_is_not() {
        let original = head(1);
        let side = original.side;
        let turned = |f: &dyn Fn(usize, usize) -> usize, gain: f32| Pixels {
            grey: (0..side * side).map(|i| (f32::from(original.grey[f(i % side, i / side)]) * gain) as u8).collect(),
            ..original.clone()
        };
        assert!(likeness(&original, &turned(&|x, y| y * side + side - 1 - x, 0.8)) > SAME, "mirrored");
        assert!(likeness(&original, &turned(&|x, y| x * side + y, 1.0)) > SAME, "transposed");
        assert!(likeness(&original, &turned(&|x, y| (side - 1 - y) * side + x, 0.9)) > SAME, "upside down");
        for seed in 2..8 {
            let other = likeness(&original, &head(seed));
            assert!(other < SAME, "head {seed} is {other} like the first");
        }
    }

    #[test]
    fn a_blank_picture_is_no_copy_of_a_blank_picture() {
        assert!(Sketch::of(&Pixels { side: 96, grey: vec![7; 96 * 96], mask: Vec::new() }).is_none());
    }
}

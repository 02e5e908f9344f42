//! Why a classifier answered as it did, by occlusion (Zeiler & Fergus 2014): places are covered one after the other, and the model is
//! asked again.

use super::explaining::explanation;
use super::model::{Model, ModelError};
use super::preprocess::{self, Squares};
use crate::domain::explanation::{Explanation, Method, on_square};
use crate::domain::prediction::Classification;
use crate::domain::study::Neighbourhood;

/// Places along each side of the square.
const PLACES: usize = 14;
/// Side of the cover, in places.
const COVER: usize = 3;
/// Pictures that the network is asked about together.
const TOGETHER: usize = 8;
/// Grey value 0–255 below which a pixel is background.
const CONTENT: f32 = 16.0;
/// Probabilities nearer to 0 or 1 than this are not told apart.
const SURE: f64 = 1e-7;

impl Model {
    /// Explains what the model `said` of a slice. What lies under a cover speaks for the class by as much as the class's log odds fall
    /// when it is covered with the picture's middle grey. `progress` is told of covers done and to do.
    ///
    /// # Errors
    /// When cancelled, or when the network fails.
    pub fn occlusion(
        &self,
        seen: &Neighbourhood,
        said: &Classification,
        progress: &dyn Fn(usize, usize),
        cancelled: &(dyn Fn() -> bool + Sync),
    ) -> Result<Explanation, ModelError> {
        let spec = &self.card().input;
        let side = spec.side;
        let squares = preprocess::squares(seen, spec);
        let covers: Vec<Cover> = all_covers().filter(|cover| cover.shows(&squares.own, side)).collect();
        let own = self.log_odds(std::slice::from_ref(&squares), said, cancelled)?;
        let own = own.first().copied().unwrap_or_default();
        let (mut sums, mut counts) = (vec![0.0; PLACES * PLACES], vec![0usize; PLACES * PLACES]);
        for (done, group) in covers.chunks(TOGETHER).enumerate() {
            progress(done * TOGETHER, covers.len());
            let covered: Vec<Squares> = group.iter().map(|cover| cover.of(&squares, side)).collect();
            for (cover, odds) in group.iter().zip(self.log_odds(&covered, said, cancelled)?) {
                for place in cover.places() {
                    sums[place] += own - odds;
                    counts[place] += 1;
                }
            }
        }
        let mean = |(sum, count): (&f64, &usize)| (sum / (*count).max(1) as f64).max(0.0) as f32;
        let heat: Vec<f32> = sums.iter().zip(&counts).map(mean).collect();
        let square = on_square(&heat, (PLACES, PLACES), side);
        Ok(explanation(self.card(), seen, said, square, (Method::Occlusion, None, Vec::new())))
    }

    /// Log odds of the class that decides, for each of these.
    fn log_odds(
        &self,
        pictures: &[Squares],
        said: &Classification,
        cancelled: &(dyn Fn() -> bool + Sync),
    ) -> Result<Vec<f64>, ModelError> {
        let class = said.deciding();
        let inputs: Vec<Vec<f32>> =
            pictures.iter().map(|squares| preprocess::input_of(squares, &self.card().input)).collect();
        let answers = self.infer(inputs.concat(), pictures.len(), cancelled)?.0;
        let odds = |answer: &Vec<f32>| {
            let p = f64::from(answer.get(class).copied().unwrap_or_default()).clamp(SURE, 1.0 - SURE);
            (p / (1.0 - p)).ln()
        };
        Ok(answers.iter().map(odds).collect())
    }
}

/// A cover, by the place of its corner.
struct Cover {
    row: usize,
    column: usize,
}

fn all_covers() -> impl Iterator<Item = Cover> {
    let last = PLACES - COVER;
    (0..=last).flat_map(move |row| (0..=last).map(move |column| Cover { row, column }))
}

impl Cover {
    /// Places under the cover.
    fn places(&self) -> impl Iterator<Item = usize> {
        let (row, column) = (self.row, self.column);
        (row..row + COVER).flat_map(move |r| (column..column + COVER).map(move |c| r * PLACES + c))
    }

    /// Pixels under the cover, row by row on a square of `side`.
    fn pixels(&self, side: usize) -> impl Iterator<Item = usize> {
        let edge = move |place: usize| place * side / PLACES;
        let (left, right) = (edge(self.column), edge(self.column + COVER));
        (edge(self.row)..edge(self.row + COVER)).flat_map(move |y| (left..right).map(move |x| y * side + x))
    }

    /// Whether there is anything under the cover.
    fn shows(&self, square: &[f32], side: usize) -> bool {
        self.pixels(side).any(|at| square[at] >= CONTENT)
    }

    /// The squares with the cover over them.
    fn of(&self, squares: &Squares, side: usize) -> Squares {
        let cover = |square: &Vec<f32>| {
            let grey = middle(square);
            let mut covered = square.clone();
            self.pixels(side).for_each(|at| covered[at] = grey);
            covered
        };
        Squares { own: cover(&squares.own), beside: squares.beside.each_ref().map(|s| s.as_ref().map(cover)) }
    }
}

/// The median of what is no background; 0 without any.
fn middle(square: &[f32]) -> f32 {
    let mut content: Vec<f32> = square.iter().copied().filter(|v| *v >= CONTENT).collect();
    content.sort_by(f32::total_cmp);
    content.get(content.len() / 2).copied().unwrap_or_default()
}

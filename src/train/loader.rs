//! Examples as the network takes them, and batches made ahead while the last one is trained on.

use super::augment::{self, Varied};
use super::dataset::Dataset;
use super::error::TrainError;
use super::recipe::Recipe;
use crate::domain::card::Task;
use crate::models::preprocess;
use candle_core::{Device, Tensor};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

/// Batches that wait ready at most.
const AHEAD: usize = 2;

/// Input [n, side, side, channels] and target: [n, side, side, 1] for masks, [n, 1] for yes or no, one-hot [n, classes].
pub struct Batch {
    pub input: Tensor,
    pub target: Tensor,
}

/// Makes one of pictures already varied or resized.
pub fn assemble(
    pictures: &[Varied],
    labels: &[usize],
    recipe: &Recipe,
    side: usize,
    device: &Device,
) -> Result<Batch, TrainError> {
    let n = pictures.len();
    let input: Vec<Vec<f32>> =
        pictures.par_iter().map(|picture| preprocess::scaled(&picture.grey, &recipe.input)).collect();
    let input = Tensor::from_vec(input.concat(), (n, side, side, recipe.input.channels), device)?;
    let target = match recipe.task {
        Task::Segmentation => {
            let masks: Vec<f32> = pictures.iter().flat_map(|p| p.mask.iter().copied()).collect();
            Tensor::from_vec(masks, (n, side, side, 1), device)?
        }
        // The sigmoid speaks of the first class.
        Task::Binary => {
            Tensor::from_iter(labels.iter().map(|l| if *l == 0 { 1f32 } else { 0.0 }), device)?.reshape((n, 1))?
        }
        Task::Multiclass => {
            let classes = recipe.card.classes.len();
            let hot = labels.iter().flat_map(|l| (0..classes).map(move |c| if c == *l { 1f32 } else { 0.0 }));
            Tensor::from_iter(hot, device)?.reshape((n, classes))?
        }
    };
    Ok(Batch { input, target })
}

/// Makes batches of varied pictures.
pub struct Loader<'a> {
    pub recipe: &'a Recipe,
    pub data: &'a Dataset,
    pub side: usize,
    pub device: &'a Device,
    /// Generator for the example at a place of the epoch.
    pub rng: &'a (dyn Fn(u64) -> ChaCha8Rng + Sync),
}

impl Loader<'_> {
    fn batch(&self, first: usize, items: &[usize]) -> Result<Batch, TrainError> {
        let vary = |(i, item): (usize, &usize)| {
            let mut rng = (self.rng)((first + i) as u64);
            Ok(augment::vary(&self.data.pixels(*item)?, self.side, &self.recipe.augment, &mut rng))
        };
        let pictures: Vec<Varied> = items.par_iter().enumerate().map(vary).collect::<Result<_, TrainError>>()?;
        let labels: Vec<usize> = items.iter().map(|i| self.data.items[*i].label).collect();
        assemble(&pictures, &labels, self.recipe, self.side, self.device)
    }

    /// Hands `batches`, whose first example is the epoch's number `first`, to `take` one by one in order; the next ones are made
    /// meanwhile. Ends early with the first error of either.
    pub fn each(
        &self,
        mut first: usize,
        batches: &[&[usize]],
        mut take: impl FnMut(Batch) -> Result<(), TrainError>,
    ) -> Result<(), TrainError> {
        let (ready, waiting) = crossbeam_channel::bounded(AHEAD);
        std::thread::scope(|scope| {
            scope.spawn(move || {
                for items in batches {
                    let batch = self.batch(first, items);
                    first += items.len();
                    // Nobody waits any more after an error.
                    if ready.send(batch).is_err() {
                        return;
                    }
                }
            });
            // Dropped on the way out, before the scope waits for the maker.
            let waiting = waiting;
            for batch in &waiting {
                take(batch?)?;
            }
            Ok(())
        })
    }
}

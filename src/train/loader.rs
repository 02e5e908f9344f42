//! Examples as the network takes them, and batches made ahead while the last one is trained on.

use super::augment::{self, Varied};
use super::cache::Pixels;
use super::dataset::{Dataset, Seen};
use super::error::TrainError;
use super::lesions::Lesions;
use super::recipe::Recipe;
use super::strip;
use super::supervision::Supervised;
use crate::domain::card::{Scale, Sequence, Task};
use crate::models::preprocess;
use candle_core::{Device, Tensor};
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

/// Batches that wait ready at most.
const AHEAD: usize = 2;

/// Input [n, side, side, channels] and target: [n, side, side, 1] for masks, [n, 1] for yes or no, one-hot [n, classes].
pub struct Batch {
    pub input: Tensor,
    pub target: Tensor,
}

/// An example at the network's size.
pub struct Example {
    picture: Varied,
    /// Grey values of the slices before and after, or of the other sequences, for recipes that want them.
    beside: [Option<Vec<f32>>; 2],
}

impl Example {
    /// `seen` as `make` varies or resizes its slices, all alike.
    pub fn new(seen: Seen, make: impl Fn(&Pixels) -> Varied) -> Self {
        let Seen { picture, beside } = seen;
        // Nobody asks for the outlines of neighbours.
        let grey = |pixels: Pixels| make(&Pixels { mask: Vec::new(), ..pixels }).grey;
        Self { picture: make(&picture), beside: beside.map(|pixels| pixels.map(grey)) }
    }

    /// [side, side, channels]
    fn input(&self, recipe: &Recipe) -> Vec<f32> {
        let scaled = |grey: &Vec<f32>| preprocess::scaled(grey, &recipe.input);
        let beside = self.beside.each_ref().map(|grey| grey.as_ref().map(scaled));
        preprocess::among(scaled(&self.picture.grey), beside)
    }
}

/// Makes one of examples.
pub fn assemble(
    examples: &[Example],
    labels: &[usize],
    recipe: &Recipe,
    side: usize,
    device: &Device,
) -> Result<Batch, TrainError> {
    let n = examples.len();
    let input: Vec<Vec<f32>> = examples.par_iter().map(|example| example.input(recipe)).collect();
    let input = Tensor::from_vec(input.concat(), (n, side, side, recipe.input.channels), device)?;
    let target = match recipe.task {
        Task::Segmentation => {
            let masks: Vec<f32> = examples.iter().flat_map(|e| e.picture.mask.iter().copied()).collect();
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
    pub lesions: &'a Lesions,
    pub network: &'a Supervised,
    pub device: &'a Device,
    /// Generator for the example at a place of the epoch.
    pub rng: &'a (dyn Fn(u64) -> ChaCha8Rng + Sync),
}

impl Loader<'_> {
    /// Batch and what the heads of deep supervision should say of it.
    fn batch(&self, first: usize, items: &[usize]) -> Result<(Batch, Vec<Tensor>), TrainError> {
        let rule = &self.recipe.augment;
        let vary = |(i, item): (usize, &usize)| {
            let mut rng = (self.rng)((first + i) as u64);
            let input = &self.recipe.input;
            // Drawn only where it matters, so that other recipes' examples stay the same.
            let has_company = input.neighbours || input.sequence == Sequence::Three;
            let alone = has_company && rng.random::<f32>() < rule.alone;
            let mut seen = self.data.seen(*item, input, alone)?;
            self.lesions.vary(&mut seen, *item, (self.data, input), &mut rng)?;
            let strips = rule.strip > 0.0 && rng.random::<f32>() < rule.strip && strip::strip(&mut seen, &mut rng);
            if input.scale == Scale::Head && (alone || strips) {
                strip::renormalise(&mut seen);
            }
            // From one state of the generator: all slices of an example are varied alike.
            Ok(Example::new(seen, |pixels| augment::vary(pixels, self.side, rule, &mut rng.clone())))
        };
        let examples: Vec<Example> = items.par_iter().enumerate().map(vary).collect::<Result<_, TrainError>>()?;
        let labels: Vec<usize> = items.iter().map(|i| self.data.items[*i].label).collect();
        let outlines: Vec<&[f32]> = examples.iter().map(|example| example.picture.mask.as_slice()).collect();
        let inner = self.network.targets(&outlines, self.side, self.device)?;
        Ok((assemble(&examples, &labels, self.recipe, self.side, self.device)?, inner))
    }

    /// Hands `batches`, whose first example is the epoch's number `first`, to `take` one by one in order; the next ones are made
    /// meanwhile. Ends early with the first error of either.
    pub fn each(
        &self,
        mut first: usize,
        batches: &[&[usize]],
        mut take: impl FnMut(Batch, Vec<Tensor>) -> Result<(), TrainError>,
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
                let (batch, inner) = batch?;
                take(batch, inner)?;
            }
            Ok(())
        })
    }
}

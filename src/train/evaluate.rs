//! Runs a network over labelled slices.

use super::augment;
use super::calibration::{self, Overlaps};
use super::dataset::Dataset;
use super::error::TrainError;
use super::loader::{self, Example};
use super::recipe::Recipe;
use crate::domain::card::Task;
use crate::models::preprocess;
use candle_core::{DType, Device, Tensor};
use lesionlens_nn::exec::Parameters;
use lesionlens_nn::graph::Graph;
use lesionlens_nn::network::{Network, Runner};
use lesionlens_nn::plan::isa::Isa;
use rayon::prelude::*;

/// Slices per batch.
const BATCH: usize = 16;

/// What a network said of one slice.
#[derive(Debug, Clone, PartialEq)]
pub struct SliceResult {
    pub patient: String,
    pub file: String,
    /// Index of the recipe's source.
    pub source: usize,
    /// Index of the true class; 0 is tumour for yes-or-no models and segmenters.
    pub label: usize,
    /// Of every class for a softmax; one, of the first class, for yes or no; none of a segmenter.
    pub logits: Vec<f64>,
    /// Of a segmenter only.
    pub overlaps: Option<Overlaps>,
}

/// A network with what it takes to run it over labelled slices.
pub struct Evaluator<'a> {
    pub graph: &'a Graph,
    pub parameters: &'a Parameters,
    pub recipe: &'a Recipe,
    pub data: &'a Dataset,
    pub device: &'a Device,
}

impl Evaluator<'_> {
    /// Answers for these examples, in order; `progress` is told of every batch.
    ///
    /// # Errors
    /// If the cache cannot be read or an answer is no number.
    pub fn run(&self, examples: &[usize], mut progress: impl FnMut(usize)) -> Result<Vec<SliceResult>, TrainError> {
        let logits = self.graph.up_to(self.graph.logits());
        // In f32 whatever runs by default: figures must not depend on the processor.
        let runner = match Runner::of(self.device) {
            Runner::Cpu(_) => Runner::Cpu(Some(Isa::exact())),
            gpu => gpu,
        };
        let network = Network::new(&logits, self.parameters.clone(), &runner)?;
        let mut out = Vec::with_capacity(examples.len());
        for chunk in examples.chunks(BATCH) {
            out.extend(self.batch(&network, chunk)?);
            progress(chunk.len());
        }
        Ok(out)
    }

    fn batch(&self, network: &Network, examples: &[usize]) -> Result<Vec<SliceResult>, TrainError> {
        let side = self.graph.input_shape().rows();
        let plain = |i: &usize| -> Result<Example, TrainError> {
            let seen = self.data.seen(*i, &self.recipe.input, false)?;
            Ok(Example::new(seen, |pixels| augment::plain(pixels, side)))
        };
        let pictures: Vec<Example> = examples.par_iter().map(plain).collect::<Result<_, TrainError>>()?;
        let labels: Vec<usize> = examples.iter().map(|i| self.data.items[*i].label).collect();
        let batch = loader::assemble(&pictures, &labels, self.recipe, side, self.device)?;
        let segments = self.recipe.task == Task::Segmentation;
        let mut logits = infer(network, &batch.input)?;
        if self.recipe.input.mirrored {
            // Columns are the third axis.
            let others = infer(network, &batch.input.flip(&[2])?)?;
            for (own, other) in logits.iter_mut().zip(others) {
                *own = if segments {
                    let other = preprocess::mirrored(&other, side, 1);
                    own.iter().zip(&other).map(|(a, b)| mean_logit(*a, *b)).collect()
                } else {
                    mean_of(own, &other)
                };
            }
        }
        let truth = batch.target.flatten_from(1)?.to_vec2::<f32>()?;
        let results = examples.iter().zip(&logits).zip(&truth).map(|((example, logits), truth)| {
            let item = &self.data.items[*example];
            SliceResult {
                patient: item.patient.clone(),
                file: item.page.name(),
                source: item.source,
                label: item.label,
                logits: if segments { Vec::new() } else { logits.iter().map(|z| f64::from(*z)).collect() },
                overlaps: segments.then(|| Overlaps::of(logits, truth)),
            }
        });
        Ok(results.collect())
    }
}

/// A row of logits an example.
fn infer(network: &Network, input: &Tensor) -> Result<Vec<Vec<f32>>, TrainError> {
    let logits = network.infer(input, &|| false)?.flatten_from(1)?.to_dtype(DType::F32)?.to_vec2::<f32>()?;
    if logits.iter().flatten().any(|z| !z.is_finite()) {
        return Err(TrainError::NotANumber);
    }
    Ok(logits)
}

/// Logits of the mean of two answers' probabilities, as a model gives it whose card says `mirrored`.
fn mean_of(a: &[f32], b: &[f32]) -> Vec<f32> {
    if let ([a], [b]) = (a, b) {
        return vec![mean_logit(*a, *b)];
    }
    let each = [a, b].map(|z| calibration::probabilities(&z.iter().map(|z| f64::from(*z)).collect::<Vec<_>>(), 1.0));
    each[0].iter().zip(&each[1]).map(|(a, b)| ((a + b) / 2.0).max(f64::MIN_POSITIVE).ln() as f32).collect()
}

/// Logit of the mean of two sigmoids.
fn mean_logit(a: f32, b: f32) -> f32 {
    let sum = |a: f32, b: f32| [a, b].map(|z| 1.0 / (1.0 + (-f64::from(z)).exp())).iter().sum::<f64>();
    (sum(a, b).max(f64::MIN_POSITIVE).ln() - sum(-a, -b).max(f64::MIN_POSITIVE).ln()) as f32
}

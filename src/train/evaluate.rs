//! Runs a network over labelled slices and sums up per slice and per patient.

use super::augment;
use super::dataset::Example;
use super::error::TrainError;
use crate::domain::card::{InputSpec, Level, Metric, Task};
use crate::domain::metrics::{self, Scored};
use crate::models::preprocess;
use crate::nn::exec::{Network, Parameters, Runner};
use crate::nn::graph::Graph;
use crate::nn::plan::isa::Isa;
use candle_core::{DType, Device, Tensor};
use std::collections::BTreeMap;

/// Slices per batch.
const BATCH: usize = 16;

/// What the network said of one slice.
#[derive(Debug, Clone)]
pub struct SliceResult {
    pub patient: String,
    pub file: String,
    pub positive: bool,
    /// Logit of a classifier; the largest pixel logit of a segmenter.
    pub logit: f64,
    /// Pixels in both masks, in the prediction, in the truth, at probability ½; zero for classifiers.
    pub overlap: [usize; 3],
}

/// A batch as the network takes it: input and target.
pub fn batch(
    pictures: &[augment::Varied],
    positive: &[bool],
    spec: &InputSpec,
    task: Task,
    device: &Device,
) -> Result<(Tensor, Tensor), TrainError> {
    let n = pictures.len();
    let side = (pictures[0].grey.len() as f64).sqrt() as usize;
    let input: Vec<f32> = pictures.iter().flat_map(|p| preprocess::scaled(&p.grey, spec)).collect();
    let input = Tensor::from_vec(input, (n, side, side, spec.channels), device)?;
    let target = match task {
        Task::Segmentation => {
            let masks: Vec<f32> = pictures.iter().flat_map(|p| p.mask.iter().copied()).collect();
            Tensor::from_vec(masks, (n, side, side, 1), device)?
        }
        Task::Binary | Task::Multiclass => {
            let labels: Vec<f32> = positive.iter().map(|p| f32::from(u8::from(*p))).collect();
            Tensor::from_vec(labels, (n, 1), device)?
        }
    };
    Ok((input, target))
}

/// A network with what it takes to run it over labelled slices.
pub struct Evaluator<'a> {
    pub graph: &'a Graph,
    pub parameters: &'a Parameters,
    pub spec: &'a InputSpec,
    pub task: Task,
    pub device: &'a Device,
}

impl Evaluator<'_> {
    /// Logits of every example, in order; `progress` is told of every batch.
    pub fn run(&self, examples: &[&Example], mut progress: impl FnMut(usize)) -> Result<Vec<SliceResult>, TrainError> {
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

    fn batch(&self, network: &Network, examples: &[&Example]) -> Result<Vec<SliceResult>, TrainError> {
        let side = self.graph.input_shape().rows();
        let pictures: Vec<_> = examples.iter().map(|e| augment::plain(e, side)).collect();
        let positive: Vec<bool> = examples.iter().map(|e| e.is_positive()).collect();
        let (x, target) = batch(&pictures, &positive, self.spec, self.task, self.device)?;
        let logits = network.infer(&x, &|| false)?.flatten_from(1)?.to_dtype(DType::F32)?.to_vec2::<f32>()?;
        let truth = target.flatten_from(1)?.to_vec2::<f32>()?;
        let results = examples.iter().zip(&logits).zip(&truth).map(|((example, logits), truth)| SliceResult {
            patient: example.patient.clone(),
            file: example.file.clone(),
            positive: example.is_positive(),
            logit: f64::from(logits.iter().copied().fold(f32::NEG_INFINITY, f32::max)),
            overlap: match self.task {
                Task::Segmentation => overlap(logits, truth),
                Task::Binary | Task::Multiclass => [0; 3],
            },
        });
        Ok(results.collect())
    }
}

/// Pixels in both masks, in the prediction (logit ≥ 0), in the truth.
fn overlap(logits: &[f32], truth: &[f32]) -> [usize; 3] {
    let count = |inside: fn(f32, f32) -> bool| logits.iter().zip(truth).filter(|(z, t)| inside(**z, **t)).count();
    [count(|z, t| z >= 0.0 && t > 0.5), count(|z, _| z >= 0.0), count(|_, t| t > 0.5)]
}

/// Slices as scored probabilities, logits divided by `temperature`.
pub fn scores<'a>(results: impl IntoIterator<Item = &'a SliceResult>, temperature: f64) -> Vec<Scored> {
    let scored =
        |r: &SliceResult| Scored { probability: 1.0 / (1.0 + (-r.logit / temperature).exp()), positive: r.positive };
    results.into_iter().map(scored).collect()
}

/// Slices by patient.
pub fn by_patient(results: &[SliceResult]) -> Vec<(String, Vec<SliceResult>)> {
    let mut map: BTreeMap<String, Vec<SliceResult>> = BTreeMap::new();
    for result in results {
        map.entry(result.patient.clone()).or_default().push(result.clone());
    }
    map.into_iter().collect()
}

/// Dice over all pixels of one patient; `None` when neither mask has any.
pub fn patient_dice(slices: &[SliceResult]) -> Option<f64> {
    let sum = |i: usize| slices.iter().map(|s| s.overlap[i]).sum::<usize>();
    let total = sum(1) + sum(2);
    (total > 0).then(|| 2.0 * sum(0) as f64 / total as f64)
}

/// A figure with its bootstrap interval over patients.
pub fn metric(
    results: &[SliceResult],
    statistic: impl Fn(&[&(String, Vec<SliceResult>)]) -> Option<f64>,
) -> Option<Metric> {
    let patients = by_patient(results);
    if patients.is_empty() {
        return None;
    }
    let value = statistic(&patients.iter().collect::<Vec<_>>())?;
    Some(Metric {
        value,
        ci95: metrics::bootstrap_ci95(&patients, |drawn| statistic(drawn)),
        n_patients: patients.len(),
        level: Level::Patient,
    })
}

/// Figures of a segmenter: Dice per patient, mean and median.
pub fn segmentation_metrics(results: &[SliceResult]) -> BTreeMap<String, Metric> {
    let dices = |p: &[&(String, Vec<SliceResult>)]| p.iter().filter_map(|(_, s)| patient_dice(s)).collect::<Vec<_>>();
    [
        ("dice_mean", metric(results, |p| metrics::mean(&dices(p)))),
        ("dice_median", metric(results, |p| metrics::median(&dices(p)))),
    ]
    .into_iter()
    .filter_map(|(name, metric)| Some((name.to_string(), metric?)))
    .collect()
}

/// Figures of a classifier at `threshold`, by slice but with patients as the unit of resampling.
pub fn classification_metrics(results: &[SliceResult], temperature: f64, threshold: f64) -> BTreeMap<String, Metric> {
    let pooled = |p: &[&(String, Vec<SliceResult>)]| scores(p.iter().flat_map(|(_, s)| s), temperature);
    let point = |p: &[&(String, Vec<SliceResult>)]| metrics::operating_point(&pooled(p), threshold);
    [
        ("auc", metric(results, |p| metrics::auc(&pooled(p)))),
        ("recall", metric(results, |p| Some(point(p).recall))),
        ("precision", metric(results, |p| Some(point(p).precision))),
        ("specificity", metric(results, |p| Some(point(p).specificity))),
        ("ece", metric(results, |p| Some(metrics::expected_calibration_error(&pooled(p))))),
    ]
    .into_iter()
    .filter_map(|(name, metric)| Some((name.to_string(), metric?)))
    .collect()
}

/// The temperature in 0.25–8 with the least cross-entropy (golden section; Guo et al. 2017).
pub fn fit_temperature(results: &[SliceResult]) -> f64 {
    let cost = |log_t: f64| {
        let t = log_t.exp();
        let one = |r: &SliceResult| {
            let z = if r.positive { r.logit } else { -r.logit } / t;
            (-z).max(0.0) + (-z.abs()).exp().ln_1p()
        };
        results.iter().map(one).sum::<f64>()
    };
    let golden = (5f64.sqrt() - 1.0) / 2.0;
    let (mut low, mut high) = (0.25f64.ln(), 8f64.ln());
    for _ in 0..60 {
        let (a, b) = (high - golden * (high - low), low + golden * (high - low));
        if cost(a) < cost(b) { high = b } else { low = a }
    }
    ((low + high) / 2.0).exp()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn result(patient: &str, logit: f64, positive: bool, overlap: [usize; 3]) -> SliceResult {
        SliceResult { patient: patient.into(), file: String::new(), positive, logit, overlap }
    }

    #[test]
    fn dice_is_per_patient_not_per_slice() {
        let results = [
            result("a", 0.0, true, [10, 10, 10]),
            result("a", 0.0, true, [0, 10, 10]),
            result("b", 0.0, true, [4, 8, 8]),
        ];
        let metrics = segmentation_metrics(&results);
        // Patient a: 2·10 / 40; patient b: 2·4 / 16: both ½.
        assert_eq!(metrics["dice_mean"].value, 0.5);
        assert_eq!(metrics["dice_mean"].n_patients, 2);
    }

    #[test]
    fn temperature_undoes_overconfidence() {
        // Logits three times too large: at ±3·ln 3 the right share is ¾.
        let results: Vec<_> = (0..400)
            .map(|i| result("p", if i % 2 == 0 { 3.0 } else { -3.0 } * 3f64.ln(), (i % 2 == 0) == (i % 8 < 6), [0; 3]))
            .collect();
        assert!((fit_temperature(&results) - 3.0).abs() < 0.01);
    }
}

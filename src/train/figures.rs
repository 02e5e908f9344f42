//! Figures of merit of a network's answers, by patient.

use super::evaluate::SliceResult;
use crate::domain::card::{Confusion, Level, Metric, Task};
use crate::domain::metrics::{self, Scored};
use std::collections::BTreeMap;

/// Slices of one patient.
pub type Patient = (String, Vec<SliceResult>);

/// Logits of all classes: a single one is that of the first of two.
fn class_logits(result: &SliceResult) -> Vec<f64> {
    match result.logits.as_slice() {
        [one] => vec![*one, 0.0],
        several => several.to_vec(),
    }
}

/// Class probabilities of a slice, logits divided by `temperature`.
pub fn probabilities(result: &SliceResult, temperature: f64) -> Vec<f64> {
    let logits = class_logits(result);
    let largest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let powers: Vec<f64> = logits.iter().map(|z| ((z - largest) / temperature).exp()).collect();
    let total: f64 = powers.iter().sum();
    powers.into_iter().map(|p| p / total).collect()
}

/// The class with the largest probability.
fn winner(result: &SliceResult) -> usize {
    let logits = class_logits(result);
    (0..logits.len()).fold(0, |best, c| if logits[c] > logits[best] { c } else { best })
}

/// Slices as scored probabilities of the first class.
pub fn scores<'a>(results: impl IntoIterator<Item = &'a SliceResult>, temperature: f64) -> Vec<Scored> {
    let scored = |r: &SliceResult| Scored { probability: probabilities(r, temperature)[0], positive: r.label == 0 };
    results.into_iter().map(scored).collect()
}

/// Slices by patient.
pub fn by_patient(results: &[SliceResult]) -> Vec<Patient> {
    let mut map: BTreeMap<String, Vec<SliceResult>> = BTreeMap::new();
    for result in results {
        map.entry(result.patient.clone()).or_default().push(result.clone());
    }
    map.into_iter().collect()
}

/// Dice over all pixels of one patient; `None` when neither mask has any.
pub fn patient_dice(slices: &[SliceResult]) -> Option<f64> {
    let sum = |i: usize| slices.iter().map(|s| s.overlap[i]).sum::<usize>();
    metrics::dice(sum(0), sum(1), sum(2))
}

/// Dice of every patient who has any.
pub fn dices(patients: &[&Patient]) -> Vec<f64> {
    patients.iter().filter_map(|(_, slices)| patient_dice(slices)).collect()
}

/// A figure with its bootstrap interval over patients.
fn metric(patients: &[Patient], level: Level, statistic: impl Fn(&[&Patient]) -> Option<f64>) -> Option<Metric> {
    Some(Metric {
        value: statistic(&patients.iter().collect::<Vec<_>>())?,
        ci95: metrics::bootstrap_ci95(patients, |drawn| statistic(drawn)),
        n_patients: patients.len(),
        level,
    })
}

/// A figure computed from some patients' slices.
type Statistic<'a> = Box<dyn Fn(&[&Patient]) -> Option<f64> + 'a>;

/// What a model is judged by: Dice of a segmenter; AUC and the threshold's doing of a yes-or-no model; accuracy and recall by class
/// of a softmax.
pub struct Judge<'a> {
    pub task: Task,
    pub classes: &'a [String],
    pub temperature: f64,
    pub threshold: f64,
}

impl Judge<'_> {
    /// All figures by name; `level` says whether patients are truly known.
    pub fn figures(&self, results: &[SliceResult], level: Level) -> BTreeMap<String, Metric> {
        let patients = by_patient(results);
        let named = |(name, statistic): (String, Statistic)| Some((name, metric(&patients, level, statistic)?));
        self.statistics().into_iter().filter_map(named).collect()
    }

    fn statistics(&self) -> Vec<(String, Statistic<'_>)> {
        let slices = |p: &[&Patient]| -> Vec<SliceResult> { p.iter().flat_map(|(_, s)| s).cloned().collect() };
        let named = |name: &str, f: Statistic<'static>| (name.to_string(), f);
        match self.task {
            Task::Segmentation => vec![
                named("dice_mean", Box::new(|p| metrics::mean(&dices(p)))),
                named("dice_median", Box::new(|p| metrics::median(&dices(p)))),
            ],
            Task::Binary => {
                let (temperature, threshold) = (self.temperature, self.threshold);
                let pooled = move |p: &[&Patient]| scores(p.iter().flat_map(|(_, s)| s), temperature);
                let point = move |p: &[&Patient]| metrics::operating_point(&pooled(p), threshold);
                let has = move |p: &[&Patient], positive: bool| pooled(p).iter().any(|s| s.positive == positive);
                vec![
                    named("auc", Box::new(move |p| metrics::auc(&pooled(p)))),
                    named("recall", Box::new(move |p| has(p, true).then(|| point(p).recall))),
                    named("precision", Box::new(move |p| has(p, true).then(|| point(p).precision))),
                    named("specificity", Box::new(move |p| has(p, false).then(|| point(p).specificity))),
                    named("ece", Box::new(move |p| Some(metrics::expected_calibration_error(&pooled(p))))),
                ]
            }
            Task::Multiclass => {
                let temperature = self.temperature;
                let mut all = vec![
                    named("accuracy", Box::new(move |p| accuracy(&slices(p)))),
                    named("ece", Box::new(move |p| Some(confidence_error(&slices(p), temperature)))),
                ];
                for (class, name) in self.classes.iter().enumerate() {
                    let of_class = move |p: &[&Patient]| -> Vec<SliceResult> {
                        slices(p).into_iter().filter(|r| r.label == class).collect()
                    };
                    all.push(named(&format!("recall_{name}"), Box::new(move |p| accuracy(&of_class(p)))));
                }
                all
            }
        }
    }
}

/// Share of slices whose likeliest class is the true one; `None` without slices.
pub fn accuracy(results: &[SliceResult]) -> Option<f64> {
    metrics::mean(&results.iter().map(|r| if winner(r) == r.label { 1.0 } else { 0.0 }).collect::<Vec<_>>())
}

/// Mean over classes of the share of their slices that are recognised.
pub fn balanced_accuracy(results: &[SliceResult], classes: usize) -> Option<f64> {
    let recall = |class| accuracy(&results.iter().filter(|r| r.label == class).cloned().collect::<Vec<_>>());
    metrics::mean(&(0..classes).filter_map(recall).collect::<Vec<_>>())
}

/// Expected calibration error of the winning class's probability (Guo et al. 2017).
pub fn confidence_error(results: &[SliceResult], temperature: f64) -> f64 {
    let scored = |r: &SliceResult| {
        let class = winner(r);
        Scored { probability: probabilities(r, temperature)[class], positive: class == r.label }
    };
    metrics::expected_calibration_error(&results.iter().map(scored).collect::<Vec<_>>())
}

/// True classes by row, answers by column.
pub fn confusion(results: &[SliceResult], classes: &[String]) -> Confusion {
    let mut counts = vec![vec![0; classes.len()]; classes.len()];
    for result in results {
        counts[result.label][winner(result)] += 1;
    }
    Confusion { classes: classes.to_vec(), counts }
}

/// As [`confusion`] for a yes-or-no model, whose answer is the first class from `threshold` on.
pub fn confusion_at(results: &[SliceResult], classes: &[String], temperature: f64, threshold: f64) -> Confusion {
    let mut counts = vec![vec![0; 2]; 2];
    for (result, score) in results.iter().zip(scores(results, temperature)) {
        counts[result.label][usize::from(score.probability < threshold)] += 1;
    }
    Confusion { classes: classes.to_vec(), counts }
}

/// The temperature in 0.25–8 with the least cross-entropy (golden section; Guo et al. 2017).
pub fn fit_temperature(results: &[SliceResult]) -> f64 {
    let cost = |log_t: f64| {
        let t = log_t.exp();
        results.iter().map(|r| -probabilities(r, t)[r.label].max(1e-300).ln()).sum::<f64>()
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

    fn result(patient: &str, logits: &[f64], label: usize, overlap: [usize; 3]) -> SliceResult {
        let (patient, logits) = (patient.into(), logits.to_vec());
        SliceResult { patient, file: String::new(), source: 0, label, logits, overlap }
    }

    #[test]
    fn dice_is_per_patient_not_per_slice() {
        let results = [
            result("a", &[0.0], 0, [10, 10, 10]),
            result("a", &[0.0], 0, [0, 10, 10]),
            result("b", &[0.0], 0, [4, 8, 8]),
        ];
        let judge = Judge { task: Task::Segmentation, classes: &[], temperature: 1.0, threshold: 0.5 };
        let metrics = judge.figures(&results, Level::Patient);
        // Patient a: 2·10 / 40; patient b: 2·4 / 16: both ½.
        assert_eq!(metrics["dice_mean"].value, 0.5);
        assert_eq!(metrics["dice_mean"].n_patients, 2);
    }

    #[test]
    fn temperature_undoes_overconfidence() {
        // Logits three times too large: at ±3·ln 3 the right share is ¾.
        let results: Vec<_> = (0..400)
            .map(|i| {
                let z = if i % 2 == 0 { 3.0 } else { -3.0 } * 3f64.ln();
                result("p", &[z], usize::from((i % 2 == 0) != (i % 8 < 6)), [0; 3])
            })
            .collect();
        assert!((fit_temperature(&results) - 3.0).abs() < 0.01);
    }

    #[test]
    fn classes_are_counted_where_they_belong() {
        let classes = ["a".to_string(), "b".to_string(), "c".to_string()];
        let results = [
            result("p", &[2.0, 0.0, 1.0], 0, [0; 3]),
            result("p", &[0.0, 3.0, 1.0], 0, [0; 3]),
            result("q", &[0.0, 3.0, 1.0], 1, [0; 3]),
            result("q", &[0.0, 0.0, 1.0], 2, [0; 3]),
        ];
        assert_eq!(confusion(&results, &classes).counts, [[1, 1, 0], [0, 1, 0], [0, 0, 1]]);
        assert_eq!(accuracy(&results), Some(0.75));
        assert_eq!(balanced_accuracy(&results, 3), Some(2.5 / 3.0));
        let judge = Judge { task: Task::Multiclass, classes: &classes, temperature: 1.0, threshold: 0.5 };
        assert_eq!(judge.figures(&results, Level::Patient)["recall_a"].value, 0.5);
        // Softmax of (2, 0, 1) at temperature ½: e⁴ of e⁴ + 1 + e².
        let p = probabilities(&results[0], 0.5)[0];
        assert!((p - 4f64.exp() / (4f64.exp() + 1.0 + 2f64.exp())).abs() < 1e-12);
    }
}

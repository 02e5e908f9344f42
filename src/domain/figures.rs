//! Figures of merit of models' answers to labelled slices, always by patient.

use super::card::{Confusion, Level, Metric, OperatingPoint, Task};
use super::mask::Mask;
use super::metrics::{self, Scored};
use std::collections::BTreeMap;

/// Pixels of two masks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Overlap {
    pub both: usize,
    pub predicted: usize,
    pub truth: usize,
}

impl Overlap {
    /// Of a predicted mask and the true one, of one size; without a truth there is no tumour.
    pub fn of(predicted: &Mask, truth: Option<&Mask>) -> Self {
        let both = truth.map_or(0, |t| predicted.pixels().iter().zip(t.pixels()).filter(|(p, t)| **p && **t).count());
        Self { both, predicted: predicted.area(), truth: truth.map_or(0, Mask::area) }
    }

    fn sum(all: impl Iterator<Item = Overlap>) -> Overlap {
        all.fold(Overlap::default(), |sum, o| Overlap {
            both: sum.both + o.both,
            predicted: sum.predicted + o.predicted,
            truth: sum.truth + o.truth,
        })
    }

    /// 2·both / (predicted + truth) (Dice 1945); `None` when both masks are empty.
    pub fn dice(self) -> Option<f64> {
        let total = self.predicted + self.truth;
        (total > 0).then(|| 2.0 * self.both as f64 / total as f64)
    }

    /// Intersection over union (Jaccard 1912); `None` when both masks are empty.
    pub fn iou(self) -> Option<f64> {
        let union = self.predicted + self.truth - self.both;
        (union > 0).then(|| self.both as f64 / union as f64)
    }
}

/// One labelled slice and what was said of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Case {
    pub patient: String,
    pub file: String,
    /// Which of several data sources it came from.
    pub source: usize,
    /// Index of the true class; 0 is tumour for yes-or-no models and segmenters.
    pub label: usize,
    /// Of every class. Empty when no classifier was asked.
    pub probabilities: Vec<f64>,
    /// `None` when no segmenter was asked.
    pub overlap: Option<Overlap>,
    /// Whether the cascade shows the mask.
    pub shown: bool,
}

impl Case {
    /// The likeliest class.
    pub fn answer(&self) -> usize {
        metrics::likeliest(self.probabilities.iter().copied())
    }
}

/// Slices of one patient.
pub type Patient<'a> = (&'a str, Vec<&'a Case>);

/// Slices by patient, in order of names.
pub fn by_patient(cases: &[Case]) -> Vec<Patient<'_>> {
    let mut map: BTreeMap<&str, Vec<&Case>> = BTreeMap::new();
    for case in cases {
        map.entry(&case.patient).or_default().push(case);
    }
    map.into_iter().collect()
}

/// Over all pixels of one patient.
pub fn patient_overlap(patient: &Patient) -> Overlap {
    Overlap::sum(patient.1.iter().filter_map(|case| case.overlap))
}

/// Mean Dice of patients whose mask or true outline is not empty; `None` without any.
pub fn mean_dice(cases: &[Case]) -> Option<f64> {
    let dice: Vec<f64> = by_patient(cases).iter().filter_map(|patient| patient_overlap(patient).dice()).collect();
    metrics::mean(&dice)
}

fn pooled<'a>(patients: &[&Patient<'a>]) -> Vec<&'a Case> {
    patients.iter().flat_map(|(_, cases)| cases.iter().copied()).collect()
}

/// Slices as scored probabilities of the first class.
pub fn scores<'a>(cases: impl IntoIterator<Item = &'a Case>) -> Vec<Scored> {
    let scored =
        |c: &Case| Scored { probability: c.probabilities.first().copied().unwrap_or(0.0), positive: c.label == 0 };
    cases.into_iter().map(scored).collect()
}

/// Share of slices whose likeliest class is the true one; `None` without slices.
pub fn accuracy<'a>(cases: impl IntoIterator<Item = &'a Case>) -> Option<f64> {
    let right = |c: &Case| if c.answer() == c.label { 1.0 } else { 0.0 };
    metrics::mean(&cases.into_iter().map(right).collect::<Vec<_>>())
}

/// Mean over classes of the share of their slices that are recognised.
pub fn balanced_accuracy(cases: &[Case], classes: usize) -> Option<f64> {
    let recall = |class| accuracy(cases.iter().filter(move |c| c.label == class));
    metrics::mean(&(0..classes).filter_map(recall).collect::<Vec<_>>())
}

/// Expected calibration error of the likeliest class's probability (Guo et al. 2017).
pub fn confidence_error<'a>(cases: impl IntoIterator<Item = &'a Case>) -> f64 {
    let scored = |c: &Case| Scored {
        probability: c.probabilities.get(c.answer()).copied().unwrap_or(0.0),
        positive: c.answer() == c.label,
    };
    metrics::expected_calibration_error(&cases.into_iter().map(scored).collect::<Vec<_>>())
}

/// True classes by row, answers by column. With `threshold` the answer is the first of two classes from there on, else the likeliest.
pub fn confusion(cases: &[Case], classes: &[String], threshold: Option<f64>) -> Confusion {
    let mut counts = vec![vec![0; classes.len()]; classes.len()];
    for case in cases {
        let answer = match threshold {
            Some(threshold) => usize::from(case.probabilities.first().is_none_or(|p| *p < threshold)),
            None => case.answer(),
        };
        if let Some(count) = counts.get_mut(case.label).and_then(|row| row.get_mut(answer)) {
            *count += 1;
        }
    }
    Confusion { classes: classes.to_vec(), counts }
}

/// Harmonic mean of precision and recall; 0 when nothing is caught.
fn f1(point: OperatingPoint) -> f64 {
    let sum = point.precision + point.recall;
    if sum > 0.0 { 2.0 * point.precision * point.recall / sum } else { 0.0 }
}

/// Whose figure it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Say {
    /// Each patient's own counts: n is the number of patients for whom alone it can be computed.
    Each,
    /// It compares patients with one another, as the AUC does: all of them have a say.
    Together,
}

/// A figure with its bootstrap interval over patients; `None` when it cannot be computed. Its n counts the patients who have a say.
fn metric<'a>(
    patients: &[Patient<'a>],
    level: Level,
    say: Say,
    statistic: impl Fn(&[&Patient<'a>]) -> Option<f64>,
) -> Option<Metric> {
    let alone = || patients.iter().filter(|patient| statistic(&[*patient]).is_some()).count();
    Some(Metric {
        value: statistic(&patients.iter().collect::<Vec<_>>())?,
        ci95: metrics::bootstrap_ci95(patients, |drawn| statistic(drawn)),
        n_patients: match say {
            Say::Each => alone(),
            Say::Together => patients.len(),
        },
        level,
    })
}

/// What a model is judged by: Dice of a segmenter; AUC and the threshold's doing of a yes-or-no model; accuracy and recall by class
/// of a softmax.
pub struct Judge<'a> {
    pub task: Task,
    pub classes: &'a [String],
    pub threshold: f64,
}

impl Judge<'_> {
    /// All figures by name; `level` says whether patients are truly known.
    pub fn figures(&self, cases: &[Case], level: Level) -> BTreeMap<String, Metric> {
        let patients = by_patient(cases);
        let mut figures = BTreeMap::new();
        let mut add_as = |say: Say, name: &str, statistic: &dyn Fn(&[&Patient]) -> Option<f64>| {
            if let Some(metric) = metric(&patients, level, say, statistic) {
                figures.insert(name.to_string(), metric);
            }
        };
        if self.task == Task::Binary {
            add_as(Say::Together, "auc", &|p| metrics::auc(&scores(pooled(p))));
        }
        let mut add = |name: &str, statistic: &dyn Fn(&[&Patient]) -> Option<f64>| add_as(Say::Each, name, statistic);
        match self.task {
            Task::Segmentation => {
                let of_each = |p: &[&Patient], f: fn(Overlap) -> Option<f64>| -> Vec<f64> {
                    p.iter().filter_map(|patient| f(patient_overlap(patient))).collect()
                };
                add("dice_mean", &|p| metrics::mean(&of_each(p, Overlap::dice)));
                add("dice_median", &|p| metrics::median(&of_each(p, Overlap::dice)));
                add("iou_mean", &|p| metrics::mean(&of_each(p, Overlap::iou)));
            }
            Task::Binary => {
                let point = |p: &[&Patient]| metrics::operating_point(&scores(pooled(p)), self.threshold);
                let has = |p: &[&Patient], positive: bool| pooled(p).iter().any(|c| (c.label == 0) == positive);
                add("recall", &|p| has(p, true).then(|| point(p).recall));
                add("precision", &|p| has(p, true).then(|| point(p).precision));
                add("f1", &|p| has(p, true).then(|| f1(point(p))));
                add("specificity", &|p| has(p, false).then(|| point(p).specificity));
                add("ece", &|p| Some(metrics::expected_calibration_error(&scores(pooled(p)))));
            }
            Task::Multiclass => {
                add("accuracy", &|p| accuracy(pooled(p)));
                add("ece", &|p| Some(confidence_error(pooled(p))));
                for (class, name) in self.classes.iter().enumerate() {
                    let recall = |p: &[&Patient]| accuracy(pooled(p).into_iter().filter(|c| c.label == class));
                    add(&format!("recall_{name}"), &recall);
                }
            }
        }
        figures
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn case(patient: &str, probabilities: &[f64], label: usize, overlap: Option<[usize; 3]>) -> Case {
        let overlap = overlap.map(|[both, predicted, truth]| Overlap { both, predicted, truth });
        let (patient, probabilities) = (patient.into(), probabilities.to_vec());
        Case { patient, file: String::new(), source: 0, label, probabilities, overlap, shown: true }
    }

    #[test]
    fn dice_is_per_patient_not_per_slice() {
        let cases = [
            case("a", &[], 0, Some([10, 10, 10])),
            case("a", &[], 0, Some([0, 10, 10])),
            case("b", &[], 0, Some([4, 8, 8])),
        ];
        let figures = Judge { task: Task::Segmentation, classes: &[], threshold: 0.5 }.figures(&cases, Level::Patient);
        // Patient a: 2·10 / 40; patient b: 2·4 / 16: both ½. IoU: 10/30 and 4/12.
        assert_eq!(figures["dice_mean"].value, 0.5);
        assert_eq!(figures["dice_mean"].n_patients, 2);
        assert!((figures["iou_mean"].value - 1.0 / 3.0).abs() < 1e-12);
    }

    #[test]
    fn classes_are_counted_where_they_belong() {
        let classes = ["a".to_string(), "b".to_string(), "c".to_string()];
        let cases = [
            case("p", &[0.6, 0.1, 0.3], 0, None),
            case("p", &[0.1, 0.6, 0.3], 0, None),
            case("q", &[0.1, 0.6, 0.3], 1, None),
            case("q", &[0.2, 0.2, 0.6], 2, None),
        ];
        assert_eq!(confusion(&cases, &classes, None).counts, [[1, 1, 0], [0, 1, 0], [0, 0, 1]]);
        assert_eq!(accuracy(&cases), Some(0.75));
        assert_eq!(balanced_accuracy(&cases, 3), Some(2.5 / 3.0));
        // All four answers at 0.6, three of them right.
        assert!((confidence_error(&cases) - 0.15).abs() < 1e-12);
        let judge = Judge { task: Task::Multiclass, classes: &classes, threshold: 0.5 };
        assert_eq!(judge.figures(&cases, Level::Patient)["recall_a"].value, 0.5);
    }

    #[test]
    fn a_threshold_moves_the_confusion() {
        let classes = ["tumor".to_string(), "no_tumor".to_string()];
        let cases = [case("p", &[0.4, 0.6], 0, None), case("q", &[0.3, 0.7], 1, None)];
        assert_eq!(confusion(&cases, &classes, Some(0.35)).counts, [[1, 0], [0, 1]]);
        assert_eq!(confusion(&cases, &classes, Some(0.2)).counts, [[1, 0], [1, 0]]);
    }
}

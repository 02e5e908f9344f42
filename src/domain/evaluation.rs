//! How good models are on labelled slices: the figures of `lesionlens evaluate`.

use super::card::{Confusion, Level, Metric, OperatingPoint, Task};
use super::figures::{self, Case, Judge, Overlap, Patient, by_patient, patient_overlap};
use super::metrics;
use super::prediction::ModelRef;
use serde::Serialize;
use std::collections::BTreeMap;

/// A model that was asked.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Asked {
    pub id: String,
    pub sha256: String,
    /// From which probability it says yes.
    pub threshold: f64,
}

impl Asked {
    pub fn new(model: ModelRef, threshold: f64) -> Self {
        Self { id: model.id, sha256: model.sha256, threshold }
    }
}

/// What was asked of whom.
#[derive(Debug, Clone)]
pub struct Setup {
    pub classifier: Option<Asked>,
    pub segmenter: Option<Asked>,
    /// Of the answers: yes or no, or several classes.
    pub task: Task,
    pub classes: Vec<String>,
    pub level: Level,
    /// Share of tumour slices a threshold is sought for.
    pub wanted_recall: f64,
    /// Of the patients here, those a model was trained or chosen on.
    pub seen_patients: usize,
    /// Whether a model was trained on pictures whose patients are not known.
    pub unknown_patients: bool,
}

/// One patient's figures.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PatientFigures {
    pub patient: String,
    pub slices: usize,
    pub tumor_slices: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dice: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cascade_dice: Option<f64>,
    /// Share of this patient's tumour slices that raise an alarm.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recall: Option<f64>,
}

/// All figures; what does not apply is absent. Intervals are 95 % bootstrap intervals over patients.
#[derive(Debug, Clone, Serialize)]
pub struct Evaluation {
    pub patients: usize,
    pub slices: usize,
    /// Patients that were in a model's training or validation data: with any, the figures flatter.
    pub patients_seen_in_training: usize,
    /// Whether a model was trained on pictures whose patients are not known, so that more of these may have been seen.
    pub unknown_patients_in_training: bool,
    pub level: Level,
    pub classifier: Option<Asked>,
    pub segmenter: Option<Asked>,
    /// By name: `dice_mean` (over patients, every slice segmented), `cascade_dice_mean` (only slices the classifier lets through), `auc`,
    /// `recall` …, and their intervals.
    #[serde(flatten)]
    pub figures: BTreeMap<String, Figure>,
    /// The classifier's, for quick reading.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threshold: Option<f64>,
    /// The highest threshold that catches the wanted share of tumour slices.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at_wanted_recall: Option<OperatingPoint>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub confusion: Option<Confusion>,
    pub by_patient: Vec<PatientFigures>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub operating_curve: Vec<OperatingPoint>,
}

/// A figure or an interval, flat in JSON.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Figure {
    Value(f64),
    Interval([f64; 2]),
}

/// The case as the cascade shows it: without a mask where the classifier excludes a finding.
fn gated(case: &Case) -> Case {
    let hidden = |o: Overlap| Overlap { both: 0, predicted: 0, truth: o.truth };
    let overlap = case.overlap.map(|o| if case.shown { o } else { hidden(o) });
    Case { overlap, ..case.clone() }
}

impl Evaluation {
    /// From all cases.
    pub fn new(cases: &[Case], setup: Setup) -> Self {
        let patients = by_patient(cases);
        let threshold = setup.classifier.as_ref().map(|c| c.threshold);
        let is_cascade = setup.classifier.is_some() && setup.segmenter.is_some();
        let cascade: Vec<Case> = if is_cascade { cases.iter().map(gated).collect() } else { Vec::new() };
        let mut all: BTreeMap<String, Metric> = BTreeMap::new();
        let judge = |task: Task, cases: &[Case]| {
            let threshold = threshold.unwrap_or(0.5);
            Judge { task, classes: &setup.classes, threshold }.figures(cases, setup.level)
        };
        if setup.segmenter.is_some() {
            all.extend(judge(Task::Segmentation, cases));
            if let Some(metric) = judge(Task::Segmentation, &cascade).remove("dice_mean") {
                all.insert("cascade_dice_mean".into(), metric);
            }
        }
        if setup.classifier.is_some() {
            all.extend(judge(setup.task, cases));
        }
        let has_tumour = cases.iter().any(|c| c.label == 0);
        let curve = match (threshold, setup.task) {
            (Some(_), Task::Binary) => metrics::operating_curve(&figures::scores(cases)),
            _ => Vec::new(),
        };
        let confusion =
            threshold.map(|t| figures::confusion(cases, &setup.classes, (setup.task == Task::Binary).then_some(t)));
        let cascade = by_patient(&cascade);
        let each = patients.iter().enumerate().map(|(i, patient)| one(patient, cascade.get(i), threshold, setup.task));
        Self {
            patients: patients.len(),
            slices: cases.len(),
            patients_seen_in_training: setup.seen_patients,
            unknown_patients_in_training: setup.unknown_patients,
            level: setup.level,
            figures: flat(&all),
            threshold,
            at_wanted_recall: metrics::threshold_for_recall(&curve, setup.wanted_recall).filter(|_| has_tumour),
            confusion,
            by_patient: each.collect(),
            operating_curve: curve,
            classifier: setup.classifier,
            segmenter: setup.segmenter,
        }
    }

    pub fn value(&self, name: &str) -> Option<f64> {
        match self.figures.get(name)? {
            Figure::Value(value) => Some(*value),
            Figure::Interval(_) => None,
        }
    }

    pub fn interval(&self, name: &str) -> Option<[f64; 2]> {
        match self.figures.get(&interval_name(name))? {
            Figure::Interval(interval) => Some(*interval),
            Figure::Value(_) => None,
        }
    }
}

/// `dice_mean` has its interval in `dice_ci95`, others in `NAME_ci95`.
fn interval_name(figure: &str) -> String {
    format!("{}_ci95", figure.strip_suffix("_mean").unwrap_or(figure))
}

fn flat(metrics: &BTreeMap<String, Metric>) -> BTreeMap<String, Figure> {
    let mut out = BTreeMap::new();
    for (name, metric) in metrics {
        out.insert(name.clone(), Figure::Value(metric.value));
        if let Some(interval) = metric.ci95 {
            out.insert(interval_name(name), Figure::Interval(interval));
        }
    }
    out
}

fn one(patient: &Patient, cascade: Option<&Patient>, threshold: Option<f64>, task: Task) -> PatientFigures {
    let cases = &patient.1;
    let tumour = cases.iter().filter(|c| c.label == 0);
    let caught = |t: f64| tumour.clone().filter(|c| c.probabilities.first().is_some_and(|p| *p >= t)).count();
    let count = tumour.clone().count();
    PatientFigures {
        patient: patient.0.to_string(),
        slices: cases.len(),
        tumor_slices: if task == Task::Binary { count } else { 0 },
        dice: patient_overlap(patient).dice(),
        cascade_dice: cascade.and_then(|c| patient_overlap(c).dice()),
        recall: threshold.filter(|_| count > 0 && task == Task::Binary).map(|t| caught(t) as f64 / count as f64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn case(patient: &str, p: f64, label: usize, overlap: [usize; 3]) -> Case {
        let [both, predicted, truth] = overlap;
        Case {
            patient: patient.into(),
            file: format!("{patient}.png"),
            source: 0,
            label,
            shown: p >= 0.5,
            probabilities: vec![p, 1.0 - p],
            overlap: Some(Overlap { both, predicted, truth }),
        }
    }

    fn setup() -> Setup {
        let asked = |id: &str| Some(Asked { id: id.into(), sha256: String::new(), threshold: 0.5 });
        Setup {
            classifier: asked("c"),
            segmenter: asked("s"),
            task: Task::Binary,
            classes: vec!["tumor".into(), "no_tumor".into()],
            level: Level::Patient,
            wanted_recall: 0.95,
            seen_patients: 0,
            unknown_patients: false,
        }
    }

    /// Patient a: Dice 2·8/20 = 0.8 whole; gated, the missed slice loses 4 hits and 5 predicted pixels: 2·4/15. Patient b: a false
    /// mask of 5 pixels on a slice the gate closes.
    #[test]
    fn the_gate_takes_masks_away() {
        let cases = [
            case("a", 0.9, 0, [4, 5, 5]),
            case("a", 0.2, 0, [4, 5, 5]),
            case("b", 0.8, 0, [10, 10, 10]),
            case("b", 0.1, 1, [0, 5, 0]),
        ];
        let e = Evaluation::new(&cases, setup());
        assert_eq!((e.patients, e.slices, e.threshold), (2, 4, Some(0.5)));
        let b = 2.0 * 10.0 / 25.0;
        assert!((e.value("dice_mean").unwrap() - (0.8 + b) / 2.0).abs() < 1e-12);
        assert!((e.value("cascade_dice_mean").unwrap() - (8.0 / 15.0 + 1.0) / 2.0).abs() < 1e-12);
        assert_eq!(e.value("recall"), Some(2.0 / 3.0));
        assert_eq!(e.value("precision"), Some(1.0));
        assert_eq!(e.at_wanted_recall.unwrap().threshold, 0.2);
        assert_eq!(e.confusion.as_ref().unwrap().counts, [[2, 1], [0, 1]]);
        assert_eq!(e.by_patient[0].recall, Some(0.5));
        let json = serde_json::to_value(&e).unwrap();
        for key in [
            "patients",
            "slices",
            "dice_mean",
            "dice_median",
            "dice_ci95",
            "cascade_dice_mean",
            "auc",
            "recall",
            "precision",
            "threshold",
        ] {
            assert!(json.get(key).is_some(), "{key} in {json}");
        }
    }
}

//! The model of before against the new one, on patients that the fine-tune did not see.

use crate::domain::figures::{self, Case, patient_overlap};
use crate::domain::metrics;
use serde::{Deserialize, Serialize};

/// Fewest held-out patients from whom anything is concluded.
pub const FEWEST: usize = 5;

/// A mean over patients with its 95 % bootstrap interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Mean {
    pub value: f64,
    pub ci95: Option<[f64; 2]>,
}

/// Mean Dice over the same patients.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Dice {
    /// Number of patients for whom Dice is defined under both models.
    pub patients: usize,
    pub slices: usize,
    pub old: Mean,
    pub new: Mean,
    /// New minus old, patient by patient.
    pub difference: Mean,
}

/// What may be said of the difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Conclusion {
    /// Nobody was held out.
    NotMeasured,
    /// Fewer than [`FEWEST`] patients were held out.
    TooFew,
    Better,
    Worse,
    /// The interval of the difference holds zero.
    Unclear,
}

impl Conclusion {
    pub const ALL: [Conclusion; 5] =
        [Conclusion::NotMeasured, Conclusion::TooFew, Conclusion::Better, Conclusion::Worse, Conclusion::Unclear];

    /// Name in locales and files.
    pub fn id(self) -> &'static str {
        match self {
            Conclusion::NotMeasured => "not-measured",
            Conclusion::TooFew => "too-few",
            Conclusion::Better => "better",
            Conclusion::Worse => "worse",
            Conclusion::Unclear => "unclear",
        }
    }
}

/// Figures of a fine-tune, as `comparison.json` in the folder of its run holds them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// Number of the format.
    pub format: u32,
    /// The model of before.
    pub model: String,
    /// Corrected slices that were learnt from, and patients they are of.
    pub learnt_slices: usize,
    pub learnt_patients: usize,
    /// On held-out corrections; `None` when nobody could be held out or no lesion was among them.
    pub corrections: Option<Dice>,
    /// On earlier data that was not learnt from, where there was any: what was forgotten.
    pub earlier: Option<Dice>,
    /// Held-out patients whom the model of before had been trained on: its figure flatters it.
    pub known_to_old: usize,
    /// Whether patients were only guessed from file names, so that one may be both learnt from and measured.
    pub patients_guessed: bool,
    pub conclusion: Conclusion,
}

impl Dice {
    /// Compares two models' answers about the same slices, in the same order; `None` without a patient for whom Dice is defined.
    pub fn of(old: &[Case], new: &[Case]) -> Option<Self> {
        let pairs: Vec<[f64; 2]> = figures::by_patient(old)
            .iter()
            .zip(&figures::by_patient(new))
            .filter_map(|(a, b)| Some([patient_overlap(a).dice()?, patient_overlap(b).dice()?]))
            .collect();
        let mean = |of: &dyn Fn(&[f64; 2]) -> f64| -> Option<Mean> {
            let values: Vec<f64> = pairs.iter().map(of).collect();
            let drawn = |drawn: &[&f64]| metrics::mean(&drawn.iter().map(|v| **v).collect::<Vec<_>>());
            Some(Mean { value: metrics::mean(&values)?, ci95: metrics::bootstrap_ci95(&values, drawn) })
        };
        Some(Self {
            patients: pairs.len(),
            slices: old.len(),
            old: mean(&|pair| pair[0])?,
            new: mean(&|pair| pair[1])?,
            difference: mean(&|pair| pair[1] - pair[0])?,
        })
    }

    /// What may be said of the difference.
    pub fn conclusion(&self) -> Conclusion {
        match self.difference.ci95 {
            _ if self.patients < FEWEST => Conclusion::TooFew,
            Some([low, _]) if low > 0.0 => Conclusion::Better,
            Some([_, high]) if high < 0.0 => Conclusion::Worse,
            _ => Conclusion::Unclear,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::figures::Overlap;

    /// A case for each patient with so many of ten pixels right.
    fn cases(both: &[usize]) -> Vec<Case> {
        let case = |(patient, both): (usize, &usize)| Case {
            patient: format!("p{patient}"),
            file: String::new(),
            source: 0,
            label: 0,
            probabilities: Vec::new(),
            overlap: Some(Overlap { both: *both, predicted: 10, truth: 10 }),
            shown: true,
        };
        both.iter().enumerate().map(case).collect()
    }

    #[test]
    fn patients_are_compared_one_by_one_and_few_prove_nothing() {
        // Dice is 2·both/20. Differences 0.1, 0.3: mean 0.2.
        let two = Dice::of(&cases(&[5, 2]), &cases(&[6, 5])).unwrap();
        assert!((two.old.value - 0.35).abs() < 1e-12 && (two.difference.value - 0.2).abs() < 1e-12);
        assert_eq!((two.patients, two.conclusion()), (2, Conclusion::TooFew));
        let conclusion = |old: &[usize], new: &[usize]| Dice::of(&cases(old), &cases(new)).unwrap().conclusion();
        assert_eq!(conclusion(&[5, 5, 4, 6, 2], &[7, 6, 6, 9, 4]), Conclusion::Better);
        assert_eq!(conclusion(&[7, 6, 6, 9, 4], &[5, 5, 4, 6, 2]), Conclusion::Worse);
        assert_eq!(conclusion(&[5, 5, 4, 6, 2], &[7, 3, 6, 4, 2]), Conclusion::Unclear);
        assert_eq!(Dice::of(&[], &[]), None);
    }
}

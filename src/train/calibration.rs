//! Logits → calibrated probabilities and masks.

use super::evaluate::SliceResult;
use crate::domain::figures::{self, Case, Overlap};

/// A probability from which pixels may belong to a mask: 0.1, 0.2 … 0.9.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MaskThreshold(usize);

impl MaskThreshold {
    const COUNT: usize = 9;
    pub const HALF: Self = Self(4);

    pub fn value(self) -> f64 {
        (self.0 + 1) as f64 / 10.0
    }

    /// The one nearest to a value.
    pub fn nearest(value: f64) -> Self {
        Self(((value * 10.0).round() as usize).clamp(1, Self::COUNT) - 1)
    }

    /// In ascending order.
    fn all() -> impl Iterator<Item = Self> {
        (0..Self::COUNT).map(Self)
    }

    fn logit(self) -> f32 {
        let p = self.value();
        (p / (1.0 - p)).ln() as f32
    }

    /// The one with the largest mean Dice over patients.
    pub fn best(results: &[SliceResult]) -> Self {
        let dice = |threshold| figures::mean_dice(&cases(results, 1.0, threshold)).unwrap_or(0.0);
        let mut best = (Self::HALF, dice(Self::HALF));
        for (threshold, dice) in Self::all().map(|threshold| (threshold, dice(threshold))) {
            // Strictly better, so that without any tumour it stays at a half.
            if dice > best.1 {
                best = (threshold, dice);
            }
        }
        best.0
    }
}

/// Pixels of a predicted mask and the true one at every [`MaskThreshold`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Overlaps([Overlap; MaskThreshold::COUNT]);

impl Overlaps {
    /// `truth` is above ½ inside.
    pub fn of(logits: &[f32], truth: &[f32]) -> Self {
        let inside = truth.iter().filter(|t| **t > 0.5).count();
        let mut all = [Overlap { truth: inside, ..Overlap::default() }; MaskThreshold::COUNT];
        let least: Vec<f32> = MaskThreshold::all().map(MaskThreshold::logit).collect();
        for (z, truth) in logits.iter().zip(truth) {
            // Most pixels do not reach the first.
            for (overlap, _) in all.iter_mut().zip(&least).take_while(|(_, least)| z >= *least) {
                overlap.predicted += 1;
                overlap.both += usize::from(*truth > 0.5);
            }
        }
        Self(all)
    }

    pub fn at(&self, threshold: MaskThreshold) -> Overlap {
        self.0[threshold.0]
    }
}

/// Class probabilities, logits divided by `temperature`; a single logit is that of the first of two classes.
pub fn probabilities(logits: &[f64], temperature: f64) -> Vec<f64> {
    let logits = match logits {
        [] => return Vec::new(),
        [one] => vec![*one, 0.0],
        several => several.to_vec(),
    };
    let largest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let powers: Vec<f64> = logits.iter().map(|z| ((z - largest) / temperature).exp()).collect();
    let total: f64 = powers.iter().sum();
    powers.into_iter().map(|p| p / total).collect()
}

/// What the network said at a temperature and a mask's threshold.
pub fn cases(results: &[SliceResult], temperature: f64, mask: MaskThreshold) -> Vec<Case> {
    let case = |r: &SliceResult| Case {
        patient: r.patient.clone(),
        file: r.file.clone(),
        source: r.source,
        label: r.label,
        probabilities: probabilities(&r.logits, temperature),
        overlap: r.overlaps.map(|overlaps| overlaps.at(mask)),
        shown: true,
    };
    results.iter().map(case).collect()
}

/// The temperature in 0.25–8 with the least cross-entropy (golden section; Guo et al. 2017).
pub fn fit_temperature(results: &[SliceResult]) -> f64 {
    let cost = |log_t: f64| {
        let t = log_t.exp();
        results.iter().map(|r| -probabilities(&r.logits, t)[r.label].max(1e-300).ln()).sum::<f64>()
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

    fn result(logits: &[f64], label: usize) -> SliceResult {
        let (patient, file, logits) = ("p".into(), String::new(), logits.to_vec());
        SliceResult { patient, file, source: 0, label, logits, overlaps: None }
    }

    #[test]
    fn temperature_undoes_overconfidence() {
        // Logits three times too large: at ±3·ln 3 the right share is ¾.
        let results: Vec<_> = (0..400)
            .map(|i| {
                let z = if i % 2 == 0 { 3.0 } else { -3.0 } * 3f64.ln();
                result(&[z], usize::from((i % 2 == 0) != (i % 8 < 6)))
            })
            .collect();
        assert!((fit_temperature(&results) - 3.0).abs() < 0.01);
    }

    #[test]
    fn probabilities_by_hand() {
        // Softmax of (2, 0, 1) at temperature ½: e⁴ of e⁴ + 1 + e².
        let p = &cases(&[result(&[2.0, 0.0, 1.0], 0)], 0.5, MaskThreshold::HALF)[0].probabilities;
        assert!((p[0] - 4f64.exp() / (4f64.exp() + 1.0 + 2f64.exp())).abs() < 1e-12);
        let p = &cases(&[result(&[3f64.ln()], 0)], 1.0, MaskThreshold::HALF)[0].probabilities;
        assert!((p[0] - 0.75).abs() < 1e-12 && (p[1] - 0.25).abs() < 1e-12);
    }

    #[test]
    fn the_mask_threshold_is_the_one_with_the_largest_mean_dice() {
        // Two tumour pixels at 0.35 and 0.8, one other at 0.25: from 0.3 to 0.35 the mask is right.
        let logits: Vec<f32> = [0.35f64, 0.8, 0.25].map(|p| (p / (1.0 - p)).ln() as f32).to_vec();
        let overlaps = Overlaps::of(&logits, &[1.0, 1.0, 0.0]);
        let counted = |step: usize| overlaps.at(MaskThreshold(step));
        assert_eq!(counted(1), Overlap { both: 2, predicted: 3, truth: 2 });
        assert_eq!(counted(2), Overlap { both: 2, predicted: 2, truth: 2 });
        assert_eq!(counted(8), Overlap { both: 0, predicted: 0, truth: 2 });
        let seen = SliceResult { overlaps: Some(overlaps), ..result(&[], 0) };
        assert_eq!(MaskThreshold::best(&[seen]).value(), 0.3);
        assert_eq!(MaskThreshold::best(&[]).value(), 0.5);
    }
}

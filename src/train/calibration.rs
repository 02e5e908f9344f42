//! Logits → calibrated probabilities.

use super::evaluate::SliceResult;
use crate::domain::figures::Case;

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

/// What the network said at a temperature.
pub fn cases(results: &[SliceResult], temperature: f64) -> Vec<Case> {
    let case = |r: &SliceResult| Case {
        patient: r.patient.clone(),
        file: r.file.clone(),
        source: r.source,
        label: r.label,
        probabilities: probabilities(&r.logits, temperature),
        overlap: r.overlap,
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
        SliceResult { patient, file, source: 0, label, logits, overlap: None }
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
        let p = &cases(&[result(&[2.0, 0.0, 1.0], 0)], 0.5)[0].probabilities;
        assert!((p[0] - 4f64.exp() / (4f64.exp() + 1.0 + 2f64.exp())).abs() < 1e-12);
        let p = &cases(&[result(&[3f64.ln()], 0)], 1.0)[0].probabilities;
        assert!((p[0] - 0.75).abs() < 1e-12 && (p[1] - 0.25).abs() < 1e-12);
    }
}

//! Losses on logits, composed of operations whose candle gradients are right.

use crate::domain::card::Task;
use candle_core::{D, Result, Tensor};
use serde::{Deserialize, Serialize};

/// What is minimised; all work on logits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Loss {
    /// Binary cross-entropy with label smoothing in 0–0.5.
    Bce {
        #[serde(default)]
        smoothing: f64,
    },
    /// Softmax cross-entropy with label smoothing in 0–1 (Szegedy et al. 2016) and a weight a class, 1 by default.
    SoftmaxCe {
        #[serde(default)]
        smoothing: f64,
        #[serde(default)]
        class_weights: Option<Vec<f64>>,
    },
    /// Binary cross-entropy plus soft Dice (Milletari et al. 2016).
    BceDice,
    /// 1 − Tversky index; alpha weighs misses (Salehi et al. 2017).
    Tversky { alpha: f64 },
    /// (1 − Tversky index)^gamma; alpha weighs misses (Abraham & Khan 2019).
    FocalTversky { alpha: f64, gamma: f64 },
}

impl Loss {
    /// Whether the loss understands the task's targets.
    pub fn fits(&self, task: Task) -> bool {
        match self {
            Loss::Bce { .. } => task != Task::Multiclass,
            Loss::SoftmaxCe { .. } => task == Task::Multiclass,
            Loss::BceDice | Loss::Tversky { .. } | Loss::FocalTversky { .. } => task == Task::Segmentation,
        }
    }

    /// Whether every number makes sense for so many classes.
    pub fn is_in_range(&self, classes: usize) -> bool {
        let share = |v: f64| (0.0..=1.0).contains(&v);
        match self {
            Loss::Bce { smoothing } => (0.0..=0.5).contains(smoothing),
            Loss::SoftmaxCe { smoothing, class_weights } => {
                let positive = |w: &Vec<f64>| w.len() == classes && w.iter().all(|w| *w > 0.0 && w.is_finite());
                share(*smoothing) && class_weights.as_ref().is_none_or(positive)
            }
            Loss::BceDice => true,
            Loss::Tversky { alpha } => share(*alpha),
            Loss::FocalTversky { alpha, gamma } => share(*alpha) && *gamma > 0.0 && *gamma <= 5.0,
        }
    }

    /// The mean loss of a batch. `logits` and `target` have one shape, the batch first; targets are 0 or 1, one-hot over the last
    /// axis for a softmax.
    pub fn of(&self, logits: &Tensor, target: &Tensor) -> Result<Tensor> {
        match self {
            Loss::Bce { smoothing } => bce(logits, &target.affine(1.0 - 2.0 * smoothing, *smoothing)?),
            Loss::SoftmaxCe { smoothing, class_weights } => {
                softmax_ce(logits, target, *smoothing, class_weights.as_deref())
            }
            Loss::BceDice => bce(logits, target)? + dice(logits, target)?,
            Loss::Tversky { alpha } => tversky_index(logits, target, *alpha)?.affine(-1.0, 1.0)?.mean_all(),
            Loss::FocalTversky { alpha, gamma } => {
                // A floor keeps the slope of x^γ finite at a perfect match.
                tversky_index(logits, target, *alpha)?.affine(-1.0, 1.0 + 1e-6)?.powf(*gamma)?.mean_all()
            }
        }
    }
}

/// −Σ t · ln softmax(z), each example weighed by its true class, over the sum of those weights.
fn softmax_ce(logits: &Tensor, target: &Tensor, smoothing: f64, class_weights: Option<&[f64]>) -> Result<Tensor> {
    let classes = logits.dim(D::Minus1)?;
    let smooth = target.affine(1.0 - smoothing, smoothing / classes as f64)?;
    let each = (smooth * candle_nn::ops::log_softmax(logits, D::Minus1)?)?.sum(D::Minus1)?.neg()?;
    match class_weights {
        None => each.mean_all(),
        Some(weights) => {
            let weights = Tensor::new(weights, logits.device())?.to_dtype(logits.dtype())?;
            let weights = target.broadcast_mul(&weights)?.sum(D::Minus1)?;
            (each * &weights)?.sum_all()? / weights.sum_all()?
        }
    }
}

/// Cross-entropy without overflow: max(z, 0) − z·t + ln(1 + e^−|z|).
pub(super) fn bce(logits: &Tensor, target: &Tensor) -> Result<Tensor> {
    let softplus = (logits.abs()?.neg()?.exp()? + 1.0)?.log()?;
    (logits.relu()? - (logits * target)? + softplus)?.mean_all()
}

/// True positives, misses and false alarms of each example, as soft counts.
fn soft_counts(logits: &Tensor, target: &Tensor) -> Result<(Tensor, Tensor, Tensor)> {
    let p = candle_nn::ops::sigmoid(&logits.flatten_from(1)?)?;
    let t = target.flatten_from(1)?;
    let hits = (&p * &t)?.sum(1)?;
    Ok(((t.sum(1)? - &hits)?, (p.sum(1)? - &hits)?, hits))
}

/// 1 − soft Dice, smoothed by one pixel so that an empty slice rewards silence.
fn dice(logits: &Tensor, target: &Tensor) -> Result<Tensor> {
    let (misses, alarms, hits) = soft_counts(logits, target)?;
    let numerator = hits.affine(2.0, 1.0)?;
    let denominator = ((hits.affine(2.0, 1.0)? + misses)? + alarms)?;
    (numerator / denominator)?.affine(-1.0, 1.0)?.mean_all()
}

/// Hits over hits, weighed misses and weighed alarms, of each example, smoothed by one pixel.
fn tversky_index(logits: &Tensor, target: &Tensor, alpha: f64) -> Result<Tensor> {
    let (misses, alarms, hits) = soft_counts(logits, target)?;
    let denominator = ((hits.affine(1.0, 1.0)? + (misses * alpha)?)? + (alarms * (1.0 - alpha))?)?;
    hits.affine(1.0, 1.0)? / denominator
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{Device, Var};

    /// Values computed by hand: logits 0 and ln 3 are probabilities ½ and ¾.
    #[test]
    fn losses_by_hand() {
        let device = Device::Cpu;
        let z = Tensor::new(&[[0f64, 3f64.ln()]], &device).unwrap();
        let t = Tensor::new(&[[0f64, 1.0]], &device).unwrap();
        let value = |loss: Loss| loss.of(&z, &t).unwrap().to_scalar::<f64>().unwrap();
        let bce = (2f64.ln() + (4f64 / 3.0).ln()) / 2.0;
        assert!((value(Loss::Bce { smoothing: 0.0 }) - bce).abs() < 1e-12);
        // Soft Dice: (2·¾ + 1) / (½ + ¾ + 1 + 1).
        assert!((value(Loss::BceDice) - bce - (1.0 - 2.5 / 3.25)).abs() < 1e-12);
        // Tversky with α = 0.7: (¾ + 1) / (¾ + 1 + 0.7·¼ + 0.3·½).
        let index: f64 = 1.75 / (1.75 + 0.175 + 0.15);
        let wanted = (1.0 - index + 1e-6).powf(0.75);
        assert!((value(Loss::FocalTversky { alpha: 0.7, gamma: 0.75 }) - wanted).abs() < 1e-12);
        assert!((value(Loss::Tversky { alpha: 0.7 }) - (1.0 - index)).abs() < 1e-12);
        // The softmax of (0, ln 3) is (¼, ¾); smoothing 0.2 makes the target (0.1, 0.9).
        let softmax = |smoothing, class_weights| value(Loss::SoftmaxCe { smoothing, class_weights });
        assert!((softmax(0.0, None) - (4f64 / 3.0).ln()).abs() < 1e-12);
        assert!((softmax(0.2, None) - (0.1 * 4f64.ln() + 0.9 * (4f64 / 3.0).ln())).abs() < 1e-12);
        // One example's weight cancels out.
        assert!((softmax(0.0, Some(vec![1.0, 5.0])) - (4f64 / 3.0).ln()).abs() < 1e-12);
    }

    #[test]
    fn gradients_agree_with_finite_differences() {
        let device = Device::Cpu;
        let z: Vec<f64> = (0..12).map(|i| f64::from(i) * 0.37 - 2.1).collect();
        let t: Vec<f64> = (0..12).map(|i| f64::from(i % 3 / 2)).collect();
        let t = Tensor::from_vec(t, (2, 6), &device).unwrap();
        let losses = [
            Loss::Bce { smoothing: 0.05 },
            Loss::SoftmaxCe { smoothing: 0.1, class_weights: Some(vec![1.0, 2.0, 0.5, 1.0, 3.0, 1.0]) },
            Loss::BceDice,
            Loss::Tversky { alpha: 0.3 },
            Loss::FocalTversky { alpha: 0.7, gamma: 0.75 },
        ];
        for loss in losses {
            let at = |z: Vec<f64>| Var::from_vec(z, (2, 6), &device).unwrap();
            let var = at(z.clone());
            let grads = loss.of(&var, &t).unwrap().backward().unwrap();
            let grad = grads.get(&var).unwrap().flatten_all().unwrap().to_vec1::<f64>().unwrap();
            for i in 0..12 {
                let value = |step: f64| {
                    let mut moved = z.clone();
                    moved[i] += step;
                    loss.of(&at(moved), &t).unwrap().to_scalar::<f64>().unwrap()
                };
                let slope = (value(1e-6) - value(-1e-6)) / 2e-6;
                assert!((slope - grad[i]).abs() < 1e-7, "{loss:?} at {i}: {slope} and {}", grad[i]);
            }
        }
    }
}

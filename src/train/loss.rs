//! Losses on logits, composed of operations whose candle gradients are right.

use super::recipe::Loss;
use candle_core::{Result, Tensor};

impl Loss {
    /// The mean loss of a batch. `logits` and `target` have one shape, the batch first; targets are 0 or 1.
    pub fn of(&self, logits: &Tensor, target: &Tensor) -> Result<Tensor> {
        match *self {
            Loss::Bce { smoothing } => bce(logits, &target.affine(1.0 - 2.0 * smoothing, smoothing)?),
            Loss::BceDice => bce(logits, target)? + dice(logits, target)?,
            Loss::FocalTversky { alpha, gamma } => focal_tversky(logits, target, alpha, gamma),
        }
    }
}

/// Cross-entropy without overflow: max(z, 0) − z·t + ln(1 + e^−|z|).
fn bce(logits: &Tensor, target: &Tensor) -> Result<Tensor> {
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

fn focal_tversky(logits: &Tensor, target: &Tensor, alpha: f64, gamma: f64) -> Result<Tensor> {
    let (misses, alarms, hits) = soft_counts(logits, target)?;
    let denominator = ((hits.affine(1.0, 1.0)? + (misses * alpha)?)? + (alarms * (1.0 - alpha))?)?;
    let index = (hits.affine(1.0, 1.0)? / denominator)?;
    // A floor keeps the slope of x^γ finite at a perfect match.
    index.affine(-1.0, 1.0 + 1e-6)?.powf(gamma)?.mean_all()
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
    }

    #[test]
    fn gradients_agree_with_finite_differences() {
        let device = Device::Cpu;
        let z: Vec<f64> = (0..12).map(|i| f64::from(i) * 0.37 - 2.1).collect();
        let t: Vec<f64> = (0..12).map(|i| f64::from(i % 3 / 2)).collect();
        let t = Tensor::from_vec(t, (2, 6), &device).unwrap();
        let losses = [Loss::Bce { smoothing: 0.05 }, Loss::BceDice, Loss::FocalTversky { alpha: 0.7, gamma: 0.75 }];
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

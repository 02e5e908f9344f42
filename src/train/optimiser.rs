//! AdamW (Loshchilov & Hutter 2019) whose state can be saved, unlike candle-nn's.

use super::recipe::Schedule;
use candle_core::{Result, Tensor, Var, backprop::GradStore};
use std::collections::BTreeMap;

const BETA1: f64 = 0.9;
const BETA2: f64 = 0.999;
const EPSILON: f64 = 1e-8;

/// First and second moment of every parameter.
pub struct AdamW {
    pub weight_decay: f64,
    pub step: usize,
    pub moments: BTreeMap<String, (Tensor, Tensor)>,
}

impl AdamW {
    pub fn new(weight_decay: f64) -> Self {
        Self { weight_decay, step: 0, moments: BTreeMap::new() }
    }

    /// Moves every variable that has a gradient; only kernels (rank ≥ 2) decay.
    pub fn step(&mut self, variables: &BTreeMap<String, Var>, grads: &GradStore, rate: f64) -> Result<()> {
        self.step += 1;
        let correction1 = 1.0 - BETA1.powi(self.step as i32);
        let correction2 = 1.0 - BETA2.powi(self.step as i32);
        for (name, variable) in variables {
            let Some(grad) = grads.get(variable) else { continue };
            let grad = grad.detach();
            let (first, second) = match self.moments.remove(name) {
                Some(moments) => moments,
                None => (grad.zeros_like()?, grad.zeros_like()?),
            };
            let first = ((first * BETA1)? + (&grad * (1.0 - BETA1))?)?;
            let second = ((second * BETA2)? + (grad.sqr()? * (1.0 - BETA2))?)?;
            let scale = ((&second / correction2)?.sqrt()? + EPSILON)?;
            let update = ((&first / scale)? * (rate / correction1))?;
            let decay = if variable.rank() >= 2 { rate * self.weight_decay } else { 0.0 };
            variable.set(&((variable.as_detached_tensor() * (1.0 - decay))? - update)?)?;
            self.moments.insert(name.clone(), (first, second));
        }
        Ok(())
    }
}

impl Schedule {
    /// Share of the peak learning rate at `step` of `steps`.
    pub fn share(self, step: usize, steps: usize) -> f64 {
        let progress = step as f64 / steps.max(1) as f64;
        let cosine = |t: f64| 0.5 * (1.0 + (std::f64::consts::PI * t).cos());
        match self {
            Schedule::Constant => 1.0,
            Schedule::Cosine => 0.001 + 0.999 * cosine(progress),
            Schedule::OneCycle if progress < 0.3 => 0.04 + 0.96 * cosine(1.0 - progress / 0.3),
            Schedule::OneCycle => 0.001 + 0.999 * cosine((progress - 0.3) / 0.7),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    /// The first step of Adam moves every weight by the learning rate against the sign of its gradient.
    #[test]
    fn the_first_step_has_the_length_of_the_rate() {
        let variable = Var::new(&[1.0f64, -2.0], &Device::Cpu).unwrap();
        let grads = (variable.as_tensor() * &Tensor::new(&[3.0f64, -0.1], &Device::Cpu).unwrap())
            .and_then(|t| t.sum_all())
            .and_then(|t| t.backward())
            .unwrap();
        let variables = BTreeMap::from([("w".to_string(), variable.clone())]);
        AdamW::new(0.1).step(&variables, &grads, 0.01).unwrap();
        let moved = variable.to_vec1::<f64>().unwrap();
        assert!((moved[0] - 0.99).abs() < 1e-6 && (moved[1] + 1.99).abs() < 1e-6, "{moved:?}");
    }

    #[test]
    fn one_cycle_rises_then_falls() {
        let share = |step| Schedule::OneCycle.share(step, 100);
        assert!(share(0) < 0.05 && (share(30) - 1.0).abs() < 1e-9 && share(100) < 0.01);
        assert!(share(10) < share(20) && share(50) > share(80));
    }
}

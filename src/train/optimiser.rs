//! SGD, Adam and AdamW with a state that can be saved, unlike candle-nn's.

use candle_core::{Result, Tensor, Var, backprop::GradStore};
use lesionlens_nn::exec::Parameters;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

const BETA1: f64 = 0.9;
const BETA2: f64 = 0.999;
const EPSILON: f64 = 1e-8;

/// How a gradient moves a weight.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum Rule {
    /// Adam with decoupled weight decay (Loshchilov & Hutter 2019).
    #[default]
    AdamW,
    /// Weight decay is part of the gradient (Kingma & Ba 2015).
    Adam,
    /// With heavy-ball momentum; weight decay is part of the gradient.
    Sgd { momentum: f64 },
}

/// A rule with what it remembers of every parameter.
pub struct Optimiser {
    rule: Rule,
    weight_decay: f64,
    pub step: usize,
    /// Mean gradient or velocity.
    first: BTreeMap<String, Tensor>,
    /// Mean squared gradient; empty for SGD.
    second: BTreeMap<String, Tensor>,
}

impl Optimiser {
    pub fn new(rule: Rule, weight_decay: f64) -> Self {
        Self { rule, weight_decay, step: 0, first: BTreeMap::new(), second: BTreeMap::new() }
    }

    /// Everything remembered, by name.
    pub fn state(&self) -> Parameters {
        let first = self.first.iter().map(|(name, t)| (format!("first.{name}"), t.clone()));
        let second = self.second.iter().map(|(name, t)| (format!("second.{name}"), t.clone()));
        first.chain(second).collect()
    }

    /// Takes back what [`Self::state`] gave; other names are ignored.
    pub fn restore(&mut self, step: usize, state: Parameters) {
        self.step = step;
        for (name, tensor) in state {
            if let Some(name) = name.strip_prefix("first.") {
                self.first.insert(name.to_string(), tensor);
            } else if let Some(name) = name.strip_prefix("second.") {
                self.second.insert(name.to_string(), tensor);
            }
        }
    }

    /// Moves every variable that has a gradient; only kernels (rank ≥ 2) decay.
    pub fn step(&mut self, variables: &BTreeMap<String, Var>, grads: &GradStore, rate: f64) -> Result<()> {
        self.step += 1;
        for (name, variable) in variables {
            let Some(grad) = grads.get(variable) else { continue };
            let (value, grad) = (variable.as_detached_tensor(), grad.detach());
            let decay = if variable.rank() >= 2 { self.weight_decay } else { 0.0 };
            let moved = match self.rule {
                Rule::AdamW => ((value * (1.0 - rate * decay))? - self.adam(name, &grad, rate)?)?,
                Rule::Adam => {
                    let grad = (grad + (&value * decay)?)?;
                    (value - self.adam(name, &grad, rate)?)?
                }
                Rule::Sgd { momentum } => {
                    let grad = (grad + (&value * decay)?)?;
                    let velocity = match self.first.remove(name) {
                        Some(old) => ((old * momentum)? + grad)?,
                        None => grad,
                    };
                    let moved = (value - (&velocity * rate)?)?;
                    self.first.insert(name.clone(), velocity);
                    moved
                }
            };
            variable.set(&moved)?;
        }
        Ok(())
    }

    /// The way Adam goes, with its moments brought up to date.
    fn adam(&mut self, name: &str, grad: &Tensor, rate: f64) -> Result<Tensor> {
        let correction = |beta: f64| 1.0 - beta.powi(self.step as i32);
        let (correction1, correction2) = (correction(BETA1), correction(BETA2));
        let mean = |old: Option<Tensor>, new: Tensor, beta: f64| match old {
            Some(old) => (old * beta)? + (new * (1.0 - beta))?,
            None => new * (1.0 - beta),
        };
        let first = mean(self.first.remove(name), grad.clone(), BETA1)?;
        let second = mean(self.second.remove(name), grad.sqr()?, BETA2)?;
        let scale = ((&second / correction2)?.sqrt()? + EPSILON)?;
        let way = ((&first / scale)? * (rate / correction1))?;
        self.first.insert(name.to_string(), first);
        self.second.insert(name.to_string(), second);
        Ok(way)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    /// A 1×2 kernel (1, −2) after steps against constant gradients (3, −0.1).
    fn moved(rule: Rule, weight_decay: f64, steps: usize) -> Vec<f64> {
        let variable = Var::new(&[[1.0f64, -2.0]], &Device::Cpu).unwrap();
        let variables = BTreeMap::from([("w".to_string(), variable.clone())]);
        let mut optimiser = Optimiser::new(rule, weight_decay);
        for _ in 0..steps {
            let slope = Tensor::new(&[[3.0f64, -0.1]], &Device::Cpu).unwrap();
            let grads = (variable.as_tensor() * &slope).unwrap().sum_all().unwrap().backward().unwrap();
            optimiser.step(&variables, &grads, 0.01).unwrap();
        }
        variable.flatten_all().unwrap().to_vec1().unwrap()
    }

    fn close(found: &[f64], wanted: [f64; 2]) {
        assert!(found.iter().zip(wanted).all(|(a, b)| (a - b).abs() < 1e-6), "{found:?}, not {wanted:?}");
    }

    /// The first step of Adam moves every weight by the learning rate against the sign of its gradient.
    #[test]
    fn the_first_step_of_adam_has_the_length_of_the_rate() {
        close(&moved(Rule::AdamW, 0.0, 1), [0.99, -1.99]);
        // Decoupled decay shrinks by rate · decay first; coupled decay turns the second gradient: −0.1 + 0.1·(−2).
        close(&moved(Rule::AdamW, 0.1, 1), [0.999 - 0.01, -1.998 + 0.01]);
        close(&moved(Rule::Adam, 0.1, 1), [0.99, -1.99]);
    }

    #[test]
    fn momentum_by_hand() {
        // Velocities 3 and 3·0.9 + 3; −0.1 and −0.19.
        close(&moved(Rule::Sgd { momentum: 0.9 }, 0.0, 2), [1.0 - 0.03 - 0.057, -2.0 + 0.001 + 0.0019]);
        close(&moved(Rule::Sgd { momentum: 0.0 }, 0.5, 1), [1.0 - 0.01 * 3.5, -2.0 + 0.01 * 1.1]);
    }
}

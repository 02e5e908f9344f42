//! The course of the learning rate within a phase.

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Schedule {
    /// Rises over the first 30 %, then falls along a cosine to nearly nothing (Smith & Topin 2019).
    OneCycle,
    /// Falls along a half cosine.
    Cosine,
    Constant,
    /// Constant for so many epochs, then times `factor` every epoch.
    ConstantThenDecay {
        epochs: f64,
        factor: f64,
    },
}

impl Schedule {
    /// Share of the peak learning rate at `epoch` (with its fraction) of `epochs`.
    pub fn share(self, epoch: f64, epochs: f64) -> f64 {
        let progress = epoch / epochs.max(1e-9);
        let cosine = |t: f64| 0.5 * (1.0 + (std::f64::consts::PI * t).cos());
        match self {
            Schedule::Constant => 1.0,
            Schedule::Cosine => 0.001 + 0.999 * cosine(progress),
            Schedule::OneCycle if progress < 0.3 => 0.04 + 0.96 * cosine(1.0 - progress / 0.3),
            Schedule::OneCycle => 0.001 + 0.999 * cosine((progress - 0.3) / 0.7),
            Schedule::ConstantThenDecay { epochs, factor } => factor.powf((epoch - epochs).max(0.0)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_cycle_rises_then_falls() {
        let share = |epoch| Schedule::OneCycle.share(epoch, 10.0);
        assert!(share(0.0) < 0.05 && (share(3.0) - 1.0).abs() < 1e-9 && share(10.0) < 0.01);
        assert!(share(1.0) < share(2.0) && share(5.0) > share(8.0));
    }

    #[test]
    fn decay_begins_after_the_constant_part() {
        let share = |epoch| Schedule::ConstantThenDecay { epochs: 2.0, factor: 0.5 }.share(epoch, 9.0);
        assert_eq!((share(0.0), share(2.0), share(3.0), share(5.0)), (1.0, 1.0, 0.5, 0.125));
    }
}

//! A training recipe: everything that decides what weights come out, in one TOML file.

use super::error::TrainError;
use crate::domain::card::{InputSpec, Task};
use crate::nn::weights::Precision;
use crate::nn::zoo::Architecture;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// How often and how strongly pictures are varied; every value is a largest deviation, 0 switches it off.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Augmentation {
    /// Probability of a left–right flip.
    pub flip: f32,
    /// Degrees.
    pub rotate: f32,
    /// Share of size.
    pub scale: f32,
    /// Share of the side.
    pub shift: f32,
    /// Exponent is 2^u, u in ±gamma.
    pub gamma: f32,
    /// Factor is 2^u, u in ±contrast.
    pub contrast: f32,
    /// Share of full brightness.
    pub brightness: f32,
    /// Standard deviation of Gaussian noise, share of full brightness.
    pub noise: f32,
    /// Standard deviation of a Gaussian blur in pixels.
    pub blur: f32,
    /// Largest relative brightness change of a smooth field over the picture.
    pub bias_field: f32,
}

/// What is minimised; all work on logits.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Loss {
    /// Binary cross-entropy with label smoothing in 0–0.5.
    Bce {
        #[serde(default)]
        smoothing: f64,
    },
    /// Binary cross-entropy plus soft Dice (Milletari et al. 2016).
    BceDice,
    /// (1 − Tversky index)^gamma; alpha weighs misses (Abraham & Khan 2019).
    FocalTversky { alpha: f64, gamma: f64 },
}

/// Course of the learning rate within a phase.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Schedule {
    /// Rises over the first 30 %, then falls along a cosine to nearly nothing (Smith & Topin 2019).
    OneCycle,
    /// Falls along a half cosine.
    Cosine,
    Constant,
}

/// A stretch of training at one picture size.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Phase {
    pub epochs: usize,
    /// Side of the pictures; a fully convolutional network may start small. The last phase must use the card's side.
    pub side: usize,
    pub batch: usize,
    pub learning_rate: f64,
    pub schedule: Schedule,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Split {
    pub seed: u64,
    /// Shares of the patients.
    pub validation: f64,
    pub test: f64,
}

/// Which slices an epoch shows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sampling {
    /// Tumour-free slices per tumour slice, drawn anew every epoch.
    pub negatives: f64,
}

/// What the card says that no measurement can know.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CardText {
    pub name: String,
    pub version: String,
    pub classes: Vec<String>,
    pub data: String,
    pub licence: String,
    pub intended_use: String,
    pub limits: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    pub id: String,
    pub architecture: Architecture,
    pub task: Task,
    pub seed: u64,
    pub precision: Precision,
    pub weight_decay: f64,
    /// Decay of the running average of the weights, which is what is kept; 0 keeps the last weights.
    pub ema: f64,
    pub loss: Loss,
    pub input: InputSpec,
    pub split: Split,
    pub sampling: Sampling,
    #[serde(default)]
    pub augment: Augmentation,
    #[serde(rename = "phase")]
    pub phases: Vec<Phase>,
    pub card: CardText,
}

impl Recipe {
    pub fn read(path: &Path) -> Result<Self, TrainError> {
        let text = std::fs::read_to_string(path).map_err(|e| TrainError::file(path, e))?;
        let bad = |problem: String| TrainError::Recipe { path: path.to_path_buf(), problem };
        let recipe: Recipe = toml::from_str(&text).map_err(|e| bad(e.to_string()))?;
        match recipe.problem() {
            Some(problem) => Err(bad(problem)),
            None => Ok(recipe),
        }
    }

    fn problem(&self) -> Option<String> {
        let share = |v: f64| (0.0..1.0).contains(&v);
        if self.phases.is_empty() || self.phases.iter().any(|p| p.batch < 2 || p.epochs == 0) {
            return Some("needs at least one [[phase]] with epochs ≥ 1 and batch ≥ 2".into());
        }
        if self.phases.last().map(|p| p.side) != Some(self.input.side) {
            return Some("the last phase must use `input.side`".into());
        }
        if !share(self.split.validation) || !share(self.split.test) || !share(self.split.validation + self.split.test) {
            return Some("`split.validation` and `split.test` are shares whose sum is below 1".into());
        }
        if self.task == Task::Multiclass {
            return Some("multiclass recipes are not supported yet".into());
        }
        if !share(self.ema) {
            return Some("`ema` must be in 0–1".into());
        }
        None
    }
}

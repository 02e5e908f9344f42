//! A training recipe: everything that decides what weights come out, in one TOML file.

use super::error::TrainError;
use super::loss::Loss;
use super::optimiser::Rule;
use super::schedule::Schedule;
use super::supervision::DeepSupervision;
use crate::domain::card::{CardText, InputSpec, Task, is_normal_class};
use lesionlens_nn::weights::Precision;
use lesionlens_nn::zoo::{Architecture, Format};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

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
    /// Displacement of a smooth random field, share of the side (Simard et al. 2003).
    pub elastic: f32,
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
    /// Probability that a slice is shown by itself: without those before and after it, or in one of its three sequences, and with
    /// intensities of its own instead of its study's.
    pub alone: f32,
    /// Probability that everything but an ellipse within the head is blackened, as if the skull had been stripped.
    pub strip: f32,
    /// Largest side of a rectangle that is blackened in half of the pictures, share of the side (DeVries & Taylor 2017).
    pub cut_out: f32,
    /// Probability that a lesion of another training patient of the same source is laid over a segmenter's picture, turned, sized and
    /// moved at random ([`super::lesions`]).
    pub transplant: f32,
    /// Share of its contrast to the tissue around it that a lesion loses.
    pub fade: f32,
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
    /// Layers that are not trained, by name or by what they are part of (`block.1` has `block.1.conv` in it), or by how their names begin (`block*`); their batch-norms use running statistics, as Keras does it.
    #[serde(default)]
    pub freeze: Vec<String>,
    /// Epochs without a better validation figure after which the phase ends early.
    #[serde(default)]
    pub patience: Option<usize>,
}

/// Shares of the patients that are kept from training.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shares {
    pub validation: f64,
    pub test: f64,
}

impl Shares {
    fn is_possible(self) -> bool {
        let share = |v: f64| (0.0..=1.0).contains(&v);
        share(self.validation) && share(self.test) && share(self.validation + self.test)
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Split {
    pub seed: u64,
    pub validation: f64,
    pub test: f64,
}

impl Split {
    pub fn shares(&self) -> Shares {
        Shares { validation: self.validation, test: self.test }
    }
}

/// Which examples an epoch shows.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Sampling {
    /// Tumour-free slices per tumour slice, drawn anew every epoch; all without it.
    pub negatives: Option<f64>,
}

/// How a folder of pictures tells their classes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Layout {
    /// `images/`, `masks/` with the same names and `slices.csv`; its classes are `tumor` and `no_tumor`.
    #[default]
    Slices,
    /// `images/` and `masks/` with a mask of the same name, whatever the extension, for every picture; classes as of `slices`.
    Outlines,
    /// A folder a class.
    ClassFolders,
    /// Volumes, each with its outline beside it; classes as of `slices`, and `unmarked` for slices of volumes without one.
    Volumes,
    /// A folder for each patient, in it pictures `NAME` with `NAME_mask` beside them; classes as of `slices`.
    PatientFolders,
}

/// A folder below `--data`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Source {
    /// What figures by source call it.
    pub name: String,
    pub folder: PathBuf,
    pub layout: Layout,
    /// Class of the model for each class of the source; a class that is not named is left out. Empty for classes that are called
    /// the same.
    pub classes: BTreeMap<String, String>,
    /// Outlines of a source in class folders: a folder with the same class folders, from the source's folder, and a mask of the
    /// same name for every picture of a class that is used.
    pub masks: Option<PathBuf>,
    /// A CSV with columns `file` (from the CSV's folder) and `patient`, from the source's folder, where there is no `slices.csv`.
    /// Without it every picture counts as a patient of its own, and figures are labelled leaky.
    pub patients: Option<PathBuf>,
    /// Number of consecutive numbers in file names that count as one patient, for class folders whose patients are not known but whose
    /// pictures count up from slice to slice. Figures stay leaky.
    pub block: Option<NonZeroUsize>,
    /// Instead of the recipe's.
    pub split: Option<Shares>,
    /// Training examples of this source that an epoch draws; all without it.
    pub draw: Option<usize>,
}

impl Source {
    /// Whether every picture with a tumour comes with its outline.
    fn has_outlines(&self) -> bool {
        let is_tumour_free = !self.classes.is_empty() && self.classes.values().all(|class| is_normal_class(class));
        self.layout != Layout::ClassFolders || self.masks.is_some() || is_tumour_free
    }

    /// Whether pictures of one patient are known to be such.
    pub fn knows_patients(&self) -> bool {
        matches!(self.layout, Layout::Slices | Layout::Volumes | Layout::PatientFolders) || self.patients.is_some()
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    pub id: String,
    pub architecture: Architecture,
    pub task: Task,
    pub seed: u64,
    pub precision: Precision,
    #[serde(default)]
    pub optimiser: Rule,
    pub weight_decay: f64,
    /// Maps and kernels in bf16 while training on a GPU; weights, batch-norms and losses stay in f32. The CPU always trains in f32.
    #[serde(default)]
    pub mixed_precision: bool,
    /// Decay of the running average of the weights, which is what is kept; 0 keeps the last weights.
    pub ema: f64,
    pub loss: Loss,
    #[serde(default)]
    pub deep_supervision: Vec<DeepSupervision>,
    pub input: InputSpec,
    pub split: Split,
    #[serde(default)]
    pub sampling: Sampling,
    #[serde(default)]
    pub augment: Augmentation,
    /// The folder given as `--data` itself, in the layout `slices`, when there is none.
    #[serde(rename = "source", default = "data_folder")]
    pub sources: Vec<Source>,
    #[serde(rename = "phase")]
    pub phases: Vec<Phase>,
    pub card: CardText,
}

fn data_folder() -> Vec<Source> {
    vec![Source { name: "data".into(), ..Source::default() }]
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

    /// What the network takes and gives at a picture size.
    pub fn format(&self, side: usize) -> Format {
        let outputs = if self.task == Task::Multiclass { self.card.classes.len() } else { 1 };
        Format { side, channels: self.input.channels, outputs }
    }

    /// Classes that examples may have: a segmenter's pictures are with or without tumour too.
    pub fn labels(&self) -> Vec<String> {
        match self.task {
            Task::Segmentation => vec!["tumor".into(), "no_tumor".into()],
            Task::Binary | Task::Multiclass => self.card.classes.clone(),
        }
    }

    /// Whether training looks at outlines.
    pub fn wants_outlines(&self) -> bool {
        self.task == Task::Segmentation || !self.deep_supervision.is_empty()
    }

    fn problem(&self) -> Option<String> {
        if self.phases.is_empty() || self.phases.iter().any(|p| p.batch < 2 || p.epochs == 0) {
            return Some("needs at least one [[phase]] with epochs ≥ 1 and batch ≥ 2".into());
        }
        if self.phases.last().map(|p| p.side) != Some(self.input.side) {
            return Some("the last phase must use `input.side`".into());
        }
        let mut shares = self.sources.iter().filter_map(|s| s.split).chain([self.split.shares()]);
        if !shares.all(Shares::is_possible) {
            return Some("`validation` and `test` are shares whose sum is at most 1".into());
        }
        if self.task == Task::Binary && self.card.classes.len() != 2 {
            return Some("a binary recipe needs two classes in [card], the sigmoid's first".into());
        }
        if self.wants_outlines() && !self.sources.iter().all(Source::has_outlines) {
            return Some(
                "a segmenter or `deep_supervision` learns from outlines: its sources need the layout `slices`, `outlines` or `volumes`, \
                 or `masks`, or none but tumour-free classes"
                    .into(),
            );
        }
        if self.sources.iter().any(|s| s.block.is_some() && (s.layout != Layout::ClassFolders || s.patients.is_some()))
        {
            return Some("`block` of a source is for the layout `class-folders` without `patients`".into());
        }
        if self.sources.iter().any(|s| s.masks.is_some() && s.layout != Layout::ClassFolders) {
            return Some(
                "`masks` of a source is for the layout `class-folders`; the others say where outlines are".into(),
            );
        }
        if self.deep_supervision.iter().any(|d| !(d.weight > 0.0 && d.weight.is_finite())) {
            return Some("weights of `deep_supervision` are numbers above 0".into());
        }
        if !(0.0..=1.0).contains(&self.augment.strip) || !(0.0..=1.0).contains(&self.augment.alone) {
            return Some("`strip` and `alone` are probabilities".into());
        }
        let Augmentation { transplant, fade, .. } = self.augment;
        if !((0.0..=1.0).contains(&transplant) && (0.0..1.0).contains(&fade)) {
            return Some("`transplant` is a probability, and `fade` a share below 1".into());
        }
        if (transplant > 0.0 || fade > 0.0) && self.task != Task::Segmentation {
            return Some("`transplant` and `fade` change outlined lesions: they are for segmenters".into());
        }
        if !self.loss.fits(self.task) {
            let losses = match self.task {
                Task::Binary => "bce",
                Task::Multiclass => "softmax-ce",
                Task::Segmentation => "bce, bce-dice, tversky or focal-tversky",
            };
            return Some(format!("this loss does not go with the task; use {losses}"));
        }
        if !self.loss.is_in_range(self.card.classes.len()) {
            return Some("[loss]: smoothing (bce: to 0.5) and alpha are 0–1, gamma is 0–5, `class_weights` are one number above 0 a class".into());
        }
        if self.task == Task::Multiclass && self.sampling.negatives.is_some() {
            return Some("`sampling.negatives` is for models of tumour or none; use `draw` of a source".into());
        }
        if self.sources.iter().any(|s| s.draw.is_some_and(|draw| draw < 2)) {
            return Some("`draw` is at least 2".into());
        }
        let labels = self.labels();
        let named = self.sources.iter().flat_map(|s| s.classes.values());
        if let Some(class) = named.into_iter().find(|class| !labels.contains(class)) {
            return Some(format!("a source speaks of class `{class}`; there are {}", labels.join(", ")));
        }
        if self.sources.is_empty() || !(0.0..1.0).contains(&self.ema) {
            return Some("`ema` must be in 0–1, and there must be a [[source]]".into());
        }
        None
    }
}

//! A model's card: what it is, how its input is made, on whom it was measured, and what it must not be used for.

use super::channel::Channel;
use super::gate_statistics::GateStatistics;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What a model answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Task {
    /// One sigmoid: the probability of the first of two classes.
    Binary,
    /// A softmax over the classes.
    Multiclass,
    /// A sigmoid per pixel.
    Segmentation,
}

/// How grey values 0–255 become network input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scale {
    /// x as it is, for networks that scale their input themselves.
    Raw,
    /// x / 255.
    Unit,
    /// (x − mean) / standard deviation, both of this slice; a flat slice becomes zero.
    Standardize,
    /// Keras "caffe": BGR order minus the ImageNet means 103.939, 116.779, 123.68.
    Caffe,
    /// Keras "tf": x / 127.5 − 1.
    Tf,
    /// Keras "torch", as torchvision and timm: (x / 255 − mean) / deviation by channel, both ImageNet's.
    Torch,
    /// (x − mean) / standard deviation of the head's values over the whole study, −3 for air and for what lies around the picture,
    /// whatever the display window ([`super::intensities`]).
    Head,
}

impl Scale {
    pub const ALL: [Scale; 7] =
        [Scale::Raw, Scale::Unit, Scale::Standardize, Scale::Caffe, Scale::Tf, Scale::Torch, Scale::Head];

    /// Name in cards, on the command line and in locales.
    pub fn id(self) -> &'static str {
        match self {
            Scale::Raw => "raw",
            Scale::Unit => "unit",
            Scale::Standardize => "standardize",
            Scale::Caffe => "caffe",
            Scale::Tf => "tf",
            Scale::Torch => "torch",
            Scale::Head => "head",
        }
    }
}

/// How an image of another size or shape is brought to the network's square.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Resize {
    /// Keeps proportions; black fills the rest.
    #[default]
    Fit,
    /// Fills the square, proportions aside.
    Stretch,
}

/// How colour becomes grey.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Luminance {
    /// 0.299 R + 0.587 G + 0.114 B (ITU-R BT.601).
    #[default]
    Rec601,
}

/// What a network looks at. It decides which channel of a colour picture the network is given, since a colour picture of three
/// sequences has T1 before contrast in red, FLAIR in green and T1 after contrast in blue, as the LGG data set has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sequence {
    /// The luminance of a colour picture.
    #[default]
    Luminance,
    T1,
    Flair,
    /// T1 after contrast.
    T1ce,
    /// Any sequence. Of three, FLAIR.
    Any,
    /// T1, FLAIR and T1 after contrast as the network's three channels; a picture of one sequence is repeated.
    Three,
}

impl Sequence {
    /// Name in cards and results.
    pub fn id(self) -> &'static str {
        match self {
            Sequence::Luminance => "luminance",
            Sequence::T1 => "t1",
            Sequence::Flair => "flair",
            Sequence::T1ce => "t1ce",
            Sequence::Any => "any",
            Sequence::Three => "three",
        }
    }

    /// What a model that looks at this is given of a picture of three sequences: one that looks at any is given FLAIR.
    pub fn given(self) -> Self {
        match self {
            Sequence::Any => Sequence::Flair,
            other => other,
        }
    }

    /// The channel of a colour picture that stands for this sequence; of three, the middle one. `None` for the luminance.
    pub fn channel(self) -> Option<Channel> {
        match self.given() {
            Sequence::Luminance => None,
            Sequence::T1 => Some(Channel::Red),
            Sequence::Flair | Sequence::Any | Sequence::Three => Some(Channel::Green),
            Sequence::T1ce => Some(Channel::Blue),
        }
    }
}

/// Sides of square inputs in pixels that networks here take.
pub const SIDES: std::ops::RangeInclusive<usize> = 16..=2048;

/// Preprocessing, applied by `models::preprocess` and nowhere else.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InputSpec {
    /// Side of the square input in pixels.
    pub side: usize,
    /// 1 or 3; grey is repeated.
    pub channels: usize,
    #[serde(default)]
    pub sequence: Sequence,
    pub scale: Scale,
    #[serde(default)]
    pub resize: Resize,
    #[serde(default)]
    pub luminance: Luminance,
    /// The three channels are the slice before, the slice itself and the one after; at the ends, and for single pictures, the slice
    /// stands for its neighbour.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub neighbours: bool,
    /// The answer is the mean of those for the slice and for its mirror image, in twice the time.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub mirrored: bool,
    /// What the network was trained on, such as "MR FLAIR, axial, brain".
    pub modality: String,
}

/// What models look at beside a slice's own pixels. Only what is wanted is read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Surroundings {
    /// The slices before and after.
    pub neighbours: bool,
    /// Intensities of the study.
    pub intensities: bool,
}

impl Surroundings {
    /// What any of these models looks at.
    pub fn of<'a>(specs: impl IntoIterator<Item = &'a InputSpec>) -> Self {
        specs.into_iter().fold(Self::default(), |all, spec| Self {
            neighbours: all.neighbours || spec.neighbours,
            intensities: all.intensities || spec.scale == Scale::Head,
        })
    }
}

/// Threshold a new session starts with.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Threshold {
    /// In 0.01–0.99.
    pub default: f64,
}

/// What a threshold does to unseen patients.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OperatingPoint {
    pub threshold: f64,
    /// Share of tumour slices that are caught.
    pub recall: f64,
    /// Share of alarms that are right.
    pub precision: f64,
    /// Share of tumour-free slices that raise no alarm.
    pub specificity: f64,
    /// False alarms per slice shown, tumour or not.
    pub false_alarms_per_slice: f64,
}

/// Where the operating curve comes from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MeasuredOn {
    /// Whose slices are known to be theirs.
    pub patients: usize,
    pub slices: usize,
    /// Of these slices, those whose patients are not known: they may have been met in training.
    #[serde(default)]
    pub slices_of_unknown_patients: usize,
    pub source: String,
}

/// Calibration of probabilities.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calibration {
    /// Logits are divided by it.
    pub temperature: f64,
    /// Expected calibration error on validation patients before and after.
    pub ece_before: f64,
    pub ece_after: f64,
}

/// How a model came to be.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainingNote {
    pub recipe: String,
    pub data: String,
    pub seed: Option<u64>,
    pub commit: Option<String>,
    /// Patients by part of the split.
    #[serde(default)]
    pub train_patients: Vec<String>,
    #[serde(default)]
    pub validation_patients: Vec<String>,
    #[serde(default)]
    pub test_patients: Vec<String>,
    /// Patients of each fold, where figures are out of fold and the weights were trained on all of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub folds: Vec<Vec<String>>,
    /// Data sources that do not say which slices belong to one patient.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sources_of_unknown_patients: Vec<String>,
}

/// One epoch of training.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Epoch {
    pub phase: usize,
    /// Within the phase.
    pub epoch: usize,
    /// Of the pictures.
    pub side: usize,
    /// At the epoch's end.
    pub learning_rate: f64,
    /// Mean over the training batches.
    pub loss: f64,
    /// Figure on validation patients: mean Dice of a segmenter, AUC of a yes-or-no model, mean recall over the classes of a softmax.
    /// `None` for a run that trains on every patient.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation: Option<f64>,
}

/// How often each class was taken for each.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Confusion {
    pub classes: Vec<String>,
    /// Slices: true classes by row, answers by column.
    pub counts: Vec<Vec<usize>>,
}

/// How patients were kept apart when a figure was measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Level {
    #[serde(rename = "patient-level")]
    Patient,
    /// Each patient was measured by the fold's network that had not trained on them.
    #[serde(rename = "patient-level, out of fold")]
    OutOfFold,
    #[serde(rename = "slice-level (leaky)")]
    SliceLeaky,
}

/// One measured figure.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Metric {
    pub value: f64,
    /// 95 % bootstrap interval over patients.
    pub ci95: Option<[f64; 2]>,
    pub n_patients: usize,
    pub level: Level,
}

/// What a card calls the architecture of a network that is none of the program's own: its graph lies in its weights file.
pub const STORED_GRAPH: &str = "graph";

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

/// The whole card, as `card.toml` holds it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Card {
    pub id: String,
    pub name: String,
    pub version: String,
    /// A name the program knows, or [`STORED_GRAPH`].
    pub architecture: String,
    pub task: Task,
    /// For binary models the class the sigmoid speaks of comes first.
    pub classes: Vec<String>,
    pub licence: String,
    pub intended_use: String,
    pub limits: String,
    /// sha256 of `model.safetensors`, lower-case hex.
    pub sha256: String,
    pub input: InputSpec,
    pub threshold: Threshold,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub calibration: Option<Calibration>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub training: Option<TrainingNote>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metrics: BTreeMap<String, Metric>,
    /// The same figures on each of several data sources.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub by_source: BTreeMap<String, BTreeMap<String, Metric>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub measured_on: Option<MeasuredOn>,
    /// On the patients of `measured_on`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub confusion: Option<Confusion>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<Epoch>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub operating_curve: Vec<OperatingPoint>,
    /// What training pictures look like to the network; without it nobody has measured which pictures the model knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_gate: Option<GateStatistics>,
}

/// What a card says of a network before anything was measured.
#[derive(Debug, Clone, PartialEq)]
pub struct Identity {
    pub id: String,
    pub architecture: String,
    pub task: Task,
    pub input: InputSpec,
    /// Of the weights, lower-case hex.
    pub sha256: String,
}

/// Expected calibration error up to which probabilities are called calibrated.
const CALIBRATED: f64 = 0.1;

impl Card {
    /// A card without a single figure.
    pub fn unmeasured(identity: Identity, text: CardText) -> Self {
        let Identity { id, architecture, task, input, sha256 } = identity;
        let training = TrainingNote { recipe: "none".into(), data: text.data, ..TrainingNote::default() };
        Self {
            id,
            name: text.name,
            version: text.version,
            architecture,
            task,
            classes: text.classes,
            licence: text.licence,
            intended_use: text.intended_use,
            limits: text.limits,
            sha256,
            input,
            threshold: Threshold { default: 0.5 },
            calibration: None,
            training: Some(training),
            metrics: BTreeMap::new(),
            by_source: BTreeMap::new(),
            measured_on: None,
            confusion: None,
            history: Vec::new(),
            operating_curve: Vec::new(),
            input_gate: None,
        }
    }

    /// Whether probabilities may be read as chances: a temperature alone does not make them so.
    pub fn is_calibrated(&self) -> bool {
        self.calibration.is_some_and(|c| c.ece_after <= CALIBRATED)
    }

    /// What is wrong with the card's values, if anything.
    pub fn problem(&self) -> Option<String> {
        let classes = match self.task {
            Task::Binary => self.classes.len() == 2,
            Task::Multiclass => self.classes.len() >= 2,
            Task::Segmentation => !self.classes.is_empty(),
        };
        let unlike = |what: &str| Some(format!("`{what}` is out of range"));
        if !classes {
            return Some(format!("{} classes do not go with the task", self.classes.len()));
        }
        if !is_model_id(&self.id) {
            return Some(format!("`id` is `{}`; use lower-case letters, digits, `-` and `_`", self.id));
        }
        if !(0.01..=0.99).contains(&self.threshold.default) {
            return unlike("threshold.default");
        }
        if !SIDES.contains(&self.input.side) || ![1, 3].contains(&self.input.channels) {
            return unlike("input");
        }
        if let Some(problem) = self.input_gate.as_ref().and_then(GateStatistics::problem) {
            return Some(problem);
        }
        if self.input.neighbours && self.input.channels != 3 {
            return Some("`input.neighbours` needs three channels".into());
        }
        if self.input.sequence == Sequence::Three && (self.input.channels != 3 || self.input.neighbours) {
            return Some("`input.sequence = \"three\"` needs three channels, which then are no neighbours".into());
        }
        let square = |c: &Confusion| {
            c.counts.len() == c.classes.len() && c.counts.iter().all(|row| row.len() == c.classes.len())
        };
        if self.confusion.as_ref().is_some_and(|c| !square(c)) {
            return unlike("confusion");
        }
        if self.calibration.is_some_and(|c| !(c.temperature.is_finite() && c.temperature > 0.0)) {
            return unlike("calibration.temperature");
        }
        None
    }

    /// The measured point whose threshold is nearest to `threshold`.
    pub fn operating_point(&self, threshold: f64) -> Option<OperatingPoint> {
        let distance = |p: &OperatingPoint| (p.threshold - threshold).abs();
        self.operating_curve.iter().copied().min_by(|a, b| distance(a).total_cmp(&distance(b)))
    }
}

/// What follows a number in names such as "0 glioma" or "2_sano", as exports of labels write them.
fn unnumbered(name: &str) -> Option<&str> {
    let rest = name.trim().trim_start_matches(|c: char| c.is_ascii_digit());
    let is_numbered = rest.len() < name.trim().len() && rest.starts_with([' ', '_', '-', '.']);
    is_numbered.then_some(rest).filter(|rest| rest.contains(char::is_alphabetic))
}

/// A class name without the differences that spelling makes.
fn plain_class(name: &str) -> String {
    let unaccented = |c: char| match c {
        'á' | 'à' | 'ã' | 'â' => 'a',
        'é' | 'è' | 'ê' => 'e',
        'í' | 'ì' => 'i',
        'ó' | 'ò' | 'õ' | 'ô' => 'o',
        'ú' | 'ù' | 'ü' => 'u',
        other => other,
    };
    let plain = name.trim().to_lowercase().replace([' ', '-', '_', '.'], "").replace("tumour", "tumor");
    let plain: String = plain.chars().map(unaccented).collect();
    let plain = unnumbered(name).map_or(plain, plain_class);
    match plain.strip_suffix("tumor") {
        Some(kind) if !kind.is_empty() && !["no", "non", "sin", "sem", "kein"].contains(&kind) => kind.to_string(),
        _ => plain,
    }
}

/// What data sets and their owners call nothing found, in English, Spanish, Portuguese, French, German and Italian, as
/// [`plain_class`] spells it.
const NORMAL: &[&str] = &[
    "no",
    "none",
    "normal",
    "healthy",
    "notumor",
    "nontumor",
    "negative",
    "control",
    "background",
    "nothing",
    "clear",
    "nofinding",
    "nofindings",
    "nolesion",
    "nonlesion",
    "noabnormality",
    "notumordetected",
    "nocancer",
    "noncancer",
    "noncancerous",
    "nodisease",
    "nomass",
    "nohemorrhage",
    "nostroke",
    "noglioma",
    "unremarkable",
    "sintumor",
    "sinlesion",
    "sinlesiones",
    "sinhallazgos",
    "sinhallazgo",
    "sinanomalias",
    "sincancer",
    "sinenfermedad",
    "sano",
    "sana",
    "sanos",
    "saludable",
    "ninguno",
    "ninguna",
    "nada",
    "negativo",
    "negativa",
    "fondo",
    "semtumor",
    "saudavel",
    "sain",
    "aucun",
    "gesund",
    "keintumor",
    "nessuno",
];

/// Whether a class of a model or of a data set means that nothing was found.
pub fn is_normal_class(name: &str) -> bool {
    NORMAL.contains(&plain_class(name).as_str())
}

/// Whether a class of a data set means a tumour of whatever kind.
pub fn is_tumour_class(name: &str) -> bool {
    let tumours = ["tumor", "yes", "positive", "glioma", "meningioma", "pituitary", "metastasis", "astrocytoma"];
    tumours.contains(&plain_class(name).as_str())
}

/// Whether two names mean one class.
pub fn same_class(a: &str, b: &str) -> bool {
    plain_class(a) == plain_class(b) || is_normal_class(a) && is_normal_class(b)
}

/// Names that are safe as folder names on every system.
pub fn is_model_id(id: &str) -> bool {
    !id.is_empty() && id.len() <= 64 && id.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_'))
}

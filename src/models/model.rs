//! A model that can answer: card, graph and weights together.

use super::preprocess;
use crate::domain::card::{Card, InputSpec, STORED_GRAPH, Sequence, Task, is_normal_class};
use crate::domain::prediction::{Answers, Classification, ModelRef, Segmentation};
use crate::domain::study::Neighbourhood;
use candle_core::{DType, Device, Tensor};
use lesionlens_nn::exec::{ExecError, Parameters};
use lesionlens_nn::graph::{Graph, Shape};
use lesionlens_nn::network::{Network, Runner};
use lesionlens_nn::plan::isa::Isa;
use lesionlens_nn::torch::TorchError;
use lesionlens_nn::torch::stock::{Kind, Stock};
use lesionlens_nn::weights::{self, WeightsError};
use lesionlens_nn::zoo::{Architecture, Format};
use rayon::prelude::*;
use sha2::{Digest, Sha256};
use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Largest weights file that is read.
const MAX_WEIGHTS_BYTES: u64 = 2 << 30;

/// Where a model's two files are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// In the program itself.
    Embedded { card: &'static str, weights: &'static [u8] },
    /// `card.toml` and `model.safetensors` in this folder.
    Folder(PathBuf),
}

impl Source {
    /// For messages.
    pub fn place(&self) -> String {
        match self {
            Source::Embedded { .. } => "built in".into(),
            Source::Folder(folder) => folder.display().to_string(),
        }
    }
}

/// Why a model cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    #[error("{path}: {problem}")]
    File { path: String, problem: String },
    #[error("{place}: card.toml: {problem}")]
    Card { place: String, problem: String },
    #[error("{place}: architecture `{name}` is not known; this version knows {}", known())]
    Architecture { place: String, name: String },
    #[error(
        "{place}: the weights were changed or damaged: their sha256 is {found}, the card says {expected}; install the model again"
    )]
    Hash { place: String, found: String, expected: String },
    #[error("{place}: {reason}")]
    Weights { place: String, reason: WeightsError },
    #[error("{place}: {reason}")]
    Torch { place: String, reason: TorchError },
    #[error("no model is called `{id}`; there are: {}", known.join(", "))]
    Unknown { id: String, known: Vec<String> },
    #[error("model `{id}` answers with {task}, but {wanted} is needed here")]
    Task { id: String, task: &'static str, wanted: &'static str },
    #[error("model `{id}` failed ({reason}); choose another device or model")]
    Run { id: String, reason: ExecError },
    #[error("model `{id}` gave values that are not numbers for this picture; do not use its answer")]
    NotANumber { id: String },
}

impl ModelError {
    pub fn is_cancelled(&self) -> bool {
        matches!(self, ModelError::Run { reason: ExecError::Cancelled, .. })
    }
}

fn known() -> String {
    let names = Architecture::ALL.iter().map(|a| a.id()).chain(Kind::ALL.iter().map(|kind| kind.id()));
    names.collect::<Vec<_>>().join(", ")
}

/// What a task is called in messages.
pub fn task_name(task: Task) -> &'static str {
    match task {
        Task::Binary => "a yes/no class",
        Task::Multiclass => "classes",
        Task::Segmentation => "a mask",
    }
}

/// What the card asks of its architecture.
fn format(card: &Card) -> Format {
    let outputs = if card.task == Task::Binary { 1 } else { card.classes.len() };
    Format { side: card.input.side, channels: card.input.channels, outputs }
}

/// Whether the network takes and gives what the card says.
fn answers(card: &Card, graph: &Graph) -> bool {
    let gives = match (card.task, graph.output_shape()) {
        (Task::Binary, Shape::Vector { len }) => len == 1,
        (Task::Multiclass, Shape::Vector { len }) => len == card.classes.len(),
        (Task::Segmentation, Shape::Image { height, width, channels }) => {
            (height, width, channels) == (card.input.side, card.input.side, card.classes.len())
        }
        _ => false,
    };
    let side = card.input.side;
    gives && graph.input_shape() == Shape::Image { height: side, width: side, channels: card.input.channels }
}

/// The network that the card names, or that lies in the weights file.
fn graph(card: &Card, bytes: &[u8], place: &str) -> Result<Graph, ModelError> {
    let place = || place.to_string();
    if card.architecture == STORED_GRAPH {
        let stored = weights::graph(bytes).map_err(|reason| ModelError::Weights { place: place(), reason })?;
        let problem = "says that its graph is in the weights file, where there is none".to_string();
        return stored.ok_or_else(|| ModelError::Card { place: place(), problem });
    }
    let architecture = Architecture::ALL.into_iter().find(|a| a.id() == card.architecture);
    let unknown = || ModelError::Architecture { place: place(), name: card.architecture.clone() };
    let built = architecture.ok_or_else(unknown)?.with(format(card));
    built.map_err(|e| ModelError::Card { place: place(), problem: e.to_string() })
}

/// Reads and checks a card.
pub fn read_card(source: &Source) -> Result<Card, ModelError> {
    let place = source.place();
    let text: Cow<str> = match source {
        Source::Embedded { card, .. } => Cow::Borrowed(card),
        Source::Folder(folder) => {
            let path = folder.join("card.toml");
            Cow::Owned(std::fs::read_to_string(&path).map_err(|e| file_error(&path, e))?)
        }
    };
    let card: Card =
        toml::from_str(&text).map_err(|e| ModelError::Card { place: place.clone(), problem: e.to_string() })?;
    match card.problem() {
        Some(problem) => Err(ModelError::Card { place, problem }),
        None => Ok(card),
    }
}

/// The card and its network contradict each other.
fn unlike(card: &Card, place: &str) -> ModelError {
    let InputSpec { side, channels, .. } = card.input;
    let answer = task_name(card.task);
    let problem = format!("a {} for {side}×{side}×{channels} inputs does not answer with {answer}", card.architecture);
    ModelError::Card { place: place.into(), problem }
}

/// A network that is a graph.
fn own(card: &Card, bytes: &[u8], place: &str, runner: &Runner) -> Result<Network, ModelError> {
    let graph = graph(card, bytes, place)?;
    if !answers(card, &graph) {
        return Err(unlike(card, place));
    }
    let parameters = weights::load(&graph, bytes, &Device::Cpu)
        .map_err(|reason| ModelError::Weights { place: place.into(), reason })?;
    // Nobody has measured what bf16 does to weights from elsewhere.
    let exact = Runner::Cpu(Some(Isa::forced().unwrap_or_else(Isa::exact)));
    let runner = if card.metrics.is_empty() && matches!(runner, Runner::Cpu(None)) { &exact } else { runner };
    Network::new(&graph, parameters, runner)
        .map_err(|e| ModelError::Card { place: place.into(), problem: e.to_string() })
}

/// A network of candle-transformers.
fn stock(card: &Card, kind: Kind, bytes: &[u8], place: &str, runner: &Runner) -> Result<Network, ModelError> {
    let device = match runner {
        Runner::Cpu(_) => &Device::Cpu,
        Runner::Gpu(device) => device,
    };
    let failed = |reason: WeightsError| ModelError::Weights { place: place.into(), reason };
    let tensors = weights::read(bytes, &Device::Cpu).map_err(failed)?;
    let network = Stock::load(kind, tensors, card.input.side, device)
        .map_err(|reason| ModelError::Torch { place: place.into(), reason })?;
    let Format { channels, outputs, .. } = format(card);
    if network.outputs() != outputs || channels != 3 || card.task == Task::Segmentation {
        return Err(unlike(card, place));
    }
    Ok(Network::whole(network))
}

fn file_error(path: &Path, problem: impl ToString) -> ModelError {
    ModelError::File { path: path.display().to_string(), problem: problem.to_string() }
}

/// The bytes of a model's weights, which must be those that its card speaks of.
fn checked_weights<'a>(source: &'a Source, card: &Card) -> Result<Cow<'a, [u8]>, ModelError> {
    let bytes: Cow<[u8]> = match source {
        Source::Embedded { weights, .. } => Cow::Borrowed(weights),
        Source::Folder(folder) => {
            let path = folder.join("model.safetensors");
            let info = std::fs::metadata(&path).map_err(|e| file_error(&path, e))?;
            if info.len() > MAX_WEIGHTS_BYTES {
                return Err(file_error(&path, "is larger than 2 GiB"));
            }
            Cow::Owned(std::fs::read(&path).map_err(|e| file_error(&path, e))?)
        }
    };
    let found = format!("{:x}", Sha256::digest(&bytes));
    if found == card.sha256 {
        Ok(bytes)
    } else {
        Err(ModelError::Hash { place: source.place(), found, expected: card.sha256.clone() })
    }
}

/// A model's graph and weights; `None` for one that is no graph.
///
/// # Errors
/// If the model cannot be read.
pub fn read_graph(source: &Source, card: &Card) -> Result<Option<(Graph, Parameters)>, ModelError> {
    if Kind::ALL.into_iter().any(|kind| kind.id() == card.architecture) {
        return Ok(None);
    }
    let (bytes, place) = (checked_weights(source, card)?, source.place());
    let graph = graph(card, &bytes, &place)?;
    let parameters =
        weights::load(&graph, &bytes, &Device::Cpu).map_err(|reason| ModelError::Weights { place, reason })?;
    Ok(Some((graph, parameters)))
}

/// A loaded model.
pub struct Model {
    card: Card,
    network: Network,
}

impl Model {
    /// As [`Self::load_with`], by the process's own choice of instructions when `device` is the CPU.
    pub fn load(source: &Source, device: &Device) -> Result<Self, ModelError> {
        Self::load_with(source, &Runner::of(device))
    }

    /// Reads card and weights, refuses weights whose hash is not the card's, and builds the network.
    pub fn load_with(source: &Source, runner: &Runner) -> Result<Self, ModelError> {
        let (card, place) = (read_card(source)?, source.place());
        let bytes = checked_weights(source, &card)?;
        let network = match Kind::ALL.into_iter().find(|kind| kind.id() == card.architecture) {
            Some(kind) => stock(&card, kind, &bytes, &place, runner)?,
            None => own(&card, &bytes, &place, runner)?,
        };
        Ok(Self { card, network })
    }

    pub fn card(&self) -> &Card {
        &self.card
    }

    pub fn network(&self) -> &Network {
        &self.network
    }

    pub fn reference(&self) -> ModelRef {
        ModelRef { id: self.card.id.clone(), sha256: self.card.sha256.clone() }
    }

    /// The network's output for each slice, flat, with the time that each took in milliseconds.
    fn run(
        &self,
        slices: &[Neighbourhood],
        cancelled: &(dyn Fn() -> bool + Sync),
    ) -> Result<(Vec<Vec<f32>>, f64), ModelError> {
        let spec = &self.card.input;
        let inputs: Vec<Vec<f32>> = slices.par_iter().map(|slice| preprocess::network_input(slice, spec)).collect();
        let started = Instant::now();
        let inputs = inputs.concat();
        let mirrored = spec.mirrored.then(|| preprocess::mirrored(&inputs, spec.side, spec.channels));
        let mut answers = self.infer(inputs, slices.len(), cancelled)?;
        if let Some(mirrored) = mirrored {
            let other = self.infer(mirrored, slices.len(), cancelled)?;
            let is_map = self.card.task == Task::Segmentation;
            let back = if is_map { preprocess::mirrored(&other, spec.side, self.card.classes.len()) } else { other };
            answers.iter_mut().zip(back).for_each(|(answer, back)| *answer = (*answer + back) / 2.0);
        }
        let milliseconds = started.elapsed().as_secs_f64() * 1e3 / slices.len().max(1) as f64;
        let each = answers.len() / slices.len().max(1);
        Ok((answers.chunks(each.max(1)).map(<[f32]>::to_vec).collect(), milliseconds))
    }

    /// The network's bare output for a batch of `count` inputs.
    fn infer(
        &self,
        inputs: Vec<f32>,
        count: usize,
        cancelled: &(dyn Fn() -> bool + Sync),
    ) -> Result<Vec<f32>, ModelError> {
        let failed = |reason: ExecError| ModelError::Run { id: self.card.id.clone(), reason };
        let InputSpec { side, channels, .. } = self.card.input;
        let x = Tensor::from_vec(inputs, (count, side, side, channels), &Device::Cpu).map_err(|e| failed(e.into()))?;
        let y = self.network.infer(&x, cancelled).map_err(failed)?;
        let values =
            y.flatten_all().and_then(|t| t.to_dtype(DType::F32)?.to_vec1::<f32>()).map_err(|e| failed(e.into()))?;
        if values.iter().any(|v| !v.is_finite()) {
            return Err(self.silent());
        }
        Ok(values)
    }

    /// Output of the bare network for a batch [N, side, side, channels], without preprocessing, mirroring and calibration: [N, outputs]
    /// for classes, [N, side, side, 1] for a mask.
    ///
    /// # Errors
    /// If the batch has another shape or the network fails.
    pub fn bare_output(&self, input: &Tensor) -> Result<Tensor, ModelError> {
        self.network.infer(input, &|| false).map_err(|reason| ModelError::Run { id: self.card.id.clone(), reason })
    }

    fn expect(&self, fits: bool, wanted: &'static str) -> Result<(), ModelError> {
        let (id, task) = (self.card.id.clone(), task_name(self.card.task));
        if fits { Ok(()) } else { Err(ModelError::Task { id, task, wanted }) }
    }

    /// Class probabilities of a slice, alone or among those beside it.
    pub fn classify(
        &self,
        slice: impl Into<Neighbourhood>,
        cancelled: &(dyn Fn() -> bool + Sync),
    ) -> Result<Classification, ModelError> {
        self.classify_all(&[slice.into()], cancelled)?.pop().ok_or_else(|| self.silent())
    }

    /// As [`Self::classify`] for several slices at once, which is faster than one by one.
    pub fn classify_all(
        &self,
        slices: &[Neighbourhood],
        cancelled: &(dyn Fn() -> bool + Sync),
    ) -> Result<Vec<Classification>, ModelError> {
        self.expect(self.card.task != Task::Segmentation, "a classifier")?;
        let (outputs, milliseconds) = self.run(slices, cancelled)?;
        let answers = if self.card.task == Task::Binary { Answers::YesOrNo } else { Answers::OneOf };
        let classification = |(values, seen): (Vec<f32>, &Neighbourhood)| {
            let p: Vec<f64> = match (answers, values.as_slice()) {
                (Answers::YesOrNo, [p]) => vec![f64::from(*p), 1.0 - f64::from(*p)],
                _ => values.iter().map(|p| f64::from(*p)).collect(),
            };
            Classification {
                model: self.reference(),
                answers,
                classes: self.card.classes.iter().cloned().zip(self.calibrated(&p)).collect(),
                calibrated: self.card.is_calibrated(),
                sequence: self.sequence_of(seen),
                milliseconds,
            }
        };
        Ok(outputs.into_iter().zip(slices).map(classification).collect())
    }

    /// What the model is given of a picture of several sequences.
    fn sequence_of(&self, seen: &Neighbourhood) -> Option<Sequence> {
        seen.slice.is_coloured().then(|| self.card.input.sequence.given())
    }

    fn silent(&self) -> ModelError {
        ModelError::NotANumber { id: self.card.id.clone() }
    }

    /// A tumour probability per pixel of a slice, alone or among those beside it.
    pub fn segment(
        &self,
        slice: impl Into<Neighbourhood>,
        cancelled: &(dyn Fn() -> bool + Sync),
    ) -> Result<Segmentation, ModelError> {
        self.segment_all(&[slice.into()], cancelled)?.pop().ok_or_else(|| self.silent())
    }

    /// As [`Self::segment`] for several slices at once.
    pub fn segment_all(
        &self,
        slices: &[Neighbourhood],
        cancelled: &(dyn Fn() -> bool + Sync),
    ) -> Result<Vec<Segmentation>, ModelError> {
        self.expect(self.card.task == Task::Segmentation, "a segmenter")?;
        let (outputs, milliseconds) = self.run(slices, cancelled)?;
        let segmentation = |(maps, seen): (Vec<f32>, &Neighbourhood)| Segmentation {
            model: self.reference(),
            sequence: self.sequence_of(seen),
            square: self.finding(maps),
            placement: preprocess::placement(&seen.slice, &self.card.input),
            width: seen.slice.width(),
            height: seen.slice.height(),
            milliseconds,
        };
        Ok(outputs.into_iter().zip(slices).map(segmentation).collect())
    }

    /// Probability of any finding at each pixel of maps of the card's classes: what the background leaves, or the largest where no
    /// class is the background.
    fn finding(&self, maps: Vec<f32>) -> Vec<f32> {
        let classes = &self.card.classes;
        if classes.len() == 1 {
            return maps;
        }
        let background = classes.iter().position(|class| is_normal_class(class));
        let of_pixel = |pixel: &[f32]| match background {
            Some(background) => 1.0 - pixel[background],
            None => pixel.iter().copied().fold(0.0, f32::max),
        };
        maps.chunks_exact(classes.len()).map(of_pixel).collect()
    }

    /// Temperature scaling (Guo et al. 2017) of probabilities that sum to one: logits divided by the card's temperature T are
    /// powers p^(1/T), summing to one again. A card without calibration changes nothing.
    fn calibrated(&self, p: &[f64]) -> Vec<f64> {
        let Some(calibration) = self.card.calibration else { return p.to_vec() };
        let powers: Vec<f64> = p.iter().map(|p| p.max(1e-12).powf(1.0 / calibration.temperature)).collect();
        let total: f64 = powers.iter().sum();
        powers.into_iter().map(|power| power / total).collect()
    }
}

//! A model that can answer: card, graph and weights together.

use crate::domain::card::{Card, InputSpec, STORED_GRAPH, Task};
use crate::domain::prediction::ModelRef;
use candle_core::Device;
use lesionlens_nn::exec::{ExecError, Parameters};
use lesionlens_nn::graph::{Graph, Shape};
use lesionlens_nn::network::{Network, Runner};
use lesionlens_nn::plan::isa::Isa;
use lesionlens_nn::torch::TorchError;
use lesionlens_nn::torch::stock::{Kind, Stock};
use lesionlens_nn::weights::{self, WeightsError};
use lesionlens_nn::zoo::{Architecture, Format};
use sha2::{Digest, Sha256};
use std::borrow::Cow;
use std::path::{Path, PathBuf};

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
    #[error(
        "model `{id}` is a transformer that runs outside this program's graphs; its inner layers cannot be looked at"
    )]
    NoGraph { id: String },
    #[error(
        "model `{id}` is a transformer that runs outside this program's graphs: Grad-CAM is not available for it; ask for occlusion instead"
    )]
    NotExplained { id: String },
    #[error("model `{id}` loses places in its first layer, so that Grad-CAM has no map; ask for occlusion instead")]
    NoMap { id: String },
    #[error("model `{id}` has no map `{layer}` to explain its answers on; it offers {}", known.join(", "))]
    NoLayer { id: String, layer: String, known: Vec<String> },
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
    let probed = match &card.input_gate {
        Some(gate) => probed(&graph, &gate.layers, gate.mean.len())
            .map_err(|problem| ModelError::Card { place: place.into(), problem })?,
        None => graph.clone(),
    };
    let parameters = weights::load(&graph, bytes, &Device::Cpu)
        .map_err(|reason| ModelError::Weights { place: place.into(), reason })?;
    // Nobody has measured what bf16 does to weights from elsewhere.
    let exact = || Isa::forced().unwrap_or_else(Isa::exact);
    let isa = || if card.metrics.is_empty() { exact() } else { Isa::for_network(&graph) };
    let runner = match runner {
        Runner::Cpu(None) => &Runner::Cpu(Some(isa())),
        other => other,
    };
    Network::new(&probed, parameters, runner)
        .map_err(|e| ModelError::Card { place: place.into(), problem: e.to_string() })
}

/// The network with the means of the gate's layers behind its answer; `count` is how many these are.
fn probed(graph: &Graph, layers: &[String], count: usize) -> Result<Graph, String> {
    let missing = |name: &String| format!("`input_gate` names layer `{name}`, which the network has not");
    let found = layers.iter().map(|name| graph.find(name).ok_or_else(|| missing(name)));
    let ids = found.collect::<Result<Vec<_>, _>>()?;
    let channels: usize = ids.iter().map(|id| graph.node(*id).shape.channels()).sum();
    if channels != count {
        return Err(format!("`input_gate` has numbers for {count} channels, its layers have {channels}"));
    }
    graph.probed(&ids).map_err(|e| e.to_string())
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
    pub(super) card: Card,
    pub(super) network: Network,
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
}

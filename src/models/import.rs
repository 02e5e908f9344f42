//! A network trained elsewhere, in Keras or PyTorch → a model folder: what the file holds, what its owner says of it, and the writing.

use super::model::ModelError;
use super::registry;
use crate::domain::card::{
    Card, CardText, Identity, InputSpec, Luminance, Resize, SIDES, STORED_GRAPH, Scale, Sequence, Task, is_model_id,
};
use crate::files::write_atomically;
use lesionlens_nn::exec::Parameters;
use lesionlens_nn::graph::{Activation, Graph, Op, Shape};
use lesionlens_nn::keras::{self, KerasError};
use lesionlens_nn::torch::stock::Kind;
use lesionlens_nn::torch::{self, Flavour, Hints, TorchError, TorchModel};
use lesionlens_nn::weights::{self, Precision};
use lesionlens_nn::zoo::{Architecture, Format};
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};

/// Longest `model.to_json()` that is read.
const MAX_CONFIG_BYTES: u64 = 64 << 20;

/// Why a file was not imported; nothing is left behind.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    #[error("{path}: {problem}")]
    File { path: PathBuf, problem: String },
    #[error("`{0}` is no model id; use lower-case letters, digits, `-` and `_`")]
    Id(String),
    #[error("`{0}` is the name of a built-in model, which the new one would hide; choose another --id")]
    Reserved(String),
    #[error("{0} already exists; choose another --id or --out, or remove the folder")]
    Exists(PathBuf),
    #[error("{path}: {reason}")]
    Keras { path: PathBuf, reason: KerasError },
    #[error("{path}: {reason}")]
    Torch { path: PathBuf, reason: TorchError },
    #[error("{path}: says itself what it holds; leave --{option} out")]
    Superfluous { path: PathBuf, option: &'static str },
    #[error("{path}: takes pictures of {only} pixels, not {side}")]
    Side { path: PathBuf, side: usize, only: usize },
    #[error(
        "{path}: answers with {shape}; a classifier gives a vector, a segmenter a map of one channel at its input's size"
    )]
    Output { path: PathBuf, shape: Shape },
    #[error("{path}: does not end in a {wanted}, so its answers are no probabilities; add one and save it again")]
    Logits { path: PathBuf, wanted: String },
    #[error("{path}: takes {shape}; networks here take square pictures of 1 or 3 channels, 16 to 2048 pixels wide")]
    Input { path: PathBuf, shape: Shape },
    #[error("{wanted} class names are needed, {given} were given")]
    Classes { wanted: usize, given: usize },
    #[error("{0}")]
    Card(String),
    #[error(transparent)]
    Model(#[from] ModelError),
}

/// What a file turned out to hold.
#[derive(Debug)]
pub struct Found {
    file: PathBuf,
    network: FoundNetwork,
    parameters: Parameters,
    /// Of a PyTorch network.
    state_dict: Option<StateDict>,
    pub format: Format,
    pub task: Task,
}

/// What runs it.
#[derive(Debug)]
enum FoundNetwork {
    /// One of the program's own, whatever the file calls its layers.
    Known(Architecture),
    /// A graph that is stored with the weights; with its published name where it has one.
    Graph(Option<&'static str>, Graph),
    /// candle-transformers.
    Stock(Kind),
}

/// The tensors of a state dict as they came, which do not tell the size of the pictures.
#[derive(Debug)]
struct StateDict {
    tensors: Parameters,
    flavour: Flavour,
}

/// What the file's owner says of it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Wishes {
    pub id: String,
    /// In the order of the network's outputs; the class of interest first for a single output.
    pub classes: Option<Vec<String>>,
    pub scale: Option<Scale>,
    /// In 0.01–0.99.
    pub threshold: Option<f64>,
    /// Such as "CT, axial, kidney".
    pub modality: Option<String>,
    /// Side of the square input in pixels, for a network that takes any.
    pub side: Option<usize>,
    /// It is an EfficientNet that came from TensorFlow, whatever its file is called.
    pub from_tensorflow: bool,
}

impl Found {
    /// The program's own architecture that it is.
    pub fn architecture(&self) -> Option<Architecture> {
        match self.network {
            FoundNetwork::Known(architecture) => Some(architecture),
            FoundNetwork::Graph(..) | FoundNetwork::Stock(_) => None,
        }
    }

    /// What people call it; `None` for a network of its own.
    pub fn name(&self) -> Option<&'static str> {
        match &self.network {
            FoundNetwork::Known(architecture) => Some(architecture.id()),
            FoundNetwork::Graph(name, _) => *name,
            FoundNetwork::Stock(kind) => Some(kind.name()),
        }
    }

    /// Whether it came from PyTorch.
    pub fn is_state_dict(&self) -> bool {
        self.state_dict.is_some()
    }

    /// Whether the size of its pictures is for its owner to say.
    pub fn takes_any_side(&self) -> bool {
        self.state_dict.is_some() && !matches!(self.network, FoundNetwork::Stock(Kind::VisionTransformer))
    }

    /// The same network for pictures of another size.
    fn with_side(&self, side: usize) -> Result<Found, ImportError> {
        if !SIDES.contains(&side) {
            let shape = Shape::Image { height: side, width: side, channels: self.format.channels };
            return Err(ImportError::Input { path: self.file.clone(), shape });
        }
        if let Some(StateDict { tensors, flavour }) = &self.state_dict {
            return of_state_dict(&self.file, tensors.clone(), Hints { side: Some(side), flavour: *flavour });
        }
        let only = self.format.side;
        let fixed = || ImportError::Side { path: self.file.clone(), side, only };
        let FoundNetwork::Known(architecture) = self.network else { return Err(fixed()) };
        // Weights of convolutions serve any size; a layer behind a flattened map does not.
        let format = Format { side, ..self.format };
        let graph = architecture.with(format).map_err(|_| fixed())?;
        weights::check(&graph, &self.parameters).map_err(|_| fixed())?;
        let (network, parameters) = (FoundNetwork::Known(architecture), self.parameters.clone());
        Ok(Found { file: self.file.clone(), network, parameters, state_dict: None, format, task: self.task })
    }

    /// The same network, padded and normalised as TensorFlow does.
    fn in_flavour(&self, flavour: Flavour) -> Result<Found, ImportError> {
        let StateDict { tensors, .. } = self
            .state_dict
            .as_ref()
            .ok_or_else(|| ImportError::Superfluous { path: self.file.clone(), option: "tensorflow" })?;
        of_state_dict(&self.file, tensors.clone(), Hints { side: Some(self.format.side), flavour })
    }

    /// Whether its tensors are those of a ViT that was trained on values from −1 to 1, as timm's and transformers' are but for DINOv2.
    fn is_plain_transformer(&self) -> bool {
        let has = |name: &str| self.parameters.contains_key(name);
        has("vit.embeddings.cls_token") || has("patch_embed.proj.weight") && !has("blocks.0.ls1.gamma")
    }

    /// Names of the classes that a file cannot tell: placeholders, to be replaced by whoever knows.
    pub fn usual_classes(&self) -> Vec<String> {
        match self.task {
            Task::Binary => vec!["tumor".into(), "no_tumor".into()],
            Task::Segmentation => vec!["tumor".into()],
            Task::Multiclass => (1..=self.format.outputs).map(|i| format!("class_{i}")).collect(),
        }
    }

    /// How networks of its kind are usually fed.
    pub fn usual_scale(&self) -> Scale {
        match self.architecture() {
            _ if self.is_plain_transformer() => Scale::Tf,
            _ if self.state_dict.is_some() => Scale::Torch,
            Some(Architecture::Resunet | Architecture::EfficientnetUnet) => Scale::Standardize,
            Some(Architecture::Vgg16 | Architecture::Vgg16V2 | Architecture::Resnet50) => Scale::Caffe,
            Some(Architecture::InceptionV3 | Architecture::EfficientnetLite0) => Scale::Tf,
            Some(Architecture::ResnetClassifier | Architecture::SmallCnn) | None => Scale::Unit,
        }
    }
}

/// Reads a Keras file or a PyTorch state dict; of a Keras file `wanted` is what it must hold, and `config` the text of `model.to_json()` where it
/// holds weights alone.
///
/// # Errors
/// If the file is damaged, holds something else, or a network that answers neither with classes nor with a mask.
pub fn inspect(file: &Path, wanted: Option<Architecture>, config: Option<&Path>) -> Result<Found, ImportError> {
    let failed =
        |path: &Path, e: std::io::Error| ImportError::File { path: path.to_path_buf(), problem: e.to_string() };
    let keras_failed = |reason: KerasError| ImportError::Keras { path: file.to_path_buf(), reason };
    let bounded = |path: &Path, limit: u64| -> Result<Vec<u8>, ImportError> {
        let length = std::fs::metadata(path).map_err(|e| failed(path, e))?.len();
        let problem = format!("is larger than {} MiB", limit >> 20);
        if length > limit {
            return Err(ImportError::File { path: path.to_path_buf(), problem });
        }
        std::fs::read(path).map_err(|e| failed(path, e))
    };
    let text = |path: &Path| -> Result<String, ImportError> {
        let problem = "is no UTF-8 text".to_string();
        String::from_utf8(bounded(path, MAX_CONFIG_BYTES)?)
            .map_err(|_| ImportError::File { path: path.to_path_buf(), problem })
    };
    let superfluous = |option: &'static str| ImportError::Superfluous { path: file.to_path_buf(), option };
    let bytes = bounded(file, keras::MAX_FILE_BYTES as u64)?;
    if torch::is_state_dict(&bytes) {
        if wanted.is_some() || config.is_some() {
            return Err(superfluous(if config.is_some() { "config" } else { "architecture" }));
        }
        return from_torch(file, &bytes);
    }
    let config = config.map(text).transpose()?;
    let model = keras::read(bytes, config, wanted).map_err(keras_failed)?;
    let format = format(file, &model.graph)?;
    let task = task(file, &model.graph)?;
    let known =
        |architecture: &Architecture| architecture.with(format).is_ok_and(|graph| model.graph.matching(&graph).is_ok());
    let architecture = wanted.or_else(|| Architecture::ALL.into_iter().find(known));
    let (network, parameters) = match architecture {
        None => (FoundNetwork::Graph(None, model.graph), model.weights),
        Some(architecture) => {
            let graph = architecture.with(format).map_err(|e| keras_failed(e.into()))?;
            let parameters = model.renamed(&graph, architecture.id()).map_err(keras_failed)?;
            (FoundNetwork::Known(architecture), parameters)
        }
    };
    Ok(Found { file: file.to_path_buf(), network, parameters, state_dict: None, format, task })
}

/// Reads a state dict; timm's `tf_` models are known by the file's name alone.
fn from_torch(file: &Path, bytes: &[u8]) -> Result<Found, ImportError> {
    let tensors = torch::read(bytes);
    let tensors = tensors.map_err(|reason| ImportError::Torch { path: file.to_path_buf(), reason })?;
    let name = file.file_name().map(|name| name.to_string_lossy().to_lowercase()).unwrap_or_default();
    let is_tensorflow = name.contains("tf_efficientnet") || name.contains("_pruned");
    let flavour = if is_tensorflow { Flavour::TensorFlow } else { Flavour::Torch };
    of_state_dict(file, tensors, Hints { side: None, flavour })
}

/// Finds the network that tensors belong to.
fn of_state_dict(file: &Path, tensors: Parameters, hints: Hints) -> Result<Found, ImportError> {
    let state_dict = Some(StateDict { tensors: tensors.clone(), flavour: hints.flavour });
    let found = torch::recognise(tensors, hints);
    let found = found.map_err(|reason| ImportError::Torch { path: file.to_path_buf(), reason })?;
    let (network, parameters, format, task) = match found {
        TorchModel::Graph { name, graph, weights } => {
            let (format, task) = (format(file, &graph)?, task(file, &graph)?);
            (FoundNetwork::Graph(Some(name), graph), weights, format, task)
        }
        TorchModel::Stock { kind, side, outputs, weights } => {
            let task = if outputs == 1 { Task::Binary } else { Task::Multiclass };
            (FoundNetwork::Stock(kind), weights, Format { side, channels: 3, outputs }, task)
        }
    };
    Ok(Found { file: file.to_path_buf(), network, parameters, state_dict, format, task })
}

/// Writes `out/id/`; returns that folder.
///
/// # Errors
/// If the id is taken or unusable, class names do not fit, or the folder cannot be written.
pub fn install(found: &Found, wishes: &Wishes, out: &Path) -> Result<PathBuf, ImportError> {
    let failed = |path: &Path, problem: String| ImportError::File { path: path.to_path_buf(), problem };
    let keras_failed = |reason: KerasError| ImportError::Keras { path: found.file.clone(), reason };
    let id = &wishes.id;
    if !is_model_id(id) {
        return Err(ImportError::Id(id.clone()));
    }
    if registry::embedded().any(|(built_in, _)| built_in == id) {
        return Err(ImportError::Reserved(id.clone()));
    }
    let folder = out.join(id);
    if folder.exists() {
        return Err(ImportError::Exists(folder));
    }
    let flavoured = wishes.from_tensorflow.then(|| found.in_flavour(Flavour::TensorFlow)).transpose()?;
    let found = flavoured.as_ref().unwrap_or(found);
    let resized =
        wishes.side.filter(|side| *side != found.format.side).map(|side| found.with_side(side)).transpose()?;
    let found = resized.as_ref().unwrap_or(found);
    let graph = match &found.network {
        FoundNetwork::Graph(_, graph) => Some(graph),
        FoundNetwork::Known(..) | FoundNetwork::Stock(_) => None,
    };
    let weights = weights::write(&found.parameters, Precision::F32, graph).map_err(|e| keras_failed(e.into()))?;
    let card = card(found, wishes, &weights)?;
    let card = toml::to_string(&card).map_err(|e| failed(&found.file, e.to_string()))?;
    // Built beside its place and renamed, so that no half-written model is ever found.
    std::fs::create_dir_all(out).map_err(|e| failed(out, e.to_string()))?;
    let building =
        tempfile::Builder::new().prefix(".import-").tempdir_in(out).map_err(|e| failed(out, e.to_string()))?;
    for (name, content) in [("model.safetensors", weights.as_slice()), ("card.toml", card.as_bytes())] {
        let path = building.path().join(name);
        write_atomically(&path, content).map_err(|e| failed(&path, e.to_string()))?;
    }
    std::fs::rename(building.path(), &folder).map_err(|e| failed(&folder, e.to_string()))?;
    open_to_all(&folder);
    Ok(folder)
}

/// Temporary folders are private; a model folder is like any other.
fn open_to_all(folder: &Path) {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        // The model works for its owner either way.
        std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755)).ok();
    }
    #[cfg(not(unix))]
    let _ = folder;
}

/// Input and output sizes as the file has them.
fn format(file: &Path, graph: &Graph) -> Result<Format, ImportError> {
    let shape = graph.input_shape();
    match shape {
        Shape::Image { height, width, channels: channels @ (1 | 3) } if height == width && SIDES.contains(&width) => {
            Ok(Format { side: width, channels, outputs: graph.output_shape().channels() })
        }
        _ => Err(ImportError::Input { path: file.to_path_buf(), shape }),
    }
}

/// What the network answers with, by the shape of its output and its last activation.
fn task(file: &Path, graph: &Graph) -> Result<Task, ImportError> {
    let Shape::Image { height, width, .. } = graph.input_shape() else {
        return Err(ImportError::Input { path: file.to_path_buf(), shape: graph.input_shape() });
    };
    let last = match graph.node(graph.output()).op {
        Op::Activation { function } => Some(function),
        _ => None,
    };
    let (task, wanted) = match graph.output_shape() {
        Shape::Vector { len: 1 } => (Task::Binary, Activation::Sigmoid),
        Shape::Vector { .. } => (Task::Multiclass, Activation::Softmax),
        Shape::Image { height: h, width: w, channels: 1 } if (h, w) == (height, width) => {
            (Task::Segmentation, Activation::Sigmoid)
        }
        shape => return Err(ImportError::Output { path: file.to_path_buf(), shape }),
    };
    if last != Some(wanted) {
        return Err(ImportError::Logits { path: file.to_path_buf(), wanted: format!("{wanted:?}").to_lowercase() });
    }
    Ok(task)
}

const UNKNOWN: &str = "Imported: LesionLens knows nothing of its training data or accuracy.";
/// Pools for anti-aliasing, padding and attention heads leave no trace in tensors.
const UNKNOWN_VARIANT: &str = "Imported from a state dict, which does not say which variant of its architecture it is (anti-aliasing, padding, attention heads): compare its answers with PyTorch's by `models verify`. LesionLens knows nothing of its training data or accuracy.";

fn card(found: &Found, wishes: &Wishes, weights: &[u8]) -> Result<Card, ImportError> {
    let name = found.file.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let usual = found.usual_classes();
    let classes = wishes.classes.clone().unwrap_or_else(|| usual.clone());
    if classes.len() != usual.len() {
        return Err(ImportError::Classes { wanted: usual.len(), given: classes.len() });
    }
    let identity = Identity {
        id: wishes.id.clone(),
        architecture: match &found.network {
            FoundNetwork::Known(architecture) => architecture.id(),
            FoundNetwork::Graph(..) => STORED_GRAPH,
            FoundNetwork::Stock(kind) => kind.id(),
        }
        .into(),
        task: found.task,
        input: InputSpec {
            side: found.format.side,
            channels: found.format.channels,
            scale: wishes.scale.unwrap_or(found.usual_scale()),
            resize: Resize::Fit,
            luminance: Luminance::Rec601,
            sequence: Sequence::default(),
            neighbours: false,
            mirrored: false,
            modality: wishes.modality.clone().unwrap_or_else(|| "unknown".into()),
        },
        sha256: format!("{:x}", Sha256::digest(weights)),
    };
    let text = CardText {
        name: format!("{} (imported)", wishes.id),
        version: "1".into(),
        classes,
        data: format!("imported from {name}"),
        licence: "unknown; ask whoever trained it".into(),
        intended_use: "Research only; not a medical device.".into(),
        limits: if found.state_dict.is_some() { UNKNOWN_VARIANT } else { UNKNOWN }.into(),
    };
    let mut card = Card::unmeasured(identity, text);
    card.threshold.default = wishes.threshold.unwrap_or(card.threshold.default);
    match card.problem() {
        Some(problem) => Err(ImportError::Card(problem)),
        None => Ok(card),
    }
}

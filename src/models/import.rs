//! A network trained elsewhere, in Keras or PyTorch → a model folder: what the file holds, what its owner says of it, and the writing.

use super::kind::{self, ModelFile, OtherFile};
use super::model::ModelError;
use super::registry;
use crate::domain::card::{
    Card, CardText, Identity, InputSpec, Luminance, Resize, SIDES, STORED_GRAPH, Scale, Sequence, Task, is_model_id,
    is_normal_class,
};
use crate::files::write_atomically;
use lesionlens_nn::exec::Parameters;
use lesionlens_nn::graph::{Activation, Builder, Graph, NodeId, Op, Shape};
use lesionlens_nn::keras::{self, AnySide, KerasError};
use lesionlens_nn::onnx::{OnnxError, OnnxFile};
use lesionlens_nn::torch::stock::Kind;
use lesionlens_nn::torch::{self, Flavour, Hints, TorchError, TorchModel};
use lesionlens_nn::weights::{self, Precision};
use lesionlens_nn::zoo::{Architecture, Format};
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use std::sync::Arc;

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
    #[error("{path} {what}")]
    Other { path: PathBuf, what: OtherFile },
    #[error("{path}: {reason}")]
    Onnx { path: PathBuf, reason: OnnxError },
    #[error("{path}: says itself what it holds; leave --{option} out")]
    Superfluous { path: PathBuf, option: &'static str },
    #[error("{path}: takes pictures of {only} pixels, not {side}")]
    Side { path: PathBuf, side: usize, only: usize },
    #[error(
        "{path}: answers with {shape}; a classifier gives a vector, a segmenter a map at its input's size (with `same` padding)"
    )]
    Output { path: PathBuf, shape: Shape },
    #[error(
        "{path}: ends in {last}, whose values are no probabilities; end it in a sigmoid or softmax, or in the bare scores before them, and save it again"
    )]
    Closing { path: PathBuf, last: String },
    #[error(
        "{path}: ends in a softmax over one value, which is 1 whatever the picture shows; train it with a sigmoid, or with two outputs"
    )]
    Constant { path: PathBuf },
    #[error(
        "{path}: takes pictures of {channels} channels; networks here take 1 or 3 (a study's sequences are shown one at a time, so a network that was trained on {channels} cannot be asked)"
    )]
    Channels { path: PathBuf, channels: usize },
    #[error("{path}: takes {shape}; networks here take square pictures, so make its input square and train it again")]
    Square { path: PathBuf, shape: Shape },
    #[error(
        "a mask whose channels exclude each other needs one class for what is no finding; call it `background` in --classes"
    )]
    Background,
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
    /// What rebuilds a network that takes pictures of any size.
    any_side: Option<AnySize>,
    /// The file's network gave scores, which this function makes probabilities.
    pub added: Option<Activation>,
    pub format: Format,
    pub task: Task,
}

/// A network that takes pictures of any size, as its file has it.
#[derive(Debug, Clone)]
enum AnySize {
    Keras(AnySide),
    Onnx(Arc<OnnxFile>),
}

impl AnySize {
    fn graph(&self, file: &Path, side: usize) -> Result<Graph, ImportError> {
        match self {
            AnySize::Keras(network) => {
                network.graph(side).map_err(|reason| ImportError::Keras { path: file.to_path_buf(), reason })
            }
            AnySize::Onnx(network) => {
                let network = network.network(Some(side));
                Ok(network.map_err(|reason| ImportError::Onnx { path: file.to_path_buf(), reason })?.graph)
            }
        }
    }
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
        self.any_side.is_some()
            || self.state_dict.is_some() && !matches!(self.network, FoundNetwork::Stock(Kind::VisionTransformer))
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
        if let (Some(any), FoundNetwork::Graph(name, _)) = (&self.any_side, &self.network) {
            let keras_failed = |reason: KerasError| ImportError::Keras { path: self.file.clone(), reason };
            let (graph, added, task) = answering(&self.file, any.graph(&self.file, side)?)?;
            weights::check(&graph, &self.parameters).map_err(|e| keras_failed(e.into()))?;
            let format = format(&self.file, &graph)?;
            return Ok(Found {
                file: self.file.clone(),
                network: FoundNetwork::Graph(*name, graph),
                parameters: self.parameters.clone(),
                state_dict: None,
                any_side: self.any_side.clone(),
                added,
                format,
                task,
            });
        }
        let only = self.format.side;
        let fixed = || ImportError::Side { path: self.file.clone(), side, only };
        let FoundNetwork::Known(architecture) = self.network else { return Err(fixed()) };
        // Weights of convolutions serve any size; a layer behind a flattened map does not.
        let format = Format { side, ..self.format };
        let graph = architecture.with(format).map_err(|_| fixed())?;
        weights::check(&graph, &self.parameters).map_err(|_| fixed())?;
        let (network, parameters) = (FoundNetwork::Known(architecture), self.parameters.clone());
        let (file, added, task) = (self.file.clone(), self.added, self.task);
        Ok(Found { file, network, parameters, state_dict: None, any_side: None, added, format, task })
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
            Task::Segmentation if self.format.outputs > 1 => {
                let others = (1..self.format.outputs).map(|i| format!("class_{i}"));
                let first = if self.excludes() { "background" } else { "class_0" };
                std::iter::once(first.to_string()).chain(others).collect()
            }
            Task::Segmentation => vec!["tumor".into()],
            Task::Multiclass => (1..=self.format.outputs).map(|i| format!("class_{i}")).collect(),
        }
    }

    /// Whether its outputs exclude each other, as those of a softmax do.
    fn excludes(&self) -> bool {
        match &self.network {
            FoundNetwork::Graph(_, graph) => closing(graph) == Some(Activation::Softmax),
            _ => self.task == Task::Multiclass,
        }
    }

    /// How networks of its kind are usually fed, and how that is known.
    pub fn usual_scale(&self) -> (Scale, ScaleSource) {
        if let FoundNetwork::Graph(_, graph) = &self.network {
            if let Some(scale) = own_scaling(graph, &self.parameters) {
                return (scale, ScaleSource::OwnLayer);
            }
            if let Some((base, scale)) = known_base(graph) {
                return (scale, ScaleSource::Base(base));
            }
        }
        let source = if self.state_dict.is_some() || self.architecture().is_some() {
            ScaleSource::Usual
        } else {
            ScaleSource::Guess
        };
        (self.scale_of_kind(), source)
    }

    fn scale_of_kind(&self) -> Scale {
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

/// Reads a Keras file, a PyTorch state dict or an ONNX file; of a Keras file `wanted` is what it must hold, and `config` the text of `model.to_json()` where it
/// holds weights alone.
///
/// # Errors
/// If the file is damaged, holds something else, or a network that answers neither with classes nor with a mask.
pub fn inspect(file: &Path, wanted: Option<Architecture>, config: Option<&Path>) -> Result<Found, ImportError> {
    let keras_failed = |reason: KerasError| ImportError::Keras { path: file.to_path_buf(), reason };
    let text = |path: &Path| -> Result<String, ImportError> {
        let problem = "is no UTF-8 text".to_string();
        String::from_utf8(bounded(path, MAX_CONFIG_BYTES)?)
            .map_err(|_| ImportError::File { path: path.to_path_buf(), problem })
    };
    let superfluous = |option: &'static str| ImportError::Superfluous { path: file.to_path_buf(), option };
    let other = |what: OtherFile| ImportError::Other { path: file.to_path_buf(), what };
    if file.is_dir() {
        return Err(other(kind::of_folder(file)));
    }
    let bytes = bounded(file, keras::MAX_FILE_BYTES as u64)?;
    let files = match (kind::of_file(file, &bytes), config) {
        (Ok(ModelFile::Keras), _) => vec![bytes],
        (Ok(ModelFile::StateDict | ModelFile::Onnx), _) if wanted.is_some() || config.is_some() => {
            return Err(superfluous(if config.is_some() { "config" } else { "architecture" }));
        }
        (Err(OtherFile::ShardList), Some(_)) => shards(file, &bytes)?,
        (Ok(ModelFile::StateDict), _) => return from_torch(file, &bytes),
        (Ok(ModelFile::Onnx), _) => return from_onnx(file, &bytes),
        (Err(what), _) => return Err(other(what)),
    };
    let config = config.map(text).transpose()?;
    let model = keras::read(files, config, wanted).map_err(keras_failed)?;
    let format = format(file, &model.graph)?;
    let (graph, added, task) = answering(file, model.graph.clone())?;
    let known =
        |architecture: &Architecture| architecture.with(format).is_ok_and(|graph| model.graph.matching(&graph).is_ok());
    let architecture = wanted.or_else(|| Architecture::ALL.into_iter().find(known));
    let any_side = model.any_side.clone().map(AnySize::Keras);
    let (network, parameters) = match architecture {
        None => (FoundNetwork::Graph(None, graph), model.weights),
        Some(architecture) => {
            let graph = architecture.with(format).map_err(|e| keras_failed(e.into()))?;
            let parameters = model.renamed(&graph, architecture.id()).map_err(keras_failed)?;
            (FoundNetwork::Known(architecture), parameters)
        }
    };
    Ok(Found { file: file.to_path_buf(), network, parameters, state_dict: None, any_side, added, format, task })
}

/// Reads an ONNX file, and the files of tensors that lie beside it.
fn from_onnx(file: &Path, bytes: &[u8]) -> Result<Found, ImportError> {
    let failed = |reason: OnnxError| ImportError::Onnx { path: file.to_path_buf(), reason };
    let beside = |name: &str| {
        bounded(&file.with_file_name(name), keras::MAX_FILE_BYTES as u64).map_err(|error| error.to_string())
    };
    let parsed = OnnxFile::parse(bytes, &beside).map_err(failed)?;
    let model = parsed.network(None).map_err(failed)?;
    let format = format(file, &model.graph)?;
    let (graph, added, task) = answering(file, model.graph)?;
    let any_side = model.any_side.then(|| AnySize::Onnx(Arc::new(parsed)));
    let (network, parameters) = (FoundNetwork::Graph(None, graph), model.weights);
    Ok(Found { file: file.to_path_buf(), network, parameters, state_dict: None, any_side, added, format, task })
}

/// The bytes of a file that is not larger than `limit`.
fn bounded(path: &Path, limit: u64) -> Result<Vec<u8>, ImportError> {
    let failed = |problem: String| ImportError::File { path: path.to_path_buf(), problem };
    let length = std::fs::metadata(path).map_err(|e| failed(e.to_string()))?.len();
    if length > limit {
        return Err(failed(format!("is larger than {} MiB", limit >> 20)));
    }
    std::fs::read(path).map_err(|e| failed(e.to_string()))
}

/// The files that a list of shards names, which lie beside it.
fn shards(list: &Path, bytes: &[u8]) -> Result<Vec<Vec<u8>>, ImportError> {
    let failed = |problem: &str| ImportError::File { path: list.to_path_buf(), problem: problem.into() };
    let read: serde_json::Value = serde_json::from_slice(bytes).map_err(|_| failed("is no readable list of shards"))?;
    let map = read.get("weight_map").and_then(serde_json::Value::as_object);
    let map = map.ok_or_else(|| failed("is no list of shards: it has no `weight_map`"))?;
    let named =
        map.values().flat_map(|value| value.as_array().into_iter().flatten().chain(value.is_string().then_some(value)));
    let names: std::collections::BTreeSet<&str> = named.filter_map(serde_json::Value::as_str).collect();
    if names.iter().any(|name| Path::new(name).file_name().is_none_or(|plain| plain != *name)) {
        return Err(failed("names shards in other folders; those beside it only are read"));
    }
    let mut room = keras::MAX_FILE_BYTES as u64;
    let mut read = |name: &&str| {
        let bytes = bounded(&list.with_file_name(name), room)?;
        room -= bytes.len() as u64;
        Ok(bytes)
    };
    names.iter().map(&mut read).collect()
}

/// Reads a state dict; timm's `tf_` models are known by the file's name alone.
fn from_torch(file: &Path, bytes: &[u8]) -> Result<Found, ImportError> {
    let tensors = torch::read(bytes);
    let tensors = tensors.map_err(|reason| ImportError::Torch { path: file.to_path_buf(), reason })?;
    let name = file.file_name().map(|name| name.to_string_lossy().to_lowercase()).unwrap_or_default();
    let is_tensorflow = ["tf_efficientnet", "tf_mobilenet", "_pruned"].iter().any(|part| name.contains(part));
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
            let format = format(file, &graph)?;
            let (graph, _, task) = answering(file, graph)?;
            (FoundNetwork::Graph(Some(name), graph), weights, format, task)
        }
        TorchModel::Stock { kind, side, outputs, weights } => {
            let task = if outputs == 1 { Task::Binary } else { Task::Multiclass };
            (FoundNetwork::Stock(kind), weights, Format { side, channels: 3, outputs }, task)
        }
    };
    // These libraries' networks give scores by rule.
    let added = Some(if format.outputs == 1 { Activation::Sigmoid } else { Activation::Softmax });
    Ok(Found { file: file.to_path_buf(), network, parameters, state_dict, any_side: None, added, format, task })
}

/// Writes `out/id/`; returns that folder.
///
/// # Errors
/// If the id is taken or unusable, class names do not fit, or the folder cannot be written.
pub fn install(found: &Found, wishes: &Wishes, out: &Path) -> Result<PathBuf, ImportError> {
    let keras_failed = |reason: KerasError| ImportError::Keras { path: found.file.clone(), reason };
    free_place(&wishes.id, out)?;
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
    store(&card, &weights, out)
}

/// The folder below `out` for a new model of this id.
///
/// # Errors
/// If the id is taken or unusable.
fn free_place(id: &str, out: &Path) -> Result<PathBuf, ImportError> {
    if !is_model_id(id) {
        return Err(ImportError::Id(id.to_string()));
    }
    if registry::embedded().any(|(built_in, _)| built_in == id) {
        return Err(ImportError::Reserved(id.to_string()));
    }
    let folder = out.join(id);
    if folder.exists() { Err(ImportError::Exists(folder)) } else { Ok(folder) }
}

/// Writes a model's two files as a new folder below `out`, called as the card's id; returns that folder.
///
/// # Errors
/// If the id is taken or unusable, or the folder cannot be written.
pub fn store(card: &Card, weights: &[u8], out: &Path) -> Result<PathBuf, ImportError> {
    let failed = |path: &Path, problem: String| ImportError::File { path: path.to_path_buf(), problem };
    let folder = free_place(&card.id, out)?;
    let card = toml::to_string(card).map_err(|e| failed(&folder, e.to_string()))?;
    // Built beside its place and renamed, so that no half-written model is ever found.
    std::fs::create_dir_all(out).map_err(|e| failed(out, e.to_string()))?;
    let building =
        tempfile::Builder::new().prefix(".import-").tempdir_in(out).map_err(|e| failed(out, e.to_string()))?;
    for (name, content) in [("model.safetensors", weights), ("card.toml", card.as_bytes())] {
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
    let (shape, path) = (graph.input_shape(), file.to_path_buf());
    match shape {
        Shape::Image { height, width, channels: channels @ (1 | 3) } if height == width && SIDES.contains(&width) => {
            Ok(Format { side: width, channels, outputs: graph.output_shape().channels() })
        }
        Shape::Image { channels, .. } if ![1, 3].contains(&channels) => Err(ImportError::Channels { path, channels }),
        Shape::Image { height, width, .. } if height != width => Err(ImportError::Square { path, shape }),
        _ => Err(ImportError::Input { path, shape }),
    }
}

/// The function that makes probabilities at the end of a network, whatever shape they are brought to behind it.
fn closing(graph: &Graph) -> Option<Activation> {
    match graph.node(last_work(graph)).op {
        Op::Activation { function } => Some(function),
        _ => None,
    }
}

/// The last node that does something to values.
fn last_work(graph: &Graph) -> NodeId {
    let mut last = graph.output();
    while let Op::Reshape { .. } | Op::Dropout { .. } | Op::Flatten = graph.node(last).op {
        last = graph.node(last).inputs[0];
    }
    last
}

/// The network with probabilities at its end, what was added for that, and what it answers with.
fn answering(file: &Path, graph: Graph) -> Result<(Graph, Option<Activation>, Task), ImportError> {
    let (path, shape) = (file.to_path_buf(), graph.output_shape());
    let Shape::Image { height, width, .. } = graph.input_shape() else {
        return Err(ImportError::Input { path, shape: graph.input_shape() });
    };
    let (task, outputs) = match shape {
        Shape::Vector { len: 1 } => (Task::Binary, 1),
        Shape::Vector { len } => (Task::Multiclass, len),
        Shape::Image { height: h, width: w, channels } if (h, w) == (height, width) => (Task::Segmentation, channels),
        _ => return Err(ImportError::Output { path, shape }),
    };
    match (closing(&graph), outputs) {
        (Some(Activation::Softmax), 1) => Err(ImportError::Constant { path }),
        (Some(Activation::Sigmoid | Activation::Softmax), _) => Ok((graph, None, task)),
        (Some(Activation::HardSigmoid { .. }), _) => Ok((graph, None, task)),
        (Some(_), _) => Err(ImportError::Closing { path, last: graph.node(last_work(&graph)).op.label() }),
        (None, _) => {
            let function = if outputs == 1 { Activation::Sigmoid } else { Activation::Softmax };
            let scores = graph.output();
            let mut builder = Builder::from(graph);
            builder.activation("probabilities", scores, function);
            let graph = builder.finish().map_err(|e| ImportError::File { path, problem: e.to_string() })?;
            Ok((graph, Some(function), task))
        }
    }
}

/// How a network's preprocessing is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScaleSource {
    /// A layer of the network scales grey values itself.
    OwnLayer,
    /// It is built on a base that is published with its preprocessing.
    Base(&'static str),
    /// Its architecture is usually fed so.
    Usual,
    /// Nothing tells; most networks of this kind are.
    Guess,
}

impl std::fmt::Display for ScaleSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ScaleSource::OwnLayer => f.write_str("a layer of the network scales them itself"),
            ScaleSource::Base(base) => write!(f, "it is built on {base}, which is published so"),
            ScaleSource::Usual => f.write_str("networks of this architecture usually are"),
            ScaleSource::Guess => f.write_str("nothing in the file tells and most networks are"),
        }
    }
}

/// What a network that scales its input itself is fed with.
fn own_scaling(graph: &Graph, parameters: &Parameters) -> Option<Scale> {
    let readers = graph.readers();
    let mut at = NodeId::INPUT;
    loop {
        let [next] = readers.get(at.index())?.as_slice() else { return None };
        match graph.node(*next).op {
            Op::Affine => {
                let weights = parameters.get(&format!("{}.weight", graph.node(*next).name))?;
                let largest = weights.abs().and_then(|w| w.max_all()?.to_scalar::<f32>()).ok()?;
                // A spread of more than ten is one of grey values up to 255.
                return Some(if largest < 0.1 { Scale::Raw } else { Scale::Unit });
            }
            Op::ZeroPad { .. } | Op::Dropout { .. } | Op::Resize { .. } => at = *next,
            _ => return None,
        }
    }
}

/// A base of Keras Applications by the names of its layers, with the preprocessing it was published with.
fn known_base(graph: &Graph) -> Option<(&'static str, Scale)> {
    const BASES: [(&str, &str, Scale); 14] = [
        ("block_1_expand", "MobileNetV2", Scale::Tf),
        ("conv_dw_1", "MobileNet", Scale::Tf),
        ("expanded_conv/depthwise", "MobileNetV3", Scale::Raw),
        ("block1_conv1", "VGG", Scale::Caffe),
        ("conv1_conv", "ResNet", Scale::Caffe),
        ("block14_sepconv2", "Xception", Scale::Tf),
        ("mixed7_mixed", "InceptionResNetV2", Scale::Tf),
        ("conv_7b", "InceptionResNetV2", Scale::Tf),
        ("mixed10", "InceptionV3", Scale::Tf),
        ("conv5_block16_concat", "DenseNet", Scale::Torch),
        ("conv5_block32_concat", "DenseNet", Scale::Torch),
        ("block1a_dwconv", "EfficientNet", Scale::Raw),
        ("normal_conv_1_1", "NASNet", Scale::Tf),
        ("post_relu", "ResNetV2", Scale::Tf),
    ];
    let has =
        |layer: &str| graph.nodes().iter().any(|node| node.name == layer || node.name.ends_with(&format!("/{layer}")));
    // ResNetV2 has the names of ResNet and one more.
    let found = BASES.iter().rev().find(|(layer, ..)| has(layer));
    found.map(|(_, base, scale)| (*base, *scale))
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
    if found.task == Task::Segmentation
        && usual.len() > 1
        && found.excludes()
        && !classes.iter().any(|c| is_normal_class(c))
    {
        return Err(ImportError::Background);
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
            scale: wishes.scale.unwrap_or(found.usual_scale().0),
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

//! Keras files → a [`Graph`] and its weights, read from the file's own configuration.
//!
//! The legacy HDF5 layout (`model.save("x.h5")`): attribute `model_config` holds the layers as JSON, group `model_weights` the
//! tensors. Keras 3 (`x.keras`): a zip archive of `config.json` and `model.weights.h5`, which numbers layers by class. Files of weights
//! alone need the configuration beside them. Kernels are stored rows × columns × in × out, dense kernels in × out; both are
//! transposed. HDF5 is parsed in pure Rust, on a thread of its own and under a read budget, because a hostile file may nest
//! without end.

mod activation;
mod archive;
mod config;
mod layer;
pub(crate) mod order;
mod stored;
mod tensors;

use super::exec::Parameters;
use super::graph::{Graph, GraphError};
use super::weights::{self, WeightsError};
use super::zoo::{Architecture, Format};
use hdf5_pure::{AttrValue, FormatError, Source};
use serde_json::Value;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
pub use tensors::between_groups_zero;
use tensors::{Arrangement, Shards};

/// Largest file that is read: Keras' own largest application, NASNetLarge with optimiser state, stays below.
pub const MAX_FILE_BYTES: usize = 2 << 30;
/// Deeply nested types are parsed recursively by the HDF5 library.
const STACK_BYTES: usize = 256 << 20;

/// Why a Keras file does not become a network.
#[derive(Debug, thiserror::Error)]
pub enum KerasError {
    #[error("not a readable HDF5 file: {0}")]
    Hdf5(String),
    #[error("the file is cut short or damaged at `{path}` ({problem}); copy it again")]
    Damaged { path: String, problem: String },
    #[error("not a Keras archive: {0}")]
    Archive(String),
    #[error(
        "the file holds weights only; give the text of `model.to_json()` with --config FILE.json or say what it is with --architecture, or save the whole model with `model.save`"
    )]
    NoConfig,
    #[error("its configuration cannot be followed: {0}")]
    Config(String),
    #[error(
        "it is a model of the class `{0}`; only Functional and Sequential models say what their layers do, so rebuild it as one of them, load its weights and save it again"
    )]
    Class(String),
    #[error("the model uses what LesionLens does not know:\n  {}", weights::listed(.0))]
    Unsupported(Vec<String>),
    #[error(transparent)]
    Graph(#[from] GraphError),
    #[error(transparent)]
    Weights(#[from] WeightsError),
    #[error("the model in the file is not a {architecture}: {reason}")]
    OtherArchitecture { architecture: &'static str, reason: GraphError },
}

/// A network as a Keras file describes it.
#[derive(Debug)]
pub struct KerasModel {
    pub graph: Graph,
    pub weights: Parameters,
    /// The configuration of a network that takes pictures of any size.
    pub any_side: Option<AnySide>,
}

/// What rebuilds a network for pictures of another size.
#[derive(Debug, Clone)]
pub struct AnySide(Value);

impl AnySide {
    /// The network for square pictures of `side` pixels; its tensors keep their names.
    ///
    /// # Errors
    /// If its layers do not fit such pictures.
    pub fn graph(&self, side: usize) -> Result<Graph, KerasError> {
        Ok(config::describe(&self.0, Some(side))?.graph)
    }
}

impl KerasModel {
    /// The same weights under the names of `graph`, when both describe the same computation.
    pub fn renamed(self, graph: &Graph, architecture: &'static str) -> Result<Parameters, KerasError> {
        let twins =
            self.graph.matching(graph).map_err(|reason| KerasError::OtherArchitecture { architecture, reason })?;
        let mut renamed = HashMap::new();
        for parameter in self.graph.parameters() {
            let Some(tensor) = self.weights.get(&parameter.name) else { continue };
            let name = format!("{}.{}", graph.node(twins[&parameter.node]).name, parameter.role.suffix());
            renamed.insert(name, tensor.clone());
        }
        weights::check(graph, &renamed)?;
        Ok(renamed)
    }
}

/// Parses a model: a whole one as Keras 2 or 3 writes it to `.h5` or `.keras`, or a file of weights (`.h5`, `.weights.h5`) with the
/// `config` that `model.to_json()` gives or for the `architecture` that they are said to be of. Several `files` are the shards of a
/// large model.
///
/// # Errors
/// If the file is damaged, has no configuration and none is given, or holds what is not known; all unknown layers and all missing or
/// misshapen tensors are listed.
pub fn read(
    files: Vec<Vec<u8>>,
    config: Option<String>,
    architecture: Option<Architecture>,
) -> Result<KerasModel, KerasError> {
    apart(files, move |files| read_here(files, config, architecture))
}

/// As many tensors of `graph` as a file of weights holds in their shape, by the order of its layers: where training starts from Keras'
/// own ImageNet weights without their head.
///
/// # Errors
/// If the file is damaged.
pub fn fitting(bytes: Vec<u8>, graph: Graph) -> Result<Parameters, KerasError> {
    apart(vec![bytes], move |files| {
        let file = first(opened(files)?)?;
        order::Layers::of(&file)?.fitting(&file, &graph)
    })
}

/// Whether a file is HDF5.
pub fn is_hdf5(bytes: &[u8]) -> bool {
    bytes.starts_with(b"\x89HDF\r\n\x1a\n")
}

/// Reads on a thread of its own, whose stack is deep enough.
fn apart<T: Send + 'static>(
    files: Vec<Vec<u8>>,
    read: impl FnOnce(Vec<Vec<u8>>) -> Result<T, KerasError> + Send + 'static,
) -> Result<T, KerasError> {
    if files.iter().map(Vec::len).sum::<usize>() > MAX_FILE_BYTES {
        return Err(KerasError::Hdf5(format!("larger than {} GiB", MAX_FILE_BYTES >> 30)));
    }
    let worker = std::thread::Builder::new().name("keras-import".into()).stack_size(STACK_BYTES);
    let worker = worker.spawn(move || read(files)).map_err(|e| KerasError::Hdf5(e.to_string()))?;
    worker.join().unwrap_or_else(|_| Err(KerasError::Hdf5("the HDF5 structure is damaged".into())))
}

fn opened(files: Vec<Vec<u8>>) -> Result<Vec<hdf5_pure::File>, KerasError> {
    let open = |bytes: Vec<u8>| {
        let budget = AtomicU64::new(4 * bytes.len() as u64 + (64 << 20));
        hdf5_pure::File::from_source(Budgeted { bytes, budget }).map_err(hdf5)
    };
    files.into_iter().map(open).collect()
}

fn first(files: Vec<hdf5_pure::File>) -> Result<hdf5_pure::File, KerasError> {
    files.into_iter().next().ok_or_else(|| KerasError::Hdf5("there is none".into()))
}

fn read_here(
    files: Vec<Vec<u8>>,
    config: Option<String>,
    architecture: Option<Architecture>,
) -> Result<KerasModel, KerasError> {
    let (files, config) = match files.as_slice() {
        [one] if archive::is_zip(one) => {
            let archive::Contents { weights, config } = archive::open(one)?;
            (weights, Some(config))
        }
        _ => (files, config),
    };
    let files = opened(files)?;
    let (mut own, mut groups) = (None, Vec::new());
    for file in &files {
        let attributes = file.root().attrs().map_err(hdf5)?;
        own = own.or_else(|| attributes.get("model_config").and_then(AttrValue::as_str).map(str::to_string));
        groups.extend(file.root().groups().map_err(hdf5)?);
    }
    let Some(config) = own.or(config) else {
        return of_architecture(&first(files)?, architecture.ok_or(KerasError::NoConfig)?);
    };
    let config: Value = serde_json::from_str(&config).map_err(|e| KerasError::Config(e.to_string()))?;
    let has = |name: &str| groups.iter().any(|group| group == name);
    let arrangement = if has("model_weights") {
        Arrangement::Named("model_weights/")
    } else if has("layers") {
        Arrangement::Numbered
    } else {
        Arrangement::Named("")
    };
    let description = config::describe(&config, None)?;
    let weights = Shards { files, arrangement }.read(&description)?;
    let any_side = description.any_side.then_some(AnySide(config));
    Ok(KerasModel { graph: description.graph, weights, any_side })
}

/// Sides of pictures that networks whose size their tensors fix are tried with, the architecture's own first.
const SIDES: std::ops::RangeInclusive<usize> = 16..=1024;

/// Weights alone, for a network that is known.
fn of_architecture(file: &hdf5_pure::File, architecture: Architecture) -> Result<KerasModel, KerasError> {
    let layers = order::Layers::of(file)?;
    let native = architecture.native();
    let channels = layers.channels(file).unwrap_or(native.channels);
    let outputs = layers.outputs(file).unwrap_or(native.outputs);
    let graph = |side: usize| architecture.with(Format { side, channels, outputs });
    // Only the layer behind a flattened map tells the size of the picture.
    let fits = |side: &usize| graph(*side).is_ok_and(|graph| layers.first_dense_fits(file, &graph));
    let side = std::iter::once(native.side).chain(SIDES).find(fits).unwrap_or(native.side);
    let graph = graph(side)?;
    let weights = layers.tensors(file, &graph)?;
    Ok(KerasModel { graph, weights, any_side: None })
}

fn hdf5(error: hdf5_pure::Error) -> KerasError {
    KerasError::Hdf5(error.to_string())
}

/// A file in memory that stops answering once far more was read than any honest file needs.
struct Budgeted {
    bytes: Vec<u8>,
    budget: AtomicU64,
}

impl Source for Budgeted {
    fn len(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), FormatError> {
        let cost = buffer.len() as u64 + 64;
        self.budget
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(cost))
            .map_err(|_| FormatError::Source("the file refers to itself without end".into()))?;
        let found = usize::try_from(offset)
            .ok()
            .and_then(|start| self.bytes.get(start..start.checked_add(buffer.len())?))
            .ok_or(FormatError::UnexpectedEof { expected: buffer.len(), available: self.bytes.len() })?;
        buffer.copy_from_slice(found);
        Ok(())
    }
}

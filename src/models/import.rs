//! Keras file → model folder.

use super::model::ModelError;
use super::registry;
use crate::domain::card::{Card, CardText, Identity, InputSpec, Luminance, Resize, Scale, Task, is_model_id};
use crate::files::write_atomically;
use crate::nn::graph::Graph;
use crate::nn::keras::{self, KerasError};
use crate::nn::weights::{self, Precision};
use crate::nn::zoo::{Architecture, Format};
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};

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
    #[error(transparent)]
    Model(#[from] ModelError),
}

/// Reads `file` as `architecture` and writes `out/id/`; returns that folder.
pub fn import(file: &Path, architecture: Architecture, id: &str, out: &Path) -> Result<PathBuf, ImportError> {
    let failed = |path: &Path, problem: String| ImportError::File { path: path.to_path_buf(), problem };
    let keras_failed = |reason: KerasError| ImportError::Keras { path: file.to_path_buf(), reason };
    if !is_model_id(id) {
        return Err(ImportError::Id(id.to_string()));
    }
    if registry::embedded().any(|(built_in, _)| built_in == id) {
        return Err(ImportError::Reserved(id.to_string()));
    }
    let folder = out.join(id);
    if folder.exists() {
        return Err(ImportError::Exists(folder));
    }
    let bytes = std::fs::read(file).map_err(|e| failed(file, e.to_string()))?;
    let model = keras::read(bytes).map_err(keras_failed)?;
    let format = format(&model.graph);
    let graph = architecture.with(format).map_err(|e| keras_failed(e.into()))?;
    let parameters = model.renamed(&graph, architecture.id()).map_err(keras_failed)?;
    let weights = weights::write(&parameters, Precision::F32).map_err(|e| keras_failed(e.into()))?;
    let card = card(file, architecture, format, id, &weights);
    let card = toml::to_string(&card).map_err(|e| failed(file, e.to_string()))?;
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
fn format(graph: &Graph) -> Format {
    let (input, outputs) = (graph.input_shape(), graph.output_shape().channels());
    Format { side: input.rows(), channels: input.channels(), outputs }
}

fn card(file: &Path, architecture: Architecture, format: Format, id: &str, weights: &[u8]) -> Card {
    let (task, scale) = match architecture {
        Architecture::Resunet | Architecture::EfficientnetUnet => (Task::Segmentation, Scale::Standardize),
        Architecture::Vgg16 | Architecture::Vgg16V2 | Architecture::Resnet50 => (Task::Multiclass, Scale::Caffe),
        Architecture::InceptionV3 | Architecture::EfficientnetLite0 => (Task::Multiclass, Scale::Tf),
        Architecture::ResnetClassifier | Architecture::SmallCnn => (Task::Multiclass, Scale::Unit),
    };
    let task = if format.outputs == 1 && task == Task::Multiclass { Task::Binary } else { task };
    let classes = match task {
        Task::Binary => vec!["tumor".to_string(), "no_tumor".to_string()],
        Task::Segmentation => vec!["tumor".to_string()],
        // The file does not name them; the card is where the user does.
        Task::Multiclass => (1..=format.outputs).map(|i| format!("class_{i}")).collect(),
    };
    let name = file.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let identity = Identity {
        id: id.to_string(),
        architecture: architecture.id().into(),
        task,
        input: InputSpec {
            side: format.side,
            channels: format.channels,
            scale,
            resize: Resize::Fit,
            luminance: Luminance::Rec601,
            modality: "unknown".into(),
        },
        sha256: format!("{:x}", Sha256::digest(weights)),
    };
    let text = CardText {
        name: format!("{id} (imported)"),
        version: "1".into(),
        classes,
        data: format!("imported from {name}"),
        licence: "unknown; ask whoever trained it".into(),
        intended_use: "Research only; not a medical device.".into(),
        limits: "Imported: LesionLens knows nothing of its training data or accuracy.".into(),
    };
    Card::unmeasured(identity, text)
}

//! A network trained elsewhere, offered to the window in plain types: what its file holds, and its installation.

use super::EngineError;
use crate::domain::card::{Card, InputSpec, Luminance, Resize, Scale, Sequence, Task};
use crate::domain::slice::Slice;
use crate::models::import::{self, Found, ImportError};
use crate::models::model::{Model, ModelError, Source, read_card};
use crate::models::preprocess;
use crate::models::registry::Registry;
use candle_core::Device;
use lesionlens_nn::keras::KerasError;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use crate::models::import::{ScaleSource, Wishes};

/// Ids of the models that were installed in `folder`. What cannot be read is left out; the registry tells of it.
pub fn own_models(folder: &Path) -> BTreeSet<String> {
    let children = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let folders = children.map(|child| child.path()).filter(|path| path.join("card.toml").is_file());
    folders.filter_map(|path| Some(read_card(&Source::Folder(path)).ok()?.id)).collect()
}

/// Deletes a model that was installed in `folder`. Returns the card of the built-in model of that id, which is in force again.
///
/// # Errors
/// If there is no such model in `folder`, or it cannot be deleted.
pub fn remove(id: &str, folder: &Path) -> Result<Option<Card>, EngineError> {
    let failed = |error: ModelError| EngineError::Failed(error.to_string());
    Registry::scan_in(&[folder.to_path_buf()]).remove(id, folder).map_err(failed)?;
    Ok(Registry::scan_in(&[]).get(id).ok().map(|entry| entry.card.clone()))
}

/// A file that can be installed.
#[derive(Debug)]
pub struct Detected {
    pub file: PathBuf,
    found: Found,
}

impl From<ImportError> for EngineError {
    fn from(error: ImportError) -> Self {
        EngineError::Failed(error.to_string())
    }
}

/// Reads a Keras file or a PyTorch state dict; a Keras configuration may lie beside it as `NAME.json`.
///
/// # Errors
/// If the file is damaged or holds something else.
pub fn detect(file: &Path) -> Result<Detected, EngineError> {
    let beside = file.with_extension("json");
    let found = match import::inspect(file, None, None) {
        Err(ImportError::Keras { reason: KerasError::NoConfig, .. }) if beside.is_file() => {
            import::inspect(file, None, Some(&beside))?
        }
        found => found?,
    };
    Ok(Detected { file: file.to_path_buf(), found })
}

impl Detected {
    /// What people call its architecture; `None` for a network of its own.
    pub fn architecture(&self) -> Option<&'static str> {
        self.found.name()
    }

    pub fn task(&self) -> Task {
        self.found.task
    }

    /// Side of the square input in pixels, and its channels.
    pub fn input(&self) -> (usize, usize) {
        (self.found.format.side, self.found.format.channels)
    }

    /// What to start from: an id from the file's name, the usual classes and preprocessing.
    pub fn suggested(&self) -> Wishes {
        let stem = self.file.file_stem().unwrap_or_default().to_string_lossy().to_lowercase();
        let id: String = stem.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).take(40).collect();
        let id = id.trim_matches('-').to_string();
        Wishes {
            id: if id.is_empty() { "mine".into() } else { id },
            classes: Some(self.found.usual_classes()),
            scale: Some(self.usual_scale().0),
            threshold: Some(0.5),
            modality: None,
            side: self.found.takes_any_side().then_some(self.found.format.side),
            from_tensorflow: false,
        }
    }

    /// How networks of its kind are usually fed, and how that is known.
    pub fn usual_scale(&self) -> (Scale, ScaleSource) {
        self.found.usual_scale()
    }

    /// Smallest and largest value that the network would be given of a slice.
    pub fn range(&self, slice: &Arc<Slice>, scale: Scale) -> (f32, f32) {
        let (side, channels) = self.input();
        let (resize, luminance) = (Resize::default(), Luminance::default());
        let spec = InputSpec {
            side,
            channels,
            scale,
            resize,
            luminance,
            sequence: Sequence::default(),
            neighbours: false,
            mirrored: false,
            modality: String::new(),
        };
        let values = preprocess::network_input(&slice.into(), &spec);
        values.into_iter().fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)))
    }

    /// Installs the network in `folder` and asks it about a slice, so that one that cannot answer is not offered; it leaves nothing
    /// behind then.
    ///
    /// # Errors
    /// If the id is taken, the folder cannot be written, or the network does not answer with numbers.
    pub fn install(&self, wishes: &Wishes, folder: &Path, slice: Option<&Arc<Slice>>) -> Result<Card, EngineError> {
        let installed = import::install(&self.found, wishes, folder)?;
        let answers = || -> Result<Card, EngineError> {
            let model = Model::load(&Source::Folder(installed.clone()), &Device::Cpu)?;
            if let Some(slice) = slice {
                match model.card().task {
                    Task::Segmentation => _ = model.segment(slice, &|| false)?,
                    Task::Binary | Task::Multiclass => _ = model.classify(slice, &|| false)?,
                }
            }
            Ok(model.card().clone())
        };
        // A folder that cannot be removed again is named by the error that follows when it is tried anew.
        answers().inspect_err(|_| _ = std::fs::remove_dir_all(&installed))
    }
}

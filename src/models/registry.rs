//! Finds models: the user's own, those beside the program or in the checkout, those inside the program.

use super::cascade::Cascade;
use super::model::{Model, ModelError, Source, read_card};
use crate::domain::card::{Card, Task};
use candle_core::Device;
use lesionlens_weights::EmbeddedModel;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Models inside the program, with their ids.
pub fn embedded() -> impl Iterator<Item = (&'static str, Source)> {
    let source = |model: &EmbeddedModel| Source::Embedded { card: model.card, weights: model.weights };
    lesionlens_weights::MODELS.iter().map(move |model| (model.id, source(model)))
}

/// A model that was found; its weights are read when it is first used.
#[derive(Debug, Clone)]
pub struct Entry {
    pub card: Card,
    pub source: Source,
}

/// All models by id, and the folders that hold something unusable.
#[derive(Debug, Default)]
pub struct Registry {
    entries: BTreeMap<String, Entry>,
    /// The first `*.cascade.toml` that was found; the built-in pair without one.
    cascade: Option<Cascade>,
    /// What could not be used, with its place.
    pub problems: Vec<String>,
}

impl Registry {
    /// Looks in every place; where two models have one id, the user's wins over the one beside the program, and that over the
    /// built-in one.
    pub fn scan() -> Self {
        Self::scan_in(&folders())
    }

    /// As [`Self::scan`], in these folders, first ones winning, and in the program.
    pub fn scan_in(folders: &[PathBuf]) -> Self {
        let mut registry = Self::default();
        for folder in folders {
            let Ok(children) = std::fs::read_dir(folder) else { continue };
            let mut models: Vec<PathBuf> = children.flatten().map(|e| e.path()).collect();
            models.sort();
            for path in models {
                if path.join("card.toml").is_file() {
                    registry.add(Source::Folder(path));
                } else if path.to_string_lossy().ends_with(".cascade.toml") && registry.cascade.is_none() {
                    match Cascade::read(&path) {
                        Ok(cascade) => registry.cascade = Some(cascade),
                        Err(problem) => registry.problems.push(format!("{}: {problem}", path.display())),
                    }
                }
            }
        }
        for (_, source) in embedded() {
            registry.add(source);
        }
        registry
    }

    fn add(&mut self, source: Source) {
        match read_card(&source) {
            Ok(card) => {
                self.entries.entry(card.id.clone()).or_insert(Entry { card, source });
            }
            Err(error) => self.problems.push(error.to_string()),
        }
    }

    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.values()
    }

    /// Ids of the models for a purpose: a mask, or classes.
    pub fn ids(&self, segmenters: bool) -> Vec<String> {
        let fits = |entry: &&Entry| (entry.card.task == Task::Segmentation) == segmenters;
        self.entries.values().filter(fits).map(|entry| entry.card.id.clone()).collect()
    }

    pub fn get(&self, id: &str) -> Result<&Entry, ModelError> {
        let unknown = || ModelError::Unknown { id: id.to_string(), known: self.entries.keys().cloned().collect() };
        self.entries.get(id).ok_or_else(unknown)
    }

    /// Deletes a model of the user's own; what lies beside the program or in it stays.
    ///
    /// # Errors
    /// If there is no such model, it is not the user's, or its folder cannot be deleted.
    pub fn remove(&self, id: &str, user: &Path) -> Result<PathBuf, ModelError> {
        let failed = |path: &Path, problem: String| ModelError::File { path: path.display().to_string(), problem };
        match &self.get(id)?.source {
            // A link is taken away, never followed.
            Source::Folder(folder) if folder.parent() == Some(user) => {
                let removed =
                    if folder.is_symlink() { std::fs::remove_file(folder) } else { std::fs::remove_dir_all(folder) };
                removed.map_err(|e| failed(folder, e.to_string()))?;
                Ok(folder.clone())
            }
            source => {
                Err(failed(Path::new(&source.place()), format!("`{id}` is not one of your own models and stays")))
            }
        }
    }

    pub fn load(&self, id: &str, device: &Device) -> Result<Model, ModelError> {
        Model::load(&self.get(id)?.source, device)
    }

    /// The pair a new session starts with; the first usable models when the built-in pair is not to be had.
    pub fn default_pair(&self) -> (Option<String>, Option<String>) {
        let pair = self.cascade.clone().or_else(|| Cascade::built_in().ok());
        let pick = |wanted: Option<String>, segmenter: bool| {
            wanted.filter(|id| self.entries.contains_key(id)).or_else(|| self.ids(segmenter).into_iter().next())
        };
        let (classifier, segmenter) = pair.map(|p| (p.classifier, p.segmenter)).unzip();
        (pick(classifier, false), pick(segmenter, true))
    }
}

/// Where the user's own models live.
pub fn user_folder() -> Option<PathBuf> {
    directories::ProjectDirs::from("org", "LesionLens", "LesionLens").map(|dirs| dirs.data_dir().join("models"))
}

/// The user's folder, `weights/` beside the program, `weights/` of the checkout the program was built in.
fn folders() -> Vec<PathBuf> {
    let program = std::env::current_exe().ok();
    // target/release/lesionlens lies three levels below the checkout.
    let above = program.iter().flat_map(|p| p.ancestors().skip(1).take(3)).map(|folder| folder.join("weights"));
    user_folder().into_iter().chain(above).filter(|folder| folder.is_dir()).collect()
}

//! Labelled pictures of a recipe's sources, kept apart by patient.

use super::cache::{Cache, Pixels};
use super::error::TrainError;
use super::recipe::Recipe;
use super::sources::{self, Item, Part};
use crate::domain::card::Task;
use std::collections::BTreeSet;
use std::path::Path;

/// Everything a run trains and is measured on.
#[derive(Debug)]
pub struct Dataset {
    pub items: Vec<Item>,
    cache: Cache,
}

impl Dataset {
    /// Lists and checks everything below `data`, and decodes it once into `folder`; `progress` is told how many pictures were read
    /// of how many.
    pub fn open(
        data: &Path,
        recipe: &Recipe,
        folder: &Path,
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<Self, TrainError> {
        let items = sources::list(data, recipe)?;
        let masks = recipe.task == Task::Segmentation;
        let cache = Cache::open(folder, data, &items, &recipe.input, masks, &mut |n| progress(n, items.len()))?;
        Ok(Self { items, cache })
    }

    /// sha256 over names, pictures and masks.
    pub fn sha256(&self) -> &str {
        &self.cache.sha256
    }

    /// Indices of a part's examples.
    pub fn part(&self, part: Part) -> Vec<usize> {
        (0..self.items.len()).filter(|i| self.items[*i].part == part).collect()
    }

    pub fn pixels(&self, index: usize) -> Result<Pixels, TrainError> {
        self.cache.read(index, self.items[index].outline.is_some())
    }

    /// Sorted names of a part's patients.
    pub fn patients(&self, part: Part) -> Vec<String> {
        self.names(|item| item.part == part)
    }

    /// As [`Self::patients`], without pictures whose patients are not known.
    pub fn known_patients(&self, recipe: &Recipe, part: Part) -> Vec<String> {
        self.names(|item| item.part == part && recipe.sources[item.source].knows_patients())
    }

    fn names(&self, wanted: impl Fn(&Item) -> bool) -> Vec<String> {
        let patients: BTreeSet<&String> = self.items.iter().filter(|i| wanted(i)).map(|i| &i.patient).collect();
        patients.into_iter().cloned().collect()
    }
}

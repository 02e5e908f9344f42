//! Labelled pictures of a recipe's sources, kept apart by patient.

use super::cache::{Cache, Decoded, Pixels};
use super::error::TrainError;
use super::recipe::Recipe;
use super::sources::{self, Division, Item, Part};
use crate::domain::card::InputSpec;
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::path::Path;

/// A slice, and those before and after it; for a recipe that looks at three sequences, its FLAIR, and T1 before and after contrast.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen {
    pub picture: Pixels,
    pub beside: [Option<Pixels>; 2],
}

impl Seen {
    /// Before, itself, after.
    pub fn slices(&self) -> [Option<&Pixels>; 3] {
        [self.beside[0].as_ref(), Some(&self.picture), self.beside[1].as_ref()]
    }

    /// As [`Self::slices`].
    pub fn slices_mut(&mut self) -> [Option<&mut Pixels>; 3] {
        let [before, after] = &mut self.beside;
        [before.as_mut(), Some(&mut self.picture), after.as_mut()]
    }
}

/// Everything a run trains and is measured on.
#[derive(Debug)]
pub struct Dataset {
    pub items: Vec<Item>,
    cache: Cache,
    sha256: String,
}

impl Dataset {
    /// Lists and checks everything below `data`, and decodes it once into `folder`; `progress` is told how many pictures were read
    /// of how many.
    ///
    /// # Errors
    /// As [`sources::list`]; or a picture or outline cannot be read, or the cache not be written.
    pub fn open(
        data: &Path,
        recipe: &Recipe,
        division: Division,
        folder: &Path,
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<Self, TrainError> {
        Self::of(sources::list(data, recipe, division)?, data, recipe, folder, progress)
    }

    /// As [`Self::open`], of these examples, which lie below `data`.
    ///
    /// # Errors
    /// If a picture or outline cannot be read, or the cache not be written.
    pub fn of(
        items: Vec<Item>,
        data: &Path,
        recipe: &Recipe,
        folder: &Path,
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<Self, TrainError> {
        let masks = recipe.wants_outlines();
        let cache = Cache::open(folder, data, &items, &recipe.input, masks, &mut |n| progress(n, items.len()))?;
        let sha256 = fingerprint(&items, &cache);
        Ok(Self { items, cache, sha256 })
    }

    /// sha256 over names, pictures, masks, patients, classes and parts.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// Indices of a part's examples.
    pub fn part(&self, part: Part) -> Vec<usize> {
        (0..self.items.len()).filter(|i| self.items[*i].part == part).collect()
    }

    /// Example `index` at the recipe's size. Unless it shall be seen alone, with the slices before and after it, or its other
    /// sequences, as far as it has any.
    ///
    /// # Errors
    /// If the cache was cut short or removed meanwhile.
    pub fn seen(&self, index: usize, input: &InputSpec, alone: bool) -> Result<Seen, TrainError> {
        let read = |index: usize| self.cache.read(index, self.items[index].outline.is_some());
        let Decoded { picture, others } = read(index)?;
        if alone {
            return Ok(Seen { picture, beside: [None, None] });
        }
        if !input.neighbours {
            return Ok(Seen { picture, beside: others });
        }
        let beside = |i: Option<usize>| i.map(|i| Ok::<_, TrainError>(read(i)?.picture)).transpose();
        let [before, after] = self.items[index].beside.map(beside);
        Ok(Seen { picture, beside: [before?, after?] })
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

/// Resuming with another split, other labels or other pixels must be noticed.
fn fingerprint(items: &[Item], cache: &Cache) -> String {
    let mut hash = Sha256::new();
    hash.update(&cache.sha256);
    for item in items {
        hash.update(format!("{}|{}|{}|{:?}\n", item.patient, item.source, item.label, item.part));
    }
    format!("{:x}", hash.finalize())
}

//! Labelled slices on disk, kept apart by patient.

use super::error::TrainError;
use super::recipe::Split;
use crate::domain::slice::Slice;
use crate::io;
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// One labelled picture, decoded: grey values and tumour mask, row-major, square.
#[derive(Debug, Clone)]
pub struct Example {
    pub file: String,
    pub patient: String,
    pub side: usize,
    pub grey: Vec<u8>,
    /// Empty for a slice without tumour.
    pub mask: Vec<bool>,
}

impl Example {
    pub fn is_positive(&self) -> bool {
        !self.mask.is_empty()
    }
}

/// A row of `slices.csv`; further columns are ignored.
#[derive(Debug, Deserialize)]
struct Row {
    file: String,
    patient: String,
    tumor_pixels: u64,
}

/// All slices of an `lgg`-style folder: `images/`, `masks/` with the same names, `slices.csv`.
#[derive(Debug)]
pub struct Dataset {
    pub examples: Vec<Example>,
    /// sha256 over names, pictures and masks.
    pub sha256: String,
}

/// Indices of examples by part.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Parts {
    pub train: Vec<usize>,
    pub validation: Vec<usize>,
    pub test: Vec<usize>,
}

impl Dataset {
    /// Reads and checks everything at once, in parallel.
    pub fn open(folder: &Path) -> Result<Self, TrainError> {
        let list = folder.join("slices.csv");
        let mut reader = csv::Reader::from_path(&list).map_err(|e| TrainError::file(&list, e))?;
        let rows: Vec<Row> = reader.deserialize().collect::<Result<_, _>>().map_err(|e| TrainError::file(&list, e))?;
        let examples: Vec<Example> = rows.par_iter().map(|row| read(folder, row)).collect::<Result<_, _>>()?;
        let positives = examples.iter().filter(|e| e.is_positive()).count();
        if positives == 0 || positives == examples.len() {
            return Err(TrainError::Data(format!(
                "{}: {positives} of {} slices have a tumour; training needs slices with and without",
                list.display(),
                examples.len()
            )));
        }
        let mut hash = Sha256::new();
        for e in &examples {
            hash.update(e.file.as_bytes());
            hash.update(&e.grey);
            hash.update(e.mask.iter().map(|m| u8::from(*m)).collect::<Vec<_>>());
        }
        Ok(Self { examples, sha256: format!("{:x}", hash.finalize()) })
    }

    /// Splits by patient under a fixed seed: no patient is in two parts.
    pub fn split(&self, rule: &Split) -> Result<Parts, TrainError> {
        let mut patients: Vec<&str> =
            self.examples.iter().map(|e| e.patient.as_str()).collect::<BTreeSet<_>>().into_iter().collect();
        patients.shuffle(&mut ChaCha8Rng::seed_from_u64(rule.seed));
        let share = |part: f64| (part * patients.len() as f64).round() as usize;
        let (test, validation) = (share(rule.test), share(rule.validation));
        let place: BTreeMap<&str, usize> = patients.iter().enumerate().map(|(i, p)| (*p, i)).collect();
        let mut parts = Parts::default();
        for (i, example) in self.examples.iter().enumerate() {
            match place[example.patient.as_str()] {
                p if p < test => parts.test.push(i),
                p if p < test + validation => parts.validation.push(i),
                _ => parts.train.push(i),
            }
        }
        let with_tumour = |part: &[usize]| part.iter().any(|i| self.examples[*i].is_positive());
        if !with_tumour(&parts.train) || !with_tumour(&parts.validation) {
            return Err(TrainError::Data(format!(
                "this split of {} patients leaves training or validation without a tumour slice; change `split`",
                patients.len()
            )));
        }
        Ok(parts)
    }

    /// Sorted patient names of a part.
    pub fn patients(&self, part: &[usize]) -> Vec<String> {
        part.iter().map(|i| self.examples[*i].patient.clone()).collect::<BTreeSet<_>>().into_iter().collect()
    }
}

/// Decoded by `io`, so that training sees what the window and the command line see.
fn read(folder: &Path, row: &Row) -> Result<Example, TrainError> {
    let path = folder.join("images").join(&row.file);
    let study = io::load(&path).map_err(|e| TrainError::file(&path, e.problem))?;
    let [slice] = study.slices.as_slice() else {
        return Err(TrainError::file(&path, format!("has {} pages, not one", study.slices.len())));
    };
    if slice.width() != slice.height() {
        return Err(TrainError::file(&path, format!("is {}×{}, not square", slice.width(), slice.height())));
    }
    let mask = if row.tumor_pixels == 0 { Vec::new() } else { outline(folder, row, slice)? };
    let grey = slice.grey().into_iter().map(|v| v.round() as u8).collect();
    Ok(Example { file: row.file.clone(), patient: row.patient.clone(), side: slice.width(), grey, mask })
}

fn outline(folder: &Path, row: &Row, slice: &Slice) -> Result<Vec<bool>, TrainError> {
    let path = folder.join("masks").join(&row.file);
    let mask = io::load_truth_of(&path, slice, 0).map_err(|e| TrainError::file(&path, e.problem))?;
    let found = mask.area() as u64;
    if found != row.tumor_pixels {
        let problem = format!("has {found} tumour pixels, slices.csv says {}", row.tumor_pixels);
        return Err(TrainError::file(&path, problem));
    }
    Ok(mask.pixels().to_vec())
}

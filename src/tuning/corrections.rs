//! Corrected studies as a data set: a plain folder in the layout `slices` that `train` and `evaluate` read.
//!
//! `images/` holds copies of the slices, `masks/` the outlines, `slices.csv` names patient, study and slice of each and says whether a
//! reader outlined it, and `history.csv` tells who outlined what, and when.

use super::error::TuningError;
use super::patient::{self, Certainty};
use crate::domain::kept::Levels;
use crate::domain::mask::Mask;
use crate::domain::study::{Cut, Place, Study};
use crate::export::{clock, png};
use crate::files::write_atomically;
use crate::io;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const README: &str = "Corrected studies that LesionLens collected. Nothing here is sent anywhere.

images/      copies of the slices; those of more than eight bits have sixteen
masks/       outlines by a reader: white inside
slices.csv   one row a slice: file, patient, study, slice, tumor_pixels, and whether a reader outlined it.
             Only outlined slices are learnt from; the others are there as their neighbours.
             patient_from says how the patient is known: reader, dicom (a fingerprint of PatientID) or name (guessed from file names).
             Correct the column `patient` where two names are one person: patients are kept apart by it.
history.csv  who outlined which slice, and when

Measure a model on it:   lesionlens evaluate --data THIS_FOLDER
Learn from it:           lesionlens fine-tune MODEL --data THIS_FOLDER --out RUN
Delete the folder to forget it all.
";

/// Whether a reader outlined a slice, or looked at its outline and let it stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outlined {
    Yes,
    No,
}

/// A slice of the data set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// In `images/` and `masks/`.
    pub file: String,
    pub patient: String,
    pub study: String,
    /// From 1.
    pub slice: usize,
    pub tumor_pixels: usize,
    pub outlined: Outlined,
    pub patient_from: Certainty,
}

/// An outline of the history.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stroke {
    /// UTC, ISO 8601.
    pub when: String,
    pub who: String,
    pub patient: String,
    pub study: String,
    pub slice: usize,
    pub tumor_pixels: usize,
    /// What the outline started from: a model, a reference, or nothing.
    pub started_from: String,
}

/// What a reader outlined in a study.
pub struct Contribution {
    pub study: Arc<Study>,
    pub cut: Cut,
    /// Outlines by the slice's index in the cut, of outlined slices alone. An empty outline says that there is nothing.
    pub outlines: Vec<(usize, Arc<Mask>)>,
    /// As the reader calls the patient; empty where the file shall tell.
    pub patient: String,
    pub who: String,
    /// What the outlines started from.
    pub started_from: String,
}

/// How much a data set holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Summary {
    pub patients: usize,
    /// Outlined slices.
    pub slices: usize,
}

/// A data set of corrections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Corrections {
    pub folder: PathBuf,
}

impl Corrections {
    /// The data set in the user's data folder, where this system has one.
    pub fn of_user() -> Option<Self> {
        let dirs = directories::ProjectDirs::from("org", "LesionLens", "LesionLens")?;
        Some(Self { folder: dirs.data_dir().join("corrections") })
    }

    /// A folder beside the data set for a new fine-tune, called after the time.
    pub fn new_run(&self) -> PathBuf {
        self.folder.with_file_name("fine-tunes").join(clock::now().iso().replace(':', ""))
    }

    fn list(&self) -> PathBuf {
        self.folder.join("slices.csv")
    }

    fn history_file(&self) -> PathBuf {
        self.folder.join("history.csv")
    }

    /// All slices; none before the first contribution.
    ///
    /// # Errors
    /// If the list cannot be read.
    pub fn rows(&self) -> Result<Vec<Row>, TuningError> {
        read(&self.list())
    }

    /// All outlines that were ever contributed, in their order.
    ///
    /// # Errors
    /// If the history cannot be read.
    pub fn history(&self) -> Result<Vec<Stroke>, TuningError> {
        read(&self.history_file())
    }

    /// How much there is to learn from.
    ///
    /// # Errors
    /// As [`Self::rows`].
    pub fn summary(&self) -> Result<Summary, TuningError> {
        let rows: Vec<Row> = self.rows()?.into_iter().filter(|row| row.outlined == Outlined::Yes).collect();
        let patients: BTreeSet<&str> = rows.iter().map(|row| row.patient.as_str()).collect();
        Ok(Summary { patients: patients.len(), slices: rows.len() })
    }

    /// Copies a study's slices and its outlines into the data set. Outlines of the same study from before stay unless they were drawn
    /// anew. `progress` is told how many slices were copied of how many. Returns what the data set then holds.
    ///
    /// # Errors
    /// If a slice cannot be read, an outline has another size, or the folder cannot be written; then the list is as it was.
    pub fn add(&self, what: &Contribution, progress: &dyn Fn(usize, usize)) -> Result<Summary, TuningError> {
        for folder in ["images", "masks"].map(|name| self.folder.join(name)) {
            std::fs::create_dir_all(&folder).map_err(|e| TuningError::file(&folder, e))?;
        }
        // Two windows may contribute at the same time.
        let guard = self.folder.join(".lock");
        let lock = File::create(&guard).map_err(|e| TuningError::file(&guard, e))?;
        lock.lock().map_err(|e| TuningError::file(&guard, e))?;
        let readme = self.folder.join("README.txt");
        if !readme.exists() {
            write(&readme, README.as_bytes())?;
        }
        let study = key(&what.study, what.cut)?;
        let mut rows = self.rows()?;
        let before: BTreeMap<usize, Row> =
            rows.extract_if(.., |row| row.study == study).map(|row| (row.slice, row)).collect();
        let known = before.values().next().map(|row| (row.patient.clone(), row.patient_from));
        let (patient, patient_from) = match what.patient.trim() {
            // The name may have been put right in the list by hand.
            "" => known.unwrap_or_else(|| patient::of(&what.study)),
            name => (name.to_string(), Certainty::Reader),
        };
        let fresh = self.copy(what, &study, progress)?;
        let when = clock::now().iso();
        let mut history = self.history()?;
        for Copied { file, slice, drawn } in fresh {
            let (tumor_pixels, outlined) = match (drawn, before.get(&slice)) {
                (Some(pixels), _) => (pixels, Outlined::Yes),
                (None, Some(row)) => (row.tumor_pixels, row.outlined),
                (None, None) => (0, Outlined::No),
            };
            let (patient, study) = (patient.clone(), study.clone());
            if drawn.is_some() {
                let (patient, study, when) = (patient.clone(), study.clone(), when.clone());
                let (who, started_from) = (what.who.clone(), what.started_from.clone());
                history.push(Stroke { when, who, patient, study, slice, tumor_pixels, started_from });
            }
            rows.push(Row { file, patient, study, slice, tumor_pixels, outlined, patient_from });
        }
        rows.sort_by(|a, b| (&a.patient, &a.study, a.slice).cmp(&(&b.patient, &b.study, b.slice)));
        save(&self.history_file(), &history)?;
        save(&self.list(), &rows)?;
        self.summary()
    }

    /// Writes the pictures of all slices of the cut and the masks of those that were outlined.
    fn copy(
        &self,
        what: &Contribution,
        study: &str,
        progress: &dyn Fn(usize, usize),
    ) -> Result<Vec<Copied>, TuningError> {
        let count = what.study.frames.count(what.cut.plane);
        let slice = |index: usize| {
            let place = Place { cut: what.cut, index };
            what.study.frames.slice(place).map_err(|e| TuningError::file(&what.study.source, e))
        };
        // One pass for the levels, so that grey values mean the same in every slice.
        let slices: Vec<_> = (0..count).map(slice).collect::<Result<_, _>>()?;
        let levels = Levels::of(&slices);
        let drawn: BTreeMap<usize, &Arc<Mask>> = what.outlines.iter().map(|(index, mask)| (*index, mask)).collect();
        let mut copied = Vec::with_capacity(count);
        for (index, slice) in slices.iter().enumerate() {
            progress(index, count);
            let file = format!("{study}_{:04}.png", index + 1);
            write(&self.folder.join("images").join(&file), &png::copy(slice, levels)?)?;
            let mask = drawn.get(&index);
            if let Some(mask) = mask {
                if (mask.width(), mask.height()) != (slice.width(), slice.height()) {
                    return Err(TuningError::Outline { slice: index + 1 });
                }
                write(&self.folder.join("masks").join(&file), &png::mask(mask)?)?;
            }
            copied.push(Copied { file, slice: index + 1, drawn: mask.map(|mask| mask.area()) });
        }
        Ok(copied)
    }
}

/// A slice that was copied, and the pixels of its outline where one was drawn now.
struct Copied {
    file: String,
    slice: usize,
    drawn: Option<usize>,
}

/// A name for a study by the content of its files, so that it is the same wherever they lie.
fn key(study: &Study, cut: Cut) -> Result<String, TuningError> {
    let mut hash = Sha256::new();
    for file in &study.files {
        hash.update(io::hash_of(file).map_err(|e| TuningError::file(file, e))?);
    }
    if study.frames.planes().len() > 1 || study.frames.times() > 1 {
        hash.update(format!("{} {}", cut.plane.id(), cut.time));
    }
    Ok(format!("{:x}", hash.finalize())[..12].to_string())
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), TuningError> {
    write_atomically(path, bytes).map_err(|e| TuningError::file(path, e))
}

fn save<T: Serialize>(path: &Path, rows: &[T]) -> Result<(), TuningError> {
    let failed = |e: &dyn ToString| TuningError::file(path, e.to_string());
    let mut table = csv::Writer::from_writer(Vec::new());
    rows.iter().try_for_each(|row| table.serialize(row)).map_err(|e| failed(&e))?;
    write(path, &table.into_inner().map_err(|e| failed(&e))?)
}

fn read<T: serde::de::DeserializeOwned>(path: &Path) -> Result<Vec<T>, TuningError> {
    if !path.exists() {
        return Ok(Vec::new());
    }
    Ok(crate::train::table::rows(path)?)
}

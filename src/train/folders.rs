//! Finds labelled pictures in a source's folder, by its layout, and reads them.

use super::error::TrainError;
use super::recipe::{Layout, Source};
use crate::domain::mask::Mask;
use crate::domain::slice::Slice;
use crate::io;
use rayon::prelude::*;
use serde::Deserialize;
use std::collections::{BTreeMap, HashMap};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Folders of pictures and their outlines.
const IMAGES: &str = "images";
const MASKS: &str = "masks";

/// Where a tumour's outline is, and how many pixels it had when it was listed.
#[derive(Debug, Clone, PartialEq)]
pub struct Outline {
    pub file: PathBuf,
    pub pixels: u64,
}

/// A picture of a source with the source's own class name.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// From the data folder.
    pub file: PathBuf,
    pub outline: Option<Outline>,
    /// Pictures of the slices before and after, where the list has them.
    pub beside: [Option<PathBuf>; 2],
    pub patient: String,
    pub class: String,
}

/// All pictures of a source below `data` with all its classes, in a fixed order.
///
/// # Errors
/// If a folder or list cannot be read, or a picture of a class that is used has no patient in the list.
pub fn find(data: &Path, source: &Source) -> Result<Vec<Found>, TrainError> {
    match source.layout {
        Layout::Slices => slices(data, &source.folder),
        Layout::Outlines => outlines(data, source),
        Layout::ClassFolders => class_folders(data, source),
    }
}

/// How a folder tells its pictures' classes, by what is in it.
pub fn layout_of(folder: &Path) -> Layout {
    if folder.join("slices.csv").is_file() {
        Layout::Slices
    } else if folder.join(IMAGES).is_dir() && folder.join(MASKS).is_dir() {
        Layout::Outlines
    } else {
        Layout::ClassFolders
    }
}

/// The one page of the picture `file` below `data`.
///
/// # Errors
/// If it cannot be read or has several pages.
pub fn read_slice(data: &Path, file: &Path) -> Result<Arc<Slice>, TrainError> {
    let path = data.join(file);
    let study = io::load(&path).map_err(|e| TrainError::file(&path, e.problem))?;
    match study.count() {
        1 => study.slice(0).map_err(|e| TrainError::file(&path, e)),
        pages => Err(TrainError::file(&path, format!("has {pages} pages, not one"))),
    }
}

/// The outline `file` below `data`, which belongs to `slice`.
///
/// # Errors
/// If it cannot be read or has another size.
pub fn read_outline(data: &Path, file: &Path, slice: &Slice) -> Result<Mask, TrainError> {
    let path = data.join(file);
    io::load_outline(&path, slice).map_err(|e| TrainError::file(&path, e.problem))
}

/// A row of `slices.csv`; further columns are ignored.
#[derive(Debug, Deserialize)]
struct Row {
    file: String,
    patient: String,
    /// Place among the patient's slices.
    slice: Option<i64>,
    tumor_pixels: u64,
}

/// A row of a list of patients.
#[derive(Debug, Deserialize)]
struct PatientRow {
    file: PathBuf,
    patient: String,
}

fn slices(data: &Path, folder: &Path) -> Result<Vec<Found>, TrainError> {
    let list = data.join(folder).join("slices.csv");
    let mut reader = csv::Reader::from_path(&list).map_err(|e| TrainError::file(&list, e))?;
    let rows: Vec<Row> = reader.deserialize().collect::<Result<_, _>>().map_err(|e| TrainError::file(&list, e))?;
    let picture = |row: &Row| folder.join(IMAGES).join(&row.file);
    let places: HashMap<(&str, i64), PathBuf> =
        rows.iter().filter_map(|row| Some(((row.patient.as_str(), row.slice?), picture(row)))).collect();
    let found = rows.iter().map(|row| {
        let beside = |step| places.get(&(row.patient.as_str(), row.slice?.checked_add(step)?)).cloned();
        let outline = Outline { file: folder.join(MASKS).join(&row.file), pixels: row.tumor_pixels };
        Found {
            file: picture(row),
            beside: [beside(-1), beside(1)],
            class: class_of(&outline).into(),
            outline: (row.tumor_pixels > 0).then_some(outline),
            patient: row.patient.clone(),
        }
    });
    Ok(found.collect())
}

/// The class of a picture with this outline.
fn class_of(outline: &Outline) -> &'static str {
    if outline.pixels > 0 { "tumor" } else { "no_tumor" }
}

/// Reads every outline, since nothing else says whether there is a tumour.
fn outlines(data: &Path, source: &Source) -> Result<Vec<Found>, TrainError> {
    let patients = Patients::read(data, source)?;
    let masks = data.join(&source.folder).join(MASKS);
    let mut by_name: HashMap<OsString, Vec<PathBuf>> = HashMap::new();
    for mask in children(&masks)? {
        by_name.entry(mask.file_stem().unwrap_or_default().to_owned()).or_default().push(mask);
    }
    let find = |path: &PathBuf| {
        let name = path.file_stem().unwrap_or_default();
        let mask = match by_name.get(name).map_or(&[][..], Vec::as_slice) {
            [mask] => mask,
            [] => {
                let problem =
                    format!("has no mask of the same name in {}; add it, black where there is none", masks.display());
                return Err(TrainError::file(path, problem));
            }
            [one, other, ..] => {
                let problem = format!("has two masks, {} and {}; keep one", one.display(), other.display());
                return Err(TrainError::file(path, problem));
            }
        };
        let (file, mask) = (below(data, path), below(data, mask));
        let pixels = read_outline(data, &mask, &*read_slice(data, &file)?)?.area() as u64;
        let outline = Outline { file: mask, pixels };
        Ok(Found {
            class: class_of(&outline).into(),
            patient: patients.of(path, &file)?.ok_or_else(|| unlisted(source, path))?,
            outline: (pixels > 0).then_some(outline),
            beside: [None, None],
            file,
        })
    };
    pictures(&data.join(&source.folder).join(IMAGES))?.par_iter().map(find).collect()
}

fn class_folders(data: &Path, source: &Source) -> Result<Vec<Found>, TrainError> {
    let patients = Patients::read(data, source)?;
    let mut found = Vec::new();
    for folder in children(&data.join(&source.folder))?.into_iter().filter(|path| path.is_dir()) {
        let class = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let is_used = source.classes.is_empty() || source.classes.contains_key(&class);
        for path in pictures(&folder)? {
            let file = below(data, &path);
            let patient = match patients.of(&path, &file)? {
                Some(patient) => patient,
                None if !is_used => continue,
                None => return Err(unlisted(source, &path)),
            };
            found.push(Found { file, outline: None, beside: [None, None], patient, class: class.clone() });
        }
    }
    Ok(found)
}

/// Who is on a source's pictures.
enum Patients {
    /// Every picture counts as one.
    Unknown,
    Listed(BTreeMap<PathBuf, String>),
}

impl Patients {
    /// The source's list; rows without a patient and pictures that are not there are left out.
    fn read(data: &Path, source: &Source) -> Result<Self, TrainError> {
        let Some(list) = &source.patients else { return Ok(Self::Unknown) };
        let path = data.join(&source.folder).join(list);
        let folder = path.parent().unwrap_or(data).to_path_buf();
        let mut reader = csv::Reader::from_path(&path).map_err(|e| TrainError::file(&path, e))?;
        let mut by_picture = BTreeMap::new();
        for row in reader.deserialize::<PatientRow>() {
            let row = row.map_err(|e| TrainError::file(&path, e))?;
            if let (false, Ok(picture)) = (row.patient.is_empty(), folder.join(row.file).canonicalize()) {
                by_picture.insert(picture, row.patient);
            }
        }
        Ok(Self::Listed(by_picture))
    }

    /// The patient of a picture at `path`, which is called `file`; `None` when the list does not have it.
    fn of(&self, path: &Path, file: &Path) -> Result<Option<String>, TrainError> {
        match self {
            Self::Unknown => Ok(Some(file.display().to_string())),
            Self::Listed(by_picture) => {
                let place = path.canonicalize().map_err(|e| TrainError::file(path, e))?;
                Ok(by_picture.get(&place).cloned())
            }
        }
    }
}

fn unlisted(source: &Source, picture: &Path) -> TrainError {
    let list = source.patients.as_deref().unwrap_or(Path::new("")).display();
    TrainError::file(picture, format!("has no patient in {list}; add a row"))
}

fn below(data: &Path, path: &Path) -> PathBuf {
    path.strip_prefix(data).unwrap_or(path).to_path_buf()
}

/// Pictures of a folder, sorted.
fn pictures(folder: &Path) -> Result<Vec<PathBuf>, TrainError> {
    Ok(children(folder)?.into_iter().filter(|path| io::looks_like_image(path)).collect())
}

/// Sorted, so that every machine lists the same.
fn children(folder: &Path) -> Result<Vec<PathBuf>, TrainError> {
    let entries = std::fs::read_dir(folder).map_err(|e| TrainError::file(folder, e))?;
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    Ok(paths)
}

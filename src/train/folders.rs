//! Finds labelled pictures in a source's folder, by its layout, and reads them.

use super::error::TrainError;
pub use super::found::{Found, Outline, Page};
use super::listing::{below, children, class_of, outline, pictures};
use super::patient_folders;
use super::reader::Reader;
use super::recipe::{Layout, Source};
use super::table;
use crate::io;
use rayon::prelude::*;
use serde::Deserialize;
use std::collections::{BTreeMap, HashMap};
use std::ffi::OsString;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Folders of pictures and their outlines.
const IMAGES: &str = "images";
const MASKS: &str = "masks";
/// Class of slices of a volume that has no outline.
pub const UNMARKED: &str = "unmarked";
/// Class of a slice whose outline nobody drew or looked at. It is never an example, but stands beside examples of its study.
pub const NOT_OUTLINED: &str = "not_outlined";

/// All pictures of a source below `data` with all its classes, in a fixed order.
///
/// # Errors
/// If a folder or list cannot be read, or a picture of a class that is used has no patient in the list.
pub fn find(data: &Path, source: &Source) -> Result<Vec<Found>, TrainError> {
    match source.layout {
        Layout::Slices => slices(data, &source.folder),
        Layout::Outlines => outlines(data, source),
        Layout::ClassFolders => class_folders(data, source),
        Layout::Volumes => volumes(data, source),
        Layout::PatientFolders => patient_folders::find(data, &source.folder),
    }
}

/// How a folder tells its pictures' classes, by what is in it.
pub fn layout_of(folder: &Path) -> Layout {
    if folder.join("slices.csv").is_file() {
        Layout::Slices
    } else if folder.join(IMAGES).is_dir() && folder.join(MASKS).is_dir() {
        Layout::Outlines
    } else if patient_folders::is_laid_out_so(folder) {
        Layout::PatientFolders
    } else {
        Layout::ClassFolders
    }
}

/// A row of `slices.csv`; further columns are ignored.
#[derive(Debug, Deserialize)]
struct Row {
    file: String,
    patient: String,
    /// Place among the patient's slices.
    slice: Option<i64>,
    tumor_pixels: u64,
    /// Tells several studies of one patient apart.
    study: Option<String>,
    /// `no` for a slice whose outline nobody drew or looked at.
    outlined: Option<String>,
}

impl Row {
    /// The stack that the slice belongs to.
    fn stack(&self) -> (&str, Option<&str>) {
        (&self.patient, self.study.as_deref())
    }

    fn is_outlined(&self) -> bool {
        self.outlined.as_deref() != Some("no")
    }
}

/// A row of a list of patients.
#[derive(Debug, Deserialize)]
struct PatientRow {
    file: PathBuf,
    patient: String,
}

fn slices(data: &Path, folder: &Path) -> Result<Vec<Found>, TrainError> {
    let list = data.join(folder).join("slices.csv");
    let rows: Vec<Row> = table::rows(&list)?;
    let masks = Masks::list(&data.join(folder).join(MASKS))?;
    let page = |row: &Row| Page::only(folder.join(IMAGES).join(&row.file));
    let places: HashMap<_, Page> = rows.iter().filter_map(|row| Some(((row.stack(), row.slice?), page(row)))).collect();
    let mut stacks: BTreeMap<_, Vec<(i64, Page)>> = BTreeMap::new();
    for row in &rows {
        if let Some(slice) = row.slice {
            stacks.entry(row.stack()).or_default().push((slice, page(row)));
        }
    }
    let in_order = |(stack, mut slices): (_, Vec<(i64, Page)>)| {
        slices.sort_by_key(|(slice, _)| *slice);
        (stack, slices.into_iter().map(|(_, page)| page).collect())
    };
    let stacks: BTreeMap<_, Arc<[Page]>> = stacks.into_iter().map(in_order).collect();
    let find = |row: &Row| {
        let beside = |step| places.get(&(row.stack(), row.slice?.checked_add(step)?)).cloned();
        let page = page(row);
        let outline = match row.tumor_pixels {
            _ if !row.is_outlined() => None,
            0 => None,
            pixels => Some(Outline { file: Some(below(data, masks.of(&data.join(&page.file))?)), pixels }),
        };
        Ok(Found {
            beside: [beside(-1), beside(1)],
            class: if row.is_outlined() { class_of(row.tumor_pixels) } else { NOT_OUTLINED }.into(),
            stack: row.slice.and_then(|_| stacks.get(&row.stack()).cloned()),
            outline,
            patient: row.patient.clone(),
            page,
        })
    };
    rows.iter().map(find).collect()
}

/// Masks of a folder by the name they share with their pictures, endings aside.
struct Masks {
    folder: PathBuf,
    by_stem: HashMap<OsString, Vec<PathBuf>>,
}

impl Masks {
    fn list(folder: &Path) -> Result<Self, TrainError> {
        let mut by_stem: HashMap<OsString, Vec<PathBuf>> = HashMap::new();
        for mask in children(folder)? {
            by_stem.entry(mask.file_stem().unwrap_or_default().to_owned()).or_default().push(mask);
        }
        Ok(Self { folder: folder.to_path_buf(), by_stem })
    }

    /// The one mask of a picture.
    fn of(&self, picture: &Path) -> Result<&Path, TrainError> {
        let stem = picture.file_stem().unwrap_or_default();
        match self.by_stem.get(stem).map_or(&[][..], Vec::as_slice) {
            [mask] => Ok(mask),
            [] => {
                let folder = self.folder.display();
                let problem = format!("has no mask of the same name in {folder}; add it, black where there is none");
                Err(TrainError::file(picture, problem))
            }
            [one, other, ..] => {
                let problem = format!("has two masks, {} and {}; keep one", one.display(), other.display());
                Err(TrainError::file(picture, problem))
            }
        }
    }
}

/// Volumes and series with their outlines beside them. Each is one patient. Slices of a study without an outline have the class
/// [`UNMARKED`], which a recipe gives a meaning to.
fn volumes(data: &Path, source: &Source) -> Result<Vec<Found>, TrainError> {
    let folder = data.join(&source.folder);
    let listed = io::paths::expand(std::slice::from_ref(&folder), &|| false);
    if let Some(error) = listed.errors.into_iter().next() {
        return Err(TrainError::file(&error.path, error.problem));
    }
    let reader = Reader::new(data);
    let mut found = Vec::new();
    for listed in &listed.sources {
        let io::paths::Source::File(file) = listed else {
            return Err(TrainError::file(listed.place(), "holds a series of pictures, not a volume; save it as NIfTI"));
        };
        let study = reader.study(file)?;
        let name = below(data, file);
        let page = |index: usize| Page { file: name.clone(), index };
        let stack: Arc<[Page]> = (0..study.count()).map(page).collect();
        let patient = file.strip_prefix(&folder).unwrap_or(file).display().to_string();
        let at = |index: Option<usize>| index.and_then(|index| stack.get(index)).cloned();
        let one = |index: usize| {
            let page = page(index);
            let outline = outline(&reader, &page, None)?;
            let pixels = outline.as_ref().map_or(0, |outline| outline.pixels);
            Ok(Found {
                page,
                outline,
                beside: [at(index.checked_sub(1)), at(Some(index + 1))],
                stack: Some(stack.clone()),
                patient: patient.clone(),
                class: if study.truth.is_some() { class_of(pixels) } else { UNMARKED }.into(),
            })
        };
        let slices: Vec<Found> = (0..study.count()).into_par_iter().map(one).collect::<Result<_, TrainError>>()?;
        found.extend(slices);
    }
    Ok(found)
}

/// Reads every outline, since nothing else says whether there is a tumour.
fn outlines(data: &Path, source: &Source) -> Result<Vec<Found>, TrainError> {
    let patients = Patients::read(data, source)?;
    let masks = Masks::list(&data.join(&source.folder).join(MASKS))?;
    let reader = Reader::new(data);
    let find = |path: &PathBuf| {
        let page = Page::only(below(data, path));
        let outline = outline(&reader, &page, Some(below(data, masks.of(path)?)))?;
        Ok(Found {
            class: class_of(outline.as_ref().map_or(0, |outline| outline.pixels)).into(),
            patient: patients.of(path, &page.file)?.ok_or_else(|| unlisted(source, path))?,
            outline,
            beside: [None, None],
            stack: None,
            page,
        })
    };
    pictures(&data.join(&source.folder).join(IMAGES))?.par_iter().map(find).collect()
}

fn class_folders(data: &Path, source: &Source) -> Result<Vec<Found>, TrainError> {
    let patients = Patients::read(data, source)?;
    let reader = Reader::new(data);
    let mut found = Vec::new();
    for folder in children(&data.join(&source.folder))?.into_iter().filter(|path| path.is_dir()) {
        let class = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let is_used = source.classes.is_empty() || source.classes.contains_key(&class);
        let masks = source.masks.as_ref().filter(|_| is_used).map(|masks| data.join(&source.folder).join(masks));
        let masks = masks.map(|masks| Masks::list(&masks.join(&class))).transpose()?;
        let one = |path: PathBuf| {
            let page = Page::only(below(data, &path));
            let listed = patients.of(&path, &page.file)?;
            let patient = match source.block.map_or(listed, |block| Some(block_of(&class, &path, block))) {
                Some(patient) => patient,
                None if !is_used => return Ok(None),
                None => return Err(unlisted(source, &path)),
            };
            let outline = masks.as_ref().map(|masks| outline(&reader, &page, Some(below(data, masks.of(&path)?))));
            let (outline, class) = (outline.transpose()?.flatten(), class.clone());
            Ok(Some(Found { page, outline, beside: [None, None], stack: None, patient, class }))
        };
        let of_class: Vec<Option<Found>> = pictures(&folder)?.into_par_iter().map(one).collect::<Result<_, _>>()?;
        found.extend(of_class.into_iter().flatten());
    }
    Ok(found)
}

/// The block of numbers that a picture's name falls into; a name without a number is a block of its own.
fn block_of(class: &str, picture: &Path, block: NonZeroUsize) -> String {
    let stem = picture.file_stem().unwrap_or_default().to_string_lossy();
    let before = stem.trim_end_matches(|c: char| c.is_ascii_digit());
    match stem[before.len()..].parse::<usize>() {
        Ok(number) => format!("{class}/{before}{}", number / block),
        Err(_) => format!("{class}/{stem}"),
    }
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
        let mut by_picture = BTreeMap::new();
        for row in table::rows::<PatientRow>(&path)? {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_of_one_block_of_numbers_are_one_patient() {
        let block = |name: &str| block_of("tumor", Path::new(name), NonZeroUsize::new(50).unwrap());
        assert_eq!(
            (block("a/00049.jpg"), block("00050.jpg"), block("CT_00099.jpg")),
            ("tumor/0".into(), "tumor/1".into(), "tumor/CT_1".into())
        );
        assert_eq!(block("scan.jpg"), "tumor/scan");
    }
}

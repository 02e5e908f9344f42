//! The layout of the LGG data set as it is published: a folder for each patient, in it every picture `NAME.tif` with its outline
//! `NAME_mask.tif` beside it.

use super::error::TrainError;
use super::found::{Found, Page};
use super::listing::{below, children, class_of, outline, pictures};
use super::reader::Reader;
use crate::io::grouping::number;
use crate::io::paths::{is_truth, natural, stem, truth_beside};
use rayon::prelude::*;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Whether a folder holds patient folders with outlines beside their pictures.
pub fn is_laid_out_so(folder: &Path) -> bool {
    let has_outline = |patient: PathBuf| children(&patient).is_ok_and(|files| files.iter().any(|file| is_truth(file)));
    children(folder).is_ok_and(|inside| inside.into_iter().filter(|path| path.is_dir()).any(has_outline))
}

/// All pictures of all patients below `folder`, which lies in `data`. A patient is called as its folder. Every outline is read,
/// since nothing else says whether there is a tumour.
///
/// # Errors
/// If a folder, picture or outline cannot be read, or a picture has no outline.
pub fn find(data: &Path, folder: &Path) -> Result<Vec<Found>, TrainError> {
    let reader = Reader::new(data);
    let mut found = Vec::new();
    for patient in children(&data.join(folder))?.into_iter().filter(|path| path.is_dir()) {
        let mut slices: Vec<PathBuf> = pictures(&patient)?.into_iter().filter(|path| !is_truth(path)).collect();
        slices.sort_by(|a, b| natural(&a.to_string_lossy(), &b.to_string_lossy()));
        let page = |path: &Path| Page::only(below(data, path));
        let stack: Arc<[Page]> = slices.iter().map(|path| page(path)).collect();
        let by_number: HashMap<u64, &PathBuf> = slices.iter().filter_map(|path| Some((number(path)?, path))).collect();
        let beside = |path: &Path, step: i64| {
            let next = number(path)?.checked_add_signed(step)?;
            by_number.get(&next).map(|path| page(path))
        };
        let name = patient.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let one = |path: &PathBuf| {
            let Some(mask) = truth_beside(path) else {
                let problem =
                    format!("has no outline called {}_mask beside it; add it, black where there is none", stem(path));
                return Err(TrainError::file(path, problem));
            };
            let page = page(path);
            let outline = outline(&reader, &page, Some(below(data, &mask)))?;
            Ok(Found {
                class: class_of(outline.as_ref().map_or(0, |outline| outline.pixels)).into(),
                beside: [beside(path, -1), beside(path, 1)],
                stack: Some(stack.clone()),
                patient: name.clone(),
                outline,
                page,
            })
        };
        found.extend(slices.par_iter().map(one).collect::<Result<Vec<_>, _>>()?);
    }
    Ok(found)
}

//! Reads the slices of labelled data, as a network shall see them.

use super::error::TrainError;
use super::found::{Found, Outline, Page};
use crate::domain::card::Surroundings;
use crate::domain::intensities::{self, ChannelIntensities};
use crate::domain::mask::Mask;
use crate::domain::slice::Slice;
use crate::domain::study::{Neighbourhood, Place, Study};
use crate::io;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// Volumes that stay open: slices of one are asked for one after another, by a few threads.
const OPEN: usize = 4;

/// Reads slices below a data folder. A volume that was opened last stays open, and intensities of a stack are measured once.
pub struct Reader<'a> {
    data: &'a Path,
    open: Mutex<Vec<(PathBuf, Arc<Study>)>>,
    measured: Mutex<HashMap<Page, Arc<ChannelIntensities>>>,
}

impl<'a> Reader<'a> {
    pub fn new(data: &'a Path) -> Self {
        Self { data, open: Mutex::default(), measured: Mutex::default() }
    }

    /// A slice of a file below the data folder.
    ///
    /// # Errors
    /// If it cannot be read or there is no such slice.
    pub fn slice(&self, page: &Page) -> Result<Arc<Slice>, TrainError> {
        let path = self.data.join(&page.file);
        self.study(&path)?.slice(page.index).map_err(|e| TrainError::file(&path, e))
    }

    /// The outline of the slice at `page`.
    ///
    /// # Errors
    /// If it cannot be read or has another size.
    pub fn outline(&self, page: &Page, outline: &Outline, slice: &Slice) -> Result<Mask, TrainError> {
        match &outline.file {
            Some(file) => {
                let path = self.data.join(file);
                io::load_outline(&path, slice).map_err(|e| TrainError::file(&path, e.problem))
            }
            None => {
                let path = self.data.join(&page.file);
                let study = self.study(&path)?;
                let truth = study.truth(Place { cut: study.native(), index: page.index }, slice);
                let empty = || Mask::empty(slice.width(), slice.height());
                Ok(truth.map_err(|e| TrainError::file(&path, e))?.unwrap_or_else(empty))
            }
        }
    }

    /// The slice with what is `wanted` of its surroundings.
    ///
    /// # Errors
    /// As [`Self::slice`].
    pub fn seen(&self, found: &Found, wanted: Surroundings) -> Result<Neighbourhood, TrainError> {
        let beside =
            |page: &Option<Page>| page.as_ref().filter(|_| wanted.neighbours).map(|page| self.slice(page)).transpose();
        let stack = found.stack.as_deref().filter(|_| wanted.intensities);
        Ok(Neighbourhood {
            before: beside(&found.beside[0])?,
            after: beside(&found.beside[1])?,
            study: stack.map(|stack| self.intensities(stack)).transpose()?,
            ..self.slice(&found.page)?.into()
        })
    }

    /// Intensities over slices that belong together.
    ///
    /// # Errors
    /// As [`Self::slice`].
    pub fn intensities(&self, stack: &[Page]) -> Result<Arc<ChannelIntensities>, TrainError> {
        let Some(first) = stack.first() else { return Ok(Arc::new(ChannelIntensities::of(&[]))) };
        let measured = || self.measured.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = measured().get(first) {
            return Ok(known.clone());
        }
        let slices: Vec<_> =
            intensities::sampled(stack.len()).map(|i| self.slice(&stack[i])).collect::<Result<_, _>>()?;
        let made = Arc::new(ChannelIntensities::of(&slices));
        measured().insert(first.clone(), made.clone());
        Ok(made)
    }

    /// The study in a file.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn study(&self, path: &Path) -> Result<Arc<Study>, TrainError> {
        let lock = || self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, study)) = lock().iter().find(|(open, _)| open == path) {
            return Ok(study.clone());
        }
        let study = Arc::new(io::load(path).map_err(|e| TrainError::file(path, e.problem))?);
        // Single pictures are read once or twice and need no place here.
        if study.count() > 1 {
            let mut open = lock();
            open.insert(0, (path.to_path_buf(), study.clone()));
            open.truncate(OPEN);
        }
        Ok(study)
    }
}

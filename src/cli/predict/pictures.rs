//! Masks and overlays on disk: each under a name of its own, none over an input.

use super::{Args, MaskFormat};
use crate::cli::save;
use crate::domain::mask::Mask;
use crate::domain::overlay::OverlayStyle;
use crate::domain::slice::Slice;
use crate::export::mask_volume::{MaskVolume, VolumeFormat};
use crate::export::{Export, ExportError, png};
use anyhow::bail;
use std::collections::HashSet;
use std::path::{Path, PathBuf};

/// Where pictures go.
pub struct Pictures<'a> {
    args: &'a Args,
    /// What is read, and must never be written over.
    inputs: HashSet<PathBuf>,
    /// Names given so far, so that two inputs of one name do not overwrite each other.
    given: HashSet<String>,
}

impl<'a> Pictures<'a> {
    pub fn new(args: &'a Args) -> Self {
        Self { args, inputs: HashSet::new(), given: HashSet::new() }
    }

    /// These files are never written over.
    pub fn keep(&mut self, inputs: HashSet<PathBuf>) {
        self.inputs = inputs;
    }

    /// The format in which masks of whole studies are wanted, if any are.
    pub fn volume_format(&self) -> Option<VolumeFormat> {
        match self.args.mask_format {
            MaskFormat::Volume(format) => self.args.mask.as_ref().map(|_| format),
            MaskFormat::Png => None,
        }
    }

    fn wants_pictures(&self) -> bool {
        self.args.overlay.is_some() || (self.args.mask.is_some() && self.args.mask_format == MaskFormat::Png)
    }

    /// `plain`, or with a number where it is taken.
    fn name(&mut self, plain: &str, ending: &str) -> String {
        let numbered = (2..).map(|copy| format!("{plain}-{copy}.{ending}"));
        let mut names = std::iter::once(format!("{plain}.{ending}")).chain(numbered);
        names.find(|name| self.given.insert(name.clone())).unwrap_or_default()
    }

    /// Writes what was asked for of one slice; tells when it had to be called otherwise.
    pub fn slice(
        &mut self,
        plain: &str,
        slice: &Slice,
        mask: Option<&Mask>,
        truth: Option<&Mask>,
    ) -> anyhow::Result<Option<String>> {
        if !self.wants_pictures() {
            return Ok(None);
        }
        let name = self.name(plain, "png");
        if let Some(folder) = self.args.mask.as_ref().filter(|_| self.args.mask_format == MaskFormat::Png) {
            let empty = Mask::empty(slice.width(), slice.height());
            self.save(&folder.join(&name), &png::mask(mask.unwrap_or(&empty))?)?;
        }
        if let Some(folder) = &self.args.overlay {
            let style = OverlayStyle { colour: self.args.overlay_colour, ..OverlayStyle::default() };
            self.save(&folder.join(&name), &png::overlay(slice, mask, truth, style)?)?;
        }
        Ok(taken(plain, "png", &name))
    }

    /// Writes the mask of a whole study; returns its file, and a note when it had to be called otherwise. There is no file where
    /// nothing was outlined and the format cannot say so.
    pub fn volume(&mut self, plain: &str, volume: &MaskVolume) -> anyhow::Result<Option<(PathBuf, Option<String>)>> {
        let Some(folder) = &self.args.mask else { return Ok(None) };
        let bytes = match volume.bytes(&|_, _| true) {
            Ok(bytes) => bytes,
            Err(ExportError::NothingOutlined) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let ending = volume.format.ending();
        let name = self.name(plain, ending);
        let path = folder.join(&name);
        self.save(&path, &bytes)?;
        Ok(Some((path, taken(plain, ending, &name))))
    }

    fn save(&self, path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
        if path.canonicalize().is_ok_and(|target| self.inputs.contains(&target)) {
            bail!("{} is one of the inputs and was not overwritten; choose another folder", path.display());
        }
        save(path, bytes)
    }
}

fn taken(plain: &str, ending: &str, name: &str) -> Option<String> {
    (name != format!("{plain}.{ending}")).then(|| format!("written as {name}: another input is called {plain}"))
}

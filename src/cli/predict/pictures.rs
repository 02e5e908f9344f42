//! Masks and overlays on disk: each under a name of its own, none over an input.

use super::{Args, MaskFormat};
use crate::cli::save;
use crate::domain::mask::Mask;
use crate::domain::overlay::OverlayStyle;
use crate::domain::prediction::Segmentation;
use crate::domain::slice::Slice;
use crate::domain::study::{Cut, Study};
use crate::export::{dicom_seg, nifti, png};
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

    pub fn wants_volumes(&self) -> bool {
        self.args.mask.is_some() && self.args.mask_format != MaskFormat::Png
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

    /// Writes the masks of a whole study as one volume; returns its file, and a note when it had to be called otherwise.
    pub fn volume(
        &mut self,
        plain: &str,
        study: &Study,
        cut: Cut,
        masks: &[(usize, Mask)],
        maps: &[(usize, Segmentation)],
    ) -> anyhow::Result<Option<(PathBuf, Option<String>)>> {
        let Some(folder) = &self.args.mask else { return Ok(None) };
        let (ending, bytes) = match (self.args.mask_format, maps.first()) {
            (MaskFormat::Png, _) => return Ok(None),
            (MaskFormat::Nifti, _) => ("nii.gz", nifti::mask(study, cut, masks)?),
            // A segmentation without a pixel is none.
            (MaskFormat::Seg, _) if masks.iter().all(|(_, mask)| mask.area() == 0) => return Ok(None),
            (MaskFormat::Seg, Some((_, map))) => ("dcm", dicom_seg::binary(study, cut, masks, &map.model)?),
            (MaskFormat::SegFractional, Some((_, map))) => {
                ("dcm", dicom_seg::fractional(study, cut, maps, &map.model)?)
            }
            (MaskFormat::Seg | MaskFormat::SegFractional, None) => return Ok(None),
        };
        let folder = folder.clone();
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

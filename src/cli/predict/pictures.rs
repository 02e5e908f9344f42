//! Masks and overlays on disk: each under a name of its own, none over an input.

use super::{Args, MaskFormat};
use crate::batch::outputs::{OutputError, Outputs, SlicePictures, WrittenVolume};
use crate::batch::shard::Shard;
use crate::domain::mask::Mask;
use crate::domain::overlay::OverlayStyle;
use crate::export::mask_volume::{MaskVolume, VolumeFormat};
use crate::export::study_page::{MOST_PICTURES, Picture};
use crate::export::{Export, ExportError, heat, png};
use crate::files::write_atomically;
use std::collections::HashSet;
use std::path::{Path, PathBuf};

/// Where pictures go.
pub struct Pictures<'a> {
    args: &'a Args,
    masks: Option<PathBuf>,
    overlays: Option<PathBuf>,
    explanations: Option<PathBuf>,
    /// What is read, and must never be written over.
    inputs: HashSet<PathBuf>,
    /// Slices for the page of --report.
    pages: Vec<Picture>,
    /// Names given so far, so that two inputs of one name do not overwrite each other.
    given: HashSet<String>,
}

impl<'a> Pictures<'a> {
    /// Pictures as `args` wants them. `inputs` are canonical paths that are never written over. Each of several parts has a folder of its
    /// own, because it does not know which names the others give.
    ///
    /// # Errors
    /// If the folder of a part cannot be made.
    pub fn new(args: &'a Args, inputs: HashSet<PathBuf>, shard: Option<Shard>) -> Result<Self, ExportError> {
        let part = shard.filter(|shard| shard.count > 1);
        let folder = |folder: &Option<PathBuf>| -> Result<Option<PathBuf>, ExportError> {
            let Some((folder, part)) = folder.as_ref().zip(part) else { return Ok(folder.clone()) };
            let own = folder.join(format!("shard-{}-of-{}", part.index, part.count));
            std::fs::create_dir_all(&own).map_err(|reason| ExportError::file(&own, reason))?;
            Ok(Some(own))
        };
        let (masks, overlays, explanations) = (folder(&args.mask)?, folder(&args.overlay)?, folder(&args.explain)?);
        Ok(Self { args, masks, overlays, explanations, inputs, pages: Vec::new(), given: HashSet::new() })
    }

    /// Slices for the page of --report: of each study those with the largest outlines, in order.
    pub fn into_pages(self) -> Vec<Picture> {
        self.pages
    }

    /// Keeps a slice for the page while it is among those with the largest outlines of its study.
    fn keep(&mut self, of: &SlicePictures) -> Result<(), OutputError> {
        let area = of.mask.map_or(0, Mask::area);
        let own = || self.pages.iter().enumerate().filter(|(_, page)| page.study == of.study);
        if own().count() >= MOST_PICTURES {
            let smallest = own().min_by_key(|(_, page)| page.area).map(|(at, page)| (at, page.area));
            match smallest {
                Some((at, smallest)) if smallest < area => _ = self.pages.remove(at),
                _ => return Ok(()),
            }
        }
        let style = OverlayStyle { colour: self.args.overlay_colour, ..OverlayStyle::default() };
        let png = png::overlay(of.slice, of.mask, of.truth, style)?;
        self.pages.push(Picture { study: of.study, slice: of.place.index + 1, area, png });
        Ok(())
    }

    fn wants_pictures(&self) -> bool {
        let painted = self.args.overlay.is_some() || self.args.explain.is_some();
        painted || (self.args.mask.is_some() && self.args.mask_format == MaskFormat::Png)
    }

    /// `plain`, or with a number where it is taken.
    fn name(&mut self, plain: &str, ending: &str) -> String {
        let numbered = (2..).map(|copy| format!("{plain}-{copy}.{ending}"));
        let mut names = std::iter::once(format!("{plain}.{ending}")).chain(numbered);
        let folders = [&self.masks, &self.overlays, &self.explanations];
        let resume = self.args.resume;
        // What an interrupted run wrote belongs to studies that are passed over now.
        let is_there = |name: &str| folders.into_iter().flatten().any(|folder| folder.join(name).exists());
        let given = &mut self.given;
        names.find(|name| !(resume && is_there(name)) && given.insert(name.clone())).unwrap_or_default()
    }

    fn save(&self, path: &Path, bytes: &[u8]) -> Result<(), OutputError> {
        if path.canonicalize().is_ok_and(|target| self.inputs.contains(&target)) {
            return Err(OutputError::IsInput(path.display().to_string()));
        }
        Ok(write_atomically(path, bytes).map_err(|reason| ExportError::file(path, reason))?)
    }
}

impl Outputs for Pictures<'_> {
    fn volume_format(&self) -> Option<VolumeFormat> {
        match self.args.mask_format {
            MaskFormat::Volume(format) => self.args.mask.as_ref().map(|_| format),
            MaskFormat::Png => None,
        }
    }

    fn slice(&mut self, pictures: SlicePictures) -> Result<Option<String>, OutputError> {
        if self.args.report.is_some() {
            self.keep(&pictures)?;
        }
        let SlicePictures { name: plain, slice, mask, truth, explanation, .. } = pictures;
        if !self.wants_pictures() {
            return Ok(None);
        }
        let name = self.name(plain, "png");
        if let Some(folder) = self.masks.as_ref().filter(|_| self.args.mask_format == MaskFormat::Png) {
            let empty = Mask::empty(slice.width(), slice.height());
            self.save(&folder.join(&name), &png::mask(mask.unwrap_or(&empty))?)?;
        }
        if let Some(folder) = &self.overlays {
            let style = OverlayStyle { colour: self.args.overlay_colour, ..OverlayStyle::default() };
            self.save(&folder.join(&name), &png::overlay(slice, mask, truth, style)?)?;
        }
        if let Some((folder, explanation)) = self.explanations.as_ref().zip(explanation) {
            self.save(&folder.join(&name), &heat::over_scan(slice, explanation)?)?;
        }
        Ok(taken(plain, "png", &name))
    }

    fn volume(
        &mut self,
        plain: &str,
        _study: usize,
        volume: &MaskVolume,
    ) -> Result<Option<WrittenVolume>, OutputError> {
        let Some(folder) = self.masks.clone() else { return Ok(None) };
        let bytes = match volume.bytes(&|_, _| true) {
            Ok(bytes) => bytes,
            Err(ExportError::NothingOutlined) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let ending = volume.format.ending();
        let name = self.name(plain, ending);
        let path = folder.join(&name);
        self.save(&path, &bytes)?;
        Ok(Some(WrittenVolume { file: path.display().to_string(), note: taken(plain, ending, &name) }))
    }
}

fn taken(plain: &str, ending: &str, name: &str) -> Option<String> {
    (name != format!("{plain}.{ending}")).then(|| format!("written as {name}: another input is called {plain}"))
}

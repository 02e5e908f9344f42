//! Masks and pictures that are part of an answer.

use crate::batch::outputs::{OutputError, Outputs, SlicePictures, WrittenVolume};
use crate::domain::mask::Mask;
use crate::export::mask_volume::{MaskVolume, VolumeFormat};
use crate::export::{Export, ExportError, heat, png};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::{Deserialize, Serialize};

/// Format in which masks are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MaskFormat {
    /// A picture for each slice, 0 and 255.
    Png,
    /// A volume for each study.
    Nifti,
    /// A DICOM segmentation for each series.
    Seg,
}

/// A file within an answer.
#[derive(Debug, Serialize)]
pub struct Attachment {
    /// Place of its study in `studies`.
    pub study: usize,
    /// Number of its slice within the study, from 1; `null` for a file of the whole study.
    pub slice: Option<usize>,
    pub name: String,
    pub media_type: &'static str,
    pub base64: String,
}

/// Keeps files in memory.
#[derive(Debug, Default)]
pub struct Attachments {
    /// What masks are wanted as.
    pub wanted: Option<MaskFormat>,
    /// Whether the slices themselves are wanted, as pictures.
    pub with_pictures: bool,
    pub masks: Vec<Attachment>,
    pub pictures: Vec<Attachment>,
    /// Heat maps of what speaks for the classifier's answers.
    pub explanations: Vec<Attachment>,
}

impl Outputs for Attachments {
    fn volume_format(&self) -> Option<VolumeFormat> {
        match self.wanted? {
            MaskFormat::Png => None,
            MaskFormat::Nifti => Some(VolumeFormat::Nifti),
            MaskFormat::Seg => Some(VolumeFormat::Seg),
        }
    }

    fn slice(&mut self, of: SlicePictures) -> Result<Option<String>, OutputError> {
        let file = |bytes: Vec<u8>| Attachment {
            study: of.study,
            slice: Some(of.place.index + 1),
            name: format!("{}.png", of.name),
            media_type: "image/png",
            base64: BASE64_STANDARD.encode(bytes),
        };
        if self.wanted == Some(MaskFormat::Png) {
            let empty = Mask::empty(of.slice.width(), of.slice.height());
            self.masks.push(file(png::mask(of.mask.unwrap_or(&empty))?));
        }
        if self.with_pictures {
            self.pictures.push(file(png::slice(of.slice)?));
        }
        if let Some(explanation) = of.explanation {
            self.explanations.push(file(heat::alone(explanation)?));
        }
        Ok(None)
    }

    fn volume(&mut self, name: &str, study: usize, volume: &MaskVolume) -> Result<Option<WrittenVolume>, OutputError> {
        let bytes = match volume.bytes(&|_, _| true) {
            Ok(bytes) => bytes,
            Err(ExportError::NothingOutlined) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let media_type = if volume.format == VolumeFormat::Nifti { "application/gzip" } else { "application/dicom" };
        let name = format!("{name}.{}", volume.format.ending());
        let base64 = BASE64_STANDARD.encode(bytes);
        self.masks.push(Attachment { study, slice: None, name: name.clone(), media_type, base64 });
        Ok(Some(WrittenVolume { file: name, note: None }))
    }
}

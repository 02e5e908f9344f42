//! The slice on show as an annotated picture.

use crate::app::textures::MaskFacts;
use crate::app::words::measurement_lines;
use crate::domain::mask::Mask;
use crate::domain::prediction::Segmentation;
use crate::domain::slice::{Slice, Spacing};
use crate::export::annotated_png::{self, Annotated, Magnification};
use crate::export::{Export, ExportError, Looks, Progress};
use std::sync::Arc;

/// Footer above and below the sizes of the mask, which are measured on the very mask that is painted.
pub struct Footer {
    pub above: Vec<String>,
    pub below: Vec<String>,
}

/// The slice on show with everything its picture needs, so that the window may go on.
pub struct Picture {
    pub slice: Arc<Slice>,
    pub spacing: Option<Spacing>,
    pub looks: Looks,
    pub segmentation: Option<Arc<Segmentation>>,
    /// Instead of a segmentation: the study's mask cut in a plane that the networks did not look in.
    pub resliced: Option<Mask>,
    /// Probability in 0–1 from which a pixel belongs to the mask.
    pub mask_threshold: f32,
    pub truth: Option<Arc<Mask>>,
    pub magnification: Magnification,
    pub footer: Footer,
}

impl Export for Picture {
    fn bytes(&self, _progress: Progress) -> Result<Vec<u8>, ExportError> {
        let (slice, truth) = (&self.slice, self.truth.as_deref());
        let mask = self.segmentation.as_ref().map(|s| s.mask(self.mask_threshold)).or_else(|| self.resliced.clone());
        let facts = MaskFacts::of(mask.as_ref(), truth, self.spacing);
        let sizes = measurement_lines(&facts, self.mask_threshold);
        annotated_png::bytes(&Annotated {
            width: slice.width(),
            height: slice.height(),
            rgb: &self.looks.paint(slice, mask.as_ref(), truth),
            magnification: self.magnification,
            labels: &[],
            lines: &[self.footer.above.as_slice(), &sizes, &self.footer.below].concat(),
        })
    }
}

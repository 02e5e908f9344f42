//! The slice on show as an annotated picture.

use crate::app::textures::MaskFacts;
use crate::app::words::measurement_lines;
use crate::domain::mask::Mask;
use crate::domain::prediction::Segmentation;
use crate::domain::slice::{Slice, Spacing};
use crate::export::annotated_png::{self, Annotated, Magnification, Mark, Paper};
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
    pub is_smooth: bool,
    pub paper: Paper,
    /// Whether the scan without anything over it stands at the left.
    pub has_plain: bool,
    /// In pixels of the slice.
    pub marks: Vec<Mark>,
    pub footer: Footer,
}

impl Picture {
    /// Width, height and pixels, row by row.
    ///
    /// # Errors
    /// If the enlarged picture is too large.
    pub fn pixels(&self) -> Result<(usize, usize, Vec<[u8; 3]>), ExportError> {
        self.drawn(annotated_png::pixels)
    }

    fn drawn<T>(&self, finish: impl FnOnce(&Annotated) -> Result<T, ExportError>) -> Result<T, ExportError> {
        let (slice, truth) = (&self.slice, self.truth.as_deref());
        let mask = self.segmentation.as_ref().map(|s| s.mask(self.mask_threshold)).or_else(|| self.resliced.clone());
        let facts = MaskFacts::of(mask.as_ref(), truth, self.spacing);
        let sizes = measurement_lines(&facts, self.mask_threshold);
        let width = slice.width();
        let painted = self.looks.paint(slice, mask.as_ref(), truth);
        let (rgb, shift) = match self.has_plain {
            true => (side_by_side(&self.looks.paint(slice, None, None), &painted, width), width),
            false => (painted, 0),
        };
        let marks: Vec<Mark> = self.marks.iter().map(|mark| mark.shifted(shift as f64)).collect();
        finish(&Annotated {
            width: width + shift,
            height: slice.height(),
            rgb: &rgb,
            magnification: self.magnification,
            is_smooth: self.is_smooth,
            paper: self.paper,
            labels: &[],
            marks: &marks,
            lines: &[self.footer.above.as_slice(), &sizes, &self.footer.below].concat(),
        })
    }
}

/// Two pictures of this width beside each other.
fn side_by_side(left: &[[u8; 3]], right: &[[u8; 3]], width: usize) -> Vec<[u8; 3]> {
    left.chunks_exact(width).zip(right.chunks_exact(width)).flat_map(|(l, r)| l.iter().chain(r).copied()).collect()
}

impl Export for Picture {
    fn bytes(&self, _progress: Progress) -> Result<Vec<u8>, ExportError> {
        self.drawn(annotated_png::bytes)
    }
}

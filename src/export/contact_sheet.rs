//! Many slices on one picture, each with its mask and number.

use super::annotated_png::{self, Annotated, Label, Magnification, Paper};
use super::{Export, ExportError, Looks, Progress, go_on};
use crate::domain::prediction::Segmentation;
use crate::domain::resample::resize;
use crate::domain::study::{Place, Study};
use std::sync::Arc;

/// Slices on a sheet at most; of more, every n-th.
const MOST: usize = 48;
/// Slices side by side.
const COLUMNS: usize = 6;
/// Longest side of a slice on the sheet, in pixels.
const SIDE: usize = 240;
const GAP: usize = 4;

/// A study's positive slices as one picture, ready to be written.
pub struct SheetExport {
    pub study: Arc<Study>,
    /// Every slice, in order.
    pub slices: Vec<SheetSlice>,
    /// Probability in 0–1 from which a pixel belongs to the mask.
    pub mask_threshold: f32,
    pub looks: Looks,
    /// Lines of the footer.
    pub lines: Vec<String>,
}

/// A slice that may stand on the sheet.
pub struct SheetSlice {
    pub place: Place,
    pub is_positive: bool,
    /// Probabilities of the mask, where it is shown.
    pub segmentation: Option<Arc<Segmentation>>,
}

impl Export for SheetExport {
    /// The positive slices, or all of a study that has none.
    fn bytes(&self, progress: Progress) -> Result<Vec<u8>, ExportError> {
        let positive: Vec<usize> = (0..self.slices.len()).filter(|i| self.slices[*i].is_positive).collect();
        let all: Vec<usize> = (0..self.slices.len()).collect();
        let chosen = chosen(if positive.is_empty() { &all } else { &positive });
        let mut cells = Vec::new();
        for (done, one) in chosen.iter().map(|i| &self.slices[*i]).enumerate() {
            go_on(progress, done, chosen.len())?;
            // A damaged slice leaves a gap on the sheet, nothing more.
            let Ok(slice) = self.study.frames.slice(one.place) else { continue };
            let mask = one.segmentation.as_ref().map(|s| s.mask(self.mask_threshold));
            let rgb = self.looks.paint(&slice, mask.as_ref(), None);
            cells.push(Cell::new(one.place.index + 1, slice.width(), slice.height(), rgb));
        }
        annotated_png::bytes(&Sheet::new(&cells).annotated(&self.lines))
    }
}

/// One slice under its window, with its mask.
struct Cell {
    /// From 1, as the reader counts.
    number: usize,
    width: usize,
    height: usize,
    /// Row by row.
    rgb: Vec<[u8; 3]>,
}

impl Cell {
    /// No larger than it is on the sheet.
    fn new(number: usize, width: usize, height: usize, rgb: Vec<[u8; 3]>) -> Self {
        let longest = width.max(height);
        if longest <= SIDE {
            return Self { number, width, height, rgb };
        }
        let fit = |side: usize| (side * SIDE / longest).max(1);
        let (w, h) = (fit(width), fit(height));
        let channel = |c: usize| {
            let plane: Vec<f32> = rgb.iter().map(|p| f32::from(p[c])).collect();
            resize(&plane, (width, height), (w, h))
        };
        let planes = [channel(0), channel(1), channel(2)];
        let pixel = |i: usize| [0, 1, 2].map(|c: usize| planes[c][i].round() as u8);
        Self { number, width: w, height: h, rgb: (0..w * h).map(pixel).collect() }
    }
}

/// The slices to put on a sheet: these, thinned out evenly when they are too many.
fn chosen(slices: &[usize]) -> Vec<usize> {
    slices.iter().copied().step_by(slices.len().div_ceil(MOST).max(1)).collect()
}

/// The sheet's pixels and labels.
struct Sheet {
    width: usize,
    height: usize,
    rgb: Vec<[u8; 3]>,
    labels: Vec<Label>,
}

impl Sheet {
    fn new(cells: &[Cell]) -> Self {
        let widest = cells.iter().map(|c| c.width).max().unwrap_or(1);
        let highest = cells.iter().map(|c| c.height).max().unwrap_or(1);
        let columns = cells.len().clamp(1, COLUMNS);
        let (step_x, step_y) = (widest + GAP, highest + GAP);
        let (width, height) = (columns * step_x, cells.len().div_ceil(columns).max(1) * step_y);
        let mut rgb = vec![[0; 3]; width * height];
        let mut labels = Vec::new();
        for (i, cell) in cells.iter().enumerate() {
            let (left, top) = (i % columns * step_x, i / columns * step_y);
            for (y, row) in cell.rgb.chunks_exact(cell.width).enumerate() {
                rgb[(top + y) * width + left..][..cell.width].copy_from_slice(row);
            }
            labels.push(Label { left: left + 4, top: top + 2, text: cell.number.to_string() });
        }
        Self { width, height, rgb, labels }
    }

    /// With the lines of its footer.
    fn annotated<'a>(&'a self, lines: &'a [String]) -> Annotated<'a> {
        let magnification = Magnification::X1;
        Annotated {
            width: self.width,
            height: self.height,
            rgb: &self.rgb,
            magnification,
            is_smooth: false,
            paper: Paper::Dark,
            labels: &self.labels,
            marks: &[],
            lines,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_lie_side_by_side_and_are_thinned_evenly() {
        let cell = |number| Cell::new(number, 480, 240, vec![[number as u8, 0, 0]; 480 * 240]);
        let sheet = Sheet::new(&[cell(7), cell(9)]);
        assert_eq!((sheet.width, sheet.height), (2 * 244, 124));
        assert_eq!((sheet.rgb[0], sheet.rgb[244], sheet.rgb[240]), ([7, 0, 0], [9, 0, 0], [0; 3]));
        let all: Vec<usize> = (0..100).collect();
        assert_eq!(chosen(&all).len(), 34);
        assert_eq!(chosen(&all[..5]), [0, 1, 2, 3, 4]);
    }
}

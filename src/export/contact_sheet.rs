//! Many slices on one picture, each with its mask and number.

use super::annotated_png::{Annotated, Label, Magnification};
use crate::domain::resample::resize;

/// Slices on a sheet at most; of more, every n-th.
pub const MOST: usize = 48;
/// Slices side by side.
const COLUMNS: usize = 6;
/// Longest side of a slice on the sheet, in pixels.
const SIDE: usize = 240;
const GAP: usize = 4;

/// One slice under its window, with its mask.
pub struct Cell {
    /// From 1, as the reader counts.
    pub number: usize,
    pub width: usize,
    pub height: usize,
    /// Row by row.
    pub rgb: Vec<[u8; 3]>,
}

impl Cell {
    /// No larger than it is on the sheet.
    pub fn new(number: usize, width: usize, height: usize, rgb: Vec<[u8; 3]>) -> Self {
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
pub fn chosen(slices: &[usize]) -> Vec<usize> {
    slices.iter().copied().step_by(slices.len().div_ceil(MOST).max(1)).collect()
}

/// The sheet's pixels and labels.
pub struct Sheet {
    width: usize,
    height: usize,
    rgb: Vec<[u8; 3]>,
    labels: Vec<Label>,
}

impl Sheet {
    pub fn new(cells: &[Cell]) -> Self {
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
    pub fn annotated<'a>(&'a self, lines: &'a [String]) -> Annotated<'a> {
        let magnification = Magnification::X1;
        Annotated { width: self.width, height: self.height, rgb: &self.rgb, magnification, labels: &self.labels, lines }
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

//! Distances and areas that a reader draws on a slice, in pixels from its upper left corner.

use super::slice::Spacing;

/// A drawn measurement.
#[derive(Debug, Clone, PartialEq)]
pub enum Figure {
    Distance([[f64; 2]; 2]),
    /// Corners of a closed outline.
    Area(Vec<[f64; 2]>),
}

impl Figure {
    /// Length or area in pixels.
    pub fn pixels(&self) -> f64 {
        self.size([1.0, 1.0])
    }

    /// Length in mm or area in mm².
    pub fn millimetres(&self, spacing: Spacing) -> f64 {
        self.size([spacing.column_mm, spacing.row_mm])
    }

    fn size(&self, [wide, high]: [f64; 2]) -> f64 {
        match self {
            Figure::Distance([a, b]) => ((b[0] - a[0]) * wide).hypot((b[1] - a[1]) * high),
            // The shoelace formula.
            Figure::Area(corners) => {
                let next = corners.iter().cycle().skip(1);
                let twice: f64 = corners.iter().zip(next).map(|(a, b)| a[0] * b[1] - b[0] * a[1]).sum();
                twice.abs() / 2.0 * wide * high
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::slice::SpacingSource;
    use super::*;

    #[test]
    fn sizes_by_hand() {
        let spacing = Spacing::new(2.0, 0.5, SpacingSource::PixelSpacing).unwrap();
        let line = Figure::Distance([[1.0, 1.0], [4.0, 5.0]]);
        // 3 columns of ½ mm, 4 rows of 2 mm.
        assert_eq!((line.pixels(), line.millimetres(spacing)), (5.0, 66.25f64.sqrt()));
        let triangle = Figure::Area(vec![[0.0, 0.0], [4.0, 0.0], [0.0, 3.0]]);
        assert_eq!((triangle.pixels(), triangle.millimetres(spacing)), (6.0, 6.0));
        assert_eq!(Figure::Area(Vec::new()).pixels(), 0.0);
    }
}

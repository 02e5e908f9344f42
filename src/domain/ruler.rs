//! Distances and areas that a reader draws on a slice, in pixels from its upper left corner.

use super::slice::Spacing;
use serde::{Deserialize, Serialize};

/// A drawn measurement.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Figure {
    Distance([[f64; 2]; 2]),
    /// The middle point is the corner.
    Angle([[f64; 2]; 3]),
    /// Corners of a closed outline.
    Area(Vec<[f64; 2]>),
    /// A place with a text of the reader's.
    Label([f64; 2], String),
}

impl Figure {
    /// Points that can be moved one by one.
    pub fn handles(&self) -> &[[f64; 2]] {
        match self {
            Figure::Distance(ends) => ends,
            Figure::Angle(points) => points,
            Figure::Area(corners) => corners,
            Figure::Label(place, _) => std::slice::from_ref(place),
        }
    }

    /// Moves a handle. A corner of an area takes its neighbours along, the less the farther they are, since there are many.
    pub fn drag(&mut self, handle: usize, to: [f64; 2]) {
        match self {
            Figure::Distance(ends) => ends[handle % 2] = to,
            Figure::Angle(points) => points[handle % 3] = to,
            Figure::Label(place, _) => *place = to,
            Figure::Area(corners) => drag_outline(corners, handle, to),
        }
    }

    /// Degrees of an angle, 0–180, where a pixel is `wide` and `high`; `None` for other figures.
    pub fn degrees(&self, [wide, high]: [f64; 2]) -> Option<f64> {
        let Figure::Angle([a, corner, b]) = self else { return None };
        let arm = |p: &[f64; 2]| [(p[0] - corner[0]) * wide, (p[1] - corner[1]) * high];
        let (a, b) = (arm(a), arm(b));
        let (cross, dot) = (a[0] * b[1] - a[1] * b[0], a[0] * b[0] + a[1] * b[1]);
        Some(cross.abs().atan2(dot).to_degrees())
    }

    /// Mean and standard deviation of the values of the pixels whose centres lie within an area; `None` for other figures and when
    /// there is no such pixel. `value` gives the value at a column and row, and nothing outside the picture.
    pub fn mean_and_deviation(&self, value: impl Fn(usize, usize) -> Option<f32>) -> Option<(f64, f64)> {
        let Figure::Area(corners) = self else { return None };
        let heights = corners.iter().map(|corner| corner[1]);
        let (top, bottom) = (heights.clone().fold(f64::INFINITY, f64::min), heights.fold(0.0, f64::max));
        let (mut count, mut sum, mut squares) = (0.0, 0.0, 0.0);
        for row in top.max(0.0) as usize..bottom.ceil() as usize {
            for pair in crossings(corners, row as f64 + 0.5).chunks_exact(2) {
                let first = (pair[0] - 0.5).ceil().max(0.0) as usize;
                let end = (pair[1] - 0.5).ceil().max(0.0) as usize;
                for value in (first..end).filter_map(|column| value(column, row)).map(f64::from) {
                    (count, sum, squares) = (count + 1.0, sum + value, squares + value * value);
                }
            }
        }
        let mean = sum / count;
        (count > 0.0).then(|| (mean, (squares / count - mean * mean).max(0.0).sqrt()))
    }

    /// Length or area in pixels; nothing for angles and labels.
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
            Figure::Angle(_) | Figure::Label(..) => 0.0,
            // The shoelace formula.
            Figure::Area(corners) => {
                let next = corners.iter().cycle().skip(1);
                let twice: f64 = corners.iter().zip(next).map(|(a, b)| a[0] * b[1] - b[0] * a[1]).sum();
                twice.abs() / 2.0 * wide * high
            }
        }
    }
}

/// Length of a scale bar: the largest of 1, 2 and 5 times a power of ten that is at most `most`.
pub fn round_length(most: f64) -> Option<f64> {
    if !(most.is_finite() && most > 0.0) {
        return None;
    }
    let power = 10f64.powf(most.log10().floor());
    [5.0, 2.0, 1.0].into_iter().map(|times| times * power).find(|length| *length <= most * (1.0 + 1e-9))
}

/// A round length in mm in the unit that makes it a whole number.
pub fn bar_length(mm: f64) -> String {
    match mm {
        10.0.. => format!("{:.0} cm", mm / 10.0),
        1.0.. => format!("{mm:.0} mm"),
        _ => format!("{:.0} µm", mm * 1000.0),
    }
}

/// Corners this near, in pixels, are taken along when one is moved.
const ALONG: f64 = 12.0;

fn drag_outline(corners: &mut [[f64; 2]], handle: usize, to: [f64; 2]) {
    let Some(from) = corners.get(handle).copied() else { return };
    let by = [to[0] - from[0], to[1] - from[1]];
    for corner in corners {
        let share = (1.0 - (corner[0] - from[0]).hypot(corner[1] - from[1]) / ALONG).max(0.0);
        *corner = [corner[0] + by[0] * share, corner[1] + by[1] * share];
    }
}

/// Where a closed outline crosses a row, from left to right: inside lies between the first two, the next two, and so on.
fn crossings(corners: &[[f64; 2]], y: f64) -> Vec<f64> {
    let next = corners.iter().cycle().skip(1);
    let crossed = corners.iter().zip(next).filter(|(a, b)| (a[1] > y) != (b[1] > y));
    let mut found: Vec<f64> = crossed.map(|(a, b)| (b[0] - a[0]) * (y - a[1]) / (b[1] - a[1]) + a[0]).collect();
    found.sort_by(f64::total_cmp);
    found
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

    #[test]
    fn the_scale_bar_has_a_round_length() {
        for (most, expected) in [(37.0, 20.0), (50.0, 50.0), (9.9, 5.0), (1.0, 1.0), (0.03, 0.02)] {
            assert!((round_length(most).unwrap() - expected).abs() < 1e-9, "{most}");
        }
        assert_eq!(round_length(0.0), None);
        assert_eq!([20.0, 5.0, 0.02].map(bar_length), ["2 cm", "5 mm", "20 µm"]);
    }

    #[test]
    fn angles_and_means_by_hand() {
        let right = Figure::Angle([[4.0, 0.0], [0.0, 0.0], [0.0, 3.0]]);
        assert_eq!(right.degrees([1.0, 1.0]), Some(90.0));
        // Columns twice as wide: the arm (1, 1) becomes (2, 1), whose angle to a row is atan(1/2).
        let half = Figure::Angle([[1.0, 0.0], [0.0, 0.0], [1.0, 1.0]]);
        assert!((half.degrees([2.0, 1.0]).unwrap() - 0.5f64.atan().to_degrees()).abs() < 1e-9);
        // The middle four pixels of 4×4: 5, 6, 9, 10.
        let value = |x: usize, y: usize| Some((x + 4 * y) as f32).filter(|_| x < 4 && y < 4);
        let square = Figure::Area(vec![[1.0, 1.0], [3.0, 1.0], [3.0, 3.0], [1.0, 3.0]]);
        let (mean, deviation) = square.mean_and_deviation(value).unwrap();
        assert_eq!((mean, deviation), (7.5, 4.25f64.sqrt()));
        assert_eq!(right.mean_and_deviation(value), None);
    }

    #[test]
    fn handles_move_what_they_belong_to() {
        let mut line = Figure::Distance([[0.0, 0.0], [3.0, 4.0]]);
        line.drag(1, [6.0, 8.0]);
        assert_eq!(line.pixels(), 10.0);
        let mut outline = Figure::Area(vec![[0.0, 0.0], [6.0, 0.0], [40.0, 40.0]]);
        outline.drag(0, [-2.0, 0.0]);
        // Half as far for a corner at half the distance, not at all for one far away.
        assert_eq!(outline, Figure::Area(vec![[-2.0, 0.0], [5.0, 0.0], [40.0, 40.0]]));
    }
}

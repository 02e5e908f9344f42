//! What is drawn over an exported slice: the patient's sides, a scale bar and the reader's measurements.

use crate::app::entry::Entry;
use crate::app::figures::size;
use crate::domain::ruler::{Figure, bar_length, round_length};
use crate::export::annotated_png::Mark;

/// Largest share of the slice's width that the scale bar takes.
const BAR_SHARE: f64 = 0.25;
/// Share of the slice's shorter side that lies between a letter or the bar and the edge.
const EDGE: f64 = 0.045;

/// Marks in pixels of the slice on show.
pub fn of(entry: &Entry, figures: &[Figure]) -> Vec<Mark> {
    let slice = &entry.shown.slice;
    let (width, height) = (slice.width() as f64, slice.height() as f64);
    let edge = width.min(height) * EDGE;
    let middles =
        [[edge, height / 2.0], [width - edge, height / 2.0], [width / 2.0, edge], [width / 2.0, height - edge]];
    let letters = slice.orientation.into_iter().flat_map(|o| o.marks().into_iter().zip(middles));
    let mut marks: Vec<Mark> = letters.map(|(text, at)| Mark::Text(at, text)).collect();
    let bar = entry.spacing().and_then(|s| Some((round_length(width * BAR_SHARE * s.column_mm)?, s.column_mm)));
    if let Some((mm, column_mm)) = bar {
        let (left, right, y) = (edge, edge + mm / column_mm, height - edge);
        marks.push(Mark::Line(vec![[left, y], [right, y]]));
        marks.push(Mark::Text([(left + right) / 2.0, y - edge], bar_length(mm)));
    }
    for figure in figures {
        let mut points = figure.handles().to_vec();
        let last = match figure {
            Figure::Angle(points) => Some(points[1]),
            Figure::Label(..) => None,
            Figure::Distance(_) | Figure::Area(_) => points.last().copied(),
        };
        if matches!(figure, Figure::Area(_)) {
            points.extend(points.first().copied());
        }
        let at = last.map_or_else(|| points.first().copied(), |[x, y]| Some([x, y - edge]));
        if points.len() > 1 {
            marks.push(Mark::Line(points));
        }
        marks.extend(at.map(|at| Mark::Text(at, size(figure, entry))));
    }
    marks
}

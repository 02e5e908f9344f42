//! What is written beside a measurement, on the scan and in exported pictures.

use super::entry::Entry;
use super::words::decimal;
use crate::domain::ruler::Figure;
use rust_i18n::t;

/// In mm where a pixel's size is known, else in pixels, which says so. Angles of unequal pixels need their size as well.
pub fn size(figure: &Figure, entry: &Entry) -> String {
    let spacing = entry.spacing();
    let pixels = decimal(figure.pixels(), 1);
    let millimetres = spacing.map(|s| decimal(figure.millimetres(s), 1));
    let text = match (figure, millimetres) {
        (Figure::Distance(_), Some(mm)) => t!("measure.mm", mm = mm),
        (Figure::Distance(_), None) => t!("measure.px", px = pixels),
        (Figure::Area(_), Some(mm)) => t!("measure.mm2", mm = mm),
        (Figure::Area(_), None) => t!("measure.px2", px = pixels),
        (Figure::Label(_, text), _) => text.as_str().into(),
        (Figure::Angle(_), _) => {
            let pixel = spacing.map_or([1.0, 1.0], |s| [s.column_mm, s.row_mm]);
            format!("{}°", decimal(figure.degrees(pixel).unwrap_or_default(), 1)).into()
        }
    };
    let slice = &entry.shown.slice;
    match figure.mean_and_deviation(|x, y| slice.value(x, y)) {
        Some((mean, deviation)) => {
            let figures = t!("measure.mean", mean = decimal(mean, 1), deviation = decimal(deviation, 1));
            format!("{text}   {figures}")
        }
        None => text.into_owned(),
    }
}

//! How a frame's stored values become grey values and brightness: rescale, windows, padding (PS3.3 C.11.1, C.11.2, C.7.5.1.1.2).

use super::functional_groups::Groups;
use super::values::numbers;
use crate::domain::window::{Ramp, Window};
use dicom_dictionary_std::tags;
use dicom_object::InMemDicomObject;

/// Windows of a frame that are kept.
const MOST_WINDOWS: usize = 16;
/// Width of a window that is a step.
const STEP: f64 = 1e-3;

/// Grey value = stored value · slope + intercept.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rescale {
    pub slope: f64,
    pub intercept: f64,
}

impl Rescale {
    /// A slope of 0, which would leave a single grey value, counts as none.
    pub fn of(groups: &Groups) -> Self {
        let value = |tag| groups.numbers(tags::PIXEL_VALUE_TRANSFORMATION_SEQUENCE, tag).first().copied();
        let slope = value(tags::RESCALE_SLOPE).filter(|slope| *slope != 0.0).unwrap_or(1.0);
        Self { slope, intercept: value(tags::RESCALE_INTERCEPT).unwrap_or(0.0) }
    }
}

/// The windows that a file asks for.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Windows {
    pub usable: Vec<Window>,
    /// The file names a window that cannot be one: without a width, or without a number.
    pub has_unusable: bool,
}

impl Windows {
    /// Reads centres and widths by pairs. The standard's linear ramp (PS3.3 C.11.2.1.2.1) runs from c − ½ − (w − 1)/2 to
    /// c − ½ + (w − 1)/2. That half belongs to whole numbers: values whose steps are smaller are shown between c − w/2 and c + w/2.
    pub fn of(groups: &Groups, rescale: Rescale) -> Self {
        let [centres, widths] =
            [tags::WINDOW_CENTER, tags::WINDOW_WIDTH].map(|tag| groups.numbers(tags::FRAME_VOILUT_SEQUENCE, tag));
        let function = groups.text(tags::FRAME_VOILUT_SEQUENCE, tags::VOILUT_FUNCTION).unwrap_or_default();
        let fractional = rescale.slope.abs() < 1.0;
        let window = |(centre, width): (&f64, &f64)| {
            let (centre, width, ramp) = match function.as_str() {
                "SIGMOID" => (*centre, *width, Ramp::Sigmoid),
                "LINEAR_EXACT" => (*centre, *width, Ramp::Linear),
                _ if fractional || *width < 1.0 => (*centre, *width, Ramp::Linear),
                // A width of one is a step, as steep as a ramp can be.
                _ => (centre - 0.5, (width - 1.0).max(STEP), Ramp::Linear),
            };
            let window = Window { centre: centre as f32, width: width as f32, ramp };
            (window.width > 0.0 && window.width.is_finite() && window.centre.is_finite()).then_some(window)
        };
        let named: Vec<Option<Window>> = centres.iter().zip(&widths).take(MOST_WINDOWS).map(window).collect();
        let is_named = |tag| groups.text(tags::FRAME_VOILUT_SEQUENCE, tag).is_some();
        let unreadable = named.is_empty() && is_named(tags::WINDOW_CENTER) && is_named(tags::WINDOW_WIDTH);
        Self {
            has_unusable: unreadable || named.iter().any(Option::is_none),
            usable: named.into_iter().flatten().collect(),
        }
    }
}

/// Stored values that stand for no tissue, from the first to the last.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Padding {
    first: f64,
    last: f64,
}

impl Padding {
    /// PixelPaddingValue (0028,0120), with PixelPaddingRangeLimit (0028,0121) a range of them.
    pub fn of(object: &InMemDicomObject) -> Option<Self> {
        let signed = numbers(object, tags::PIXEL_REPRESENTATION).first() == Some(&1.0);
        // The two attributes have the sign of the pixels, whatever the file's writer took them for.
        let value = |tag| {
            numbers(object, tag).first().map(|value| match *value as i64 {
                value if signed && value > i64::from(i16::MAX) => (value - (1 << 16)) as f64,
                value if !signed && value < 0 => (value + (1 << 16)) as f64,
                value => value as f64,
            })
        };
        let one = value(tags::PIXEL_PADDING_VALUE)?;
        let other = value(tags::PIXEL_PADDING_RANGE_LIMIT).unwrap_or(one);
        Some(Self { first: one.min(other), last: one.max(other) })
    }

    pub fn contains(&self, stored: f64) -> bool {
        (self.first..=self.last).contains(&stored)
    }
}

//! Attributes that a decoder insists on and that some writers leave out, put in where their value is plain.

use super::header::Header;
use super::values::{number_of, text};
use dicom_core::header::HasLength;
use dicom_core::{DataElement, PrimitiveValue, VR};
use dicom_dictionary_std::tags;
use dicom_object::{InMemDicomObject, Tag};

/// What [`Header`] has read already, and what a decoder would stumble over where it is badly written.
const READ_ALREADY: [Tag; 8] = [
    tags::RESCALE_SLOPE,
    tags::RESCALE_INTERCEPT,
    tags::WINDOW_CENTER,
    tags::WINDOW_WIDTH,
    tags::VOILUT_FUNCTION,
    tags::VOILUT_SEQUENCE,
    tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE,
    tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE,
];

/// Makes the description of the pixels complete (PS3.3 C.7.6.3): one sample where there is no number, all bits used up to the
/// highest, whole numbers without sign, one sample grey and three of them red, green and blue.
pub fn complete(object: &mut InMemDicomObject, header: &Header) {
    for tag in READ_ALREADY {
        object.remove_element(tag);
    }
    let number = |object: &InMemDicomObject, tag| number_of(object, tag).filter(|n| (0.0..65_536.0).contains(n));
    let samples = number(object, tags::SAMPLES_PER_PIXEL).filter(|n| *n > 0.0).unwrap_or(1.0);
    let photometric = text(object, tags::PHOTOMETRIC_INTERPRETATION);
    let photometric = photometric.unwrap_or(if samples == 3.0 { "RGB" } else { "MONOCHROME2" }.into());
    // Two pixels share their chroma: as many bytes as two samples for each.
    let samples = if is_native(object) && photometric == "YBR_FULL_422" { 2.0 } else { samples };
    let frames = header.stored_frames;
    let allocated = number(object, tags::BITS_ALLOCATED).filter(|n| *n > 0.0);
    let allocated = allocated.or_else(|| bits_by_length(object, samples, frames)).unwrap_or(16.0);
    let stored = number(object, tags::BITS_STORED).filter(|n| (1.0..=allocated).contains(n)).unwrap_or(allocated);
    let high = number(object, tags::HIGH_BIT).filter(|n| (stored - 1.0..allocated).contains(n)).unwrap_or(stored - 1.0);
    let sign = number(object, tags::PIXEL_REPRESENTATION).filter(|n| *n == 1.0).unwrap_or(0.0);
    let planar = number(object, tags::PLANAR_CONFIGURATION).filter(|n| *n == 1.0).unwrap_or(0.0);
    for (tag, value) in [
        (tags::SAMPLES_PER_PIXEL, samples),
        (tags::BITS_ALLOCATED, allocated),
        (tags::BITS_STORED, stored),
        (tags::HIGH_BIT, high),
        (tags::PIXEL_REPRESENTATION, sign),
        (tags::PLANAR_CONFIGURATION, planar),
    ] {
        object.put(DataElement::new(tag, VR::US, PrimitiveValue::from(value as u16)));
    }
    for tag in [tags::ROWS, tags::COLUMNS] {
        let side = number(object, tag).unwrap_or(0.0);
        object.put(DataElement::new(tag, VR::US, PrimitiveValue::from(side as u16)));
    }
    object.put(DataElement::new(tags::PHOTOMETRIC_INTERPRETATION, VR::CS, PrimitiveValue::from(photometric)));
    object.put(DataElement::new(tags::NUMBER_OF_FRAMES, VR::IS, PrimitiveValue::from(frames.to_string())));
}

/// Whether the pixels lie in the file as they are.
fn is_native(object: &InMemDicomObject) -> bool {
    object.get(tags::PIXEL_DATA).is_some_and(|element| element.fragments().is_none())
}

/// Bits of a sample by the length of the pixels: 8, 16 or 32.
fn bits_by_length(object: &InMemDicomObject, samples: f64, frames: u32) -> Option<f64> {
    let bytes = f64::from(object.get(tags::PIXEL_DATA)?.length().get()?);
    let pixels = number_of(object, tags::ROWS)? * number_of(object, tags::COLUMNS)? * f64::from(frames);
    let bits = (bytes / (pixels * samples)).floor() * 8.0;
    [8.0, 16.0, 32.0].contains(&bits).then_some(bits)
}

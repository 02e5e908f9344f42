//! Values of attributes as files have them: with decimal commas, blanks, and under another value representation than the standard's.

use dicom_core::PrimitiveValue;
use dicom_object::{InMemDicomObject, Tag};

/// The trimmed text of an attribute; `None` when it is missing or empty.
pub fn text(object: &InMemDicomObject, tag: Tag) -> Option<String> {
    let value = written(object.get(tag)?.value().primitive()?)?;
    let value = value.trim_matches(|c: char| c.is_whitespace() || c == '\0');
    (!value.is_empty()).then(|| value.to_string())
}

/// The numbers of an attribute, as text or binary; empty when it is missing or one of them is no finite number.
pub fn numbers(object: &InMemDicomObject, tag: Tag) -> Vec<f64> {
    let Some(value) = object.get(tag).and_then(|element| element.value().primitive()) else { return Vec::new() };
    let parsed = match written(value) {
        Some(text) if text.trim_matches(['\0', ' ']).is_empty() => return Vec::new(),
        Some(text) => text.split('\\').map(number).collect(),
        None => value.to_multi_float64().ok(),
    };
    parsed.filter(|values| values.iter().all(|v| v.is_finite())).unwrap_or_default()
}

/// The first number of an attribute.
pub fn number_of(object: &InMemDicomObject, tag: Tag) -> Option<f64> {
    numbers(object, tag).first().copied()
}

/// The first item of a sequence.
pub fn first_item(object: &InMemDicomObject, tag: Tag) -> Option<&InMemDicomObject> {
    object.get(tag)?.items()?.first()
}

/// A value that is text, its parts separated by backslashes. Bytes of an unknown representation are text when they are printable.
fn written(value: &PrimitiveValue) -> Option<String> {
    match value {
        PrimitiveValue::Str(_) | PrimitiveValue::Strs(_) => Some(value.to_multi_str().join("\\")),
        PrimitiveValue::U8(bytes) => {
            let printable = |byte: &u8| (b' '..=b'~').contains(byte) || *byte == 0;
            bytes.iter().all(printable).then(|| String::from_utf8_lossy(bytes).into_owned())
        }
        _ => None,
    }
}

/// A decimal string (PS3.5, 6.2), also with the comma that some writers' languages put in the place of the point.
fn number(text: &str) -> Option<f64> {
    text.trim_matches(|c: char| c.is_whitespace() || c == '\0').replace(',', ".").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use dicom_core::{DataElement, VR};
    use dicom_dictionary_std::tags;

    #[test]
    fn numbers_are_read_whatever_their_representation() {
        let read = |vr: VR, value: PrimitiveValue| {
            numbers(
                &InMemDicomObject::from_element_iter([DataElement::new(tags::PIXEL_SPACING, vr, value)]),
                tags::PIXEL_SPACING,
            )
        };
        let half = [0.5, 0.75];
        assert_eq!(read(VR::DS, PrimitiveValue::from("0.5\\ 0.75 ")), half);
        assert_eq!(read(VR::DS, PrimitiveValue::from("0,5\\0,75")), half);
        assert_eq!(read(VR::UT, PrimitiveValue::from("0.5\\0.75")), half);
        assert_eq!(read(VR::UN, PrimitiveValue::U8(b"0.5\\0.75".iter().copied().collect())), half);
        assert_eq!(read(VR::FD, PrimitiveValue::F64(half.iter().copied().collect())), half);
        for junk in ["", "0.5\\wide", "0.5\\NaN", "1,000.5"] {
            assert_eq!(read(VR::DS, PrimitiveValue::from(junk)), [] as [f64; 0], "{junk}");
        }
    }
}

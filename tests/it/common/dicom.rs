//! DICOM files written for tests.

use dicom_core::{DataElement, PrimitiveValue, VR};
use dicom_dictionary_std::{tags, uids};
use dicom_object::{FileMetaTableBuilder, InMemDicomObject, Tag};
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

/// Every file is an instance of its own.
static FILES: AtomicU32 = AtomicU32::new(0);

/// A 16-bit MR picture of `width` columns; `change` may put in or take out whatever it likes.
pub fn write(path: &Path, width: u16, pixels: &[u16], change: impl FnOnce(&mut InMemDicomObject)) {
    let height = (pixels.len() / usize::from(width)) as u16;
    let mut object = InMemDicomObject::new_empty();
    for (tag, vr, value) in [
        (tags::SOP_CLASS_UID, VR::UI, PrimitiveValue::from(uids::MR_IMAGE_STORAGE)),
        (
            tags::SOP_INSTANCE_UID,
            VR::UI,
            PrimitiveValue::from(format!("1.2.3.7.{}", FILES.fetch_add(1, Ordering::Relaxed))),
        ),
        (tags::SERIES_INSTANCE_UID, VR::UI, PrimitiveValue::from("1.2.3.4")),
        (tags::MODALITY, VR::CS, PrimitiveValue::from("MR")),
        (tags::PATIENT_NAME, VR::PN, PrimitiveValue::from("DOE^JOHN")),
        (tags::PATIENT_ID, VR::LO, PrimitiveValue::from("PID-4711")),
        (tags::ROWS, VR::US, PrimitiveValue::from(height)),
        (tags::COLUMNS, VR::US, PrimitiveValue::from(width)),
        (tags::SAMPLES_PER_PIXEL, VR::US, PrimitiveValue::from(1u16)),
        (tags::PHOTOMETRIC_INTERPRETATION, VR::CS, PrimitiveValue::from("MONOCHROME2")),
        (tags::BITS_ALLOCATED, VR::US, PrimitiveValue::from(16u16)),
        (tags::BITS_STORED, VR::US, PrimitiveValue::from(16u16)),
        (tags::HIGH_BIT, VR::US, PrimitiveValue::from(15u16)),
        (tags::PIXEL_REPRESENTATION, VR::US, PrimitiveValue::from(0u16)),
        (tags::PIXEL_DATA, VR::OW, PrimitiveValue::U16(pixels.iter().copied().collect())),
    ] {
        object.put(DataElement::new(tag, vr, value));
    }
    change(&mut object);
    let meta = FileMetaTableBuilder::new()
        .media_storage_sop_class_uid(uids::MR_IMAGE_STORAGE)
        .media_storage_sop_instance_uid("1.2.3.5")
        .transfer_syntax(uids::EXPLICIT_VR_LITTLE_ENDIAN);
    object.with_meta(meta).unwrap().write_to_file(path).unwrap();
}

/// Decimal or text attribute.
pub fn put(object: &mut InMemDicomObject, tag: Tag, vr: VR, value: &str) {
    object.put(DataElement::new(tag, vr, PrimitiveValue::from(value)));
}

/// Puts a slice in its place: cosines, position and pixel size.
pub fn place(object: &mut InMemDicomObject, orientation: &str, position: &str, spacing: &str) {
    put(object, tags::IMAGE_ORIENTATION_PATIENT, VR::DS, orientation);
    put(object, tags::IMAGE_POSITION_PATIENT, VR::DS, position);
    put(object, tags::PIXEL_SPACING, VR::DS, spacing);
}

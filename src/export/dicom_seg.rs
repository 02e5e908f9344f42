//! DICOM Segmentation (PS3.3 A.51): a study's mask as an object of the patient's own, beside the series it belongs to.
//!
//! Patient and study are those of the source files, which a segmentation cannot do without: the file identifies the patient.

use super::ExportError;
use crate::domain::geometry::{Affine, Layout};
use crate::domain::mask::Mask;
use crate::domain::prediction::{self, ModelRef};
use crate::domain::study::{Cut, Place, Study};
use dicom_core::value::DataSetSequence;
use dicom_core::{DataElement, PrimitiveValue, VR, dicom_value};
use dicom_dictionary_std::{tags, uids};
use dicom_object::{FileMetaTableBuilder, InMemDicomObject, OpenFileOptions, Tag};
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What stands in a segmentation's pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Inside or outside at the mask threshold.
    Binary,
    /// Probabilities in steps of 1/255.
    Fractional,
}

/// One segmented slice.
struct Frame {
    /// Number of the slice in the study, from 0.
    index: usize,
    /// Probability by pixel in 0–1, row by row; for a binary segmentation 0 or 1.
    values: Vec<f32>,
}

/// What is segmented, and by whom.
struct Segmentation<'a> {
    kind: Kind,
    study: &'a Study,
    cut: Cut,
    layout: Layout,
    /// Slices with anything in them, in order.
    frames: &'a [Frame],
    model: &'a ModelRef,
}

/// Everything before the pixels.
const PIXELS: Tag = Tag(0x7FE0, 0x0008);
/// What is copied from the source: patient and study (PS3.3 C.7.1.1, C.7.2.1), the frame of reference, the character set. Type 2
/// attributes that it lacks are written empty.
const COPIED: [(Tag, VR); 13] = [
    (tags::PATIENT_NAME, VR::PN),
    (tags::PATIENT_ID, VR::LO),
    (tags::PATIENT_BIRTH_DATE, VR::DA),
    (tags::PATIENT_SEX, VR::CS),
    (tags::STUDY_INSTANCE_UID, VR::UI),
    (tags::STUDY_DATE, VR::DA),
    (tags::STUDY_TIME, VR::TM),
    (tags::REFERRING_PHYSICIAN_NAME, VR::PN),
    (tags::STUDY_ID, VR::SH),
    (tags::ACCESSION_NUMBER, VR::SH),
    (tags::FRAME_OF_REFERENCE_UID, VR::UI),
    (tags::POSITION_REFERENCE_INDICATOR, VR::LO),
    (tags::SERIES_INSTANCE_UID, VR::UI),
];

/// A source image that frames refer to.
#[derive(Clone)]
struct Source {
    class: String,
    instance: String,
    /// Of a multi-frame file, from 1.
    frame: Option<usize>,
}

/// Inside or outside, by slice number.
///
/// # Errors
/// If the source files are no DICOM or do not say where they lie in the patient, or nothing was outlined.
pub fn binary(study: &Study, cut: Cut, masks: &[(usize, Mask)], model: &ModelRef) -> Result<Vec<u8>, ExportError> {
    let frame = |(index, mask): &(usize, Mask)| Frame {
        index: *index,
        values: mask.pixels().iter().map(|inside| f32::from(u8::from(*inside))).collect(),
    };
    let frames: Vec<Frame> = masks.iter().filter(|(_, mask)| mask.area() > 0).map(frame).collect();
    write(&Segmentation { kind: Kind::Binary, study, cut, layout: layout(study, cut)?, frames: &frames, model })
}

/// Probabilities, by slice number; slices whose every pixel rounds to zero are left out.
///
/// # Errors
/// If the source files are no DICOM or do not say where they lie in the patient, or nothing was outlined.
pub fn fractional(
    study: &Study,
    cut: Cut,
    maps: &[(usize, Arc<prediction::Segmentation>)],
    model: &ModelRef,
) -> Result<Vec<u8>, ExportError> {
    let frame =
        |(index, map): &(usize, Arc<prediction::Segmentation>)| Frame { index: *index, values: map.probability_map() };
    let something = |frame: &Frame| frame.values.iter().any(|v| *v >= 0.5 / 255.0);
    let frames: Vec<Frame> = maps.iter().map(frame).filter(something).collect();
    write(&Segmentation { kind: Kind::Fractional, study, cut, layout: layout(study, cut)?, frames: &frames, model })
}

fn layout(study: &Study, cut: Cut) -> Result<Layout, ExportError> {
    let why = "its slices differ in size; export the masks as PNG";
    study.frames.layout(cut).ok_or_else(|| ExportError::Segmentation(why.into()))
}

/// Writes the segmentation; returns the file's bytes.
///
/// # Errors
/// If the source files are no DICOM or do not say where they lie in the patient, or nothing was outlined.
fn write(seg: &Segmentation) -> Result<Vec<u8>, ExportError> {
    if seg.frames.is_empty() {
        return Err(ExportError::NothingOutlined);
    }
    let refused = |why: &str| ExportError::Segmentation(why.to_string());
    let Some(affine) = seg.layout.slices_affine() else {
        return Err(refused("the source does not say where its slices lie in the patient; export the mask as PNG"));
    };
    let sources = sources(seg)?;
    let head = open(seg.study.file(Place { cut: seg.cut, index: 0 }))?;
    if uid(&head, tags::FRAME_OF_REFERENCE_UID).is_none() || uid(&head, tags::STUDY_INSTANCE_UID).is_none() {
        return Err(refused("the source series names no study or frame of reference; export the mask as NIfTI"));
    }
    let instance = new_uid();
    let mut object = InMemDicomObject::new_empty();
    if let Some(charset) = head.get(tags::SPECIFIC_CHARACTER_SET) {
        object.put(charset.clone());
    }
    for (tag, vr) in COPIED.into_iter().filter(|(tag, _)| *tag != tags::SERIES_INSTANCE_UID) {
        object.put(head.get(tag).cloned().unwrap_or_else(|| DataElement::empty(tag, vr)));
    }
    put(&mut object, tags::SOP_CLASS_UID, VR::UI, uids::SEGMENTATION_STORAGE);
    put(&mut object, tags::SOP_INSTANCE_UID, VR::UI, &instance);
    series(&mut object);
    image(&mut object, seg);
    segment(&mut object, seg.model);
    dimensions(&mut object);
    references(&mut object, &head, &sources);
    functional_groups(&mut object, seg, &affine, &sources);
    object.put(DataElement::new(tags::PIXEL_DATA, VR::OB, PrimitiveValue::U8(pixels(seg).into())));
    let meta = FileMetaTableBuilder::new()
        .media_storage_sop_class_uid(uids::SEGMENTATION_STORAGE)
        .media_storage_sop_instance_uid(&instance)
        .transfer_syntax(uids::EXPLICIT_VR_LITTLE_ENDIAN);
    let failed = |e: &dyn std::fmt::Display| ExportError::Segmentation(e.to_string());
    let file = object.with_meta(meta).map_err(|e| failed(&e))?;
    let mut bytes = Vec::new();
    file.write_all(&mut bytes).map_err(|e| failed(&e))?;
    Ok(bytes)
}

fn open(file: &Path) -> Result<InMemDicomObject, ExportError> {
    let read = || OpenFileOptions::new().read_until(PIXELS).open_file(file);
    // Parsers of untrusted bytes assert here and there.
    let object = std::panic::catch_unwind(std::panic::AssertUnwindSafe(read)).ok().and_then(Result::ok);
    let object = object.ok_or_else(|| {
        ExportError::Segmentation(format!("{} is no DICOM file; export the mask as NIfTI", file.display()))
    })?;
    Ok(object.into_inner())
}

fn uid(object: &InMemDicomObject, tag: Tag) -> Option<String> {
    let value = object.get(tag)?.to_str().ok()?;
    let value = value.trim_matches(|c: char| c.is_whitespace() || c == '\0');
    (!value.is_empty()).then(|| value.to_string())
}

/// The image behind every slice; each file is opened once.
fn sources(seg: &Segmentation) -> Result<Vec<Source>, ExportError> {
    let mut known: HashMap<PathBuf, Source> = HashMap::new();
    let mut sources = Vec::new();
    for index in 0..seg.layout.count() {
        let place = Place { cut: seg.cut, index };
        let file = seg.study.file(place);
        if !known.contains_key(file) {
            known.insert(file.to_path_buf(), source(file)?);
        }
        let mut source = known[file].clone();
        if let (Some(frame), Some(origin)) = (&mut source.frame, seg.study.frames.origin(place)) {
            *frame = origin.frame + 1;
        }
        sources.push(source);
    }
    Ok(sources)
}

fn source(file: &Path) -> Result<Source, ExportError> {
    let head = open(file)?;
    let named = |tag| uid(&head, tag);
    let frames = head.get(tags::NUMBER_OF_FRAMES).and_then(|e| e.to_int::<u32>().ok()).unwrap_or(1);
    match (named(tags::SOP_CLASS_UID), named(tags::SOP_INSTANCE_UID)) {
        (Some(class), Some(instance)) => Ok(Source { class, instance, frame: (frames > 1).then_some(1) }),
        _ => Err(ExportError::Segmentation(format!(
            "{} has no SOP instance UID; export the mask as NIfTI",
            file.display()
        ))),
    }
}

/// A UID made from a random number (PS3.5, B.2).
fn new_uid() -> String {
    format!("2.25.{}", rand::random::<u128>())
}

fn put(object: &mut InMemDicomObject, tag: Tag, vr: VR, value: &str) {
    object.put(DataElement::new(tag, vr, PrimitiveValue::from(value)));
}

fn put_short(object: &mut InMemDicomObject, tag: Tag, value: u16) {
    object.put(DataElement::new(tag, VR::US, PrimitiveValue::from(value)));
}

fn put_items(object: &mut InMemDicomObject, tag: Tag, items: Vec<InMemDicomObject>) {
    object.put(DataElement::new(tag, VR::SQ, DataSetSequence::from(items)));
}

/// Numbers as decimal strings of at most 16 characters (PS3.5, 6.2, DS).
fn put_numbers(object: &mut InMemDicomObject, tag: Tag, values: &[f64]) {
    let decimal = |v: &f64| {
        (0..=14)
            .rev()
            .map(|digits| format!("{v:.digits$}"))
            .find(|text| text.len() <= 16)
            .unwrap_or_else(|| format!("{v:.9e}"))
    };
    let texts: Vec<String> = values.iter().map(decimal).collect();
    object.put(DataElement::new(tag, VR::DS, PrimitiveValue::Strs(texts.into())));
}

fn item(fill: impl FnOnce(&mut InMemDicomObject)) -> InMemDicomObject {
    let mut object = InMemDicomObject::new_empty();
    fill(&mut object);
    object
}

fn code(value: &str, scheme: &str, meaning: &str) -> InMemDicomObject {
    item(|o| {
        put(o, tags::CODE_VALUE, VR::SH, value);
        put(o, tags::CODING_SCHEME_DESIGNATOR, VR::SH, scheme);
        put(o, tags::CODE_MEANING, VR::LO, meaning);
    })
}

/// General and segmentation series, equipment (PS3.3 C.7.3.1, C.8.20.1, C.7.5.1, C.7.5.2).
fn series(object: &mut InMemDicomObject) {
    put(object, tags::MODALITY, VR::CS, "SEG");
    put(object, tags::SERIES_INSTANCE_UID, VR::UI, &new_uid());
    put(object, tags::SERIES_NUMBER, VR::IS, "1000");
    put(object, tags::SERIES_DESCRIPTION, VR::LO, "LesionLens segmentation (research)");
    put(object, tags::MANUFACTURER, VR::LO, "LesionLens developers");
    put(object, tags::MANUFACTURER_MODEL_NAME, VR::LO, "LesionLens");
    put(object, tags::DEVICE_SERIAL_NUMBER, VR::LO, "0");
    put(object, tags::SOFTWARE_VERSIONS, VR::LO, env!("CARGO_PKG_VERSION"));
}

/// Image, pixels and segmentation image (PS3.3 C.7.6.1, C.7.6.3, C.8.20.2).
fn image(object: &mut InMemDicomObject, seg: &Segmentation) {
    let (width, height) = seg.layout.slice_size();
    object.put(DataElement::new(tags::IMAGE_TYPE, VR::CS, dicom_value!(Strs, ["DERIVED", "PRIMARY"])));
    put(object, tags::INSTANCE_NUMBER, VR::IS, "1");
    let now = super::clock::now();
    put(object, tags::CONTENT_DATE, VR::DA, &now.date);
    put(object, tags::CONTENT_TIME, VR::TM, &now.time);
    put(object, tags::CONTENT_LABEL, VR::CS, "TUMOR");
    put(object, tags::CONTENT_DESCRIPTION, VR::LO, "Automatic, not reviewed; research only");
    object.put(DataElement::empty(tags::CONTENT_CREATOR_NAME, VR::PN));
    put_short(object, tags::SAMPLES_PER_PIXEL, 1);
    put(object, tags::PHOTOMETRIC_INTERPRETATION, VR::CS, "MONOCHROME2");
    put_short(object, tags::ROWS, height as u16);
    put_short(object, tags::COLUMNS, width as u16);
    put(object, tags::NUMBER_OF_FRAMES, VR::IS, &seg.frames.len().to_string());
    put(object, tags::LOSSY_IMAGE_COMPRESSION, VR::CS, "00");
    put_short(object, tags::PIXEL_REPRESENTATION, 0);
    let bits = match seg.kind {
        Kind::Binary => {
            put(object, tags::SEGMENTATION_TYPE, VR::CS, "BINARY");
            1
        }
        Kind::Fractional => {
            put(object, tags::SEGMENTATION_TYPE, VR::CS, "FRACTIONAL");
            put(object, tags::SEGMENTATION_FRACTIONAL_TYPE, VR::CS, "PROBABILITY");
            put_short(object, tags::MAXIMUM_FRACTIONAL_VALUE, 255);
            8
        }
    };
    put_short(object, tags::BITS_ALLOCATED, bits);
    put_short(object, tags::BITS_STORED, bits);
    put_short(object, tags::HIGH_BIT, bits - 1);
}

/// The one segment (PS3.3 C.8.20.4, coded by SNOMED CT).
fn segment(object: &mut InMemDicomObject, model: &ModelRef) {
    let segment = item(|o| {
        put_short(o, tags::SEGMENT_NUMBER, 1);
        put(o, tags::SEGMENT_LABEL, VR::LO, "Tumor");
        put(o, tags::SEGMENT_ALGORITHM_TYPE, VR::CS, "AUTOMATIC");
        put(o, tags::SEGMENT_ALGORITHM_NAME, VR::LO, &format!("{} {}", model.id, model.short_hash()));
        let abnormal = code("49755003", "SCT", "Morphologically Abnormal Structure");
        put_items(o, tags::SEGMENTED_PROPERTY_CATEGORY_CODE_SEQUENCE, vec![abnormal]);
        put_items(o, tags::SEGMENTED_PROPERTY_TYPE_CODE_SEQUENCE, vec![code("108369006", "SCT", "Neoplasm")]);
    });
    put_items(object, tags::SEGMENT_SEQUENCE, vec![segment]);
}

/// Frames are ordered by segment, then by place (PS3.3 C.7.6.17).
fn dimensions(object: &mut InMemDicomObject) {
    let organisation = new_uid();
    let index = |pointer: Tag, group: Tag, label: &str| {
        item(|o| {
            put(o, tags::DIMENSION_ORGANIZATION_UID, VR::UI, &organisation);
            o.put(DataElement::new(tags::DIMENSION_INDEX_POINTER, VR::AT, PrimitiveValue::from(pointer)));
            o.put(DataElement::new(tags::FUNCTIONAL_GROUP_POINTER, VR::AT, PrimitiveValue::from(group)));
            put(o, tags::DIMENSION_DESCRIPTION_LABEL, VR::LO, label);
        })
    };
    let indices = vec![
        index(tags::REFERENCED_SEGMENT_NUMBER, tags::SEGMENT_IDENTIFICATION_SEQUENCE, "Segment"),
        index(tags::IMAGE_POSITION_PATIENT, tags::PLANE_POSITION_SEQUENCE, "Position"),
    ];
    let own = item(|o| put(o, tags::DIMENSION_ORGANIZATION_UID, VR::UI, &organisation));
    put_items(object, tags::DIMENSION_ORGANIZATION_SEQUENCE, vec![own]);
    put_items(object, tags::DIMENSION_INDEX_SEQUENCE, indices);
}

fn instance(source: &Source) -> InMemDicomObject {
    item(|o| {
        put(o, tags::REFERENCED_SOP_CLASS_UID, VR::UI, &source.class);
        put(o, tags::REFERENCED_SOP_INSTANCE_UID, VR::UI, &source.instance);
    })
}

/// The series that was segmented (PS3.3 C.12.2).
fn references(object: &mut InMemDicomObject, head: &InMemDicomObject, sources: &[Source]) {
    let series = item(|o| {
        put(o, tags::SERIES_INSTANCE_UID, VR::UI, &uid(head, tags::SERIES_INSTANCE_UID).unwrap_or_default());
        // A multi-frame file is one instance, however many slices it holds.
        let mut seen = HashSet::new();
        let once = sources.iter().filter(|source| seen.insert(&source.instance));
        put_items(o, tags::REFERENCED_INSTANCE_SEQUENCE, once.map(instance).collect());
    });
    put_items(object, tags::REFERENCED_SERIES_SEQUENCE, vec![series]);
}

/// Where every frame lies and which image it belongs to (PS3.3 C.7.6.16).
fn functional_groups(object: &mut InMemDicomObject, seg: &Segmentation, affine: &Affine, sources: &[Source]) {
    let [column, row, slice] = affine.spacing();
    let unit = |axis: usize| affine.steps[axis].map(|c| c / affine.spacing()[axis]);
    let shared = item(|o| {
        let measures = item(|o| {
            put_numbers(o, tags::PIXEL_SPACING, &[row, column]);
            put_numbers(o, tags::SLICE_THICKNESS, &[slice]);
            put_numbers(o, tags::SPACING_BETWEEN_SLICES, &[slice]);
        });
        put_items(o, tags::PIXEL_MEASURES_SEQUENCE, vec![measures]);
        let orientation = item(|o| put_numbers(o, tags::IMAGE_ORIENTATION_PATIENT, &[unit(0), unit(1)].concat()));
        put_items(o, tags::PLANE_ORIENTATION_SEQUENCE, vec![orientation]);
    });
    put_items(object, tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE, vec![shared]);
    let frames = seg.frames.iter().enumerate().map(|(place, frame)| {
        item(|o| {
            let content = item(|o| {
                let values = PrimitiveValue::U32([1, place as u32 + 1].into_iter().collect());
                o.put(DataElement::new(tags::DIMENSION_INDEX_VALUES, VR::UL, values));
            });
            put_items(o, tags::FRAME_CONTENT_SEQUENCE, vec![content]);
            let corner = affine.patient_from_voxel([0.0, 0.0, frame.index as f64]);
            let position = item(|o| put_numbers(o, tags::IMAGE_POSITION_PATIENT, &corner));
            put_items(o, tags::PLANE_POSITION_SEQUENCE, vec![position]);
            let segment = item(|o| put_short(o, tags::REFERENCED_SEGMENT_NUMBER, 1));
            put_items(o, tags::SEGMENT_IDENTIFICATION_SEQUENCE, vec![segment]);
            put_items(o, tags::DERIVATION_IMAGE_SEQUENCE, vec![derivation(sources, frame.index)]);
        })
    });
    let frames = frames.collect();
    put_items(object, tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE, frames);
}

/// The image that a frame was made from (PS3.3 C.7.6.16.2.6).
fn derivation(sources: &[Source], index: usize) -> InMemDicomObject {
    let source = sources.get(index);
    let mut image = source.map(instance).unwrap_or_else(InMemDicomObject::new_empty);
    if let Some(frame) = source.and_then(|source| source.frame) {
        put(&mut image, tags::REFERENCED_FRAME_NUMBER, VR::IS, &frame.to_string());
    }
    let purpose = code("121322", "DCM", "Source image for image processing operation");
    put_items(&mut image, tags::PURPOSE_OF_REFERENCE_CODE_SEQUENCE, vec![purpose]);
    put(&mut image, tags::SPATIAL_LOCATIONS_PRESERVED, VR::CS, "YES");
    item(|o| {
        put_items(o, tags::SOURCE_IMAGE_SEQUENCE, vec![image]);
        put_items(o, tags::DERIVATION_CODE_SEQUENCE, vec![code("113076", "DCM", "Segmentation")]);
    })
}

/// Bits are packed from the lowest on, one frame directly behind the other (PS3.5, 8.1.1); the whole has an even length.
fn pixels(seg: &Segmentation) -> Vec<u8> {
    let values = || seg.frames.iter().flat_map(|frame| frame.values.iter().copied());
    let mut bytes: Vec<u8> = match seg.kind {
        Kind::Fractional => values().map(|v| (v.clamp(0.0, 1.0) * 255.0).round() as u8).collect(),
        Kind::Binary => {
            let bits: Vec<bool> = values().map(|v| v >= 0.5).collect();
            let byte = |bits: &[bool]| bits.iter().rev().fold(0, |byte, bit| byte << 1 | u8::from(*bit));
            bits.chunks(8).map(byte).collect()
        }
    };
    if bytes.len() % 2 == 1 {
        bytes.push(0);
    }
    bytes
}

//! What a DICOM file says before its pixels.

use super::open_head;
use super::table::Table;
use crate::domain::geometry::{Orientation, Vector};
use crate::domain::slice::{Spacing, SpacingSource};
use crate::domain::study::Subject;
use crate::domain::window::Window;
use crate::io::error::{LoadError, Problem};
use crate::io::guarded;
use dicom_dictionary_std::tags;
use dicom_object::{DefaultDicomObject, InMemDicomObject, Tag};
use std::path::{Path, PathBuf};

/// Windows of a frame that are kept.
const MOST_WINDOWS: usize = 16;
/// Width of a window that is a step.
const STEP: f64 = 1e-3;
/// Most frames that one file is believed to have.
const MAX_FRAMES: u32 = 20_000;

/// One frame's place and looks.
#[derive(Debug, Clone, PartialEq)]
pub struct FrameHeader {
    /// Centre of the first pixel: ImagePositionPatient (0020,0032).
    pub position: Option<Vector>,
    pub orientation: Option<Orientation>,
    pub spacing: Option<Spacing>,
    /// As the file names them.
    pub windows: Vec<Window>,
    /// TemporalPositionIndex or TemporalPositionIdentifier.
    pub time: Option<i64>,
}

/// A file's part in a study.
#[derive(Debug, Clone, PartialEq)]
pub struct Header {
    pub path: PathBuf,
    /// SeriesInstanceUID (0020,000E); files that share it belong together.
    pub series: String,
    /// SeriesDescription, else ProtocolName.
    pub description: Option<String>,
    pub subject: Subject,
    /// SOPInstanceUID (0008,0018); a file that is there twice has it twice.
    pub instance_uid: Option<String>,
    /// InstanceNumber (0020,0013).
    pub instance: Option<i64>,
    pub width: u32,
    pub height: u32,
    /// MONOCHROME1: high values are dark.
    pub inverted: bool,
    /// Luminance and chroma instead of red, green and blue.
    pub is_ybr: bool,
    /// From stored values to the modality's, instead of slope and intercept.
    pub modality_table: Option<Table>,
    /// From these to brightness, where the file names no window.
    pub voi_table: Option<Table>,
    /// Tells apart what was taken in one place: AcquisitionNumber, EchoTime, TriggerTime, AcquisitionTime.
    pub moment: [Option<f64>; 4],
    /// SpacingBetweenSlices (0018,0088) in mm, as stated.
    pub slice_distance: Option<f64>,
    /// SliceThickness (0018,0050) in mm.
    pub thickness: Option<f64>,
    pub frames: Vec<FrameHeader>,
}

impl Header {
    /// Reads everything before the pixels.
    ///
    /// # Errors
    /// If the file is no DICOM picture, or its size is beyond what is opened.
    pub fn read(path: &Path) -> Result<Self, LoadError> {
        let read = || {
            let object = open_head(path)?;
            guarded(|| Self::of(path, &object))
        };
        read().map_err(|problem| LoadError::new(path, problem))
    }

    fn of(path: &Path, object: &DefaultDicomObject) -> Result<Self, Problem> {
        let side = |tag: Tag| object.get(tag).and_then(|e| e.to_int::<u32>().ok());
        let (Some(height), Some(width)) = (side(tags::ROWS), side(tags::COLUMNS)) else {
            return Err(Problem::NoPixels);
        };
        if text(object, tags::MODALITY).is_some_and(|modality| modality == "SEG") {
            return Err(Problem::IsSegmentation);
        }
        crate::io::check_size(width, height)?;
        let count = side(tags::NUMBER_OF_FRAMES).unwrap_or(1).max(1);
        if count > MAX_FRAMES {
            return Err(Problem::StackTooLarge);
        }
        let shared = first_item(object, tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE);
        let each = object.get(tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE).and_then(|e| e.items()).unwrap_or_default();
        let common = frame(&Groups { object, shared, own: None });
        let own = |index: usize| each.get(index).map(|own| frame(&Groups { object, shared, own: Some(own) }));
        let frames = (0..count as usize).map(|index| own(index).unwrap_or_else(|| common.clone())).collect();
        let photometric = text(object, tags::PHOTOMETRIC_INTERPRETATION).unwrap_or_default();
        Ok(Self {
            path: path.to_path_buf(),
            series: text(object, tags::SERIES_INSTANCE_UID).unwrap_or_default(),
            description: text(object, tags::SERIES_DESCRIPTION).or_else(|| text(object, tags::PROTOCOL_NAME)),
            subject: Subject {
                modality: text(object, tags::MODALITY),
                body_part: text(object, tags::BODY_PART_EXAMINED),
            },
            instance_uid: text(object, tags::SOP_INSTANCE_UID),
            instance: object.get(tags::INSTANCE_NUMBER).and_then(|e| e.to_int().ok()),
            width,
            height,
            inverted: photometric == "MONOCHROME1",
            is_ybr: photometric.starts_with("YBR"),
            modality_table: Table::of(object, tags::MODALITY_LUT_SEQUENCE),
            voi_table: Table::of(object, tags::VOILUT_SEQUENCE),
            moment: [tags::ACQUISITION_NUMBER, tags::ECHO_TIME, tags::TRIGGER_TIME, tags::ACQUISITION_TIME]
                .map(|tag| text(object, tag).and_then(|value| value.parse().ok())),
            slice_distance: numbers(object, tags::SPACING_BETWEEN_SLICES).first().copied(),
            thickness: numbers(object, tags::SLICE_THICKNESS).first().copied(),
            frames,
        })
    }
}

/// A trimmed string that is not empty.
fn text(object: &InMemDicomObject, tag: Tag) -> Option<String> {
    let value = object.get(tag)?.to_str().ok()?;
    let value = value.trim_matches(|c: char| c.is_whitespace() || c == '\0');
    (!value.is_empty()).then(|| value.to_string())
}

fn numbers(object: &InMemDicomObject, tag: Tag) -> Vec<f64> {
    let values = object.get(tag).and_then(|e| e.to_multi_float64().ok()).unwrap_or_default();
    if values.iter().all(|v| v.is_finite()) { values } else { Vec::new() }
}

fn first_item(object: &InMemDicomObject, tag: Tag) -> Option<&InMemDicomObject> {
    object.get(tag)?.items()?.first()
}

/// Where a frame's attributes may stand: in its own functional group, in the shared one, or in the file itself (PS3.3
/// C.7.6.16).
struct Groups<'a> {
    object: &'a InMemDicomObject,
    shared: Option<&'a InMemDicomObject>,
    own: Option<&'a InMemDicomObject>,
}

impl Groups<'_> {
    fn numbers(&self, group: Tag, tag: Tag) -> Vec<f64> {
        let grouped = [self.own, self.shared].into_iter().flatten().filter_map(|item| first_item(item, group));
        let found = grouped.map(|item| numbers(item, tag)).find(|values| !values.is_empty());
        found.unwrap_or_else(|| numbers(self.object, tag))
    }
}

fn frame(groups: &Groups) -> FrameHeader {
    let vector = |values: &[f64]| -> Option<Vector> { values.get(..3)?.try_into().ok() };
    let position = groups.numbers(tags::PLANE_POSITION_SEQUENCE, tags::IMAGE_POSITION_PATIENT);
    let cosines = groups.numbers(tags::PLANE_ORIENTATION_SEQUENCE, tags::IMAGE_ORIENTATION_PATIENT);
    let orientation = || Orientation::new(vector(&cosines)?, vector(cosines.get(3..)?)?);
    let time = [tags::TEMPORAL_POSITION_INDEX, tags::TEMPORAL_POSITION_IDENTIFIER]
        .into_iter()
        .find_map(|tag| groups.numbers(tags::FRAME_CONTENT_SEQUENCE, tag).first().map(|v| *v as i64));
    FrameHeader {
        position: vector(&position),
        orientation: orientation(),
        spacing: spacing(groups),
        windows: windows(groups),
        time,
    }
}

/// The best statement there is, and which it was.
fn spacing(groups: &Groups) -> Option<Spacing> {
    [
        (tags::PIXEL_SPACING, SpacingSource::PixelSpacing),
        (tags::IMAGER_PIXEL_SPACING, SpacingSource::ImagerPixelSpacing),
        (tags::NOMINAL_SCANNED_PIXEL_SPACING, SpacingSource::NominalScannedPixelSpacing),
    ]
    .into_iter()
    .find_map(|(tag, source)| match groups.numbers(tags::PIXEL_MEASURES_SEQUENCE, tag).as_slice() {
        [row, column, ..] => Spacing::new(*row, *column, source),
        _ => None,
    })
}

/// Window centre and width by pairs. The standard's linear ramp (PS3.3 C.11.2.1.2.1) runs from c − ½ − (w − 1)/2 to
/// c − ½ + (w − 1)/2; a sigmoid is shown as the linear ramp of its centre and width.
fn windows(groups: &Groups) -> Vec<Window> {
    let centres = groups.numbers(tags::FRAME_VOILUT_SEQUENCE, tags::WINDOW_CENTER);
    let widths = groups.numbers(tags::FRAME_VOILUT_SEQUENCE, tags::WINDOW_WIDTH);
    let exact = text(groups.object, tags::VOILUT_FUNCTION).is_some_and(|function| function == "LINEAR_EXACT");
    let window = |(centre, width): (&f64, &f64)| {
        // A width of one is a step, as steep as a ramp can be.
        let (centre, width) = if exact { (*centre, *width) } else { (centre - 0.5, (width - 1.0).max(STEP)) };
        let window = Window { centre: centre as f32, width: width as f32 };
        (window.width > 0.0 && window.width.is_finite() && window.centre.is_finite()).then_some(window)
    };
    centres.iter().zip(&widths).take(MOST_WINDOWS).filter_map(window).collect()
}

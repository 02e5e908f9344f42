//! What a DICOM file says before its pixels.

use super::functional_groups::Groups;
use super::kind::Kind;
use super::look::{Padding, Rescale, Windows};
use super::mosaic::Mosaic;
use super::open_head;
use super::palette::Palette;
use super::table::Table;
use super::values::{first_item, number_of, text};
use crate::domain::acquisition::{self, Acquisition, ScanWords, Weighting};
use crate::domain::geometry::{Orientation, Vector, scaled, sum};
use crate::domain::slice::{Spacing, SpacingSource};
use crate::domain::subject::Subject;
use crate::io::error::{LoadError, Problem};
use crate::io::guarded;
use dicom_dictionary_std::tags;
use dicom_object::{DefaultDicomObject, InMemDicomObject, Tag};
use std::path::{Path, PathBuf};

/// Most frames that one file is believed to have.
const MAX_FRAMES: u32 = 20_000;

/// One frame's place and looks.
#[derive(Debug, Clone, PartialEq)]
pub struct FrameHeader {
    /// Number of the frame in its file, from 0.
    pub number: usize,
    /// Centre of the first pixel: ImagePositionPatient (0020,0032).
    pub position: Option<Vector>,
    pub orientation: Option<Orientation>,
    pub spacing: Option<Spacing>,
    pub rescale: Rescale,
    pub windows: Windows,
    pub kind: Kind,
}

/// What files of one series share. Files of two patients, examinations or frames of reference are never one series, whatever their
/// series' number says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Identity {
    /// SeriesInstanceUID (0020,000E).
    pub series: Option<String>,
    /// StudyInstanceUID (0020,000D).
    study: Option<String>,
    /// PatientID (0010,0020) and PatientName (0010,0010).
    patient: [Option<String>; 2],
    /// FrameOfReferenceUID (0020,0052): positions of two frames cannot be compared.
    frame_of_reference: Option<String>,
    /// Stands for the number that some files lack.
    label: Option<Label>,
}

/// Folder, SeriesNumber (0020,0011) and SeriesDescription (0008,103E).
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Label {
    folder: PathBuf,
    number: Option<String>,
    description: Option<String>,
}

/// A file's part in a study.
#[derive(Debug, Clone, PartialEq)]
pub struct Header {
    pub path: PathBuf,
    pub identity: Identity,
    pub label: Label,
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
    pub padding: Option<Padding>,
    /// From stored values to the modality's, instead of slope and intercept.
    pub modality_table: Option<Table>,
    /// From these to brightness, where the file names no window.
    pub voi_table: Option<Table>,
    /// From stored values to colours.
    pub palette: Option<Palette>,
    /// How the frames lie in one picture, if they do.
    pub mosaic: Option<Mosaic>,
    /// Orders what was taken in one place: AcquisitionNumber, TriggerTime, AcquisitionTime.
    pub moment: [Option<f64>; 3],
    /// SliceLocation (0020,1041) in mm along a direction that the file does not name.
    pub location: Option<f64>,
    /// SpacingBetweenSlices (0018,0088) in mm, as stated.
    pub slice_distance: Option<f64>,
    /// SliceThickness (0018,0050) in mm.
    pub thickness: Option<f64>,
    /// Frames in the file, which may be more than those that make this part.
    pub stored_frames: u32,
    /// At least one.
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

    /// A frame for every tile, in its place. The file's own position is that of a picture as large as the whole mosaic about the
    /// centre of the first slice.
    ///
    /// # Errors
    /// If the picture does not consist of as many tiles.
    fn divided(self, mosaic: Mosaic) -> Result<Header, Problem> {
        let header = self;
        let across = mosaic.across() as u32;
        if !header.width.is_multiple_of(across) || !header.height.is_multiple_of(across) {
            return Err(Problem::Damaged(format!("its {} pictures do not fill its mosaic", mosaic.tiles)));
        }
        let (width, height) = (header.width / across, header.height / across);
        crate::io::check_size(width, height)?;
        let whole = header.frames.first().cloned().ok_or(Problem::NoPixels)?;
        let distance = [header.slice_distance, header.thickness].into_iter().flatten().find(|mm| *mm > 0.0);
        let first = || {
            let (orientation, spacing) = (whole.orientation?, whole.spacing?);
            let inwards = |all: u32, tile: u32| f64::from(all - tile) / 2.0;
            let right = scaled(orientation.right, spacing.column_mm * inwards(header.width, width));
            let down = scaled(orientation.down, spacing.row_mm * inwards(header.height, height));
            Some(sum(whole.position?, sum(right, down)))
        };
        let onwards = || Some(scaled(mosaic.normal.or(Some(whole.orientation?.normal()))?, distance?));
        let position = |tile: usize| Some(sum(first()?, scaled(onwards()?, tile as f64)));
        let frame = |tile: usize| FrameHeader { number: tile, position: position(tile), ..whole.clone() };
        let frames = (0..mosaic.tiles).map(frame).collect();
        Ok(Header { width, height, frames, mosaic: Some(mosaic), ..header })
    }

    /// What the file shares with others when every file of a series was given a series' number of its own, as some anonymisers do;
    /// `None` for a file that says too little for that.
    pub fn identity_without_number(&self) -> Option<Identity> {
        let [frame] = self.frames.as_slice() else { return None };
        let is_placed = frame.position.is_some() && frame.orientation.is_some();
        let is_labelled = self.label.number.is_some() && self.label.description.is_some();
        let unnumbered = Identity { series: None, label: Some(self.label.clone()), ..self.identity.clone() };
        (is_placed && is_labelled).then_some(unnumbered)
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
        let mut common = frame(&Groups { object, shared, own: None });
        // The position of a file of several frames is at most that of the first.
        common.position = common.position.filter(|_| count == 1);
        let own = |index: usize| each.get(index).map(|own| frame(&Groups { object, shared, own: Some(own) }));
        let frames = (0..count as usize).map(|number| FrameHeader { number, ..own(number).unwrap_or(common.clone()) });
        let photometric = text(object, tags::PHOTOMETRIC_INTERPRETATION).unwrap_or_default();
        let label = Label {
            folder: path.parent().unwrap_or(Path::new("")).to_path_buf(),
            number: text(object, tags::SERIES_NUMBER),
            description: text(object, tags::SERIES_DESCRIPTION),
        };
        let header = Self {
            path: path.to_path_buf(),
            identity: identity(object, &label),
            label,
            description: text(object, tags::SERIES_DESCRIPTION).or_else(|| text(object, tags::PROTOCOL_NAME)),
            subject: Subject {
                modality: text(object, tags::MODALITY),
                body_part: text(object, tags::BODY_PART_EXAMINED),
                acquisition: Acquisition {
                    date: text(object, tags::STUDY_DATE).map(|text| acquisition::date(&text)),
                    sequence: text(object, tags::SERIES_DESCRIPTION).or_else(|| text(object, tags::PROTOCOL_NAME)),
                    weighting: Weighting::told(&scan_words(object)),
                    thickness_mm: number_of(object, tags::SLICE_THICKNESS).filter(|mm| *mm > 0.0),
                },
            },
            instance_uid: text(object, tags::SOP_INSTANCE_UID),
            instance: number_of(object, tags::INSTANCE_NUMBER).map(|number| number as i64),
            width,
            height,
            inverted: photometric == "MONOCHROME1",
            is_ybr: photometric.starts_with("YBR"),
            padding: Padding::of(object),
            modality_table: Table::of(object, tags::MODALITY_LUT_SEQUENCE),
            voi_table: Table::of(object, tags::VOILUT_SEQUENCE),
            palette: Palette::of(object),
            mosaic: None,
            moment: [tags::ACQUISITION_NUMBER, tags::TRIGGER_TIME, tags::ACQUISITION_TIME]
                .map(|tag| number_of(object, tag)),
            location: number_of(object, tags::SLICE_LOCATION),
            slice_distance: number_of(object, tags::SPACING_BETWEEN_SLICES),
            thickness: number_of(object, tags::SLICE_THICKNESS),
            stored_frames: count,
            frames: frames.collect(),
        };
        match Mosaic::of(object) {
            Some(mosaic) => header.divided(mosaic),
            None => Ok(header),
        }
    }
}

fn identity(object: &InMemDicomObject, label: &Label) -> Identity {
    let series = text(object, tags::SERIES_INSTANCE_UID);
    Identity {
        study: text(object, tags::STUDY_INSTANCE_UID),
        patient: [tags::PATIENT_ID, tags::PATIENT_NAME].map(|tag| text(object, tag)),
        frame_of_reference: text(object, tags::FRAME_OF_REFERENCE_UID),
        label: series.is_none().then(|| label.clone()),
        series,
    }
}

fn frame(groups: &Groups) -> FrameHeader {
    let vector = |values: &[f64]| -> Option<Vector> { values.get(..3)?.try_into().ok() };
    let position = groups.numbers(tags::PLANE_POSITION_SEQUENCE, tags::IMAGE_POSITION_PATIENT);
    let cosines = groups.numbers(tags::PLANE_ORIENTATION_SEQUENCE, tags::IMAGE_ORIENTATION_PATIENT);
    let orientation = || Orientation::new(vector(&cosines)?, vector(cosines.get(3..)?)?);
    let rescale = Rescale::of(groups);
    FrameHeader {
        number: 0,
        position: vector(&position),
        orientation: orientation(),
        spacing: spacing(groups),
        rescale,
        windows: Windows::of(groups, rescale),
        kind: Kind::of(groups),
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
/// What an MR header says of the contrast between tissues.
fn scan_words(object: &DefaultDicomObject) -> ScanWords {
    if text(object, tags::MODALITY).is_some_and(|modality| modality != "MR") {
        return ScanWords::default();
    }
    let texts = [tags::SERIES_DESCRIPTION, tags::PROTOCOL_NAME, tags::SEQUENCE_NAME];
    ScanWords {
        texts: texts.iter().filter_map(|tag| text(object, *tag)).collect(),
        agent: text(object, tags::CONTRAST_BOLUS_AGENT),
        repetition: number_of(object, tags::REPETITION_TIME),
        echo: number_of(object, tags::ECHO_TIME),
        inversion: number_of(object, tags::INVERSION_TIME),
    }
}

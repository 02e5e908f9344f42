//! Pixels of one frame → one grey slice.

use super::header::{FrameHeader, Header};
use super::problem;
use crate::domain::slice::{Depth, Slice};
use crate::domain::study::Warning;
use crate::domain::window::Window;
use crate::io::error::Problem;
use crate::io::{MAX_STACK_PIXELS, guarded};
use dicom_core::header::HasLength;
use dicom_dictionary_std::{tags, uids};
use dicom_object::DefaultDicomObject;
use dicom_pixeldata::{
    DecodedPixelData, PhotometricInterpretation, PixelDecoder, PixelRepresentation, PlanarConfiguration,
};
use dicom_transfer_syntax_registry::{TransferSyntaxIndex, TransferSyntaxRegistry};
use std::path::Path;

/// Transfer syntaxes whose pixels are not compressed one by one; the third is the retired big-endian one.
const PLAIN: [&str; 4] = [
    uids::IMPLICIT_VR_LITTLE_ENDIAN,
    uids::EXPLICIT_VR_LITTLE_ENDIAN,
    "1.2.840.10008.1.2.2",
    uids::DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
];

/// Bytes within which a boxed JPEG 2000 stream must begin.
const BOXES: usize = 64 << 10;
/// Compressed syntaxes whose decoders leave luminance and chroma as they are.
const UNCONVERTED: [&str; 5] =
    [uids::RLE_LOSSLESS, uids::JPEG_LOSSLESS, uids::JPEG_LOSSLESS_SV1, uids::JPEG2000_LOSSLESS, uids::JPEG2000];

/// A file's pixels, ready to give single frames.
pub enum Pixels {
    /// All frames, uncompressed.
    Plain {
        all: DecodedPixelData<'static>,
        /// There are more pixels than the header speaks of: rows may be cut or sheared.
        surplus: bool,
    },
    /// Compressed frames, each decoded when it is asked for.
    Encapsulated(Box<DefaultDicomObject>),
}

impl Pixels {
    pub fn open(path: &Path) -> Result<Self, Problem> {
        let object = super::open_whole(path)?;
        let syntax = object.meta().transfer_syntax().to_string();
        let Some(length) = object.get(tags::PIXEL_DATA).map(|element| element.length().get()) else {
            let other =
                [tags::FLOAT_PIXEL_DATA, tags::DOUBLE_FLOAT_PIXEL_DATA].iter().any(|tag| object.get(*tag).is_some());
            let fractions = Problem::Unsupported("pixels that are no whole numbers".into());
            return Err(if other { fractions } else { Problem::NoPixels });
        };
        guarded(|| {
            if PLAIN.contains(&syntax.as_str()) {
                let number = |tag| object.get(tag).and_then(|e| e.to_int::<u64>().ok()).unwrap_or(1);
                let frame = number(tags::ROWS) * number(tags::COLUMNS) * number(tags::SAMPLES_PER_PIXEL);
                if frame.saturating_mul(number(tags::NUMBER_OF_FRAMES)) > 2 * MAX_STACK_PIXELS {
                    return Err(Problem::StackTooLarge);
                }
                let all = object.decode_pixel_data().map_err(|e| problem(&e))?.to_owned();
                if *all.photometric_interpretation() == PhotometricInterpretation::YbrFull422 {
                    return Err(Problem::Unsupported("uncompressed YBR_FULL_422".into()));
                }
                let told = frame * number(tags::NUMBER_OF_FRAMES) * u64::from(all.bits_allocated()) / 8;
                let stored = length.map_or(told, u64::from);
                // One byte may fill up an odd length.
                return Ok(Pixels::Plain { all, surplus: stored > told + 1 });
            }
            check_syntax(&syntax)?;
            check_codestreams(&object)?;
            Ok(Pixels::Encapsulated(Box::new(object)))
        })
    }

    /// Frame `index` of the file that `header` describes.
    pub fn slice(&self, header: &Header, index: usize) -> Result<Slice, Problem> {
        guarded(|| match self {
            Pixels::Plain { all, surplus } => {
                let bytes = all.frame_data(index as u32).map_err(|_| Problem::Truncated)?;
                let mut slice = grey(all, bytes, rescale(all, index), (header, false), index)?;
                let warning = Warning::Contradiction("PixelData, Rows, Columns, NumberOfFrames");
                slice.warnings.extend(surplus.then_some(warning));
                Ok(slice)
            }
            Pixels::Encapsulated(object) => {
                let syntax = object.meta().transfer_syntax();
                let one = object.decode_pixel_data_frame(index as u32).map_err(|e| problem(&e))?;
                let rescale = rescale(&one, 0);
                grey(&one, one.data(), rescale, (header, UNCONVERTED.contains(&syntax)), index)
            }
        })
    }
}

/// Compressions that nothing here unpacks.
fn check_syntax(name: &str) -> Result<(), Problem> {
    if TransferSyntaxRegistry.get(name).is_some_and(|syntax| syntax.can_decode_all()) {
        return Ok(());
    }
    Err(Problem::UnsupportedSyntax(match name {
        uids::JPEGLS_LOSSLESS | uids::JPEGLS_NEAR_LOSSLESS => "JPEG-LS".to_string(),
        other => format!("the transfer syntax {other}"),
    }))
}

/// Most segments that a run-length table has.
const RLE_SEGMENTS: usize = 15;

/// A compressed picture says its own size, which decoders believe: it must be the file's.
fn check_codestreams(object: &DefaultDicomObject) -> Result<(), Problem> {
    let Some(fragments) = object.get(tags::PIXEL_DATA).and_then(|e| e.fragments()) else { return Ok(()) };
    let number = |tag| object.get(tag).and_then(|e| e.to_int::<u32>().ok()).unwrap_or(0);
    let samples = number(tags::SAMPLES_PER_PIXEL).max(1);
    let told = Codestream { width: number(tags::COLUMNS), height: number(tags::ROWS), samples };
    if object.meta().transfer_syntax() == uids::RLE_LOSSLESS {
        return match fragments.iter().all(|fragment| has_rle_header(fragment)) {
            true => Ok(()),
            false => Err(Problem::Damaged("its run lengths begin with no table of segments".into())),
        };
    }
    for found in fragments.iter().filter_map(|fragment| codestream(fragment)) {
        if found != told {
            let text = |c: Codestream| format!("{}×{} pixels of {} samples", c.width, c.height, c.samples);
            let problem = format!("its compressed picture is {}, its header says {}", text(found), text(told));
            return Err(Problem::Damaged(problem));
        }
    }
    Ok(())
}

/// Whether a fragment begins with a table of segments that lie in it, one behind the other (PS3.5, G.5).
fn has_rle_header(fragment: &[u8]) -> bool {
    let words: Vec<usize> =
        fragment.as_chunks().0.iter().take(RLE_SEGMENTS + 1).map(|b| u32::from_le_bytes(*b) as usize).collect();
    let Some((&count, offsets)) = words.split_first().filter(|(count, rest)| **count <= rest.len()) else {
        return false;
    };
    let offsets = &offsets[..count];
    let in_order =
        offsets.is_sorted() && offsets.iter().all(|at| (4 * (RLE_SEGMENTS + 1)..=fragment.len()).contains(at));
    count > 0 && in_order
}

/// What a compressed picture says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Codestream {
    width: u32,
    height: u32,
    samples: u32,
}

/// The header of a JPEG (T.81 B.2.2), JPEG-LS or JPEG 2000 (T.800 A.5.1) stream, also one in boxes (T.800 I.4).
fn codestream(bytes: &[u8]) -> Option<Codestream> {
    let short = |at: usize| bytes.get(at..at + 2).map(|b| u32::from(u16::from_be_bytes([b[0], b[1]])));
    let long = |at: usize| Some(short(at)? << 16 | short(at + 2)?);
    match bytes {
        [0xFF, 0x4F, 0xFF, 0x51, ..] => Some(Codestream {
            width: long(8)?.checked_sub(long(16)?)?,
            height: long(12)?.checked_sub(long(20)?)?,
            samples: short(40)?,
        }),
        [0, 0, 0, 12, b'j', b'P', ..] => {
            let head = bytes.get(..bytes.len().min(BOXES))?;
            let start = head.windows(4).position(|part| part == [0xFF, 0x4F, 0xFF, 0x51])?;
            codestream(&bytes[start..])
        }
        [0xFF, 0xD8, ..] => {
            let mut at = 2;
            loop {
                let marker = short(at)?;
                // Start of frame, whatever the process; not the tables 0xC4, 0xC8, 0xCC.
                if matches!(marker, 0xFFC0..=0xFFCF | 0xFFF7) && ![0xFFC4, 0xFFC8, 0xFFCC].contains(&marker) {
                    let samples = u32::from(*bytes.get(at + 9)?);
                    return Some(Codestream { width: short(at + 7)?, height: short(at + 5)?, samples });
                }
                at += 2 + short(at + 2)? as usize;
            }
        }
        _ => None,
    }
}

fn rescale(data: &DecodedPixelData, index: usize) -> (f64, f64) {
    let all = data.rescale().unwrap_or_default();
    all.get(index).or(all.first()).map_or((1.0, 0.0), |r| (r.slope, r.intercept))
}

/// Stored samples → grey values in the file's own units.
fn grey(
    data: &DecodedPixelData,
    bytes: &[u8],
    (slope, intercept): (f64, f64),
    (header, unconverted): (&Header, bool),
    index: usize,
) -> Result<Slice, Problem> {
    let (width, height) = (data.columns() as usize, data.rows() as usize);
    let samples = usize::from(data.samples_per_pixel());
    let signed = data.pixel_representation() == PixelRepresentation::Signed;
    let values = Samples::new(bytes, data.bits_allocated(), data.bits_stored(), data.high_bit(), signed)?;
    if values.len() < width * height * samples {
        return Err(Problem::Truncated);
    }
    let coloured = match data.photometric_interpretation() {
        PhotometricInterpretation::Monochrome1 | PhotometricInterpretation::Monochrome2 => false,
        PhotometricInterpretation::Rgb if samples == 3 => true,
        PhotometricInterpretation::YbrFull if samples == 3 => true,
        other => return Err(Problem::Unsupported(format!("the DICOM colour type {}", other.as_str()))),
    };
    // Of YBR the first sample is the luminance itself, where no decoder has made colours of it.
    let luminance_first = coloured
        && (*data.photometric_interpretation() != PhotometricInterpretation::Rgb || (header.is_ybr && unconverted));
    let planar = data.planar_configuration() == PlanarConfiguration::PixelFirst;
    let at = |pixel: usize, sample: usize| {
        values.get(if planar { sample * width * height + pixel } else { pixel * samples + sample })
    };
    let named = header.frames.get(index).is_some_and(|frame| !frame.windows.is_empty());
    let voi = header.voi_table.as_ref().filter(|_| !named && !coloured);
    let tables = voi.is_some() || header.modality_table.is_some();
    let eight =
        !tables && data.bits_allocated() == 8 && data.bits_stored() == 8 && !signed && (slope, intercept) == (1.0, 0.0);
    let pixels = (0..width * height).map(|i| match (coloured, luminance_first) {
        (true, false) => (0.299 * at(i, 0) + 0.587 * at(i, 1) + 0.114 * at(i, 2)).round() as f32,
        _ => {
            let stored = at(i, 0);
            let value = header.modality_table.as_ref().map_or(stored * slope + intercept, |table| table.get(stored));
            voi.map_or(value, |table| table.get(value)) as f32
        }
    });
    let depth = if eight { Depth::Eight } else { Depth::Deep };
    let looks = header.frames.get(index);
    let windows = looks.map_or_else(Vec::new, |frame: &FrameHeader| frame.windows.clone());
    // Colour is shown as it is.
    let windows: Vec<Window> = match voi {
        _ if coloured => Vec::new(),
        Some(table) => vec![Window::from_range(0.0, table.highest() as f32)],
        None => windows,
    };
    let slice = Slice::with_windows(width, height, pixels.collect(), depth, windows);
    let mut slice = slice.ok_or(Problem::Truncated)?;
    slice.spacing = looks.and_then(|frame| frame.spacing);
    slice.orientation = looks.and_then(|frame| frame.orientation);
    slice.inverted = header.inverted;
    slice.warnings.extend(coloured.then_some(Warning::ColourToGrey));
    if slice.has_few_greys() {
        slice.warnings.push(Warning::FewGreys);
    }
    Ok(slice)
}

/// Samples of `allocated` bits, of which `stored` ones up to the high bit count, little-endian (PS3.5, 8.1.1); read where they lie,
/// for a picture may be large.
struct Samples<'a> {
    bytes: &'a [u8],
    /// Of one sample.
    width: usize,
    shift: u32,
    bits: u32,
    signed: bool,
}

impl<'a> Samples<'a> {
    fn new(bytes: &'a [u8], allocated: u16, stored: u16, high_bit: u16, signed: bool) -> Result<Self, Problem> {
        let stored = stored.clamp(1, allocated.max(1));
        let shift = u32::from((high_bit.saturating_add(1)).saturating_sub(stored).min(allocated - stored));
        let (width, shift, bits) = match allocated {
            8 | 16 | 32 => (usize::from(allocated) / 8, shift, u32::from(stored)),
            // The library has made bytes of the bits.
            1 => (1, 0, 8),
            _ => return Err(Problem::Unsupported(format!("{allocated}-bit DICOM pixels"))),
        };
        Ok(Self { bytes, width, shift, bits, signed })
    }

    fn len(&self) -> usize {
        self.bytes.len() / self.width
    }

    fn get(&self, at: usize) -> f64 {
        let bytes = &self.bytes[at * self.width..][..self.width];
        let raw = bytes.iter().rev().fold(0u32, |value, byte| value << 8 | u32::from(*byte)) >> self.shift;
        let raw = if self.bits < 32 { raw & ((1 << self.bits) - 1) } else { raw };
        let unused = 32 - self.bits;
        if self.signed { f64::from(((raw << unused) as i32) >> unused) } else { f64::from(raw) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn twelve_bits_of_sixteen_are_read_with_their_sign() {
        let bytes = [0xFF, 0x0F, 0x00, 0x08, 0x01, 0xF0];
        let read = |bytes: &[u8], high_bit, signed| -> Vec<f64> {
            let samples = Samples::new(bytes, 16, 12, high_bit, signed).unwrap();
            (0..samples.len()).map(|i| samples.get(i)).collect()
        };
        assert_eq!(read(&bytes, 11, false), [4095.0, 2048.0, 1.0]);
        assert_eq!(read(&bytes, 11, true), [-1.0, -2048.0, 1.0]);
        assert_eq!(read(&[0xF0, 0x12], 15, false), [0x12F as f64]);
    }

    #[test]
    fn sizes_in_compressed_streams_are_found() {
        let jpeg = [0xFF, 0xD8, 0xFF, 0xE0, 0, 4, 1, 2, 0xFF, 0xC3, 0, 11, 16, 1, 0, 2, 0, 1];
        assert_eq!(codestream(&jpeg), Some(Codestream { width: 512, height: 256, samples: 1 }));
        let mut j2k = vec![0xFF, 0x4F, 0xFF, 0x51, 0, 41, 0, 0];
        for value in [700u32, 600, 100, 0, 0, 0, 0, 0] {
            j2k.extend(value.to_be_bytes());
        }
        j2k.extend([0, 3]);
        let found = Some(Codestream { width: 600, height: 600, samples: 3 });
        assert_eq!(codestream(&j2k), found);
        let boxed = [&[0, 0, 0, 12, b'j', b'P', b' ', b' ', 13, 10, 0x87, 10], j2k.as_slice()].concat();
        assert_eq!(codestream(&boxed), found);
        assert_eq!(codestream(&jpeg[..9]), None);
    }
}

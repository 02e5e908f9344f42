//! Pixels of one frame → one grey slice.

use super::codestream::{check_codestreams, has_colour_transform};
use super::complete::complete;
use super::header::{FrameHeader, Header};
use super::parse::BIG_ENDIAN;
use super::problem;
use crate::domain::slice::{Depth, Slice};
use crate::domain::study::Warning;
use crate::domain::window::Window;
use crate::io::error::Problem;
use crate::io::{MAX_STACK_PIXELS, guarded, jpegls};
use dicom_core::header::HasLength;
use dicom_core::value::Value as DicomValue;
use dicom_dictionary_std::{tags, uids};
use dicom_object::DefaultDicomObject;
use dicom_pixeldata::{
    DecodedPixelData, PhotometricInterpretation, PixelDecoder, PixelRepresentation, PlanarConfiguration,
};
use dicom_transfer_syntax_registry::{TransferSyntaxIndex, TransferSyntaxRegistry};
use std::path::Path;

/// Transfer syntaxes whose pixels are not compressed one by one.
const PLAIN: [&str; 4] = [
    uids::IMPLICIT_VR_LITTLE_ENDIAN,
    uids::EXPLICIT_VR_LITTLE_ENDIAN,
    BIG_ENDIAN,
    uids::DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
];

const JPEG_LS: [&str; 2] = [uids::JPEGLS_LOSSLESS, uids::JPEGLS_NEAR_LOSSLESS];
/// Compressed syntaxes whose decoders leave luminance and chroma as they are.
const UNCONVERTED: [&str; 3] = [uids::RLE_LOSSLESS, uids::JPEG_LOSSLESS, uids::JPEG_LOSSLESS_SV1];

/// A file's pixels, ready to give single frames.
pub enum Pixels {
    /// All frames, uncompressed.
    Plain {
        all: DecodedPixelData<'static>,
        /// There are more pixels than the header speaks of: rows may be cut or sheared.
        surplus: bool,
    },
    /// Compressed frames, each decoded when it is asked for.
    Encapsulated {
        object: Box<DefaultDicomObject>,
        /// The decoder leaves luminance and chroma as they are.
        unconverted: bool,
    },
    /// Frames compressed as JPEG-LS.
    JpegLs(Box<DefaultDicomObject>),
}

impl Pixels {
    /// Opens the file that `header` describes.
    pub fn open(header: &Header) -> Result<Self, Problem> {
        let mut object = super::open_whole(&header.path)?;
        let syntax = object.meta().transfer_syntax().to_string();
        let Some(length) = object.get(tags::PIXEL_DATA).map(|element| element.length().get()) else {
            let other =
                [tags::FLOAT_PIXEL_DATA, tags::DOUBLE_FLOAT_PIXEL_DATA].iter().any(|tag| object.get(*tag).is_some());
            let fractions = Problem::Unsupported("pixels that are no whole numbers".into());
            return Err(if other { fractions } else { Problem::NoPixels });
        };
        complete(&mut object, header);
        guarded(|| {
            if PLAIN.contains(&syntax.as_str()) {
                let number = |tag| object.get(tag).and_then(|e| e.to_int::<u64>().ok()).unwrap_or(1);
                let frame = number(tags::ROWS) * number(tags::COLUMNS) * number(tags::SAMPLES_PER_PIXEL);
                if frame.saturating_mul(number(tags::NUMBER_OF_FRAMES)) > 2 * MAX_STACK_PIXELS {
                    return Err(Problem::StackTooLarge);
                }
                let all = object.decode_pixel_data().map_err(|e| problem(&e))?.to_owned();
                let told = frame * number(tags::NUMBER_OF_FRAMES) * u64::from(all.bits_allocated()) / 8;
                let stored = length.map_or(told, u64::from);
                // One byte may fill up an odd length.
                return Ok(Pixels::Plain { all, surplus: stored > told + 1 });
            }
            check_syntax(&syntax)?;
            check_codestreams(&object)?;
            if JPEG_LS.contains(&syntax.as_str()) {
                return Ok(Pixels::JpegLs(Box::new(object)));
            }
            let unconverted =
                has_colour_transform(&object).map_or(UNCONVERTED.contains(&syntax.as_str()), |converted| !converted);
            Ok(Pixels::Encapsulated { object: Box::new(object), unconverted })
        })
    }

    /// Whether two files hold the same pixels; files that cannot be read do not.
    pub fn are_equal(one: &Path, other: &Path) -> bool {
        let pixels = |path: &Path| super::open_whole(path).ok()?.take_element(tags::PIXEL_DATA).ok();
        pixels(one).is_some_and(|pixels_of_one| pixels(other).is_some_and(|other| other == pixels_of_one))
    }

    /// Frame `index` of those that `header` lists, under the windows that the file names.
    pub fn decode(&self, header: &Header, index: usize) -> Result<Decoded, Problem> {
        let frame = header.frames.get(index).ok_or(Problem::Truncated)?;
        let stored = if header.mosaic.is_some() { 0 } else { frame.number };
        let whole = guarded(|| match self {
            Pixels::Plain { all, surplus } => {
                let bytes = all.frame_data(stored as u32).map_err(|_| Problem::Truncated)?;
                let mut decoded = grey(&Description::of(all), bytes, (header, false), frame)?;
                let warning = Warning::Contradiction("PixelData, Rows, Columns, NumberOfFrames");
                decoded.slice.warnings.extend(surplus.then_some(warning));
                Ok(decoded)
            }
            Pixels::Encapsulated { object, unconverted } => {
                let one = object.decode_pixel_data_frame(stored as u32).map_err(|e| problem(&e))?;
                grey(&Description::of(&one), one.data(), (header, *unconverted), frame)
            }
            Pixels::JpegLs(object) => {
                let stream = frame_bytes(object, stored, header.stored_frames as usize)?;
                let (description, bytes) = Description::unpacked(object, &stream)?;
                grey(&description, &bytes, (header, true), frame)
            }
        })?;
        let Some(mosaic) = header.mosaic else { return Ok(whole) };
        let (width, height) = (header.width as usize, header.height as usize);
        let (x, y) = mosaic.corner(frame.number, (width, height));
        let slice = whole.slice.crop(x, y, width, height).ok_or(Problem::Truncated)?;
        Ok(Decoded { slice, padding: Vec::new() })
    }
}

/// A frame as grey values.
pub struct Decoded {
    pub slice: Slice,
    /// Places of pixels that stand for no tissue, in order.
    pub padding: Vec<usize>,
}

/// Compressions that nothing here unpacks.
fn check_syntax(uid: &str) -> Result<(), Problem> {
    match TransferSyntaxRegistry.get(uid) {
        _ if JPEG_LS.contains(&uid) => Ok(()),
        Some(syntax) if syntax.can_decode_all() => Ok(()),
        Some(syntax) => Err(Problem::UnsupportedSyntax(syntax.name().to_string())),
        None => Err(Problem::UnsupportedSyntax(format!("the transfer syntax {uid}"))),
    }
}

/// How samples lie in the bytes of a frame.
struct Description {
    width: usize,
    height: usize,
    /// Samples of a pixel.
    samples: usize,
    allocated: u16,
    stored: u16,
    high_bit: u16,
    signed: bool,
    /// Sample by sample instead of pixel by pixel.
    planar: bool,
    photometric: PhotometricInterpretation,
}

impl Description {
    fn of(data: &DecodedPixelData) -> Self {
        Self {
            width: data.columns() as usize,
            height: data.rows() as usize,
            samples: usize::from(data.samples_per_pixel()),
            allocated: data.bits_allocated(),
            stored: data.bits_stored(),
            high_bit: data.high_bit(),
            signed: data.pixel_representation() == PixelRepresentation::Signed,
            planar: data.planar_configuration() == PlanarConfiguration::PixelFirst,
            photometric: data.photometric_interpretation().clone(),
        }
    }

    /// A frame of JPEG-LS, with its samples in as many bytes as `object` has for one.
    fn unpacked(object: &DefaultDicomObject, stream: &[u8]) -> Result<(Self, Vec<u8>), Problem> {
        let picture = jpegls::decode(stream)?;
        let number = |tag| object.get(tag).and_then(|e| e.to_int::<u16>().ok()).unwrap_or(0);
        let photometric =
            object.get(tags::PHOTOMETRIC_INTERPRETATION).and_then(|e| e.to_str().ok()).unwrap_or_default();
        let (allocated, stored) = (number(tags::BITS_ALLOCATED), number(tags::BITS_STORED));
        let bytes = match allocated {
            8 => picture.samples.iter().map(|sample| *sample as u8).collect(),
            _ => picture.samples.iter().flat_map(|sample| sample.to_le_bytes()).collect(),
        };
        let description = Self {
            width: picture.width,
            height: picture.height,
            samples: picture.components,
            allocated: if allocated == 8 { 8 } else { 16 },
            stored,
            high_bit: stored.saturating_sub(1),
            signed: number(tags::PIXEL_REPRESENTATION) == 1,
            planar: false,
            photometric: photometric.trim().into(),
        };
        Ok((description, bytes))
    }
}

/// The compressed bytes of one frame: a fragment of its own, all fragments of the only frame, or those from the frame's place in the
/// table of offsets up to the next (PS3.5, A.4).
fn frame_bytes(object: &DefaultDicomObject, frame: usize, frames: usize) -> Result<Vec<u8>, Problem> {
    let element = object.get(tags::PIXEL_DATA).ok_or(Problem::NoPixels)?;
    let fragments = element.fragments().ok_or(Problem::NoPixels)?;
    if frames == 1 {
        return Ok(fragments.concat());
    }
    if fragments.len() == frames {
        return fragments.get(frame).cloned().ok_or(Problem::Truncated);
    }
    let DicomValue::PixelSequence(sequence) = element.value() else { return Err(Problem::NoPixels) };
    let offsets = sequence.offset_table();
    let start = offsets.get(frame).copied().ok_or(Problem::Truncated)?;
    let end = offsets.get(frame + 1).copied().unwrap_or(u32::MAX);
    let mut at = 0;
    let mut out = Vec::new();
    for fragment in fragments {
        if (start..end).contains(&at) {
            out.extend_from_slice(fragment);
        }
        at += fragment.len() as u32 + 8;
    }
    Ok(out)
}

/// Stored samples → grey values in the file's own units.
fn grey(
    data: &Description,
    bytes: &[u8],
    (header, unconverted): (&Header, bool),
    frame: &FrameHeader,
) -> Result<Decoded, Problem> {
    let Description { width, height, samples, planar, .. } = *data;
    let values = Samples::new(bytes, data.allocated, data.stored, data.high_bit, data.signed)?;
    if values.len() < width * height * samples {
        return Err(Problem::Truncated);
    }
    let colours = Colours::of(data, header, unconverted)?;
    let at = |pixel: usize, sample: usize| {
        values.get(if planar { sample * width * height + pixel } else { pixel * samples + sample })
    };
    let grey = colours == Colours::Grey;
    let voi = header.voi_table.as_ref().filter(|_| frame.windows.usable.is_empty() && grey);
    let rescale = frame.rescale;
    let tables = voi.is_some() || header.modality_table.is_some();
    let plain = !tables && (rescale.slope, rescale.intercept) == (1.0, 0.0);
    let bytes_as_stored = (data.allocated, data.stored) == (8, 8) && !data.signed;
    let eight = colours == Colours::Palette || (plain || !grey) && bytes_as_stored;
    let luminance = |[red, green, blue]: [f64; 3]| (0.299 * red + 0.587 * green + 0.114 * blue).round() as f32;
    let value = |stored: f64| {
        let table = header.modality_table.as_ref();
        let value = table.map_or(stored * rescale.slope + rescale.intercept, |table| table.get(stored));
        voi.map_or(value, |table| table.get(value)) as f32
    };
    let pixels = (0..width * height).map(|i| match colours {
        Colours::Grey => value(at(i, 0)),
        Colours::Rgb => luminance([at(i, 0), at(i, 1), at(i, 2)]),
        Colours::LuminanceFirst => at(i, 0) as f32,
        // Two luminances, then the chroma that they share.
        Colours::LuminancePairs => values.get(i / 2 * 4 + i % 2) as f32,
        Colours::Palette => header.palette.as_ref().map_or(0.0, |palette| luminance(palette.colour(at(i, 0)))),
    });
    let mut pixels: Vec<f32> = pixels.collect();
    let padding = match &header.padding {
        Some(padding) if grey => fill(&mut pixels, header.inverted, |i| padding.contains(at(i, 0))),
        _ => Vec::new(),
    };
    let depth = if eight { Depth::Eight } else { Depth::Deep };
    // Colour is shown as it is.
    let windows: Vec<Window> = match voi {
        _ if !grey => Vec::new(),
        Some(table) => vec![Window::from_range(0.0, table.highest() as f32)],
        None => frame.windows.usable.clone(),
    };
    let slice = Slice::with_windows(width, height, pixels, depth, windows);
    let mut slice = slice.ok_or(Problem::Truncated)?;
    slice.spacing = frame.spacing;
    slice.orientation = frame.orientation;
    slice.inverted = header.inverted;
    slice.warnings.extend((!grey).then_some(Warning::ColourToGrey));
    if slice.has_few_greys() {
        slice.warnings.push(Warning::FewGreys);
    }
    Ok(Decoded { slice, padding })
}

/// Gives padding that lies beyond all tissue the tissue's own darkest value, so that it takes no part of the grey scale; returns its
/// places. What lies among other values is tissue.
fn fill(pixels: &mut [f32], inverted: bool, is_padding: impl Fn(usize) -> bool) -> Vec<usize> {
    let named: Vec<usize> = (0..pixels.len()).filter(|i| is_padding(*i)).collect();
    let mut next = named.iter().peekable();
    let (mut low, mut high) = (f32::INFINITY, f32::NEG_INFINITY);
    for (i, value) in pixels.iter().enumerate() {
        if next.next_if_eq(&&i).is_none() {
            (low, high) = (low.min(*value), high.max(*value));
        }
    }
    let is_beyond = |i: &usize| low <= high && !(low..=high).contains(&pixels[*i]);
    let padding: Vec<usize> = named.iter().copied().filter(is_beyond).collect();
    for i in &padding {
        pixels[*i] = if inverted { high } else { low };
    }
    padding
}

/// What the samples of a pixel mean once they are unpacked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Colours {
    Grey,
    Rgb,
    /// Luminance and two of chroma.
    LuminanceFirst,
    /// As the last, chroma shared by two pixels (YBR_FULL_422, uncompressed).
    LuminancePairs,
    Palette,
}

impl Colours {
    /// `unconverted` says that the decoder has left luminance and chroma as they were.
    fn of(data: &Description, header: &Header, unconverted: bool) -> Result<Self, Problem> {
        use PhotometricInterpretation as P;
        let samples = data.samples;
        match &data.photometric {
            P::Monochrome1 | P::Monochrome2 => Ok(Colours::Grey),
            P::PaletteColor if header.palette.is_some() => Ok(Colours::Palette),
            P::PaletteColor => Err(Problem::Unsupported("a palette packed in segments".into())),
            P::Rgb if samples == 3 && header.is_ybr && unconverted => Ok(Colours::LuminanceFirst),
            P::Rgb if samples == 3 => Ok(Colours::Rgb),
            P::YbrFull if samples == 3 => Ok(Colours::LuminanceFirst),
            P::YbrFull422 if samples == 2 => Ok(Colours::LuminancePairs),
            other => Err(Problem::Unsupported(format!("the DICOM colour type {}", other.as_str()))),
        }
    }
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
}

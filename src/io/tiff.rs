//! TIFF: 1 to 64 bits, integer and floating point, grey and colour, any number of pages.

use super::error::Problem;
use super::raster::{Colour, Raster, Turn};
use super::{MAX_STACK_PIXELS, check_size};
use crate::domain::slice::{Depth, Slice, Spacing, SpacingSource};
use std::io::{Cursor, Read, Seek};
use tiff::ColorType;
use tiff::decoder::{Decoder, DecodingResult, Limits};
use tiff::tags::Tag;
use tiff::{TiffError, TiffFormatError};

/// Every page becomes grey at once, so that a stack never lies in memory in colour.
pub fn decode(bytes: &[u8]) -> Result<Vec<Slice>, Problem> {
    let mut limits = Limits::default();
    // 64 Mi pixels of four 32-bit samples.
    limits.decoding_buffer_size = 1 << 30;
    let mut decoder = Decoder::new(Cursor::new(bytes)).map_err(problem)?.with_limits(limits);
    let mut pages = Vec::new();
    let mut pixels = 0;
    loop {
        let (width, height) = decoder.dimensions().map_err(problem)?;
        check_size(width, height)?;
        pixels += u64::from(width) * u64::from(height);
        if pixels > MAX_STACK_PIXELS {
            return Err(Problem::StackTooLarge);
        }
        pages.push(page(&mut decoder, width as usize, height as usize)?.into_slice()?);
        if !decoder.more_images() {
            return Ok(pages);
        }
        decoder.next_image().map_err(problem)?;
    }
}

/// Width and height of a file of one page, from the header alone.
pub fn dimensions(stream: impl Read + Seek) -> Option<(u32, u32)> {
    let mut decoder = Decoder::new(stream).ok()?;
    let size = decoder.dimensions().ok()?;
    (!decoder.more_images()).then_some(size)
}

fn page(decoder: &mut Decoder<Cursor<&[u8]>>, width: usize, height: usize) -> Result<Raster, Problem> {
    let (colour, bits) = match decoder.colortype().map_err(problem)? {
        ColorType::Gray(bits) => (Colour::Grey, bits),
        ColorType::GrayA(bits) => (Colour::GreyAlpha, bits),
        ColorType::RGB(bits) => (Colour::Rgb, bits),
        ColorType::RGBA(bits) => (Colour::Rgba, bits),
        ColorType::Multiband { bit_depth, num_samples: 2 } => (Colour::GreyAlpha, bit_depth),
        other => return Err(Problem::Unsupported(format!("the TIFF colour type {other:?}"))),
    };
    let spacing = spacing(decoder);
    let mut buffer = DecodingResult::U8(Vec::new());
    let layout = decoder.read_image_to_buffer(&mut buffer).map_err(problem)?;
    let planes = layout.planes;
    let (samples, depth, opaque) = samples(buffer, bits, width * colour.samples() / planes.max(1));
    let samples = if planes > 1 { interleaved(&samples, planes, width * height) } else { samples };
    if samples.len() != width * height * colour.samples() {
        return Err(Problem::Truncated);
    }
    Ok(Raster { width, height, colour, samples, depth, opaque, spacing, turn: Turn::None, mirrored: false })
}

/// Samples as floats, their depth, and the value of an opaque alpha.
fn samples(buffer: DecodingResult, bits: u8, row_samples: usize) -> (Vec<f32>, Depth, f32) {
    use DecodingResult as R;
    let deep = |values: Vec<f32>, opaque: f32| (values, Depth::Deep, opaque);
    match buffer {
        R::U8(v) if bits < 8 => (unpacked(&v, bits, row_samples), Depth::Eight, 255.0),
        R::U8(v) => (v.into_iter().map(f32::from).collect(), Depth::Eight, 255.0),
        R::U16(v) => deep(v.into_iter().map(f32::from).collect(), 65_535.0),
        R::U32(v) => deep(v.into_iter().map(|v| v as f32).collect(), u32::MAX as f32),
        R::U64(v) => deep(v.into_iter().map(|v| v as f32).collect(), u64::MAX as f32),
        R::I8(v) => deep(v.into_iter().map(f32::from).collect(), 127.0),
        R::I16(v) => deep(v.into_iter().map(f32::from).collect(), 32_767.0),
        R::I32(v) => deep(v.into_iter().map(|v| v as f32).collect(), i32::MAX as f32),
        R::I64(v) => deep(v.into_iter().map(|v| v as f32).collect(), i64::MAX as f32),
        R::F16(v) => deep(v.into_iter().map(f32::from).collect(), 1.0),
        R::F32(v) => deep(v, 1.0),
        R::F64(v) => deep(v.into_iter().map(|v| v as f32).collect(), 1.0),
    }
}

/// Samples of fewer than eight bits, packed most significant first, rows padded to bytes; stretched to 0–255.
fn unpacked(packed: &[u8], bits: u8, row_samples: usize) -> Vec<f32> {
    let bits = usize::from(bits.max(1));
    let row_bytes = (row_samples * bits).div_ceil(8).max(1);
    let top = ((1u32 << bits) - 1) as f32;
    let sample = |row: &[u8], i: usize| {
        let value = (0..bits).fold(0u32, |value, b| {
            let at = i * bits + b;
            (value << 1) | u32::from(row[at / 8] >> (7 - at % 8) & 1)
        });
        value as f32 / top * 255.0
    };
    packed.chunks_exact(row_bytes).flat_map(|row| (0..row_samples).map(move |i| sample(row, i))).collect()
}

/// One plane after the other → sample beside sample.
fn interleaved(planar: &[f32], planes: usize, pixels: usize) -> Vec<f32> {
    if planar.len() < planes * pixels {
        return Vec::new();
    }
    (0..pixels).flat_map(|i| (0..planes).map(move |p| planar[p * pixels + i])).collect()
}

/// Resolutions, in dots per inch, that software writes when it knows nothing of the pixel's size.
const SOFTWARE_DPI: [f64; 16] =
    [72.0, 90.0, 96.0, 100.0, 120.0, 144.0, 150.0, 180.0, 200.0, 240.0, 300.0, 350.0, 360.0, 400.0, 600.0, 1200.0];

/// Pixel size from the resolution tags, when they carry a real unit (TIFF 6.0, ResolutionUnit) and are no software default.
fn spacing(decoder: &mut Decoder<Cursor<&[u8]>>) -> Option<Spacing> {
    let unit_mm = match decoder.find_tag_unsigned::<u16>(Tag::ResolutionUnit).ok()?? {
        2 => 25.4,
        3 => 10.0,
        _ => return None,
    };
    let mut mm = |tag: Tag| match decoder.find_tag(tag).ok()?? {
        tiff::decoder::ifd::Value::Rational(n, d) if n > 0 && d > 0 => Some(unit_mm * f64::from(d) / f64::from(n)),
        _ => None,
    };
    let spacing = Spacing::new(mm(Tag::YResolution)?, mm(Tag::XResolution)?, SpacingSource::TiffResolution)?;
    let believable = |mm: f64| {
        let dpi = 25.4 / mm;
        (0.05..=10.0).contains(&mm) && SOFTWARE_DPI.iter().all(|known| (dpi - known).abs() > 0.5)
    };
    (believable(spacing.row_mm) && believable(spacing.column_mm)).then_some(spacing)
}

fn problem(error: TiffError) -> Problem {
    match error {
        TiffError::IoError(_) => Problem::Truncated,
        TiffError::LimitsExceeded => Problem::Damaged("it unpacks to far more than its size says".into()),
        TiffError::UnsupportedError(e) => Problem::Unsupported(format!("a TIFF feature ({e})")),
        TiffError::FormatError(TiffFormatError::InconsistentSizesEncountered) => Problem::Truncated,
        other => Problem::damaged(&other),
    }
}

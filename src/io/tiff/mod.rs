//! TIFF: 1 to 64 bits, integer and floating point, grey, palette and colour, any number of pages.

mod directory;
mod imagej;

use super::error::Problem;
use super::raster::{Colour, Raster, Turn};
use super::{MAX_STACK_PIXELS, check_size};
use crate::domain::slice::{Depth, Slice, Spacing, SpacingSource};
use directory::{marked, moved, with_plane_first};
use imagej::Description;
use std::io::{Cursor, Read, Seek};
use tiff::decoder::{ChunkType, Decoder, DecodingResult, Limits};
use tiff::tags::{CompressionMethod, Tag};
use tiff::{ColorType, TiffError, TiffFormatError};

type Pages<'a> = Decoder<Cursor<&'a [u8]>>;

/// Bits of NewSubfileType (TIFF 6.0): a smaller version of another page, and its transparency.
const NO_PAGE: u32 = 0b101;

/// Every page becomes grey at once, so that a stack never lies in memory in colour. Thumbnails are no pages.
pub fn decode(bytes: &[u8]) -> Result<Vec<Slice>, Problem> {
    let file = marked(bytes);
    let mut decoder = open(&file.bytes)?;
    let mut pages = Vec::new();
    let mut pixels = 0;
    for number in 0.. {
        let (width, height) = decoder.dimensions().map_err(problem)?;
        if is_page(&mut decoder) || (pages.is_empty() && !decoder.more_images()) {
            check_size(width, height)?;
            pixels += u64::from(width) * u64::from(height);
            if pixels > MAX_STACK_PIXELS {
                return Err(Problem::StackTooLarge);
            }
            let has_palette = file.has_palette.get(number).copied().unwrap_or(false);
            let page = Page { file: &file.bytes, number, width: width as usize, height: height as usize, has_palette };
            pages.push(page.read(&mut decoder)?.into_slice()?);
        }
        if !decoder.more_images() {
            if number == 0 {
                behind_the_first(&file.bytes, &mut decoder, &mut pages)?;
            }
            break;
        }
        decoder.next_image().map_err(problem)?;
    }
    Ok(pages)
}

fn open(bytes: &[u8]) -> Result<Pages<'_>, Problem> {
    let mut limits = Limits::default();
    // 64 Mi pixels of four 32-bit samples.
    limits.decoding_buffer_size = 1 << 30;
    Ok(Decoder::new(Cursor::new(bytes)).map_err(problem)?.with_limits(limits))
}

/// Whether the current picture is one of its own.
fn is_page(decoder: &mut Decoder<impl Read + Seek>) -> bool {
    let kind = decoder.find_tag_unsigned::<u32>(Tag::NewSubfileType).ok().flatten();
    kind.is_none_or(|kind| kind & NO_PAGE == 0)
}

fn description(decoder: &mut Decoder<impl Read + Seek>) -> Option<Description> {
    let text = decoder.find_tag(Tag::ImageDescription).ok()??.into_string().ok()?;
    Description::parse(&text)
}

/// Pictures that ImageJ has put behind the only one with a directory, as it does with large stacks.
fn behind_the_first(bytes: &[u8], first: &mut Pages, pages: &mut Vec<Slice>) -> Result<(), Problem> {
    let Some(stack) = description(first).filter(|stack| stack.images > 1) else { return Ok(()) };
    let (width, height) = first.dimensions().map_err(problem)?;
    let compression = first.find_tag_unsigned::<u16>(Tag::Compression).ok().flatten();
    let bits = u64::from(first.colortype().map_err(problem)?.bit_depth());
    let samples = u64::from(first.colortype().map_err(problem)?.num_samples());
    let page_bytes = u64::from(width) * u64::from(height) * samples * bits / 8;
    let start = first.find_tag_unsigned::<u64>(Tag::StripOffsets).ok().flatten().unwrap_or(u64::MAX);
    // One picture that was taken out of a stack may have kept its description.
    let is_alone = (bytes.len() as u64).saturating_sub(start) < 2 * page_bytes;
    let is_packed = compression.is_some_and(|method| method != CompressionMethod::None.to_u16());
    if is_packed || is_alone || page_bytes == 0 {
        return Ok(());
    }
    let images = stack.images as u64;
    if images.saturating_mul(u64::from(width) * u64::from(height)) > MAX_STACK_PIXELS {
        return Err(Problem::StackTooLarge);
    }
    for number in 1..images {
        let Some(file) = u32::try_from(number * page_bytes).ok().and_then(|by| moved(bytes, by)) else { break };
        let mut decoder = open(&file)?;
        let page = Page { file: &file, number: 0, width: width as usize, height: height as usize, has_palette: false };
        pages.push(page.read(&mut decoder)?.into_slice()?);
    }
    Ok(())
}

/// Width and height of a file of one page, from the header alone.
pub fn dimensions(stream: impl Read + Seek) -> Option<(u32, u32)> {
    let mut decoder = Decoder::new(stream).ok()?;
    let size = decoder.dimensions().ok()?;
    let is_stack = description(&mut decoder).is_some_and(|stack| stack.images > 1);
    let mut single = is_page(&mut decoder) && !is_stack;
    while single && decoder.more_images() {
        decoder.next_image().ok()?;
        single = !is_page(&mut decoder);
    }
    single.then_some(size)
}

/// A picture of a file.
struct Page<'a> {
    file: &'a [u8],
    /// From 0.
    number: usize,
    width: usize,
    height: usize,
    /// Its values are indices.
    has_palette: bool,
}

impl Page<'_> {
    /// The picture that `decoder` is at.
    fn read(&self, decoder: &mut Pages) -> Result<Raster, Problem> {
        let (width, height) = (self.width, self.height);
        let (colour, bits) = match decoder.colortype().map_err(problem)? {
            ColorType::Gray(bits) => (Colour::Grey, bits),
            ColorType::GrayA(bits) => (Colour::GreyAlpha, bits),
            ColorType::RGB(bits) => (Colour::Rgb, bits),
            ColorType::RGBA(bits) | ColorType::CMYK(bits) => (Colour::Rgba, bits),
            ColorType::Multiband { bit_depth, num_samples: 2 } => (Colour::GreyAlpha, bit_depth),
            other => return Err(Problem::Unsupported(format!("the TIFF colour type {other:?}"))),
        };
        let is_cmyk = matches!(decoder.colortype(), Ok(ColorType::CMYK(_)));
        let (turn, mirrored) = orientation(decoder);
        let spacing = spacing(decoder).map(|spacing| match turn {
            Turn::None | Turn::Half => spacing,
            Turn::Left | Turn::Right => Spacing { row_mm: spacing.column_mm, column_mm: spacing.row_mm, ..spacing },
        });
        let palette = if self.has_palette { Some(palette(decoder, bits)?) } else { None };
        let (samples, depth, opaque) = self.samples(decoder, colour, bits)?;
        if samples.len() != width * height * colour.samples() {
            return Err(Problem::Truncated);
        }
        let note = None;
        let raster = Raster { width, height, colour, samples, depth, opaque, spacing, turn, mirrored, note };
        Ok(match palette {
            Some(palette) => coloured(raster, &palette, bits),
            None if is_cmyk => printed(raster),
            None => raster,
        })
    }

    /// Sample beside sample, their depth, and the value of an opaque alpha.
    fn samples(&self, decoder: &mut Pages, colour: Colour, bits: u8) -> Result<(Vec<f32>, Depth, f32), Problem> {
        let is_tiled = decoder.get_chunk_type() == ChunkType::Tile;
        let mut buffer = DecodingResult::U8(Vec::new());
        let planes = decoder.image_buffer_layout().map_err(problem)?.planes;
        let row = self.width * colour.samples() / planes.max(1);
        if planes < 2 || !is_tiled {
            decoder.read_image_to_buffer(&mut buffer).map_err(problem)?;
            let (samples, depth, opaque) = samples(buffer, bits, row);
            let samples = if planes > 1 { interleaved(&samples, planes, self.width * self.height) } else { samples };
            return Ok((samples, depth, opaque));
        }
        // The decoder reads the first plane of tiles only; each is made the first in turn.
        let mut all = (Vec::new(), Depth::Eight, 255.0);
        for plane in 0..planes {
            let file = with_plane_first(self.file, self.number, plane, planes).ok_or(Problem::Truncated)?;
            let mut decoder = open(&file)?;
            decoder.seek_to_image(self.number).map_err(problem)?;
            let mut limits = Limits::default();
            limits.decoding_buffer_size = self.width * self.height * usize::from(bits.max(8)) / 8;
            decoder = decoder.with_limits(limits);
            decoder.read_image_to_buffer(&mut buffer).map_err(problem)?;
            let (samples, depth, opaque) =
                samples(std::mem::replace(&mut buffer, DecodingResult::U8(Vec::new())), bits, row);
            all.0.extend_from_slice(samples.get(..self.width * self.height).ok_or(Problem::Truncated)?);
            (all.1, all.2) = (depth, opaque);
        }
        Ok((interleaved(&all.0, planes, self.width * self.height), all.1, all.2))
    }
}

/// The page's orientation note (TIFF 6.0, Orientation). Turns are applied; mirror images are not, so that left and right stay as stored.
fn orientation(decoder: &mut Pages) -> (Turn, bool) {
    match decoder.find_tag_unsigned::<u16>(Tag::Orientation).ok().flatten() {
        Some(3) => (Turn::Half, false),
        Some(6) => (Turn::Right, false),
        Some(8) => (Turn::Left, false),
        Some(2 | 4 | 5 | 7) => (Turn::None, true),
        _ => (Turn::None, false),
    }
}

/// Red, green and blue of every index, 0–255 (TIFF 6.0, ColorMap: all reds, all greens, all blues, of 16 bits).
fn palette(decoder: &mut Pages, bits: u8) -> Result<Vec<[f32; 3]>, Problem> {
    let map = decoder.get_tag_u16_vec(Tag::ColorMap).map_err(problem)?;
    let count = 1usize << bits.min(16);
    if map.len() != 3 * count {
        return Err(Problem::Damaged("its palette has another number of colours than its pixels can name".into()));
    }
    let part = |at: usize| f32::from(map[at] / 257);
    Ok((0..count).map(|i| [part(i), part(i + count), part(i + 2 * count)]).collect())
}

/// Indices → colours.
fn coloured(raster: Raster, palette: &[[f32; 3]], bits: u8) -> Raster {
    // Fewer than eight bits were stretched to 0–255.
    let scale = if bits < 8 { (palette.len() - 1) as f32 / 255.0 } else { 1.0 };
    let index = |value: &f32| ((value * scale).round() as usize).min(palette.len() - 1);
    let samples = raster.samples.iter().flat_map(|value| palette[index(value)]).collect();
    Raster { colour: Colour::Rgb, samples, depth: Depth::Eight, opaque: 255.0, ..raster }
}

/// Cyan, magenta, yellow and black inks → red, green and blue.
fn printed(raster: Raster) -> Raster {
    let full = raster.opaque;
    let light = |inks: &[f32]| [0, 1, 2].map(|ink| (full - inks[ink]) * (full - inks[3]) / full);
    let samples = raster.samples.chunks_exact(4).flat_map(light).collect();
    Raster { colour: Colour::Rgb, samples, ..raster }
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

/// Pixel size from the resolution tags, when they carry a real unit (TIFF 6.0, ResolutionUnit, or ImageJ's) and are no software default.
fn spacing(decoder: &mut Pages) -> Option<Spacing> {
    let unit_mm = match decoder.find_tag_unsigned::<u16>(Tag::ResolutionUnit).ok().flatten() {
        Some(2) => 25.4,
        Some(3) => 10.0,
        _ => description(decoder)?.unit_mm?,
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

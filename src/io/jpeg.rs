//! JPEG: baseline and progressive, 8 bits.

use super::check_size;
use super::error::Problem;
use super::raster::{Colour, Raster, Turn};
use crate::domain::slice::Depth;
use image::codecs::jpeg::JpegDecoder;
use image::metadata::Orientation;
use image::{ColorType, DynamicImage, ImageDecoder, ImageError};
use std::io::{BufRead, Cursor, Seek};

pub fn decode(bytes: &[u8]) -> Result<Raster, Problem> {
    let mut decoder = JpegDecoder::new(Cursor::new(bytes)).map_err(problem)?;
    let (width, height) = decoder.dimensions();
    check_size(width, height)?;
    // The decoder fills what is missing with grey; a picture with grey where tissue was must not be shown as whole.
    if !has_end(bytes) {
        return Err(Problem::Truncated);
    }
    let colour = match decoder.color_type() {
        ColorType::L8 => Colour::Grey,
        ColorType::Rgb8 => Colour::Rgb,
        other => return Err(Problem::Unsupported(format!("the JPEG colour type {other:?}"))),
    };
    let (turn, mirrored) = orientation(decoder.orientation().unwrap_or(Orientation::NoTransforms));
    let samples = DynamicImage::from_decoder(decoder).map_err(problem)?.into_bytes();
    Ok(Raster {
        width: width as usize,
        height: height as usize,
        colour,
        samples: samples.into_iter().map(f32::from).collect(),
        depth: Depth::Eight,
        opaque: 255.0,
        spacing: None,
        turn,
        note: None,
        mirrored,
    })
}

/// Width and height, from the header alone.
pub fn dimensions(stream: impl BufRead + Seek) -> Option<(u32, u32)> {
    JpegDecoder::new(stream).ok().map(|decoder| decoder.dimensions())
}

/// Whether an end-of-image marker follows the last scan (ITU-T T.81, B.1.1.3).
fn has_end(bytes: &[u8]) -> bool {
    let last = |marker: u8| bytes.windows(2).rposition(|w| w == [0xFF, marker]);
    matches!((last(0xDA), last(0xD9)), (Some(scan), Some(end)) if end > scan)
}

/// Turns are applied; mirror images are not, so that left and right stay as stored.
fn orientation(orientation: Orientation) -> (Turn, bool) {
    match orientation {
        Orientation::NoTransforms => (Turn::None, false),
        Orientation::Rotate90 => (Turn::Right, false),
        Orientation::Rotate180 => (Turn::Half, false),
        Orientation::Rotate270 => (Turn::Left, false),
        Orientation::FlipHorizontal
        | Orientation::FlipVertical
        | Orientation::Rotate90FlipH
        | Orientation::Rotate270FlipH => (Turn::None, true),
    }
}

fn problem(error: ImageError) -> Problem {
    match error {
        ImageError::IoError(_) => Problem::Truncated,
        ImageError::Unsupported(e) => Problem::Unsupported(e.to_string()),
        other => Problem::damaged(&other),
    }
}

//! PNG: 1 to 16 bits, grey, palette, colour, with or without transparency.

use super::check_size;
use super::error::Problem;
use super::raster::{Colour, Raster, Turn};
use crate::domain::kept::KEYWORD;
use crate::domain::slice::Depth;
use png::{BitDepth, ColorType, Decoder, DecodingError, Limits, Transformations};
use std::io::{BufRead, Cursor, Seek};

/// Memory the decoder may take beside the picture itself.
const LIMIT_BYTES: usize = 640 << 20;

pub fn decode(bytes: &[u8]) -> Result<Raster, Problem> {
    let mut decoder = Decoder::new_with_limits(Cursor::new(bytes), Limits { bytes: LIMIT_BYTES });
    decoder.set_transformations(Transformations::EXPAND);
    let header = decoder.read_header_info().map_err(problem)?;
    check_size(header.width, header.height)?;
    let mut reader = decoder.read_info().map_err(problem)?;
    let size = reader.output_buffer_size().ok_or(Problem::Damaged("impossible size".into()))?;
    let mut buffer = vec![0; size];
    let frame = reader.next_frame(&mut buffer).map_err(problem)?;
    buffer.truncate(frame.buffer_size());
    let texts = &reader.info().uncompressed_latin1_text;
    let note = texts.iter().find(|text| text.keyword == KEYWORD).and_then(|text| text.text.parse().ok());
    let colour = match frame.color_type {
        ColorType::Grayscale => Colour::Grey,
        ColorType::GrayscaleAlpha => Colour::GreyAlpha,
        ColorType::Rgb => Colour::Rgb,
        ColorType::Rgba => Colour::Rgba,
        ColorType::Indexed => return Err(Problem::Unsupported("a palette without colours".into())),
    };
    let (samples, depth, opaque): (Vec<f32>, _, _) = if frame.bit_depth == BitDepth::Sixteen {
        let samples = buffer.as_chunks().0.iter().map(|b| f32::from(u16::from_be_bytes(*b))).collect();
        (samples, Depth::Deep, 65_535.0)
    } else {
        (buffer.into_iter().map(f32::from).collect(), Depth::Eight, 255.0)
    };
    Ok(Raster {
        width: frame.width as usize,
        height: frame.height as usize,
        colour,
        samples,
        depth,
        opaque,
        spacing: None,
        turn: Turn::None,
        mirrored: false,
        note,
    })
}

/// Width and height, from the header alone.
pub fn dimensions(stream: impl BufRead + Seek) -> Option<(u32, u32)> {
    let mut decoder = Decoder::new(stream);
    let header = decoder.read_header_info().ok()?;
    Some((header.width, header.height))
}

fn problem(error: DecodingError) -> Problem {
    match error {
        DecodingError::IoError(_) => Problem::Truncated,
        DecodingError::LimitsExceeded => Problem::Damaged("it unpacks to far more than its size says".into()),
        DecodingError::Format(e) if e.to_string().contains("end of") => Problem::Truncated,
        other => Problem::damaged(&other),
    }
}

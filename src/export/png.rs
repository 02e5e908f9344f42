//! PNG bytes of pictures and masks.

use super::{ExportError, Looks};
use crate::domain::kept::{KEYWORD, Levels};
use crate::domain::mask::Mask;
use crate::domain::overlay::OverlayStyle;
use crate::domain::slice::{Channel, Depth, Slice};

/// Pixels for each metre in print: 300 dpi.
const PER_METRE: u32 = 11_811;

fn encode(width: usize, height: usize, colour: png::ColorType, data: &[u8]) -> Result<Vec<u8>, ExportError> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width as u32, height as u32);
    encoder.set_color(colour);
    encoder.set_depth(png::BitDepth::Eight);
    let dims = png::PixelDimensions { xppu: PER_METRE, yppu: PER_METRE, unit: png::Unit::Meter };
    encoder.set_pixel_dims(Some(dims));
    let mut writer = encoder.write_header()?;
    writer.write_image_data(data)?;
    writer.finish()?;
    Ok(bytes)
}

pub fn rgb(width: usize, height: usize, pixels: &[[u8; 3]]) -> Result<Vec<u8>, ExportError> {
    encode(width, height, png::ColorType::Rgb, pixels.as_flattened())
}

/// Straight alpha.
pub fn rgba(width: usize, height: usize, pixels: &[[u8; 4]]) -> Result<Vec<u8>, ExportError> {
    encode(width, height, png::ColorType::Rgba, pixels.as_flattened())
}

/// 0 outside, 255 inside.
pub fn mask(mask: &Mask) -> Result<Vec<u8>, ExportError> {
    let data: Vec<u8> = mask.pixels().iter().map(|inside| if *inside { 255 } else { 0 }).collect();
    encode(mask.width(), mask.height(), png::ColorType::Grayscale, &data)
}

/// The slice under its default window with masks painted over it, at its own size.
pub fn overlay(
    slice: &Slice,
    prediction: Option<&Mask>,
    truth: Option<&Mask>,
    style: OverlayStyle,
) -> Result<Vec<u8>, ExportError> {
    let looks = Looks { window: slice.default_window(), invert: false, channel: None, style };
    rgb(slice.width(), slice.height(), &looks.paint(slice, prediction, truth))
}

/// A copy of the slice with all its grey values and what networks are told beside them: a colour picture with its channels, eight bits
/// as they are, others as sixteen. `levels` are those of its study.
///
/// # Errors
/// If the picture cannot be encoded.
pub fn copy(slice: &Slice, levels: Levels) -> Result<Vec<u8>, ExportError> {
    let (colour, depth, data) = match (slice.depth(), Channel::ALL.map(|channel| slice.channel(channel))) {
        (_, [Some(red), Some(green), Some(blue)]) => {
            let [red, green, blue] = [red, green, blue].map(|plane| plane.values());
            let pixels = red.iter().zip(&green).zip(&blue).flat_map(|((r, g), b)| [*r as u8, *g as u8, *b as u8]);
            (png::ColorType::Rgb, png::BitDepth::Eight, pixels.collect())
        }
        (Depth::Eight, _) => {
            let bright = |v: f32| if slice.inverted { 255.0 - v } else { v } as u8;
            (png::ColorType::Grayscale, png::BitDepth::Eight, slice.values().into_iter().map(bright).collect())
        }
        (Depth::Deep, _) => {
            let data = slice.brightness().into_iter().flat_map(|v| levels.level(v).to_be_bytes()).collect();
            (png::ColorType::Grayscale, png::BitDepth::Sixteen, data)
        }
    };
    let data: Vec<u8> = data;
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, slice.width() as u32, slice.height() as u32);
    encoder.set_color(colour);
    encoder.set_depth(depth);
    encoder.add_text_chunk(KEYWORD.into(), levels.note(slice).to_string())?;
    let mut writer = encoder.write_header()?;
    writer.write_image_data(&data)?;
    writer.finish()?;
    Ok(bytes)
}

/// The slice under its default window.
pub fn slice(slice: &Slice) -> Result<Vec<u8>, ExportError> {
    let data: Vec<u8> = slice.grey().into_iter().map(|v| v.round() as u8).collect();
    encode(slice.width(), slice.height(), png::ColorType::Grayscale, &data)
}

//! PNG bytes of pictures and masks.

use super::{ExportError, Looks};
use crate::domain::mask::Mask;
use crate::domain::overlay::OverlayStyle;
use crate::domain::slice::Slice;

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

/// The slice under its default window.
pub fn slice(slice: &Slice) -> Result<Vec<u8>, ExportError> {
    let data: Vec<u8> = slice.grey().into_iter().map(|v| v.round() as u8).collect();
    encode(slice.width(), slice.height(), png::ColorType::Grayscale, &data)
}

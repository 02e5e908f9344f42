//! PNG bytes of pictures and masks.

use super::ExportError;
use crate::domain::mask::Mask;
use crate::domain::overlay::{self, OverlayStyle};
use crate::domain::slice::Slice;

fn encode(width: usize, height: usize, colour: png::ColorType, data: &[u8]) -> Result<Vec<u8>, ExportError> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width as u32, height as u32);
    encoder.set_color(colour);
    encoder.set_depth(png::BitDepth::Eight);
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
    let painted = overlay::paint(prediction, truth, style);
    let grey = slice.shades(slice.default_window(), false);
    rgb(slice.width(), slice.height(), &overlay::composite(&grey, painted.as_deref()))
}

/// The slice under its default window.
pub fn slice(slice: &Slice) -> Result<Vec<u8>, ExportError> {
    let data: Vec<u8> = slice.grey().into_iter().map(|v| v.round() as u8).collect();
    encode(slice.width(), slice.height(), png::ColorType::Grayscale, &data)
}

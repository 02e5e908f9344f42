//! The annotated picture: scan with overlay, and below it what the models said and which models they were.

use super::{ExportError, png};
use ab_glyph::{Font, FontRef, PxScale, ScaleFont, point};

/// Whole-number enlargement of the scan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub enum Magnification {
    #[default]
    X1,
    X2,
    X4,
}

impl Magnification {
    pub const ALL: [Magnification; 3] = [Magnification::X1, Magnification::X2, Magnification::X4];

    pub fn factor(self) -> usize {
        match self {
            Magnification::X1 => 1,
            Magnification::X2 => 2,
            Magnification::X4 => 4,
        }
    }
}

/// A word over the scan, from its upper left corner in pixels.
pub struct Label {
    pub left: usize,
    pub top: usize,
    pub text: String,
}

/// Everything that goes into the file; nothing else does.
pub struct Annotated<'a> {
    pub width: usize,
    pub height: usize,
    /// Scan with overlay, row by row.
    pub rgb: &'a [[u8; 3]],
    pub magnification: Magnification,
    /// Over the enlarged scan.
    pub labels: &'a [Label],
    /// First line is set larger.
    pub lines: &'a [String],
}

const TEXT_SIZE: f32 = 17.0;
const TITLE_SIZE: f32 = 22.0;
const MARGIN: usize = 16;
/// Narrow scans are centred over a footer that is still readable.
const MIN_WIDTH: usize = 560;
/// Longest side of the enlarged scan.
const MAX_SIDE: usize = 16_384;
const BACKGROUND: [u8; 3] = [14, 17, 22];
const INK: [u8; 3] = [226, 232, 240];

struct Canvas {
    width: usize,
    height: usize,
    pixels: Vec<[u8; 3]>,
}

/// The picture as PNG.
pub fn bytes(picture: &Annotated) -> Result<Vec<u8>, ExportError> {
    let canvas = draw(picture)?;
    png::rgb(canvas.width, canvas.height, &canvas.pixels)
}

fn draw(picture: &Annotated) -> Result<Canvas, ExportError> {
    let factor = picture.magnification.factor();
    let (scan_width, scan_height) = (picture.width * factor, picture.height * factor);
    if factor > 1 && scan_width.max(scan_height) > MAX_SIDE {
        return Err(ExportError::TooLarge { side: scan_width.max(scan_height), limit: MAX_SIDE });
    }
    let font = FontRef::try_from_slice(epaint_default_fonts::UBUNTU_LIGHT).map_err(|_| ExportError::Font)?;
    let width = scan_width.max(MIN_WIDTH);
    let mut rows: Vec<(f32, String)> = Vec::new();
    for (i, line) in picture.lines.iter().enumerate() {
        let size = if i == 0 { TITLE_SIZE } else { TEXT_SIZE };
        rows.extend(wrap(&font, size, line, (width - 2 * MARGIN) as f32).into_iter().map(|text| (size, text)));
    }
    let step = |size: f32| (size * 1.35).ceil() as usize;
    let footer = 2 * MARGIN + rows.iter().map(|(size, _)| step(*size)).sum::<usize>();
    let height = scan_height + footer;
    let mut canvas = Canvas { width, height, pixels: vec![BACKGROUND; width * height] };
    let left = (width - scan_width) / 2;
    for y in 0..scan_height {
        for x in 0..scan_width {
            canvas.pixels[y * width + left + x] = picture.rgb[y / factor * picture.width + x / factor];
        }
    }
    for label in picture.labels {
        canvas.text(&font, TEXT_SIZE, left + label.left, label.top, &label.text);
    }
    let mut top = scan_height + MARGIN;
    for (size, text) in rows {
        canvas.text(&font, size, MARGIN, top, &text);
        top += step(size);
    }
    Ok(canvas)
}

/// Breaks at spaces so that no row is wider than `width`.
fn wrap(font: &FontRef, size: f32, line: &str, width: f32) -> Vec<String> {
    let scaled = font.as_scaled(PxScale::from(size));
    let length = |text: &str| text.chars().map(|c| scaled.h_advance(scaled.glyph_id(c))).sum::<f32>();
    let mut rows: Vec<String> = Vec::new();
    for word in line.split(' ') {
        match rows.last_mut() {
            Some(row) if length(&format!("{row} {word}")) <= width => {
                row.push(' ');
                row.push_str(word);
            }
            _ => rows.push(word.to_string()),
        }
    }
    rows
}

impl Canvas {
    fn text(&mut self, font: &FontRef, size: f32, left: usize, top: usize, text: &str) {
        let scaled = font.as_scaled(PxScale::from(size));
        let (mut x, baseline) = (left as f32, top as f32 + scaled.ascent());
        for c in text.chars() {
            let glyph = scaled.glyph_id(c).with_scale_and_position(PxScale::from(size), point(x, baseline));
            x += scaled.h_advance(scaled.glyph_id(c));
            let Some(outline) = font.outline_glyph(glyph) else { continue };
            let corner = outline.px_bounds().min;
            outline.draw(|dx, dy, coverage| {
                let (px, py) = (corner.x as i64 + i64::from(dx), corner.y as i64 + i64::from(dy));
                if (0..self.width as i64).contains(&px) && (0..self.height as i64).contains(&py) {
                    let pixel = &mut self.pixels[py as usize * self.width + px as usize];
                    for (channel, ink) in pixel.iter_mut().zip(INK) {
                        let mixed = f32::from(*channel) + (f32::from(ink) - f32::from(*channel)) * coverage.min(1.0);
                        *channel = mixed.round() as u8;
                    }
                }
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scan_is_there_pixel_for_pixel_and_the_footer_has_ink() {
        let rgb: Vec<[u8; 3]> = (0..600 * 4).map(|i| [(i % 251) as u8, 7, 9]).collect();
        let lines = ["Title".to_string(), "word ".repeat(60)];
        let picture = Annotated {
            width: 600,
            height: 4,
            rgb: &rgb,
            magnification: Magnification::X2,
            labels: &[],
            lines: &lines,
        };
        let canvas = draw(&picture).unwrap();
        assert_eq!(canvas.width, 1200);
        for (x, y) in [(0, 0), (1199, 7), (601, 3)] {
            assert_eq!(canvas.pixels[y * 1200 + x], rgb[y / 2 * 600 + x / 2]);
        }
        assert!(canvas.pixels[8 * 1200..].iter().any(|p| p[0] > 150));
    }
}

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

/// Something drawn over the scan, in pixels of the scan from its upper left corner.
#[derive(Debug, Clone, PartialEq)]
pub enum Mark {
    /// Through these points.
    Line(Vec<[f64; 2]>),
    /// A word with its middle here.
    Text([f64; 2], String),
}

impl Mark {
    /// The mark further to the right by so many pixels.
    pub fn shifted(&self, by: f64) -> Mark {
        let moved = |[x, y]: &[f64; 2]| [x + by, *y];
        match self {
            Mark::Line(points) => Mark::Line(points.iter().map(moved).collect()),
            Mark::Text(at, text) => Mark::Text(moved(at), text.clone()),
        }
    }
}

/// Ink and paper of the picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub enum Paper {
    #[default]
    Dark,
    /// For print.
    Light,
}

impl Paper {
    fn background(self) -> [u8; 3] {
        match self {
            Paper::Dark => [14, 17, 22],
            Paper::Light => [255, 255, 255],
        }
    }

    fn ink(self) -> [u8; 3] {
        match self {
            Paper::Dark => [226, 232, 240],
            Paper::Light => [24, 28, 34],
        }
    }
}

/// Everything that goes into the file; nothing else does.
pub struct Annotated<'a> {
    pub width: usize,
    pub height: usize,
    /// Scan with overlay, row by row.
    pub rgb: &'a [[u8; 3]],
    pub magnification: Magnification,
    /// Whether pixels are enlarged smoothly rather than as squares.
    pub is_smooth: bool,
    pub paper: Paper,
    /// Over the enlarged scan.
    pub labels: &'a [Label],
    pub marks: &'a [Mark],
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
/// Colour of marks over the scan, and of the shade that sets them off.
const MARK: [u8; 3] = [255, 214, 102];
const SHADE: [u8; 3] = [0, 0, 0];
/// Text over the scan, which is dark on any paper.
const OVER_SCAN: [u8; 3] = [226, 232, 240];

struct Canvas {
    width: usize,
    height: usize,
    pixels: Vec<[u8; 3]>,
}

/// The picture as PNG.
///
/// # Errors
/// If the enlarged picture is too large, or cannot be encoded.
pub fn bytes(picture: &Annotated) -> Result<Vec<u8>, ExportError> {
    let canvas = draw(picture)?;
    png::rgb(canvas.width, canvas.height, &canvas.pixels)
}

/// Width, height and pixels of the picture, row by row.
///
/// # Errors
/// If the enlarged picture is too large.
pub fn pixels(picture: &Annotated) -> Result<(usize, usize, Vec<[u8; 3]>), ExportError> {
    let canvas = draw(picture)?;
    Ok((canvas.width, canvas.height, canvas.pixels))
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
    let mut canvas = Canvas { width, height, pixels: vec![picture.paper.background(); width * height] };
    let left = (width - scan_width) / 2;
    if picture.is_smooth && factor > 1 {
        let smooth = enlarged(picture, scan_width, scan_height);
        for (y, row) in smooth.chunks_exact(scan_width).enumerate() {
            canvas.pixels[y * width + left..][..scan_width].copy_from_slice(row);
        }
    } else {
        for y in 0..scan_height {
            for x in 0..scan_width {
                canvas.pixels[y * width + left + x] = picture.rgb[y / factor * picture.width + x / factor];
            }
        }
    }
    for label in picture.labels {
        canvas.text(&font, TEXT_SIZE, [(left + label.left) as f32, label.top as f32], &label.text, OVER_SCAN);
    }
    for mark in picture.marks {
        canvas.mark(&font, mark, factor as f64, left as f64);
    }
    let mut top = scan_height + MARGIN;
    for (size, text) in rows {
        canvas.text(&font, size, [MARGIN as f32, top as f32], &text, picture.paper.ink());
        top += step(size);
    }
    Ok(canvas)
}

/// The scan enlarged with a smooth filter (Catmull–Rom).
fn enlarged(picture: &Annotated, width: usize, height: usize) -> Vec<[u8; 3]> {
    let pixel = |x: u32, y: u32| image::Rgb(picture.rgb[y as usize * picture.width + x as usize]);
    let source = image::RgbImage::from_fn(picture.width as u32, picture.height as u32, pixel);
    let filter = image::imageops::FilterType::CatmullRom;
    image::imageops::resize(&source, width as u32, height as u32, filter).pixels().map(|p| p.0).collect()
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
    /// Draws a mark. `scale` is the enlargement, `left` where the scan begins.
    fn mark(&mut self, font: &FontRef, mark: &Mark, scale: f64, left: f64) {
        let place = |p: &[f64; 2]| [p[0] * scale + left, p[1] * scale];
        match mark {
            Mark::Line(points) => {
                for (colour, radius) in [(SHADE, 1.9), (MARK, 0.9)] {
                    points.windows(2).for_each(|ends| self.line(place(&ends[0]), place(&ends[1]), radius, colour));
                }
            }
            Mark::Text(at, text) => {
                let scaled = font.as_scaled(PxScale::from(TEXT_SIZE));
                let wide: f32 = text.chars().map(|c| scaled.h_advance(scaled.glyph_id(c))).sum();
                let [x, y] = place(at).map(|c| c as f32);
                let corner = [x - wide / 2.0, y - TEXT_SIZE * 0.6];
                for (dx, dy) in [(-1.0, 0.0), (1.0, 0.0), (0.0, -1.0), (0.0, 1.0)] {
                    self.text(font, TEXT_SIZE, [corner[0] + dx, corner[1] + dy], text, SHADE);
                }
                self.text(font, TEXT_SIZE, corner, text, MARK);
            }
        }
    }

    /// A line of round dots.
    fn line(&mut self, from: [f64; 2], to: [f64; 2], radius: f64, colour: [u8; 3]) {
        let steps = ((to[0] - from[0]).hypot(to[1] - from[1]) * 2.0).ceil().max(1.0);
        for step in 0..=steps as usize {
            let share = step as f64 / steps;
            let [x, y] = [0, 1].map(|axis| from[axis] + (to[axis] - from[axis]) * share);
            let reach = radius.ceil() as i64;
            for dy in -reach..=reach {
                for dx in -reach..=reach {
                    let (px, py) = (x.floor() as i64 + dx, y.floor() as i64 + dy);
                    let near = (px as f64 + 0.5 - x).hypot(py as f64 + 0.5 - y) <= radius;
                    if near && (0..self.width as i64).contains(&px) && (0..self.height as i64).contains(&py) {
                        self.pixels[py as usize * self.width + px as usize] = colour;
                    }
                }
            }
        }
    }

    fn text(&mut self, font: &FontRef, size: f32, [left, top]: [f32; 2], text: &str, ink: [u8; 3]) {
        let scaled = font.as_scaled(PxScale::from(size));
        let (mut x, baseline) = (left, top + scaled.ascent());
        for c in text.chars() {
            let glyph = scaled.glyph_id(c).with_scale_and_position(PxScale::from(size), point(x, baseline));
            x += scaled.h_advance(scaled.glyph_id(c));
            let Some(outline) = font.outline_glyph(glyph) else { continue };
            let corner = outline.px_bounds().min;
            outline.draw(|dx, dy, coverage| {
                let (px, py) = (corner.x as i64 + i64::from(dx), corner.y as i64 + i64::from(dy));
                if (0..self.width as i64).contains(&px) && (0..self.height as i64).contains(&py) {
                    let pixel = &mut self.pixels[py as usize * self.width + px as usize];
                    for (channel, ink) in pixel.iter_mut().zip(ink) {
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
            is_smooth: false,
            paper: Paper::Dark,
            labels: &[],
            marks: &[Mark::Line(vec![[100.0, 1.0], [110.0, 1.0]])],
            lines: &lines,
        };
        let canvas = draw(&picture).unwrap();
        assert_eq!(canvas.width, 1200);
        for (x, y) in [(0, 0), (1199, 7), (601, 3)] {
            assert_eq!(canvas.pixels[y * 1200 + x], rgb[y / 2 * 600 + x / 2]);
        }
        assert!(canvas.pixels[8 * 1200..].iter().any(|p| p[0] > 150));
        // The line lies at twice its place.
        assert_eq!(canvas.pixels[2 * 1200 + 210], MARK);
        let light = draw(&Annotated { paper: Paper::Light, is_smooth: true, marks: &[], ..picture }).unwrap();
        assert!(light.pixels[8 * 1200..].iter().filter(|p| **p == [255; 3]).count() > 1200);
        assert!(light.pixels[8 * 1200..].iter().any(|p| p[0] < 80));
    }
}

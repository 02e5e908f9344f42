//! Decoded samples of any kind → one grey slice.

use super::error::Problem;
use crate::domain::channel::LEAST_SPREAD;
use crate::domain::kept::PictureNote;
use crate::domain::slice::{Depth, Slice, Spacing};
use crate::domain::study::Warning;

/// What the samples of a pixel mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Colour {
    Grey,
    GreyAlpha,
    Rgb,
    Rgba,
}

impl Colour {
    pub fn samples(self) -> usize {
        match self {
            Colour::Grey => 1,
            Colour::GreyAlpha => 2,
            Colour::Rgb => 3,
            Colour::Rgba => 4,
        }
    }

    fn has_alpha(self) -> bool {
        matches!(self, Colour::GreyAlpha | Colour::Rgba)
    }
}

/// Orientation of a camera picture (EXIF 2.3, tag 0x0112), as far as it is applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Turn {
    #[default]
    None,
    Right,
    Half,
    Left,
}

/// Interleaved samples, row by row.
pub struct Raster {
    pub width: usize,
    pub height: usize,
    pub colour: Colour,
    pub samples: Vec<f32>,
    pub depth: Depth,
    /// Value of an opaque alpha sample.
    pub opaque: f32,
    pub spacing: Option<Spacing>,
    pub turn: Turn,
    pub mirrored: bool,
    /// What the file says it keeps of the slice that it is a copy of.
    pub note: Option<PictureNote>,
}

impl Raster {
    /// The slice with what the reader should know about it.
    pub fn into_slice(self) -> Result<Slice, Problem> {
        let warnings = self.warnings();
        let note = self.note;
        let mut slice = self.into_grey()?;
        if let Some(note) = note {
            note.apply(&mut slice);
        }
        slice.warnings = warnings;
        if slice.has_few_greys() {
            slice.warnings.push(Warning::FewGreys);
        }
        Ok(slice)
    }

    fn warnings(&self) -> Vec<Warning> {
        let samples = self.colour.samples();
        let coloured = || self.samples.chunks_exact(samples).any(|p| p[0] != p[1] || p[1] != p[2]);
        [
            (self.turn != Turn::None, Warning::Rotated),
            (self.mirrored, Warning::MirrorIgnored),
            (matches!(self.colour, Colour::Rgb | Colour::Rgba) && coloured(), Warning::ColourToGrey),
            (self.is_transparent(), Warning::Transparency),
        ]
        .into_iter()
        .filter_map(|(applies, warning)| applies.then_some(warning))
        .collect()
    }

    fn is_transparent(&self) -> bool {
        let count = self.colour.samples();
        self.colour.has_alpha() && self.samples.chunks_exact(count).any(|p| p[count - 1] < self.opaque)
    }

    /// BT.601 luminance, transparency on black, turned upright; the channels of an eight-bit colour picture stay beside it.
    fn into_grey(self) -> Result<Slice, Problem> {
        let count = self.colour.samples();
        let channels = self.channels();
        let grey = self.samples.chunks_exact(count).map(|p| {
            let value = match self.colour {
                Colour::Grey | Colour::GreyAlpha => p[0],
                Colour::Rgb | Colour::Rgba => 0.299 * p[0] + 0.587 * p[1] + 0.114 * p[2],
            };
            if self.colour.has_alpha() { value * (p[count - 1] / self.opaque) } else { value }
        });
        // Eight-bit luminance is rounded, as the training pictures were.
        let grey: Vec<f32> = match self.depth {
            Depth::Eight => grey.map(f32::round).collect(),
            Depth::Deep => grey.collect(),
        };
        let (width, height, pixels) = turned(self.width, self.height, grey, self.turn);
        let mut slice = Slice::new(width, height, pixels, self.depth).ok_or(Problem::Truncated)?;
        slice.spacing = self.spacing;
        Ok(match channels {
            Some(channels) => slice.with_channels(channels),
            None => slice,
        })
    }

    /// Red, green and blue of an opaque eight-bit colour picture whose channels differ by more than a decoder's rounding, turned
    /// upright.
    fn channels(&self) -> Option<[Vec<u8>; 3]> {
        let coloured = matches!(self.colour, Colour::Rgb | Colour::Rgba);
        if self.depth != Depth::Eight || !coloured || self.is_transparent() {
            return None;
        }
        let count = self.colour.samples();
        let spread = |p: &[f32]| p[0].max(p[1]).max(p[2]) - p[0].min(p[1]).min(p[2]);
        let total: f32 = self.samples.chunks_exact(count).map(spread).sum();
        if total <= LEAST_SPREAD * (self.width * self.height) as f32 {
            return None;
        }
        let plane =
            |channel: usize| -> Vec<f32> { self.samples.iter().skip(channel).step_by(count).copied().collect() };
        let upright = |channel| turned(self.width, self.height, plane(channel), self.turn).2;
        Some([0, 1, 2].map(|channel| upright(channel).into_iter().map(|v| v as u8).collect()))
    }
}

fn turned(width: usize, height: usize, pixels: Vec<f32>, turn: Turn) -> (usize, usize, Vec<f32>) {
    let from = |x: usize, y: usize| pixels[y * width + x];
    let draw = |w: usize, h: usize, f: &dyn Fn(usize, usize) -> f32| {
        (w, h, (0..w * h).map(|i| f(i % w, i / w)).collect::<Vec<f32>>())
    };
    if pixels.len() != width * height {
        return (width, height, pixels);
    }
    match turn {
        Turn::None => (width, height, pixels),
        Turn::Half => draw(width, height, &|x, y| from(width - 1 - x, height - 1 - y)),
        Turn::Right => draw(height, width, &|x, y| from(y, height - 1 - x)),
        Turn::Left => draw(height, width, &|x, y| from(width - 1 - y, x)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turning_right_brings_the_left_column_to_the_top() {
        // 1 2      5 3 1
        // 3 4  ->  6 4 2
        // 5 6
        let (w, h, pixels) = turned(2, 3, vec![1., 2., 3., 4., 5., 6.], Turn::Right);
        assert_eq!((w, h, pixels), (3, 2, vec![5., 3., 1., 6., 4., 2.]));
        let (w, h, pixels) = turned(2, 3, vec![1., 2., 3., 4., 5., 6.], Turn::Left);
        assert_eq!((w, h, pixels), (3, 2, vec![2., 4., 6., 1., 3., 5.]));
    }
}

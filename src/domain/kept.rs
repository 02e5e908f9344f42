//! A copy of a slice as a picture file: its grey values on sixteen bits, and beside them what a picture file has no place for.

use super::slice::{Depth, Slice, Spacing, SpacingSource};
use super::window::{Ramp, Window};
use std::fmt;
use std::str::FromStr;

/// Keyword of the text in a PNG file that holds a [`PictureNote`].
pub const KEYWORD: &str = "LesionLens";
const MOST: f32 = 65_535.0;

/// How brightness becomes a whole number 0–65535, one way for all slices of a study.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Levels {
    low: f32,
    factor: f32,
}

impl Levels {
    /// Levels that suit the brightness of all of these slices. Whole numbers keep their steps where they fit.
    pub fn of<S: AsRef<Slice>>(slices: impl IntoIterator<Item = S>) -> Self {
        let (mut low, mut high, mut is_whole) = (f32::INFINITY, f32::NEG_INFINITY, true);
        for slice in slices {
            for value in slice.as_ref().brightness() {
                (low, high) = (low.min(value), high.max(value));
                is_whole &= value.fract() == 0.0;
            }
        }
        let range = high - low;
        let keeps = (is_whole && range <= MOST) || range <= 0.0;
        Self { low, factor: if keeps { 1.0 } else { MOST / range } }
    }

    /// The level of a brightness.
    pub fn level(self, brightness: f32) -> u16 {
        ((brightness - self.low) * self.factor).round().clamp(0.0, MOST) as u16
    }

    /// What the copy of a slice must be told beside its levels. High levels are bright, whatever they were in the source.
    pub fn note(self, slice: &Slice) -> PictureNote {
        let own = slice.default_window();
        let centre = if slice.inverted { -own.centre } else { own.centre };
        let (centre, width) = match slice.depth() {
            Depth::Deep => ((centre - self.low) * self.factor, own.width * self.factor),
            Depth::Eight if slice.inverted => (centre + 255.0, own.width),
            Depth::Eight => (centre, own.width),
        };
        let pixel = slice.spacing.map(|spacing| [spacing.row_mm, spacing.column_mm]);
        PictureNote { window: Window { centre, width, ramp: own.ramp }, pixel }
    }
}

/// The window that a picture opens with, and the height and width of its pixels in mm where they are known.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PictureNote {
    pub window: Window,
    pub pixel: Option<[f64; 2]>,
}

impl PictureNote {
    /// The slice as its source had it.
    pub fn apply(&self, slice: &mut Slice) {
        slice.set_windows(vec![self.window]);
        if let Some([row, column]) = self.pixel {
            slice.spacing = Spacing::new(row, column, SpacingSource::Copy);
        }
    }
}

impl fmt::Display for PictureNote {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Window { centre, width, ramp } = self.window;
        let ramp = match ramp {
            Ramp::Linear => "linear",
            Ramp::Sigmoid => "sigmoid",
        };
        write!(f, "window {centre} {width} {ramp}")?;
        self.pixel.map_or(Ok(()), |[row, column]| write!(f, " pixel {row} {column}"))
    }
}

/// A text that is no such note.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoNote;

impl FromStr for PictureNote {
    type Err = NoNote;

    fn from_str(text: &str) -> Result<Self, NoNote> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let number = |word: &str| word.parse::<f64>().ok().filter(|v| v.is_finite()).ok_or(NoNote);
        let (["window", centre, width, ramp], rest) = words.split_at_checked(4).ok_or(NoNote)? else {
            return Err(NoNote);
        };
        let ramp = match *ramp {
            "linear" => Ramp::Linear,
            "sigmoid" => Ramp::Sigmoid,
            _ => return Err(NoNote),
        };
        let (centre, width) = (number(centre)? as f32, number(width)? as f32);
        let pixel = match rest {
            [] => None,
            ["pixel", row, column] => Some([number(row)?, number(column)?]),
            _ => return Err(NoNote),
        };
        if width > 0.0 { Ok(Self { window: Window { centre, width, ramp }, pixel }) } else { Err(NoNote) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn whole_numbers_keep_their_steps_and_fractions_fill_sixteen_bits() {
        let counts = Slice::new(2, 2, vec![-1000.0, 0.0, 500.0, 3000.0], Depth::Deep).unwrap();
        let levels = Levels::of([Arc::new(counts)]);
        assert_eq!([-1000.0, 0.0, 3000.0].map(|v| levels.level(v)), [0, 1000, 4000]);
        let shares = Slice::new(2, 2, vec![0.0, 0.25, 0.5, 1.0], Depth::Deep).unwrap();
        let levels = Levels::of([Arc::new(shares)]);
        assert_eq!([0.0, 0.5, 1.0].map(|v| levels.level(v)), [0, 32_768, 65_535]);
    }

    #[test]
    fn a_note_is_read_as_it_was_written() {
        let window = Window { centre: 40.5, width: 80.0, ramp: Ramp::Sigmoid };
        for pixel in [None, Some([0.5, 1.25])] {
            let note = PictureNote { window, pixel };
            assert_eq!(note.to_string().parse(), Ok(note));
        }
        for text in ["", "window 1 2", "window 1 0 linear", "window a 2 linear", "window 1 2 linear pixel 1"] {
            assert_eq!(text.parse::<PictureNote>(), Err(NoNote), "{text}");
        }
    }
}

//! JPEG-LS (ITU-T T.87), lossless and near-lossless, of up to 16 bits: the one lossless compression of DICOM for which there is no
//! decoder in Rust with a permissive licence.

mod bits;
mod scan;

use super::error::Problem;
use scan::{Scan, Thresholds};

/// A decoded picture.
#[derive(Debug, Clone, PartialEq)]
pub struct Picture {
    pub width: usize,
    pub height: usize,
    /// Samples of a pixel.
    pub components: usize,
    /// Row by row, sample beside sample.
    pub samples: Vec<u16>,
}

/// Markers (T.87, Annex C).
const START_OF_FRAME: u8 = 0xF7;
const PRESET_PARAMETERS: u8 = 0xF8;
const START_OF_SCAN: u8 = 0xDA;
const RESTART_INTERVAL: u8 = 0xDD;
const END: u8 = 0xD9;
/// Most samples of a pixel.
const MAX_COMPONENTS: usize = 4;

/// Decodes a stream whose size was checked before.
///
/// # Errors
/// If the stream is damaged, ends early, or uses restart intervals or mapping tables.
pub fn decode(bytes: &[u8]) -> Result<Picture, Problem> {
    let mut frame: Option<Frame> = None;
    let mut presets = None;
    let mut at = 2;
    loop {
        let marker = match *bytes.get(at..at + 2).ok_or(Problem::Truncated)? {
            // Any number of these may fill up.
            [0xFF, 0xFF] => {
                at += 1;
                continue;
            }
            [0xFF, marker] => marker,
            _ => return Err(Problem::Damaged("a marker is missing".into())),
        };
        if marker == END {
            break;
        }
        let length = bytes.get(at + 2..at + 4).ok_or(Problem::Truncated)?;
        let end = at + 2 + usize::from(u16::from_be_bytes([length[0], length[1]]));
        let segment = bytes.get(at + 4..end).ok_or(Problem::Truncated)?;
        at = end;
        match marker {
            START_OF_FRAME => frame = Some(Frame::read(segment)?),
            PRESET_PARAMETERS => presets = Some(preset_thresholds(segment)?),
            RESTART_INTERVAL if segment.iter().any(|byte| *byte != 0) => {
                return Err(Problem::Unsupported("JPEG-LS with restart intervals".into()));
            }
            START_OF_SCAN => {
                let frame = frame.as_mut().ok_or_else(|| Problem::Damaged("it has no frame header".into()))?;
                at += frame.scan(segment, presets, &bytes[at..])?;
                if frame.is_complete() {
                    break;
                }
            }
            _ => {}
        }
    }
    let frame = frame.filter(Frame::is_complete).ok_or(Problem::Truncated)?;
    Ok(frame.picture)
}

/// The thresholds of a segment of preset parameters: where they are 0 the defaults hold.
fn preset_thresholds(segment: &[u8]) -> Result<Thresholds, Problem> {
    let number = |at: usize| segment.get(at..at + 2).map(|b| i32::from(u16::from_be_bytes([b[0], b[1]])));
    match (segment.first(), number(1), number(3), number(5), number(7), number(9)) {
        (Some(1), Some(max), Some(first), Some(second), Some(third), Some(reset)) => {
            Ok(Thresholds { max, steps: [first, second, third], reset })
        }
        _ => Err(Problem::Unsupported("JPEG-LS with mapping tables".into())),
    }
}

/// A frame whose components arrive in one scan or in one each.
struct Frame {
    bits: u32,
    /// Numbers by which scans name components.
    names: Vec<u8>,
    filled: usize,
    picture: Picture,
}

impl Frame {
    fn read(segment: &[u8]) -> Result<Self, Problem> {
        let [bits, h1, h0, w1, w0, components, rest @ ..] = segment else { return Err(Problem::Truncated) };
        let (height, width) = (u16::from_be_bytes([*h1, *h0]).into(), u16::from_be_bytes([*w1, *w0]).into());
        let components = usize::from(*components);
        let names: Vec<u8> = rest.chunks_exact(3).map(|component| component[0]).collect();
        if !(2..=16).contains(bits) || !(1..=MAX_COMPONENTS).contains(&components) || names.len() != components {
            return Err(Problem::Damaged("its frame header is none".into()));
        }
        let count = (width * height) as u64;
        if count == 0 || count > super::MAX_PIXELS {
            return Err(Problem::TooLarge { width: width as u32, height: height as u32 });
        }
        let samples = vec![0; width * height * components];
        let picture = Picture { width, height, components, samples };
        Ok(Self { bits: u32::from(*bits), names, filled: 0, picture })
    }

    fn is_complete(&self) -> bool {
        self.filled == self.picture.components
    }

    /// Decodes one scan; returns its length in bytes.
    fn scan(&mut self, segment: &[u8], presets: Option<Thresholds>, data: &[u8]) -> Result<usize, Problem> {
        let damaged = || Problem::Damaged("its scan header is none".into());
        let count = usize::from(*segment.first().ok_or_else(damaged)?);
        let [near, interleave, ..] = *segment.get(1 + 2 * count..).ok_or_else(damaged)? else { return Err(damaged()) };
        let place = |at: usize| self.names.iter().position(|name| segment.get(1 + 2 * at) == Some(name));
        let places: Vec<usize> = (0..count).map(place).collect::<Option<_>>().ok_or_else(damaged)?;
        if places.is_empty() || self.filled + count > self.picture.components {
            return Err(damaged());
        }
        self.filled += count;
        let scan = Scan::new(self.bits, i32::from(near), presets, places)?;
        scan.decode(interleave, data, &mut self.picture)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of T.87, H.3: four lines of four samples, all modes of the coder.
    #[test]
    fn the_example_of_the_standard_is_decoded() {
        let stream = [
            0xFF, 0xD8, 0xFF, 0xF7, 0x00, 0x0B, 0x08, 0x00, 0x04, 0x00, 0x04, 0x01, 0x01, 0x11, 0x00, 0xFF, 0xDA, 0x00,
            0x08, 0x01, 0x01, 0x00, 0x00, 0x00, 0x00, 0xC0, 0x00, 0x00, 0x6C, 0x80, 0x20, 0x8E, 0x01, 0xC0, 0x00, 0x00,
            0x57, 0x40, 0x00, 0x00, 0x6E, 0xE6, 0x00, 0x00, 0x01, 0xBC, 0x18, 0x00, 0x00, 0x05, 0xD8, 0x00, 0x00, 0x91,
            0x60, 0xFF, 0xD9,
        ];
        let picture = decode(&stream).unwrap();
        assert_eq!((picture.width, picture.height, picture.components), (4, 4, 1));
        let lines = [[0, 0, 90, 74], [68, 50, 43, 205], [64, 145, 145, 145], [100, 145, 145, 145]];
        assert_eq!(picture.samples, lines.concat());
        for cut in 0..stream.len() - 4 {
            assert!(decode(&stream[..cut]).is_err(), "{cut} bytes");
        }
    }
}

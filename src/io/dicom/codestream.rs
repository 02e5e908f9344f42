//! What a compressed picture says of itself: decoders believe it, so it must agree with the file's header.

use crate::io::error::Problem;
use dicom_dictionary_std::{tags, uids};
use dicom_object::DefaultDicomObject;

/// Bytes within which a boxed JPEG 2000 stream must begin.
const BOXES: usize = 64 << 10;
/// Most segments that a run-length table has.
const RLE_SEGMENTS: usize = 15;

/// Checks the size that every compressed picture of a file says of itself, and how it is packed.
///
/// # Errors
/// If a size is not the file's, or no decoder here unpacks the picture.
pub fn check_codestreams(object: &DefaultDicomObject) -> Result<(), Problem> {
    let Some(fragments) = object.get(tags::PIXEL_DATA).and_then(|e| e.fragments()) else { return Ok(()) };
    let number = |tag| object.get(tag).and_then(|e| e.to_int::<u32>().ok()).unwrap_or(0);
    let samples = number(tags::SAMPLES_PER_PIXEL).max(1);
    let told = Codestream { width: number(tags::COLUMNS), height: number(tags::ROWS), samples };
    if object.meta().transfer_syntax() == uids::RLE_LOSSLESS {
        return match fragments.iter().all(|fragment| has_rle_header(fragment)) {
            true => Ok(()),
            false => Err(Problem::Damaged("its run lengths begin with no table of segments".into())),
        };
    }
    for (found, packing) in fragments.iter().filter_map(|fragment| codestream(fragment)) {
        if packing == Packing::Jpeg12 {
            return Err(Problem::UnsupportedSyntax("12-bit JPEG".into()));
        }
        if found != told {
            let text = |c: Codestream| format!("{}×{} pixels of {} samples", c.width, c.height, c.samples);
            let problem = format!("its compressed picture is {}, its header says {}", text(found), text(told));
            return Err(Problem::Damaged(problem));
        }
    }
    Ok(())
}

/// Whether the first JPEG 2000 stream of a file mixes its three components (T.800 A.6.1, Annex G), which its decoder undoes: what
/// comes out is red, green and blue. `None` for files without such a stream.
pub fn has_colour_transform(object: &DefaultDicomObject) -> Option<bool> {
    let fragments = object.get(tags::PIXEL_DATA)?.fragments()?;
    fragments.iter().find_map(|fragment| colour_transform(fragment))
}

fn colour_transform(bytes: &[u8]) -> Option<bool> {
    let head = bytes.get(..bytes.len().min(BOXES))?;
    let start = head.windows(4).position(|part| part == [0xFF, 0x4F, 0xFF, 0x51])?;
    let stream = &head[start..];
    let mut at = 2;
    // Segments of the main header, up to the first tile.
    loop {
        match stream.get(at..at + 4)? {
            [0xFF, 0x52, ..] => return stream.get(at + 8).map(|transform| *transform == 1),
            [0xFF, 0x90, ..] => return None,
            [_, _, high, low] => at += 2 + usize::from(u16::from_be_bytes([*high, *low])),
            _ => return None,
        }
    }
}

/// Whether a fragment begins with a table of segments that lie in it, one behind the other (PS3.5, G.5).
fn has_rle_header(fragment: &[u8]) -> bool {
    let words: Vec<usize> =
        fragment.as_chunks().0.iter().take(RLE_SEGMENTS + 1).map(|b| u32::from_le_bytes(*b) as usize).collect();
    let Some((&count, offsets)) = words.split_first().filter(|(count, rest)| **count <= rest.len()) else {
        return false;
    };
    let offsets = &offsets[..count];
    let in_order =
        offsets.is_sorted() && offsets.iter().all(|at| (4 * (RLE_SEGMENTS + 1)..=fragment.len()).contains(at));
    count > 0 && in_order
}

/// What a compressed picture says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Codestream {
    width: u32,
    height: u32,
    samples: u32,
}

/// How a compressed picture is packed, as far as decoders differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Packing {
    /// Cosine transform of twelve-bit samples (T.81, extended processes).
    Jpeg12,
    Other,
}

/// The header of a JPEG (T.81 B.2.2), JPEG-LS or JPEG 2000 (T.800 A.5.1) stream, also one in boxes (T.800 I.4).
fn codestream(bytes: &[u8]) -> Option<(Codestream, Packing)> {
    let short = |at: usize| bytes.get(at..at + 2).map(|b| u32::from(u16::from_be_bytes([b[0], b[1]])));
    let long = |at: usize| Some(short(at)? << 16 | short(at + 2)?);
    match bytes {
        [0xFF, 0x4F, 0xFF, 0x51, ..] => {
            let width = long(8)?.checked_sub(long(16)?)?;
            let height = long(12)?.checked_sub(long(20)?)?;
            Some((Codestream { width, height, samples: short(40)? }, Packing::Other))
        }
        [0, 0, 0, 12, b'j', b'P', ..] => {
            let head = bytes.get(..bytes.len().min(BOXES))?;
            let start = head.windows(4).position(|part| part == [0xFF, 0x4F, 0xFF, 0x51])?;
            codestream(&bytes[start..])
        }
        [0xFF, 0xD8, ..] => {
            let mut at = 2;
            loop {
                let marker = short(at)?;
                // Start of frame, whatever the process; not the tables 0xC4, 0xC8, 0xCC.
                if matches!(marker, 0xFFC0..=0xFFCF | 0xFFF7) && ![0xFFC4, 0xFFC8, 0xFFCC].contains(&marker) {
                    let samples = u32::from(*bytes.get(at + 9)?);
                    let is_cosine = matches!(marker, 0xFFC0..=0xFFC2 | 0xFFC9 | 0xFFCA);
                    let packing = if is_cosine && bytes.get(at + 4)? == &12 { Packing::Jpeg12 } else { Packing::Other };
                    return Some((Codestream { width: short(at + 7)?, height: short(at + 5)?, samples }, packing));
                }
                at += 2 + short(at + 2)? as usize;
            }
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_in_compressed_streams_are_found() {
        let jpeg = [0xFF, 0xD8, 0xFF, 0xE0, 0, 4, 1, 2, 0xFF, 0xC3, 0, 11, 16, 1, 0, 2, 0, 1];
        let read = |bytes: &[u8]| codestream(bytes).map(|(stream, _)| stream);
        assert_eq!(read(&jpeg), Some(Codestream { width: 512, height: 256, samples: 1 }));
        let mut j2k = vec![0xFF, 0x4F, 0xFF, 0x51, 0, 41, 0, 0];
        for value in [700u32, 600, 100, 0, 0, 0, 0, 0] {
            j2k.extend(value.to_be_bytes());
        }
        j2k.extend([0, 3]);
        let found = Some(Codestream { width: 600, height: 600, samples: 3 });
        assert_eq!(read(&j2k), found);
        let boxed = [&[0, 0, 0, 12, b'j', b'P', b' ', b' ', 13, 10, 0x87, 10], j2k.as_slice()].concat();
        assert_eq!(read(&boxed), found);
        assert_eq!(read(&jpeg[..9]), None);
        // The first frame header says twelve bits, and what follows is the cosine transform.
        let jpeg = [0xFF, 0xD8, 0xFF, 0xC1, 0, 11, 12, 1, 0, 2, 0, 1];
        assert_eq!(codestream(&jpeg).unwrap().1, Packing::Jpeg12);
    }

    /// The segment of coding style (T.800 A.6.1): style, order, two bytes of layers, then whether components are mixed.
    #[test]
    fn mixed_components_are_known_by_their_stream() {
        let stream = |mixed: u8| {
            [&[0xFF, 0x4F, 0xFF, 0x51, 0, 4, 1, 2, 0xFF, 0x52, 0, 12, 0, 0, 0, 1][..], &[mixed, 5, 4]].concat()
        };
        assert_eq!((colour_transform(&stream(1)), colour_transform(&stream(0))), (Some(true), Some(false)));
        let boxed = [&[0, 0, 0, 12, b'j', b'P'][..], &stream(1)].concat();
        assert_eq!(colour_transform(&boxed), Some(true));
        assert_eq!(colour_transform(&stream(1)[..10]), None);
    }
}

//! Siemens mosaics: the slices of one volume as tiles of one picture, row by row, the first at the upper left.

use super::values::{numbers, text};
use crate::domain::geometry::Vector;
use dicom_dictionary_std::tags;
use dicom_object::{InMemDicomObject, Tag};

/// CSAImageHeaderInfo, the vendor's own list of named values.
const CSA_HEADER: Tag = Tag(0x0029, 0x1010);
/// NumberOfImagesInMosaic, as newer files have it beside that list.
const TILES: Tag = Tag(0x0019, 0x100A);
/// Bytes of an entry's head in the list: name, multiplicity, representation, type, number of items, a mark.
const ENTRY: usize = 84;
const NAME: usize = 64;
/// More tiles than any scanner makes.
const MAX_TILES: usize = 4096;

/// How slices lie in a picture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Mosaic {
    pub tiles: usize,
    /// From one slice to the next, a unit vector; the picture's own normal where the file does not say.
    pub normal: Option<Vector>,
}

impl Mosaic {
    /// `None` when the picture is no mosaic, or does not say of how many slices.
    pub fn of(object: &InMemDicomObject) -> Option<Self> {
        let image_type = text(object, tags::IMAGE_TYPE)?;
        if !image_type.split('\\').any(|part| part.trim() == "MOSAIC") {
            return None;
        }
        let list = object.get(CSA_HEADER).and_then(|element| element.to_bytes().ok()).unwrap_or_default();
        let named = |name: &str| csa_numbers(&list, name).unwrap_or_default();
        let tiles = named("NumberOfImagesInMosaic").first().copied().or_else(|| plain_count(object))?;
        let tiles = Some(tiles as usize).filter(|tiles| (1..=MAX_TILES).contains(tiles))?;
        let normal = named("SliceNormalVector").get(..3).and_then(|v| v.try_into().ok());
        Some(Self { tiles, normal })
    }

    /// Tiles in a row, and rows of them: the square that holds them all.
    pub fn across(&self) -> usize {
        (1..).find(|side| side * side >= self.tiles).unwrap_or(1)
    }

    /// Column and row of a tile's first pixel, for tiles of `width`×`height` pixels.
    pub fn corner(&self, tile: usize, (width, height): (usize, usize)) -> (usize, usize) {
        (tile % self.across() * width, tile / self.across() * height)
    }
}

/// The number beside the vendor's list, which files without representations hold as two bytes.
fn plain_count(object: &InMemDicomObject) -> Option<f64> {
    let bytes = object.get(TILES)?.to_bytes().ok()?;
    match *bytes {
        [low, high] => Some(f64::from(u16::from_le_bytes([low, high]))),
        _ => numbers(object, TILES).first().copied(),
    }
}

/// The numbers under `name` in a list of the second version: after its mark `SV10` come the number of entries and, for each, its
/// head and its items, every item with four lengths of which the second counts, padded to four bytes.
fn csa_numbers(list: &[u8], name: &str) -> Option<Vec<f64>> {
    let word = |at: usize| {
        let bytes = list.get(at..at.checked_add(4)?)?;
        Some(u32::from_le_bytes(bytes.try_into().ok()?) as usize)
    };
    if !list.starts_with(b"SV10") {
        return None;
    }
    let entries = word(8)?;
    let mut at = 16;
    for _ in 0..entries.min(list.len() / ENTRY) {
        let named = list.get(at..at + NAME)?.split(|byte| *byte == 0).next()?;
        let items = word(at + NAME + 12)?;
        at += ENTRY;
        let mut values = Vec::new();
        for _ in 0..items.min(list.len() / 16) {
            let length = word(at + 4)?;
            let text = list.get(at + 16..at.checked_add(16)?.checked_add(length)?)?;
            let text = String::from_utf8_lossy(text);
            values.extend(text.trim_matches(['\0', ' ']).parse::<f64>());
            at += 16 + length.next_multiple_of(4);
        }
        if named == name.as_bytes() {
            return Some(values);
        }
    }
    None
}

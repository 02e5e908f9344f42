//! Sequences of unknown representation and undefined length, whose items are written with implicit representations whatever the rest
//! of the file is (PS3.5, 6.2.2): rewritten so that the parser, which does not know this, can read them.

use dicom_core::dictionary::{DataDictionary, DataDictionaryEntry};
use dicom_core::{Tag, VR};
use dicom_dictionary_std::StandardDataDictionary;

const UNDEFINED: u32 = u32::MAX;
const ITEM: Tag = Tag(0xFFFE, 0xE000);
const ITEM_END: Tag = Tag(0xFFFE, 0xE00D);
const SEQUENCE_END: Tag = Tag(0xFFFE, 0xE0DD);
const PIXEL_DATA: Tag = Tag(0x7FE0, 0x0010);
/// Sequences and items, one step each.
const MAX_DEPTH: usize = 48;

/// A data set in little-endian byte order with explicit representations, all sequences marked as such; `None` when there is no such
/// sequence of unknown representation, or the data set is damaged otherwise.
pub fn spelled_out(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut rewriting = Rewriting { bytes, at: 0, out: Vec::with_capacity(bytes.len()), found: false, depth: 0 };
    rewriting.set(Spelling::Explicit, Some(bytes.len()))?;
    rewriting.found.then_some(rewriting.out)
}

/// Whether elements name their representation.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Spelling {
    Explicit,
    Implicit,
}

struct Element {
    tag: Tag,
    vr: VR,
    length: u32,
}

struct Rewriting<'a> {
    bytes: &'a [u8],
    at: usize,
    out: Vec<u8>,
    found: bool,
    depth: usize,
}

impl Rewriting<'_> {
    /// Elements up to `end`, or to the mark that ends their item.
    fn set(&mut self, spelling: Spelling, end: Option<usize>) -> Option<()> {
        while end.is_none_or(|end| self.at < end) {
            let tag = self.tag_at(self.at)?;
            if tag == ITEM_END {
                self.at += 8;
                break;
            }
            if tag == PIXEL_DATA && self.depth == 0 {
                self.out.extend_from_slice(&self.bytes[self.at..]);
                self.at = self.bytes.len();
                break;
            }
            let element = self.element(spelling)?;
            let is_sequence = element.vr == VR::SQ || element.length == UNDEFINED;
            if is_sequence {
                let hidden = spelling == Spelling::Explicit && element.vr == VR::UN && !self.is_explicit_inside();
                self.found |= hidden;
                self.put_header(Element { vr: VR::SQ, length: UNDEFINED, ..element });
                self.items(if hidden { Spelling::Implicit } else { spelling }, element.length)?;
            } else {
                let value = self.bytes.get(self.at..self.at.checked_add(element.length as usize)?)?;
                self.at += value.len();
                self.put_header(element);
                self.out.extend_from_slice(value);
            }
        }
        Some(())
    }

    /// The items of a sequence of `length` bytes; all are written with undefined lengths, since their own may have changed.
    fn items(&mut self, spelling: Spelling, length: u32) -> Option<()> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return None;
        }
        let end = self.end_of(length)?;
        while end.is_none_or(|end| self.at < end) {
            let (tag, length) = (self.tag_at(self.at)?, self.long(self.at + 4)?);
            self.at += 8;
            match tag {
                ITEM => {
                    self.put_mark(ITEM, UNDEFINED);
                    let end = self.end_of(length)?;
                    self.set(spelling, end)?;
                    self.put_mark(ITEM_END, 0);
                }
                SEQUENCE_END => break,
                _ => return None,
            }
        }
        self.put_mark(SEQUENCE_END, 0);
        self.depth -= 1;
        Some(())
    }

    /// Where `length` bytes end, if that is told. `None` when it is beyond the file.
    fn end_of(&self, length: u32) -> Option<Option<usize>> {
        if length == UNDEFINED {
            return Some(None);
        }
        let end = self.at.checked_add(length as usize)?;
        (end <= self.bytes.len()).then_some(Some(end))
    }

    /// The header of the next element.
    fn element(&mut self, spelling: Spelling) -> Option<Element> {
        let tag = self.tag_at(self.at)?;
        let (vr, length, size) = match spelling {
            Spelling::Implicit => {
                let entry = StandardDataDictionary.by_tag(tag);
                (entry.map_or(VR::UN, |entry| entry.vr().relaxed()), self.long(self.at + 4)?, 8)
            }
            Spelling::Explicit => {
                let vr = VR::from_binary([*self.bytes.get(self.at + 4)?, *self.bytes.get(self.at + 5)?])?;
                match is_short(vr) {
                    true => (vr, u32::from(self.short(self.at + 6)?), 8),
                    false => (vr, self.long(self.at + 8)?, 12),
                }
            }
        };
        self.at += size;
        Some(Element { tag, vr, length })
    }

    /// Whether the first element of the first item that follows names its representation, as some writers have it.
    fn is_explicit_inside(&self) -> bool {
        let vr = self.bytes.get(self.at + 12..self.at + 14).and_then(|vr| VR::from_binary([vr[0], vr[1]]));
        vr.is_some()
    }

    fn put_header(&mut self, element: Element) {
        let vr = if is_short(element.vr) && element.length > u32::from(u16::MAX) { VR::UN } else { element.vr };
        self.put_tag(element.tag);
        self.out.extend(vr.to_bytes());
        match is_short(vr) {
            true => self.out.extend((element.length as u16).to_le_bytes()),
            false => {
                self.out.extend([0, 0]);
                self.out.extend(element.length.to_le_bytes());
            }
        }
    }

    fn put_mark(&mut self, tag: Tag, length: u32) {
        self.put_tag(tag);
        self.out.extend(length.to_le_bytes());
    }

    fn put_tag(&mut self, tag: Tag) {
        self.out.extend(tag.group().to_le_bytes());
        self.out.extend(tag.element().to_le_bytes());
    }

    fn tag_at(&self, at: usize) -> Option<Tag> {
        Some(Tag(self.short(at)?, self.short(at + 2)?))
    }

    fn short(&self, at: usize) -> Option<u16> {
        Some(u16::from_le_bytes(self.bytes.get(at..at + 2)?.try_into().ok()?))
    }

    fn long(&self, at: usize) -> Option<u32> {
        Some(u32::from_le_bytes(self.bytes.get(at..at + 4)?.try_into().ok()?))
    }
}

/// Whether an explicit length has two bytes (PS3.5, 7.1.2).
fn is_short(vr: VR) -> bool {
    use VR::{OB, OD, OF, OL, OV, OW, SQ, SV, UC, UN, UR, UT, UV};
    ![OB, OD, OF, OL, OV, OW, SQ, SV, UC, UN, UR, UT, UV].contains(&vr)
}

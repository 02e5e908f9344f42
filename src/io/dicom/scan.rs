//! A look at a file's structure before it is parsed: a parser believes lengths and nests as deep as it is told.

use crate::io::error::Problem;
use dicom_core::VR;
use dicom_core::dictionary::{DataDictionary, DataDictionaryEntry};
use dicom_dictionary_std::{StandardDataDictionary, uids};
use dicom_object::Tag;
use flate2::read::DeflateDecoder;
use std::fs::File;
use std::io::{BufReader, Cursor, Read, Seek, SeekFrom};
use std::path::Path;

/// Deepest nesting of sequences; honest files stay below ten.
const MAX_DEPTH: usize = 24;
/// Elements of one file, nested ones included.
const MAX_ELEMENTS: usize = 4_000_000;
/// Bytes that a deflated data set may unpack to.
const MAX_INFLATED: u64 = 256 << 20;
const UNDEFINED: u32 = u32::MAX;
const ITEM: (u16, u16) = (0xFFFE, 0xE000);
const ITEM_END: (u16, u16) = (0xFFFE, 0xE00D);
const SEQUENCE_END: (u16, u16) = (0xFFFE, 0xE0DD);
/// Pixels of whatever kind begin here.
const PIXELS: (u16, u16) = (0x7FE0, 0x0008);
/// The kind of pixels that is read; the file ends behind it.
const LAST_PIXELS: (u16, u16) = (0x7FE0, 0x0010);
/// Value representations whose length has two bytes; all others, known or not, have four (PS3.5, 7.1.2).
const SHORT: [&[u8; 2]; 21] = [
    b"AE", b"AS", b"AT", b"CS", b"DA", b"DS", b"DT", b"FD", b"FL", b"IS", b"LO", b"LT", b"PN", b"SH", b"SL", b"SS",
    b"ST", b"TM", b"UI", b"UL", b"US",
];

/// How far a file is to be looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// Up to its pixels.
    Head,
    Whole,
}

#[derive(Debug, Clone, Copy)]
struct Syntax {
    explicit: bool,
    big: bool,
}

struct Element {
    tag: (u16, u16),
    vr: [u8; 2],
    length: u32,
}

struct Scanner<R> {
    file: R,
    at: u64,
    size: u64,
    syntax: Syntax,
    elements: usize,
}

/// Checks that every length stays within the file and that sequences end and do not nest without measure.
///
/// # Errors
/// If one does not.
pub fn check(path: &Path, extent: Extent) -> Result<(), Problem> {
    let file = File::open(path).map_err(|e| crate::io::unreadable(&e))?;
    let size = file.metadata().map_err(|e| crate::io::unreadable(&e))?.len();
    let syntax = Syntax { explicit: true, big: false };
    let mut scanner = Scanner { file: BufReader::new(file), at: 0, size, syntax, elements: 0 };
    scanner.skip(132)?;
    let transfer = scanner.meta()?;
    match transfer.as_str() {
        uids::DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN => {
            let unpacked = inflated(&mut scanner.file)?;
            let size = unpacked.len() as u64;
            return Scanner { file: Cursor::new(unpacked), at: 0, size, syntax, elements: 0 }.data_set(size, 0, extent);
        }
        uids::IMPLICIT_VR_LITTLE_ENDIAN => scanner.syntax.explicit = false,
        "1.2.840.10008.1.2.2" => scanner.syntax.big = true,
        _ => {}
    }
    scanner.data_set(size, 0, extent)
}

impl<R: Read + Seek> Scanner<R> {
    fn bytes<const N: usize>(&mut self) -> Result<[u8; N], Problem> {
        let mut bytes = [0; N];
        self.file.read_exact(&mut bytes).map_err(|_| Problem::Truncated)?;
        self.at += N as u64;
        Ok(bytes)
    }

    fn skip(&mut self, length: u64) -> Result<(), Problem> {
        if length > self.size.saturating_sub(self.at) {
            return Err(Problem::Truncated);
        }
        self.file.seek_relative(length as i64).map_err(|_| Problem::Truncated)?;
        self.at += length;
        Ok(())
    }

    fn short(&mut self) -> Result<u16, Problem> {
        let bytes = self.bytes()?;
        Ok(if self.syntax.big { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) })
    }

    fn long(&mut self) -> Result<u32, Problem> {
        let bytes = self.bytes()?;
        Ok(if self.syntax.big { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) })
    }

    fn element(&mut self) -> Result<Element, Problem> {
        self.elements += 1;
        if self.elements > MAX_ELEMENTS {
            return Err(Problem::Damaged("it has more elements than any honest file".into()));
        }
        let tag = (self.short()?, self.short()?);
        if !self.syntax.explicit || tag.0 == ITEM.0 {
            return Ok(Element { tag, vr: *b"  ", length: self.long()? });
        }
        let vr: [u8; 2] = self.bytes()?;
        let length = if SHORT.contains(&&vr) {
            u32::from(self.short()?)
        } else {
            self.bytes::<2>()?;
            self.long()?
        };
        Ok(Element { tag, vr, length })
    }

    /// The file meta group (PS3.10, 7.1), always explicit and little-endian; returns the transfer syntax.
    fn meta(&mut self) -> Result<String, Problem> {
        let mut transfer = String::new();
        loop {
            let before = self.at;
            let Ok(element) = self.element() else { return Ok(transfer) };
            if element.tag.0 != 2 {
                self.at = before;
                self.file.seek(SeekFrom::Start(before)).map_err(|_| Problem::Truncated)?;
                return Ok(transfer);
            }
            if element.tag == (2, 0x10) && element.length <= 64 {
                let mut value = vec![0; element.length as usize];
                self.file.read_exact(&mut value).map_err(|_| Problem::Truncated)?;
                self.at += u64::from(element.length);
                transfer = String::from_utf8_lossy(&value).trim_matches(['\0', ' ']).to_string();
            } else {
                self.skip(u64::from(element.length))?;
            }
        }
    }

    /// Elements up to `end`, or to the end of an item of undefined length.
    fn data_set(&mut self, end: u64, depth: usize, extent: Extent) -> Result<(), Problem> {
        // Fewer bytes than an element has are padding.
        while self.at < end && (depth > 0 || end - self.at >= 8) {
            let element = self.element()?;
            // The parser ignores one that ends nothing.
            if element.tag == ITEM_END && depth > 0 {
                return Ok(());
            }
            let is_pixels = depth == 0 && (PIXELS..=LAST_PIXELS).contains(&element.tag);
            if is_pixels && extent == Extent::Head {
                return Ok(());
            }
            self.value(&element, depth)?;
            // Nothing behind the pixels is parsed.
            if depth == 0 && element.tag >= LAST_PIXELS {
                return Ok(());
            }
        }
        Ok(())
    }

    fn value(&mut self, element: &Element, depth: usize) -> Result<(), Problem> {
        let is_pixels = element.tag.0 == PIXELS.0;
        if element.length == UNDEFINED {
            if is_pixels {
                return self.fragments();
            }
            return self.items(self.size, depth + 1);
        }
        let length = u64::from(element.length);
        // The parser reads whole numbers only and goes on in the middle of what is left.
        if !element.length.is_multiple_of(unit(self.kind(element))) {
            return Err(Problem::Damaged(format!("an element of numbers has {length} bytes")));
        }
        if length > self.size.saturating_sub(self.at) {
            return Err(Problem::Truncated);
        }
        let nested =
            element.vr == *b"SQ" || (!self.syntax.explicit && !is_pixels && length >= 8 && self.starts_with_item()?);
        if !nested {
            return self.skip(length);
        }
        let end = self.at + length;
        match self.items(end, depth + 1) {
            // What only looked like a sequence is bytes to the parser too.
            Err(problem) if element.vr != *b"SQ" && problem != too_deep() => {
                self.file.seek(SeekFrom::Start(end)).map_err(|_| Problem::Truncated)?;
                self.at = end;
                Ok(())
            }
            result => result,
        }
    }

    /// The value representation that is stated, or that the dictionary knows.
    fn kind(&self, element: &Element) -> VR {
        if self.syntax.explicit {
            return VR::from_binary(element.vr).unwrap_or(VR::UN);
        }
        let entry = StandardDataDictionary.by_tag(Tag(element.tag.0, element.tag.1));
        entry.map_or(VR::UN, |entry| entry.vr().relaxed())
    }

    /// Whether an item begins here: without explicit kinds nothing else tells a sequence.
    fn starts_with_item(&mut self) -> Result<bool, Problem> {
        let tag = (self.short()?, self.short()?);
        self.file.seek_relative(-4).map_err(|_| Problem::Truncated)?;
        self.at -= 4;
        Ok(tag == ITEM)
    }

    /// Items of a sequence up to `end`, or to its delimiter.
    fn items(&mut self, end: u64, depth: usize) -> Result<(), Problem> {
        if depth > MAX_DEPTH {
            return Err(too_deep());
        }
        while self.at < end {
            let item = self.element()?;
            match (item.tag, item.length) {
                (SEQUENCE_END, _) => return Ok(()),
                (ITEM, UNDEFINED) => self.data_set(self.size, depth, Extent::Whole)?,
                (ITEM, length) if u64::from(length) <= self.size.saturating_sub(self.at) => {
                    self.data_set(self.at + u64::from(length), depth, Extent::Whole)?;
                }
                (ITEM, _) => return Err(Problem::Truncated),
                _ => return Err(Problem::Damaged("a sequence holds something that is no item".into())),
            }
        }
        Ok(())
    }

    /// Fragments of compressed pixels (PS3.5, A.4).
    fn fragments(&mut self) -> Result<(), Problem> {
        loop {
            let item = self.element()?;
            match item.tag {
                SEQUENCE_END => return Ok(()),
                ITEM => self.skip(u64::from(item.length))?,
                _ => return Err(Problem::Damaged("its compressed pixels hold something that is no fragment".into())),
            }
        }
    }
}

/// Bytes of one number (PS3.5, 6.2).
fn unit(kind: VR) -> u32 {
    match kind {
        VR::US | VR::SS | VR::OW => 2,
        VR::UL | VR::SL | VR::FL | VR::AT | VR::OF | VR::OL => 4,
        VR::FD | VR::SV | VR::UV | VR::OD | VR::OV => 8,
        _ => 1,
    }
}

fn inflated(packed: impl Read) -> Result<Vec<u8>, Problem> {
    let mut unpacked = Vec::new();
    let read = DeflateDecoder::new(packed).take(MAX_INFLATED + 1).read_to_end(&mut unpacked);
    read.map_err(|_| Problem::Truncated)?;
    if unpacked.len() as u64 > MAX_INFLATED {
        return Err(Problem::FileTooLarge { limit_bytes: MAX_INFLATED });
    }
    Ok(unpacked)
}

fn too_deep() -> Problem {
    Problem::Damaged(format!("its sequences are nested more than {MAX_DEPTH} deep"))
}

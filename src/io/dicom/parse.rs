//! Files into data sets, walked once before they are kept: the parser believes lengths and nests as deep as it is told.

use super::prefix::{HEAD, Prefix, is_explicit};
use super::{problem, unknown};
use crate::io::error::Problem;
use dicom_core::VR;
use dicom_core::header::Length;
use dicom_dictionary_std::{tags, uids};
use dicom_object::{DefaultDicomObject, FileMetaTable, FileMetaTableBuilder, InMemDicomObject, Tag};
use dicom_parser::dataset::{DataSetReader, DataToken};
use dicom_transfer_syntax_registry::{TransferSyntax, TransferSyntaxIndex, TransferSyntaxRegistry};
use flate2::read::DeflateDecoder;
use std::cell::Cell;
use std::fs::File;
use std::io::{BufReader, Cursor, Read, Seek, SeekFrom};
use std::path::Path;

/// Deepest nesting of sequences; honest files stay below ten.
const MAX_DEPTH: usize = 24;
/// Headers and values of one file, nested ones included: about a hundred for each of some thousand frames. A small deflated file can unpack to
/// millions.
const MAX_ELEMENTS: usize = 1_000_000;
/// Bytes that a deflated data set may unpack to.
const MAX_INFLATED: u64 = 256 << 20;
/// Bytes of one list of texts: each is kept on its own.
const MAX_TEXTS: u32 = 1 << 20;
const META_GROUP: u16 = 2;
/// The retired transfer syntax of the other byte order.
pub const BIG_ENDIAN: &str = "1.2.840.10008.1.2.2";
/// Pixels of whatever kind begin here.
const PIXELS: Tag = Tag(0x7FE0, 0x0008);
/// Data sets that are deflated as a whole (PS3.5, A.5).
const DEFLATED: [&str; 3] =
    [uids::DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN, uids::JPIP_REFERENCED_DEFLATE, uids::JPIPHTJ2K_REFERENCED_DEFLATE];

/// How much of a file is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// The first group, about the file itself (PS3.10, 7.1).
    Meta,
    /// Up to its pixels.
    Head,
    /// Up to the end of its pixels; what follows them is nobody's picture.
    Pixels,
}

/// Reads a file with every length checked against what is there.
///
/// # Errors
/// If a length or the nesting is beyond the file or all measure, or the file is packed as nothing that is known.
pub fn parse(path: &Path, extent: Extent) -> Result<DefaultDicomObject, Problem> {
    let mut file = BufReader::new(File::open(path).map_err(|e| crate::io::unreadable(&e))?);
    let start = Prefix::of(&peek(&mut file)?).ok_or(Problem::NotAnImage)?.length();
    file.seek(SeekFrom::Start(start)).map_err(|_| Problem::Truncated)?;
    let plain = syntax(uids::EXPLICIT_VR_LITTLE_ENDIAN)?;
    let group = data_set(&mut file, plain, Extent::Meta)?;
    let meta = meta(&group, &peek(&mut file)?)?;
    let name = meta.transfer_syntax();
    let object = if DEFLATED.contains(&name) {
        tolerant_data_set(&mut Cursor::new(inflated(file)?), plain, extent)?
    } else {
        tolerant_data_set(&mut file, syntax(name)?, extent)?
    };
    Ok(object.with_exact_meta(meta))
}

/// The next bytes, which stay to be read.
fn peek(source: &mut (impl Read + Seek)) -> Result<Vec<u8>, Problem> {
    let unreadable = |e: std::io::Error| crate::io::unreadable(&e);
    let start = source.stream_position().map_err(unreadable)?;
    let mut head = Vec::new();
    source.by_ref().take(HEAD as u64).read_to_end(&mut head).map_err(unreadable)?;
    source.seek(SeekFrom::Start(start)).map_err(unreadable)?;
    Ok(head)
}

/// As [`data_set`]; what fails on sequences of unknown representation is read once more with these spelled out.
fn tolerant_data_set(
    source: &mut (impl Read + Seek),
    syntax: &TransferSyntax,
    extent: Extent,
) -> Result<InMemDicomObject, Problem> {
    let start = source.stream_position().map_err(|e| crate::io::unreadable(&e))?;
    let is_implicit = [uids::IMPLICIT_VR_LITTLE_ENDIAN, BIG_ENDIAN].contains(&syntax.uid());
    data_set(source, syntax, extent).or_else(|problem| {
        let mut bytes = Vec::new();
        let again = source.seek(SeekFrom::Start(start)).is_ok() && !is_implicit;
        if !again || source.read_to_end(&mut bytes).is_err() {
            return Err(problem);
        }
        let spelled_out = unknown::spelled_out(&bytes).ok_or(problem)?;
        data_set(&mut Cursor::new(spelled_out), syntax, extent)
    })
}

/// What the first group says, as far as it is looked at here. The representations of a data set that begins with `next` are seen
/// where the group names no transfer syntax.
fn meta(group: &InMemDicomObject, next: &[u8]) -> Result<FileMetaTable, Problem> {
    let text =
        |tag| group.get(tag).and_then(|e| e.to_str().ok()).map(|text| text.trim_end_matches(['\0', ' ']).to_string());
    let seen = || {
        if is_explicit(next) { uids::EXPLICIT_VR_LITTLE_ENDIAN } else { uids::IMPLICIT_VR_LITTLE_ENDIAN }.to_string()
    };
    let name = text(tags::TRANSFER_SYNTAX_UID).filter(|name| !name.is_empty()).unwrap_or_else(seen);
    let table = FileMetaTableBuilder::new()
        .transfer_syntax(name)
        .media_storage_sop_class_uid(text(tags::MEDIA_STORAGE_SOP_CLASS_UID).unwrap_or_default())
        .media_storage_sop_instance_uid(text(tags::MEDIA_STORAGE_SOP_INSTANCE_UID).unwrap_or_default());
    table.build().map_err(|e| problem(&e))
}

fn syntax(name: &str) -> Result<&'static TransferSyntax, Problem> {
    TransferSyntaxRegistry.get(name).ok_or_else(|| Problem::UnsupportedSyntax(name.to_string()))
}

/// Reads from where `source` is, and leaves it behind what was read.
fn data_set(
    source: &mut (impl Read + Seek),
    syntax: &TransferSyntax,
    extent: Extent,
) -> Result<InMemDicomObject, Problem> {
    let unreadable = |e: std::io::Error| crate::io::unreadable(&e);
    let start = source.stream_position().map_err(unreadable)?;
    let size = source.seek(SeekFrom::End(0)).map_err(unreadable)? - start;
    source.seek(SeekFrom::Start(start)).map_err(unreadable)?;
    let wanted = walk(&mut *source, size, syntax, extent)?;
    source.seek(SeekFrom::Start(start)).map_err(unreadable)?;
    let object = InMemDicomObject::read_dataset_with_ts(source.by_ref().take(wanted), syntax);
    source.seek(SeekFrom::Start(start + wanted)).map_err(unreadable)?;
    object.map_err(|e| problem(&e))
}

/// Walks over a data set of `size` bytes token by token, looks at each length before its value is read, and returns the bytes of
/// what is wanted.
fn walk(source: impl Read, size: u64, syntax: &TransferSyntax, extent: Extent) -> Result<u64, Problem> {
    let at = Cell::new(0);
    let mut tokens = DataSetReader::new_with_ts(Metered { source, at: &at }, syntax).map_err(|e| problem(&e))?;
    let (mut depth, mut elements, mut in_pixels) = (0usize, 0usize, false);
    loop {
        let before = at.get();
        let Some(token) = tokens.next() else { return Ok(size) };
        let left = size.saturating_sub(at.get());
        let fits = |length: Length| length.get().is_none_or(|length| u64::from(length) <= left);
        elements += 1;
        if elements > MAX_ELEMENTS {
            return Err(Problem::Damaged(format!("it has more than {} elements", MAX_ELEMENTS / 2)));
        }
        if extent == Extent::Meta && token.as_ref().map_or(true, ends_meta) {
            return Ok(before);
        }
        match token.map_err(|e| problem(&e))? {
            DataToken::ElementHeader(header) => {
                let is_picture = depth == 0 && header.tag == tags::PIXEL_DATA;
                if depth == 0 && extent == Extent::Head && (PIXELS..=tags::PIXEL_DATA).contains(&header.tag) {
                    return Ok(before);
                }
                if !fits(header.len) {
                    return Err(Problem::Truncated);
                }
                if is_picture {
                    return Ok(at.get() + u64::from(header.len.0));
                }
                if is_list_of_texts(header.vr) && header.len.0 > MAX_TEXTS {
                    return Err(Problem::Damaged(format!("{} holds a text of {} bytes", header.tag, header.len.0)));
                }
            }
            DataToken::PixelSequenceStart => {
                if depth == 0 && extent == Extent::Head {
                    return Ok(before);
                }
                in_pixels = depth == 0;
                depth += 1;
            }
            DataToken::SequenceStart { .. } => depth += 1,
            DataToken::ItemStart { len } => {
                if !fits(len) {
                    return Err(Problem::Truncated);
                }
                depth += 1;
            }
            DataToken::ItemEnd => depth = depth.saturating_sub(1),
            DataToken::SequenceEnd => {
                depth = depth.saturating_sub(1);
                if in_pixels && depth == 0 {
                    return Ok(at.get());
                }
            }
            DataToken::PrimitiveValue(_) | DataToken::ItemValue(_) | DataToken::OffsetTable(_) => {}
        }
        // A sequence and its item are two steps down.
        if depth > 2 * MAX_DEPTH {
            return Err(Problem::Damaged(format!("its sequences are nested more than {MAX_DEPTH} deep")));
        }
    }
}

/// Whether a token is behind the first group.
fn ends_meta(token: &DataToken) -> bool {
    match token {
        DataToken::ElementHeader(header) => header.tag.group() != META_GROUP,
        token => !matches!(token, DataToken::PrimitiveValue(_)),
    }
}

/// Whether values are split at backslashes.
fn is_list_of_texts(vr: VR) -> bool {
    use VR::{AE, AS, CS, DA, DS, DT, IS, LO, PN, SH, TM, UC, UI};
    [AE, AS, CS, DA, DS, DT, IS, LO, PN, SH, TM, UC, UI].contains(&vr)
}

/// Counts what is read through it.
struct Metered<'a, R> {
    source: R,
    at: &'a Cell<u64>,
}

impl<R: Read> Read for Metered<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.source.read(buffer)?;
        self.at.set(self.at.get() + count as u64);
        Ok(count)
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

//! The directories of a TIFF (TIFF 6.0, section 2; BigTIFF), as far as its decoder leaves them to us.

use std::borrow::Cow;

/// Tags.
const PHOTOMETRIC: u16 = 262;
const STRIP_OFFSETS: u16 = 273;
const TILE_OFFSETS: u16 = 324;
const TILE_BYTE_COUNTS: u16 = 325;
/// Photometric interpretations.
const BLACK_IS_ZERO: u16 = 1;
const PALETTE: u16 = 3;
/// Types of values.
const SHORT: u16 = 3;
const LONG: u16 = 4;
const LONG8: u16 = 16;
/// Most pages that are believed.
const MAX_PAGES: usize = 65_536;

/// A file whose pages with palettes are marked as grey, so that the decoder, which has no palettes, gives their indices.
pub struct Marked<'a> {
    pub bytes: Cow<'a, [u8]>,
    /// By page, whether its values are indices of a palette.
    pub has_palette: Vec<bool>,
}

/// Marks the pages of a file.
pub fn marked(bytes: &[u8]) -> Marked<'_> {
    let mut out = Marked { bytes: Cow::Borrowed(bytes), has_palette: Vec::new() };
    let Some(order) = Order::of(bytes) else { return out };
    for directory in directories(bytes, order) {
        let photometric = directory.entry(PHOTOMETRIC).filter(|entry| entry.kind == SHORT).map(|entry| entry.at);
        let place = photometric.filter(|at| order.short(bytes, *at) == Some(PALETTE));
        if let Some(at) = place {
            out.bytes.to_mut()[at..at + 2].copy_from_slice(&order.bytes(BLACK_IS_ZERO));
        }
        out.has_palette.push(place.is_some());
    }
    out
}

/// The file with the pixels of its only page said to begin `by` bytes further on; `None` unless they lie in one strip of a classic file.
pub fn moved(bytes: &[u8], by: u32) -> Option<Vec<u8>> {
    let order = Order::of(bytes).filter(|order| !order.is_big)?;
    let directory = directories(bytes, order).next()?;
    let at = directory.entry(STRIP_OFFSETS).filter(|entry| (entry.kind, entry.count) == (LONG, 1))?.at;
    let offset = order.long(bytes, at)?.checked_add(by)?;
    let mut out = bytes.to_vec();
    out[at..at + 4].copy_from_slice(&if order.is_little { offset.to_le_bytes() } else { offset.to_be_bytes() });
    Some(out)
}

/// The file with plane `plane` of `planes` first among the tiles of a page; `None` when the page has no tiles.
pub fn with_plane_first(bytes: &[u8], page: usize, plane: usize, planes: usize) -> Option<Vec<u8>> {
    let order = Order::of(bytes)?;
    let directory = directories(bytes, order).nth(page)?;
    let mut out = bytes.to_vec();
    for tag in [TILE_OFFSETS, TILE_BYTE_COUNTS] {
        let entry = directory.entry(tag)?;
        let length = entry.count.checked_mul(size(entry.kind)?)?;
        let values = out.get_mut(entry.at..entry.at.checked_add(length)?)?;
        values.rotate_left(entry.count / planes * plane * size(entry.kind)?);
    }
    Some(out)
}

/// Bytes of a value of these types.
fn size(kind: u16) -> Option<usize> {
    [(SHORT, 2), (LONG, 4), (LONG8, 8)].into_iter().find(|(known, _)| *known == kind).map(|(_, size)| size)
}

fn directories(bytes: &[u8], order: Order) -> impl Iterator<Item = Directory> {
    let mut next = order.offset(bytes, if order.is_big { 8 } else { 4 });
    let follow = move || {
        let directory = Directory::read(bytes, order, next.filter(|at| *at != 0)?)?;
        next = directory.next;
        Some(directory)
    };
    std::iter::from_fn(follow).take(MAX_PAGES)
}

/// How a file writes numbers.
#[derive(Clone, Copy)]
struct Order {
    is_little: bool,
    /// Offsets have eight bytes.
    is_big: bool,
}

impl Order {
    fn of(bytes: &[u8]) -> Option<Self> {
        match *bytes.get(..4)? {
            [b'I', b'I', 42, 0] => Some(Self { is_little: true, is_big: false }),
            [b'M', b'M', 0, 42] => Some(Self { is_little: false, is_big: false }),
            [b'I', b'I', 43, 0] => Some(Self { is_little: true, is_big: true }),
            [b'M', b'M', 0, 43] => Some(Self { is_little: false, is_big: true }),
            _ => None,
        }
    }

    fn bytes(self, value: u16) -> [u8; 2] {
        if self.is_little { value.to_le_bytes() } else { value.to_be_bytes() }
    }

    fn short(self, bytes: &[u8], at: usize) -> Option<u16> {
        let value = bytes.get(at..at.checked_add(2)?)?.try_into().ok()?;
        Some(if self.is_little { u16::from_le_bytes(value) } else { u16::from_be_bytes(value) })
    }

    fn long(self, bytes: &[u8], at: usize) -> Option<u32> {
        let value = bytes.get(at..at.checked_add(4)?)?.try_into().ok()?;
        Some(if self.is_little { u32::from_le_bytes(value) } else { u32::from_be_bytes(value) })
    }

    fn offset(self, bytes: &[u8], at: usize) -> Option<usize> {
        if !self.is_big {
            return self.long(bytes, at).map(|offset| offset as usize);
        }
        let value = bytes.get(at..at.checked_add(8)?)?.try_into().ok()?;
        let offset = if self.is_little { u64::from_le_bytes(value) } else { u64::from_be_bytes(value) };
        usize::try_from(offset).ok()
    }
}

/// Where a page says something.
struct Entry {
    tag: u16,
    kind: u16,
    count: usize,
    /// Place of its first value.
    at: usize,
}

/// The entries of one page.
struct Directory {
    entries: Vec<Entry>,
    next: Option<usize>,
}

impl Directory {
    fn read(bytes: &[u8], order: Order, at: usize) -> Option<Self> {
        let (head, step, room) = if order.is_big { (8, 20, 8) } else { (2, 12, 4) };
        let count = if order.is_big { order.offset(bytes, at)? } else { usize::from(order.short(bytes, at)?) };
        let first = at.checked_add(head)?;
        let end = count.checked_mul(step).and_then(|length| first.checked_add(length))?;
        bytes.get(first..end)?;
        let entry = |at: usize| {
            let (tag, kind) = (order.short(bytes, at)?, order.short(bytes, at + 2)?);
            let count = order.offset(bytes, at + 4)?;
            let is_here = count.checked_mul(size(kind)?)? <= room;
            let place = at + 4 + room;
            Some(Entry { tag, kind, count, at: if is_here { place } else { order.offset(bytes, place)? } })
        };
        let entries = (first..end).step_by(step).filter_map(entry).collect();
        Some(Self { entries, next: order.offset(bytes, end) })
    }

    fn entry(&self, tag: u16) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.tag == tag)
    }
}

//! How a DICOM file begins: with a preamble and a prefix (PS3.10, 7.1), or at once with its data set, as some systems write it.

use dicom_core::VR;

/// Bytes that are looked at.
pub const HEAD: usize = 132;
/// Length of the longest first element that is believed of a file without a prefix.
const LONGEST: u32 = 1 << 16;

/// What the first bytes of a file are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prefix {
    /// 128 bytes of anything and `DICM`.
    Preamble,
    /// The first element.
    None,
}

impl Prefix {
    /// `None` when this is no DICOM file. Without a prefix it begins with the group about the file itself, or with the group about the
    /// picture's identity.
    pub fn of(head: &[u8]) -> Option<Self> {
        if head.get(128..132) == Some(b"DICM") {
            return Some(Prefix::Preamble);
        }
        let first = Element::read(head, 0)?;
        if ![0x0002, 0x0008].contains(&first.group) || first.number > 0x0060 {
            return None;
        }
        // Where the next element can be seen it must come behind the first.
        let follows = match Element::read(head, first.end) {
            Some(next) => (next.group, next.number) > (first.group, first.number) && next.group <= 0x0010,
            None => first.end + 8 > head.len() && head.len() >= HEAD,
        };
        follows.then_some(Prefix::None)
    }

    /// Bytes before the first element.
    pub fn length(self) -> u64 {
        match self {
            Prefix::Preamble => 132,
            Prefix::None => 0,
        }
    }
}

/// Whether a data set that begins with `head` names its representations.
pub fn is_explicit(head: &[u8]) -> bool {
    representation(head, 0).is_some()
}

struct Element {
    group: u16,
    number: u16,
    /// Where the next one begins.
    end: usize,
}

impl Element {
    fn read(head: &[u8], at: usize) -> Option<Self> {
        let short = |at: usize| Some(u16::from_le_bytes(head.get(at..at + 2)?.try_into().ok()?));
        let long = |at: usize| Some(u32::from(short(at)?) | u32::from(short(at + 2)?) << 16);
        let (header, length) = match representation(head, at) {
            Some(VR::OB | VR::OW | VR::UN | VR::UT | VR::SQ) => (12, long(at + 8)?),
            Some(_) => (8, u32::from(short(at + 6)?)),
            None => (8, long(at + 4)?),
        };
        let end = at + header + length as usize;
        (length < LONGEST).then_some(Self { group: short(at)?, number: short(at + 2)?, end })
    }
}

fn representation(head: &[u8], at: usize) -> Option<VR> {
    VR::from_binary(head.get(at + 4..at + 6)?.try_into().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_without_a_prefix_are_known_by_their_first_elements() {
        let padded = |start: &[u8]| [start, &[0; HEAD]].concat()[..HEAD].to_vec();
        let explicit = padded(b"\x08\0\x05\0CS\x0A\0ISO_IR 100\x08\0\x08\0CS\x08\0ORIGINAL");
        let implicit = padded(b"\x08\0\x05\0\x0A\0\0\0ISO_IR 100\x08\0\x08\0\x08\0\0\0ORIGINAL");
        for head in [&explicit, &implicit] {
            assert_eq!(Prefix::of(head), Some(Prefix::None));
        }
        assert!(is_explicit(&explicit) && !is_explicit(&implicit));
        // Order, and the end of a short file, tell others apart.
        assert_eq!(Prefix::of(&padded(b"\x08\0\x08\0\x02\0\0\0OR\x08\0\x05\0\x02\0\0\0IR")), None);
        assert_eq!(Prefix::of(b"\x08\0\x05\0\x0A\0\0\0ISO_IR 100"), None);
        assert_eq!(Prefix::of(&padded(b"\x08\0\x05\0\x0A\0\0\0")), None);
    }
}

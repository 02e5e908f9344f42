//! DICOM: single files, multi-frame files, series and DICOMDIR (PS3.10, PS3.3).

mod attributes;
mod codestream;
mod complete;
mod directory;
mod frame;
mod functional_groups;
mod groups;
mod header;
mod kind;
mod look;
mod looks;
mod mosaic;
mod palette;
mod parse;
mod prefix;
mod series;
mod table;
mod unknown;
mod values;

pub use attributes::{Attribute, attributes};
pub use directory::{directory, is_directory};
pub use groups::divided;
pub use header::{Header, Identity};
pub use prefix::HEAD;
pub use series::load;

use super::error::Problem;
use dicom_dictionary_std::tags;
use dicom_object::DefaultDicomObject;
use parse::{Extent, parse};
use prefix::Prefix;
use std::path::Path;

/// Whether the first [`HEAD`] bytes of a file are DICOM's.
pub fn is_dicom(head: &[u8]) -> bool {
    Prefix::of(head).is_some()
}

/// Everything before the pixels.
fn open_head(path: &Path) -> Result<DefaultDicomObject, Problem> {
    super::check_file(path)?;
    super::guarded(|| parse(path, Extent::Head))
}

/// The picture and everything before it.
fn open_whole(path: &Path) -> Result<DefaultDicomObject, Problem> {
    super::check_file(path)?;
    super::guarded(|| parse(path, Extent::Pixels))
}

/// SOP Instance UID of a DICOM file; `None` for any other file, and where the UID has another sign than digits and full stops.
pub fn instance_uid(path: &Path) -> Option<String> {
    let object = open_head(path).ok()?;
    let uid = object.get(tags::SOP_INSTANCE_UID)?.to_str().ok()?;
    let uid = uid.trim_matches([' ', '\0']);
    let is_uid = !uid.is_empty() && uid.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    is_uid.then(|| uid.to_string())
}

fn problem(error: &dyn std::error::Error) -> Problem {
    let mut text = error.to_string();
    let mut inner = error.source();
    while let Some(cause) = inner {
        text = format!("{text}: {cause}");
        inner = cause.source();
    }
    let ends = ["failed to fill whole buffer", "end of file", "UnexpectedEof", "early eof"];
    if ends.iter().any(|end| text.contains(end)) { Problem::Truncated } else { Problem::damaged(&text) }
}

//! Everything a DICOM file says before its pixels, as lines for people to read.

use super::open_head;
use crate::io::error::{LoadError, Problem};
use crate::io::guarded;
use dicom_core::dictionary::{DataDictionary, DataDictionaryEntry};
use dicom_core::header::Header as _;
use dicom_dictionary_std::StandardDataDictionary;
use dicom_object::InMemDicomObject;
use std::path::Path;

/// Characters of a value that are shown.
const LONGEST: usize = 200;
/// Lines of one file: a header with more is cut off.
const MOST: usize = 20_000;

/// One attribute of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attribute {
    /// How many sequences it lies in.
    pub depth: usize,
    /// Group and element, as (0008,0060).
    pub tag: String,
    /// Keyword of the standard; empty for a private attribute.
    pub name: String,
    pub representation: String,
    pub value: String,
}

/// Attributes of the file in the order of their tags, with those of sequences below them.
///
/// # Errors
/// If the file is no DICOM file or is damaged.
pub fn attributes(path: &Path) -> Result<Vec<Attribute>, LoadError> {
    let read = || -> Result<Vec<Attribute>, Problem> {
        let object = open_head(path)?;
        guarded(|| {
            let mut lines = Vec::new();
            list(&object, 0, &mut lines);
            Ok(lines)
        })
    };
    read().map_err(|problem| LoadError::new(path, problem))
}

fn list(object: &InMemDicomObject, depth: usize, lines: &mut Vec<Attribute>) {
    for element in object.iter() {
        if lines.len() >= MOST {
            return;
        }
        let tag = element.tag();
        let name = StandardDataDictionary.by_tag(tag).map(|entry| entry.alias().to_string()).unwrap_or_default();
        let items = element.value().items();
        let value = match (items, element.value().primitive()) {
            (Some(items), _) => format!("{} ×", items.len()),
            (None, Some(value)) => value.to_str().chars().filter(|c| !c.is_control()).take(LONGEST).collect(),
            (None, None) => String::new(),
        };
        let representation = element.vr().to_string().to_string();
        lines.push(Attribute { depth, tag: tag.to_string(), name, representation, value });
        for item in items.unwrap_or_default() {
            list(item, depth + 1, lines);
        }
    }
}

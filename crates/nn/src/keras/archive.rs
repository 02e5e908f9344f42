//! `.keras`: a zip archive with a configuration and an HDF5 file.

use super::{KerasError, MAX_FILE_BYTES};
use std::io::{Cursor, Read};
use zip::ZipArchive;

/// Longest configuration that is believed.
const MAX_CONFIG_BYTES: u64 = 64 << 20;

pub struct Contents {
    /// `model.weights.h5`, or the shards of a large model.
    pub weights: Vec<Vec<u8>>,
    /// `config.json`.
    pub config: String,
}

/// Shards that are read.
const MOST_SHARDS: usize = 64;

pub fn is_zip(bytes: &[u8]) -> bool {
    bytes.starts_with(b"PK\x03\x04")
}

/// Unpacks both, but never more than they may be, whatever the archive says of their sizes.
pub fn open(bytes: &[u8]) -> Result<Contents, KerasError> {
    let damaged = |e: &dyn std::fmt::Display| KerasError::Archive(e.to_string());
    let mut archive = ZipArchive::new(Cursor::new(bytes)).map_err(|e| damaged(&e))?;
    let names: Vec<String> = archive.file_names().flatten().map(|name| name.into_owned()).collect();
    let mut room = MAX_FILE_BYTES as u64;
    let mut unpack = |name: &str, limit: u64| -> Result<Vec<u8>, KerasError> {
        let limit = limit.min(room);
        let file = archive.by_name(name).map_err(|e| KerasError::Archive(format!("`{name}`: {e}")))?;
        let mut out = Vec::new();
        file.take(limit + 1).read_to_end(&mut out).map_err(|e| KerasError::Archive(format!("`{name}`: {e}")))?;
        if out.len() as u64 > limit {
            return Err(KerasError::Archive(format!("`{name}` unpacks to more than {} MiB", limit >> 20)));
        }
        room -= out.len() as u64;
        Ok(out)
    };
    let config = unpack("config.json", MAX_CONFIG_BYTES)?;
    let whole = "model.weights.h5".to_string();
    let mut shards: Vec<&String> =
        names.iter().filter(|name| name.ends_with(".weights.h5")).take(MOST_SHARDS).collect();
    if shards.is_empty() || names.contains(&whole) {
        shards = vec![&whole];
    }
    let weights = shards.into_iter().map(|name| unpack(name, MAX_FILE_BYTES as u64)).collect::<Result<_, _>>()?;
    Ok(Contents { weights, config: String::from_utf8(config).map_err(|e| damaged(&e))? })
}

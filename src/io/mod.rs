//! Files → studies. What a file is, is decided by its content, never by its name.

pub mod error;
mod jpeg;
pub mod paths;
mod png;
mod raster;
mod tiff;

use crate::domain::mask::Mask;
use crate::domain::slice::Slice;
use crate::domain::study::{Study, Warning};
use error::{LoadError, Problem};
use sha2::{Digest, Sha256};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Largest file that is read into memory.
const MAX_FILE_BYTES: u64 = 1 << 30;
/// Largest picture: 64 Mi pixels.
pub const MAX_PIXELS: u64 = 64 << 20;
/// Smallest side.
pub const MIN_SIDE: u32 = 16;
/// Largest stack, over all its pages.
const MAX_STACK_PIXELS: u64 = 256 << 20;

/// Opens one file. A file named `*_mask.*` beside it becomes its truth.
pub fn load(path: &Path) -> Result<Study, LoadError> {
    let bytes = read(path)?;
    let (pages, mut warnings) = decode(&bytes).map_err(|problem| LoadError::new(path, problem))?;
    let slices: Vec<Arc<Slice>> = pages.into_iter().map(Arc::new).collect();
    let mut truth = vec![None; slices.len()];
    if let Some(mask) = paths::truth_beside(path) {
        match load_truth(&mask, &slices) {
            Ok(masks) => truth = masks,
            Err(error) => warnings.push(Warning::TruthUnusable(error.to_string())),
        }
    }
    let sha256 = format!("{:x}", Sha256::digest(&bytes));
    Ok(Study { source: path.to_path_buf(), sha256, slices, truth, warnings })
}

/// Reads an outline for `slices`: any picture of the same size, bright where the tumour is.
pub fn load_truth(path: &Path, slices: &[Arc<Slice>]) -> Result<Vec<Option<Mask>>, LoadError> {
    let (pages, _) = decode(&read(path)?).map_err(|problem| LoadError::new(path, problem))?;
    let mut masks = Vec::new();
    for (page, slice) in pages.iter().zip(slices) {
        let (found, wanted) = ((page.width(), page.height()), (slice.width(), slice.height()));
        if found != wanted {
            return Err(LoadError::new(path, Problem::TruthSize { found, wanted }));
        }
        let (low, high) = page.range();
        // A mask of one value is empty unless it is all bright.
        let middle = if high > low { low + (high - low) / 2.0 } else { 0.5 };
        masks.push(Mask::new(found.0, found.1, page.values().into_iter().map(|v| v > middle).collect()));
    }
    masks.resize(slices.len(), None);
    Ok(masks)
}

fn read(path: &Path) -> Result<Vec<u8>, LoadError> {
    let failed = |e: std::io::Error| LoadError::new(path, Problem::Unreadable(e.kind()));
    let file = std::fs::File::open(path).map_err(failed)?;
    let info = file.metadata().map_err(failed)?;
    if info.is_dir() {
        return Err(LoadError::new(path, Problem::Folder));
    }
    let mut bytes = Vec::new();
    // One byte more than allowed tells a device file without end from a large file.
    file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
    match bytes.len() as u64 {
        0 => Err(LoadError::new(path, Problem::Empty)),
        n if n > MAX_FILE_BYTES => Err(LoadError::new(path, Problem::FileTooLarge { limit_bytes: MAX_FILE_BYTES })),
        _ => Ok(bytes),
    }
}

fn decode(bytes: &[u8]) -> Result<(Vec<Slice>, Vec<Warning>), Problem> {
    // Decoders of untrusted bytes assert here and there; a panic in one is a damaged file, not the end of the program.
    let decoded = std::panic::catch_unwind(|| match sniff(bytes) {
        Some(Format::Png) => png::decode(bytes).map(|raster| vec![raster]),
        Some(Format::Jpeg) => jpeg::decode(bytes).map(|raster| vec![raster]),
        Some(Format::Tiff) => tiff::decode(bytes),
        None => Err(Problem::NotAnImage),
    });
    let rasters = decoded.unwrap_or_else(|_| Err(Problem::Damaged("the decoder gave up".into())))?;
    let mut warnings: Vec<Warning> = Vec::new();
    let mut pages = Vec::new();
    for raster in rasters {
        for warning in raster.warnings() {
            if !warnings.contains(&warning) {
                warnings.push(warning);
            }
        }
        pages.push(raster.into_slice()?);
    }
    Ok((pages, warnings))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Png,
    Jpeg,
    Tiff,
}

fn sniff(bytes: &[u8]) -> Option<Format> {
    match bytes {
        [0x89, b'P', b'N', b'G', 0x0D, 0x0A, 0x1A, 0x0A, ..] => Some(Format::Png),
        [0xFF, 0xD8, 0xFF, ..] => Some(Format::Jpeg),
        [b'I', b'I', 42 | 43, 0, ..] | [b'M', b'M', 0, 42 | 43, ..] => Some(Format::Tiff),
        _ => None,
    }
}

/// Whether the first bytes of a file are those of a format this module reads.
pub fn looks_like_image(path: &Path) -> bool {
    let mut head = [0; 8];
    std::fs::File::open(path).and_then(|mut f| f.read_exact(&mut head)).is_ok() && sniff(&head).is_some()
}

/// Refuses sizes outside 16² … 64 MPx before anything is allocated.
fn check_size(width: u32, height: u32) -> Result<(), Problem> {
    if width < MIN_SIDE || height < MIN_SIDE {
        return Err(Problem::TooSmall { width, height });
    }
    if u64::from(width) * u64::from(height) > MAX_PIXELS {
        return Err(Problem::TooLarge { width, height });
    }
    Ok(())
}

/// The bundled example: the phantom with its known lesion.
pub fn example() -> Study {
    let (slice, mask) = crate::domain::phantom::Phantom::example().draw();
    let bytes: Vec<u8> = slice.values().into_iter().map(|v| v as u8).collect();
    Study {
        source: PathBuf::from("phantom.png"),
        sha256: format!("{:x}", Sha256::digest(bytes)),
        slices: vec![Arc::new(slice)],
        truth: vec![Some(mask)],
        warnings: Vec::new(),
    }
}

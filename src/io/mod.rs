//! Files → studies. What a file is, is decided by its content, never by its name.

pub mod error;
mod jpeg;
pub mod paths;
mod png;
mod raster;
mod tiff;

use crate::domain::mask::Mask;
use crate::domain::slice::{Depth, Slice};
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

/// Reads an outline for every slice of a file: any picture of the same size, bright where the tumour is.
pub fn load_truth(path: &Path, slices: &[Arc<Slice>]) -> Result<Vec<Option<Mask>>, LoadError> {
    let pages = truth_pages(path)?;
    let mut masks = Vec::new();
    for (page, slice) in pages.iter().zip(slices) {
        masks.push(Some(outline(path, page, slice)?));
    }
    masks.resize(slices.len(), None);
    Ok(masks)
}

/// Reads the outline of slice `page` of a file: that page of the outline's file, or its only page.
pub fn load_truth_of(path: &Path, slice: &Slice, page: usize) -> Result<Mask, LoadError> {
    let pages = truth_pages(path)?;
    match pages.as_slice() {
        [only] => outline(path, only, slice),
        several => match several.get(page) {
            Some(found) => outline(path, found, slice),
            None => Err(LoadError::new(path, Problem::TruthPages { pages: several.len(), page: page + 1 })),
        },
    }
}

fn truth_pages(path: &Path) -> Result<Vec<Slice>, LoadError> {
    let (pages, _) = decode(&read(path)?).map_err(|problem| LoadError::new(path, problem))?;
    Ok(pages)
}

fn outline(path: &Path, page: &Slice, slice: &Slice) -> Result<Mask, LoadError> {
    let (found, wanted) = ((page.width(), page.height()), (slice.width(), slice.height()));
    let (low, high) = page.range();
    // Masks are stored as 0/1 or 0/255; JPEG noise of a few grey values around black is no tumour.
    let noise = page.depth() == Depth::Eight && high > 1.0 && high <= 16.0;
    let middle = match (noise, high > low) {
        (true, _) => high,
        (false, true) => low + (high - low) / 2.0,
        (false, false) => 0.5,
    };
    let pixels = page.values().into_iter().map(|v| v > middle).collect();
    let mask = Mask::new(found.0, found.1, pixels).filter(|_| found == wanted);
    mask.ok_or_else(|| LoadError::new(path, Problem::TruthSize { found, wanted }))
}

fn read(path: &Path) -> Result<Vec<u8>, LoadError> {
    let failed = |e: std::io::Error| match e.kind() {
        std::io::ErrorKind::NotFound => LoadError::new(path, Problem::Missing),
        kind => LoadError::new(path, Problem::Unreadable(kind)),
    };
    // Asked before opening: a pipe would wait for its writer for ever.
    let info = std::fs::metadata(path).map_err(failed)?;
    if info.is_dir() {
        return Err(LoadError::new(path, Problem::Folder));
    }
    if !info.is_file() {
        return Err(LoadError::new(path, Problem::NotAFile));
    }
    let file = std::fs::File::open(path).map_err(failed)?;
    let mut bytes = Vec::new();
    // A file may grow while it is read.
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
        Some(Format::Png) => png::decode(bytes)?.into_page().map(|page| vec![page]),
        Some(Format::Jpeg) => jpeg::decode(bytes)?.into_page().map(|page| vec![page]),
        Some(Format::Tiff) => tiff::decode(bytes),
        None => Err(Problem::NotAnImage),
    });
    let pages = decoded.unwrap_or_else(|_| Err(Problem::Damaged("the decoder gave up".into())))?;
    let mut slices = Vec::new();
    let mut warnings: Vec<Warning> = Vec::new();
    for (slice, told) in pages {
        slices.push(slice);
        for warning in told {
            if !warnings.contains(&warning) {
                warnings.push(warning);
            }
        }
    }
    Ok((slices, warnings))
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
        source: PathBuf::from("drawn example"),
        sha256: format!("{:x}", Sha256::digest(bytes)),
        slices: vec![Arc::new(slice)],
        truth: vec![Some(mask)],
        warnings: Vec::new(),
    }
}

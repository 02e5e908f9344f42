//! Decoded pictures in a file, read back one by one: a data set may be larger than memory, and what is read often stays in the
//! system's page cache. (Positional reads, not a memory map: as fast here, and a file that shrinks is an error, not a crash.)

use super::error::TrainError;
use super::folders::{Outline, read_outline, read_slice};
use super::sources::Item;
use crate::domain::card::InputSpec;
use crate::domain::mask::Mask;
use crate::domain::resample::Placement;
use crate::domain::slice::Slice;
use rayon::prelude::*;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Pictures that are decoded together.
const CHUNK: usize = 64;

/// A decoded example: grey values 0–255 and, when the cache holds masks, the tumour's pixels as 0 or 1; row-major squares.
#[derive(Debug, Clone, PartialEq)]
pub struct Pixels {
    pub side: usize,
    pub grey: Vec<u8>,
    /// Empty for a picture without tumour.
    pub mask: Vec<u8>,
}

/// All examples at one size.
#[derive(Debug)]
pub struct Cache {
    file: File,
    path: PathBuf,
    side: usize,
    masks: bool,
    /// sha256 over names, pictures and masks.
    pub sha256: String,
}

/// Files of a cache: the pixels, and what they were made from.
struct Place {
    pixels: PathBuf,
    key: PathBuf,
}

impl Cache {
    /// Opens the cache in `folder`, or makes it when the pictures, the size or the purpose are not those it was made for; `progress`
    /// is told how many pictures were read.
    ///
    /// # Errors
    /// If a picture or outline cannot be read, is no single page, or contradicts its list; or the folder cannot be written.
    pub fn open(
        folder: &Path,
        data: &Path,
        items: &[Item],
        spec: &InputSpec,
        masks: bool,
        progress: &mut dyn FnMut(usize),
    ) -> Result<Self, TrainError> {
        let place = Place { pixels: folder.join("data.cache"), key: folder.join("data.key") };
        let wanted = key(data, items, spec, masks)?;
        let known = std::fs::read_to_string(&place.key).unwrap_or_default();
        let sha256 = match known.strip_prefix(&wanted).map(str::trim) {
            Some(sha256) if !sha256.is_empty() && place.pixels.exists() => sha256.to_string(),
            _ => {
                let sha256 = make(&place.pixels, data, items, spec, masks, progress)?;
                crate::files::write_atomically(&place.key, format!("{wanted} {sha256}\n").as_bytes())
                    .map_err(|e| TrainError::file(&place.key, e))?;
                sha256
            }
        };
        let file = File::open(&place.pixels).map_err(|e| TrainError::file(&place.pixels, e))?;
        Ok(Self { file, path: place.pixels, side: spec.side, masks, sha256 })
    }

    /// Example `index`.
    ///
    /// # Errors
    /// If the file was cut short.
    pub fn read(&self, index: usize, has_mask: bool) -> Result<Pixels, TrainError> {
        let area = self.side * self.side;
        let length = record(self.side, self.masks);
        let mut grey = vec![0; length];
        read_at(&self.file, &mut grey, (index * length) as u64)
            .map_err(|e| TrainError::file(&self.path, format!("{e}; remove the file, it is made anew")))?;
        let mask = grey.split_off(area);
        Ok(Pixels { side: self.side, grey, mask: if has_mask { mask } else { Vec::new() } })
    }
}

/// Bytes of one example.
fn record(side: usize, masks: bool) -> usize {
    side * side * if masks { 2 } else { 1 }
}

#[cfg(unix)]
fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> std::io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, buffer, offset)
}

#[cfg(windows)]
fn read_at(file: &File, mut buffer: &mut [u8], mut offset: u64) -> std::io::Result<()> {
    while !buffer.is_empty() {
        match std::os::windows::fs::FileExt::seek_read(file, buffer, offset)? {
            0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            n => {
                buffer = &mut buffer[n..];
                offset += n as u64;
            }
        }
    }
    Ok(())
}

/// Names what a cache was made from: files with size and time, picture size, purpose.
fn key(data: &Path, items: &[Item], spec: &InputSpec, masks: bool) -> Result<String, TrainError> {
    let mut hash = Sha256::new();
    hash.update(format!("1 {} {:?} {:?} {masks}\n", spec.side, spec.resize, spec.luminance));
    for item in items {
        let outline = item.outline.as_ref().filter(|_| masks).map(|o| &o.file);
        for file in [&item.file].into_iter().chain(outline) {
            let path = data.join(file);
            let info = std::fs::metadata(&path).map_err(|e| TrainError::file(&path, e))?;
            let time = info.modified().ok();
            hash.update(format!("{} {} {time:?}\n", file.display(), info.len()));
        }
    }
    Ok(format!("{:x}", hash.finalize()))
}

/// Decodes everything in parallel, chunk by chunk, into a file that appears only when it is whole.
fn make(
    path: &Path,
    data: &Path,
    items: &[Item],
    spec: &InputSpec,
    masks: bool,
    progress: &mut dyn FnMut(usize),
) -> Result<String, TrainError> {
    let building = path.with_extension("part");
    let failed = |e: std::io::Error| TrainError::file(&building, e);
    let mut file = std::io::BufWriter::new(File::create(&building).map_err(failed)?);
    let mut hash = Sha256::new();
    for chunk in items.chunks(CHUNK) {
        let decoded: Vec<Vec<u8>> =
            chunk.par_iter().map(|item| decode(data, item, spec, masks)).collect::<Result<_, _>>()?;
        for (item, bytes) in chunk.iter().zip(&decoded) {
            hash.update(item.file.to_string_lossy().as_bytes());
            hash.update(bytes);
            file.write_all(bytes).map_err(failed)?;
        }
        progress(chunk.len());
    }
    file.into_inner().map_err(|e| failed(e.into_error()))?.sync_all().map_err(failed)?;
    std::fs::rename(&building, path).map_err(|e| TrainError::file(path, e))?;
    Ok(format!("{:x}", hash.finalize()))
}

/// Read by `io` and placed as for the network, so that training sees what the window and the command line see.
fn decode(data: &Path, item: &Item, spec: &InputSpec, masks: bool) -> Result<Vec<u8>, TrainError> {
    let slice = read_slice(data, &item.file)?;
    let (width, height) = (slice.width(), slice.height());
    let square = Placement::new(width, height, spec.side, spec.resize);
    let mut bytes: Vec<u8> =
        square.place(&slice.grey(), width, height).into_iter().map(|v| v.round().clamp(0.0, 255.0) as u8).collect();
    match item.outline.as_ref().filter(|_| masks) {
        None => bytes.resize(record(spec.side, masks), 0),
        Some(outline) => {
            let inside: Vec<f32> =
                mask(data, outline, &slice)?.pixels().iter().map(|inside| f32::from(u8::from(*inside))).collect();
            bytes.extend(square.place(&inside, width, height).into_iter().map(|v| u8::from(v >= 0.5)));
        }
    }
    Ok(bytes)
}

/// The outline, as large as when it was listed.
fn mask(data: &Path, outline: &Outline, slice: &Slice) -> Result<Mask, TrainError> {
    let mask = read_outline(data, &outline.file, slice)?;
    let found = mask.area() as u64;
    if found != outline.pixels {
        let problem = format!("has {found} tumour pixels, not the {} that it is listed with", outline.pixels);
        return Err(TrainError::file(&data.join(&outline.file), problem));
    }
    Ok(mask)
}

/// Removes the cache of a finished run; one that cannot be removed only takes space.
pub fn remove(folder: &Path) {
    for name in ["data.cache", "data.key"] {
        std::fs::remove_file(folder.join(name)).ok();
    }
}

//! Decoded pictures in a file, read back one by one: a data set may be larger than memory, and what is read often stays in the
//! system's page cache. (Positional reads, not a memory map: as fast here, and a file that shrinks is an error, not a crash.)

use super::error::TrainError;
use super::folders::{Outline, Page};
use super::reader::Reader;
use super::sources::Item;
use crate::domain::card::{InputSpec, Sequence, Surroundings};
use crate::domain::mask::Mask;
use crate::domain::slice::Slice;
use crate::domain::study::Neighbourhood;
use crate::models::preprocess::{self, Squares};
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

/// A decoded example with its other two sequences, for recipes that look at three.
pub struct Decoded {
    pub picture: Pixels,
    pub others: [Option<Pixels>; 2],
}

/// What stands in the cache for one example: a byte that tells whether the example has three sequences, the grey values of each
/// square, then the mask.
#[derive(Debug, Clone, Copy)]
struct Record {
    side: usize,
    /// 1, or 3 for recipes that look at three sequences.
    squares: usize,
    mask: bool,
}

impl Record {
    fn new(spec: &InputSpec, mask: bool) -> Self {
        let squares = if spec.sequence == Sequence::Three { 3 } else { 1 };
        Self { side: spec.side, squares, mask }
    }

    fn area(self) -> usize {
        self.side * self.side
    }

    /// Bytes of one example.
    fn length(self) -> usize {
        1 + self.area() * (self.squares + usize::from(self.mask))
    }
}

/// All examples at one size.
#[derive(Debug)]
pub struct Cache {
    file: File,
    path: PathBuf,
    record: Record,
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
        Ok(Self { file, path: place.pixels, record: Record::new(spec, masks), sha256 })
    }

    /// Example `index`.
    ///
    /// # Errors
    /// If the file was cut short.
    pub fn read(&self, index: usize, has_mask: bool) -> Result<Decoded, TrainError> {
        let Record { side, squares, .. } = self.record;
        let mut bytes = vec![0; self.record.length()];
        let offset = (index * bytes.len()) as u64;
        read_at(&self.file, &mut bytes, offset)
            .map_err(|e| TrainError::file(&self.path, format!("{e}; remove the file, it is made anew")))?;
        let mut parts = bytes[1..].chunks_exact(self.record.area()).map(<[u8]>::to_vec);
        let grey = parts.next().unwrap_or_default();
        let others: Vec<Vec<u8>> = parts.by_ref().take(squares - 1).collect();
        let mask = parts.next().filter(|_| has_mask).unwrap_or_default();
        let mut others = others.into_iter().filter(|_| bytes[0] == 1);
        let mut other = || others.next().map(|grey| Pixels { side, grey, mask: mask.clone() });
        Ok(Decoded { others: [other(), other()], picture: Pixels { side, grey, mask } })
    }
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
    let InputSpec { side, resize, luminance, sequence, scale, .. } = spec;
    hash.update(format!("2 {side} {resize:?} {luminance:?} {sequence:?} {scale:?} {masks}\n"));
    for item in items {
        let outline = item.outline.as_ref().filter(|_| masks).and_then(|o| o.file.as_ref());
        for file in [&item.page.file].into_iter().chain(outline) {
            let path = data.join(file);
            let info = std::fs::metadata(&path).map_err(|e| TrainError::file(&path, e))?;
            let time = info.modified().ok();
            hash.update(format!("{} {} {} {time:?}\n", file.display(), item.page.index, info.len()));
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
    let reader = Reader::new(data);
    for chunk in items.chunks(CHUNK) {
        let decoded: Vec<Vec<u8>> =
            chunk.par_iter().map(|item| decode(&reader, item, spec, masks)).collect::<Result<_, _>>()?;
        for (item, bytes) in chunk.iter().zip(&decoded) {
            hash.update(item.page.name().as_bytes());
            hash.update(bytes);
            file.write_all(bytes).map_err(failed)?;
        }
        progress(chunk.len());
    }
    file.into_inner().map_err(|e| failed(e.into_error()))?.sync_all().map_err(failed)?;
    std::fs::rename(&building, path).map_err(|e| TrainError::file(path, e))?;
    Ok(format!("{:x}", hash.finalize()))
}

/// Squares made by `preprocess`, so that training sees what the window and the command line see.
fn decode(reader: &Reader, item: &Item, spec: &InputSpec, masks: bool) -> Result<Vec<u8>, TrainError> {
    let record = Record::new(spec, masks);
    let slice = reader.slice(&item.page)?;
    let stack = item.stack.as_deref().filter(|_| Surroundings::of([spec]).intensities);
    let study = stack.map(|stack| reader.intensities(stack)).transpose()?;
    let seen = Neighbourhood { study, ..slice.clone().into() };
    let Squares { own, beside } = preprocess::squares(&seen, spec);
    let mut bytes = vec![u8::from(beside.iter().all(Option::is_some))];
    let mut push = |square: &[f32]| bytes.extend(square.iter().map(|v| v.round().clamp(0.0, 255.0) as u8));
    push(&own);
    if record.squares == 3 {
        beside.iter().for_each(|square| push(square.as_ref().unwrap_or(&own)));
    }
    if let Some(outline) = item.outline.as_ref().filter(|_| masks) {
        let mask = mask(reader, &item.page, outline, &slice)?;
        let inside: Vec<f32> = mask.pixels().iter().map(|inside| f32::from(u8::from(*inside))).collect();
        let square = preprocess::placement(&slice, spec).place(&inside, slice.width(), slice.height());
        bytes.extend(square.into_iter().map(|v| u8::from(v >= 0.5)));
    }
    bytes.resize(record.length(), 0);
    Ok(bytes)
}

/// The outline, as large as when it was listed.
fn mask(reader: &Reader, page: &Page, outline: &Outline, slice: &Slice) -> Result<Mask, TrainError> {
    let mask = reader.outline(page, outline, slice)?;
    let found = mask.area() as u64;
    if found != outline.pixels {
        let problem =
            format!("its outline has {found} tumour pixels, not the {} that it is listed with", outline.pixels);
        return Err(TrainError::Data(format!("{}: {problem}", page.name())));
    }
    Ok(mask)
}

/// Removes the cache of a finished run; one that cannot be removed only takes space.
pub fn remove(folder: &Path) {
    for name in ["data.cache", "data.key"] {
        std::fs::remove_file(folder.join(name)).ok();
    }
}

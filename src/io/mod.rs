//! Files → studies. What a file is, is decided by its content, never by its name.

pub mod dicom;
pub mod error;
mod files;
pub mod grouping;
mod gzip;
mod jpeg;
mod jpegls;
mod nifti;
pub mod paths;
mod png;
mod raster;
mod recent;
mod source;
mod tiff;

use crate::domain::mask::Mask;
use crate::domain::slice::Slice;
use crate::domain::study::{FrameError, Frames, Grouping, Place, Study, Warning, outline_of};
use error::{LoadError, Problem};
use paths::Source;
use sha2::{Digest, Sha256};
use std::cell::Cell;
use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Once};

/// Largest file that is read into memory.
const MAX_FILE_BYTES: u64 = 1 << 30;
/// Largest picture: 64 Mi pixels.
pub const MAX_PIXELS: u64 = 64 << 20;
/// Smallest side.
pub const MIN_SIDE: u32 = 16;
/// An outline may lie so far beside its study.
const SAME_PLACE_MM: f64 = 0.5;
/// Largest stack, over all its pages.
const MAX_STACK_PIXELS: u64 = 256 << 20;

/// Opens one file. A file named `*_mask.*` beside it becomes its truth.
///
/// # Errors
/// If the file cannot be read, is of no known format, is damaged, or is larger than what is opened.
pub fn load(path: &Path) -> Result<Study, LoadError> {
    open(Source::File(path.to_path_buf()))
}

/// Opens what [`paths::expand`] found.
///
/// # Errors
/// As [`load`]; of several files the first must be readable.
pub fn open(source: Source) -> Result<Study, LoadError> {
    let mut study = match source {
        Source::File(path) => single(&path)?,
        Source::Series(headers) => {
            let is_one_file = headers.len() == 1;
            let study = dicom::load(headers)?;
            if is_one_file { of_one_file(study) } else { study }
        }
        Source::Slices { files, grouping } => return files::load(files, grouping),
    };
    if let [file] = study.files.as_slice()
        && let Some(outline) = paths::truth_beside(file)
    {
        match load_truth(&outline, &study, Place { cut: study.native(), index: 0 }) {
            Ok(Truth::Study(frames)) => study.truth = Some(frames),
            Ok(Truth::Slice(_)) => {
                let problem = Problem::TruthPages { pages: 1, page: study.count() };
                study.warnings.push(Warning::TruthUnusable(problem.to_string()));
            }
            Err(error) => study.warnings.push(Warning::TruthUnusable(error.problem.to_string())),
        }
    }
    Ok(study)
}

/// The study of one file, with what its slices are to each other.
fn of_one_file(study: Study) -> Study {
    let grouping = match (study.count(), study.frames.planes()) {
        (1, _) => Grouping::Single,
        (_, []) => Grouping::Pages,
        _ => Grouping::Volume,
    };
    Study { grouping, ..study }
}

/// One file, whatever lies beside it but the header of a pair of files.
fn single(path: &Path) -> Result<Study, LoadError> {
    let format = sniff_file(path);
    if let (Err(LoadError { problem: Problem::NotAnImage, .. }), Some(header)) = (&format, nifti::header_beside(path)) {
        return single(&header);
    }
    let study = match format? {
        Format::Dicom => dicom::load(vec![dicom::Header::read(path)?]),
        Format::Nifti => guarded(|| nifti::load(path)).map_err(|problem| LoadError::new(path, problem)),
        Format::Png | Format::Jpeg | Format::Tiff => Ok(Study::of_pages(path, pictures(path)?)),
    };
    study.map(of_one_file)
}

/// Outlines by an expert.
pub enum Truth {
    /// One for every slice of a study.
    Study(Arc<dyn Frames>),
    /// One for the slice on show.
    Slice(Mask),
}

/// Reads outlines for a study, bright where the tumour is: a file with as many slices is taken slice by slice, one with a single
/// page belongs to the slice at `place`.
///
/// # Errors
/// If the file cannot be read, has another number of slices, or slices of another size.
pub fn load_truth(path: &Path, study: &Study, place: Place) -> Result<Truth, LoadError> {
    let truth = single(path)?;
    let counts = |s: &Study| [0, 1, 2].map(|i| s.frames.count(crate::domain::geometry::Plane::ALL[i]));
    let unlike = |e: FrameError| LoadError::new(path, Problem::Slice(e.to_string()));
    let slice = study.frames.slice(place).map_err(unlike)?;
    if !lies_alike(&truth, study) {
        return Err(LoadError::new(path, Problem::TruthPlace));
    }
    if counts(&truth) == counts(study) {
        let page = truth.frames.slice(place).or_else(|_| truth.slice(place.index)).map_err(unlike)?;
        let outline = outline_of(&page, &slice).map_err(|e| truth_problem(path, e))?;
        return Ok(if study.count() == 1 && study.frames.times() > 1 {
            Truth::Slice(outline)
        } else {
            Truth::Study(truth.frames)
        });
    }
    match truth.count() {
        1 => {
            let page = truth.slice(0).map_err(unlike)?;
            Ok(Truth::Slice(outline_of(&page, &slice).map_err(|e| truth_problem(path, e))?))
        }
        pages => Err(LoadError::new(path, Problem::TruthPages { pages, page: study.count() })),
    }
}

/// Whether two studies are cut alike: volumes are turned as their geometry says, so theirs must agree; slices that come as they are
/// stored lie alike.
fn lies_alike(truth: &Study, study: &Study) -> bool {
    let (a, b) = (&truth.frames, &study.frames);
    if a.is_as_stored() && b.is_as_stored() {
        return true;
    }
    let cut = study.native();
    let affine = |frames: &Arc<dyn Frames>| frames.layout(cut).and_then(|layout| layout.slices_affine());
    let far = study.frames.layout(cut).map_or([0.0; 3], |layout| {
        let (width, height) = layout.slice_size();
        [width, height, layout.count()].map(|n| n as f64)
    });
    match (a.planes() == b.planes(), affine(a), affine(b)) {
        (true, Some(a), Some(b)) => a.distance(&b, [0.0; 3]).max(a.distance(&b, far)) < SAME_PLACE_MM,
        _ => false,
    }
}

fn truth_problem(path: &Path, error: FrameError) -> LoadError {
    match error {
        FrameError::TruthSize { found, wanted } => LoadError::new(path, Problem::TruthSize { found, wanted }),
        other => LoadError::new(path, Problem::Slice(other.to_string())),
    }
}

/// Reads the outline of one slice from a picture of a single page.
///
/// # Errors
/// If it cannot be read, has several pages, or is of another size.
pub fn load_outline(path: &Path, slice: &Slice) -> Result<Mask, LoadError> {
    let pages = pictures(path)?;
    match pages.as_slice() {
        [page] => outline_of(page, slice).map_err(|e| truth_problem(path, e)),
        several => Err(LoadError::new(path, Problem::TruthPages { pages: several.len(), page: 1 })),
    }
}

/// sha256 of a file's bytes, lower-case hex.
///
/// # Errors
/// If the file cannot be read.
pub fn hash_of(path: &Path) -> std::io::Result<String> {
    let mut hash = Sha256::new();
    std::io::copy(&mut File::open(path)?, &mut hash)?;
    Ok(format!("{:x}", hash.finalize()))
}

/// sha256 of files' bytes, lower-case hex; a file is read once, however many slices it holds.
#[derive(Default)]
pub struct Hashes(HashMap<PathBuf, String>);

impl Hashes {
    fn of(&mut self, path: &Path) -> std::io::Result<String> {
        if let Some(known) = self.0.get(path) {
            return Ok(known.clone());
        }
        let hash = hash_of(path)?;
        self.0.insert(path.to_path_buf(), hash.clone());
        Ok(hash)
    }

    /// Hash of the file that a slice comes from; empty for a study that is no file, such as the example.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn of_slice(&mut self, study: &Study, place: Place) -> Result<String, FrameError> {
        let file = study.file(place);
        if !file.is_file() {
            return Ok(String::new());
        }
        self.of(file).map_err(|e| FrameError::File { file: file.to_path_buf(), problem: e.to_string() })
    }
}

/// Asked before opening: a pipe would wait for its writer for ever.
fn check_file(path: &Path) -> Result<(), Problem> {
    let info = std::fs::metadata(path).map_err(|e| unreadable(&e))?;
    if info.is_dir() {
        return Err(Problem::Folder);
    }
    if !info.is_file() {
        return Err(Problem::NotAFile);
    }
    match info.len() {
        0 => Err(Problem::Empty),
        n if n > MAX_FILE_BYTES => Err(Problem::FileTooLarge { limit_bytes: MAX_FILE_BYTES }),
        _ => Ok(()),
    }
}

fn unreadable(error: &std::io::Error) -> Problem {
    match error.kind() {
        std::io::ErrorKind::NotFound => Problem::Missing,
        kind => Problem::Unreadable(kind),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Problem> {
    check_file(path)?;
    let mut bytes = Vec::new();
    // A file may grow while it is read.
    let file = File::open(path).map_err(|e| unreadable(&e))?;
    file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(|e| unreadable(&e))?;
    match bytes.len() as u64 {
        n if n > MAX_FILE_BYTES => Err(Problem::FileTooLarge { limit_bytes: MAX_FILE_BYTES }),
        _ => Ok(bytes),
    }
}

/// All pages of a picture file.
fn pictures(path: &Path) -> Result<Vec<Slice>, LoadError> {
    read(path).and_then(|bytes| decode(&bytes)).map_err(|problem| LoadError::new(path, problem))
}

/// Decoders of untrusted bytes assert here and there; a panic in one is a damaged file, not the end of the program.
fn guarded<T>(work: impl FnOnce() -> Result<T, Problem>) -> Result<T, Problem> {
    // The user is told of a damaged file, not of where a decoder gave up.
    static QUIET: Once = Once::new();
    QUIET.call_once(|| {
        let loud = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !GUARDED.get() {
                loud(info);
            }
        }));
    });
    let outer = GUARDED.replace(true);
    let result = caught(work);
    GUARDED.set(outer);
    result
}

thread_local! {
    /// A decoder is at work on this thread.
    static GUARDED: Cell<bool> = const { Cell::new(false) };
}

fn caught<T>(work: impl FnOnce() -> Result<T, Problem>) -> Result<T, Problem> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(work))
        .unwrap_or_else(|_| Err(Problem::Damaged("the decoder gave up".into())))
}

fn decode(bytes: &[u8]) -> Result<Vec<Slice>, Problem> {
    guarded(|| match sniff(bytes) {
        Some(Format::Png) => Ok(vec![png::decode(bytes)?.into_slice()?]),
        Some(Format::Jpeg) => Ok(vec![jpeg::decode(bytes)?.into_slice()?]),
        Some(Format::Tiff) => tiff::decode(bytes),
        _ => Err(Problem::NotAnImage),
    })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Png,
    Jpeg,
    Tiff,
    Dicom,
    Nifti,
}

/// By the first bytes, decompressed.
fn sniff(head: &[u8]) -> Option<Format> {
    match head {
        [0x89, b'P', b'N', b'G', 0x0D, 0x0A, 0x1A, 0x0A, ..] => Some(Format::Png),
        [0xFF, 0xD8, 0xFF, ..] => Some(Format::Jpeg),
        _ if dicom::is_dicom(head) => Some(Format::Dicom),
        [b'I', b'I', 42 | 43, 0, ..] | [b'M', b'M', 0, 42 | 43, ..] => Some(Format::Tiff),
        _ => nifti::is_header(head).then_some(Format::Nifti),
    }
}

fn sniff_file(path: &Path) -> Result<Format, LoadError> {
    let failed = |problem: Problem| LoadError::new(path, problem);
    check_file(path).map_err(failed)?;
    let mut head = Vec::new();
    let limit = nifti::HEAD.max(dicom::HEAD) as u64;
    let stream = nifti::reader(path).map_err(|e| failed(unreadable(&e)))?;
    match stream.take(limit).read_to_end(&mut head) {
        // Of what may be gzipped only NIfTI is read.
        Ok(_) => match sniff(&head) {
            Some(format) if format == Format::Nifti || !is_gzipped(path) => Ok(format),
            _ => Err(failed(Problem::NotAnImage)),
        },
        // What only looked gzipped.
        Err(_) => Err(failed(Problem::NotAnImage)),
    }
}

/// Width and height of a file that holds a single picture; from its header alone.
fn dimensions(path: &Path) -> Option<(u32, u32)> {
    let mut head = [0; 8];
    File::open(path).ok()?.read_exact(&mut head).ok()?;
    let stream = std::io::BufReader::new(File::open(path).ok()?);
    guarded(|| {
        Ok(match sniff(&head) {
            Some(Format::Png) => png::dimensions(stream),
            Some(Format::Jpeg) => jpeg::dimensions(stream),
            Some(Format::Tiff) => tiff::dimensions(stream),
            _ => None,
        })
    })
    .ok()
    .flatten()
}

fn is_gzipped(path: &Path) -> bool {
    let mut magic = [0; 2];
    File::open(path).and_then(|mut file| file.read_exact(&mut magic)).is_ok() && magic == gzip::MAGIC
}

/// Whether the first bytes of a file are those of a format this module reads.
pub fn looks_like_image(path: &Path) -> bool {
    sniff_file(path).is_ok()
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
    let truth = mask.pixels().iter().map(|inside| if *inside { 255.0 } else { 0.0 }).collect();
    let truth = Slice::new(mask.width(), mask.height(), truth, crate::domain::slice::Depth::Eight);
    let source = PathBuf::from("drawn example");
    let truth = truth.map(|page| Study::of_pages(&source, vec![page]).frames);
    Study { truth, ..Study::of_pages(&source, vec![slice]) }
}

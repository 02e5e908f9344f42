//! NIfTI-1, NIfTI-2 and ANALYZE 7.5, plain or gzipped, in one file or as header and image.

mod header;
mod voxels;

pub use header::HEAD;

use super::error::Problem;
use super::gzip::Members;
use crate::domain::geometry::{Affine, Vector};
use crate::domain::study::{Study, Warning};
use crate::domain::volume::Volume;
use header::{Header, Kind};
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use voxels::Type;

/// Largest volume in bytes, uncompressed.
const MAX_BYTES: u64 = 2 << 30;
/// Furthest start of the voxels that is believed.
const MAX_OFFSET: f64 = (64 << 20) as f64;
/// Bytes behind the voxels that are read to check a packed file.
const TRAILER: u64 = 1 << 20;
/// mm by which two statements of one place may differ.
const AGREE_MM: f64 = 0.5;
/// Share by which two statements of a voxel's length may differ.
const AGREE_SHARE: f64 = 0.02;

/// Whether the first [`HEAD`] bytes of a file, decompressed, are those of a header.
pub fn is_header(head: &[u8]) -> bool {
    Header::read(head).is_some()
}

/// The header of a pair whose voxels are in `image`, where there is one beside it.
pub fn header_beside(image: &Path) -> Option<PathBuf> {
    let name = image.file_name()?.to_string_lossy().to_lowercase();
    let is_image = [".img", ".img.gz"].iter().any(|ending| name.ends_with(ending));
    beside(image, ["hdr", "HDR", "hdr.gz"]).filter(|_| is_image)
}

/// The first of three files called as `path`, but for their ending.
fn beside(path: &Path, endings: [&str; 3]) -> Option<PathBuf> {
    let stem = super::paths::stem(path);
    endings.map(|ending| path.with_file_name(format!("{stem}.{ending}"))).into_iter().find(|path| path.is_file())
}

/// Reads from a file, decompressed if it is gzipped.
pub fn reader(path: &Path) -> std::io::Result<Box<dyn Read>> {
    let file = BufReader::new(File::open(path)?);
    Ok(if super::is_gzipped(path) { Box::new(Members::new(file)) } else { Box::new(file) })
}

/// Opens the volume in `path`.
///
/// # Errors
/// If it is damaged or too large, its voxels are missing, or are no single numbers.
pub fn load(path: &Path) -> Result<Study, Problem> {
    let unreadable = |e: std::io::Error| match e.kind() {
        std::io::ErrorKind::UnexpectedEof => Problem::Truncated,
        std::io::ErrorKind::InvalidInput | std::io::ErrorKind::InvalidData => Problem::damaged(&e),
        kind => Problem::Unreadable(kind),
    };
    let mut stream = reader(path).map_err(unreadable)?;
    let mut head = Vec::new();
    stream.by_ref().take(HEAD as u64).read_to_end(&mut head).map_err(unreadable)?;
    let header = Header::read(&head).ok_or(Problem::NotAnImage)?;
    let mut voxels: Box<dyn Read> = match header.kind {
        Kind::Single => {
            let least = header.length as f64;
            let offset = if header.voxel_offset == 0.0 { least + 4.0 } else { header.voxel_offset };
            if !(least..=MAX_OFFSET).contains(&offset) {
                return Err(Problem::Damaged(format!("its voxels are said to begin at byte {offset}")));
            }
            let read = head.split_off(header.length.min(head.len()));
            let mut rest = std::io::Cursor::new(read).chain(stream);
            skip(&mut rest, offset - least).map_err(unreadable)?;
            Box::new(rest)
        }
        Kind::Pair | Kind::Analyze => {
            let image = beside(path, ["img", "IMG", "img.gz"]).ok_or(Problem::NoImageBeside)?;
            let mut image = reader(&image).map_err(unreadable)?;
            skip(&mut image, header.voxel_offset.abs().min(MAX_OFFSET)).map_err(unreadable)?;
            image
        }
    };
    volume(path, &header, &mut voxels)
}

fn skip(stream: &mut impl Read, bytes: f64) -> std::io::Result<()> {
    std::io::copy(&mut stream.take(bytes as u64), &mut std::io::sink()).map(|_| ())
}

/// Lengths of all axes. Those that a header counts but gives no length, and those that it does not count, are one voxel long.
fn lengths(header: &Header) -> Result<[usize; 7], Problem> {
    let counted = header.dim[0].clamp(1, 7) as usize;
    let mut lengths = [1; 7];
    for (axis, length) in lengths.iter_mut().enumerate().take(counted) {
        *length = match header.dim[axis + 1] {
            n if n < 0 => return Err(Problem::Damaged("a side is said to be shorter than nothing".into())),
            0 if axis < 2 => return Err(Problem::Damaged("a side is said to be nothing".into())),
            n => (n as usize).max(1),
        };
    }
    Ok(lengths)
}

fn volume(path: &Path, header: &Header, stream: &mut dyn Read) -> Result<Study, Problem> {
    let [width, height, depth, further @ ..] = lengths(header)?;
    let size = [width, height, depth];
    // Of the plane with the longest sides: a thin stack of sagittal slices is a picture all the same.
    let mut sides = size.map(|side| u32::try_from(side).unwrap_or(u32::MAX));
    sides.sort_unstable();
    super::check_size(sides[2], sides[1])?;
    let kind = Type::of(header.datatype)?;
    let product = |sides: &[usize]| sides.iter().try_fold(1usize, |product, n| product.checked_mul(*n));
    let times = product(&further);
    let count = times.and_then(|times| product(&size)?.checked_mul(times));
    let bytes = count.and_then(|count| count.checked_mul(kind.size())).filter(|n| *n as u64 <= MAX_BYTES);
    let (Some(times), Some(wanted)) = (times, bytes) else {
        return Err(Problem::VolumeTooLarge { limit_bytes: MAX_BYTES });
    };
    let mut bytes = Vec::new();
    stream.take(wanted as u64).read_to_end(&mut bytes).map_err(|_| Problem::Truncated)?;
    if bytes.len() < wanted {
        return Err(Problem::Truncated);
    }
    // What follows the voxels is the check sum of a packed file.
    std::io::copy(&mut stream.take(TRAILER), &mut std::io::sink())
        .map_err(|_| Problem::Damaged("its check sum is wrong".into()))?;
    let voxels = kind.voxels(bytes, header.is_little);
    let (affine, spacing, warnings) = geometry(header);
    // A slope of 0 means none (NIfTI-1, "scl_slope").
    let scale = if header.slope == 0.0 || !header.slope.is_finite() || !header.intercept.is_finite() {
        (1.0, 0.0)
    } else {
        (header.slope as f32, header.intercept as f32)
    };
    let volume = Volume::new(size, times, voxels, scale, affine, spacing).ok_or(Problem::Truncated)?;
    Ok(Study { frames: Arc::new(volume), warnings, ..Study::of_pages(path, Vec::new()) })
}

/// Where voxels lie: the sform, else the qform (NIfTI-1, methods 3 and 2); with neither only sizes are known.
fn geometry(header: &Header) -> (Option<Affine>, Option<[f64; 3]>, Vec<Warning>) {
    let unit = match header.units & 7 {
        1 => 1000.0,
        3 => 0.001,
        _ => 1.0,
    };
    let mut warnings = Vec::new();
    let (by_rows, by_quaternion) = (sform(header, unit), qform(header, unit));
    if let (Some(a), Some(b)) = (by_rows, by_quaternion) {
        let far = [1, 2, 3].map(|axis| (header.dim[axis] - 1).max(0) as f64);
        if a.distance(&b, [0.0; 3]).max(a.distance(&b, far)) > AGREE_MM {
            warnings.push(Warning::Contradiction("sform, qform"));
        }
    }
    let affine = by_rows.or(by_quaternion);
    let sides = [1, 2, 3].map(|axis| header.pixdim[axis].abs() * unit);
    let usable = sides.iter().all(|mm| mm.is_finite() && *mm > 0.0);
    // A header that was never filled in says 1 or 0 and no unit.
    let told = header.units & 7 != 0 && usable;
    if header.pixdim[1..4].iter().any(|side| *side < 0.0) {
        warnings.push(Warning::Contradiction("pixdim"));
    }
    if let Some(affine) = by_rows.filter(|_| usable && (told || sides != [1.0; 3])) {
        let unlike = |(a, b): (f64, f64)| (a - b).abs() > AGREE_SHARE * a.max(b);
        if affine.spacing().into_iter().zip(sides).any(unlike) {
            warnings.push(Warning::Contradiction("sform, pixdim"));
        }
    }
    if affine.is_none() {
        warnings.push(Warning::OrientationUnknown);
    }
    (affine, told.then_some(sides), warnings)
}

/// From the file's right-anterior-superior to the patient's left-posterior-superior coordinates.
fn lps([x, y, z]: Vector, unit: f64) -> Vector {
    [-x * unit, -y * unit, z * unit]
}

fn sform(header: &Header, unit: f64) -> Option<Affine> {
    let column = |i: usize| lps(header.s_rows.map(|row| row[i]), unit);
    (header.sform_code > 0).then(|| Affine::new(column(3), [column(0), column(1), column(2)])).flatten()
}

fn qform(header: &Header, unit: f64) -> Option<Affine> {
    if header.qform_code <= 0 {
        return None;
    }
    let [b, c, d] = header.quaternion;
    let rest = 1.0 - b * b - c * c - d * d;
    // No unit quaternion, no rotation.
    if !(-1e-3..=1.0).contains(&rest) {
        return None;
    }
    let a = rest.max(0.0).sqrt();
    let rotation = [
        [a * a + b * b - c * c - d * d, 2.0 * (b * c + a * d), 2.0 * (b * d - a * c)],
        [2.0 * (b * c - a * d), a * a + c * c - b * b - d * d, 2.0 * (c * d + a * b)],
        [2.0 * (b * d + a * c), 2.0 * (c * d - a * b), a * a + d * d - b * b - c * c],
    ];
    let flip = if header.pixdim[0] < 0.0 { -1.0 } else { 1.0 };
    let step = |axis: usize| {
        // The sign of a length has no meaning.
        let side = header.pixdim[axis + 1].abs() * if axis == 2 { flip } else { 1.0 };
        lps(rotation[axis].map(|c| c * side), unit)
    };
    Affine::new(lps(header.q_offset, unit), [step(0), step(1), step(2)])
}

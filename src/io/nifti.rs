//! NIfTI-1, plain or gzipped, in one file or as header and image.

use super::error::Problem;
use crate::domain::geometry::{Affine, Vector};
use crate::domain::study::{Study, Warning};
use crate::domain::volume::{Volume, Voxels};
use flate2::read::GzDecoder;
use nifti::{InMemNiftiVolume, NiftiHeader, NiftiType};
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;
use std::sync::Arc;

/// Largest volume in bytes, uncompressed.
const MAX_BYTES: u64 = 2 << 30;
/// Bytes of a header.
pub const HEAD: usize = 348;
/// Furthest start of the voxels that is believed.
const MAX_OFFSET: f32 = (64 << 20) as f32;
/// Bytes behind the voxels that are read to check a packed file.
const TRAILER: u64 = 1 << 20;
/// mm by which two statements of one place may differ.
const AGREE_MM: f64 = 0.5;

/// What the first bytes of a file are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Header and voxels in one.
    Single,
    /// A header whose voxels are in a file called `.img`.
    Pair,
    /// NIfTI-2, which is not read.
    Second,
}

/// Looks at the first [`HEAD`] bytes, decompressed.
pub fn kind(head: &[u8]) -> Option<Kind> {
    let size = head.get(..4)?;
    if size == 540i32.to_le_bytes() || size == 540i32.to_be_bytes() {
        let magic = head.get(4..8)?;
        return (magic == b"n+2\0" || magic == b"ni2\0").then_some(Kind::Second);
    }
    if size != 348i32.to_le_bytes() && size != 348i32.to_be_bytes() {
        return None;
    }
    match head.get(344..348)? {
        b"n+1\0" => Some(Kind::Single),
        b"ni1\0" => Some(Kind::Pair),
        _ => None,
    }
}

/// Reads from a file, decompressed if it is gzipped.
pub fn reader(path: &Path) -> std::io::Result<Box<dyn Read>> {
    let file = BufReader::new(File::open(path)?);
    Ok(if super::is_gzipped(path) { Box::new(GzDecoder::new(file)) } else { Box::new(file) })
}

/// Opens the volume in `path`.
pub fn load(path: &Path) -> Result<Study, Problem> {
    let unreadable = |e: std::io::Error| match e.kind() {
        std::io::ErrorKind::UnexpectedEof => Problem::Truncated,
        std::io::ErrorKind::InvalidInput | std::io::ErrorKind::InvalidData => Problem::damaged(&e),
        kind => Problem::Unreadable(kind),
    };
    let mut stream = reader(path).map_err(unreadable)?;
    let mut head = [0; HEAD];
    stream.read_exact(&mut head).map_err(unreadable)?;
    let kind = kind(&head).ok_or(Problem::NotAnImage)?;
    if kind == Kind::Second {
        return Err(Problem::SecondNifti);
    }
    let header = NiftiHeader::from_reader(head.as_slice()).map_err(|e| Problem::damaged(&e))?;
    match kind {
        Kind::Second => {}
        Kind::Single => {
            let offset = if header.vox_offset == 0.0 { 352.0 } else { header.vox_offset };
            if !(HEAD as f32..=MAX_OFFSET).contains(&offset) {
                return Err(Problem::Damaged(format!("its voxels are said to begin at byte {offset}")));
            }
            let skip = offset as u64 - HEAD as u64;
            std::io::copy(&mut stream.by_ref().take(skip), &mut std::io::sink()).map_err(unreadable)?;
        }
        Kind::Pair => {
            let image = ["img", "IMG", "img.gz"]
                .map(|ending| path.with_file_name(format!("{}.{ending}", super::paths::stem(path))));
            let image = image.into_iter().find(|p| p.is_file()).ok_or(Problem::NoImageBeside)?;
            stream = reader(&image).map_err(unreadable)?;
            let skip = header.vox_offset.clamp(0.0, MAX_OFFSET) as u64;
            std::io::copy(&mut stream.by_ref().take(skip), &mut std::io::sink()).map_err(unreadable)?;
        }
    }
    volume(path, &header, stream)
}

fn volume(path: &Path, header: &NiftiHeader, mut stream: impl Read) -> Result<Study, Problem> {
    let dim = header.dim().map_err(|e| Problem::damaged(&e))?;
    if dim.iter().any(|n| i16::try_from(*n).is_err()) {
        return Err(Problem::Damaged("a side is said to be shorter than nothing".into()));
    }
    let side = |axis: usize| usize::from(dim.get(axis).copied().unwrap_or(1));
    let size = [side(0), side(1), side(2)];
    // Of the plane with the longest sides: a thin stack of sagittal slices is a picture all the same.
    let mut sides = size;
    sides.sort_unstable();
    super::check_size(sides[2] as u32, sides[1] as u32)?;
    let times = dim.iter().skip(3).try_fold(1usize, |product, n| product.checked_mul(usize::from(*n)));
    let kind = header.data_type().map_err(|e| Problem::damaged(&e))?;
    let voxels = times.and_then(|times| size.iter().try_fold(times, |product, n| product.checked_mul(*n)));
    let bytes = voxels.and_then(|n| (n as u64).checked_mul(kind.size_of() as u64));
    let (Some(times), Some(_)) = (times, bytes.filter(|n| *n <= MAX_BYTES)) else {
        return Err(Problem::VolumeTooLarge { limit_bytes: MAX_BYTES });
    };
    // The type decides; some writers leave the bits out.
    let sized = NiftiHeader { bitpix: 8 * kind.size_of() as i16, ..header.clone() };
    let raw = InMemNiftiVolume::from_reader(&mut stream, &sized).map_err(|_| Problem::Truncated)?;
    // What follows the voxels is the check sum of a packed file.
    std::io::copy(&mut stream.take(TRAILER), &mut std::io::sink())
        .map_err(|_| Problem::Damaged("its check sum is wrong".into()))?;
    let voxels = typed(raw, kind)?;
    let (affine, spacing, warnings) = geometry(header);
    // A slope of 0 means none (NIfTI-1, "scl_slope").
    let scale = if header.scl_slope == 0.0 || !header.scl_slope.is_finite() || !header.scl_inter.is_finite() {
        (1.0, 0.0)
    } else {
        (header.scl_slope, header.scl_inter)
    };
    let volume = Volume::new(size, times, voxels, scale, affine, spacing).ok_or(Problem::Truncated)?;
    Ok(Study { frames: Arc::new(volume), warnings, ..Study::of_pages(path, Vec::new()) })
}

fn typed(raw: InMemNiftiVolume, kind: NiftiType) -> Result<Voxels, Problem> {
    let failed = |e: nifti::NiftiError| Problem::damaged(&e);
    Ok(match kind {
        NiftiType::Uint8 => Voxels::U8(raw.into_nifti_typed_data().map_err(failed)?),
        NiftiType::Int16 => Voxels::I16(raw.into_nifti_typed_data().map_err(failed)?),
        NiftiType::Uint16 => Voxels::U16(raw.into_nifti_typed_data().map_err(failed)?),
        NiftiType::Int8 => {
            Voxels::I16(raw.into_nifti_typed_data::<i8>().map_err(failed)?.into_iter().map(i16::from).collect())
        }
        NiftiType::Int32 => {
            Voxels::F32(raw.into_nifti_typed_data::<i32>().map_err(failed)?.into_iter().map(|v| v as f32).collect())
        }
        NiftiType::Uint32 => {
            Voxels::F32(raw.into_nifti_typed_data::<u32>().map_err(failed)?.into_iter().map(|v| v as f32).collect())
        }
        NiftiType::Float32 => Voxels::F32(raw.into_nifti_typed_data().map_err(failed)?),
        NiftiType::Float64 => {
            Voxels::F32(raw.into_nifti_typed_data::<f64>().map_err(failed)?.into_iter().map(|v| v as f32).collect())
        }
        other => return Err(Problem::Unsupported(format!("NIfTI voxels of type {other:?}"))),
    })
}

/// Where voxels lie: the sform, else the qform (NIfTI-1, methods 3 and 2); with neither only sizes are known.
fn geometry(header: &NiftiHeader) -> (Option<Affine>, Option<[f64; 3]>, Vec<Warning>) {
    let unit = match header.xyzt_units & 7 {
        1 => 1000.0,
        3 => 0.001,
        _ => 1.0,
    };
    let mut warnings = Vec::new();
    let (by_rows, by_quaternion) = (sform(header, unit), qform(header, unit));
    if let (Some(a), Some(b)) = (by_rows, by_quaternion) {
        let corner = header.dim[1..4].iter().map(|n| f64::from(n.saturating_sub(1))).collect::<Vec<_>>();
        let far = [corner[0], corner[1], corner[2]];
        if a.distance(&b, [0.0; 3]).max(a.distance(&b, far)) > AGREE_MM {
            warnings.push(Warning::Contradiction("sform, qform"));
        }
    }
    let affine = by_rows.or(by_quaternion);
    let sides = [1, 2, 3].map(|axis| f64::from(header.pixdim[axis]).abs() * unit);
    // A header that was never filled in says 1 or 0 and no unit.
    let told = header.xyzt_units & 7 != 0 && sides.iter().all(|mm| mm.is_finite() && *mm > 0.0);
    if affine.is_none() {
        warnings.push(Warning::OrientationUnknown);
    }
    (affine, told.then_some(sides), warnings)
}

/// From the file's right-anterior-superior to the patient's left-posterior-superior coordinates.
fn lps([x, y, z]: Vector, unit: f64) -> Vector {
    [-x * unit, -y * unit, z * unit]
}

fn sform(header: &NiftiHeader, unit: f64) -> Option<Affine> {
    let rows = [header.srow_x, header.srow_y, header.srow_z].map(|row| row.map(f64::from));
    let column = |i: usize| lps([rows[0][i], rows[1][i], rows[2][i]], unit);
    (header.sform_code > 0).then(|| Affine::new(column(3), [column(0), column(1), column(2)])).flatten()
}

fn qform(header: &NiftiHeader, unit: f64) -> Option<Affine> {
    if header.qform_code <= 0 {
        return None;
    }
    let [b, c, d] = [header.quatern_b, header.quatern_c, header.quatern_d].map(f64::from);
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
        let side = f64::from(header.pixdim[axis + 1]) * if axis == 2 { flip } else { 1.0 };
        lps(rotation[axis].map(|c| c * side), unit)
    };
    let origin = [header.quatern_x, header.quatern_y, header.quatern_z].map(f64::from);
    Affine::new(lps(origin, unit), [step(0), step(1), step(2)])
}

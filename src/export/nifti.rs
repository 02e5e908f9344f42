//! A study's mask as NIfTI-1 (gzipped), voxel for voxel in the source's own array.

use super::ExportError;
use crate::domain::geometry::{Affine, Layout, Vector, cross, dot, length, scaled};
use crate::domain::mask::Mask;
use crate::domain::study::{Cut, Study};
use crate::domain::voxel_mask::VoxelMask;
use flate2::Compression;
use flate2::write::GzEncoder;
use std::io::Write;

/// Where the voxels begin: header and an empty extension.
const OFFSET: usize = 352;
/// NIFTI_TYPE_UINT8.
const UINT8: i16 = 2;
/// NIFTI_XFORM_SCANNER_ANAT.
const SCANNER: i16 = 1;
/// NIFTI_UNITS_MM.
const MILLIMETRES: u8 = 2;

/// 1 inside, 0 outside; slices without a mask are empty. `masks` by slice number.
///
/// # Errors
/// If slices differ in size, or a side is longer than NIfTI-1 can say.
pub fn mask(study: &Study, cut: Cut, masks: &[(usize, Mask)]) -> Result<Vec<u8>, ExportError> {
    let unlike = || ExportError::Nifti("its slices differ in size; export the masks as PNG".into());
    volume(&study.frames.layout(cut).ok_or_else(unlike)?, masks)
}

fn volume(layout: &Layout, masks: &[(usize, Mask)]) -> Result<Vec<u8>, ExportError> {
    let unlike = || ExportError::Nifti("its slices differ in size; export the masks as PNG".into());
    let volume = VoxelMask::of(layout, masks).ok_or_else(unlike)?;
    let failed = |e: std::io::Error| ExportError::Nifti(e.to_string());
    let mut out = GzEncoder::new(Vec::new(), Compression::default());
    out.write_all(&header(layout)?).and_then(|()| out.write_all(volume.voxels())).map_err(failed)?;
    out.finish().map_err(failed)
}

/// The 348 bytes of the header and four of an empty extension, little-endian (nifti1.h).
fn header(layout: &Layout) -> Result<[u8; OFFSET], ExportError> {
    let mut bytes = [0; OFFSET];
    let mut put = |at: usize, value: &[u8]| bytes[at..at + value.len()].copy_from_slice(value);
    put(0, &348i32.to_le_bytes());
    put(40, &3i16.to_le_bytes());
    for (axis, size) in layout.size.iter().enumerate() {
        let size =
            i16::try_from(*size).map_err(|_| ExportError::Nifti(format!("a side of {size} voxels is too long")))?;
        put(42 + 2 * axis, &size.to_le_bytes());
    }
    (4..8).for_each(|n| put(40 + 2 * n, &1i16.to_le_bytes()));
    put(70, &UINT8.to_le_bytes());
    put(72, &8i16.to_le_bytes());
    put(108, &(OFFSET as f32).to_le_bytes());
    put(112, &1f32.to_le_bytes());
    put(148, b"LesionLens mask; research aid, not a medical device");
    put(344, b"n+1\0");
    let sides = layout.spacing.unwrap_or([1.0; 3]);
    for (axis, mm) in sides.iter().enumerate() {
        put(80 + 4 * axis, &(*mm as f32).to_le_bytes());
    }
    put(76, &1f32.to_le_bytes());
    if layout.spacing.is_some() {
        put(123, &[MILLIMETRES]);
    }
    let Some(affine) = layout.affine else { return Ok(bytes) };
    put(254, &SCANNER.to_le_bytes());
    let columns = [ras(affine.steps[0]), ras(affine.steps[1]), ras(affine.steps[2]), ras(affine.origin)];
    for row in 0..3 {
        for (column, vector) in columns.iter().enumerate() {
            put(280 + 16 * row + 4 * column, &(vector[row] as f32).to_le_bytes());
        }
    }
    if let Some((quaternion, handedness)) = quaternion(&affine) {
        put(252, &SCANNER.to_le_bytes());
        put(76, &(handedness as f32).to_le_bytes());
        let origin = columns[3];
        for (i, value) in quaternion.iter().chain(&origin).enumerate() {
            put(256 + 4 * i, &(*value as f32).to_le_bytes());
        }
    }
    Ok(bytes)
}

/// From the patient's left-posterior-superior to NIfTI's right-anterior-superior coordinates.
fn ras([x, y, z]: Vector) -> Vector {
    // Not −0, which a reader would see.
    [0.0 - x, 0.0 - y, z]
}

/// b, c, d of the rotation's unit quaternion and qfac (nifti1.h, method 2); `None` when the axes are not perpendicular.
fn quaternion(affine: &Affine) -> Option<([f64; 3], f64)> {
    let mut axes = affine.steps.map(|step| ras(scaled(step, 1.0 / length(step))));
    let skew = [(0, 1), (0, 2), (1, 2)].iter().any(|(i, j)| dot(axes[*i], axes[*j]).abs() > 1e-3);
    if skew {
        return None;
    }
    let handedness = if dot(cross(axes[0], axes[1]), axes[2]) < 0.0 { -1.0 } else { 1.0 };
    axes[2] = scaled(axes[2], handedness);
    // Rotation matrix r[row][column], columns are the axes.
    let r = |row: usize, column: usize| axes[column][row];
    let trace = r(0, 0) + r(1, 1) + r(2, 2);
    let q = if trace > 0.0 {
        let s = (trace + 1.0).sqrt() * 2.0;
        [s / 4.0, (r(2, 1) - r(1, 2)) / s, (r(0, 2) - r(2, 0)) / s, (r(1, 0) - r(0, 1)) / s]
    } else {
        // The largest of the other three is taken for the divisor (Shepperd 1978).
        let i = (0..3).reduce(|best, next| if r(next, next) > r(best, best) { next } else { best }).unwrap_or(0);
        let (j, k) = ((i + 1) % 3, (i + 2) % 3);
        let s = (1.0 + r(i, i) - r(j, j) - r(k, k)).max(0.0).sqrt() * 2.0;
        let mut q = [(r(k, j) - r(j, k)) / s, 0.0, 0.0, 0.0];
        q[1 + i] = s / 4.0;
        q[1 + j] = (r(j, i) + r(i, j)) / s;
        q[1 + k] = (r(k, i) + r(i, k)) / s;
        q
    };
    let sign = if q[0] < 0.0 { -1.0 } else { 1.0 };
    Some(([q[1] * sign, q[2] * sign, q[3] * sign], handedness))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::geometry::Plane;
    use std::io::Read;

    #[test]
    fn voxels_go_back_to_where_they_came_from() {
        // An array from left to right and from back to face: axial slices are its rows turned round.
        let affine = Affine::new([30.0, 20.0, 0.0], [[-1.0, 0.0, 0.0], [0.0, -1.0, 0.0], [0.0, 0.0, 5.0]]).unwrap();
        let layout = Layout::of_plane([4, 3, 2], affine, Plane::Axial);
        let mut pixels = vec![false; 12];
        pixels[0] = true;
        let file = volume(&layout, &[(1, Mask::new(4, 3, pixels).unwrap())]).unwrap();
        let mut bytes = Vec::new();
        flate2::read::GzDecoder::new(file.as_slice()).read_to_end(&mut bytes).unwrap();
        let inside: Vec<usize> = bytes[OFFSET..].iter().enumerate().filter(|(_, v)| **v == 1).map(|(i, _)| i).collect();
        // Upper left of the head-most slice: x = 3, y = 2, z = 1.
        assert_eq!(inside, [3 + 2 * 4 + 12]);
        let float = |at: usize| f32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
        assert_eq!([float(280), float(284), float(288), float(292)], [1.0, 0.0, 0.0, -30.0]);
        assert_eq!([float(80), float(84), float(88)], [1.0, 1.0, 5.0]);
    }
}

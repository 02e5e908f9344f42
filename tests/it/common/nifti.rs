//! Small NIfTI files.

use std::path::Path;

/// Writes a volume of bytes, axis 0 fastest, with voxels of `mm`; its axes go to the patient's right, front and head.
pub fn write(path: &Path, size: [usize; 3], mm: [f32; 3], voxels: &[u8]) {
    let mut bytes = vec![0; 352];
    let mut put = |at: usize, value: &[u8]| bytes[at..at + value.len()].copy_from_slice(value);
    put(0, &348i32.to_le_bytes());
    put(40, &3i16.to_le_bytes());
    for (axis, side) in size.iter().enumerate() {
        put(42 + 2 * axis, &(*side as i16).to_le_bytes());
        put(80 + 4 * axis, &mm[axis].to_le_bytes());
        // srow_x, srow_y, srow_z.
        put(280 + 20 * axis, &mm[axis].to_le_bytes());
    }
    // DT_UINT8, and the code of an sform from a scanner.
    put(70, &2i16.to_le_bytes());
    put(72, &8i16.to_le_bytes());
    put(76, &1f32.to_le_bytes());
    put(108, &352f32.to_le_bytes());
    put(123, &[2]);
    put(254, &1i16.to_le_bytes());
    put(344, b"n+1\0");
    bytes.extend_from_slice(voxels);
    std::fs::write(path, bytes).unwrap();
}

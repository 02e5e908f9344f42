//! Voxels of every numeric type that NIfTI has for single numbers.

use crate::domain::volume::Voxels;
use crate::io::error::Problem;

/// How a voxel is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    U8,
    I8,
    I16,
    U16,
    I32,
    U32,
    I64,
    U64,
    F32,
    F64,
}

impl Type {
    /// By its code (nifti1.h, `datatype`).
    ///
    /// # Errors
    /// If voxels are bits, colours, complex numbers or longer than eight bytes.
    pub fn of(code: i64) -> Result<Self, Problem> {
        Ok(match code {
            2 => Type::U8,
            256 => Type::I8,
            4 => Type::I16,
            512 => Type::U16,
            8 => Type::I32,
            768 => Type::U32,
            1024 => Type::I64,
            1280 => Type::U64,
            16 => Type::F32,
            64 => Type::F64,
            1 => return Err(Problem::Unsupported("voxels of one bit".into())),
            32 | 1792 | 2048 => return Err(Problem::Unsupported("voxels that are complex numbers".into())),
            128 | 2304 => return Err(Problem::Unsupported("voxels that are colours".into())),
            other => return Err(Problem::Unsupported(format!("NIfTI voxels of type {other}"))),
        })
    }

    /// Bytes of a voxel.
    pub fn size(self) -> usize {
        match self {
            Type::U8 | Type::I8 => 1,
            Type::I16 | Type::U16 => 2,
            Type::I32 | Type::U32 | Type::F32 => 4,
            Type::I64 | Type::U64 | Type::F64 => 8,
        }
    }

    /// Voxels in as few bytes as hold their grey values. `bytes` are a whole number of voxels.
    pub fn voxels(self, bytes: Vec<u8>, is_little: bool) -> Voxels {
        /// Numbers of `N` bytes, made of these bytes with the lowest first.
        fn numbers<const N: usize, T>(bytes: &[u8], is_little: bool, number: impl Fn([u8; N]) -> T) -> Vec<T> {
            let low_first = |chunk: &[u8; N]| {
                let mut chunk = *chunk;
                if !is_little {
                    chunk.reverse();
                }
                number(chunk)
            };
            bytes.as_chunks().0.iter().map(low_first).collect()
        }
        match self {
            Type::U8 => Voxels::U8(bytes),
            Type::I8 => Voxels::I16(bytes.into_iter().map(|byte| i16::from(byte as i8)).collect()),
            Type::I16 => Voxels::I16(numbers(&bytes, is_little, i16::from_le_bytes)),
            Type::U16 => Voxels::U16(numbers(&bytes, is_little, u16::from_le_bytes)),
            Type::I32 => Voxels::F32(numbers(&bytes, is_little, |b| i32::from_le_bytes(b) as f32)),
            Type::U32 => Voxels::F32(numbers(&bytes, is_little, |b| u32::from_le_bytes(b) as f32)),
            Type::I64 => Voxels::F32(numbers(&bytes, is_little, |b| i64::from_le_bytes(b) as f32)),
            Type::U64 => Voxels::F32(numbers(&bytes, is_little, |b| u64::from_le_bytes(b) as f32)),
            Type::F32 => Voxels::F32(numbers(&bytes, is_little, f32::from_le_bytes)),
            Type::F64 => Voxels::F32(numbers(&bytes, is_little, |b| f64::from_le_bytes(b) as f32)),
        }
    }
}

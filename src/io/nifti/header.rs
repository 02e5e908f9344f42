//! Headers of NIfTI-1, NIfTI-2 and ANALYZE 7.5, in either byte order (nifti1.h, nifti2.h, and the Mayo Clinic's description).

/// Bytes that are looked at: the longest header.
pub const HEAD: usize = 540;
/// Bytes of a header of NIfTI-1 and ANALYZE.
const FIRST: usize = 348;

/// What the first bytes of a file are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Header and voxels in one.
    Single,
    /// A header whose voxels are in a file called `.img`.
    Pair,
    /// As [`Kind::Pair`], without any statement of where voxels lie in the patient.
    Analyze,
}

/// A header's statements as they are written, with every number widened.
#[derive(Debug, Clone, PartialEq)]
pub struct Header {
    pub kind: Kind,
    /// Bytes of the header itself.
    pub length: usize,
    pub is_little: bool,
    /// Number of dimensions, then their lengths.
    pub dim: [i64; 8],
    pub datatype: i64,
    /// Sign of the third axis, then the lengths of voxels.
    pub pixdim: [f64; 8],
    pub voxel_offset: f64,
    pub slope: f64,
    pub intercept: f64,
    /// Units of length, in the three lowest bits.
    pub units: i64,
    pub qform_code: i64,
    pub sform_code: i64,
    /// b, c and d of a unit quaternion.
    pub quaternion: [f64; 3],
    pub q_offset: [f64; 3],
    pub s_rows: [[f64; 4]; 3],
}

impl Header {
    /// `None` when `head` is the beginning of no such file.
    pub fn read(head: &[u8]) -> Option<Self> {
        let size: [u8; 4] = head.get(..4)?.try_into().ok()?;
        let is_little = [FIRST as i32, HEAD as i32].contains(&i32::from_le_bytes(size));
        let fields = Fields { bytes: head, is_little };
        match fields.int(0, 4)? {
            length if length == FIRST as i64 => first(&fields),
            length if length == HEAD as i64 => second(&fields),
            _ => None,
        }
    }
}

fn first(fields: &Fields) -> Option<Header> {
    let dim = fields.ints(40, 2)?;
    let kind = match fields.bytes.get(344..348)? {
        b"n+1\0" => Kind::Single,
        b"ni1\0" => Kind::Pair,
        // ANALYZE has no mark: what must hold in its every file stands for one.
        _ if (1..=7).contains(&dim[0]) && dim[1] > 0 && fields.int(70, 2)? > 0 => Kind::Analyze,
        _ => return None,
    };
    let is_analyze = kind == Kind::Analyze;
    Some(Header {
        kind,
        length: FIRST,
        is_little: fields.is_little,
        dim,
        datatype: fields.int(70, 2)?,
        pixdim: fields.floats(76, 4)?,
        voxel_offset: fields.float(108, 4)?,
        slope: fields.float(112, 4)?,
        intercept: if is_analyze { 0.0 } else { fields.float(116, 4)? },
        // The unit of ANALYZE is the millimetre.
        units: if is_analyze { 2 } else { fields.int(123, 1)? },
        qform_code: if is_analyze { 0 } else { fields.int(252, 2)? },
        sform_code: if is_analyze { 0 } else { fields.int(254, 2)? },
        quaternion: fields.floats(256, 4)?,
        q_offset: fields.floats(268, 4)?,
        s_rows: [fields.floats(280, 4)?, fields.floats(296, 4)?, fields.floats(312, 4)?],
    })
}

fn second(fields: &Fields) -> Option<Header> {
    let kind = match fields.bytes.get(4..8)? {
        b"n+2\0" => Kind::Single,
        b"ni2\0" => Kind::Pair,
        _ => return None,
    };
    Some(Header {
        kind,
        length: HEAD,
        is_little: fields.is_little,
        dim: fields.ints(16, 8)?,
        datatype: fields.int(12, 2)?,
        pixdim: fields.floats(104, 8)?,
        voxel_offset: fields.int(168, 8)? as f64,
        slope: fields.float(176, 8)?,
        intercept: fields.float(184, 8)?,
        units: fields.int(500, 4)?,
        qform_code: fields.int(344, 4)?,
        sform_code: fields.int(348, 4)?,
        quaternion: fields.floats(352, 8)?,
        q_offset: fields.floats(376, 8)?,
        s_rows: [fields.floats(400, 8)?, fields.floats(432, 8)?, fields.floats(464, 8)?],
    })
}

/// Numbers at places in bytes.
struct Fields<'a> {
    bytes: &'a [u8],
    is_little: bool,
}

impl Fields<'_> {
    /// The `size` bytes at `at`, the lowest first.
    fn low_first(&self, at: usize, size: usize) -> Option<[u8; 8]> {
        let mut out = [0; 8];
        let bytes = self.bytes.get(at..at + size)?;
        match self.is_little {
            true => out[..size].copy_from_slice(bytes),
            false => out.iter_mut().zip(bytes.iter().rev()).for_each(|(out, byte)| *out = *byte),
        }
        Some(out)
    }

    /// A whole number of `size` bytes with its sign.
    fn int(&self, at: usize, size: usize) -> Option<i64> {
        let unused = 64 - 8 * size as u32;
        Some(i64::from_le_bytes(self.low_first(at, size)?) << unused >> unused)
    }

    fn float(&self, at: usize, size: usize) -> Option<f64> {
        let bytes = self.low_first(at, size)?;
        Some(match size {
            4 => f64::from(f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])),
            _ => f64::from_le_bytes(bytes),
        })
    }

    fn ints<const N: usize>(&self, at: usize, size: usize) -> Option<[i64; N]> {
        let mut out = [0; N];
        for (i, out) in out.iter_mut().enumerate() {
            *out = self.int(at + i * size, size)?;
        }
        Some(out)
    }

    fn floats<const N: usize>(&self, at: usize, size: usize) -> Option<[f64; N]> {
        let mut out = [0.0; N];
        for (i, out) in out.iter_mut().enumerate() {
            *out = self.float(at + i * size, size)?;
        }
        Some(out)
    }
}

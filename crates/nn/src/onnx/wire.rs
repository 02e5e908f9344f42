//! Protocol Buffers' wire format, as far as ONNX needs it: fields of a message, one after the other, borrowed from the file.

use super::OnnxError;

/// A field's value.
#[derive(Debug, Clone, Copy)]
pub enum Field<'a> {
    Varint(u64),
    Fixed32([u8; 4]),
    Fixed64([u8; 8]),
    Bytes(&'a [u8]),
}

/// The fields of a message in the order of the file.
pub struct Message<'a>(pub &'a [u8]);

fn damaged() -> OnnxError {
    OnnxError::Damaged("it is cut short or no ONNX file; copy or export it again".into())
}

impl<'a> Message<'a> {
    /// Number and value of the next field; `None` at the end.
    pub fn next(&mut self) -> Result<Option<(u64, Field<'a>)>, OnnxError> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let tag = self.varint()?;
        let field = match tag & 7 {
            0 => Field::Varint(self.varint()?),
            1 => Field::Fixed64(self.take(8)?.try_into().map_err(|_| damaged())?),
            2 => {
                let length = usize::try_from(self.varint()?).map_err(|_| damaged())?;
                Field::Bytes(self.take(length)?)
            }
            5 => Field::Fixed32(self.take(4)?.try_into().map_err(|_| damaged())?),
            _ => return Err(damaged()),
        };
        Ok(Some((tag >> 3, field)))
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], OnnxError> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or_else(damaged)?;
        self.0 = rest;
        Ok(taken)
    }

    fn varint(&mut self) -> Result<u64, OnnxError> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.take(1)?[0];
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(damaged())
    }
}

impl<'a> Field<'a> {
    pub fn bytes(self) -> Result<&'a [u8], OnnxError> {
        if let Field::Bytes(bytes) = self { Ok(bytes) } else { Err(damaged()) }
    }

    pub fn text(self) -> Result<String, OnnxError> {
        Ok(String::from_utf8_lossy(self.bytes()?).into_owned())
    }

    pub fn integer(self) -> Result<i64, OnnxError> {
        if let Field::Varint(value) = self { Ok(value as i64) } else { Err(damaged()) }
    }

    pub fn float(self) -> Result<f32, OnnxError> {
        if let Field::Fixed32(bytes) = self { Ok(f32::from_le_bytes(bytes)) } else { Err(damaged()) }
    }

    /// Integers of a repeated field, packed or one alone.
    pub fn integers(self) -> Result<Vec<i64>, OnnxError> {
        match self {
            Field::Varint(value) => Ok(vec![value as i64]),
            Field::Bytes(bytes) => {
                let mut message = Message(bytes);
                let mut out = Vec::new();
                while !message.0.is_empty() {
                    out.push(message.varint()? as i64);
                }
                Ok(out)
            }
            _ => Err(damaged()),
        }
    }

    /// 32-bit numbers of a repeated field, packed or one alone.
    pub fn floats(self) -> Result<Vec<f32>, OnnxError> {
        match self {
            Field::Fixed32(bytes) => Ok(vec![f32::from_le_bytes(bytes)]),
            Field::Bytes(bytes) => Ok(bytes.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect()),
            _ => Err(damaged()),
        }
    }

    /// 64-bit numbers of a repeated field, packed or one alone.
    pub fn doubles(self) -> Result<Vec<f64>, OnnxError> {
        match self {
            Field::Fixed64(bytes) => Ok(vec![f64::from_le_bytes(bytes)]),
            Field::Bytes(bytes) => Ok(bytes.as_chunks().0.iter().map(|b| f64::from_le_bytes(*b)).collect()),
            _ => Err(damaged()),
        }
    }
}

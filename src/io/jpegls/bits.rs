//! Bits of a scan: after a byte of all ones the next has only seven (T.87, A.1).

use crate::io::error::Problem;

pub struct Bits<'a> {
    bytes: &'a [u8],
    /// Bytes taken.
    at: usize,
    /// The last byte taken, and bits of it that are left.
    byte: u8,
    left: u32,
}

impl<'a> Bits<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0, byte: 0, left: 0 }
    }

    pub fn bit(&mut self) -> Result<bool, Problem> {
        if self.left == 0 {
            let is_short = self.at > 0 && self.byte == 0xFF;
            let next = *self.bytes.get(self.at).ok_or(Problem::Truncated)?;
            if is_short && next & 0x80 != 0 {
                // A marker: the scan is over.
                return Err(Problem::Truncated);
            }
            (self.byte, self.at, self.left) = (next, self.at + 1, if is_short { 7 } else { 8 });
        }
        self.left -= 1;
        Ok(self.byte >> self.left & 1 == 1)
    }

    /// A number of up to 31 bits, the highest first.
    pub fn number(&mut self, bits: u32) -> Result<i32, Problem> {
        (0..bits).try_fold(0, |value, _| Ok(value << 1 | i32::from(self.bit()?)))
    }

    /// Zeros before the next one, at most `limit`.
    pub fn zeros(&mut self, limit: i32) -> Result<i32, Problem> {
        let mut count = 0;
        while !self.bit()? {
            count += 1;
            if count > limit {
                return Err(Problem::Damaged("a code is longer than any can be".into()));
            }
        }
        Ok(count)
    }

    /// Bytes up to the marker that follows the scan.
    pub fn taken(&self) -> usize {
        // A last byte of all ones is followed by one of stuffing.
        let next = self.at + usize::from(self.at > 0 && self.byte == 0xFF && self.bytes.get(self.at) == Some(&0));
        let is_marker =
            |at: &usize| self.bytes.get(*at) == Some(&0xFF) && self.bytes.get(at + 1).is_some_and(|b| *b > 0x7F);
        (next..self.bytes.len()).find(is_marker).unwrap_or(self.bytes.len())
    }
}

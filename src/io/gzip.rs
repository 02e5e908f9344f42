//! Gzipped files, also those made of several members one behind the other (RFC 1952, 2.2), as parallel packers write them.

use flate2::bufread::GzDecoder;
use std::io::{BufRead, Read};

/// First two bytes of every member.
pub const MAGIC: [u8; 2] = [0x1F, 0x8B];

/// Unpacks member after member; whatever follows the last one is left alone.
pub struct Members<R: BufRead> {
    /// `None` once all are read, and while one is exchanged for the next.
    member: Option<GzDecoder<R>>,
}

impl<R: BufRead> Members<R> {
    pub fn new(source: R) -> Self {
        Self { member: Some(GzDecoder::new(source)) }
    }
}

impl<R: BufRead> Read for Members<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        loop {
            let Some(member) = &mut self.member else { return Ok(0) };
            match member.read(buffer)? {
                0 if !buffer.is_empty() => {}
                count => return Ok(count),
            }
            let Some(mut source) = self.member.take().map(GzDecoder::into_inner) else { return Ok(0) };
            if !source.fill_buf()?.starts_with(&MAGIC[..1]) {
                return Ok(0);
            }
            self.member = Some(GzDecoder::new(source));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use std::io::Write;

    fn packed(bytes: &[u8]) -> Vec<u8> {
        let mut packer = GzEncoder::new(Vec::new(), Compression::default());
        packer.write_all(bytes).unwrap();
        packer.finish().unwrap()
    }

    fn unpacked(bytes: &[u8]) -> std::io::Result<Vec<u8>> {
        let mut out = Vec::new();
        Members::new(bytes).read_to_end(&mut out)?;
        Ok(out)
    }

    #[test]
    fn members_follow_each_other_and_padding_ends_them() {
        let two = [packed(b"first, "), packed(b""), packed(b"second")].concat();
        assert_eq!(unpacked(&two).unwrap(), b"first, second");
        assert_eq!(unpacked(&[two.as_slice(), &[0; 512]].concat()).unwrap(), b"first, second");
        assert!(unpacked(&two[..two.len() - 9]).is_err(), "cut in its last member");
    }
}

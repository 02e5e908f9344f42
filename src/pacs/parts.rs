//! Parts of a `multipart/related` answer (RFC 2387), as they come.

use std::io::{BufRead, Read, Write};

/// Largest part that is taken.
const MOST_BYTES: u64 = 2 << 30;
/// Longest line of a part's head.
const LONGEST_LINE: u64 = 16 << 10;

/// Why parts cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum PartsError {
    #[error("the answer ends early ({0})")]
    Read(std::io::Error),
    #[error("the answer ends early")]
    Early,
    #[error("cannot write a part ({0})")]
    Write(std::io::Error),
    #[error("a part is larger than {} MiB", MOST_BYTES >> 20)]
    TooLarge,
    #[error("the head of a part is malformed")]
    Head,
    #[error("the caller wants no more")]
    Cancelled,
}

/// The boundary in the value of a `Content-Type`, where it is multipart.
pub fn boundary(content_type: &str) -> Option<String> {
    let (kind, settings) = content_type.split_once(';')?;
    if !kind.trim().to_ascii_lowercase().starts_with("multipart/") {
        return None;
    }
    let named = settings.split(';').find_map(|setting| {
        let (name, value) = setting.split_once('=')?;
        name.trim().eq_ignore_ascii_case("boundary").then(|| value.trim().trim_matches('"').to_string())
    });
    named.filter(|boundary| !boundary.is_empty())
}

/// Reads one part after the other.
pub struct Parts<R> {
    source: R,
    /// What begins a line between parts.
    delimiter: Vec<u8>,
    is_started: bool,
    is_ended: bool,
}

impl<R: BufRead> Parts<R> {
    pub fn new(source: R, boundary: &str) -> Self {
        Self { source, delimiter: format!("--{boundary}").into_bytes(), is_started: false, is_ended: false }
    }

    /// Writes the content of the next part to `out`; `false` after the last one. `go_on` is told of the bytes of the part so far.
    ///
    /// # Errors
    /// If the answer ends early or is malformed, `out` cannot be written, or `go_on` says no.
    pub fn next(&mut self, out: &mut impl Write, go_on: &mut dyn FnMut(u64) -> bool) -> Result<bool, PartsError> {
        if !self.is_started {
            // Whatever stands before the first delimiter is no part.
            self.copy_until_delimiter(&mut std::io::sink(), &mut |_| true)?;
            self.is_started = true;
        }
        if self.is_ended {
            return Ok(false);
        }
        while !self.is_head_over()? {}
        self.copy_until_delimiter(out, go_on)?;
        Ok(true)
    }

    /// Reads a line of a part's head; whether it was the empty one at its end.
    fn is_head_over(&mut self) -> Result<bool, PartsError> {
        let mut line = Vec::new();
        (&mut self.source).take(LONGEST_LINE).read_until(b'\n', &mut line).map_err(PartsError::Read)?;
        if line.last() != Some(&b'\n') {
            return Err(PartsError::Head);
        }
        Ok(line == b"\r\n" || line == b"\n")
    }

    /// Copies lines up to the next delimiter. The line feed before a delimiter belongs to the delimiter.
    fn copy_until_delimiter(
        &mut self,
        out: &mut impl Write,
        go_on: &mut dyn FnMut(u64) -> bool,
    ) -> Result<(), PartsError> {
        let (mut line, mut ending, mut written): (Vec<u8>, &[u8], u64) = (Vec::new(), b"", 0);
        loop {
            line.clear();
            (&mut self.source).take(MOST_BYTES + 1).read_until(b'\n', &mut line).map_err(PartsError::Read)?;
            if line.is_empty() {
                return Err(PartsError::Early);
            }
            if let Some(rest) = line.strip_prefix(self.delimiter.as_slice())
                && (rest.starts_with(b"--") || rest.trim_ascii().is_empty())
            {
                self.is_ended = rest.starts_with(b"--");
                return Ok(());
            }
            out.write_all(ending).map_err(PartsError::Write)?;
            let content = line.strip_suffix(b"\r\n").or(line.strip_suffix(b"\n")).unwrap_or(&line);
            out.write_all(content).map_err(PartsError::Write)?;
            written += line.len() as u64;
            if written > MOST_BYTES {
                return Err(PartsError::TooLarge);
            }
            ending = match line.len() - content.len() {
                2 => b"\r\n",
                1 => b"\n",
                _ => b"",
            };
            if !go_on(written) {
                return Err(PartsError::Cancelled);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(bytes: &[u8]) -> Result<Vec<Vec<u8>>, PartsError> {
        let mut parts = Parts::new(bytes, "x-1");
        let mut all = Vec::new();
        loop {
            let mut part = Vec::new();
            if !parts.next(&mut part, &mut |_| true)? {
                return Ok(all);
            }
            all.push(part);
        }
    }

    #[test]
    fn content_is_kept_to_the_byte() {
        let first = b"DICM\r\n\n\r\r\n--x-12 is no delimiter\n--x\r\n";
        let answer = [
            b"preamble\r\n--x-1\r\nContent-Type: application/dicom\r\n\r\n",
            first.as_slice(),
            b"\r\n--x-1  \r\n\r\n\r\n--x-1--\r\nepilogue",
        ];
        assert_eq!(parts(&answer.concat()).unwrap(), [first.to_vec(), Vec::new()]);
        assert!(parts(b"--x-1--").unwrap().is_empty());
    }

    #[test]
    fn an_answer_that_ends_early_is_no_part() {
        assert!(matches!(parts(b"--x-1\r\n\r\nhalf a pic"), Err(PartsError::Early)));
        assert!(matches!(parts(b"--x-1\r\nContent-Type: a"), Err(PartsError::Head)));
        assert!(matches!(parts(b""), Err(PartsError::Early)));
    }

    #[test]
    fn a_boundary_may_be_quoted() {
        let quoted = "multipart/related; type=\"application/dicom\"; boundary=\"a-b\"";
        assert_eq!(boundary(quoted).as_deref(), Some("a-b"));
        assert_eq!(boundary("Multipart/Related; Boundary=c").as_deref(), Some("c"));
        assert_eq!(boundary("application/dicom"), None);
    }
}

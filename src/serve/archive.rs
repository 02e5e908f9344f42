//! A zip of a study, unpacked without trusting a word of it.

use super::problem::Problem;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;
use zip::ZipArchive;
use zip::result::ZipError;

/// First bytes of a zip with anything in it.
pub const MAGIC: &[u8] = b"PK\x03\x04";
/// Files that an archive may hold.
const MOST_FILES: usize = 10_000;
/// Length of the record at the end of an archive, and of the longest comment behind it.
const END_RECORD: u64 = 22;
const LONGEST_COMMENT: u64 = u16::MAX as u64;

/// Unpacks `archive` into `folder`, at most `limit` bytes in all. `name` is the archive's, for messages.
///
/// # Errors
/// If the archive is damaged or encrypted, holds too many files or bytes, a link, or a name that leads out of the folder.
pub fn unpack(archive: &Path, folder: &Path, name: &str, limit: u64) -> Result<(), Problem> {
    let own = |e: std::io::Error| Problem::Internal(format!("cannot unpack: {e}"));
    let refused = |what: String| Problem::Unanswerable(format!("{name}: {what}"));
    let mut file = File::open(archive).map_err(own)?;
    let too_many = || refused(format!("holds more than {MOST_FILES} files; send one study at a time"));
    // The list of files is read as a whole, so that its length is looked at before.
    if listed(&mut file).map_err(own)?.is_some_and(|count| count > MOST_FILES) {
        return Err(too_many());
    }
    let damaged = |e: ZipError| refused(format!("is a damaged zip ({e}); pack it again"));
    let mut zip = ZipArchive::new(file).map_err(damaged)?;
    if zip.len() > MOST_FILES {
        return Err(too_many());
    }
    let mut left = limit;
    for index in 0..zip.len() {
        let mut entry = match zip.by_index(index) {
            Ok(entry) => entry,
            Err(ZipError::UnsupportedArchive(why)) => {
                return Err(refused(format!(
                    "holds a file that is not unpacked here ({why}); pack it without encryption, as deflate"
                )));
            }
            Err(error) => return Err(damaged(error)),
        };
        let Some(inside) = entry.enclosed_name().filter(|_| !entry.is_symlink()) else {
            return Err(refused("holds a link or a name that leads out of the archive; nothing of it was read".into()));
        };
        let target = folder.join(inside);
        if entry.is_dir() {
            std::fs::create_dir_all(&target).map_err(own)?;
            continue;
        }
        if let Some(above) = target.parent() {
            std::fs::create_dir_all(above)
                .map_err(|_| refused("names a file and a folder alike; pack it again".into()))?;
        }
        // Two entries of one name: neither is the right one.
        let mut out =
            File::create_new(&target).map_err(|_| refused("holds two files of one name; pack it again".into()))?;
        left = copy(&mut entry, &mut out, left).map_err(|error| match error {
            CopyError::Limit => {
                refused(format!("holds more than {} MiB unpacked; send one study at a time", limit >> 20))
            }
            CopyError::Read(why) => refused(format!("is a damaged zip ({why}); pack it again")),
            CopyError::Write(error) => own(error),
        })?;
    }
    Ok(())
}

enum CopyError {
    Limit,
    Read(std::io::Error),
    Write(std::io::Error),
}

/// Copies whatever comes, whatever the archive said would; returns how many bytes may still follow.
fn copy(from: &mut impl Read, to: &mut File, mut left: u64) -> Result<u64, CopyError> {
    let mut buffer = vec![0; 64 << 10];
    loop {
        let count = from.read(&mut buffer).map_err(CopyError::Read)?;
        if count == 0 {
            return Ok(left);
        }
        left = left.checked_sub(count as u64).ok_or(CopyError::Limit)?;
        to.write_all(&buffer[..count]).map_err(CopyError::Write)?;
    }
}

/// Number of files that the last record of a zip speaks of; `None` without such a record. A zip of more than 65 534 says 65 535.
fn listed(file: &mut File) -> std::io::Result<Option<usize>> {
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(END_RECORD + LONGEST_COMMENT)))?;
    let mut tail = Vec::new();
    file.read_to_end(&mut tail)?;
    file.rewind()?;
    let at = tail.windows(END_RECORD as usize).rposition(|record| record.starts_with(b"PK\x05\x06"));
    Ok(at.map(|at| usize::from(u16::from_le_bytes([tail[at + 10], tail[at + 11]]))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;
    use zip::ZipWriter;
    use zip::write::SimpleFileOptions;

    fn packed(files: &[(&str, Vec<u8>)]) -> Vec<u8> {
        let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
        for (name, bytes) in files {
            zip.start_file(*name, SimpleFileOptions::default()).unwrap();
            zip.write_all(bytes).unwrap();
        }
        zip.finish().unwrap().into_inner()
    }

    /// Unpacks into a folder within another; also gives all files that are there afterwards.
    fn unpacked(bytes: &[u8], limit: u64) -> (Result<(), String>, Vec<String>) {
        let outer = tempfile::tempdir().unwrap();
        let inner = outer.path().join("inner");
        std::fs::create_dir(&inner).unwrap();
        let archive = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(archive.path(), bytes).unwrap();
        let result = unpack(archive.path(), &inner, "a.zip", limit).map_err(|e| format!("{} {e}", e.status().as_u16()));
        let outside = std::fs::read_dir(outer.path()).unwrap();
        (result, outside.map(|e| e.unwrap().file_name().to_string_lossy().into_owned()).collect())
    }

    #[test]
    fn nothing_is_written_outside_the_folder() {
        for name in ["../out", "a/../../out", "/out", "..\\out"] {
            let (result, outside) = unpacked(&packed(&[(name, b"x".to_vec())]), 1 << 20);
            assert_eq!(outside, ["inner"], "{name}");
            // A leading slash or backslash may be taken for part of a name inside the folder.
            if name.starts_with("..") && name.contains('/') {
                assert!(result.unwrap_err().starts_with("422 a.zip: holds a link"), "{name}");
            }
        }
    }

    #[test]
    fn a_bomb_ends_at_the_limit_and_a_list_is_counted_before_it_is_read() {
        let (result, _) = unpacked(&packed(&[("zeros", vec![0; 3 << 20])]), 2 << 20);
        assert!(result.unwrap_err().contains("more than 2 MiB unpacked"));
        let mut many = packed(&[("one", b"x".to_vec())]);
        let end = many.len() - 22;
        many[end + 10..end + 12].copy_from_slice(&u16::MAX.to_le_bytes());
        assert!(unpacked(&many, 1 << 20).0.unwrap_err().contains("more than 10000 files"));
        assert!(unpacked(&many[..end], 1 << 20).0.unwrap_err().contains("damaged zip"));
    }
}

//! Files of a request, put into a folder of their own that ends with the request.

use super::archive;
use super::problem::Problem;
use axum::body::{Body, Bytes};
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use futures_util::{Stream, StreamExt};
use multer::Multipart;
use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::TempDir;

/// A body may pause for so long.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// Files of a form.
const MOST_PARTS: usize = 10_000;
/// A zip may hold so many times as much as a body.
const UNPACKED_BODIES: u64 = 4;
/// Longest name of a file, in bytes.
const LONGEST_NAME: usize = 120;
/// Name of a body that came without one.
const NAMELESS: &str = "upload";

/// What a request sent.
pub struct Upload {
    folder: TempDir,
    /// The files, or the folders of unpacked archives.
    pub paths: Vec<PathBuf>,
}

/// Refuses a body that says it is too long, before any of it is read.
///
/// # Errors
/// [`Problem::TooLarge`].
pub fn check_length(headers: &HeaderMap, limit: u64) -> Result<(), Problem> {
    let length = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    match length {
        Some(length) if length > limit => Err(Problem::TooLarge { mib: limit >> 20 }),
        _ => Ok(()),
    }
}

/// Bytes of a body as they come, each within the longest pause, and not more than `limit` of them.
pub fn limited(body: Body, limit: u64) -> impl Stream<Item = Result<Bytes, Problem>> + Send + Unpin {
    let state = (Box::pin(body.into_data_stream()), 0u64);
    Box::pin(futures_util::stream::try_unfold(state, move |(mut chunks, before)| async move {
        let next = tokio::time::timeout(LONGEST_PAUSE, chunks.next()).await.map_err(|_| Problem::Slow)?;
        let Some(chunk) = next else { return Ok(None) };
        let chunk = chunk.map_err(|_| Problem::Malformed("the body ends early; send it again".into()))?;
        let so_far = before + chunk.len() as u64;
        if so_far > limit { Err(Problem::TooLarge { mib: limit >> 20 }) } else { Ok(Some((chunk, (chunks, so_far)))) }
    }))
}

impl Upload {
    /// Receives a raw body or the files of a form, at most `limit` bytes.
    ///
    /// # Errors
    /// If there is no file, or the body is malformed, too long or too slow.
    pub async fn receive(headers: &HeaderMap, body: Body, limit: u64) -> Result<Self, Problem> {
        check_length(headers, limit)?;
        if headers.get(CONTENT_ENCODING).is_some_and(|encoding| encoding != "identity") {
            return Err(Problem::Unsupported("the body is compressed; send the file as it is".into()));
        }
        let folder = tempfile::Builder::new().prefix("lesionlens-").tempdir().map_err(own)?;
        let mut upload = Self { folder, paths: Vec::new() };
        let kind = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let chunks = limited(body, limit);
        if kind.trim_start().to_ascii_lowercase().starts_with("multipart/") {
            let boundary = multer::parse_boundary(kind).map_err(malformed)?;
            upload.form(Multipart::new(chunks, boundary)).await?;
        } else {
            upload.keep(NAMELESS, chunks).await?;
        }
        if upload.paths.is_empty() {
            return Err(Problem::Malformed("the form holds no file; send one as the field `file`".into()));
        }
        Ok(upload)
    }

    /// The folder that everything lies in.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    async fn form(&mut self, mut form: Multipart<'_>) -> Result<(), Problem> {
        while let Some(field) = form.next_field().await.map_err(malformed)? {
            if self.paths.len() == MOST_PARTS {
                let problem = format!("the form holds more than {MOST_PARTS} files; send one study at a time");
                return Err(Problem::Unanswerable(problem));
            }
            let named = field.file_name().map(plain_name);
            if named.is_none() && field.name() != Some("file") {
                let name = field.name().unwrap_or_default().to_string();
                let problem = format!("the form's field `{name}` is no file; settings go into the address (?{name}=…)");
                return Err(Problem::Malformed(problem));
            }
            let name = named.filter(|name| !name.is_empty()).unwrap_or(NAMELESS.into());
            self.keep(&name, field.map(|chunk| chunk.map_err(malformed))).await?;
        }
        Ok(())
    }

    /// Writes one file.
    async fn keep(
        &mut self,
        name: &str,
        mut chunks: impl Stream<Item = Result<Bytes, Problem>> + Unpin,
    ) -> Result<(), Problem> {
        let numbered = (2..).map(|copy| format!("{copy}-{name}"));
        let mut names = std::iter::once(name.to_string()).chain(numbered).map(|name| self.folder().join(name));
        let path = names.find(|path| !path.exists()).unwrap_or_default();
        let mut file = File::create_new(&path).map_err(own)?;
        let mut is_empty = true;
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk?;
            is_empty &= chunk.is_empty();
            // Chunks are small and the folder is local: a thread of its own would cost more than the write.
            file.write_all(&chunk).map_err(own)?;
        }
        if is_empty {
            return Err(Problem::Malformed(format!("{name} is empty (0 bytes); send the file itself")));
        }
        self.paths.push(path);
        Ok(())
    }

    /// Puts the content of each archive in the archive's place. Reads and writes files, and takes its time.
    ///
    /// # Errors
    /// As [`archive::unpack`].
    pub fn unpack(&mut self, limit: u64) -> Result<(), Problem> {
        for path in &mut self.paths {
            let mut head = Vec::new();
            File::open(&*path).and_then(|file| file.take(4).read_to_end(&mut head)).map_err(own)?;
            if head != archive::MAGIC || crate::io::paths::is_model(path) {
                continue;
            }
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let stem = crate::io::paths::stem(path);
            let packed = path.with_file_name(format!(".{name}"));
            std::fs::rename(&*path, &packed).map_err(own)?;
            let folder = path.with_file_name(if stem.is_empty() { NAMELESS } else { &stem });
            std::fs::create_dir(&folder).map_err(own)?;
            archive::unpack(&packed, &folder, &name, limit * UNPACKED_BODIES)?;
            std::fs::remove_file(&packed).map_err(own)?;
            *path = folder;
        }
        Ok(())
    }
}

/// The last part of a client's name for a file, without what no file should be called.
fn plain_name(name: &str) -> String {
    let last = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let kept: String = last.chars().filter(|c| !c.is_control() && !":*?\"<>|".contains(*c)).collect();
    let kept = kept.trim().trim_start_matches('.');
    // The ending says more than the beginning: an outline is known by it.
    let from = kept.len().saturating_sub(LONGEST_NAME);
    (from..kept.len()).find(|at| kept.is_char_boundary(*at)).map(|at| kept[at..].to_string()).unwrap_or_default()
}

fn own(error: std::io::Error) -> Problem {
    Problem::Internal(format!("cannot keep a request's file: {error}"))
}

/// A problem with a form: the stream's own one, or that of its syntax.
fn malformed(error: multer::Error) -> Problem {
    match error {
        multer::Error::StreamReadFailed(inner) => match inner.downcast::<Problem>() {
            Ok(problem) => *problem,
            Err(other) => Problem::Malformed(format!("the form ends early: {other}")),
        },
        other => Problem::Malformed(format!("the form is malformed: {other}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_clients_stay_in_the_folder() {
        for (name, kept) in [
            ("scan.png", "scan.png"),
            ("../../etc/passwd", "passwd"),
            ("C:\\scans\\a.dcm", "a.dcm"),
            (".hidden.png", "hidden.png"),
            ("..", ""),
            ("a\0\nb.png", "ab.png"),
        ] {
            assert_eq!(plain_name(name), kept);
        }
        let long = format!("{}ñ_mask.png", "x".repeat(500));
        assert!(plain_name(&long).ends_with("ñ_mask.png") && plain_name(&long).len() <= LONGEST_NAME);
    }
}

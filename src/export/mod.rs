//! Results on disk: annotated pictures, masks, tables. Every file is written whole or not at all.

pub mod annotated_png;
pub mod png;
pub mod report;

use std::io::Write;
use std::path::{Path, PathBuf};

/// Why nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    #[error("cannot write {path} ({reason}); choose another folder or free some space")]
    File { path: PathBuf, reason: std::io::Error },
    #[error("the enlarged picture would be {side} pixels long, more than {limit}; export at a smaller size")]
    TooLarge { side: usize, limit: usize },
    #[error("the built-in font cannot be read")]
    Font,
    #[error("cannot encode the picture: {0}")]
    Png(#[from] ::png::EncodingError),
    #[error("cannot write the table: {0}")]
    Table(String),
}

impl ExportError {
    pub fn file(path: &Path, reason: std::io::Error) -> Self {
        Self::File { path: path.to_path_buf(), reason }
    }
}

/// Writes beside the target and renames, so that a reader never sees half a file.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut builder = tempfile::Builder::new();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        // Readable like any other file; the library's default is for secrets.
        builder.permissions(std::fs::Permissions::from_mode(0o644));
    }
    let mut file = builder.prefix(".lesionlens-").tempfile_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|e| e.error)?;
    Ok(())
}

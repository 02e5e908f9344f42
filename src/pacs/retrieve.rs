//! WADO-RS (PS3.18, 10.4): a series from an archive into a folder.

use super::client::{Archive, PacsError};
use super::parts::{Parts, PartsError, boundary};
use super::query::Series;
use crate::io::dicom::instance_uid;
use std::io::{BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

/// Instances as the archive has them, in whatever transfer syntax.
const MEDIA: &str = "multipart/related; type=\"application/dicom\"; transfer-syntax=*";

impl Archive {
    /// Gets all images of a series into `folder`, which is made where it is missing; each file is called after its instance. Nothing is
    /// kept unless all arrive. `go_on` is told of images and bytes so far. Returns the files.
    ///
    /// # Errors
    /// If the archive cannot be asked, fewer images arrive than it has, a file is there already, or `go_on` says no.
    pub fn retrieve(
        &self,
        series: &Series,
        folder: &Path,
        go_on: &mut dyn FnMut(usize, u64) -> bool,
    ) -> Result<Vec<PathBuf>, PacsError> {
        let path = format!("studies/{}/series/{}", series.study_uid, series.uid);
        let answer = self.get(&path, &[], MEDIA)?;
        let failed = |problem: String| PacsError::Answer { url: self.address(&path), problem };
        let kind = answer.headers().get("content-type").and_then(|value| value.to_str().ok()).unwrap_or_default();
        let boundary = boundary(kind).ok_or_else(|| failed(format!("`{kind}` is not multipart")))?;
        let own = |path: &Path, e: std::io::Error| PacsError::File { path: path.into(), problem: e.to_string() };
        std::fs::create_dir_all(folder).map_err(|e| own(folder, e))?;
        // Beside its place, so that files can be moved and a broken transfer leaves nothing.
        let waiting = tempfile::Builder::new().prefix(".lesionlens-").tempdir_in(folder).map_err(|e| own(folder, e))?;
        let body = answer.into_body().into_with_config().limit(u64::MAX).reader();
        let mut parts = Parts::new(BufReader::with_capacity(256 << 10, body), &boundary);
        let (mut arrived, mut bytes) = (Vec::new(), 0);
        loop {
            let file = waiting.path().join(arrived.len().to_string());
            let mut out = BufWriter::new(std::fs::File::create(&file).map_err(|e| own(&file, e))?);
            let mut size = 0;
            let more = parts.next(&mut out, &mut |so_far| {
                size = so_far;
                go_on(arrived.len(), bytes + so_far)
            });
            let more = more.map_err(|e| match e {
                PartsError::Cancelled => PacsError::Cancelled,
                PartsError::Write(reason) => own(&file, reason),
                other => failed(other.to_string()),
            })?;
            if !more {
                break;
            }
            out.flush().map_err(|e| own(&file, e))?;
            let uid = instance_uid(&file).ok_or_else(|| failed("a part is no DICOM file".into()))?;
            arrived.push((file, folder.join(format!("{uid}.dcm"))));
            bytes += size;
        }
        let wanted = series.images.unwrap_or(1).max(1);
        if arrived.len() < wanted {
            return Err(PacsError::Incomplete { found: arrived.len(), wanted });
        }
        for (file, target) in &arrived {
            if target.exists() {
                let problem = "is there already; choose another folder".to_string();
                return Err(PacsError::File { path: target.clone(), problem });
            }
            std::fs::rename(file, target).map_err(|e| own(target, e))?;
        }
        Ok(arrived.into_iter().map(|(_, target)| target).collect())
    }
}

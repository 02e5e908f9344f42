//! STOW-RS (PS3.18, 10.5): files into an archive.

use super::client::{Archive, PacsError};
use crate::io::dicom::instance_uid;
use serde_json::Value;
use std::path::Path;

/// Separates the parts of a request. It is long and odd, and looked for in the file all the same.
const BOUNDARY: &str = "lesionlens-5b0c6f6e9d0f4a7d8a51";

impl Archive {
    /// Stores one DICOM file.
    ///
    /// # Errors
    /// If the file is no DICOM file, or the archive cannot be reached or does not store it.
    pub fn store(&self, path: &Path) -> Result<(), PacsError> {
        let unreadable = |problem: String| PacsError::File { path: path.into(), problem };
        let bytes = std::fs::read(path).map_err(|e| unreadable(format!("cannot be read ({e}); check the path")))?;
        if instance_uid(path).is_none() {
            return Err(unreadable("is no DICOM file; write masks with `predict --mask-format seg`".into()));
        }
        // A boundary must not occur in what it bounds.
        let free = |number: usize| format!("{BOUNDARY}-{number}");
        let occurs = |boundary: &String| bytes.windows(boundary.len()).any(|window| window == boundary.as_bytes());
        let boundary = (0..).map(free).find(|boundary| !occurs(boundary)).unwrap_or_default();
        let head = format!("--{boundary}\r\nContent-Type: application/dicom\r\n\r\n");
        let body = [head.as_bytes(), &bytes, format!("\r\n--{boundary}--\r\n").as_bytes()].concat();
        let kind = format!("multipart/related; type=\"application/dicom\"; boundary={boundary}");
        let answer = self.post("studies", &kind, "application/dicom+json", &body)?;
        let status = answer.status().as_u16();
        let told = self.json("studies", answer)?;
        match refusal(&told) {
            Some(problem) => Err(PacsError::Refused { path: path.into(), problem }),
            None if status == 409 => {
                Err(PacsError::Refused { path: path.into(), problem: "the archive says that it conflicts".into() })
            }
            None => Ok(()),
        }
    }
}

/// Why an object was not stored, by the failed SOP sequence of the answer (PS3.18, I.2).
fn refusal(told: &Value) -> Option<String> {
    let told = told.get(0).unwrap_or(told);
    let failed = told.get("00081198")?.get("Value")?.get(0)?;
    let reason = failed.get("00081197").and_then(|reason| reason.get("Value")?.get(0)?.as_u64());
    Some(match reason {
        Some(code) => format!("the archive refuses it (failure reason {code:#06x})"),
        None => "the archive refuses it".into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_refusal_is_read_from_the_answer() {
        let stored = json!({ "00081199": { "vr": "SQ", "Value": [{}] } });
        assert_eq!(refusal(&stored), None);
        assert_eq!(refusal(&json!([])), None);
        let failed = json!({ "00081198": { "vr": "SQ", "Value": [{ "00081197": { "vr": "US", "Value": [272] } }] } });
        assert_eq!(refusal(&failed).unwrap(), "the archive refuses it (failure reason 0x0110)");
    }
}

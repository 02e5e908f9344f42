//! The patient of a study, so that no patient is both learnt from and measured.

use crate::domain::study::{Grouping, Study};
use crate::io::{self, grouping, paths};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::path::Path;

/// How a patient's name is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Certainty {
    /// The reader said it.
    Reader,
    /// A fingerprint of the file's PatientID (DICOM 0010,0020). The identifier itself is not kept.
    Dicom,
    /// Guessed from the names of files: two names may be one patient.
    Name,
}

/// The patient of a study, as the file or its name tells.
pub fn of(study: &Study) -> (String, Certainty) {
    let first = study.files.first().unwrap_or(&study.source);
    if let Some(id) = dicom_id(first) {
        let hash = format!("{:x}", Sha256::digest(id.as_bytes()));
        return (format!("dicom-{}", &hash[..10]), Certainty::Dicom);
    }
    (name(study.grouping, first), Certainty::Name)
}

fn dicom_id(file: &Path) -> Option<String> {
    let attributes = io::dicom::attributes(file).ok()?;
    let id = attributes.into_iter().find(|a| a.depth == 0 && a.name == "PatientID")?.value;
    Some(id.trim().to_string()).filter(|id| !id.is_empty())
}

/// Names of slices have a part in common that stands for the patient. A volume that is called after its sequence has its patient in
/// the folder's name.
fn name(grouping: Grouping, file: &Path) -> String {
    let stem = paths::stem(file);
    let common = grouping::common_name(file);
    let has_digit = |text: &str| text.contains(|c: char| c.is_ascii_digit());
    match grouping {
        Grouping::Name | Grouping::Alike | Grouping::Hand => common,
        Grouping::Single if has_digit(&common) => common,
        _ if has_digit(&stem) => stem,
        _ => {
            let folder = file.parent().and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned());
            folder.filter(|folder| has_digit(folder)).unwrap_or(stem)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_files_tell_the_patient() {
        let of = |grouping, path: &str| name(grouping, Path::new(path));
        assert_eq!(of(Grouping::Name, "a/TCGA_CS_4941_7.tif"), "TCGA_CS_4941");
        assert_eq!(of(Grouping::Single, "a/TCGA_CS_4941_7.tif"), "TCGA_CS_4941");
        assert_eq!(of(Grouping::Single, "a/glioma_012.png"), "glioma_012");
        assert_eq!(of(Grouping::Volume, "brats-pat0003/flair.nii.gz"), "brats-pat0003");
        assert_eq!(of(Grouping::Volume, "scans/patient07.nii.gz"), "patient07");
    }
}

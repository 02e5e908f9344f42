//! Kinds of files that the window exports.

use super::mask_volume::VolumeFormat;
use super::report::TableFormat;
use crate::domain::study::{Cut, Study};
use std::path::{Path, PathBuf};

/// What an exported file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ExportKind {
    /// One slice with its mask and a footer.
    #[default]
    Picture,
    /// The positive slices of a study on one picture.
    Sheet,
    /// The mask of a study.
    Volume(VolumeFormat),
    /// What the models answered about every slice.
    Table(TableFormat),
}

impl ExportKind {
    pub const ALL: [ExportKind; 7] = [
        ExportKind::Picture,
        ExportKind::Sheet,
        ExportKind::Volume(VolumeFormat::Nifti),
        ExportKind::Volume(VolumeFormat::Seg),
        ExportKind::Volume(VolumeFormat::SegFractional),
        ExportKind::Table(TableFormat::Csv),
        ExportKind::Table(TableFormat::Json),
    ];

    /// Name in locales.
    pub fn id(self) -> &'static str {
        match self {
            ExportKind::Picture => "picture",
            ExportKind::Sheet => "sheet",
            ExportKind::Volume(format) => format.id(),
            ExportKind::Table(format) => format.id(),
        }
    }

    /// Ending of the file's name, without a dot in front.
    pub fn ending(self) -> &'static str {
        match self {
            ExportKind::Picture | ExportKind::Sheet => "png",
            ExportKind::Volume(format) => format.ending(),
            ExportKind::Table(format) => format.id(),
        }
    }

    /// Whether the file names the patient, as a part of the patient's records must.
    pub fn names_the_patient(self) -> bool {
        matches!(self, ExportKind::Volume(format) if format.names_the_patient())
    }

    /// Whether the file is about every slice of a study.
    pub fn is_of_study(self) -> bool {
        self != ExportKind::Picture
    }

    /// Whether the study and the models in use have what the file needs.
    pub fn suits(self, study: &Study, cut: Cut, has_segmenter: bool) -> bool {
        match self {
            ExportKind::Picture | ExportKind::Table(_) => true,
            ExportKind::Sheet => study.frames.count(cut.plane) > 1,
            ExportKind::Volume(VolumeFormat::Nifti) => has_segmenter,
            ExportKind::Volume(VolumeFormat::Seg | VolumeFormat::SegFractional) => {
                let lies = study.frames.layout(cut).is_some_and(|layout| layout.affine.is_some());
                has_segmenter && lies && study.subject.modality.is_some()
            }
        }
    }

    /// `path` with this kind's ending in place of the ending of any kind.
    pub fn rename(self, path: &Path) -> PathBuf {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let lower = name.to_lowercase();
        let old =
            ExportKind::ALL.iter().map(|kind| format!(".{}", kind.ending())).find(|e| lower.ends_with(e.as_str()));
        let plain = &name[..name.len() - old.map_or(0, |e| e.len())];
        if plain.is_empty() {
            return path.to_path_buf();
        }
        path.with_file_name(format!("{plain}.{}", self.ending()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kinds_ending_replaces_anothers() {
        let renamed = |kind: ExportKind, path: &str| kind.rename(Path::new(path)).display().to_string();
        assert_eq!(renamed(ExportKind::Volume(VolumeFormat::Nifti), "/x/a.b.png"), "/x/a.b.nii.gz");
        assert_eq!(renamed(ExportKind::Table(TableFormat::Csv), "/x/a.NII.GZ"), "/x/a.csv");
        assert_eq!(renamed(ExportKind::Volume(VolumeFormat::Seg), "/x/a"), "/x/a.dcm");
    }
}

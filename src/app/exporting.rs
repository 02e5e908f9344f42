//! Exports: what can be written, everything that goes into it, and the writing itself, on a thread of its own.

use super::textures::MaskFacts;
use crate::domain::card::Card;
use crate::domain::mask::Mask;
use crate::domain::measure::VolumeMeasurements;
use crate::domain::overlay::{self, OverlayStyle};
use crate::domain::prediction::{Classification, Segmentation, Thresholds};
use crate::domain::slice::{Slice, Spacing, SpacingSource};
use crate::domain::study::{Cut, Mismatch, Place, Study, Warning};
use crate::domain::window::Window;
use crate::export::annotated_png::{self, Annotated, Magnification};
use crate::export::contact_sheet::{self, Cell, Sheet};
use crate::export::report::{self, Answered, FileError, Report, SliceReport, StudyReport};
use crate::export::{ExportError, dicom_seg, nifti};
use crate::files::write_atomically;
use crate::io;
use rayon::prelude::*;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What a file shall hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ExportKind {
    /// The slice on show with its mask and footer.
    #[default]
    Picture,
    /// The positive slices of a study on one picture.
    Sheet,
    Nifti,
    Seg,
    SegFractional,
    Csv,
    Json,
}

impl ExportKind {
    pub const ALL: [ExportKind; 7] = [
        ExportKind::Picture,
        ExportKind::Sheet,
        ExportKind::Nifti,
        ExportKind::Seg,
        ExportKind::SegFractional,
        ExportKind::Csv,
        ExportKind::Json,
    ];

    /// Name in locales.
    pub fn id(self) -> &'static str {
        match self {
            ExportKind::Picture => "picture",
            ExportKind::Sheet => "sheet",
            ExportKind::Nifti => "nifti",
            ExportKind::Seg => "seg",
            ExportKind::SegFractional => "seg_fractional",
            ExportKind::Csv => "csv",
            ExportKind::Json => "json",
        }
    }

    /// Of its files.
    pub fn ending(self) -> &'static str {
        match self {
            ExportKind::Picture | ExportKind::Sheet => "png",
            ExportKind::Nifti => "nii.gz",
            ExportKind::Seg | ExportKind::SegFractional => "dcm",
            ExportKind::Csv => "csv",
            ExportKind::Json => "json",
        }
    }

    /// Whether it names the patient, as a part of the patient's records must.
    pub fn names_the_patient(self) -> bool {
        matches!(self, ExportKind::Seg | ExportKind::SegFractional)
    }

    /// Whether it speaks of every slice of a study.
    pub fn is_of_study(self) -> bool {
        self != ExportKind::Picture
    }

    /// Whether a study and the models in use have what it takes.
    pub fn suits(self, study: &Study, cut: Cut, has_segmenter: bool) -> bool {
        match self {
            ExportKind::Nifti | ExportKind::Seg | ExportKind::SegFractional if !has_segmenter => false,
            ExportKind::Sheet => study.frames.count(cut.plane) > 1,
            ExportKind::Seg | ExportKind::SegFractional => {
                let lies = study.frames.layout(cut).is_some_and(|layout| layout.affine.is_some());
                lies && study.subject.modality.is_some()
            }
            _ => true,
        }
    }

    /// `path` with this kind's ending, whatever of ours it ended in before.
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

/// How the scan looks in pictures.
#[derive(Debug, Clone, Copy)]
pub struct Looks {
    pub window: Window,
    pub invert: bool,
    pub style: OverlayStyle,
}

/// Footer above and below the sizes of the mask, which are measured on the very mask that is painted.
pub struct Footer {
    pub above: Vec<String>,
    pub below: Vec<String>,
}

/// The slice on show, with everything needed, so that it may change meanwhile.
pub struct Picture {
    pub slice: Arc<Slice>,
    pub spacing: Option<Spacing>,
    pub looks: Looks,
    pub segmentation: Option<Arc<Segmentation>>,
    pub mask_threshold: f32,
    pub truth: Option<Arc<Mask>>,
    pub magnification: Magnification,
    pub footer: Footer,
}

/// What was said of one slice; a mask only where the cascade shows it.
pub struct Said {
    pub place: Place,
    pub classification: Option<Classification>,
    pub segmentation: Option<Arc<Segmentation>>,
    pub is_positive: bool,
}

/// A whole study.
pub struct Whole {
    pub kind: ExportKind,
    pub study: Arc<Study>,
    pub cut: Cut,
    pub said: Vec<Said>,
    /// In the plane of the cut.
    pub spacing: Option<Spacing>,
    /// mm per pixel by the reader.
    pub calibration: Option<f64>,
    /// Whether a segmenter was asked at all.
    pub outlined: bool,
    pub thresholds: Thresholds,
    pub cards: Vec<Card>,
    pub looks: Looks,
    pub footer: Footer,
    pub device: String,
    /// Whether the files' names may be told, which can identify a patient.
    pub with_names: bool,
}

/// An export to be written.
pub enum Export {
    Picture(Box<Picture>),
    Whole(Box<Whole>),
}

impl Export {
    /// Writes the file whole or not at all; `progress` is told of slices done and to do, and says whether to go on.
    ///
    /// # Errors
    /// If a slice cannot be read, the study has not what the format needs, the file cannot be written, or `progress` says no.
    pub fn write(&self, path: &Path, progress: &dyn Fn(usize, usize) -> bool) -> Result<(), ExportError> {
        match self {
            Export::Picture(picture) => picture.write(path),
            Export::Whole(whole) => {
                let bytes = whole.bytes(progress)?;
                write_atomically(path, &bytes).map_err(|reason| ExportError::file(path, reason))
            }
        }
    }
}

impl Picture {
    fn write(&self, path: &Path) -> Result<(), ExportError> {
        let Looks { window, invert, style } = self.looks;
        let mask = self.segmentation.as_ref().map(|s| s.mask(self.mask_threshold));
        let painted = overlay::paint(mask.as_ref(), self.truth.as_deref(), style);
        let facts = MaskFacts::of(mask.as_ref(), self.truth.as_deref(), self.spacing);
        let sizes = super::ui::measurement_lines(&facts, self.mask_threshold);
        let lines = [self.footer.above.as_slice(), &sizes, &self.footer.below].concat();
        let grey = self.slice.shades(window, invert);
        let picture = Annotated {
            width: self.slice.width(),
            height: self.slice.height(),
            rgb: &overlay::composite(&grey, painted.as_deref()),
            magnification: self.magnification,
            labels: &[],
            lines: &lines,
        };
        annotated_png::write(path, &picture)
    }
}

impl Whole {
    fn bytes(&self, progress: &dyn Fn(usize, usize) -> bool) -> Result<Vec<u8>, ExportError> {
        match self.kind {
            ExportKind::Picture | ExportKind::Sheet => self.sheet(progress),
            ExportKind::Nifti => nifti::mask(&self.study, self.cut, &self.masks()),
            ExportKind::Seg => dicom_seg::binary(&self.study, self.cut, &self.masks(), &self.model()?.model),
            ExportKind::SegFractional => {
                let map = |said: &Said| Some((said.place.index, Segmentation::clone(said.segmentation.as_ref()?)));
                let maps: Vec<(usize, Segmentation)> = self.said.iter().filter_map(map).collect();
                dicom_seg::fractional(&self.study, self.cut, &maps, &self.model()?.model)
            }
            ExportKind::Csv => report::csv(&self.report(progress)?),
            ExportKind::Json => report::json(&self.report(progress)?),
        }
    }

    fn masks(&self) -> Vec<(usize, Mask)> {
        let mask = |said: &Said| Some((said.place.index, said.segmentation.as_ref()?.mask(self.thresholds.mask)));
        self.said.par_iter().filter_map(mask).collect()
    }

    /// Any mask: all are of one model.
    fn model(&self) -> Result<&Segmentation, ExportError> {
        let first = self.said.iter().find_map(|said| said.segmentation.as_deref());
        first.ok_or_else(|| ExportError::Segmentation("nothing was outlined".into()))
    }

    fn slice(&self, place: Place) -> Result<Arc<Slice>, ExportError> {
        self.study.frames.slice(place).map_err(|e| ExportError::Slice(e.to_string()))
    }

    /// The positive slices, or all of a study that has none.
    fn sheet(&self, progress: &dyn Fn(usize, usize) -> bool) -> Result<Vec<u8>, ExportError> {
        let positive: Vec<usize> = (0..self.said.len()).filter(|i| self.said[*i].is_positive).collect();
        let all: Vec<usize> = (0..self.said.len()).collect();
        let chosen = contact_sheet::chosen(if positive.is_empty() { &all } else { &positive });
        let mut cells = Vec::new();
        for (done, said) in chosen.iter().map(|i| &self.said[*i]).enumerate() {
            go_on(progress, done, chosen.len())?;
            // A damaged slice leaves a gap on the sheet, nothing more.
            let Ok(slice) = self.slice(said.place) else { continue };
            let mask = said.segmentation.as_ref().map(|s| s.mask(self.thresholds.mask));
            let painted = overlay::paint(mask.as_ref(), None, self.looks.style);
            let grey = slice.shades(self.looks.window, self.looks.invert);
            let rgb = overlay::composite(&grey, painted.as_deref());
            cells.push(Cell::new(said.place.index + 1, slice.width(), slice.height(), rgb));
        }
        let lines = [self.footer.above.as_slice(), &self.footer.below].concat();
        annotated_png::bytes(&Sheet::new(&cells).annotated(&lines))
    }

    fn report(&self, progress: &dyn Fn(usize, usize) -> bool) -> Result<Report, ExportError> {
        let mut report = Report::new(self.device.clone());
        let masks = self.masks();
        let unlike = |slice: &Slice| self.study.subject.mismatches_of(slice, &self.cards);
        let mut slices: Vec<SliceReport> = Vec::new();
        let mut hashes = io::Hashes::default();
        for (done, said) in self.said.iter().enumerate() {
            go_on(progress, done, self.said.len())?;
            let slice = match self.slice(said.place) {
                Ok(slice) => slice,
                Err(error) => {
                    let file =
                        if self.with_names { self.study.file(said.place).display().to_string() } else { String::new() };
                    let error = if self.with_names { error.to_string() } else { "cannot be read".into() };
                    let error = format!("slice {}: {error}", said.place.index + 1);
                    report.errors.push(FileError { file, error });
                    continue;
                }
            };
            let mut warnings: Vec<String> =
                self.study.warnings.iter().chain(&slice.warnings).map(Warning::code).collect();
            warnings.extend(unlike(&slice).iter().map(Mismatch::code));
            let mask = masks.iter().find(|(index, _)| *index == said.place.index).map(|(_, mask)| mask);
            let own = || Spacing::new(self.calibration?, self.calibration?, SpacingSource::Reader);
            let answered = Answered {
                place: said.place,
                slice: &slice,
                spacing: slice.spacing.or_else(own),
                classification: said.classification.as_ref(),
                segmentation: said.segmentation.as_deref().zip(mask),
                load_ms: None,
            };
            let mut one = SliceReport::new(&self.study, 0, &answered, self.thresholds, warnings);
            let path = self.study.file(said.place);
            // The drawn example is no file.
            one.sha256 =
                if path.is_file() { hashes.of(path).map_err(|e| ExportError::file(path, e))? } else { String::new() };
            if !self.with_names {
                one.file = String::new();
            }
            slices.push(one);
        }
        let voxel_mm3 = self.study.frames.layout(self.cut).and_then(|layout| layout.voxel_mm3());
        let sizes = self.outlined.then(|| VolumeMeasurements::of(&masks, self.spacing, voxel_mm3));
        let warnings = self.study.warnings.iter().map(Warning::code).collect();
        let mut study = StudyReport::new(&self.study, self.cut, &slices, sizes, None, warnings);
        if !self.with_names {
            study.source = String::new();
        }
        report.studies.push(study);
        report.results = slices;
        Ok(report)
    }
}

fn go_on(progress: &dyn Fn(usize, usize) -> bool, done: usize, total: usize) -> Result<(), ExportError> {
    if progress(done, total) { Ok(()) } else { Err(ExportError::Cancelled) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kinds_ending_replaces_anothers() {
        let renamed = |kind: ExportKind, path: &str| kind.rename(Path::new(path)).display().to_string();
        assert_eq!(renamed(ExportKind::Nifti, "/x/a.b.png"), "/x/a.b.nii.gz");
        assert_eq!(renamed(ExportKind::Csv, "/x/a.NII.GZ"), "/x/a.csv");
        assert_eq!(renamed(ExportKind::Seg, "/x/a"), "/x/a.dcm");
    }
}

//! Collects what an export is made of.

use super::picture::{Footer, Picture};
use super::table::{ResultTable, SliceFindings};
use crate::app::entry::Entry;
use crate::app::state::Interpolation;
use crate::app::tasks::free_name;
use crate::app::volumetry::Progress;
use crate::app::{App, Dialog, words};
use crate::domain::cascade::Gate;
use crate::domain::mask::Mask;
use crate::domain::overlay::OverlayColour;
use crate::domain::prediction::{Classification, ModelRef, Segmentation};
use crate::domain::study::Place;
use crate::export::contact_sheet::{SheetExport, SheetSlice};
use crate::export::kind::ExportKind;
use crate::export::mask_volume::{MaskVolume, VolumeFormat};
use crate::export::report::TableFormat;
use crate::export::{Export, Looks};
use rust_i18n::t;
use std::path::{Path, PathBuf};
use std::sync::Arc;

impl App {
    pub(in crate::app) fn start_export(&mut self) {
        if self.session.selected().is_none() {
            self.notifications.error(t!("export.nothing"));
            return;
        }
        let home = || directories::UserDirs::new().map(|d| d.document_dir().unwrap_or(d.home_dir()).to_path_buf());
        let folder = self.settings.export_folder.clone().filter(|f| f.is_dir()).or_else(home).unwrap_or_default();
        let fits = |entry: &Entry| {
            let has_segmenter = self.session.models.segmenter.is_some();
            self.fields.export_kind.suits(&entry.study, entry.cut(), has_segmenter)
        };
        if !self.session.selected().is_some_and(fits) {
            self.fields.export_kind = ExportKind::default();
        }
        self.fields.export_path = free_name(&folder, self.fields.export_kind).display().to_string();
        // Whose scan it is is asked anew for every file.
        self.settings.export_name = false;
        self.open(Dialog::Export);
    }

    /// Puts the annotated picture of the slice on show on the clipboard.
    pub(in crate::app) fn copy_picture(&self) {
        let (Some(entry), Some(view)) = (self.session.selected(), self.view()) else { return };
        let (window, invert, channel) = (view.window, view.invert, view.channel);
        let looks = Looks { window, invert, channel, style: self.settings.overlay };
        self.tasks.copy(self.picture(entry, looks));
    }

    pub(in crate::app) fn export(&mut self, path: PathBuf) {
        self.close(Dialog::Export);
        let kind = self.fields.export_kind;
        let (Some(entry), Some(view)) = (self.session.selected(), self.view()) else { return };
        if let Some(why) = entry.why_unreadable().filter(|_| !kind.is_of_study()).map(str::to_string) {
            self.notifications.error(why);
            return;
        }
        let looks =
            Looks { window: view.window, invert: view.invert, channel: view.channel, style: self.settings.overlay };
        let export: Box<dyn Export> = match kind {
            ExportKind::Picture => Box::new(self.picture(entry, looks)),
            ExportKind::Sheet => Box::new(self.sheet(entry, looks)),
            ExportKind::Volume(format) => Box::new(self.volume(entry, format)),
            ExportKind::Table(format) => Box::new(self.table(entry, format)),
        };
        self.export_job = Some(self.tasks.export(export, path));
    }

    /// Whether a file belongs to an open study, by whatever name it is called.
    pub(in crate::app) fn is_open(&self, path: &Path) -> bool {
        let Ok(path) = path.canonicalize() else { return false };
        let same = |own: &PathBuf| own.canonicalize().is_ok_and(|own| own == path);
        // Most names differ already, and asking the disk for each of thousands takes its time.
        let alike = |own: &&PathBuf| own.file_name() == path.file_name();
        self.session.list().any(|e| e.study.files.iter().filter(alike).any(same))
    }

    fn picture(&self, entry: &Entry, looks: Looks) -> Picture {
        let shown = self.settings.show_overlay;
        Picture {
            slice: entry.shown.slice.clone(),
            spacing: entry.spacing(),
            looks,
            segmentation: self.session.shown_segmentation(entry).filter(|_| shown).cloned(),
            resliced: self.resliced(entry).filter(|_| shown),
            mask_threshold: self.session.thresholds.mask,
            truth: entry.shown.truth.clone().filter(|_| shown),
            magnification: self.settings.magnification,
            is_smooth: self.settings.interpolation == Interpolation::Linear,
            paper: self.settings.export_paper,
            has_plain: self.settings.export_plain,
            marks: super::marks::of(entry, self.measuring.on(entry)),
            footer: self.footer(entry),
        }
    }

    /// The mask on a slice of a plane that the networks did not look in.
    fn resliced(&self, entry: &Entry) -> Option<Mask> {
        let place = entry.shown.place;
        let mask = self.volumetry.whole(&self.session)?.mask.as_ref().filter(|_| place.cut != entry.cut())?;
        mask.slice(&entry.study.frames.layout(place.cut)?, place.index)
    }

    fn sheet(&self, entry: &Entry, looks: Looks) -> SheetExport {
        let slice = |place: Place| SheetSlice {
            place,
            is_positive: self.session.is_positive(entry, place),
            segmentation: self.mask_at(entry, place),
        };
        SheetExport {
            study: entry.study.clone(),
            slices: entry.places().map(slice).collect(),
            mask_threshold: self.session.thresholds.mask,
            looks,
            lines: self.study_footer(entry),
        }
    }

    fn volume(&self, entry: &Entry, format: VolumeFormat) -> MaskVolume {
        let map = |place: Place| Some((place.index, self.mask_at(entry, place)?));
        MaskVolume {
            format,
            study: entry.study.clone(),
            cut: entry.cut(),
            maps: entry.places().filter_map(map).collect(),
            threshold: self.session.thresholds.mask,
        }
    }

    fn table(&self, entry: &Entry, format: TableFormat) -> ResultTable {
        let findings = |place: Place| SliceFindings {
            place,
            classification: self.session.classification_at(entry, place).cloned(),
            segmentation: self.mask_at(entry, place),
            outline: entry.outline(place).cloned(),
            gate: self.session.input_gate_at(entry, place).cloned(),
            failure: self.session.failure_at(entry, place).map(str::to_string),
        };
        ResultTable {
            format,
            study: entry.study.clone(),
            cut: entry.cut(),
            slices: entry.places().map(findings).collect(),
            cards: self.classifier_card().into_iter().chain(self.segmenter_card()).cloned().collect(),
            thresholds: self.session.thresholds,
            outlined: self.session.models.segmenter.is_some(),
            calibration: entry.calibration,
            device: self.device.clone().unwrap_or_default(),
            with_names: self.settings.export_name,
        }
    }

    /// What the deciding model was made for, in its card's words.
    fn known_pictures(&self) -> &str {
        let card = self.classifier_card().or_else(|| self.segmenter_card());
        card.map_or("", |card| card.input.modality.as_str())
    }

    /// Probabilities of a slice's mask, where the cascade shows it.
    fn mask_at(&self, entry: &Entry, place: Place) -> Option<Arc<Segmentation>> {
        let open = self.session.gate_at(entry, place).is_open();
        self.session.segmentation_at(entry, place).filter(|_| open).cloned()
    }

    /// The footer of a study's contact sheet.
    fn study_footer(&self, entry: &Entry) -> Vec<String> {
        let positive = entry.places().filter(|place| self.session.is_positive(entry, *place)).count();
        let mut lines = vec![t!("strip.positive", n = positive, count = entry.count()).into_owned()];
        if let Some(Progress::Done(sizes)) = self.volumetry.progress(&self.session) {
            lines.extend(words::volume_lines(&sizes, entry.count()));
        }
        let thresholds = self.session.thresholds;
        let number = |v: f64| words::decimal(v, 2);
        let (classifier, mask) = (number(thresholds.classifier), number(f64::from(thresholds.mask)));
        lines.push(t!("export.thresholds", classifier = classifier, mask = mask).into_owned());
        let places = || entry.places();
        let classifier = places().find_map(|place| self.session.classification_at(entry, place)).map(|c| &c.model);
        let segmenter = places().find_map(|place| self.session.segmentation_at(entry, place)).map(|s| &s.model);
        lines.extend(self.origin_lines(entry, classifier.into_iter().chain(segmenter)));
        lines
    }

    /// The footer of an exported picture. Nothing in it says whose scan it is unless the reader asked for the file's name.
    fn footer(&self, entry: &Entry) -> Footer {
        let (classification, segmentation) =
            (self.session.classification(entry), self.session.shown_segmentation(entry));
        let thresholds = self.session.thresholds;
        let mut lines = Vec::new();
        match classification {
            Some(c) => {
                let verdict = words::verdict_text(&c.verdict(thresholds.classifier));
                let at = words::decimal(thresholds.classifier, 2);
                lines.push(t!("export.verdict", verdict = verdict, threshold = at).into_owned());
                let percent =
                    |(class, p): &(String, f64)| format!("{} {}", words::class_name(class), words::percent_of(c, *p));
                lines.push(c.classes.iter().map(percent).collect::<Vec<_>>().join("   "));
            }
            None if self.session.is_withheld(entry, entry.shown.place) => {
                lines.push(t!("gate.withheld", known = self.known_pictures()).into_owned());
            }
            None if !entry.is_asked_view() => {
                lines.extend(
                    self.session.headline(entry).map(|headline| words::headline_text(&headline, entry.count())),
                );
                lines.push(t!("plane.answers_from", plane = words::plane_name(entry.asked_plane)).into_owned());
            }
            None if self.session.models.classifier.is_some() => lines.push(t!("findings.no_answer").into_owned()),
            None => lines.push(t!("findings.no_classifier").into_owned()),
        }
        if let Some(c) = classification {
            let calibrated = if c.is_calibrated() { t!("findings.calibrated") } else { t!("findings.uncalibrated") };
            lines.push(calibrated.into_owned());
        }
        if classification.is_some_and(Classification::is_unlike) {
            lines.push(t!("gate.shown", known = self.known_pictures()).into_owned());
        }
        if self.session.gate(entry) == Gate::Closed {
            lines.push(t!("findings.gate_closed").into_owned());
        }
        if entry.shown_count() > 1 {
            lines.push(t!("strip.slice", n = entry.shown.place.index + 1, count = entry.shown_count()).into_owned());
        }
        let above = std::mem::take(&mut lines);
        if entry.shown.truth.is_some() && self.settings.show_overlay {
            let colours = self.settings.overlay.colours();
            let name = |colour: OverlayColour| t!(format!("colour.{}", colour.id())).into_owned().to_lowercase();
            let line = t!("export.colours", prediction = name(colours.prediction), truth = name(colours.truth));
            lines.push(line.into_owned());
        }
        let models = classification.iter().map(|c| &c.model).chain(segmentation.map(|s| &s.model));
        lines.extend(self.origin_lines(entry, models));
        Footer { above, below: lines }
    }

    /// How the scan is shown, which models spoke, and that this is no medical device.
    fn origin_lines<'a>(&self, entry: &Entry, models: impl Iterator<Item = &'a ModelRef>) -> Vec<String> {
        let mut lines = Vec::new();
        if let Some(view) = self.view() {
            let decimals = view.window.decimals();
            let number = |v: f32| format!("{v:.decimals$}");
            let (centre, width) = (number(view.window.centre), number(view.window.width));
            let mut line = t!("export.window", centre = centre, width = width).into_owned();
            if view.invert {
                line.push_str(", ");
                line.push_str(&t!("export.inverted"));
            }
            if let Some(channel) = view.channel {
                line.push_str(", ");
                line.push_str(&t!("export.channel", n = channel.number()));
            }
            lines.push(line);
        }
        let models: Vec<String> = models.map(|m| format!("{} {}", m.id, m.short_hash())).collect();
        if !models.is_empty() {
            lines.push(t!("export.models", models = models.join("   ")).into_owned());
        }
        if self.settings.export_name {
            lines.push(entry.study.title.clone());
        }
        let device = self.device.clone().unwrap_or_default();
        lines.push(format!("LesionLens {}   {}   {}", env!("CARGO_PKG_VERSION"), device, t!("disclaimer.short")));
        lines
    }
}

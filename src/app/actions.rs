//! What the reader asks for, by panel or key, is done here.

use super::background::Job;
use super::command::Command;
use super::entry::Entry;
use super::measuring::{Stroke, Tool};
use super::planes::{Arrangement, Planes};
use super::session::Step;
use super::tasks::Pick;
use super::view::View;
use super::{Action, App, Dialog, default_thresholds, theme};
use crate::domain::geometry::Plane;
use crate::domain::study::{Cut, Grouping};
use rust_i18n::t;
use std::time::Instant;

/// Step of the threshold keys.
const THRESHOLD_STEP: f64 = 0.01;
const OPACITY_STEP: f32 = 0.05;

impl App {
    /// Does what a panel asked for.
    pub(super) fn apply(&mut self, action: Action) {
        let slice = self.session.selected().map(|e| e.shown.slice.clone());
        let looking = self.view.as_mut().map(|(_, view)| view).zip(slice.as_deref());
        match action {
            Action::Run(command) => self.run(command),
            Action::Open(paths) => {
                self.session.paused = false;
                self.show_next = true;
                paths.iter().rev().for_each(|path| self.settings.remember(path));
                self.opener.open(paths);
            }
            Action::Select(id) => self.session.select(id),
            Action::Go(step) => {
                self.session.go(step);
            }
            Action::Cut(cut) => self.cut(cut),
            Action::Draw(stroke) => self.draw(stroke),
            Action::InstallModel => self.install_model(),
            Action::Calibrate(mm_per_pixel) => {
                self.close(Dialog::Calibrate);
                if let Some(entry) = self.session.selected_mut() {
                    entry.calibration = Some(mm_per_pixel);
                }
            }
            Action::Sort(sort) => self.session.set_sort(sort),
            Action::Continue => self.session.paused = false,
            Action::ResetMaskThreshold => {
                self.session.thresholds.mask = default_thresholds(&self.cards, &self.session.models).mask;
            }
            Action::Threshold(t) => self.session.thresholds.classifier = t.clamp(0.01, 0.99),
            Action::MaskThreshold(t) => self.session.thresholds.mask = t.clamp(0.01, 0.99),
            Action::DragWindow(by) => {
                if let Some((view, slice)) = looking {
                    view.drag_window(slice, self.viewport, by);
                }
            }
            Action::Pan(by) => {
                if let Some((view, slice)) = looking {
                    view.pan(slice, self.viewport, by);
                }
            }
            Action::Zoom { about, factor } => {
                if let Some((view, slice)) = looking {
                    view.zoom_about(slice, self.viewport, about, factor);
                }
            }
            Action::Viewport(rect) => self.viewport = rect,
            Action::Explain(change) => self.explaining.change(change),
            Action::Overlay(style) => self.settings.overlay = style,
            Action::ShowOverlay(on) => self.settings.show_overlay = on,
            Action::ShowUnlike(on) => {
                if let Some(entry) = self.session.selected_mut() {
                    entry.shows_unlike = on;
                }
            }
            Action::Models(models) => {
                let (old, fresh) = (&self.session.models, default_thresholds(&self.cards, &models));
                // A threshold belongs to its model: the other one's stays where the reader put it.
                if old.classifier != models.classifier {
                    self.explaining.restart();
                    self.session.thresholds.classifier = fresh.classifier;
                }
                if old.segmenter != models.segmenter {
                    self.session.thresholds.mask = fresh.mask;
                }
                self.session.set_models(models);
                self.prepare_models();
            }
            Action::Theme(choice) => {
                self.settings.theme = choice;
                theme::choose(&self.ctx, choice);
            }
            Action::Language(language) => {
                self.settings.language = language;
                rust_i18n::set_locale(language.code());
            }
            Action::Interpolation(interpolation) => self.settings.interpolation = interpolation,
            Action::Device(device) => {
                self.settings.device = device;
                self.start_engine();
            }
            Action::Magnification(magnification) => self.settings.magnification = magnification,
            Action::ExportPaper(paper) => self.settings.export_paper = paper,
            Action::ExportPlain(on) => self.settings.export_plain = on,
            Action::ExportName(on) => self.settings.export_name = on,
            Action::ExportKind(kind) => {
                self.fields.export_kind = kind;
                let path = std::path::PathBuf::from(self.fields.export_path.trim());
                self.fields.export_path = kind.rename(&path).display().to_string();
            }
            Action::ChooseExportPath => {
                self.tasks.pick(Pick::Export(self.fields.export_kind), self.settings.export_folder.clone());
            }
            Action::ExportTo(path) => self.export(path),
            Action::Close(dialog) => self.close(dialog),
            Action::RemoveFigure(figure) => {
                if let Some(entry) = self.session.selected() {
                    self.measuring.remove(entry, figure);
                }
            }
            Action::NameLabel(text) => {
                if let Some(entry) = self.session.selected() {
                    self.measuring.label(entry, &text);
                }
            }
            Action::Paint(stroke) => self.paint(stroke),
            Action::Brush(brush) => self.editor.brush = brush,
            Action::BrushRadius(radius) => self.editor.radius = radius,
            Action::ChangeOutline(change) => self.change_outline(change),
            Action::WriteOutlines => self.write_outlines(),
            Action::Arrange(arrangement, plane) => self.arrange(arrangement, plane),
            Action::Cross(plane, pixel) => self.cross(plane, pixel),
            Action::Restores(on) => self.set_restores(on),
            Action::Collects(on) => self.settings.collects = on,
            Action::Reader(name) => self.settings.reader = name,
            Action::StartTuning => self.start_tuning(false),
            Action::ContinueTuning => self.start_tuning(true),
            Action::StopTuning => self.fine_tuning.stop(),
            Action::NewTuning => self.fine_tuning.reset(),
            Action::InstallTuned => self.install_tuned(),
            Action::AskToRemove(id) => {
                self.fields.removing = Some(id);
                self.open(Dialog::RemoveModel);
            }
            Action::RemoveModel(id) => {
                if let Some(folder) = self.models_folder.clone() {
                    self.tasks.remove_model(id, folder);
                }
            }
        }
    }

    pub(super) fn run(&mut self, command: Command) {
        let folder = self.settings.recent.first().and_then(|p| p.parent()).map(std::path::Path::to_path_buf);
        let thresholds = self.session.thresholds;
        let opacity = |by: f32| (self.settings.overlay.opacity + by).clamp(0.0, 1.0);
        match command {
            Command::Open => self.tasks.pick(Pick::Files, folder),
            Command::OpenFolder => self.tasks.pick(Pick::Folder, folder),
            Command::OpenTruth => {
                if let Some(entry) = self.session.selected() {
                    self.tasks.pick(Pick::Truth(entry.id), folder);
                }
            }
            Command::Export => self.start_export(),
            Command::Copy => self.copy_picture(),
            Command::Remove => self.session.remove_selected(),
            Command::Split => self.split(),
            Command::Join => self.join(),
            Command::LookHere => self.session.look_here(),
            Command::Next => self.along(true),
            Command::Previous => self.along(false),
            Command::First => _ = self.session.go(Step::First),
            Command::Last => _ = self.session.go(Step::Last),
            Command::NextPositive => self.go_to_positive(Step::NextPositive),
            Command::PreviousPositive => self.go_to_positive(Step::PreviousPositive),
            Command::Edit => self.toggle_editor(),
            Command::Undo => self.step_back(true),
            Command::Redo => self.step_back(false),
            Command::SaveOutlines => self.save_outlines(),
            Command::Planes => self.toggle_planes(),
            Command::Cine => self.cine = if self.cine.is_some() { None } else { Some(Instant::now()) },
            Command::HidePanels => self.panels_hidden = !self.panels_hidden,
            Command::FullScreen => {
                let is_full = self.ctx.input(|i| i.viewport().fullscreen.unwrap_or(false));
                self.ctx.send_viewport_cmd(egui::ViewportCommand::Fullscreen(!is_full));
            }
            Command::Tags => self.show_tags(),
            Command::Distance => self.take(Tool::Distance),
            Command::Area => self.take(Tool::Area),
            Command::Angle => self.take(Tool::Angle),
            Command::Label => self.take(Tool::Label),
            Command::ClearMeasurements => {
                if let Some(entry) = self.session.selected() {
                    self.measuring.clear(entry);
                }
            }
            Command::NextStudy => self.session.step(true),
            Command::PreviousStudy => self.session.step(false),
            Command::ToggleOverlay => self.settings.show_overlay = !self.settings.show_overlay,
            Command::ToggleContour => self.settings.overlay.contour = !self.settings.overlay.contour,
            Command::MoreOpacity => self.settings.overlay.opacity = opacity(OPACITY_STEP),
            Command::LessOpacity => self.settings.overlay.opacity = opacity(-OPACITY_STEP),
            Command::RaiseThreshold => self.apply(Action::Threshold(thresholds.classifier + THRESHOLD_STEP)),
            Command::LowerThreshold => self.apply(Action::Threshold(thresholds.classifier - THRESHOLD_STEP)),
            Command::ResetThreshold => {
                self.session.thresholds.classifier = default_thresholds(&self.cards, &self.session.models).classifier;
            }
            Command::ResetView => self.change_view(|view, slice| *view = View::of(slice)),
            Command::Fit => self.change_view(View::fit),
            Command::Invert => self.change_view(|view, _| view.invert = !view.invert),
            Command::NextChannel => self.change_view(|view, slice| view.next_channel(slice)),
            Command::Preset1 => self.change_view(|view, slice| view.set_preset(slice, 1)),
            Command::Preset2 => self.change_view(|view, slice| view.set_preset(slice, 2)),
            Command::Preset3 => self.change_view(|view, slice| view.set_preset(slice, 3)),
            Command::Preset4 => self.change_view(|view, slice| view.set_preset(slice, 4)),
            Command::Preset5 => self.change_view(|view, slice| view.set_preset(slice, 5)),
            Command::Cancel => self.cancel(),
            Command::Settings => self.toggle(Dialog::Settings),
            Command::ImportModel => self.tasks.pick(Pick::Model, folder),
            Command::FineTune => self.show_fine_tune(),
            Command::Why => self.explaining.is_on = !self.explaining.is_on,
            Command::ModelCard => self.toggle(Dialog::ModelCard),
            Command::Shortcuts => self.toggle(Dialog::Shortcuts),
        }
    }

    /// Along the slices of a study; a study of a single slice is left for its neighbour.
    fn along(&mut self, onwards: bool) {
        if self.session.selected().is_some_and(|entry| entry.shown_count() > 1) {
            self.session.go(Step::By(if onwards { 1 } else { -1 }));
        } else {
            self.session.step(onwards);
        }
    }

    /// Takes back the last stroke or measurement, or does it again.
    fn step_back(&mut self, back: bool) {
        if self.editor.is_on {
            self.editor.step(&mut self.session, back);
        } else {
            self.measuring.step(back);
        }
    }

    fn toggle_planes(&mut self) {
        let Some(entry) = self.session.selected().filter(|entry| Planes::suit(entry)) else {
            self.notifications.info(t!("planes.none"));
            return;
        };
        let next = match self.planes.arrangement {
            Arrangement::Single => Arrangement::Grid,
            Arrangement::Grid | Arrangement::Enlarged => Arrangement::Single,
        };
        self.arrange(next, entry.place.cut.plane);
    }

    /// Lays the planes out; the slices stay those that cross.
    fn arrange(&mut self, arrangement: Arrangement, plane: Plane) {
        self.planes.arrangement = arrangement;
        let Some(entry) = self.session.selected() else { return };
        if let Some([_, _, index]) = self.planes.crossing(entry, plane).filter(|_| entry.place.cut.plane != plane) {
            let cut = Cut { plane, ..entry.place.cut };
            self.session.cut(cut);
            self.session.go(Step::To(index));
        }
        self.change_view(View::fit);
    }

    /// Lets the planes cross at a pixel of one; the plane in hand goes to the slice where they cross.
    fn cross(&mut self, plane: Plane, pixel: [usize; 3]) {
        let Some(entry) = self.session.selected() else { return };
        self.planes.cross_at(entry, plane, pixel);
        if let Some([_, _, index]) = self.planes.crossing(entry, entry.place.cut.plane) {
            self.session.go(Step::To(index));
        }
    }

    fn show_tags(&mut self) {
        if self.dialogs.contains(&Dialog::Tags) {
            self.close(Dialog::Tags);
            return;
        }
        match self.session.selected() {
            Some(entry) if entry.study.grouping == Grouping::Series || entry.study.subject.modality.is_some() => {
                self.tasks.read_tags(entry.study.file(entry.place).to_path_buf());
            }
            _ => self.notifications.info(t!("tags.no_dicom")),
        }
    }

    fn install_model(&mut self) {
        let slice = self.session.selected().map(|entry| entry.shown.slice.clone());
        match (&mut self.importing, &self.models_folder) {
            (Some(importing), Some(folder)) => {
                importing.busy = true;
                let (detected, wishes) = (importing.detected.clone(), importing.wishes.clone());
                self.tasks.install_model(detected, wishes, folder.clone(), slice);
            }
            _ => self.notifications.error(t!("import.no_folder")),
        }
    }

    /// The same tool again puts it away.
    fn take(&mut self, tool: Tool) {
        self.measuring.tool = if self.measuring.tool == tool { Tool::Window } else { tool };
        self.editor.is_on = false;
        let unknown = self.session.selected().is_some_and(|entry| entry.spacing().is_none());
        if matches!(self.measuring.tool, Tool::Distance | Tool::Area) && unknown {
            self.notifications.info(t!("measure.no_mm"));
        }
    }

    fn draw(&mut self, stroke: Stroke) {
        let Some(entry) = self.session.selected() else { return };
        let finished = self.measuring.draw(entry, stroke);
        // The first line on a picture without mm can give it mm.
        if finished && self.measuring.tool == Tool::Distance && entry.spacing().is_none() {
            self.open(Dialog::Calibrate);
        } else if finished && self.measuring.tool == Tool::Label {
            self.fields.label.clear();
            self.open(Dialog::Label);
        }
    }

    fn go_to_positive(&mut self, step: Step) {
        let is_asked_view = self.session.selected().is_some_and(Entry::is_asked_view);
        let step = if is_asked_view { Some(step) } else { self.step_along_mask(step) };
        if !step.is_some_and(|step| self.session.go(step)) {
            self.notifications.info(t!("strip.no_positive"));
        }
    }

    /// Looks at the selected study in another cut; another plane is shown where most was found.
    fn cut(&mut self, cut: Cut) {
        let turned = self.session.selected().is_some_and(|entry| entry.place.cut.plane != cut.plane);
        self.session.cut(cut);
        let telling = self.session.selected().filter(|_| turned).and_then(|entry| self.most_telling(entry));
        if let Some(index) = telling {
            self.session.go(Step::To(index));
        }
    }

    /// The slice of the plane on show with the highest probability, or with most of the mask where networks were not asked.
    fn most_telling(&self, entry: &Entry) -> Option<usize> {
        if entry.is_asked_view() {
            return Some(self.session.headline(entry)?.highest?.0);
        }
        let areas = self.volumetry.whole(&self.session)?.areas(entry.place.cut.plane);
        let most = areas.iter().enumerate().max_by_key(|(_, area)| **area)?;
        (*most.1 > 0).then_some(most.0)
    }

    /// The step to the next or previous slice with some of the mask, in a plane that networks were not asked about.
    fn step_along_mask(&self, step: Step) -> Option<Step> {
        let place = self.session.selected()?.place;
        let areas = self.volumetry.whole(&self.session)?.areas(place.cut.plane);
        let has_mask = |index: &usize| areas.get(*index).is_some_and(|area| *area > 0);
        let found = match step {
            Step::NextPositive => (place.index + 1..areas.len()).find(has_mask),
            _ => (0..place.index).rev().find(has_mask),
        };
        found.map(Step::To)
    }

    fn change_view(&mut self, change: impl FnOnce(&mut View, &crate::domain::slice::Slice)) {
        if let (Some((_, view)), Some(entry)) = (&mut self.view, self.session.selected()) {
            change(view, &entry.shown.slice);
        }
    }

    fn toggle(&mut self, dialog: Dialog) {
        if self.dialogs.contains(&dialog) {
            self.close(dialog);
        } else {
            self.open(dialog);
        }
    }

    pub(super) fn open(&mut self, dialog: Dialog) {
        if !self.dialogs.contains(&dialog) {
            self.dialogs.push(dialog);
            self.fields.focus.ask();
        }
    }

    pub(super) fn close(&mut self, dialog: Dialog) {
        self.dialogs.retain(|open| *open != dialog);
        if dialog == Dialog::Label {
            self.apply(Action::NameLabel(String::new()));
        }
        if dialog == Dialog::Import {
            self.importing = None;
            self.offer_next();
        }
    }

    /// Escape: the topmost thing goes: a dialog, the work under way, a message.
    fn cancel(&mut self) {
        if let Some(dialog) = self.dialogs.last().copied() {
            self.close(dialog);
            return;
        }
        if self.cine.take().is_some() {
            return;
        }
        // Escape puts the tool in hand away.
        if std::mem::take(&mut self.editor.is_on) {
            return;
        }
        if std::mem::take(&mut self.measuring.tool) != Tool::Window {
            return;
        }
        if self.explaining.under_way().is_some() {
            self.explaining.is_on = false;
            return;
        }
        if self.panels_hidden {
            self.panels_hidden = false;
            return;
        }
        if self.exporting.take().is_some() {
            // It may have been written already, so what came of it is still heard.
            self.export_job.iter().for_each(Job::stop);
            return;
        }
        let (done, total) = self.session.progress();
        if self.opening.is_some() || (done < total && !self.session.paused) {
            self.opener.cancel();
            if let Some(worker) = &self.worker {
                worker.cancel_all();
            }
            self.opening = None;
            self.session.paused = true;
            return;
        }
        self.notifications.dismiss_latest();
    }
}

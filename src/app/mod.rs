//! The window. Panels draw and emit actions; `actions` applies them; nothing here knows tensors or file formats.

mod actions;
mod background;
pub mod command;
mod correcting;
mod editor;
pub mod entry;
mod explaining;
mod export;
mod figures;
mod fine_tuning;
mod grouping;
mod history;
mod importing;
mod logic;
mod measuring;
mod notch;
mod notifications;
mod opener;
mod planes;
mod problems;
mod replies;
mod restoring;
pub mod session;
mod session_file;
pub mod shown;
pub mod state;
mod tasks;
mod textures;
mod theme;
mod ui;
mod view;
mod volumetry;
mod words;

use crate::domain::card::Card;
use crate::domain::geometry::Plane;
use crate::domain::overlay::OverlayStyle;
use crate::domain::prediction::Thresholds;
use crate::domain::ruler::Figure;
use crate::domain::study::{Cut, Place};
use crate::engine::device::DeviceChoice;
use crate::engine::importing::own_models;
use crate::engine::worker::{Started, Worker};
use crate::export::annotated_png::{Magnification, Paper};
use crate::export::kind::ExportKind;
use crate::io::dicom::Attribute;
use crate::tuning::Corrections;
use background::{Background, Fault, Job};
use command::Command;
use editor::{Brush, Change, Editor};
use egui::{Pos2, Rect, Vec2};
use entry::EntryId;
use explaining::Explaining;
use fine_tuning::FineTuning;
use importing::Importing;
use measuring::{Measuring, Stroke};
use notifications::Notifications;
use opener::Opener;
use planes::{Arrangement, Planes};
use restoring::Restoring;
use rust_i18n::t;
use session::{Models, Session, Sort, Step};
use state::{Interpolation, Language, Settings, ThemeChoice};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;
use tasks::Tasks;
use textures::Textures;
use view::View;
use volumetry::Volumetry;

/// What a panel wants done.
#[derive(Debug, Clone, PartialEq)]
enum Action {
    Run(Command),
    Open(Vec<PathBuf>),
    Select(EntryId),
    Go(Step),
    Draw(Stroke),
    /// Takes one measurement off the slice on show.
    RemoveFigure(usize),
    /// Gives the label that was just placed its text.
    NameLabel(String),
    /// Corrects the outline of the slice on show.
    Paint(Stroke),
    Brush(Brush),
    /// Pixels.
    BrushRadius(f32),
    ChangeOutline(Change),
    WriteOutlines,
    /// mm per pixel.
    Calibrate(f64),
    InstallModel,
    Cut(Cut),
    /// Lays the planes out, with this one in hand.
    Arrange(Arrangement, Plane),
    /// Lets the planes cross at column, row and slice of one.
    Cross(Plane, [usize; 3]),
    Sort(Sort),
    Threshold(f64),
    ResetMaskThreshold,
    /// After a cancel: go on asking about the rest of the list.
    Continue,
    MaskThreshold(f32),
    DragWindow(Vec2),
    Pan(Vec2),
    Zoom {
        about: Pos2,
        factor: f32,
    },
    /// Where the viewport was drawn.
    Viewport(Rect),
    Explain(explaining::Change),
    Overlay(OverlayStyle),
    ShowOverlay(bool),
    /// Shows answers about slices that the models do not know, or withholds them.
    ShowUnlike(bool),
    Models(Models),
    Theme(ThemeChoice),
    Language(Language),
    Interpolation(Interpolation),
    Device(DeviceChoice),
    Magnification(Magnification),
    ExportName(bool),
    ExportPaper(Paper),
    ExportPlain(bool),
    ExportTo(PathBuf),
    ChooseExportPath,
    ExportKind(ExportKind),
    Close(Dialog),
    /// Whether what was open is opened again at the next start.
    Restores(bool),
    /// Whether saved outlines are copied to the corrections.
    Collects(bool),
    /// Who outlines.
    Reader(String),
    StartTuning,
    StopTuning,
    ContinueTuning,
    /// Starts over after a finished fine-tune.
    NewTuning,
    InstallTuned,
    AskToRemove(String),
    RemoveModel(String),
}

/// Windows over the window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dialog {
    Shortcuts,
    Settings,
    ModelCard,
    Export,
    Calibrate,
    Import,
    RemoveModel,
    SaveMask,
    Label,
    Tags,
    FineTune,
}

impl Dialog {
    /// The command that opens the dialog, and closes it when it is given again.
    fn command(self) -> Option<Command> {
        match self {
            Dialog::Shortcuts => Some(Command::Shortcuts),
            Dialog::Settings => Some(Command::Settings),
            Dialog::ModelCard => Some(Command::ModelCard),
            Dialog::Tags => Some(Command::Tags),
            Dialog::FineTune => Some(Command::FineTune),
            Dialog::Export
            | Dialog::Calibrate
            | Dialog::Import
            | Dialog::RemoveModel
            | Dialog::SaveMask
            | Dialog::Label => None,
        }
    }
}

/// Starts an engine on the wanted device; called on the worker's thread.
pub type EngineFactory = Arc<dyn Fn(DeviceChoice) -> Started + Send + Sync>;

/// What the program starts with.
pub struct Options {
    /// Files to open; the bundled example when empty.
    pub paths: Vec<PathBuf>,
    pub engine: EngineFactory,
    /// Where settings are kept; nowhere for tests.
    pub settings: Option<PathBuf>,
    /// Where imported models are installed.
    pub models_folder: Option<PathBuf>,
    /// Where corrected studies are collected.
    pub corrections: Option<Corrections>,
    /// Where windows keep what is open.
    pub sessions: Option<PathBuf>,
    /// Instead of the one that was chosen last or is the system's.
    pub language: Option<Language>,
    /// Cards of the models that can be chosen.
    pub cards: Vec<Card>,
    pub models: Models,
    /// Things about the models the user should know.
    pub problems: Vec<String>,
}

/// The application.
pub struct App {
    settings: Settings,
    settings_path: Option<PathBuf>,
    /// As last written, and since when they differ.
    saved: Settings,
    changed: Option<Instant>,
    session: Session,
    cards: BTreeMap<String, Card>,
    view: Option<(EntryId, View)>,
    viewport: Rect,
    textures: Textures,
    notifications: Notifications,
    /// Open windows, the newest last.
    dialogs: Vec<Dialog>,
    fields: ui::Fields,
    /// A text field had the focus at the end of the last frame.
    typing: bool,
    /// The next slice to arrive is the first of what was just opened, and is shown.
    show_next: bool,
    opening: Option<(usize, usize)>,
    /// Slices of an export, done and to do.
    exporting: Option<(usize, usize)>,
    export_job: Option<Job>,
    device: Option<String>,
    engine: EngineFactory,
    worker: Option<Worker>,
    engine_job: Option<Job>,
    opener: Opener,
    tasks: Tasks,
    /// A slice that is being made to be shown.
    coming: Option<(EntryId, Place)>,
    volumetry: Volumetry,
    explaining: Explaining,
    planes: Planes,
    measuring: Measuring,
    editor: Editor,
    /// Wheel events for one notch of the wheel.
    events_per_notch: f32,
    /// The slices are played, and when the last one was shown.
    cine: Option<Instant>,
    /// Only the scan is shown.
    panels_hidden: bool,
    /// Attributes of a DICOM file that were asked for.
    tags: Option<(PathBuf, Vec<Attribute>)>,
    importing: Option<Importing>,
    /// Models that wait for their turn.
    offered: VecDeque<Importing>,
    /// Where imported models go.
    models_folder: Option<PathBuf>,
    /// Where corrected studies are collected.
    corrections: Option<Corrections>,
    fine_tuning: FineTuning,
    restoring: Restoring,
    /// Ids of the models in that folder.
    own_models: BTreeSet<String>,
    /// The pair that the program starts with.
    default_models: Models,
    ctx: egui::Context,
}

impl App {
    pub fn new(ctx: &egui::Context, options: Options) -> Self {
        theme::install(ctx);
        let is_first_start = options.settings.as_deref().is_some_and(|path| !path.exists());
        let mut settings = options.settings.as_deref().map(Settings::load).unwrap_or_default();
        if let Some(language) = options.language {
            settings.language = language;
        }
        theme::choose(ctx, settings.theme);
        rust_i18n::set_locale(settings.language.code());
        let cards: BTreeMap<String, Card> = options.cards.into_iter().map(|c| (c.id.clone(), c)).collect();
        let thresholds = default_thresholds(&cards, &options.models);
        let background = Background::new(ctx);
        let mut app = Self {
            saved: settings.clone(),
            changed: None,
            default_models: options.models.clone(),
            own_models: options.models_folder.as_deref().map(own_models).unwrap_or_default(),
            session: Session::new(options.models, thresholds),
            settings,
            settings_path: options.settings,
            cards,
            view: None,
            viewport: Rect::NOTHING,
            textures: Textures::new(&background),
            notifications: Notifications::default(),
            dialogs: Vec::new(),
            fields: ui::Fields::default(),
            typing: false,
            show_next: true,
            opening: None,
            exporting: None,
            export_job: None,
            device: None,
            engine: options.engine,
            worker: None,
            engine_job: None,
            opener: Opener::new(&background),
            tasks: Tasks::new(&background),
            coming: None,
            volumetry: Volumetry::new(&background),
            explaining: Explaining::default(),
            planes: Planes::new(&background),
            measuring: Measuring::default(),
            editor: Editor::new(),
            events_per_notch: 1.0,
            cine: None,
            panels_hidden: false,
            tags: None,
            importing: None,
            offered: VecDeque::new(),
            models_folder: options.models_folder,
            corrections: options.corrections,
            fine_tuning: FineTuning::default(),
            restoring: Restoring::new(options.sessions),
            ctx: ctx.clone(),
        };
        app.start_engine();
        for problem in options.problems {
            app.notifications.error(problem);
        }
        if is_first_start {
            app.notifications.info(t!("welcome.colours"));
        }
        if !options.paths.is_empty() {
            app.apply(Action::Open(options.paths));
        } else if !app.restore() {
            app.opener.open_example();
        }
        app
    }

    /// (Re)starts the engine on the device of the settings and loads the models in use ahead of the first question.
    fn start_engine(&mut self) {
        let (make, choice) = (self.engine.clone(), self.settings.device);
        let (worker, service) = Worker::new();
        self.device = None;
        // The engine of before ends with its worker, and is not heard again.
        self.worker = Some(worker);
        let job = self.tasks.run_engine(service, move || make(choice));
        if let Some(before) = self.engine_job.replace(job) {
            before.cancel();
        }
        self.session.restart();
        self.explaining.restart();
        self.prepare_models();
    }

    /// Gives up the engine, which ended early; nothing waits for its answers any more.
    fn engine_stopped(&mut self, fault: Fault) {
        self.worker = None;
        self.session.restart();
        self.notifications.error(t!("error.engine_stopped", why = fault.text()));
    }

    /// Has the models in use loaded ahead of the first question.
    fn prepare_models(&self) {
        let Models { classifier, segmenter } = &self.session.models;
        if let Some(worker) = &self.worker {
            classifier.iter().chain(segmenter).for_each(|id| worker.prepare(id));
        }
    }

    /// The open slices, for tests.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// Measurements on the slice on show, for tests.
    pub fn figures(&self) -> &[Figure] {
        self.session.selected().map_or(&[], |entry| self.measuring.on(entry))
    }

    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    fn view(&self) -> Option<&View> {
        self.view.as_ref().map(|(_, view)| view)
    }

    fn classifier_card(&self) -> Option<&Card> {
        self.cards.get(self.session.models.classifier.as_ref()?)
    }

    fn segmenter_card(&self) -> Option<&Card> {
        self.cards.get(self.session.models.segmenter.as_ref()?)
    }
}

/// The thresholds of the models' cards, ½ without one.
fn default_thresholds(cards: &BTreeMap<String, Card>, models: &Models) -> Thresholds {
    let of = |id: &Option<String>| id.as_ref().and_then(|id| cards.get(id)).map_or(0.5, |card| card.threshold.default);
    Thresholds { classifier: of(&models.classifier), mask: of(&models.segmenter) as f32 }
}

impl eframe::App for App {
    fn logic(&mut self, ctx: &egui::Context, _frame: &mut eframe::Frame) {
        self.tick(ctx);
    }

    fn ui(&mut self, ui: &mut egui::Ui, _frame: &mut eframe::Frame) {
        let actions = ui::draw(self, ui);
        self.typing = ui.text_edit_focused();
        for action in actions {
            self.apply(action);
        }
    }

    fn on_exit(&mut self, _gl: Option<&eframe::glow::Context>) {
        self.save_session_now();
        // The last moment: nobody is left to be told of a failure.
        if let Some(path) = self.settings_path.as_deref().filter(|_| self.settings != self.saved) {
            self.settings.save_changes(path, &self.saved).ok();
        }
    }
}

/// Opens the window and returns when it is closed.
pub fn run(options: Options) -> eframe::Result {
    let icon = eframe::icon_data::from_png_bytes(include_bytes!("../../assets/icon/lesionlens-256.png")).ok();
    let viewport = egui::ViewportBuilder::default()
        .with_title("LesionLens")
        .with_app_id("lesionlens")
        .with_inner_size([1280.0, 800.0])
        .with_min_inner_size([860.0, 520.0])
        .with_drag_and_drop(true);
    let viewport = match icon {
        Some(icon) => viewport.with_icon(icon),
        None => viewport,
    };
    let native = eframe::NativeOptions { viewport, ..Default::default() };
    eframe::run_native(
        "LesionLens",
        native,
        Box::new(|cc| {
            let events_per_notch = notch::events();
            Ok(Box::new(App { events_per_notch, ..App::new(&cc.egui_ctx, options) }))
        }),
    )
}

//! A fine-tune from its plan to the new model: read, learn, compare, install.

use super::card::Run;
use super::comparison::{Comparison, Conclusion, Dice};
use super::corrections::{Corrections, Outlined};
use super::error::TuningError;
use super::patient::Certainty;
use super::recipe::{self, CORRECTIONS, Data, REHEARSAL};
use super::selection;
use crate::domain::card::{Card, Epoch};
use crate::domain::figures::Case;
use crate::models::import;
use crate::models::model::read_graph;
use crate::models::registry::Registry;
use crate::train::cache;
use crate::train::calibration::{self, MaskThreshold};
use crate::train::checkpoint::{RunFolder, write_atomically};
use crate::train::dataset::Dataset;
use crate::train::error::TrainError;
use crate::train::evaluate::Evaluator;
use crate::train::fit::{Fit, Observer};
use crate::train::recipe::{Layout, Recipe};
use crate::train::run_note::RunNote;
use crate::train::sources::{self, Part};
use candle_core::Device;
use lesionlens_nn::exec::Parameters;
use lesionlens_nn::graph::Graph;
use lesionlens_nn::weights;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

/// Number of the format of a plan and of a comparison.
const FORMAT: u32 = 1;
/// Examples that are shown in all when nobody says for how many epochs.
const EXAMPLES: usize = 320;
/// Epochs at least and at most when nobody says how many.
const EPOCHS: (usize, usize) = (3, 16);

/// The model and the slices that a fine-tune is to learn from.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// Id of the model to start from.
    pub model: String,
    /// Folder of labelled slices.
    pub corrections: PathBuf,
    /// Folder of earlier data, of which some is shown again so that it is not forgotten.
    pub rehearse: Option<PathBuf>,
    /// Folder of the run.
    pub out: PathBuf,
    /// As many as suit the number of slices, without it.
    pub epochs: Option<usize>,
    /// Continue the run in `out`.
    pub resume: bool,
}

/// What a run was started with, in `fine-tune.toml` of its folder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Started {
    format: u32,
    model: String,
    model_sha256: String,
    epochs: usize,
}

/// What a fine-tune tells while it runs.
#[derive(Debug, Clone, PartialEq)]
pub enum News {
    /// Pictures read, of how many.
    Reading(usize, usize),
    /// Slices to learn from, and held-out slices.
    Learning { slices: usize, held_out: usize },
    /// Share of the steps that are done, and the time that the others will take.
    Step { done: f64, left: Option<Duration> },
    /// An epoch of so many, and its mean loss.
    Epoch { done: usize, of: usize, loss: f64 },
    /// Slices measured, of how many.
    Measuring(usize, usize),
}

/// What came of a fine-tune.
#[derive(Debug, Clone, PartialEq)]
pub struct Tuned {
    pub card: Card,
    pub comparison: Comparison,
}

/// Runs a fine-tune until it is finished or `stop` is set; then it can be continued.
///
/// # Errors
/// If the model cannot be trained, there is too little to learn from, a file cannot be read or written, or it was stopped
/// ([`TuningError::stopped`]).
pub fn run(
    plan: &Plan,
    registry: &Registry,
    tell: &mut dyn FnMut(News),
    stop: &AtomicBool,
) -> Result<Tuned, TuningError> {
    let entry = registry.get(&plan.model)?;
    let old = &entry.card;
    recipe::network(old)?;
    let folder = RunFolder(plan.out.clone());
    let data = |folder: &Path| -> Result<Data, TuningError> {
        let folder = folder.canonicalize().map_err(|e| TuningError::file(folder, e))?;
        Ok(Data { layout: selection::layout_of(&folder), folder })
    };
    let corrections = data(&plan.corrections)?;
    let rehearsal = plan.rehearse.as_deref().map(data).transpose()?;
    let found = selection::all(&corrections)?;
    let earlier = rehearsal.as_ref().map(selection::all).transpose()?.unwrap_or_default();
    let chosen = selection::choose(found, earlier, old.input.neighbours);
    let of_part = |part: Part| {
        let own = chosen.iter().filter(move |(source, own, _)| *source == CORRECTIONS && *own == part);
        own.map(|(_, _, one)| one.clone()).collect::<Vec<_>>()
    };
    let (learnt, held_out) = (of_part(Part::Train), of_part(Part::Test));
    if learnt.is_empty() && held_out.is_empty() {
        return Err(TuningError::Nothing(plan.corrections.clone()));
    }
    let lesions = learnt.iter().filter(|one| one.outline.is_some()).count();
    if lesions < 2 {
        return Err(TuningError::TooFew { folder: plan.corrections.clone(), slices: lesions });
    }
    let examples = chosen.iter().filter(|(_, part, _)| *part == Part::Train).count();
    let started = begin(plan, &folder, old, examples)?;
    let patients_guessed = guessed(&corrections)?;
    let recipe = recipe::recipe(old, corrections, rehearsal, started.epochs)?;
    let root = Path::new("/");
    let items = sources::items(root, &recipe, chosen)?;
    let mut read = 0;
    let data = Dataset::of(items, root, &recipe, &folder.0, &mut |n, of| {
        read += n;
        tell(News::Reading(read, of));
    })?;
    tell(News::Learning { slices: learnt.len(), held_out: held_out.len() });
    let own = || TuningError::NotTrainable(old.id.clone());
    let (graph, before) = read_graph(&entry.source, old)?.ok_or_else(own)?;
    let same = RunFolder(folder.0.clone());
    let device = &Device::Cpu;
    let (fit, note) = if folder.position().exists() {
        (Fit::resume(&recipe, &data, device, same)?, RunNote::read(&folder)?)
    } else {
        let note = RunNote::new(&recipe, data.sha256(), "cpu", Some(old.id.clone()));
        let text = toml::to_string(&note).map_err(|e| TuningError::file(&folder.note(), e))?;
        write_atomically(&folder.note(), text.as_bytes())?;
        (Fit::new(&recipe, &data, device, same, Some(before.clone()))?, note)
    };
    let (best, history) = fit.run(&mut Watch::new(started.epochs, tell), stop)?;
    let bytes = weights::write(&best, recipe.precision, None).map_err(TrainError::from)?;
    let after = weights::load(&graph, &bytes, device).map_err(TrainError::from)?;
    let judged = Judged { graph: &graph, recipe: &recipe, data: &data, device, threshold: old.threshold.default };
    let measured = judged.both(&before, &after, tell)?;
    let dice = |source: usize| Dice::of(&measured[0][source], &measured[1][source]);
    let (on_corrections, on_earlier) = (dice(CORRECTIONS), dice(REHEARSAL));
    let met = |one: &String| {
        let note = old.training.as_ref();
        note.is_some_and(|t| t.train_patients.contains(one) || t.validation_patients.contains(one))
    };
    let names = |all: &[crate::train::folders::Found]| -> BTreeSet<String> {
        all.iter().map(|one| one.patient.clone()).collect()
    };
    let comparison = Comparison {
        format: FORMAT,
        model: old.id.clone(),
        learnt_slices: learnt.len(),
        learnt_patients: names(&learnt).len(),
        known_to_old: names(&held_out).iter().filter(|name| met(name)).count(),
        patients_guessed,
        conclusion: on_corrections.map_or(Conclusion::NotMeasured, |dice| dice.conclusion()),
        corrections: on_corrections,
        earlier: on_earlier,
    };
    let card = Run {
        old,
        data: &data,
        history,
        comparison: &comparison,
        held_out: &measured[1][CORRECTIONS],
        seed: recipe.seed,
        commit: note.commit,
        sha256: format!("{:x}", Sha256::digest(&bytes)),
        gate_is_intact: same_layers(&before, &after, &recipe.phases[0].freeze)?,
    }
    .card();
    finish(&folder, &card, &comparison, &bytes)?;
    Ok(Tuned { card, comparison })
}

/// As [`run`], from a model that is installed now, and with threads of its own: whoever else works in this program does not wait for the
/// long row of its computations.
///
/// # Errors
/// As [`run`].
pub fn run_installed(
    plan: &Plan,
    tell: &mut (dyn FnMut(News) + Send),
    stop: &AtomicBool,
) -> Result<Tuned, TuningError> {
    let registry = Registry::scan();
    match rayon::ThreadPoolBuilder::new().build() {
        Ok(pool) => pool.install(|| run(plan, &registry, tell, stop)),
        // A system that gives no more threads has those of everybody.
        Err(_) => run(plan, &registry, tell, stop),
    }
}

fn plan_file(folder: &RunFolder) -> PathBuf {
    folder.0.join("fine-tune.toml")
}

fn comparison_file(folder: &RunFolder) -> PathBuf {
    folder.0.join("comparison.json")
}

/// Makes the run's folder, or reads what the run there was started with.
fn begin(plan: &Plan, folder: &RunFolder, old: &Card, examples: usize) -> Result<Started, TuningError> {
    let path = plan_file(folder);
    match (plan.resume, path.exists()) {
        (false, true) => return Err(TuningError::Exists(plan.out.clone())),
        (true, false) => return Err(TuningError::NoRun(plan.out.clone())),
        (true, true) => {
            let text = std::fs::read_to_string(&path).map_err(|e| TuningError::file(&path, e))?;
            let started: Started = toml::from_str(&text).map_err(|e| TuningError::file(&path, e))?;
            if started.model != old.id || started.model_sha256 != old.sha256 {
                return Err(TuningError::OtherModel { run: plan.out.clone(), model: old.id.clone() });
            }
            return Ok(started);
        }
        (false, false) => {}
    }
    let usual = EXAMPLES.div_ceil(examples.max(1)).clamp(EPOCHS.0, EPOCHS.1);
    let epochs = plan.epochs.unwrap_or(usual);
    let started = Started { format: FORMAT, model: old.id.clone(), model_sha256: old.sha256.clone(), epochs };
    std::fs::create_dir_all(&folder.0).map_err(|e| TuningError::file(&folder.0, e))?;
    let text = toml::to_string(&started).map_err(|e| TuningError::file(&path, e))?;
    write_atomically(&path, text.as_bytes())?;
    Ok(started)
}

/// Whether the patients of any outlined slice are only guessed from file names, or not known at all.
fn guessed(Data { folder, layout }: &Data) -> Result<bool, TuningError> {
    match layout {
        // A list of somebody else has no column for it, and names its patients.
        Layout::Slices => {
            let rows = Corrections { folder: folder.clone() }.rows().unwrap_or_default();
            let outlined = rows.iter().filter(|row| row.outlined == Outlined::Yes);
            Ok(outlined.into_iter().any(|row| row.patient_from == Certainty::Name))
        }
        Layout::Volumes | Layout::PatientFolders => Ok(false),
        Layout::Outlines | Layout::ClassFolders => Ok(true),
    }
}

/// Whether all weights of these layers are what they were.
fn same_layers(before: &Parameters, after: &Parameters, layers: &[String]) -> Result<bool, TuningError> {
    let is_of =
        |name: &str| layers.iter().any(|layer| name.strip_prefix(layer.as_str()).is_some_and(|r| r.starts_with('.')));
    for (name, tensor) in before.iter().filter(|(name, _)| is_of(name)) {
        let values = |tensor: &candle_core::Tensor| tensor.flatten_all()?.to_vec1::<f32>();
        let old = values(tensor).map_err(TrainError::from)?;
        let new = after.get(name).map(values).transpose().map_err(TrainError::from)?;
        if new.as_ref() != Some(&old) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The card comes last, since it says that the run is finished.
fn finish(folder: &RunFolder, card: &Card, comparison: &Comparison, bytes: &[u8]) -> Result<(), TuningError> {
    write_atomically(&folder.weights(), bytes)?;
    let path = comparison_file(folder);
    let text = serde_json::to_vec_pretty(comparison).map_err(|e| TuningError::file(&path, e))?;
    write_atomically(&path, &text)?;
    let path = folder.card();
    let text = toml::to_string(card).map_err(|e| TuningError::file(&path, e))?;
    write_atomically(&path, text.as_bytes())?;
    cache::remove(&folder.0);
    Ok(())
}

/// Installs the model of a finished run as a new one called `id` in the folder `models`.
///
/// # Errors
/// If the run is not finished, the id is taken or unusable, or a file cannot be read or written.
pub fn install(run: &Path, id: &str, models: &Path) -> Result<Card, TuningError> {
    let folder = RunFolder(run.to_path_buf());
    if !folder.card().exists() {
        return Err(TuningError::Unfinished(run.to_path_buf()));
    }
    let text = std::fs::read_to_string(folder.card()).map_err(|e| TuningError::file(&folder.card(), e))?;
    let card: Card = toml::from_str(&text).map_err(|e| TuningError::file(&folder.card(), e))?;
    let bytes = std::fs::read(folder.weights()).map_err(|e| TuningError::file(&folder.weights(), e))?;
    let card = Card { id: id.to_string(), name: format!("{} ({id})", card.name), ..card };
    import::store(&card, &bytes, models)?;
    Ok(card)
}

/// Asks both models about what was held out.
struct Judged<'a> {
    graph: &'a Graph,
    recipe: &'a Recipe,
    data: &'a Dataset,
    device: &'a Device,
    threshold: f64,
}

impl Judged<'_> {
    /// Answers of the old and the new weights about test slices, each by source.
    fn both(
        &self,
        old: &Parameters,
        new: &Parameters,
        tell: &mut dyn FnMut(News),
    ) -> Result<[[Vec<Case>; 2]; 2], TuningError> {
        let test = self.data.part(Part::Test);
        let (mut done, of) = (0, 2 * test.len());
        let mut ask = |parameters: &Parameters| -> Result<[Vec<Case>; 2], TuningError> {
            let Self { graph, recipe, data, device, .. } = *self;
            let evaluator = Evaluator { graph, parameters, recipe, data, device };
            let results = evaluator.run(&test, |n| {
                done += n;
                tell(News::Measuring(done, of));
            })?;
            let cases = calibration::cases(&results, 1.0, MaskThreshold::nearest(self.threshold));
            let of_source = |source: usize| cases.iter().filter(|c| c.source == source).cloned().collect();
            Ok([CORRECTIONS, REHEARSAL].map(of_source))
        };
        Ok([ask(old)?, ask(new)?])
    }
}

/// Tells how far training is, and how long it will take at the pace of this session.
struct Watch<'a> {
    epochs: usize,
    /// Share of the whole that was done when this session began, and when that was.
    since: Option<(f64, Instant)>,
    tell: &'a mut dyn FnMut(News),
}

impl<'a> Watch<'a> {
    fn new(epochs: usize, tell: &'a mut dyn FnMut(News)) -> Self {
        Self { epochs, since: None, tell }
    }
}

impl Observer for Watch<'_> {
    fn step(&mut self, _phase: usize, epoch: usize, step: usize, steps: usize, _loss: f64) {
        let share = |step: usize| (epoch as f64 + step as f64 / steps as f64) / self.epochs as f64;
        let done = share(step);
        // The first step warms up and says nothing of the pace.
        let (from, at) = *self.since.get_or_insert_with(|| (done, Instant::now()));
        let pace = at.elapsed().as_secs_f64() / (done - from);
        let left = (done > from).then(|| Duration::from_secs_f64(pace * (1.0 - done).max(0.0)));
        (self.tell)(News::Step { done, left });
    }

    fn epoch(&mut self, record: &Epoch) {
        (self.tell)(News::Epoch { done: record.epoch + 1, of: self.epochs, loss: record.loss });
    }
}

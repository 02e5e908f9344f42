//! What a run leaves: a model folder whose card says how good the weights are, and on whom.

use super::calibration::{self, MaskThreshold};
use super::checkpoint::{RunFolder, write_atomically};
use super::dataset::Dataset;
use super::error::TrainError;
use super::evaluate::{Evaluator, SliceResult};
use super::recipe::{Recipe, Source};
use super::sources::Part;
use crate::domain::card::{Calibration, Card, Epoch, Identity, Level, MeasuredOn, Task, TrainingNote};
use crate::domain::figures::{self, Case, Judge};
use crate::domain::metrics;
use candle_core::Device;
use lesionlens_nn::exec::Parameters;
use lesionlens_nn::weights;
use sha2::{Digest, Sha256};
use std::path::Path;

/// Recall on validation patients that the default threshold of a yes-or-no model aims at.
const WANTED_RECALL: f64 = 0.95;

/// What the card tells of a run.
pub struct Provenance {
    pub commit: Option<String>,
    /// The file training started from.
    pub init: Option<String>,
    pub history: Vec<Epoch>,
}

/// Measures `best` as it will be shipped, first on validation patients (temperature, threshold), then once on the test patients,
/// and writes weights and card. `progress` is told of slices done.
///
/// # Errors
/// If an answer is no number or a file cannot be written; then no card is left.
pub fn write(
    folder: &RunFolder,
    recipe: &Recipe,
    data: &Dataset,
    best: &Parameters,
    provenance: Provenance,
    device: &Device,
    progress: &mut dyn FnMut(usize),
) -> Result<Card, TrainError> {
    let bytes = weights::write(best, recipe.precision, None)?;
    let mut measure = |part: Part| measure(recipe, data, &bytes, part, device, &mut *progress);
    let (validation, test) = (measure(Part::Validation)?, measure(Part::Test)?);
    let mut card = unmeasured(recipe, &bytes);
    card.training = Some(training_note(recipe, data, &provenance));
    card.history = provenance.history;
    let mask = MaskThreshold::best(&validation);
    calibrate(&mut card, &validation, mask);
    let temperature = card.calibration.map_or(1.0, |c| c.temperature);
    let patients = data.known_patients(recipe, Part::Test).len();
    judge(&mut card, recipe, patients, Level::Patient, &calibration::cases(&test, temperature, mask));
    save(folder, &card, &bytes)?;
    Ok(card)
}

/// What the network of a finished fold says of the fold's test patients.
pub struct Fold {
    card: Card,
    test: Vec<SliceResult>,
    /// Test patients whose names are known.
    patients: Vec<String>,
}

impl Fold {
    /// Asks the network in `folder` anew, so that nothing but its weights and card need be kept.
    ///
    /// # Errors
    /// If the fold's files cannot be read or an answer is no number.
    pub fn read(
        folder: &RunFolder,
        recipe: &Recipe,
        data: &Dataset,
        device: &Device,
        progress: &mut dyn FnMut(usize),
    ) -> Result<Self, TrainError> {
        let read = |path: &Path| std::fs::read(path).map_err(|e| TrainError::file(path, e));
        let (path, weights) = (folder.card(), folder.weights());
        let text = String::from_utf8_lossy(&read(&path)?).into_owned();
        let card: Card = toml::from_str(&text).map_err(|e| TrainError::file(&path, e))?;
        let test = measure(recipe, data, &read(&weights)?, Part::Test, device, progress)?;
        Ok(Self { card, test, patients: data.known_patients(recipe, Part::Test) })
    }
}

/// Writes weights that were trained on everybody, with figures that are out of fold: each patient's by the network of the fold that
/// did not train on them, at that fold's temperature. Threshold and temperature of the card are the medians of the folds'.
///
/// # Errors
/// If a file cannot be written; then no card is left.
pub fn write_whole(
    folder: &RunFolder,
    recipe: &Recipe,
    data: &Dataset,
    last: &Parameters,
    provenance: Provenance,
    folds: &[Fold],
) -> Result<Card, TrainError> {
    let bytes = weights::write(last, recipe.precision, None)?;
    let mut card = unmeasured(recipe, &bytes);
    let patients: Vec<Vec<String>> = folds.iter().map(|fold| fold.patients.clone()).collect();
    let count = patients.iter().map(Vec::len).sum();
    card.training = Some(TrainingNote { folds: patients, ..training_note(recipe, data, &provenance) });
    card.history = provenance.history;
    let median = |of: &dyn Fn(&Card) -> Option<f64>| {
        metrics::median(&folds.iter().filter_map(|fold| of(&fold.card)).collect::<Vec<_>>())
    };
    if let Some(threshold) = median(&|card| Some(card.threshold.default)) {
        card.threshold.default = threshold;
    }
    let mask = MaskThreshold::nearest(card.threshold.default);
    let own = |fold: &Fold| fold.card.calibration.map_or(1.0, |c| c.temperature);
    let pooled = |temperature: &dyn Fn(&Fold) -> f64| -> Vec<Case> {
        folds.iter().flat_map(|fold| calibration::cases(&fold.test, temperature(fold), mask)).collect()
    };
    let cases = pooled(&own);
    if let Some(temperature) = median(&|card| card.calibration.map(|c| c.temperature)) {
        let error = |cases: &[Case]| calibration_error(recipe.task, cases);
        card.calibration =
            Some(Calibration { temperature, ece_before: error(&pooled(&|_| 1.0)), ece_after: error(&cases) });
    }
    judge(&mut card, recipe, count, Level::OutOfFold, &cases);
    save(folder, &card, &bytes)?;
    Ok(card)
}

/// What a network as it will be shipped says of a part of the data.
fn measure(
    recipe: &Recipe,
    data: &Dataset,
    bytes: &[u8],
    part: Part,
    device: &Device,
    progress: &mut dyn FnMut(usize),
) -> Result<Vec<SliceResult>, TrainError> {
    let graph = recipe.architecture.with(recipe.format(recipe.input.side))?;
    let parameters = weights::load(&graph, bytes, device)?;
    let evaluator = Evaluator { graph: &graph, parameters: &parameters, recipe, data, device };
    evaluator.run(&data.part(part), progress)
}

fn unmeasured(recipe: &Recipe, bytes: &[u8]) -> Card {
    let identity = Identity {
        id: recipe.id.clone(),
        architecture: recipe.architecture.id().to_string(),
        task: recipe.task,
        input: recipe.input.clone(),
        sha256: format!("{:x}", Sha256::digest(bytes)),
    };
    Card::unmeasured(identity, recipe.card.clone())
}

fn save(folder: &RunFolder, card: &Card, bytes: &[u8]) -> Result<(), TrainError> {
    write_atomically(&folder.weights(), bytes)?;
    let path = folder.card();
    let text = toml::to_string(card).map_err(|e| TrainError::file(&path, e))?;
    write_atomically(&path, text.as_bytes())
}

fn training_note(recipe: &Recipe, data: &Dataset, provenance: &Provenance) -> TrainingNote {
    let init = provenance.init.as_ref().map_or(String::new(), |init| format!("; started from {init}"));
    TrainingNote {
        recipe: format!("recipes/{}.toml", recipe.id),
        data: format!("{}; sha256 {}{init}", recipe.card.data, data.sha256()),
        seed: Some(recipe.seed),
        commit: provenance.commit.clone(),
        train_patients: data.known_patients(recipe, Part::Train),
        validation_patients: data.known_patients(recipe, Part::Validation),
        test_patients: data.known_patients(recipe, Part::Test),
        folds: Vec::new(),
        sources_of_unknown_patients: recipe
            .sources
            .iter()
            .filter(|s| !s.knows_patients())
            .map(|s| s.name.clone())
            .collect(),
    }
}

/// Expected calibration error of a classifier's answers.
fn calibration_error(task: Task, cases: &[Case]) -> f64 {
    match task {
        Task::Binary => metrics::expected_calibration_error(&figures::scores(cases)),
        Task::Multiclass | Task::Segmentation => figures::confidence_error(cases),
    }
}

/// Temperature and threshold from validation patients; `mask` is a segmenter's.
fn calibrate(card: &mut Card, validation: &[SliceResult], mask: MaskThreshold) {
    if card.task == Task::Segmentation {
        card.threshold.default = mask.value();
        return;
    }
    let temperature = calibration::fit_temperature(validation);
    let error = |t: f64| calibration_error(card.task, &calibration::cases(validation, t, mask));
    card.calibration = Some(Calibration { temperature, ece_before: error(1.0), ece_after: error(temperature) });
    if card.task == Task::Binary {
        let scores = figures::scores(&calibration::cases(validation, temperature, mask));
        let found = metrics::threshold_for_recall(&metrics::operating_curve(&scores), WANTED_RECALL);
        card.threshold.default = found.map_or(0.5, |p| p.threshold);
    }
}

/// Figures on test patients, of whom `patients` are known; without any, nothing is claimed. `known` says how patients that are known
/// were kept apart.
fn judge(card: &mut Card, recipe: &Recipe, patients: usize, known: Level, cases: &[Case]) {
    if cases.is_empty() {
        return;
    }
    let threshold = card.threshold.default;
    let judge = Judge { task: recipe.task, classes: &recipe.card.classes, threshold };
    let level = |sources: &[&Source]| {
        if sources.iter().all(|s| s.knows_patients()) { known } else { Level::SliceLeaky }
    };
    let used: Vec<&Source> = cases.iter().map(|case| &recipe.sources[case.source]).collect();
    card.metrics = judge.figures(cases, level(&used));
    if recipe.sources.len() > 1 {
        for (index, source) in recipe.sources.iter().enumerate() {
            let own: Vec<Case> = cases.iter().filter(|case| case.source == index).cloned().collect();
            if !own.is_empty() {
                card.by_source.insert(source.name.clone(), judge.figures(&own, level(&[source])));
            }
        }
    }
    card.measured_on = Some(MeasuredOn {
        patients,
        slices: cases.len(),
        slices_of_unknown_patients: used.iter().filter(|s| !s.knows_patients()).count(),
        source: recipe.card.data.clone(),
    });
    let classes = &recipe.card.classes;
    match recipe.task {
        Task::Segmentation => {}
        Task::Binary => {
            card.operating_curve = metrics::operating_curve(&figures::scores(cases));
            card.confusion = Some(figures::confusion(cases, classes, Some(threshold)));
        }
        Task::Multiclass => card.confusion = Some(figures::confusion(cases, classes, None)),
    }
}

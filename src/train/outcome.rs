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
use crate::nn::exec::Parameters;
use crate::nn::weights;
use candle_core::Device;
use sha2::{Digest, Sha256};

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
    let graph = recipe.architecture.with(recipe.format(recipe.input.side))?;
    let bytes = weights::write(best, recipe.precision, None)?;
    let parameters = weights::load(&graph, &bytes, device)?;
    let evaluator = Evaluator { graph: &graph, parameters: &parameters, recipe, data, device };
    let mut measure = |part: Part| evaluator.run(&data.part(part), &mut *progress);
    let (validation, test) = (measure(Part::Validation)?, measure(Part::Test)?);
    let identity = Identity {
        id: recipe.id.clone(),
        architecture: recipe.architecture.id().to_string(),
        task: recipe.task,
        input: recipe.input.clone(),
        sha256: format!("{:x}", Sha256::digest(&bytes)),
    };
    let mut card = Card::unmeasured(identity, recipe.card.clone());
    card.training = Some(training_note(recipe, data, &provenance));
    card.history = provenance.history;
    let mask = MaskThreshold::best(&validation);
    calibrate(&mut card, &validation, mask);
    let temperature = card.calibration.map_or(1.0, |c| c.temperature);
    judge(&mut card, recipe, data, &calibration::cases(&test, temperature, mask));
    write_atomically(&folder.0.join("model.safetensors"), &bytes)?;
    let path = folder.0.join("card.toml");
    let text = toml::to_string(&card).map_err(|e| TrainError::file(&path, e))?;
    write_atomically(&path, text.as_bytes())?;
    Ok(card)
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
        sources_of_unknown_patients: recipe
            .sources
            .iter()
            .filter(|s| !s.knows_patients())
            .map(|s| s.name.clone())
            .collect(),
    }
}

/// Temperature and threshold from validation patients; `mask` is a segmenter's.
fn calibrate(card: &mut Card, validation: &[SliceResult], mask: MaskThreshold) {
    if card.task == Task::Segmentation {
        card.threshold.default = mask.value();
        return;
    }
    let temperature = calibration::fit_temperature(validation);
    let error = |t: f64| {
        let cases = calibration::cases(validation, t, mask);
        match card.task {
            Task::Binary => metrics::expected_calibration_error(&figures::scores(&cases)),
            _ => figures::confidence_error(&cases),
        }
    };
    card.calibration = Some(Calibration { temperature, ece_before: error(1.0), ece_after: error(temperature) });
    if card.task == Task::Binary {
        let scores = figures::scores(&calibration::cases(validation, temperature, mask));
        let found = metrics::threshold_for_recall(&metrics::operating_curve(&scores), WANTED_RECALL);
        card.threshold.default = found.map_or(0.5, |p| p.threshold);
    }
}

/// Figures on the test patients; without any, nothing is claimed.
fn judge(card: &mut Card, recipe: &Recipe, data: &Dataset, cases: &[Case]) {
    if cases.is_empty() {
        return;
    }
    let threshold = card.threshold.default;
    let judge = Judge { task: recipe.task, classes: &recipe.card.classes, threshold };
    let level = |sources: &[&Source]| {
        if sources.iter().all(|s| s.knows_patients()) { Level::Patient } else { Level::SliceLeaky }
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
        patients: data.known_patients(recipe, Part::Test).len(),
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

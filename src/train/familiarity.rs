//! Measures what pictures look like to a model, so that its input gate can tell them from others.

use super::discriminant;
use super::error::TrainError;
use super::strangers;
use crate::domain::card::Surroundings;
use crate::domain::gate_statistics::{GateFigure, GateStatistics};
use crate::domain::input_gate::is_empty;
use crate::domain::study::{Neighbourhood, Place, Study};
use crate::io;
use crate::models::model::Source;
use crate::models::preprocess::{self, Squares};
use crate::models::probe::Probe;
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};

/// Pictures that the network looks at together.
const BATCH: usize = 16;
/// Slices of one study, evenly spaced, so that a large one does not drown the others; more where a folder has few studies.
const OF_STUDY: usize = 12;
/// Slices of a folder that are wanted at least.
const WANTED: usize = 240;
/// One slice of a study in this many is looked at as a single picture, without its study.
const ALONE: usize = 3;
/// Studies of one folder.
const OF_FOLDER: usize = 800;
/// Share of known pictures that were not used to fit the gate and that it may call unlike.
const FALSE_ALARMS: f64 = 0.02;
/// Fewest pictures from which a gate is fitted.
const FEWEST: usize = 20;
/// One study in this many is kept from fitting, to set the threshold and to measure.
const KEPT: u8 = 3;

/// Means of one picture's layers.
struct Measured {
    means: Vec<f32>,
    /// Whether its study is kept from fitting.
    kept: bool,
}

/// Pictures of one folder.
struct Folder {
    source: String,
    pictures: Vec<Measured>,
}

impl Folder {
    fn means(&self, kept: bool) -> Vec<Vec<f32>> {
        self.pictures.iter().filter(|p| p.kept == kept).map(|p| p.means.clone()).collect()
    }

    fn figure(&self, gate: &GateStatistics, known: bool) -> GateFigure {
        let kept = self.means(true);
        let is_unlike = |means: &&Vec<f32>| gate.score(means).is_some_and(|score| score >= gate.threshold);
        let unlike = kept.iter().filter(is_unlike).count();
        GateFigure { source: self.source.clone(), known, pictures: kept.len(), unlike }
    }
}

/// Fits an input gate to the pictures of folders: `known` are what the model is made for, `unlike` what it must not be asked about,
/// beside pictures that are drawn. Of every folder two thirds of the studies fit it; the rest sets the threshold, at 2 % of the known
/// pictures called unlike on average over the folders, and measures it. `progress` is told of every picture.
///
/// # Errors
/// If the model is no graph, or fewer than 20 known pictures can be read.
pub fn gate(
    model: &Source,
    known: &[PathBuf],
    unlike: &[PathBuf],
    progress: &mut dyn FnMut(),
) -> Result<GateStatistics, TrainError> {
    let probe = Probe::new(model)?;
    let mut samples = Vec::new();
    let known = measured(&probe, known, Some(&mut samples), progress)?;
    let unlike = measured(&probe, unlike, None, progress)?;
    let mut strangers = Vec::new();
    for kind in strangers::drawn(probe.input().side, &samples) {
        let squares: Vec<Squares> = kind.into_iter().map(|own| Squares { own, beside: [None, None] }).collect();
        strangers.push(probe.means(&squares)?);
    }
    let fitting = parts(&known, false);
    let count: usize = known.iter().map(|folder| folder.pictures.len()).sum();
    if fitting.iter().map(Vec::len).sum::<usize>() < FEWEST {
        return Err(TrainError::Data(format!(
            "{count} pictures were read; a gate needs at least {FEWEST} of several patients: name a larger folder with --data"
        )));
    }
    let kinds = parts(&unlike, false).into_iter().chain(strangers);
    let mut gate = discriminant::fit(probe.layers, &fitting, &kinds.collect::<Vec<_>>());
    gate.threshold = threshold(&gate, &parts(&known, true));
    let figures = known.iter().map(|folder| folder.figure(&gate, true));
    let measured = figures.chain(unlike.iter().map(|folder| folder.figure(&gate, false))).collect();
    gate.measured = measured;
    Ok(gate)
}

/// Means of the pictures of folders that are kept from fitting, or of the others; folders without any are left out.
fn parts(folders: &[Folder], kept: bool) -> Vec<Vec<Vec<f32>>> {
    folders.iter().map(|folder| folder.means(kept)).filter(|means| !means.is_empty()).collect()
}

/// The least score from which on 2 % of the known pictures are called unlike, where each source counts as much as another.
fn threshold(gate: &GateStatistics, known: &[Vec<Vec<f32>>]) -> f64 {
    let scored = |source: &Vec<Vec<f32>>| {
        let share = 1.0 / (source.len() * known.len()) as f64;
        source.iter().filter_map(|means| Some((gate.score(means)?, share))).collect::<Vec<_>>()
    };
    let mut scores: Vec<(f64, f64)> = known.iter().flat_map(scored).collect();
    scores.sort_by(|a, b| b.0.total_cmp(&a.0));
    let mut called = 0.0;
    for (score, share) in scores {
        called += share;
        if called > FALSE_ALARMS {
            return ((score + 1e-4) * 1e4).ceil() / 1e4;
        }
    }
    0.0
}

/// Means of the pictures of each folder; a few of their squares go to `samples`.
fn measured(
    probe: &Probe,
    folders: &[PathBuf],
    mut samples: Option<&mut Vec<Vec<f32>>>,
    progress: &mut dyn FnMut(),
) -> Result<Vec<Folder>, TrainError> {
    let mut all = Vec::new();
    for folder in folders {
        let found = io::paths::expand(std::slice::from_ref(folder), &|| false);
        if found.sources.is_empty() {
            return Err(TrainError::file(folder, "holds no picture that can be read; name another folder"));
        }
        let step = found.sources.len().div_ceil(OF_FOLDER);
        let most = OF_STUDY.max(WANTED / found.sources.len());
        let mut pictures = Vec::new();
        let mut waiting: Vec<(Squares, bool)> = Vec::new();
        for source in found.sources.into_iter().step_by(step) {
            // A file that cannot be read is no example of anything.
            let Ok(study) = io::open(source) else { continue };
            let kept = is_kept(&study);
            for squares in squares_of(&study, most, probe) {
                if let Some(samples) = samples.as_mut().filter(|samples| samples.len() < 8 * (all.len() + 1)) {
                    samples.push(squares.own.clone());
                }
                waiting.push((squares, kept));
                progress();
            }
            if waiting.len() >= BATCH {
                pictures.extend(looked_at(probe, std::mem::take(&mut waiting))?);
            }
        }
        pictures.extend(looked_at(probe, waiting)?);
        all.push(Folder { source: label(folder), pictures });
    }
    Ok(all)
}

fn looked_at(probe: &Probe, waiting: Vec<(Squares, bool)>) -> Result<Vec<Measured>, TrainError> {
    let (squares, kept): (Vec<Squares>, Vec<bool>) = waiting.into_iter().unzip();
    let mut all = Vec::new();
    for chunk in squares.chunks(BATCH) {
        all.extend(probe.means(chunk)?);
    }
    Ok(all.into_iter().zip(kept).map(|(means, kept)| Measured { means, kept }).collect())
}

/// Squares of at most `most` of a study's slices, nearly empty ones aside.
fn squares_of(study: &Study, most: usize, probe: &Probe) -> Vec<Squares> {
    let cut = study.native();
    let wanted = Surroundings::of([probe.input()]);
    let step = study.count().div_ceil(most);
    let places = (0..study.count()).skip(step / 2).step_by(step).map(|index| Place { cut, index });
    let seen = places.filter_map(|place| study.picture(place).among(wanted).ok());
    let full = seen.filter(|seen| !is_empty(&seen.slice.grey()));
    let context = |(number, seen): (usize, Neighbourhood)| match number % ALONE {
        0 => seen.slice.into(),
        _ => seen,
    };
    full.enumerate().map(context).map(|seen| preprocess::squares(&seen, probe.input())).collect()
}

/// Whether a study is kept from fitting: by its first file's name without the numbers at its end, so that slices of one patient, and
/// neighbours in a numbered row, stay together.
fn is_kept(study: &Study) -> bool {
    let first = study.file(Place { cut: study.native(), index: 0 });
    let stem = io::paths::stem(first);
    let patient = stem.trim_end_matches(|c: char| c.is_ascii_digit());
    let numbered = stem[patient.len()..].parse::<u64>().ok();
    let block = numbered.filter(|_| !patient.chars().any(|c| c.is_ascii_digit())).map(|number| number / 20);
    let name = format!("{patient}{}", block.map_or(String::new(), |block| block.to_string()));
    Sha256::digest(name.as_bytes())[0] % KEPT == 0
}

/// The last two parts of a folder's path.
fn label(folder: &Path) -> String {
    let parts: Vec<_> = folder.components().map(|part| part.as_os_str().to_string_lossy().into_owned()).collect();
    parts[parts.len().saturating_sub(2)..].join("/")
}

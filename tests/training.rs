//! Training on a few drawn heads: it learns, it stops and goes on as if it had not, and it refuses what it must.

mod common;

use common::labelled_folder;
use lesionlens::domain::card::{Epoch, Task};
use lesionlens::domain::phantom::{Lesion, Phantom};
use lesionlens::export::png;
use lesionlens::nn::exec::Parameters;
use lesionlens::nn::zoo::Architecture;
use lesionlens::train::checkpoint::RunFolder;
use lesionlens::train::dataset::Dataset;
use lesionlens::train::error::TrainError;
use lesionlens::train::fit::{Fit, Observer};
use lesionlens::train::loss::Loss;
use lesionlens::train::outcome::{self, Provenance};
use lesionlens::train::recipe::{Layout, Phase, Recipe, Source};
use lesionlens::train::schedule::Schedule;
use lesionlens::train::sources::Part;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

const SIDE: usize = 32;

fn data(folder: &Path) {
    labelled_folder(folder, SIDE, 12, 4);
}

fn recipe(epochs: usize) -> Recipe {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("recipes/lgg-resunet.toml");
    let mut recipe = Recipe::read(&path).unwrap();
    recipe.input.side = SIDE;
    recipe.sampling.negatives = Some(1.0);
    recipe.ema = 0.9;
    recipe.phases = vec![phase(epochs)];
    recipe
}

fn phase(epochs: usize) -> Phase {
    let (schedule, freeze, patience) = (Schedule::OneCycle, Vec::new(), None);
    Phase { epochs, side: SIDE, batch: 8, learning_rate: 3e-3, schedule, freeze, patience }
}

fn open(data: &Path, recipe: &Recipe, folder: &Path) -> Result<Dataset, TrainError> {
    std::fs::create_dir_all(folder).unwrap();
    Dataset::open(data, recipe, folder, &mut |_, _| {})
}

/// Raises the flag after so many steps.
struct Stopper<'a> {
    steps: usize,
    stop_at: Option<usize>,
    stop: &'a AtomicBool,
}

impl Observer for Stopper<'_> {
    fn step(&mut self, _: usize, _: usize, _: usize, _: usize, _: f64) {
        self.steps += 1;
        if self.stop_at == Some(self.steps) {
            self.stop.store(true, Ordering::Relaxed);
        }
    }

    fn epoch(&mut self, _: &Epoch) {}
}

fn run(
    data: &Dataset,
    recipe: &Recipe,
    folder: &Path,
    stop_at: Option<usize>,
    resume: bool,
) -> Result<(Parameters, Vec<Epoch>), TrainError> {
    let device = candle_core::Device::Cpu;
    let run_folder = RunFolder(folder.to_path_buf());
    let fit = if resume {
        Fit::resume(recipe, data, &device, run_folder)?
    } else {
        Fit::new(recipe, data, &device, run_folder, None)?
    };
    let stop = AtomicBool::new(false);
    fit.run(&mut Stopper { steps: 0, stop_at, stop: &stop }, &stop)
}

fn values(p: &Parameters, name: &str) -> Vec<f32> {
    p[name].flatten_all().unwrap().to_vec1::<f32>().unwrap()
}

fn same(a: &Parameters, b: &Parameters) -> bool {
    a.len() == b.len() && a.keys().all(|name| values(a, name) == values(b, name))
}

#[test]
fn a_run_that_was_stopped_ends_with_the_very_same_weights() {
    let folder = tempfile::tempdir().unwrap();
    let (whole_folder, broken) = (folder.path().join("whole"), folder.path().join("broken"));
    data(folder.path());
    let recipe = recipe(2);
    let set = open(folder.path(), &recipe, &whole_folder).unwrap();
    let (whole, history) = run(&set, &recipe, &whole_folder, None, false).unwrap();
    // It learns: the last epoch is better than the first.
    assert!(history[history.len() - 1].loss < 0.95 * history[0].loss, "{history:?}");
    // Stopped in the middle of the second epoch and resumed, from a cache of its own.
    let set = open(folder.path(), &recipe, &broken).unwrap();
    let stopped = run(&set, &recipe, &broken, Some(6), false);
    assert!(matches!(stopped, Err(TrainError::Interrupted(_))));
    let set = open(folder.path(), &recipe, &broken).unwrap();
    let (resumed, _) = run(&set, &recipe, &broken, None, true).unwrap();
    assert!(same(&whole, &resumed));
    // Another recipe may not continue it.
    let other = Recipe { seed: 8, ..recipe };
    assert!(matches!(run(&set, &other, &broken, None, true), Err(TrainError::File { .. })));
}

#[test]
fn patients_are_never_in_two_parts_and_bad_data_is_named() {
    let folder = tempfile::tempdir().unwrap();
    data(folder.path());
    let (recipe, out) = (recipe(1), folder.path().join("out"));
    let set = open(folder.path(), &recipe, &out).unwrap();
    let lists = [Part::Train, Part::Validation, Part::Test].map(|part| set.patients(part));
    assert_eq!(lists.iter().map(Vec::len).sum::<usize>(), 12);
    assert!(lists.iter().all(|l| !l.is_empty()));
    assert!(lists[0].iter().all(|p| !lists[1].contains(p) && !lists[2].contains(p)));
    assert!(lists[1].iter().all(|p| !lists[2].contains(p)));

    let mask = folder.path().join("masks/p3_0.png");
    std::fs::remove_file(&mask).unwrap();
    let error = open(folder.path(), &recipe, &out).unwrap_err().to_string();
    assert!(error.contains("p3_0.png"), "{error}");
    std::fs::write(&mask, b"no picture").unwrap();
    assert!(open(folder.path(), &recipe, &out).unwrap_err().to_string().contains("p3_0.png"));
    // Neither attempt left a half-made cache that a later run would take for whole.
    let picture = folder.path().join("images/p3_0.png");
    std::fs::copy(folder.path().join("images/p3_1.png"), &picture).unwrap();
    assert!(open(folder.path(), &recipe, &out).is_err());
}

/// The pixels that come out of the cache are those of the files, and a changed file is noticed.
#[test]
fn the_cache_holds_the_pictures() {
    let folder = tempfile::tempdir().unwrap();
    data(folder.path());
    let (recipe, out) = (recipe(1), folder.path().join("out"));
    let mut read = 0;
    std::fs::create_dir_all(&out).unwrap();
    let first = Dataset::open(folder.path(), &recipe, &out, &mut |n, _| read += n).unwrap();
    assert_eq!(read, 48);
    for index in [0, 1, 30] {
        let item = &first.items[index];
        let picture = image::open(folder.path().join(&item.file)).unwrap().into_luma8();
        let pixels = first.pixels(index).unwrap();
        assert_eq!(pixels.grey, picture.into_raw());
        assert_eq!(pixels.mask.is_empty(), item.outline.is_none());
        if let Some(outline) = &item.outline {
            assert_eq!(pixels.mask.iter().map(|m| u64::from(*m)).sum::<u64>(), outline.pixels);
        }
    }
    let again = Dataset::open(folder.path(), &recipe, &out, &mut |n, _| read += n).unwrap();
    assert_eq!((read, again.sha256()), (48, first.sha256()));
    std::fs::copy(folder.path().join("images/p3_1.png"), folder.path().join("images/p4_1.png")).unwrap();
    let changed = Dataset::open(folder.path(), &recipe, &out, &mut |n, _| read += n).unwrap();
    assert_eq!(read, 96);
    assert_ne!(changed.sha256(), first.sha256());
}

/// Class folders, a softmax, a frozen base and early stopping, to a model folder that the program opens.
#[test]
fn a_classifier_of_three_classes_is_trained_and_written() {
    let folder = tempfile::tempdir().unwrap();
    for (class, radius) in [("none", None), ("small", Some(0.12)), ("large", Some(0.4))] {
        std::fs::create_dir_all(folder.path().join("data").join(class)).unwrap();
        for i in 0..16u32 {
            let lesion = radius.map(|radius| Lesion { x: 0.2 * (i as f32).sin(), y: 0.2 * (i as f32).cos(), radius });
            let (slice, _) = Phantom { side: SIDE, seed: i, lesion }.draw();
            let path = folder.path().join("data").join(class).join(format!("{i}.png"));
            std::fs::write(path, png::slice(&slice).unwrap()).unwrap();
        }
    }
    let mut recipe = recipe(3);
    recipe.id = "three".into();
    recipe.architecture = Architecture::SmallCnn;
    recipe.task = Task::Multiclass;
    recipe.loss = Loss::SoftmaxCe { smoothing: 0.05, class_weights: Some(vec![1.0, 1.0, 1.0]) };
    recipe.card.classes = ["none", "small", "large"].map(String::from).to_vec();
    recipe.sampling.negatives = None;
    let class_folders = Source { name: "drawn".into(), layout: Layout::ClassFolders, ..Source::default() };
    recipe.sources = vec![class_folders];
    (recipe.split.validation, recipe.split.test) = (0.25, 0.25);
    let frozen = Phase { freeze: vec!["conv1".into()], learning_rate: 0.0, patience: Some(1), ..phase(9) };
    recipe.phases = vec![frozen, phase(3)];
    let out = folder.path().join("out");
    let set = open(&folder.path().join("data"), &recipe, &out).unwrap();
    let device = candle_core::Device::Cpu;
    let fit = Fit::new(&recipe, &set, &device, RunFolder(out.clone()), None).unwrap();
    let stop = AtomicBool::new(false);
    let (best, history) = fit.run(&mut Stopper { steps: 0, stop_at: None, stop: &stop }, &stop).unwrap();
    // Nothing moves at a rate of zero, so the second epoch is no better and the phase ends.
    assert_eq!(history.iter().filter(|e| e.phase == 0).count(), 2, "{history:?}");
    let provenance = Provenance { commit: None, init: None, history };
    let card = outcome::write(&RunFolder(out.clone()), &recipe, &set, &best, provenance, &device, &mut |_| {}).unwrap();
    assert!(card.metrics.contains_key("accuracy") && card.metrics.contains_key("recall_large"), "{:?}", card.metrics);
    let counted: usize = card.confusion.as_ref().unwrap().counts.iter().flatten().sum();
    assert_eq!(counted, set.part(Part::Test).len());
    let model =
        lesionlens::models::model::Model::load(&lesionlens::models::model::Source::Folder(out), &device).unwrap();
    let (slice, _) = Phantom { side: SIDE, seed: 1, lesion: None }.draw();
    let classes = model.classify(&slice, &|| false).unwrap().classes;
    assert!((classes.iter().map(|(_, p)| p).sum::<f64>() - 1.0).abs() < 1e-9);
}

#[test]
fn layers_that_cannot_be_frozen_and_single_pictures_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    data(folder.path());
    let mut recipe = recipe(1);
    let set = open(folder.path(), &recipe, &folder.path().join("out")).unwrap();
    for (layer, word) in [("up1", "stands behind"), ("nowhere", "no layer begins so")] {
        recipe.phases[0].freeze = vec![layer.into()];
        let out = folder.path().join(layer);
        std::fs::create_dir_all(&out).unwrap();
        let error = run(&set, &recipe, &out, None, false).unwrap_err().to_string();
        assert!(error.contains(layer) && error.contains(word), "{error}");
    }
    let classes = folder.path().join("classes");
    for (class, count) in [("tumor", 24), ("no_tumor", 1)] {
        std::fs::create_dir_all(classes.join(class)).unwrap();
        for i in 0..count {
            let (from, to) =
                (folder.path().join(format!("images/p{}_0.png", i % 12)), classes.join(class).join(format!("{i}.png")));
            std::fs::copy(from, to).unwrap();
        }
    }
    recipe.sources = vec![Source { name: "few".into(), layout: Layout::ClassFolders, ..Source::default() }];
    let error = open(&classes, &recipe, &folder.path().join("few")).unwrap_err().to_string();
    assert!(error.contains("`no_tumor`"), "{error}");
}

/// A loss that is no number stops the run, says where, and writes no model.
#[test]
fn a_run_that_diverges_says_so() {
    let folder = tempfile::tempdir().unwrap();
    data(folder.path());
    let mut recipe = recipe(2);
    recipe.phases[0].learning_rate = 1e30;
    let out = folder.path().join("out");
    let set = open(folder.path(), &recipe, &out).unwrap();
    let error = run(&set, &recipe, &out, None, false).unwrap_err();
    assert!(matches!(error, TrainError::Diverged { .. }), "{error}");
    assert!(!out.join("model.safetensors").exists() && !out.join("card.toml").exists());
}

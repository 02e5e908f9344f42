//! Training on a few drawn heads: it learns, it stops and goes on as if it had not, and it refuses what it must.

use crate::common;
use crate::common::labelled_folder;
use lesionlens::domain::card::{Epoch, Scale, Sequence, Task};
use lesionlens::domain::phantom::{Lesion, Phantom};
use lesionlens::export::png;
use lesionlens::train::checkpoint::RunFolder;
use lesionlens::train::dataset::Dataset;
use lesionlens::train::error::TrainError;
use lesionlens::train::fit::{Fit, Observer};
use lesionlens::train::loss::Loss;
use lesionlens::train::outcome::{self, Provenance};
use lesionlens::train::recipe::{Layout, Phase, Recipe, Shares, Source};
use lesionlens::train::schedule::Schedule;
use lesionlens::train::sources::{self, Division, Part};
use lesionlens::train::start;
use lesionlens::train::supervision::DeepSupervision;
use lesionlens_nn::exec::Parameters;
use lesionlens_nn::zoo::Architecture;
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
    (recipe.input.sequence, recipe.input.scale) = (Sequence::Luminance, Scale::Standardize);
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
    Dataset::open(data, recipe, Division::Shares, folder, &mut |_, _| {})
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
    let mut recipe = recipe(2);
    // Heads of deep supervision are part of a checkpoint too.
    recipe.deep_supervision = vec![DeepSupervision { layer: "up2.relu".into(), weight: 0.5 }];
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
/// Every recipe that is shipped reads, and what it freezes is what of its network Keras' own base has.
#[test]
fn shipped_recipes_fit_their_networks() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("recipes");
    let mut architectures = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let recipe = Recipe::read(&entry.unwrap().path()).unwrap();
        architectures.push(recipe.architecture);
        for phase in &recipe.phases {
            let graph = recipe.architecture.with(recipe.format(phase.side)).unwrap();
            let frozen = start::frozen(&graph, &phase.freeze).unwrap();
            let parameters = graph.parameters();
            let frozen: usize =
                parameters.iter().filter(|p| frozen.contains(&p.node)).map(|p| p.shape.iter().product::<usize>()).sum();
            // As Keras' `summary()` counts the bases without their heads.
            let base = match recipe.architecture {
                _ if phase.freeze.is_empty() => 0,
                Architecture::Vgg16 | Architecture::Vgg16V2 => 14_714_688,
                Architecture::Resnet50 => 23_587_712,
                Architecture::InceptionV3 => 21_802_784,
                other => panic!("{} has no base of Keras'", other.id()),
            };
            assert_eq!(frozen, base, "{}", recipe.id);
        }
    }
    assert!(
        Architecture::ALL.iter().all(|architecture| architectures.contains(architecture)),
        "every one has a recipe"
    );
}

#[test]
fn the_cache_holds_the_pictures() {
    let folder = tempfile::tempdir().unwrap();
    data(folder.path());
    let (recipe, out) = (recipe(1), folder.path().join("out"));
    let mut read = 0;
    std::fs::create_dir_all(&out).unwrap();
    let first = Dataset::open(folder.path(), &recipe, Division::Shares, &out, &mut |n, _| read += n).unwrap();
    assert_eq!(read, 48);
    for index in [0, 1, 30] {
        let item = &first.items[index];
        let picture = image::open(folder.path().join(&item.page.file)).unwrap().into_luma8();
        let pixels = first.seen(index, &recipe.input, true).unwrap().picture;
        assert_eq!(pixels.grey, picture.into_raw());
        assert_eq!(pixels.mask.is_empty(), item.outline.is_none());
        if let Some(outline) = &item.outline {
            assert_eq!(pixels.mask.iter().map(|m| u64::from(*m)).sum::<u64>(), outline.pixels);
        }
    }
    let again = Dataset::open(folder.path(), &recipe, Division::Shares, &out, &mut |n, _| read += n).unwrap();
    assert_eq!((read, again.sha256()), (48, first.sha256()));
    std::fs::copy(folder.path().join("images/p3_1.png"), folder.path().join("images/p4_1.png")).unwrap();
    let changed = Dataset::open(folder.path(), &recipe, Division::Shares, &out, &mut |n, _| read += n).unwrap();
    assert_eq!(read, 96);
    assert_ne!(changed.sha256(), first.sha256());
}

/// A recipe that wants neighbours trains on the very input that the program makes of a slice among those beside it, and stands a slice
/// for a neighbour that its patient does not have.
#[test]
fn neighbouring_slices_are_channels_in_training_as_in_use() {
    use lesionlens::domain::study::Neighbourhood;
    use lesionlens::models::preprocess;
    use lesionlens::train::augment::plain;
    use lesionlens::train::folders::Page;
    use lesionlens::train::loader::{Example, assemble};
    use lesionlens::train::reader::Reader;
    let folder = tempfile::tempdir().unwrap();
    data(folder.path());
    let mut recipe = recipe(1);
    recipe.input.neighbours = true;
    let set = open(folder.path(), &recipe, &folder.path().join("out")).unwrap();
    let reader = Reader::new(folder.path());
    let slice = |name: &str| reader.slice(&Page::only(Path::new("images").join(name))).unwrap();
    // Four slices a patient: one with both neighbours, and both ends.
    for (own, before, after) in [
        ("p3_1.png", Some("p3_0.png"), Some("p3_2.png")),
        ("p3_0.png", None, Some("p3_1.png")),
        ("p3_3.png", Some("p3_2.png"), None),
    ] {
        let index = set.items.iter().position(|item| item.page.file.ends_with(own)).unwrap();
        let seen = Neighbourhood { before: before.map(slice), after: after.map(slice), ..slice(own).into() };
        for alone in [false, true] {
            let seen = if alone { seen.slice.clone().into() } else { seen.clone() };
            let wanted = preprocess::network_input(&seen, &recipe.input);
            let example = Example::new(set.seen(index, &recipe.input, alone).unwrap(), |pixels| plain(pixels, SIDE));
            let batch = assemble(&[example], &[0], &recipe, SIDE, &candle_core::Device::Cpu).unwrap();
            let input = batch.input.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            assert!(input.iter().zip(&wanted).all(|(a, b)| (a - b).abs() < 1e-5), "{own}, alone: {alone}");
            let differs = (0..3).any(|c| input[c] != input[0]) || input.chunks(3).any(|p| p[0] != p[1] || p[1] != p[2]);
            assert_eq!(differs, !alone, "{own}");
        }
    }
}

/// Tumour-free slices are given lesions and their outlines; the same generator gives the same, and a recipe that does not ask for it
/// sees what it saw.
#[test]
fn lesions_of_other_patients_are_laid_over_slices() {
    use lesionlens::train::lesions::Lesions;
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;
    let folder = tempfile::tempdir().unwrap();
    // Every second slice has a lesion: in so many, there is one at about the height of any.
    labelled_folder(folder.path(), SIDE, 6, 24);
    let mut recipe = recipe(1);
    recipe.input.neighbours = true;
    let set = open(folder.path(), &recipe, &folder.path().join("out")).unwrap();
    let healthy: Vec<usize> = set.part(Part::Train).into_iter().filter(|i| set.items[*i].outline.is_none()).collect();
    assert!(!healthy.is_empty());
    (recipe.augment.transplant, recipe.augment.fade) = (0.0, 0.0);
    let none = Lesions::new(&recipe, &set);
    (recipe.augment.transplant, recipe.augment.fade) = (1.0, 0.3);
    let some = Lesions::new(&recipe, &set);
    let mut laid = 0;
    for item in healthy {
        let plain = set.seen(item, &recipe.input, false).unwrap();
        let varied = |lesions: &Lesions| {
            let (mut seen, mut rng) = (plain.clone(), ChaCha8Rng::seed_from_u64(item as u64));
            lesions.vary(&mut seen, item, (&set, &recipe.input), &mut rng).unwrap();
            (seen, rng.random::<u64>())
        };
        assert_eq!(varied(&none), (plain.clone(), ChaCha8Rng::seed_from_u64(item as u64).random::<u64>()));
        let (seen, next) = varied(&some);
        assert_eq!(varied(&some), (seen.clone(), next));
        if !seen.picture.mask.is_empty() {
            laid += 1;
            let changed = (0..SIDE * SIDE).filter(|i| seen.picture.grey[*i] != plain.picture.grey[*i]);
            let outlined = seen.picture.mask.iter().filter(|m| **m == 1).count();
            assert!(outlined > 0 && changed.count() * 2 >= outlined);
        }
    }
    assert!(laid > 0);
}

/// There is no outline to change in a classifier's pictures, and a lesion without any contrast is none.
#[test]
fn impossible_changes_of_lesions_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("recipe.toml");
    let problem = |name: &str, transplant: f32, fade: f32| {
        let mut recipe = Recipe::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("recipes").join(name)).unwrap();
        (recipe.augment.transplant, recipe.augment.fade) = (transplant, fade);
        std::fs::write(&path, toml::to_string(&recipe).unwrap()).unwrap();
        Recipe::read(&path).map_or_else(|e| e.to_string(), |_| String::new())
    };
    assert!(problem("brain4.toml", 0.5, 0.0).contains("segmenters"));
    assert!(problem("lgg-resunet.toml", 0.5, 1.0).contains("below 1"));
    assert!(problem("lgg-resunet.toml", 1.1, 0.4).contains("a probability"));
    assert_eq!(problem("lgg-resunet.toml", 0.5, 0.4), "");
}

/// Class folders, a softmax and early stopping, to a model folder that the program opens.
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
    recipe.input.mirrored = true;
    recipe.architecture = Architecture::SmallCnn;
    recipe.task = Task::Multiclass;
    recipe.loss = Loss::SoftmaxCe { smoothing: 0.05, class_weights: Some(vec![1.0, 1.0, 1.0]) };
    recipe.card.classes = ["none", "small", "large"].map(String::from).to_vec();
    recipe.sampling.negatives = None;
    let class_folders = Source { name: "drawn".into(), layout: Layout::ClassFolders, ..Source::default() };
    recipe.sources = vec![class_folders];
    (recipe.split.validation, recipe.split.test) = (0.25, 0.25);
    let idle = Phase { learning_rate: 0.0, patience: Some(1), ..phase(9) };
    recipe.phases = vec![idle, phase(3)];
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
    // What the card says of the test pictures is what the installed model says when asked one by one.
    let mut counts = vec![vec![0; 3]; 3];
    for item in set.part(Part::Test).into_iter().map(|i| &set.items[i]) {
        let study = lesionlens::io::load(&folder.path().join("data").join(&item.page.file)).unwrap();
        let said = model.classify(study.slice(0).unwrap(), &|| false).unwrap();
        assert!((said.classes.iter().map(|(_, p)| p).sum::<f64>() - 1.0).abs() < 1e-9);
        let answer = said.deciding();
        counts[item.label][answer] += 1;
    }
    assert_eq!(counts, card.confusion.unwrap().counts);
}

/// A classifier that learns from outlines as well: its inner maps learn where the network's own loss cannot reach them, and
/// what it leaves has no tensor more than the network.
#[test]
fn deep_supervision_teaches_inner_layers_and_leaves_no_trace() {
    let folder = tempfile::tempdir().unwrap();
    data(folder.path());
    let mut recipe = recipe(2);
    (recipe.architecture, recipe.task) = (Architecture::ResnetClassifier, Task::Binary);
    recipe.loss = Loss::Bce { smoothing: 0.0 };
    recipe.card.classes = vec!["tumor".into(), "no_tumor".into()];
    recipe.ema = 0.0;
    let graph = recipe.architecture.with(recipe.format(SIDE)).unwrap();
    let start = start::random(&graph, recipe.seed, &candle_core::Device::Cpu).unwrap();
    // Logits of zero whatever comes: the network's own loss has no slope towards the maps.
    let silent: Parameters =
        [("logit.weight", start["logit.weight"].zeros_like().unwrap())].map(|(n, t)| (n.into(), t)).into();
    recipe.phases[0].freeze = vec!["logit".into()];
    recipe.weight_decay = 0.0;
    let trained = |recipe: &Recipe, name: &str| {
        let out = folder.path().join(name);
        let set = open(folder.path(), recipe, &out).unwrap();
        let device = candle_core::Device::Cpu;
        let fit = Fit::new(recipe, &set, &device, RunFolder(out), Some(silent.clone())).unwrap();
        let stop = AtomicBool::new(false);
        fit.run(&mut Stopper { steps: 0, stop_at: None, stop: &stop }, &stop).unwrap()
    };
    let (without, _) = trained(&recipe, "without");
    assert_eq!(values(&without, "block1.main.weight"), values(&start, "block1.main.weight"));
    recipe.deep_supervision = vec![DeepSupervision { layer: "block3.relu".into(), weight: 1.0 }];
    let (with, history) = trained(&recipe, "with");
    assert_ne!(values(&with, "block1.main.weight"), values(&start, "block1.main.weight"));
    assert!(history[1].loss < history[0].loss, "{history:?}");
    let names = |p: &Parameters| p.keys().cloned().collect::<std::collections::BTreeSet<_>>();
    assert_eq!(names(&with), names(&start));
}

/// Frozen layers keep every bit, running statistics too, while others learn.
#[test]
fn frozen_layers_stay_as_they_are() {
    let folder = tempfile::tempdir().unwrap();
    data(folder.path());
    let mut recipe = recipe(1);
    recipe.ema = 0.0;
    recipe.phases[0].freeze = vec!["stem1".into(), "stem2".into()];
    let out = folder.path().join("out");
    let set = open(folder.path(), &recipe, &out).unwrap();
    let (trained, _) = run(&set, &recipe, &out, None, false).unwrap();
    let graph = recipe.architecture.with(recipe.format(SIDE)).unwrap();
    let start = start::random(&graph, recipe.seed, &candle_core::Device::Cpu).unwrap();
    for name in start.keys() {
        let is_frozen = name.starts_with("stem");
        assert_eq!(values(&trained, name) == values(&start, name), is_frozen, "{name}");
    }
}

/// A segmenter may learn from a second set that only has pictures and outlines, and is measured on the first.
#[test]
fn outlines_of_a_second_source_are_trained_on_too() {
    let folder = tempfile::tempdir().unwrap();
    data(&folder.path().join("own"));
    data(&folder.path().join("more"));
    std::fs::remove_file(folder.path().join("more/slices.csv")).unwrap();
    let mut recipe = recipe(1);
    let source = |name: &str, layout| Source { name: name.into(), folder: name.into(), layout, ..Source::default() };
    let more = Source { split: Some(Shares { validation: 0.0, test: 0.0 }), ..source("more", Layout::Outlines) };
    recipe.sources = vec![source("own", Layout::Slices), more];
    let set = open(folder.path(), &recipe, &folder.path().join("out")).unwrap();
    // In the order of names, since a folder is listed by name and a list as it stands.
    let of = |source: usize| {
        let mut items: Vec<_> = set.items.iter().filter(|item| item.source == source).collect();
        items.sort_by_key(|item| item.page.file.file_name());
        items
    };
    let (own, more) = (of(0), of(1));
    assert_eq!((own.len(), more.len()), (48, 48));
    assert!(more.iter().all(|item| item.part == Part::Train));
    for (a, b) in own.iter().zip(&more) {
        let [a, b] = [a, b].map(|i| (i.page.file.file_name(), i.label, i.outline.as_ref().map(|o| o.pixels)));
        assert_eq!(a, b);
    }
    // A mask is found by its name, so there may be one alone.
    let masks = folder.path().join("more/masks");
    std::fs::copy(masks.join("p1_0.png"), masks.join("p1_0.jpg")).unwrap();
    let error = sources::list(folder.path(), &recipe, Division::Shares).unwrap_err().to_string();
    assert!(error.contains("p1_0.png") && error.contains("p1_0.jpg") && error.contains("keep one"), "{error}");
    std::fs::rename(masks.join("p1_0.jpg"), folder.path().join("away.jpg")).unwrap();
    std::fs::remove_file(masks.join("p1_0.png")).unwrap();
    let error = sources::list(folder.path(), &recipe, Division::Shares).unwrap_err().to_string();
    assert!(error.contains("no mask of the same name"), "{error}");
    // Class folders have no outlines to learn from.
    let text = toml::to_string(&recipe).unwrap().replace("\"outlines\"", "\"class-folders\"");
    std::fs::write(folder.path().join("bad.toml"), text).unwrap();
    let error = Recipe::read(&folder.path().join("bad.toml")).unwrap_err().to_string();
    assert!(error.contains("layout `slices`, `outlines` or `volumes`"), "{error}");
}

/// Two recipes over one folder have the same test patients, whatever classes they use.
#[test]
fn the_split_does_not_depend_on_the_classes() {
    let folder = tempfile::tempdir().unwrap();
    for class in ["a", "b", "c"] {
        std::fs::create_dir_all(folder.path().join(class)).unwrap();
        for i in 0..20u32 {
            let (slice, _) = Phantom { side: SIDE, seed: i, lesion: None }.draw();
            std::fs::write(folder.path().join(class).join(format!("{i}.png")), png::slice(&slice).unwrap()).unwrap();
        }
    }
    let mut recipe = recipe(1);
    recipe.task = Task::Binary;
    recipe.card.classes = vec!["a".into(), "b".into()];
    (recipe.split.validation, recipe.split.test) = (0.25, 0.25);
    let with = |classes: &[(&str, &str)], recipe: &mut Recipe| {
        let classes = classes.iter().map(|(from, to)| (from.to_string(), to.to_string())).collect();
        recipe.sources = vec![Source { layout: Layout::ClassFolders, classes, ..Source::default() }];
        sources::list(folder.path(), recipe, Division::Shares)
    };
    let two = with(&[("a", "a"), ("b", "b")], &mut recipe).unwrap();
    let three = with(&[("a", "a"), ("b", "b"), ("c", "b")], &mut recipe).unwrap();
    assert_eq!((two.len(), three.len()), (40, 60));
    for item in &two {
        let twin = three.iter().find(|other| other.page == item.page).unwrap();
        assert_eq!((twin.part, twin.label), (item.part, item.label), "{}", item.page.file.display());
    }
    let error = with(&[("a", "a"), ("bee", "b")], &mut recipe).unwrap_err().to_string();
    assert!(error.contains("`bee`") && error.contains("a, b, c"), "{error}");
}

#[test]
fn layers_that_cannot_be_frozen_and_single_pictures_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    data(folder.path());
    let mut recipe = recipe(1);
    let set = open(folder.path(), &recipe, &folder.path().join("out")).unwrap();
    for (layer, word) in [("up1", "stands behind"), ("nowhere", "no layer is called so")] {
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

/// Every patient is measured by a network that did not see them; stopped after a fold, the command goes on with the next.
#[test]
fn folds_measure_everybody_out_of_fold() {
    let folder = tempfile::tempdir().unwrap();
    labelled_folder(folder.path(), SIDE, 8, 4);
    let mut recipe = recipe(1);
    recipe.split.validation = 0.25;
    std::fs::write(folder.path().join("recipe.toml"), toml::to_string(&recipe).unwrap()).unwrap();
    let train = |more: &[&str]| {
        let out = common::lesionlens(
            folder.path(),
            &[&["train", "recipe.toml", "--data", ".", "--out", "runs", "--folds", "2"], more].concat(),
        );
        assert!(out.status.success(), "{}", common::text(&out.stderr));
        common::text(&out.stderr)
    };
    let said = train(&[]);
    assert!(said.contains("fold 1 of 2") && said.contains("fold 2 of 2") && said.contains("all patients"), "{said}");
    let card = |place: &str| -> lesionlens::domain::card::Card {
        toml::from_str(&std::fs::read_to_string(folder.path().join("runs").join(place)).unwrap()).unwrap()
    };
    let whole = card("card.toml");
    let note = whole.training.clone().unwrap();
    let mut tested: Vec<String> = note.folds.concat();
    tested.sort();
    assert_eq!(tested, (0..8).map(|patient| format!("p{patient}")).collect::<Vec<_>>());
    assert_eq!((note.train_patients.len(), note.validation_patients.len(), note.test_patients.len()), (8, 0, 0));
    assert_eq!(whole.measured_on.as_ref().map(|on| (on.patients, on.slices)), Some((8, 32)));
    assert_eq!(whole.metrics["dice_mean"].level, lesionlens::domain::card::Level::OutOfFold);
    for fold in 0..2 {
        let own = card(&format!("fold-{}/card.toml", fold + 1)).training.unwrap();
        assert_eq!(own.test_patients, note.folds[fold]);
        assert!(own.train_patients.iter().chain(&own.validation_patients).all(|p| !own.test_patients.contains(p)));
    }
    // A fold that is finished is not trained again; the mean over both folds' patients is what the card says.
    std::fs::remove_file(folder.path().join("runs/card.toml")).unwrap();
    std::fs::remove_file(folder.path().join("runs/fold-2/card.toml")).unwrap();
    let said = train(&["--resume"]);
    assert!(!said.contains("fold 1 of 2") && said.contains("fold 2 of 2"), "{said}");
    assert_eq!(card("card.toml").metrics, whole.metrics);
}

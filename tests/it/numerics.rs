//! Numbers that Keras and the files themselves vouch for.

use crate::common;
use candle_core::Device;
use lesionlens::domain::card::Task;
use lesionlens::domain::mask::Mask;
use lesionlens::domain::phantom::{Lesion, Phantom};
use lesionlens::domain::slice::{Depth, Slice};
use lesionlens::models::import::{ImportError, Wishes, inspect, install};
use lesionlens::models::model::{Model, ModelError, Source};
use lesionlens::models::registry::Registry;
use lesionlens::models::verify::largest_difference;
use lesionlens_nn::keras;
use lesionlens_nn::network::Runner;
use lesionlens_nn::plan::isa::Isa;
use lesionlens_nn::zoo::{Architecture, Format};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Unpacks one of Keras' reference files.
fn unpack(shared: &Path, name: &str, to: &Path) -> PathBuf {
    let output = std::process::Command::new("gzip").arg("-dc").arg(shared.join(format!("{name}.gz"))).output().unwrap();
    let path = to.join(name);
    std::fs::write(&path, output.stdout).unwrap();
    path
}

/// Reads a Keras file as `architecture`, or as whatever it is, and installs it.
fn import(file: &Path, architecture: Option<Architecture>, id: &str, out: &Path) -> Result<PathBuf, ImportError> {
    install(&inspect(file, architecture, None)?, &Wishes { id: id.into(), ..Wishes::default() }, out)
}

/// Keras 2.15's own answers, to 1e-4 absolute in probability on every f32 path and 5e-3 in bf16.
#[test]
#[cfg_attr(not(has_shared), ignore = "needs the real images of ../shared, beside the checkout")]
fn imported_networks_answer_as_keras_does() {
    let shared = common::shared("keras");
    let folder = tempfile::tempdir().unwrap();
    for (name, architecture) in [
        ("resnet_cls", Architecture::ResnetClassifier),
        ("resunet", Architecture::Resunet),
        ("vgg16_kidney", Architecture::Vgg16),
        ("resnet50_bin", Architecture::Resnet50),
        ("cnn_small", Architecture::SmallCnn),
        ("vgg16_v2", Architecture::Vgg16V2),
        ("resnet50_4", Architecture::Resnet50),
        ("inception_4", Architecture::InceptionV3),
    ] {
        let file = unpack(&shared, &format!("{name}.h5"), folder.path());
        let reference = unpack(&shared, &format!("{name}.io.safetensors"), folder.path());
        let id = name.replace('_', "-");
        assert_eq!(inspect(&file, None, None).unwrap().architecture(), Some(architecture), "{name} is recognised");
        let installed = import(&file, Some(architecture), &id, folder.path()).unwrap();
        for isa in Isa::available() {
            let source = Source::Folder(installed.clone());
            let model = Model::load_with(&source, &Runner::Cpu(Some(isa))).unwrap();
            let worst = largest_difference(&model, &reference).unwrap();
            eprintln!("{name} on {isa}: {worst:.1e}");
            // A map in bf16 is off by more, which is why it is no default (see `Isa::for_network`).
            let tolerance = match (isa.is_half(), model.card().task) {
                (false, _) => 1e-4,
                (true, Task::Segmentation) => 5e-2,
                (true, _) => 5e-3,
            };
            assert!(worst < tolerance, "{name} on {isa}: {worst}");
        }
        // Without its configuration the named architecture is taken, and its tensors by their order: they are the very same.
        let mut nameless = std::fs::read(&file).unwrap();
        let config = nameless.windows(12).position(|w| w == b"model_config").unwrap();
        nameless[config + 11] = b'x';
        let bare = folder.path().join("bare.h5");
        std::fs::write(&bare, &nameless).unwrap();
        assert!(import(&bare, None, "bare", folder.path()).unwrap_err().to_string().contains("--architecture"));
        let by_order = import(&bare, Some(architecture), "bare", folder.path()).unwrap();
        let weights = |folder: &Path| std::fs::read(folder.join("model.safetensors")).unwrap();
        assert!(weights(&by_order) == weights(&installed), "{name} by order");
        std::fs::remove_dir_all(&by_order).unwrap();
        // Without a flattened map the weights do not tell the size of the pictures; with one they do.
        let smaller = Wishes { id: "smaller".into(), side: Some(96), ..Wishes::default() };
        let installed_smaller = install(&inspect(&bare, Some(architecture), None).unwrap(), &smaller, folder.path());
        let takes_any =
            [Architecture::Resunet, Architecture::Resnet50, Architecture::InceptionV3].contains(&architecture);
        assert_eq!(installed_smaller.is_ok(), takes_any, "{name}");
        if let Ok(smaller) = installed_smaller {
            std::fs::remove_dir_all(smaller).unwrap();
        }
        if name == "resnet50_4" {
            // A start for other classes: everything but the last layer.
            let wanted = architecture.with(Format { outputs: 7, ..architecture.native() }).unwrap();
            let start = keras::fitting(nameless, wanted.clone()).unwrap();
            let names = wanted.parameters().into_iter().map(|p| p.name);
            let fresh: Vec<String> = names.filter(|name| !start.contains_key(name)).collect();
            assert_eq!(fresh, ["logits.weight", "logits.bias"]);
        }
        // The other architecture is refused, and nothing is left behind.
        let other = Architecture::ALL.into_iter().find(|a| *a != architecture).unwrap();
        assert!(matches!(import(&file, Some(other), "other", folder.path()), Err(ImportError::Keras { .. })));
        assert!(!folder.path().join("other").exists());
        // Cut short, it gives an error, not a panic.
        let bytes = std::fs::read(&file).unwrap();
        for cut in [0, 8, 600, bytes.len() / 3] {
            let cut_file = folder.path().join("cut.h5");
            std::fs::write(&cut_file, &bytes[..cut]).unwrap();
            assert!(import(&cut_file, None, "cut", folder.path()).is_err());
        }
    }
}

/// Every shipped model on real slices of unseen patients: what runs by default answers as plain f32 does, probabilities within
/// 5e-3 and every mask with Dice ≥ 0.999. What bf16 would do where it is no default is printed.
#[test]
#[cfg_attr(not(has_shared), ignore = "needs the real images of ../shared, beside the checkout")]
fn default_paths_answer_as_plain_f32_does() {
    let lgg = common::shared("data/lgg");
    let list = std::fs::read_to_string(lgg.join("slices.csv")).unwrap();
    let half = Isa::available().into_iter().find(|isa| isa.is_half());
    let runners: Vec<Runner> = [Some(Isa::Portable), None].into_iter().chain(half.map(Some)).map(Runner::Cpu).collect();
    // The 8th slice of every test patient, most of them with tumour.
    let patients = Registry::scan_in(&[]).get("lgg-resunet").unwrap().card.training.clone().unwrap().test_patients;
    let row = |patient: &String| list.lines().filter(|row| row.split(',').nth(1) == Some(patient)).nth(8);
    let files: Vec<&str> = patients.iter().filter_map(row).filter_map(|row| row.split(',').next()).collect();
    assert!(files.len() >= 10);
    for (id, source) in lesionlens::models::registry::embedded() {
        let models: Vec<Model> = runners.iter().map(|runner| Model::load_with(&source, runner).unwrap()).collect();
        let (mut worst_half, mut both, mut total) = (0f64, 0, 0);
        for file in &files {
            let slice = lesionlens::io::load(&lgg.join("images").join(file)).unwrap().slice(0).unwrap();
            if models[0].card().task == Task::Segmentation {
                let maps: Vec<_> = models.iter().map(|m| m.segment(&slice, &|| false).unwrap()).collect();
                let masks: Vec<Mask> = maps.iter().map(|map| map.mask(0.5)).collect();
                assert!(masks[0].dice(&masks[1]).is_none_or(|d| d >= 0.999), "{id} on {file}");
                let off = maps[0].square.iter().zip(&maps[1].square).fold(0f32, |m, (a, b)| m.max((a - b).abs()));
                assert!(off < 5e-3, "{id} on {file}: pixels off by {off}");
                if let Some(half) = masks.get(2) {
                    both += masks[0].pixels().iter().zip(half.pixels()).filter(|(a, b)| **a && **b).count();
                    total += masks[0].area() + half.area();
                }
                continue;
            }
            let said: Vec<_> = models.iter().map(|m| m.classify(&slice, &|| false).unwrap().classes).collect();
            let off = |other: &[(String, f64)]| {
                said[0].iter().zip(other).fold(0f64, |worst, (a, b)| worst.max((a.1 - b.1).abs()))
            };
            assert!(off(&said[1]) < 5e-3, "{id} on {file}: {said:?}");
            worst_half = said.get(2).map_or(0.0, |half| worst_half.max(off(half)));
        }
        match models[0].card().task {
            Task::Segmentation if total > 0 => {
                eprintln!("{id}: bf16 masks have Dice {:.4} with those of f32", 2.0 * both as f64 / total as f64);
            }
            _ => eprintln!("{id}: probabilities in bf16 are off by up to {worst_half:.1e}"),
        }
    }
}

#[test]
fn built_in_models_load_and_changed_weights_are_refused() {
    let registry = Registry::scan_in(&[]);
    assert!(registry.problems.is_empty(), "{:?}", registry.problems);
    let (classifier, segmenter) = registry.default_pair();
    assert_eq!(registry.get(&classifier.unwrap()).unwrap().card.task, Task::Binary);
    let id = segmenter.unwrap();
    let Source::Embedded { card, weights } = registry.get(&id).unwrap().source.clone() else { panic!("not built in") };
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join(&id);
    std::fs::create_dir(&model).unwrap();
    std::fs::write(model.join("card.toml"), card).unwrap();
    let mut changed = weights.to_vec();
    *changed.last_mut().unwrap() ^= 1;
    std::fs::write(model.join("model.safetensors"), &changed).unwrap();
    let registry = Registry::scan_in(&[folder.path().to_path_buf()]);
    let error = registry.load(&id, &Device::Cpu).err().unwrap();
    assert!(matches!(error, ModelError::Hash { .. }), "{error}");
    assert!(error.to_string().contains("install the model again"));
    // With its hash corrected but a tensor cut off, the file itself is refused.
    changed.truncate(changed.len() / 2);
    let hash = |bytes: &[u8]| {
        use sha2::Digest;
        format!("{:x}", sha2::Sha256::digest(bytes))
    };
    let card = card.replace(&hash(weights), &hash(&changed));
    std::fs::write(model.join("card.toml"), card).unwrap();
    std::fs::write(model.join("model.safetensors"), &changed).unwrap();
    let error = Registry::scan_in(&[folder.path().to_path_buf()]).load(&id, &Device::Cpu).err().unwrap();
    assert!(matches!(error, ModelError::Weights { .. }), "{error}");
}

/// The weights that are shipped, on test patients named in the card: masks must overlap the experts' on most of them.
#[test]
#[cfg_attr(not(has_shared), ignore = "needs the real images of ../shared, beside the checkout")]
fn shipped_weights_find_tumours_in_patients_they_never_saw() {
    let lgg = common::shared("data/lgg");
    let registry = Registry::scan_in(&[]);
    let (Some(classifier), Some(segmenter)) = registry.default_pair() else { panic!("no built-in pair") };
    let classifier = registry.load(&classifier, &Device::Cpu).unwrap();
    let segmenter = registry.load(&segmenter, &Device::Cpu).unwrap();
    let named = segmenter.card().training.as_ref().unwrap().test_patients.clone();
    let mut list = String::new();
    std::fs::File::open(lgg.join("slices.csv")).unwrap().read_to_string(&mut list).unwrap();
    let (mut patients, mut good, mut caught) = (0, 0, 0);
    for patient in &named {
        // The slice with the largest tumour.
        let rows = list.lines().filter(|line| line.split(',').nth(1) == Some(patient));
        let pixels = |line: &&str| line.split(',').nth(3).unwrap().parse::<usize>().unwrap();
        // The card names patients of other sources too.
        let Some(row) = rows.max_by_key(pixels) else { continue };
        patients += 1;
        let file = row.split(',').next().unwrap();
        let slice = lesionlens::io::load(&lgg.join("images").join(file)).unwrap().slice(0).unwrap();
        let truth = lesionlens::io::load_outline(&lgg.join("masks").join(file).with_extension("png"), &slice).unwrap();
        let mask = segmenter.segment(&slice, &|| false).unwrap().mask(0.5);
        good += usize::from(mask.dice(&truth).unwrap() > 0.5);
        caught += usize::from(
            classifier.classify(&slice, &|| false).unwrap().probability() >= classifier.card().threshold.default,
        );
    }
    eprintln!("{good} of {patients} masks overlap, {caught} of {patients} slices are caught");
    assert!(patients >= 5 && 2 * good > patients && 4 * caught > 3 * patients);
}

/// A card that says `mirrored`: the mean of the answers for the slice and for the slice turned left to right, whose mask is turned
/// back; to 1e-6 in probability.
#[test]
fn a_mirrored_model_gives_the_mean_of_both_views() {
    let folder = tempfile::tempdir().unwrap();
    let lesion = Lesion { x: 0.3, y: 0.1, radius: 0.2 };
    let (slice, _) = Phantom { side: 256, seed: 3, lesion: Some(lesion) }.draw();
    let turned: Vec<f32> = slice.values().chunks(256).flat_map(|row| row.iter().rev().copied()).collect();
    let [slice, turned] =
        [slice.values().to_vec(), turned].map(|v| Arc::new(Slice::new(256, 256, v, Depth::Eight).unwrap()));
    let pair = |id: &str| {
        let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("weights").join(id);
        let to = folder.path().join(id);
        std::fs::create_dir_all(&to).unwrap();
        std::fs::copy(shipped.join("model.safetensors"), to.join("model.safetensors")).unwrap();
        let card = std::fs::read_to_string(shipped.join("card.toml")).unwrap();
        let with = |mirrored: bool| {
            let (start, input) = card.split_once("[input]\n").unwrap();
            // Intensities of the head are measured on some of its pixels, which are others when the picture is turned.
            let kept = |line: &&str| !["mirrored", "scale"].iter().any(|key| line.starts_with(key));
            let input: Vec<&str> = input.lines().filter(kept).collect();
            let text = format!("{start}[input]\nmirrored = {mirrored}\nscale = \"standardize\"\n{}", input.join("\n"));
            std::fs::write(to.join("card.toml"), text).unwrap();
            Model::load(&Source::Folder(to.clone()), &Device::Cpu).unwrap()
        };
        (with(false), with(true))
    };
    let never = &|| false;
    let (plain, mirrored) = pair("lgg-resunet");
    let [own, other] = [&slice, &turned].map(|s| plain.segment(s, never).unwrap().square);
    let said = mirrored.segment(&slice, never).unwrap().square;
    for (at, p) in said.iter().enumerate() {
        let wanted = (own[at] + other[at - at % 256 + 255 - at % 256]) / 2.0;
        assert!((p - wanted).abs() < 1e-6, "pixel {at}: {p} and {wanted}");
    }
    assert!(said.iter().zip(&own).any(|(a, b)| (a - b).abs() > 1e-3), "both views are not the same");
    let (plain, mirrored) = pair("lgg-resnet");
    // The temperature comes after the mean: undone here.
    let power = |p: f64| {
        let t = plain.card().calibration.map_or(1.0, |c| c.temperature);
        let (yes, no) = (p.powf(t), (1.0 - p).powf(t));
        yes / (yes + no)
    };
    let [own, other] = [&slice, &turned].map(|s| power(plain.classify(s, never).unwrap().probability()));
    let said = power(mirrored.classify(&slice, never).unwrap().probability());
    assert!((said - (own + other) / 2.0).abs() < 1e-6, "{own} {other} {said}");
}

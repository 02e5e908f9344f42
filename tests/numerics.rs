//! Numbers that Keras and the files themselves vouch for.

mod common;

use candle_core::Device;
use lesionlens::domain::card::Task;
use lesionlens::models::import::{ImportError, import};
use lesionlens::models::model::{Model, ModelError, Source};
use lesionlens::models::registry::Registry;
use lesionlens::models::verify::largest_difference;
use lesionlens::nn::zoo::Architecture;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Unpacks one of Keras' reference files.
fn unpack(shared: &Path, name: &str, to: &Path) -> PathBuf {
    let output = std::process::Command::new("gzip").arg("-dc").arg(shared.join(format!("{name}.gz"))).output().unwrap();
    let path = to.join(name);
    std::fs::write(&path, output.stdout).unwrap();
    path
}

/// Keras 2.15's own answers, to 1e-4 absolute in probability.
#[test]
fn imported_networks_answer_as_keras_does() {
    let Some(shared) = common::shared("keras") else { return };
    let folder = tempfile::tempdir().unwrap();
    for (name, architecture) in [("resnet_cls", Architecture::ResnetClassifier), ("resunet", Architecture::Resunet)] {
        let file = unpack(&shared, &format!("{name}.h5"), folder.path());
        let reference = unpack(&shared, &format!("{name}.io.safetensors"), folder.path());
        let id = name.replace('_', "-");
        let installed = import(&file, architecture, &id, folder.path()).unwrap();
        let model = Model::load(&Source::Folder(installed), &Device::Cpu).unwrap();
        let worst = largest_difference(&model, &reference).unwrap();
        assert!(worst < 1e-4, "{name}: {worst}");
        // The other architecture is refused, and nothing is left behind.
        let other = Architecture::ALL.into_iter().find(|a| *a != architecture).unwrap();
        assert!(matches!(import(&file, other, "other", folder.path()), Err(ImportError::Keras { .. })));
        assert!(!folder.path().join("other").exists());
        // Cut short, it gives an error, not a panic.
        let bytes = std::fs::read(&file).unwrap();
        for cut in [0, 8, 600, bytes.len() / 3] {
            let cut_file = folder.path().join("cut.h5");
            std::fs::write(&cut_file, &bytes[..cut]).unwrap();
            assert!(import(&cut_file, architecture, "cut", folder.path()).is_err());
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
fn shipped_weights_find_tumours_in_patients_they_never_saw() {
    let Some(lgg) = common::shared("data/lgg") else { return };
    let registry = Registry::scan_in(&[]);
    let (Some(classifier), Some(segmenter)) = registry.default_pair() else { panic!("no built-in pair") };
    let classifier = registry.load(&classifier, &Device::Cpu).unwrap();
    let segmenter = registry.load(&segmenter, &Device::Cpu).unwrap();
    let patients = segmenter.card().training.as_ref().unwrap().test_patients.clone();
    assert!(patients.len() >= 5);
    let mut list = String::new();
    std::fs::File::open(lgg.join("slices.csv")).unwrap().read_to_string(&mut list).unwrap();
    let (mut good, mut caught) = (0, 0);
    for patient in &patients {
        // The slice with the largest tumour.
        let rows = list.lines().filter(|line| line.split(',').nth(1) == Some(patient));
        let pixels = |line: &&str| line.split(',').nth(3).unwrap().parse::<usize>().unwrap();
        let file = rows.max_by_key(pixels).unwrap().split(',').next().unwrap();
        let slice = lesionlens::io::load(&lgg.join("images").join(file)).unwrap().slices[0].clone();
        let truth = lesionlens::io::load_truth(&lgg.join("masks").join(file), std::slice::from_ref(&slice)).unwrap()[0]
            .clone()
            .unwrap();
        let mask = segmenter.segment(&slice, &|| false).unwrap().mask(0.5);
        good += usize::from(mask.dice(&truth).unwrap() > 0.5);
        caught += usize::from(
            classifier.classify(&slice, &|| false).unwrap().probability() >= classifier.card().threshold.default,
        );
    }
    eprintln!("{good} of {0} masks overlap, {caught} of {0} slices are caught", patients.len());
    assert!(2 * good > patients.len() && 4 * caught > 3 * patients.len());
}

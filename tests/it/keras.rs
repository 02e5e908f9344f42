//! Keras files of every layout, small enough to lie here, against what Keras itself answered; and files that lie.

use candle_core::Device;
use lesionlens::domain::card::{Scale, Surroundings, Task};
use lesionlens::models::import::{ImportError, ScaleSource, Wishes, inspect, install};
use lesionlens::models::model::{Model, Source, read_card};
use lesionlens::models::registry::Registry;
use lesionlens::models::verify::largest_difference;
use lesionlens_nn::network::Runner;
use lesionlens_nn::plan::isa::Isa;
use std::io::Write;
use std::path::{Path, PathBuf};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/keras3").join(name)
}

fn wishes(id: &str) -> Wishes {
    Wishes { id: id.into(), ..Wishes::default() }
}

/// To 1e-4 absolute in probability on every f32 path, 5e-3 in bf16.
#[test]
fn networks_that_are_none_of_ours_answer_as_keras_does() {
    let folder = tempfile::tempdir().unwrap();
    let config = fixture("func.json");
    for (file, config, reference, task) in [
        ("func.keras", None, "func", Task::Multiclass),
        ("func.h5", None, "func", Task::Multiclass),
        ("func.weights.h5", Some(config.as_path()), "func", Task::Multiclass),
        ("gated.keras", None, "gated", Task::Multiclass),
        ("gated.h5", None, "gated", Task::Multiclass),
        ("seq.keras", None, "seq", Task::Binary),
        ("seq.h5", None, "seq", Task::Binary),
    ] {
        let found = inspect(&fixture(file), None, config).unwrap();
        assert_eq!((found.architecture(), found.task, found.format.side), (None, task, 20), "{file}");
        let id = file.replace('.', "-");
        let installed = install(&found, &wishes(&id), folder.path()).unwrap();
        for isa in Isa::available() {
            let model = Model::load_with(&Source::Folder(installed.clone()), &Runner::Cpu(Some(isa))).unwrap();
            let worst = largest_difference(&model, &fixture(&format!("{reference}.io.safetensors"))).unwrap();
            assert!(worst < if isa.is_half() { 5e-3 } else { 1e-4 }, "{file} on {isa}: {worst:e}");
        }
    }
}

/// Layers of all kinds, models in models, scores without a softmax, a mask of several channels and pictures of any size: to 1e-4
/// on every f32 path.
#[test]
fn layers_of_all_kinds_answer_as_keras_does() {
    let folder = tempfile::tempdir().unwrap();
    for (name, task, any_side, classes) in [
        ("layers", Task::Multiclass, false, ["class_1", "class_2", "class_3"]),
        ("mask", Task::Segmentation, true, ["background", "class_1", "class_2"]),
    ] {
        let found = inspect(&fixture(&format!("{name}.keras")), None, None).unwrap();
        assert_eq!((found.task, found.takes_any_side()), (task, any_side), "{name}");
        assert_eq!(found.usual_scale(), (Scale::Raw, ScaleSource::OwnLayer), "{name}");
        let wishes = Wishes { side: any_side.then_some(20), ..wishes(name) };
        let installed = install(&found, &wishes, folder.path()).unwrap();
        for isa in Isa::available().into_iter().filter(|isa| !isa.is_half()) {
            let model = Model::load_with(&Source::Folder(installed.clone()), &Runner::Cpu(Some(isa))).unwrap();
            assert_eq!(model.card().classes, classes);
            let worst = largest_difference(&model, &fixture(&format!("{name}.io.safetensors"))).unwrap();
            assert!(worst < 1e-4, "{name} on {isa}: {worst:e}");
        }
    }
}

/// A mask of excluding classes: a finding is what the background leaves.
#[test]
fn a_softmax_mask_shows_what_is_not_background() {
    let folder = tempfile::tempdir().unwrap();
    let found = inspect(&fixture("mask.keras"), None, None).unwrap();
    let named =
        |names: [&str; 3]| Wishes { side: Some(20), classes: Some(names.map(String::from).to_vec()), ..wishes("m") };
    let nameless = install(&found, &named(["edema", "core", "ring"]), folder.path());
    assert!(matches!(nameless, Err(ImportError::Background)));
    let installed = install(&found, &named(["edema", "fondo", "core"]), folder.path()).unwrap();
    let model = Model::load(&Source::Folder(installed), &Device::Cpu).unwrap();
    let slice = std::sync::Arc::new(
        lesionlens::domain::slice::Slice::new(20, 20, vec![90.0; 400], lesionlens::domain::slice::Depth::Eight)
            .unwrap(),
    );
    let shown = model.segment(&slice, &|| false).unwrap().square;
    let input = candle_core::Tensor::from_vec(vec![90f32; 400], (1, 20, 20, 1), &Device::Cpu).unwrap();
    let maps = model.network().infer(&input, &|| false).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let wanted: Vec<f32> = maps.chunks(3).map(|p| p[0] + p[2]).collect();
    assert!(shown.iter().zip(&wanted).all(|(a, b)| (a - b).abs() < 1e-5));
}

#[test]
fn what_the_owner_says_stands_in_the_card_and_the_model_can_be_removed() {
    let folder = tempfile::tempdir().unwrap();
    let found = inspect(&fixture("func.keras"), None, None).unwrap();
    let said = Wishes {
        id: "kidney".into(),
        classes: Some(["cyst", "normal", "stone"].map(String::from).to_vec()),
        scale: Some(Scale::Tf),
        threshold: Some(0.7),
        modality: Some("CT, axial, kidney".into()),
        side: None,
        from_tensorflow: false,
    };
    let two = Wishes { classes: Some(vec!["a".into(), "b".into()]), ..said.clone() };
    assert!(matches!(install(&found, &two, folder.path()), Err(ImportError::Classes { wanted: 3, given: 2 })));
    let high = Wishes { threshold: Some(7.0), ..said.clone() };
    assert!(matches!(install(&found, &high, folder.path()), Err(ImportError::Card(_))));
    let installed = install(&found, &said, folder.path()).unwrap();
    let card = read_card(&Source::Folder(installed.clone())).unwrap();
    assert_eq!((card.classes.len(), card.input.scale, card.threshold.default), (3, Scale::Tf, 0.7));
    assert_eq!(card.input.modality, "CT, axial, kidney");
    assert!(matches!(install(&found, &said, folder.path()), Err(ImportError::Exists(_))));
    assert!(matches!(install(&found, &wishes("brain4"), folder.path()), Err(ImportError::Reserved(_))));
    let registry = Registry::scan_in(&[folder.path().to_path_buf()]);
    registry.load("kidney", &Device::Cpu).unwrap();
    assert!(registry.remove("brain4", folder.path()).unwrap_err().to_string().contains("stays"));
    registry.remove("kidney", folder.path()).unwrap();
    assert!(!installed.exists());
}

#[test]
fn a_tampered_graph_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let found = inspect(&fixture("seq.keras"), None, None).unwrap();
    let installed = install(&found, &wishes("seq"), folder.path()).unwrap();
    let (weights, card) = (installed.join("model.safetensors"), installed.join("card.toml"));
    let whole = std::fs::read(&weights).unwrap();
    // The same length, so that the header stays whole; the card is made to agree.
    for (from, to, why) in
        [("\\\"units\\\":6", "\\\"units\\\":9", "shape"), ("\\\"inputs\\\":[0]", "\\\"inputs\\\":[9]", "comes after")]
    {
        let at = whole.windows(from.len()).position(|part| part == from.as_bytes()).unwrap();
        let mut bytes = whole.clone();
        bytes[at..at + from.len()].copy_from_slice(to.as_bytes());
        std::fs::write(&weights, &bytes).unwrap();
        let refused = Model::load(&Source::Folder(installed.clone()), &Device::Cpu).err().unwrap().to_string();
        assert!(refused.contains("sha256"), "{refused}");
        use sha2::{Digest, Sha256};
        let agreed = std::fs::read_to_string(&card)
            .unwrap()
            .replace(&format!("{:x}", Sha256::digest(&whole)), &format!("{:x}", Sha256::digest(&bytes)));
        std::fs::write(&card, &agreed).unwrap();
        let refused = Model::load(&Source::Folder(installed.clone()), &Device::Cpu).err().unwrap().to_string();
        assert!(refused.contains(why), "{refused}");
        std::fs::write(
            &card,
            agreed.replace(&format!("{:x}", Sha256::digest(&bytes)), &format!("{:x}", Sha256::digest(&whole))),
        )
        .unwrap();
    }
}

fn archive(path: &Path, files: &[(&str, &[u8])]) {
    let mut zip = zip::ZipWriter::new(std::fs::File::create(path).unwrap());
    let options = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Deflated);
    for (name, bytes) in files {
        zip.start_file(*name, options).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap();
}

#[test]
fn damaged_and_hostile_files_are_refused_with_a_reason() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.keras");
    let refused = |what: &str| {
        let error = inspect(&path, None, None).unwrap_err().to_string();
        assert!(error.contains("x.keras"), "{error}");
        assert!(error.contains(what), "{what}: {error}");
    };
    let config = std::fs::read_to_string(fixture("func.json")).unwrap();
    let weights = std::fs::read(fixture("func.weights.h5")).unwrap();
    archive(&path, &[("config.json", config.as_bytes())]);
    refused("model.weights.h5");
    archive(&path, &[("config.json", b"{"), ("model.weights.h5", &weights)]);
    refused("configuration");
    // Zeros pack to a thousandth: what the archive unpacks to is bounded, whatever it says.
    archive(&path, &[("config.json", &vec![b' '; 65 << 20]), ("model.weights.h5", &weights)]);
    refused("unpacks to more than 64 MiB");
    // Every unknown layer is named at once.
    let strange = config.replace("\"Conv2D\"", "\"Conv3D\"").replace("\"Dropout\"", "\"Attention\"");
    archive(&path, &[("config.json", strange.as_bytes()), ("model.weights.h5", &weights)]);
    refused("`Conv3D` (`conv2d_1`)");
    refused("`Attention`");
    // So is every tensor that does not fit.
    let wide = config.replace("\"units\": 3", "\"units\": 4");
    archive(&path, &[("config.json", wide.as_bytes()), ("model.weights.h5", &weights)]);
    refused("layers/dense/vars/0");
    refused("layers/dense/vars/1");
    let huge = config.replace("\"filters\": 4", "\"filters\": 4000000000");
    archive(&path, &[("config.json", huge.as_bytes()), ("model.weights.h5", &weights)]);
    refused("more than any network");
    std::fs::write(&path, &weights).unwrap();
    refused("--config");
    // Cut or changed anywhere it may be an error or, in its numbers, another network: never a panic.
    for (name, step) in [("func.keras", 1009), ("seq.h5", 997)] {
        let whole = std::fs::read(fixture(name)).unwrap();
        for at in (0..whole.len() * 3 / 4).step_by(step) {
            std::fs::write(&path, &whole[..at]).unwrap();
            assert!(inspect(&path, None, None).is_err(), "{name} cut at {at}");
            let mut flipped = whole.clone();
            flipped[at] ^= 0x5A;
            std::fs::write(&path, &flipped).unwrap();
            inspect(&path, None, None).ok();
        }
    }
}

/// What an import would get wrong without a word is refused in words.
#[test]
fn what_cannot_be_imported_faithfully_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.keras");
    let config = std::fs::read_to_string(fixture("func.json")).unwrap();
    let weights = std::fs::read(fixture("func.weights.h5")).unwrap();
    for (from, to, why) in [
        ("\"activation\": \"softmax\"", "\"activation\": \"tanh\"", "ends in tanh"),
        ("\"activation\": \"softmax\"", "\"activation\": {\"class_name\": \"LeakyReLU\"}", "ends in leakyrelu"),
        ("\"activation\": \"softmax\"", "\"activation\": \"glu\"", "`glu`"),
        (
            "\"output_layers\": [\"dense\", 0, 0]",
            "\"output_layers\": [[\"dense\", 0, 0], [\"add\", 0, 0]]",
            "several outputs",
        ),
        ("\"output_layers\": [\"dense\", 0, 0]", "\"output_layers\": [\"add\", 0, 0]", "answers with 10×10×4"),
        ("\"keras_history\": [\"re_lu\", 0, 0]", "\"keras_history\": [\"re_lu\", 0, 1]", "second output"),
        ("\"negative_slope\": 0.0", "\"negative_slope\": 0.2", "slope"),
        ("\"dilation_rate\": [1, 1]", "\"dilation_rate\": [2, 0]", "window does not fit"),
        ("\"axis\": -1}", "\"axis\": 1}", "axis 1"),
    ] {
        assert!(config.contains(from), "{from}");
        archive(&path, &[("config.json", config.replace(from, to).as_bytes()), ("model.weights.h5", &weights)]);
        let error = inspect(&path, None, None).unwrap_err().to_string();
        assert!(error.contains(why), "{to}: {error}");
    }
}

/// A card that asks for neighbours: the slice before and the one after are the first and the third channel, and nothing else
/// changes.
#[test]
fn neighbouring_slices_feed_a_model_whose_card_asks_for_them() {
    use lesionlens::domain::slice::{Depth, Slice};
    use lesionlens::domain::study::{Place, Study};
    let folder = tempfile::tempdir().unwrap();
    let found = inspect(&fixture("func.keras"), None, None).unwrap();
    let installed = install(&found, &wishes("beside"), folder.path()).unwrap();
    let card = std::fs::read_to_string(installed.join("card.toml")).unwrap();
    std::fs::write(installed.join("card.toml"), card.replace("[input]", "[input]\nneighbours = true")).unwrap();
    let model = Model::load(&Source::Folder(installed), &Device::Cpu).unwrap();
    let page = |seed: usize| {
        let pixels: Vec<f32> = (0..400).map(|i| ((i * 37 + seed * 91) % 251) as f32).collect();
        Slice::new(20, 20, pixels, Depth::Eight).unwrap()
    };
    let study = Study::of_pages(Path::new("s"), vec![page(1), page(2), page(3)]);
    let place = Place { cut: study.native(), index: 1 };
    let picture = study.picture(place);
    let said = model
        .classify_all(&[picture.among(Surroundings::of([&model.card().input])).unwrap()], &|| false)
        .unwrap()
        .remove(0);
    // The bare network on the three pages as channels.
    let pages = [page(1), page(2), page(3)].map(|slice| slice.values());
    let input: Vec<f32> = (0..1200).map(|i| pages[i % 3][i / 3] / 255.0).collect();
    let x = candle_core::Tensor::from_vec(input, (1, 20, 20, 3), &Device::Cpu).unwrap();
    let wanted: Vec<f32> = model.network().infer(&x, &|| false).unwrap().flatten_all().unwrap().to_vec1().unwrap();
    for ((_, p), wanted) in said.classes.iter().zip(&wanted) {
        assert!((p - f64::from(*wanted)).abs() < 1e-5, "{p} {wanted}");
    }
    let alone = model.classify(study.slice(1).unwrap(), &|| false).unwrap();
    assert!((alone.classes[0].1 - said.classes[0].1).abs() > 1e-4, "alone it stands for its neighbours");
}

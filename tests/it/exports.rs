//! Every built-in model as other runtimes get it: its ONNX file and the note beside it, against this program's own answers.

use crate::common;
use candle_core::{Device, Tensor};
use lesionlens::domain::card::Task;
use lesionlens::domain::phantom::Phantom;
use lesionlens::io::paths;
use lesionlens::models::export::{self, Format};
use lesionlens::models::import::{Wishes, inspect, install};
use lesionlens::models::model::{Model, Source, read_card, read_graph};
use lesionlens::models::registry::Registry;
use lesionlens::models::{preprocess, preprocessing_note};
use lesionlens_nn::exec::Parameters;
use lesionlens_nn::export::ExportError;
use lesionlens_nn::graph::Graph;
use lesionlens_nn::network::{Network, Runner};
use lesionlens_nn::plan::isa::Isa;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

/// Pictures of a folder of the shared material, evenly spaced.
fn some(folder: &str, count: usize) -> Vec<PathBuf> {
    let mut all: Vec<PathBuf> =
        std::fs::read_dir(common::shared(folder)).unwrap().map(|entry| entry.unwrap().path()).collect();
    all.retain(|path| path.extension().is_some_and(|end| end == "jpg" || end == "png"));
    all.sort();
    let step = (all.len() / count).max(1);
    all.into_iter().step_by(step).take(count).collect()
}

/// The only study of a file.
fn one(path: &Path) -> lesionlens::domain::study::Study {
    let source = paths::expand(&[path.to_path_buf()], &|| false).sources.remove(0);
    lesionlens::io::open(source).unwrap()
}

/// To 1e-4 in probability: picture, preprocessing, network, mirror image and temperature. Real slices are tried where they are.
#[test]
#[ignore = "needs Python with onnxruntime, numpy, pillow and safetensors, and ../shared; name it in LESIONLENS_PYTHON"]
fn exported_models_answer_alike_in_onnx_runtime() {
    let python = std::env::var("LESIONLENS_PYTHON").unwrap_or_else(|_| "python3".into());
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/onnx_answers.py");
    let folder = tempfile::tempdir().unwrap();
    let drawn = folder.path().join("drawn.png");
    common::phantom_png(&drawn);
    let mut pictures = vec![drawn];
    for part in ["data/lgg/images", "data/kidney/tumor", "data/cheng/val/glioma", "data/br35h/no"] {
        for path in some(part, 3) {
            // Decoders of JPEG differ by a grey value here and there; the same pixels are asked about.
            let pixels = folder.path().join(path.file_name().unwrap()).with_extension("png");
            image::open(&path).unwrap().save(&pixels).unwrap();
            pictures.push(pixels);
        }
    }
    let exact = Runner::Cpu(Some(Isa::exact()));
    for entry in Registry::scan_in(&[]).entries() {
        let id = &entry.card.id;
        let file = folder.path().join(format!("{id}.onnx"));
        std::fs::write(&file, export::network(entry, Format::Onnx).unwrap()).unwrap();
        std::fs::write(format!("{}.json", file.display()), preprocessing_note::of(&entry.card).to_string()).unwrap();
        let model = Model::load_with(&entry.source, &exact).unwrap();
        let answer = |path: &PathBuf| {
            let slice = one(path).slice(0).unwrap();
            let values: Vec<f32> = match entry.card.task {
                Task::Segmentation => model.segment(&slice, &|| false).unwrap().square,
                _ => model.classify(&slice, &|| false).unwrap().classes.iter().map(|(_, p)| *p as f32).collect(),
            };
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            (name, Tensor::from_slice(&values, values.len(), &Device::Cpu).unwrap())
        };
        let answers: HashMap<String, Tensor> = pictures.iter().map(answer).collect();
        let reference = folder.path().join(format!("{id}.safetensors"));
        candle_core::safetensors::save(&answers, &reference).unwrap();
        let output = Command::new(&python).arg(&script).arg(&file).arg(&reference).args(&pictures).output().unwrap();
        let said = common::text(&output.stdout);
        eprintln!("{id}: {}", said.lines().last().unwrap_or_default());
        assert!(output.status.success(), "{id}: {said}{}", common::text(&output.stderr));
    }
}

/// Every built-in model, and small networks of the layers that imported ones have, with inputs and this program's answers to them.
fn graphs() -> Vec<(String, Graph, Parameters, Tensor, Tensor)> {
    let folder = tempfile::tempdir().unwrap();
    let mut sources: Vec<(String, Source)> =
        Registry::scan_in(&[]).entries().map(|entry| (entry.card.id.clone(), entry.source.clone())).collect();
    for name in ["classifier", "classifier_11"] {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/fixtures/onnx/{name}.onnx"));
        let found = inspect(&file, None, None).unwrap();
        let wishes = Wishes { id: name.into(), ..Wishes::default() };
        sources.push((name.into(), Source::Folder(install(&found, &wishes, folder.path()).unwrap())));
    }
    let answered = |(name, source): (String, Source)| {
        let card = read_card(&source).unwrap();
        let (graph, parameters) = read_graph(&source, &card).unwrap().unwrap();
        // A head with a lesion, and its mirror image.
        let (side, channels) = (card.input.side, card.input.channels);
        let (slice, _) = Phantom::example().draw();
        let own = preprocess::network_input(&Arc::new(slice).into(), &card.input);
        let values = [own.clone(), preprocess::mirrored(&own, side, channels)].concat();
        let x = Tensor::from_vec(values, (2, side, side, channels), &Device::Cpu).unwrap();
        let y = answer(&graph, parameters.clone(), &x);
        (name, graph, parameters, x, y)
    };
    sources.into_iter().map(answered).collect()
}

fn answer(graph: &Graph, parameters: Parameters, x: &Tensor) -> Tensor {
    Network::new(graph, parameters, &Runner::Cpu(Some(Isa::exact()))).unwrap().infer(x, &|| false).unwrap()
}

/// A network that is written for Keras and read again gives the same answers to 1e-5.
#[test]
fn keras_files_are_read_again() {
    let mut written = 0;
    for (name, graph, parameters, x, y) in graphs() {
        let bytes = match lesionlens_nn::export::keras::write(&graph, &parameters) {
            Ok(bytes) => bytes,
            Err(ExportError::NoCounterpart { operation, .. }) => {
                // Pools that begin with a padded border and end without one are PyTorch's alone.
                assert!(name.starts_with("classifier") && operation == "max pooling", "{name}: {operation}");
                continue;
            }
            Err(other) => panic!("{name}: {other}"),
        };
        let model = lesionlens_nn::keras::read(vec![bytes], None, None).unwrap_or_else(|e| panic!("{name}: {e}"));
        let again = answer(&model.graph, model.weights, &x);
        let worst = (again - &y).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
        assert!(worst < 1e-5, "{name}: {worst:e}");
        written += 1;
    }
    assert!(written >= 6, "{written}");
}

/// To 1e-4, in Keras itself.
#[test]
#[ignore = "needs Python with keras 3, numpy and safetensors; name it in LESIONLENS_PYTHON"]
fn exported_models_answer_alike_in_keras() {
    let python = std::env::var("LESIONLENS_PYTHON").unwrap_or_else(|_| "python3".into());
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/keras_answers.py");
    let folder = tempfile::tempdir().unwrap();
    for (name, graph, parameters, x, y) in graphs() {
        let Ok(bytes) = lesionlens_nn::export::keras::write(&graph, &parameters) else { continue };
        let (file, io) =
            (folder.path().join(format!("{name}.keras")), folder.path().join(format!("{name}.safetensors")));
        std::fs::write(&file, bytes).unwrap();
        let tensors = HashMap::from([("input".to_string(), x), ("output".to_string(), y.contiguous().unwrap())]);
        candle_core::safetensors::save(&tensors, &io).unwrap();
        let output = Command::new(&python).arg(&script).arg(&file).arg(&io).output().unwrap();
        eprintln!("{name}: {}", common::text(&output.stdout).lines().last().unwrap_or_default());
        assert!(output.status.success(), "{name}: {}", common::text(&output.stderr));
    }
}

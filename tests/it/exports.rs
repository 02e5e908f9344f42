//! Every built-in model as other runtimes get it: its ONNX file and the note beside it, against this program's own answers.

use crate::common;
use candle_core::{Device, Tensor};
use lesionlens::domain::card::Task;
use lesionlens::io::paths;
use lesionlens::models::export::{self, Format};
use lesionlens::models::model::Model;
use lesionlens::models::preprocessing_note;
use lesionlens::models::registry::Registry;
use lesionlens_nn::network::Runner;
use lesionlens_nn::plan::isa::Isa;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Pictures of a folder of the shared material, evenly spaced.
fn some(folder: &str, count: usize) -> Vec<PathBuf> {
    let Some(folder) = common::shared(folder) else { return Vec::new() };
    let mut all: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
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
#[ignore = "needs Python with onnxruntime, numpy, pillow and safetensors; name it in LESIONLENS_PYTHON"]
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

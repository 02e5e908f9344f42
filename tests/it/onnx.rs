//! ONNX files as PyTorch exports them, against ONNX Runtime; files that lie; and what this program writes.

use candle_core::{Device, Tensor};
use lesionlens::domain::card::Task;
use lesionlens::models::import::{Wishes, inspect, install};
use lesionlens::models::model::{Model, Source, read_card, read_graph};
use lesionlens::models::verify::largest_difference;
use lesionlens_nn::export;
use lesionlens_nn::network::{Network, Runner};
use lesionlens_nn::onnx::OnnxFile;
use lesionlens_nn::plan::isa::Isa;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/onnx").join(name)
}

const NETWORKS: [(&str, Task, Option<usize>); 3] = [
    ("classifier", Task::Multiclass, None),
    ("classifier_11", Task::Multiclass, None),
    ("segmenter", Task::Segmentation, Some(20)),
];

/// To 1e-4 absolute in probability on every f32 path.
#[test]
fn networks_answer_as_in_onnx_runtime() {
    let folder = tempfile::tempdir().unwrap();
    for (name, task, side) in NETWORKS {
        let found = inspect(&fixture(&format!("{name}.onnx")), None, None).unwrap();
        assert_eq!((found.task, found.takes_any_side()), (task, side.is_some()), "{name}");
        let wishes = Wishes { id: name.into(), side, ..Wishes::default() };
        let installed = install(&found, &wishes, folder.path()).unwrap();
        for isa in Isa::available().into_iter().filter(|isa| !isa.is_half()) {
            let model = Model::load_with(&Source::Folder(installed.clone()), &Runner::Cpu(Some(isa))).unwrap();
            let worst = largest_difference(&model, &fixture(&format!("{name}.io.safetensors"))).unwrap();
            assert!(worst < 1e-4, "{name} on {isa}: {worst:e}");
        }
    }
}

/// A network that is exported and read again gives the same answers to 1e-5.
#[test]
fn what_is_written_is_read_again() {
    let folder = tempfile::tempdir().unwrap();
    for (name, _, side) in NETWORKS {
        let found = inspect(&fixture(&format!("{name}.onnx")), None, None).unwrap();
        let wishes = Wishes { id: name.into(), side, ..Wishes::default() };
        let source = Source::Folder(install(&found, &wishes, folder.path()).unwrap());
        let (graph, parameters) = read_graph(&source, &read_card(&source).unwrap()).unwrap().unwrap();
        let notes = BTreeMap::from([("id".to_string(), name.to_string())]);
        let bytes = export::onnx::write(&graph, &parameters, &notes).unwrap();
        let again = OnnxFile::parse(&bytes, &|_| Err("no file".into())).unwrap().network(None).unwrap();
        let shape = [vec![2], graph.input_shape().dims()].concat();
        let values: Vec<f32> = (0..shape.iter().product::<usize>()).map(|i| (i as f32 * 0.37).sin()).collect();
        let x = Tensor::from_vec(values, shape, &Device::Cpu).unwrap();
        let answer =
            |network: Network| network.infer(&x, &|| false).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let cpu = Runner::Cpu(Some(Isa::exact()));
        let before = answer(Network::new(&graph, parameters, &cpu).unwrap());
        let after = answer(Network::new(&again.graph, again.weights, &cpu).unwrap());
        assert!(before.len() == after.len() && before.iter().zip(&after).all(|(a, b)| (a - b).abs() < 1e-5), "{name}");
    }
}

#[test]
fn files_that_lie_are_refused() {
    let refused = |name: &str| inspect(&fixture(name), None, None).unwrap_err().to_string();
    assert!(refused("outside.onnx").contains("`../../etc/passwd`"), "{}", refused("outside.onnx"));
    assert!(refused("unknown.onnx").contains("Det `first`: is not known"), "{}", refused("unknown.onnx"));
    // Cut short anywhere, a file is an error or a smaller network, never a panic.
    let whole = std::fs::read(fixture("classifier.onnx")).unwrap();
    for end in (0..whole.len()).step_by(97) {
        if let Ok(file) = OnnxFile::parse(&whole[..end], &|_| Err("no file".into())) {
            assert!(file.network(None).is_err(), "{end}");
        }
    }
}

//! State dicts of torchvision, timm and transformers, by names and shapes in `fixtures/pytorch_models.json`, against what PyTorch answered
//! (`fixtures/pytorch_models.py`, in f64); and files that hold something else.

use candle_core::{Device, Tensor};
use lesionlens::domain::card::{Scale, Task};
use lesionlens::models::import::{ImportError, Wishes, inspect, install};
use lesionlens::models::model::{Model, Source, read_card};
use lesionlens_nn::exec::Parameters;
use lesionlens_nn::network::Runner;
use lesionlens_nn::plan::isa::Isa;
use lesionlens_nn::torch::TorchError;
use lesionlens_nn::weights::{self, Precision};
use serde::Deserialize;
use std::path::{Path, PathBuf};

#[derive(Deserialize)]
struct Reference {
    title: String,
    side: usize,
    gain: f64,
    tensors: Vec<(String, Vec<usize>)>,
    output: Vec<Vec<f64>>,
}

fn references() -> Vec<Reference> {
    serde_json::from_str(include_str!("../fixtures/pytorch_models.json")).unwrap()
}

/// In [0, 1), as the fixture's program computes it.
fn uniform(place: usize, count: usize) -> Vec<f64> {
    let value = |i: usize| (((i as f64) * 12.9898 + 78.233 * place as f64).sin() * 43_758.545_3 + 50_000.0).fract();
    (1..=count).map(value).collect()
}

fn tensor(name: &str, shape: &[usize], place: usize, gain: f64) -> Tensor {
    let u = uniform(place, shape.iter().product());
    let fan_in: usize = shape.iter().skip(1).product();
    let bound = (3.0 * gain / fan_in as f64).sqrt();
    let value = |u: f64| match shape.len() {
        _ if name.ends_with("running_var") => 0.5 + u,
        1 if name.ends_with("weight") => 0.8 + 0.4 * u,
        _ if name.ends_with("gamma") || name.ends_with("layer_scale") => 0.5 + 0.5 * u,
        1 => 0.2 * u - 0.1,
        _ => (2.0 * u - 1.0) * bound,
    };
    let values: Vec<f32> = u.into_iter().map(|u| value(u) as f32).collect();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

impl Reference {
    fn state_dict(&self) -> Parameters {
        let named = self.tensors.iter().enumerate();
        named.map(|(place, (name, shape))| (name.clone(), tensor(name, shape, place, self.gain))).collect()
    }

    fn picture(&self) -> Tensor {
        let values: Vec<f32> =
            uniform(1000, 2 * self.side * self.side * 3).into_iter().map(|u| (3.0 * u - 1.5) as f32).collect();
        Tensor::from_vec(values, (2, self.side, self.side, 3), &Device::Cpu).unwrap()
    }
}

fn written(folder: &Path, name: &str, tensors: &Parameters) -> PathBuf {
    let path = folder.join(format!("{name}.safetensors"));
    std::fs::write(&path, weights::write(tensors, Precision::F32, None).unwrap()).unwrap();
    path
}

/// A file name says less than its owner.
#[test]
fn an_efficientnet_from_tensorflow_may_have_any_name() {
    let folder = tempfile::tempdir().unwrap();
    let reference = reference("timm tf_efficientnet_b0");
    let found = inspect(&written(folder.path(), "best", &reference.state_dict()), None, None).unwrap();
    let answer = |from_tensorflow: bool, id: &str| -> Vec<f32> {
        let wishes = Wishes { from_tensorflow, ..of_side(id, reference.side) };
        let model =
            Model::load(&Source::Folder(install(&found, &wishes, folder.path()).unwrap()), &Device::Cpu).unwrap();
        model.network().infer(&reference.picture(), &|| false).unwrap().flatten_all().unwrap().to_vec1().unwrap()
    };
    let wanted: Vec<f64> = reference.output.concat();
    let off = |found: Vec<f32>| found.iter().zip(&wanted).map(|(a, w)| (f64::from(*a) - w).abs()).fold(0.0, f64::max);
    assert!(off(answer(true, "told")) < 1e-4 && off(answer(false, "untold")) > 1e-3);
}

/// Grey pictures have one channel.
#[test]
fn networks_of_one_channel_are_taken() {
    let folder = tempfile::tempdir().unwrap();
    let mut dict = reference("torchvision resnet18").state_dict();
    let grey = dict["conv1.weight"].narrow(1, 0, 1).unwrap().contiguous().unwrap();
    dict.insert("conv1.weight".into(), grey);
    assert_eq!(inspect(&written(folder.path(), "grey", &dict), None, None).unwrap().format.channels, 1);
}

fn of_side(id: &str, side: usize) -> Wishes {
    Wishes { id: id.into(), side: Some(side), ..Wishes::default() }
}

/// To 1e-4 absolute in probability on every f32 path, whatever runs them.
#[test]
fn networks_answer_as_in_pytorch() {
    let folder = tempfile::tempdir().unwrap();
    for (i, reference) in references().iter().enumerate() {
        // The file's name alone says that an EfficientNet pads as TensorFlow does.
        let name = if reference.title.contains("tf_") { "tf_efficientnet_b0" } else { "net" };
        let file = written(folder.path(), name, &reference.state_dict());
        let found = inspect(&file, None, None).unwrap_or_else(|e| panic!("{}: {e}", reference.title));
        let (outputs, task) = match reference.output[0].len() {
            pixels if pixels == reference.side * reference.side => (1, Task::Segmentation),
            1 => (1, Task::Binary),
            classes => (classes, Task::Multiclass),
        };
        assert_eq!((found.format.outputs, found.task), (outputs, task), "{}", reference.title);
        let installed = install(&found, &of_side(&format!("net-{i}"), reference.side), folder.path()).unwrap();
        let card = read_card(&Source::Folder(installed.clone())).unwrap();
        let is_plain = reference.title.contains("timm vit") || reference.title.contains("transformers");
        let scale = if is_plain { Scale::Tf } else { Scale::Torch };
        assert_eq!((card.input.side, card.input.scale), (reference.side, scale), "{}", reference.title);
        let wanted: Vec<f64> = reference.output.concat();
        for isa in Isa::available().into_iter().filter(|isa| !isa.is_half()) {
            let model = Model::load_with(&Source::Folder(installed.clone()), &Runner::Cpu(Some(isa))).unwrap();
            let answer = model.network().infer(&reference.picture(), &|| false).unwrap();
            let answer: Vec<f32> = answer.flatten_all().unwrap().to_vec1().unwrap();
            assert_eq!(answer.len(), wanted.len());
            let worst = answer.iter().zip(&wanted).map(|(a, w)| (f64::from(*a) - w).abs()).fold(0.0, f64::max);
            assert!(worst < 1e-4, "{} on {isa}: off by {worst:e}", reference.title);
        }
        let apart =
            reference.output[0].iter().zip(&reference.output[1]).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        assert!(apart > 1e-3, "{}: two pictures with one answer prove nothing", reference.title);
        std::fs::remove_dir_all(installed).unwrap();
    }
}

fn reference(title: &str) -> Reference {
    references().into_iter().find(|r| r.title == title).unwrap()
}

/// Training code wraps networks; the names lose the wrapper.
#[test]
fn wrapped_names_are_unwrapped() {
    let folder = tempfile::tempdir().unwrap();
    let wrapped =
        reference("timm resnet18").state_dict().into_iter().map(|(name, t)| (format!("module.model.{name}"), t));
    let file = written(folder.path(), "wrapped", &wrapped.collect());
    assert_eq!(inspect(&file, None, None).unwrap().name(), Some("ResNet-18"));
}

/// A head of two layers has a ReLU where their numbers leave room for one; a loss's weights and an odd outer name change nothing.
#[test]
fn heads_of_several_layers_and_tensors_of_training() {
    let folder = tempfile::tempdir().unwrap();
    let ones = |shape: &[usize]| Tensor::ones(shape, candle_core::DType::F32, &Device::Cpu).unwrap();
    let mut dict = reference("torchvision resnet18").state_dict();
    dict.retain(|name, _| !name.starts_with("fc."));
    dict.extend([("fc.0.weight".into(), ones(&[16, 512])), ("fc.3.weight".into(), ones(&[4, 16]))]);
    dict = dict.into_iter().map(|(name, t)| (format!("resnet.{name}"), t)).collect();
    dict.extend([("criterion.weight".into(), ones(&[4])), ("loss_fn.pos_weight".into(), ones(&[1]))]);
    let file = written(folder.path(), "headed", &dict);
    let found = inspect(&file, None, None).unwrap();
    let wishes = Wishes { id: "headed".into(), side: Some(64), ..Wishes::default() };
    let installed = install(&found, &wishes, folder.path()).unwrap();
    let bytes = std::fs::read(installed.join("model.safetensors")).unwrap();
    let graph = lesionlens_nn::weights::graph(&bytes).unwrap().unwrap();
    let last: Vec<&str> = graph.nodes().iter().rev().take(4).map(|node| node.name.as_str()).collect();
    assert_eq!(last, ["probabilities", "fc.3", "fc.0.act", "fc.0"]);
}

/// What is missing, misshapen or left over is listed by name; nothing is guessed.
#[test]
fn what_does_not_fit_is_listed() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |tensors: &Parameters| inspect(&written(folder.path(), "net", tensors), None, None).unwrap_err();
    let ones = |shape: &[usize]| Tensor::ones(shape, candle_core::DType::F32, &Device::Cpu).unwrap();

    let mut resnet = reference("torchvision resnet18").state_dict();
    resnet.remove("layer2.0.bn1.running_var");
    resnet.insert("layer3.0.conv1.weight".into(), ones(&[256, 64, 3, 3]));
    resnet.insert("layer4.1.se.fc1.weight".into(), ones(&[4, 4]));
    let text = refused(&resnet).to_string();
    for part in [
        "ResNet-18",
        "`layer2.0.bn1.running_var` is missing",
        "[256, 64, 3, 3]",
        "`layer4.1.se.fc1.weight` is not part",
    ] {
        assert!(text.contains(part), "{text}");
    }
    let mut headed = reference("torchvision resnet18").state_dict();
    headed.remove("fc.weight");
    headed.remove("fc.bias");
    assert!(refused(&headed).to_string().contains("no head"));
    headed.extend([("fc.0.weight".into(), ones(&[16, 512])), ("fc.2.weight".into(), ones(&[4, 16]))]);
    headed.extend([("fc.3.running_mean".into(), ones(&[4])), ("fc.3.weight".into(), ones(&[4]))]);
    assert!(refused(&headed).to_string().contains("`fc.3.weight` is not part"));

    for (title, gone) in
        [("timm convnext_atto", "stages.2.blocks.5.norm.bias"), ("timm vit_tiny", "blocks.3.attn.qkv.weight")]
    {
        let mut dict = reference(title).state_dict();
        dict.remove(gone);
        assert!(matches!(refused(&dict), ImportError::Torch { reason: TorchError::Mismatch { .. }, .. }), "{title}");
    }
    // Parts that candle-transformers would leave out without a word, and a stem with strides of its own.
    let mut hybrid = reference("timm mobilenetv4_hybrid_medium").state_dict();
    hybrid.remove("blocks.1.0.dw_start.bn.weight");
    assert!(refused(&hybrid).to_string().contains("no published one"));
    let mut second = reference("timm convnextv2_atto").state_dict();
    second.insert("stages.3.blocks.2.conv_dw.bias".into(), ones(&[320]));
    assert!(refused(&second).to_string().contains("no published one"));
    let mut small = reference("torchvision resnet18").state_dict();
    small.insert("conv1.weight".into(), ones(&[64, 3, 3, 3]));
    assert!(refused(&small).to_string().contains("only those of 7×7"));
    let mut short = reference("torchvision resnet18").state_dict();
    short.insert("fc.bias".into(), ones(&[3]));
    assert!(refused(&short).to_string().contains("`fc.bias`"));
    let mut registers = reference("timm dinov2").state_dict();
    registers.insert("reg_token".into(), ones(&[1, 4, 384]));
    assert!(refused(&registers).to_string().contains("`reg_token` is not part"));
    let mut flat = reference("timm resnet18").state_dict();
    flat.insert("conv1.weight".into(), Tensor::zeros((64, 3, 0, 0), candle_core::DType::F32, &Device::Cpu).unwrap());
    assert!(matches!(refused(&flat), ImportError::Torch { .. }));

    let unknown = Parameters::from([("encoder.weight".into(), ones(&[2, 2]))]);
    assert!(refused(&unknown).to_string().contains("`encoder.weight`"));
    assert!(refused(&Parameters::new()).to_string().contains("no tensors"));
}

/// A transformer's positions fix the size of its pictures; other networks take any that the layers leave something of.
#[test]
fn sides_are_those_that_a_network_takes() {
    let folder = tempfile::tempdir().unwrap();
    let transformer =
        inspect(&written(folder.path(), "vit", &reference("timm vit_tiny").state_dict()), None, None).unwrap();
    assert!(!transformer.takes_any_side());
    assert!(install(&transformer, &of_side("vit", 224), folder.path()).unwrap_err().to_string().contains("64"));
    let vgg = inspect(&written(folder.path(), "vgg", &reference("torchvision vgg").state_dict()), None, None).unwrap();
    assert!(install(&vgg, &of_side("vgg", 200), folder.path()).unwrap_err().to_string().contains("multiples of 224"));
    assert!(install(&vgg, &of_side("vgg", 1 << 40), folder.path()).is_err());
    assert!(!folder.path().join("vgg").exists());
}

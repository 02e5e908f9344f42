//! Explanations: heat follows the lesion, comes from the weights, and is written, served and shown where it was asked for.

use crate::common::{lesionlens, text};
use crate::ui_common::{shows, wait, with_example};
use candle_core::{Device, Tensor};
use egui::Key;
use egui_kittest::kittest::Queryable as _;
use lesionlens::domain::explanation::{Explanation, Inquiry, Method};
use lesionlens::domain::phantom::{Lesion, Phantom};
use lesionlens::domain::study::Neighbourhood;
use lesionlens::engine::candle::CandleEngine;
use lesionlens::engine::{Answer, Engine, Question, Watch};
use lesionlens::export::png;
use lesionlens::models::model::read_graph;
use lesionlens::models::preprocess::network_input;
use lesionlens::models::registry::Registry;
use lesionlens_nn::exec::Parameters;
use lesionlens_nn::grad_cam::GradCam;
use lesionlens_nn::graph::{Graph, Role};
use lesionlens_nn::plan::isa::Isa;
use serde_json::Value;
use std::sync::Arc;

const CLASSIFIER: &str = "tumor-general";
const PLACES: [f32; 2] = [-0.35, 0.35];

fn head(x: f32) -> Neighbourhood {
    let lesion = Some(Lesion { x, y: 0.0, radius: 0.24 });
    Arc::new(Phantom { lesion, ..Phantom::example() }.draw().0).into()
}

fn explained(x: f32, method: Method) -> Explanation {
    let mut engine = CandleEngine::new(Arc::new(Registry::scan_in(&[])), Device::Cpu);
    let seen = head(x);
    let answers = engine.answer(Question::Classify, CLASSIFIER, std::slice::from_ref(&seen), &|| false).unwrap();
    let Answer::Classification(said) = &answers[0] else { panic!("a classifier was asked") };
    let inquiry = Inquiry { method, layer: None };
    let watch = Watch { progress: &|_, _| {}, cancelled: &|| false };
    engine.explain(CLASSIFIER, &seen, said, &inquiry, watch).unwrap()
}

/// Column of the centre of the hottest places, those with more than half of the most heat, as a share of the width from −1 to 1.
fn centre(heat: &[f32], width: usize) -> f32 {
    let most = heat.iter().copied().fold(0.0, f32::max);
    assert!(most > 0.0, "there is no heat at all");
    let columns: Vec<usize> = (0..heat.len()).filter(|at| heat[*at] > most / 2.0).map(|at| at % width).collect();
    2.0 * columns.iter().sum::<usize>() as f32 / columns.len() as f32 / (width - 1) as f32 - 1.0
}

/// With the lesion on the other side of the head, by 0.7 of half the width, the hottest places move by more than half of that.
#[test]
fn the_explanation_moves_with_the_lesion() {
    for method in Method::ALL {
        let [left, right] = PLACES.map(|x| {
            let explanation = explained(x, method);
            assert_eq!((explanation.class.as_str(), explanation.is_empty()), ("tumor", false));
            centre(&explanation.map(), explanation.width)
        });
        assert!(right - left > 0.35, "{}: from {left} to {right}", method.id());
    }
}

/// The same weights in another order within each layer (Adebayo et al. 2018).
fn shuffled(graph: &Graph, mut parameters: Parameters) -> Parameters {
    for parameter in graph.parameters().into_iter().filter(|p| p.role == Role::Kernel) {
        let tensor = &parameters[&parameter.name];
        let mut values: Vec<f32> = tensor.flatten_all().unwrap().to_vec1().unwrap();
        let mut state = 1u64;
        for at in (1..values.len()).rev() {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            values.swap(at, (state >> 33) as usize % (at + 1));
        }
        let tensor = Tensor::from_vec(values, tensor.shape(), &Device::Cpu).unwrap();
        parameters.insert(parameter.name, tensor);
    }
    parameters
}

/// Shuffled weights leave nothing of the explanation: its heat is another, and does not follow the lesion.
#[test]
fn the_explanation_comes_from_what_was_learned() {
    let registry = Registry::scan_in(&[]);
    let entry = registry.get(CLASSIFIER).unwrap();
    let (graph, parameters) = read_graph(&entry.source, &entry.card).unwrap().unwrap();
    let layer = *graph.explainable().last().unwrap();
    let heats = |parameters: Parameters| {
        let cam = GradCam::new(&graph, parameters, layer, Isa::exact()).unwrap();
        PLACES.map(|x| cam.heat(&network_input(&head(x), &entry.card.input), 0, &|| false).unwrap().remove(0))
    };
    let learned = heats(parameters.clone());
    let random = heats(shuffled(&graph, parameters));
    let [left, right] = learned.each_ref().map(|heat| centre(&heat.values, heat.columns));
    assert!(right - left > 0.35, "from {left} to {right}");
    let moved = match random.each_ref().map(|heat| heat.values.iter().sum::<f32>() > 0.0) {
        [true, true] => {
            let [left, right] = random.each_ref().map(|heat| centre(&heat.values, heat.columns));
            right - left
        }
        _ => 0.0,
    };
    assert!(moved.abs() < (right - left) / 2.0, "random weights follow the lesion by {moved}");
}

#[test]
fn predict_writes_a_picture_for_each_answer_and_none_for_what_is_withheld() {
    let home = tempfile::tempdir().unwrap();
    crate::common::phantom_png(&home.path().join("scan.png"));
    let run = |more: &[&str]| {
        let args = ["predict", "scan.png", "--json", "-", "--segmenter", "none", "--explain", "why"];
        let output = lesionlens(home.path(), &[&args, more].concat());
        let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        (output.status.code(), report, text(&output.stderr))
    };
    let picture = home.path().join("why/scan.png");
    let (code, report, errors) = run(&["--ignore-gate"]);
    assert_eq!(code, Some(0), "{errors}");
    let explanation = &report["results"][0]["explanation"];
    assert_eq!((&explanation["method"], &explanation["class"]), (&"grad-cam".into(), &"tumor".into()));
    // Twice 256 pixels with a bar and a legend below.
    let written = image::open(&picture).unwrap().into_rgb8();
    assert!(written.width() >= 512 && written.height() > 560);
    assert!(written.pixels().any(|p| p.0[0] > p.0[2] + 60), "there is heat");
    let by_layer = run(&["--ignore-gate", "--explain-layer", "_blocks.10.add"]);
    assert_eq!(by_layer.1["results"][0]["explanation"]["layer"], "_blocks.10.add");
    let (_, report, errors) = run(&["--ignore-gate", "--explain-layer", "nowhere"]);
    assert!(errors.contains("no map `nowhere`") && errors.contains("it offers"), "{errors}");
    assert!(report["results"][0]["classifier"].is_object(), "the answer itself is not lost");
    // Stripes are none of the pictures that the model knows.
    std::fs::remove_file(&picture).unwrap();
    let stripes: Vec<f32> = (0..256 * 256).map(|i| if i / 8 % 2 == 0 { 230.0 } else { 90.0 }).collect();
    let stripes = lesionlens::domain::slice::Slice::new(256, 256, stripes, lesionlens::domain::slice::Depth::Eight);
    std::fs::write(home.path().join("scan.png"), png::slice(&stripes.unwrap()).unwrap()).unwrap();
    let (code, report, _) = run(&[]);
    assert_eq!((code, &report["results"][0]["input_gate"]["unlike"]), (Some(0), &true.into()));
    assert!(!picture.exists() && report["results"][0]["explanation"].is_null());
}

#[test]
fn the_window_shows_why_with_a_legend_and_takes_it_away_again() {
    let mut window = with_example();
    window.key_press(Key::W);
    wait(&mut window, "the layer", |w| w.query_by_label_contains("Layer of the network").is_some());
    window.get_by_label("How it is found").click_accesskit();
    window.step();
    window.step();
    window.get_by_label_contains("Occlusion").click_accesskit();
    wait(&mut window, "the other explanation", |w| w.query_by_label_contains("Layer of the network").is_none());
    window.key_press(Key::W);
    window.step();
    window.step();
    assert!(!shows(&window, "Opacity of the heat map"));
}

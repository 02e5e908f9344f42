//! The input gate: pictures that a model does not know get no answer, unless it is asked for all the same.

use crate::common::{lesionlens, text};
use lesionlens::domain::phantom::Phantom;
use lesionlens::export::png;
use serde_json::Value;
use std::path::Path;

/// Writes a head of its own shape for each number. Names without numbers keep them from being taken for one study.
fn heads(folder: &Path, count: u32) {
    std::fs::create_dir_all(folder).unwrap();
    for seed in 0..count {
        let slice = Phantom { seed, ..Phantom::example() }.draw().0;
        let name: String = [seed / 26, seed % 26].iter().map(|n| char::from(b'a' + *n as u8)).collect();
        std::fs::write(folder.join(format!("{name}.png")), png::slice(&slice).unwrap()).unwrap();
    }
}

fn results(home: &Path, args: &[&str]) -> Vec<Value> {
    let output = lesionlens(home, &[&["predict", "--json", "-"], args].concat());
    assert!(output.status.success(), "{}", text(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    report["results"].as_array().unwrap().clone()
}

/// A gate that knows drawn heads withholds its answer about stripes and gives it about a head it was not fitted to.
#[test]
fn a_calibrated_model_is_not_asked_about_what_it_does_not_know() {
    let home = tempfile::tempdir().unwrap();
    heads(&home.path().join("known"), 48);
    let folder = home.path().join("data/lesionlens/models/mine");
    std::fs::create_dir_all(&folder).unwrap();
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("weights/tumor-general");
    std::fs::copy(shipped.join("model.safetensors"), folder.join("model.safetensors")).unwrap();
    let card = std::fs::read_to_string(shipped.join("card.toml")).unwrap();
    let card = card.replace("id = \"tumor-general\"", "id = \"mine\"");
    let mut card: toml::Table = toml::from_str(&card).unwrap();
    card.remove("input_gate");
    std::fs::write(folder.join("card.toml"), toml::to_string(&card).unwrap()).unwrap();

    let stripes: Vec<f32> = (0..256 * 256).map(|i| if i / 8 % 2 == 0 { 230.0 } else { 90.0 }).collect();
    let stripes = lesionlens::domain::slice::Slice::new(256, 256, stripes, lesionlens::domain::slice::Depth::Eight);
    std::fs::write(home.path().join("stripes.png"), png::slice(&stripes.unwrap()).unwrap()).unwrap();
    let head = Phantom { seed: 1000, ..Phantom::example() }.draw().0;
    std::fs::write(home.path().join("head.png"), png::slice(&head).unwrap()).unwrap();
    let pair = ["--classifier", "mine", "--segmenter", "none"];

    let before = results(home.path(), &[&["stripes.png"], &pair[..]].concat());
    assert!(before[0]["input_gate"].is_null() && before[0]["classifier"].is_object(), "nobody has measured it yet");

    let output = lesionlens(home.path(), &["models", "calibrate", "mine", "--data", "known"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let asked = results(home.path(), &[&["head.png", "stripes.png"], &pair[..]].concat());
    let (head, stripes) = (&asked[0], &asked[1]);
    assert_eq!(head["input_gate"]["unlike"], false, "{head}");
    assert!(head["classifier"]["finding"].is_number());
    assert_eq!(stripes["input_gate"]["unlike"], true, "{stripes}");
    assert_eq!(stripes["input_gate"]["reasons"][0], "unlike-training");
    assert!(stripes["classifier"].is_null(), "the answer is withheld");

    let forced = results(home.path(), &[&["stripes.png", "--ignore-gate"], &pair[..]].concat());
    assert_eq!(forced[0]["input_gate"]["unlike"], true);
    assert_eq!(forced[0]["classifier"]["calibrated"], false, "nothing is calibrated for such pictures");
    assert_eq!(forced[0]["classifier"]["finding"], before[0]["classifier"]["finding"]);
}

#[test]
fn a_band_holds_the_answer_itself() {
    let home = tempfile::tempdir().unwrap();
    heads(home.path(), 1);
    let plain = results(home.path(), &["aa.png", "--ignore-gate", "--always-segment"]);
    assert!(plain[0]["classifier"]["probability_range"].is_null() && plain[0]["segmenter"]["area_range"].is_null());
    let banded = results(home.path(), &["aa.png", "--ignore-gate", "--always-segment", "--band"]);
    let (classifier, segmenter) = (&banded[0]["classifier"], &banded[0]["segmenter"]);
    let range = |of: &Value| [0, 1].map(|i| of[i].as_f64().unwrap());
    let [low, high] = range(&classifier["probability_range"]);
    let own = classifier["classes"]["tumor"].as_f64().unwrap();
    // Batches of one and of several pictures may differ in the last digits.
    assert!(low - 1e-4 <= own && own <= high + 1e-4 && high - low > 1e-6, "{low} {own} {high}");
    let [inner, outer] = range(&segmenter["area_range"]);
    let area = segmenter["mask_pixels"].as_f64().unwrap();
    assert!(inner <= area && area <= outer && inner < outer, "{inner} {area} {outer}");
}

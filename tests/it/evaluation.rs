//! `train`, `runs` and `evaluate` as a user meets them, on drawn heads whose lesions are known.

use crate::common::{labelled_folder, lesionlens, text};
use serde_json::Value;
use std::path::Path;

fn json(folder: &Path, args: &[&str]) -> Value {
    let output = lesionlens(folder, args);
    assert!(output.status.success(), "{}", text(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Pixels of a mask file that are inside.
fn inside(path: &Path) -> Vec<bool> {
    image::open(path).unwrap().into_luma8().pixels().map(|p| p.0[0] > 127).collect()
}

/// The figures of `evaluate` are those that follow from the masks and probabilities of `predict`.
#[test]
fn evaluate_agrees_with_predict() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let names = labelled_folder(&data, 256, 3, 2);
    let found = json(
        folder.path(),
        &[
            "evaluate",
            "--data",
            "data",
            "--threshold",
            "0.5",
            "--json",
            "-",
            "--report",
            "report.html",
            "--threads",
            "2",
        ],
    );
    let predicted = json(
        folder.path(),
        &[
            "predict",
            "data/images",
            "--threshold",
            "0.5",
            "--always-segment",
            "--mask",
            "masks",
            "--json",
            "-",
            "--threads",
            "2",
        ],
    );
    assert_eq!((found["patients"].as_u64(), found["slices"].as_u64()), (Some(3), Some(6)));
    assert_eq!(found["threshold"], 0.5);
    let mut by_patient = std::collections::BTreeMap::<&str, [usize; 2]>::new();
    let (mut hits, mut misses, mut alarms) = (0, 0, 0);
    for (name, patient, positive) in &names {
        let (truth, mask) = (inside(&data.join("masks").join(name)), inside(&folder.path().join("masks").join(name)));
        let sums = by_patient.entry(patient).or_default();
        sums[0] += 2 * truth.iter().zip(&mask).filter(|(t, m)| **t && **m).count();
        sums[1] += truth.iter().chain(&mask).filter(|v| **v).count();
        let results = predicted["results"].as_array().unwrap();
        let said = results.iter().find(|r| r["file"].as_str().unwrap().ends_with(name.as_str())).unwrap();
        match (said["classifier"]["positive"].as_bool().unwrap(), positive) {
            (true, true) => hits += 1,
            (false, true) => misses += 1,
            (true, false) => alarms += 1,
            (false, false) => {}
        }
    }
    let dices: Vec<f64> = by_patient.values().map(|[twice, total]| *twice as f64 / *total as f64).collect();
    let mean = dices.iter().sum::<f64>() / dices.len() as f64;
    let close = |key: &str, wanted: f64| {
        let value = found[key].as_f64().unwrap_or_else(|| panic!("no `{key}` in {found}"));
        assert!((value - wanted).abs() < 1e-9, "{key}: {value}, not {wanted}");
    };
    close("dice_mean", mean);
    close("recall", f64::from(hits) / f64::from(hits + misses));
    close("precision", if hits + alarms == 0 { 1.0 } else { f64::from(hits) / f64::from(hits + alarms) });
    for key in ["dice_median", "cascade_dice_mean", "auc"] {
        assert!(found[key].as_f64().is_some_and(|v| (0.0..=1.0).contains(&v)), "{key} in {found}");
    }
    let interval = found["dice_ci95"].as_array().unwrap();
    assert!(interval[0].as_f64().unwrap() <= mean && mean <= interval[1].as_f64().unwrap());
    // One file: no picture, style or script is fetched from elsewhere.
    let page = std::fs::read_to_string(folder.path().join("report.html")).unwrap();
    assert!(page.contains("<svg") && page.contains("data:image/png;base64,") && page.contains("p0"));
    assert!(!page.contains("src=\"http") && !page.contains("<script") && !page.contains("<link"));
}

#[test]
fn evaluate_keeps_to_a_split_and_names_what_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    labelled_folder(&folder.path().join("data"), 64, 2, 2);
    std::fs::write(folder.path().join("split.txt"), "# unseen\np1\n").unwrap();
    let args = ["evaluate", "--data", "data", "--split", "split.txt", "--classifier", "none", "--json", "-"];
    let found = json(folder.path(), &args);
    assert_eq!((found["patients"].as_u64(), found["slices"].as_u64()), (Some(1), Some(2)));
    assert!(found["auc"].is_null() && found["dice_mean"].is_number());

    let fails = |args: &[&str], word: &str| {
        let output = lesionlens(folder.path(), args);
        assert!(!output.status.success());
        assert!(text(&output.stderr).contains(word), "{}", text(&output.stderr));
    };
    std::fs::write(folder.path().join("nobody.txt"), "p9\n").unwrap();
    fails(&["evaluate", "--data", "data", "--split", "nobody.txt"], "nobody.txt");
    fails(&["evaluate", "--data", "data", "--classifier", "lgg-resunet"], "cannot be the --classifier");
    std::fs::remove_file(folder.path().join("data/masks/p0_0.png")).unwrap();
    fails(&["evaluate", "--data", "data"], "p0_0.png");
}

/// Class folders: figures by slice, labelled as such.
#[test]
fn class_folders_are_leaky_unless_patients_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let names = labelled_folder(&folder.path().join("flat"), 64, 3, 2);
    let mut list = String::from("file,patient\n");
    for (name, patient, positive) in &names {
        let class = if *positive { "tumor" } else { "no_tumor" };
        std::fs::create_dir_all(folder.path().join("data").join(class)).unwrap();
        let to = folder.path().join("data").join(class).join(name);
        std::fs::copy(folder.path().join("flat/images").join(name), to).unwrap();
        list += &format!("{class}/{name},{patient}\n");
    }
    std::fs::write(folder.path().join("data/patients.csv"), list).unwrap();
    let args = ["evaluate", "--data", "data", "--classifier", "brain4", "--json", "-", "--threads", "2"];
    let leaky = json(folder.path(), &args);
    assert_eq!((leaky["level"].as_str(), leaky["patients"].as_u64()), (Some("slice-level (leaky)"), Some(6)));
    let known = json(folder.path(), &[&args[..], &["--patients", "data/patients.csv"]].concat());
    assert_eq!((known["level"].as_str(), known["patients"].as_u64()), (Some("patient-level"), Some(3)));
    let counted: u64 = known["confusion"]["counts"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|r| r.as_array().unwrap())
        .map(|n| n.as_u64().unwrap())
        .sum();
    assert_eq!(counted, 6);
}

/// Outlines without `slices.csv` mean what they mean with it, but whose they are must be said.
#[test]
fn outlines_need_no_list_but_are_leaky_without_one() {
    let folder = tempfile::tempdir().unwrap();
    // One slice a patient: the intensities of a study are those of its slice.
    let names = labelled_folder(&folder.path().join("data"), 64, 4, 1);
    let data = folder.path().join("data");
    let args = ["evaluate", "--data", "data", "--classifier", "none", "--segmenter", "lgg-resunet", "--json", "-"];
    let listed = json(folder.path(), &args);
    std::fs::remove_file(data.join("slices.csv")).unwrap();
    let mut patients = String::from("file,patient\n");
    for (name, patient, _) in &names {
        let mask = data.join("masks").join(name);
        std::fs::rename(&mask, mask.with_extension("mask")).unwrap();
        patients += &format!("images/{name},{patient}\n");
    }
    std::fs::write(data.join("patients.csv"), patients).unwrap();
    let known = json(folder.path(), &[&args[..], &["--patients", "data/patients.csv"]].concat());
    assert_eq!(known, listed);
    let leaky = json(folder.path(), &args);
    assert_eq!((leaky["level"].as_str(), leaky["patients"].as_u64()), (Some("slice-level (leaky)"), Some(4)));
    std::fs::remove_file(data.join("masks/p1_0.mask")).unwrap();
    let output = lesionlens(folder.path(), &args);
    assert!(
        !output.status.success() && text(&output.stderr).contains("p1_0.png: has no mask"),
        "{}",
        text(&output.stderr)
    );
}

/// A small run from the command line: its folder, its lines in `runs`, its plots, and a model that opens.
#[test]
fn a_run_is_trained_listed_compared_and_opened() {
    let folder = tempfile::tempdir().unwrap();
    labelled_folder(&folder.path().join("data"), 32, 12, 4);
    let recipe =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("recipes/lgg-resunet.toml")).unwrap();
    let mut recipe: toml::Table = toml::from_str(&recipe).unwrap();
    recipe["input"]["side"] = 32.into();
    let phase = toml::toml! { epochs = 2
    side = 32
    batch = 8
    learning_rate = 3e-3
    schedule = "constant" };
    recipe.insert("phase".into(), vec![phase].into());
    std::fs::write(folder.path().join("small.toml"), toml::to_string(&recipe).unwrap()).unwrap();
    let train = |out: &str, more: &[&str]| {
        let args = ["train", "small.toml", "--data", "data", "--out", out, "--threads", "2"];
        lesionlens(folder.path(), &[&args[..], more].concat())
    };
    let first = train("runs/first", &[]);
    assert!(first.status.success(), "{}", text(&first.stderr));
    assert!(text(&first.stdout).contains("dice_mean"), "{}", text(&first.stdout));
    // From the first one's weights; and a run is never written over.
    assert!(train("runs/second", &["--init", "runs/first/model.safetensors"]).status.success());
    assert!(text(&train("runs/first", &[]).stderr).contains("--resume"));
    assert!(text(&train("runs/third", &["--resume"]).stderr).contains("no run to resume"));

    let note: toml::Table =
        toml::from_str(&std::fs::read_to_string(folder.path().join("runs/second/run.toml")).unwrap()).unwrap();
    assert_eq!(note["init"].as_str(), Some("model.safetensors"));
    assert!(
        note["data_sha256"].as_str().is_some_and(|hash| hash.len() == 64) && note["device"].as_str() == Some("cpu")
    );
    let listed = lesionlens(folder.path(), &["runs", "list", "runs"]);
    let listed = text(&listed.stdout);
    assert!(
        listed.contains("first") && listed.contains("second") && listed.matches("finished").count() == 2,
        "{listed}"
    );
    let compared = lesionlens(folder.path(), &["runs", "compare", "runs/first", "runs/second", "--plots", "plots"]);
    assert!(compared.status.success(), "{}", text(&compared.stderr));
    for plot in ["loss.png", "validation.png"] {
        assert_eq!(image::open(folder.path().join("plots").join(plot)).unwrap().into_rgb8().dimensions(), (960, 640));
    }
    let nothing = lesionlens(folder.path(), &["runs", "list", "data"]);
    assert!(!nothing.status.success() && text(&nothing.stderr).contains("no training run"));
    let verified = lesionlens(folder.path(), &["models", "verify", "runs/second"]);
    assert!(verified.status.success(), "{}", text(&verified.stderr));
}

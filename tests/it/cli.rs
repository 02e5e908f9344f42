//! The command line as a user meets it.

use crate::common::{labelled_folder, lesionlens, phantom_png, text};
use serde_json::Value;

#[test]
fn predict_answers_in_json_csv_masks_and_overlays_and_goes_on_past_bad_files() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    phantom_png(&at("a.png"));
    std::fs::create_dir(at("other")).unwrap();
    phantom_png(&at("other/a.png"));
    std::fs::write(at("broken.png"), b"\x89PNG\r\n\x1a\nrest is missing").unwrap();
    std::fs::write(at("a_mask.png"), std::fs::read(at("a.png")).unwrap()).unwrap();
    let output = lesionlens(
        folder.path(),
        &[
            "predict",
            at("a.png").to_str().unwrap(),
            at("a_mask.png").to_str().unwrap(),
            at("broken.png").to_str().unwrap(),
            at("other").to_str().unwrap(),
            "--always-segment",
            "--threshold",
            "0.5",
            "--json",
            "-",
            "--csv",
            at("out.csv").to_str().unwrap(),
            "--mask",
            at("masks").to_str().unwrap(),
            "--overlay",
            at("overlays").to_str().unwrap(),
            "--threads",
            "1",
        ],
    );
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("broken.png"));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["schema"], 2);
    assert_eq!(report["device"], "cpu");
    assert_eq!(report["results"].as_array().unwrap().len(), 2, "the outline is no input");
    assert_eq!(report["errors"].as_array().unwrap().len(), 1);
    let first = &report["results"][0];
    assert_eq!((first["width"].as_u64(), first["slice"].as_u64()), (Some(256), Some(1)));
    let classes = first["classifier"]["classes"].as_object().unwrap();
    let total: f64 = classes.values().map(|p| p.as_f64().unwrap()).sum();
    assert!((total - 1.0).abs() < 1e-9 && classes.contains_key("tumor"));
    assert_eq!(first["classifier"]["threshold"], 0.5);
    assert!(first["segmenter"]["area_mm2"].is_null());
    // Masks are 0 or 255, at the picture's size, and agree with the count in the report.
    let mask = image::open(at("masks/a.png")).unwrap().into_luma8();
    assert_eq!(mask.dimensions(), (256, 256));
    assert!(mask.pixels().all(|p| p.0[0] == 0 || p.0[0] == 255));
    let inside = mask.pixels().filter(|p| p.0[0] == 255).count() as u64;
    assert_eq!(first["segmenter"]["mask_pixels"].as_u64(), Some(inside));
    assert!(at("masks/a-2.png").is_file() && at("overlays/a.png").is_file());
    let csv = std::fs::read_to_string(at("out.csv")).unwrap();
    assert_eq!(csv.lines().count(), 3);
}

#[test]
fn inputs_are_never_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let scan = folder.path().join("a.png");
    phantom_png(&scan);
    let before = std::fs::read(&scan).unwrap();
    let (path, here) = (scan.to_str().unwrap(), folder.path().to_str().unwrap());
    let output = lesionlens(folder.path(), &["predict", path, "--mask", here, "--json", "-"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("was not overwritten"), "{}", text(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["results"].as_array().unwrap().len(), 1, "the answers are there all the same");
    let both = lesionlens(folder.path(), &["predict", path, "--mask", here, "--overlay", here]);
    assert_eq!(both.status.code(), Some(1));
    assert!(std::fs::read(&scan).unwrap() == before);
}

/// A picture is no DICOM series, so that no segmentation can refer to it.
#[test]
fn a_mask_that_cannot_be_written_costs_no_result() {
    let folder = tempfile::tempdir().unwrap();
    let scan = folder.path().join("a.png");
    phantom_png(&scan);
    let args = ["--always-segment", "--mask", "masks", "--mask-format", "seg", "--json", "-", "--csv", "out.csv"];
    let output = lesionlens(folder.path(), &[&["predict", scan.to_str().unwrap()], args.as_slice()].concat());
    assert_eq!(output.status.code(), Some(1));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(report["results"][0]["segmenter"]["mask_pixels"].as_u64() > Some(0));
    let (study, error) = (&report["studies"][0], report["errors"][0]["error"].as_str().unwrap());
    assert!(study["mask_file"].is_null() && study["mask"]["voxels"].as_u64() > Some(0));
    assert!(error.contains("export the mask as PNG"), "{error}");
    let warnings = study["warnings"].as_array().unwrap();
    assert!(warnings.iter().any(|w| *w == format!("mask-not-written: {error}").as_str()), "{warnings:?}");
    assert_eq!(std::fs::read_to_string(folder.path().join("out.csv")).unwrap().lines().count(), 2);
}

#[test]
fn a_closed_gate_gives_an_empty_mask_and_no_segmenter() {
    let folder = tempfile::tempdir().unwrap();
    let scan = folder.path().join("a.png");
    phantom_png(&scan);
    let masks = folder.path().join("masks");
    let args =
        ["predict", scan.to_str().unwrap(), "--threshold", "1", "--json", "-", "--mask", masks.to_str().unwrap()];
    let output = lesionlens(folder.path(), &args);
    assert!(output.status.success());
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(report["results"][0]["segmenter"].is_null());
    assert_eq!(report["results"][0]["classifier"]["positive"], false);
    let mask = image::open(masks.join("a.png")).unwrap().into_luma8();
    assert!(mask.pixels().all(|p| p.0[0] == 0) && mask.dimensions() == (256, 256));
}

#[test]
fn without_a_display_the_window_command_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let output = lesionlens(folder.path(), &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("lesionlens predict"), "{}", text(&output.stderr));
}

#[test]
fn usage_errors_exit_with_two_and_unknown_models_are_named() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(lesionlens(folder.path(), &["predict"]).status.code(), Some(2));
    assert_eq!(lesionlens(folder.path(), &["predict", "x.png", "--threshold", "7"]).status.code(), Some(2));
    let output = lesionlens(folder.path(), &["predict", "x.png", "--classifier", "nobody"]);
    assert_eq!(output.status.code(), Some(1));
    let message = text(&output.stderr);
    assert!(message.contains("nobody") && message.contains("lgg-resnet"), "{message}");
    // Said once, not once per link of the chain of causes.
    assert_eq!(message.matches("nobody").count(), 1, "{message}");
}

#[test]
fn models_and_doctor_tell_what_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let listed = lesionlens(folder.path(), &["models", "list"]);
    assert!(listed.status.success());
    assert!(text(&listed.stdout).contains("lgg-resunet"));
    let shown = text(&lesionlens(folder.path(), &["models", "show", "lgg-resunet"]).stdout);
    assert!(shown.contains("licence") && shown.contains("limits"), "{shown}");
    let verified = lesionlens(folder.path(), &["models", "verify", "lgg-resunet"]);
    assert!(verified.status.success());
    // An answer that is not the reference's fails, with the difference.
    let side = 256;
    let zeros =
        candle_core::Tensor::zeros((1, side, side, 3), candle_core::DType::F32, &candle_core::Device::Cpu).unwrap();
    let wrong = candle_core::Tensor::full(-1f32, (1, side, side, 1), &candle_core::Device::Cpu).unwrap();
    let tensors = [("input".to_string(), zeros), ("output".to_string(), wrong)].into();
    let reference = folder.path().join("io.safetensors");
    let bytes = lesionlens_nn::weights::write(&tensors, lesionlens_nn::weights::Precision::F32, None).unwrap();
    std::fs::write(&reference, bytes).unwrap();
    let failed = lesionlens(folder.path(), &["models", "verify", "lgg-resunet", "--io", reference.to_str().unwrap()]);
    assert_eq!(failed.status.code(), Some(1));
    assert!(text(&failed.stdout).contains("FAILS"));
    let doctor = text(&lesionlens(folder.path(), &["doctor"]).stdout);
    for word in ["threads", "cpu", "display       none", "lgg-resnet", "ok, sha256"] {
        assert!(doctor.contains(word), "{word}: {doctor}");
    }
}

#[test]
fn bench_tells_all_figures_and_a_wrong_instruction_set_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let output =
        lesionlens(folder.path(), &["bench", "--runs", "1", "--isa", "portable", "--threads", "1", "--json", "-"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let figures: Value = serde_json::from_slice(&output.stdout).unwrap();
    for key in ["classifier_ms", "segmenter_ms", "both_ms", "slice_ms", "slider_ms"] {
        assert!(figures[key].as_f64().unwrap() > 0.0, "{key}");
    }
    assert!(figures["cold_start"]["first_slice_ms"].as_f64().unwrap() > 0.0);
    assert_eq!((&figures["isa"], &figures["segmenter_isa"]), (&"portable".into(), &"portable".into()));
    assert_eq!((figures["threads"].as_u64(), figures["batch"].as_u64()), (Some(1), Some(1)));

    let output = lesionlens(folder.path(), &["bench", "--isa", "sse9"]);
    assert!(!output.status.success());
    assert!(text(&output.stderr).contains("`sse9`") && text(&output.stderr).contains("portable"));
}

/// Every path gives the same answer on the example, to what its number format allows.
#[test]
fn predict_answers_alike_on_every_path() {
    let folder = tempfile::tempdir().unwrap();
    let picture = folder.path().join("head.png");
    phantom_png(&picture);
    let doctor = lesionlens(folder.path(), &["doctor"]);
    let doctor = text(&doctor.stdout);
    let paths = doctor.lines().find_map(|line| line.strip_prefix("cpu paths")).unwrap().trim().to_string();
    let answers: Vec<(f64, f64)> = paths
        .split(", ")
        .map(|isa| {
            let picture = picture.to_str().unwrap();
            let output =
                lesionlens(folder.path(), &["predict", picture, "--always-segment", "--isa", isa, "--json", "-"]);
            assert!(output.status.success(), "{isa}: {}", text(&output.stderr));
            let report: Value = serde_json::from_slice(&output.stdout).unwrap();
            let first = &report["results"][0];
            let p = first["classifier"]["classes"]["tumor"].as_f64().unwrap();
            (p, first["segmenter"]["mask_pixels"].as_f64().unwrap())
        })
        .collect();
    let (p, pixels) = answers[answers.len() - 1];
    for (other, other_pixels) in &answers {
        assert!((p - other).abs() < 5e-3, "{paths}: {answers:?}");
        assert!((pixels - other_pixels).abs() <= 0.03 * pixels.max(100.0), "{paths}: {answers:?}");
    }
}

/// `lesionlens models show … | head -1`: a reader that goes away is no crash.
#[test]
fn a_reader_may_stop_reading() {
    use std::process::{Command, Stdio};
    let mut program = Command::new(env!("CARGO_BIN_EXE_lesionlens"));
    let mut child = program.arg("doctor").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let ended = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(!said.contains("panicked"), "{said}");
}

/// A constant instead of a static would copy every model to each place that uses it.
#[test]
fn the_program_holds_each_model_once() {
    let program = std::fs::read(env!("CARGO_BIN_EXE_lesionlens")).unwrap();
    for model in lesionlens_weights::MODELS {
        let copies = memchr::memmem::find_iter(&program, model.weights).count();
        assert_eq!(copies, 1, "copies of {} in the program", model.id);
    }
}

/// A double click hands over the file and nothing else.
#[test]
fn a_file_without_a_command_is_for_the_window_and_a_mistyped_command_is_told() {
    let folder = tempfile::tempdir().unwrap();
    phantom_png(&folder.path().join("scan.png"));
    let output = lesionlens(folder.path(), &["scan.png"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("lesionlens predict 'scan.png'"), "{}", text(&output.stderr));
    let output = lesionlens(folder.path(), &["predcit"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("`predcit` is neither a file nor a command"), "{}", text(&output.stderr));
}

/// `models test` gives the figures of `evaluate` with that model alone, whatever the order of its options.
#[test]
fn models_test_measures_one_model() {
    let folder = tempfile::tempdir().unwrap();
    let asked = |args: &[&str]| -> Value {
        let output = lesionlens(folder.path(), args);
        assert!(output.status.success(), "{}", text(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    };
    labelled_folder(&folder.path().join("data"), 64, 2, 2);
    for (id, own, other) in
        [("tumor-general", "--classifier", "--segmenter"), ("lgg-resunet", "--segmenter", "--classifier")]
    {
        let wanted = asked(&["evaluate", "--data", "data", own, id, other, "none", "--json", "-"]);
        assert_eq!(wanted["slices"], 4);
        assert_eq!(asked(&["models", "test", id, "--json", "-", "--data", "data"]), wanted);
        assert_eq!(asked(&["models", "test", "--data", "data", "--json", "-", id]), wanted);
        let at = asked(&["models", "test", id, "--data", "data", "--threshold", "0.25", "--json", "-"]);
        let part = if own == "--classifier" { "classifier" } else { "segmenter" };
        assert_eq!(at[part]["threshold"], 0.25, "a threshold is the model's own");
    }
    let refused =
        lesionlens(folder.path(), &["models", "test", "lgg-resunet", "--data", "data", "--classifier", "brain4"]);
    assert!(!refused.status.success() && text(&refused.stderr).contains("measured alone"));
}

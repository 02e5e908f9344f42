//! Corrections as a data set, and a fine-tune on them.

use crate::common::{labelled_folder, lesionlens, nifti, text};
use crate::ui_common::{shows, wait, window_with_models};
use egui_kittest::kittest::Queryable as _;
use lesionlens::domain::card::{Card, InputSpec};
use lesionlens::domain::mask::Mask;
use lesionlens::domain::phantom::{Lesion, Phantom};
use lesionlens::domain::study::{Cut, Study};
use lesionlens::export::png;
use lesionlens::io;
use lesionlens::models::{preprocess, registry};
use lesionlens::train::folders::{self, NOT_OUTLINED};
use lesionlens::train::reader::Reader;
use lesionlens::train::recipe::Source;
use lesionlens::tuning::corrections::Outlined;
use lesionlens::tuning::{Contribution, Corrections, Summary};
use std::path::Path;
use std::sync::Arc;

/// A volume of ten slices with uneven pixels and fractions below zero, as a scanner may write it.
fn volume(path: &Path) -> Study {
    let [width, height, depth] = [40usize, 32, 10];
    let mut voxels = Vec::new();
    for z in 0..depth {
        for y in 0..height {
            for x in 0..width {
                let (u, v) = (x as f32 / 20.0 - 1.0, y as f32 / 16.0 - 1.0);
                let head = u * u + v * v < 0.8;
                let value = if head { 300.5 + 40.0 * (x as f32 * 0.7 + z as f32).sin() + y as f32 } else { -20.0 };
                voxels.extend(value.to_le_bytes());
            }
        }
    }
    let size = [width as i16, height as i16, depth as i16, 1];
    let bytes = nifti(size, 16, &voxels, |header| {
        header[72..74].copy_from_slice(&32i16.to_le_bytes());
        header[80..84].copy_from_slice(&0.5f32.to_le_bytes());
        header[84..88].copy_from_slice(&1.25f32.to_le_bytes());
    });
    std::fs::write(path, bytes).unwrap();
    io::load(path).unwrap()
}

fn square(width: usize, height: usize, from: usize, to: usize) -> Arc<Mask> {
    let inside = |i: usize| (from..to).contains(&(i % width)) && (from..to).contains(&(i / width));
    Arc::new(Mask::new(width, height, (0..width * height).map(inside).collect()).unwrap())
}

fn contribution(study: &Arc<Study>, cut: Cut, outlines: Vec<(usize, Arc<Mask>)>, patient: &str) -> Contribution {
    let (study, patient) = (study.clone(), patient.into());
    Contribution { study, cut, outlines, patient, who: "Ana".into(), started_from: "lgg-resunet at 0.50".into() }
}

fn spec(id: &str) -> InputSpec {
    let source = registry::embedded().find(|(name, _)| *name == id).unwrap().1;
    lesionlens::models::model::read_card(&source).unwrap().input
}

#[test]
fn a_network_sees_of_the_copy_what_it_sees_of_the_scan() {
    let folder = tempfile::tempdir().unwrap();
    let study = Arc::new(volume(&folder.path().join("patient7.nii")));
    let cut = study.native();
    let slice = study.slice(4).unwrap();
    let (width, height) = (slice.width(), slice.height());
    let corrections = Corrections { folder: folder.path().join("corrections") };
    let outlines = vec![(4, square(width, height, 10, 20)), (7, Arc::new(Mask::empty(width, height)))];
    let summary = corrections.add(&contribution(&study, cut, outlines, ""), &|_, _| {}).unwrap();
    assert_eq!(summary, Summary { patients: 1, slices: 2 });

    let source = Source { folder: corrections.folder.clone(), ..Source::default() };
    let found = folders::find(Path::new("/"), &source).unwrap();
    let classes: Vec<&str> = found.iter().map(|one| one.class.as_str()).collect();
    let mut wanted = vec![NOT_OUTLINED; 10];
    (wanted[4], wanted[7]) = ("tumor", "no_tumor");
    assert_eq!(classes, wanted);
    assert_eq!(found[4].outline.as_ref().unwrap().pixels, 100);
    assert!(found.iter().all(|one| one.patient == "patient7"));

    let reader = Reader::new(Path::new("/"));
    for model in ["tumor-outline", "lgg-resunet"] {
        let spec = spec(model);
        let surroundings = lesionlens::domain::card::Surroundings::of([&spec]);
        for index in [0, 4, 9] {
            let own = study.picture(lesionlens::domain::study::Place { cut, index }).among(surroundings).unwrap();
            let copy = reader.seen(&found[index], surroundings).unwrap();
            let [a, b] = [&own, &copy].map(|seen| preprocess::network_input(seen, &spec));
            let largest = a.iter().zip(&b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            // Sixteen bits of a range of 500: the input is scaled to about 8 at most.
            assert!(largest < 0.02, "{model}, slice {index}: {largest}");
        }
    }
}

#[test]
fn later_corrections_of_a_study_leave_the_others_and_the_history_tells_of_all() {
    let folder = tempfile::tempdir().unwrap();
    let study = Arc::new(volume(&folder.path().join("scan.nii")));
    let slice = study.slice(0).unwrap();
    let (width, height) = (slice.width(), slice.height());
    let corrections = Corrections { folder: folder.path().join("corrections") };
    let add = |outlines, patient: &str| {
        corrections.add(&contribution(&study, study.native(), outlines, patient), &|_, _| {}).unwrap()
    };
    add(vec![(2, square(width, height, 4, 8)), (3, square(width, height, 4, 8))], "María");
    let summary = add(vec![(3, square(width, height, 4, 10)), (5, square(width, height, 2, 4))], "");
    assert_eq!(summary, Summary { patients: 1, slices: 3 });
    let rows = corrections.rows().unwrap();
    let outlined: Vec<(usize, usize)> =
        rows.iter().filter(|r| r.outlined == Outlined::Yes).map(|r| (r.slice, r.tumor_pixels)).collect();
    assert_eq!((rows.len(), outlined), (10, vec![(3, 16), (4, 36), (6, 4)]));
    // The name that the reader gave first stays.
    assert!(rows.iter().all(|row| row.patient == "María"));
    let history = corrections.history().unwrap();
    let told: Vec<(&str, usize, usize)> = history.iter().map(|s| (s.who.as_str(), s.slice, s.tumor_pixels)).collect();
    assert_eq!(told, [("Ana", 3, 16), ("Ana", 4, 16), ("Ana", 4, 36), ("Ana", 6, 4)]);
    assert!(history.iter().all(|s| s.when.ends_with('Z') && s.started_from == "lgg-resunet at 0.50"));
}

/// The whole way on the command line: learn, compare, install. Nothing of the old model's figures is claimed.
#[test]
fn a_model_learns_from_corrections_and_is_installed_when_asked() {
    let home = tempfile::tempdir().unwrap();
    labelled_folder(&home.path().join("corrections"), 256, 3, 2);
    labelled_folder(&home.path().join("one"), 256, 1, 2);
    let ok = |args: &[&str]| {
        let output = lesionlens(home.path(), args);
        assert!(output.status.success(), "{args:?}: {}", text(&output.stderr));
        text(&output.stdout)
    };
    let fails = |args: &[&str], part: &str| {
        let output = lesionlens(home.path(), args);
        assert!(!output.status.success() && text(&output.stderr).contains(part), "{args:?}: {}", text(&output.stderr));
    };
    let tune = ["fine-tune", "lgg-resunet", "--data", "corrections", "--out", "run", "--epochs", "1"];
    let told = ok(&tune);
    // One of three patients is held out.
    assert!(told.contains("learnt from 4 corrected slices of 2 patients"), "{told}");
    assert!(told.contains("n = 1 patients") && told.contains("too few held-out patients"), "{told}");
    assert!(!ok(&["models", "list"]).contains("mine"));
    fails(&tune, "already holds a run");
    fails(&["fine-tune", "lgg-resunet", "--data", "corrections", "--out", "none", "--resume"], "no run to continue");
    fails(&["fine-tune", "lgg-resnet", "--data", "corrections", "--out", "x"], "choose a segmenter");
    fails(&["fine-tune", "lgg-resunet", "--data", "one", "--out", "x"], "at least 2 are needed");
    fails(&["models", "install", "run", "--id", "lgg-resunet"], "built-in");
    ok(&["models", "install", "run", "--id", "mine"]);
    assert!(ok(&["models", "list"]).contains("mine"));
    ok(&["models", "verify", "mine"]);

    let read = |path: &Path| toml::from_str::<Card>(&std::fs::read_to_string(path).unwrap()).unwrap();
    let old = read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("weights/lgg-resunet/card.toml"));
    let new = read(&home.path().join("data/lesionlens/models/mine/card.toml"));
    assert_eq!((new.id.as_str(), new.calibration.is_none(), new.operating_curve.len()), ("mine", true, 0));
    assert_ne!(new.sha256, old.sha256);
    assert!(new.metrics.values().all(|metric| metric.n_patients == 1));
    assert_eq!(new.measured_on.as_ref().unwrap().slices, 2);
    let (before, after) = (old.training.unwrap(), new.training.unwrap());
    // Whom the old weights had met, the new ones have met too.
    assert!(before.train_patients.iter().all(|name| after.train_patients.contains(name)));
    assert_eq!((after.test_patients.len(), after.train_patients.len()), (1, before.train_patients.len() + 2));
    assert!(after.test_patients.iter().all(|name| !after.train_patients.contains(name)));
}

/// The same in the window: start, stop, continue, compare, install.
#[test]
fn the_window_fine_tunes_in_the_background_and_installs_when_asked() {
    let folder = tempfile::tempdir().unwrap();
    let models = folder.path().join("models");
    let corrections = Corrections { folder: folder.path().join("corrections") };
    for patient in 0..3 {
        let lesion = Lesion { x: 0.2, y: 0.1 * patient as f32, radius: 0.2 };
        let (slice, mask) = Phantom { side: 256, seed: patient, lesion: Some(lesion) }.draw();
        let path = folder.path().join(format!("head{patient}.png"));
        std::fs::write(&path, png::slice(&slice).unwrap()).unwrap();
        let study = Arc::new(io::load(&path).unwrap());
        let outlines = vec![(0, Arc::new(mask))];
        corrections.add(&contribution(&study, study.native(), outlines, &format!("p{patient}")), &|_, _| {}).unwrap();
    }
    let mut window = window_with_models(Vec::new(), [1280.0, 720.0], Some(models.clone()));
    wait(&mut window, "the example's answers", |w| w.state().session().is_complete());
    window.get_by_label("Fine-tune…").click();
    wait(&mut window, "what there is", |w| shows(w, "Corrected slices: 3; patients: 3"));
    window.get_by_label("Start").click();
    wait(&mut window, "the time left", |w| shows(w, "left"));
    window.get_by_label("Stop").click();
    wait(&mut window, "it to stop", |w| shows(w, "Stopped"));
    window.get_by_label("Continue").click();
    wait(&mut window, "the comparison", |w| shows(w, "patients: n = 1; slices: 1"));
    assert!(shows(&window, "Too few held-out patients") && shows(&window, "difference"));
    assert!(!models.exists());
    window.get_by_label("Install").click();
    wait(&mut window, "the model", |w| shows(w, "-tuned"));
    wait(&mut window, "its use", |w| w.state().session().models.segmenter.as_deref() == Some("tumor-outline-tuned"));
    assert!(models.join("tumor-outline-tuned/card.toml").is_file());
}

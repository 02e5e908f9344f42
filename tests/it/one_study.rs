//! Studies: pictures that belong together or not, and the one answer that a study gives.

use crate::common;
use crate::common::nifti;
use crate::common::{lesionlens, text};
use crate::ui_common;
use crate::ui_common::{Window, shows, wait};
use egui::{Key, Modifiers};
use egui_kittest::kittest::{NodeT as _, Queryable as _};
use lesionlens::domain::phantom::Phantom;
use lesionlens::domain::slice::{Depth, Slice};
use lesionlens::domain::study::Grouping;
use lesionlens::export::png;
use lesionlens::io::open;
use lesionlens::io::paths::expand;
use serde_json::Value;
use std::path::Path;

/// A 64² picture of a few soft spots: their places are those of `patient`, and move a little with `height`.
fn drawn(patient: u32, height: f32) -> Slice {
    let place = |spot: u32, turn: f32| ((patient * 7 + spot) as f32 * turn + height * 0.02).sin() * 20.0 + 32.0;
    let value = |i: usize| {
        let (x, y) = ((i % 64) as f32, (i / 64) as f32);
        let spots = (0..5).map(|spot| {
            let (dx, dy) = (x - place(spot, 2.3), y - place(spot, 3.7));
            200.0 * (-(dx * dx + dy * dy) / 60.0).exp()
        });
        spots.sum::<f32>().min(255.0)
    };
    Slice::new(64, 64, (0..64 * 64).map(value).collect(), Depth::Eight).unwrap()
}

fn write(folder: &Path, name: &str, slice: &Slice) {
    std::fs::write(folder.join(name), png::slice(slice).unwrap()).unwrap();
}

/// The studies a folder is opened as: their grouping and their files' names.
fn studies(folder: &Path) -> Vec<(Grouping, Vec<String>)> {
    let found = expand(&[folder.to_path_buf()], &|| false);
    assert!(found.errors.is_empty(), "{:?}", found.errors);
    let names = |files: &[std::path::PathBuf]| -> Vec<String> {
        files.iter().map(|file| file.file_name().unwrap().to_string_lossy().into_owned()).collect()
    };
    found
        .sources
        .into_iter()
        .map(|source| {
            let study = open(source).unwrap();
            (study.grouping, names(&study.files))
        })
        .collect()
}

#[test]
fn numbered_strangers_are_studies_of_their_own() {
    let folder = tempfile::tempdir().unwrap();
    for patient in 0..9 {
        write(folder.path(), &format!("y{patient}.png"), &drawn(patient, 0.0));
    }
    let found = studies(folder.path());
    assert_eq!(found.len(), 9);
    assert!(found.iter().all(|(grouping, files)| *grouping == Grouping::Single && files.len() == 1), "{found:?}");
    assert_eq!(found[3].1, ["y3.png"]);
}

#[test]
fn numbered_neighbours_are_one_study_up_to_the_next_patient() {
    let folder = tempfile::tempdir().unwrap();
    // Six slices of one patient, five of another, a stranger, and one more whose number does not follow.
    for i in 0..6 {
        write(folder.path(), &format!("s_{i}.png"), &drawn(1, i as f32));
    }
    for i in 6..11 {
        write(folder.path(), &format!("s_{i}.png"), &drawn(2, i as f32));
    }
    write(folder.path(), "s_11.png", &drawn(3, 0.0));
    write(folder.path(), "s_40.png", &drawn(3, 0.0));
    let found = studies(folder.path());
    let sizes: Vec<(Grouping, usize)> = found.iter().map(|(grouping, files)| (*grouping, files.len())).collect();
    assert_eq!(
        sizes,
        [(Grouping::Alike, 6), (Grouping::Alike, 5), (Grouping::Single, 1), (Grouping::Single, 1)],
        "{found:?}"
    );
    assert_eq!(found[1].1, ["s_6.png", "s_7.png", "s_8.png", "s_9.png", "s_10.png"]);
}

#[test]
fn a_patient_part_in_the_name_joins_unless_the_pictures_contradict_it() {
    let folder = tempfile::tempdir().unwrap();
    for i in 0..4 {
        // Unlike slices of one patient, as at the two ends of a head.
        write(folder.path(), &format!("P12_{i}.png"), &drawn(i, 0.0));
    }
    for i in 0..12 {
        write(folder.path(), &format!("set2024_{i}.png"), &drawn(20 + i, 0.0));
    }
    let found = studies(folder.path());
    assert_eq!((found[0].0, found[0].1.len()), (Grouping::Name, 4), "{found:?}");
    assert_eq!(found.len(), 13, "a collection's year is no patient: {found:?}");
}

/// A dark box of 40×32×24 voxels with a bright one of 10×8×6 in it, off its middle.
fn bright_box(path: &Path) {
    let (size, mut voxels) = ([40, 32, 24], Vec::new());
    for z in 0..24 {
        for y in 0..32 {
            for x in 0..40 {
                let inside = (4..14).contains(&x) && (20..28).contains(&y) && (3..9).contains(&z);
                voxels.push(if inside { 250 } else { 10 + (x % 3) as u8 });
            }
        }
    }
    nifti::write(path, size, [1.0, 1.0, 2.0], &voxels);
}

/// Until the study's mask has been measured.
fn measured(window: &mut Window) {
    wait(window, "the study's volume", |w| shows(w, "Volume "));
}

#[test]
fn a_volume_opens_on_its_highest_slice_and_says_the_same_in_every_plane() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("v.nii");
    bright_box(&path);
    let mut window = ui_common::window(vec![path], [1280.0, 900.0]);
    measured(&mut window);
    let place = |w: &Window| w.state().session().selected().unwrap().shown.place;
    // Slices 2 mm apart are thick: the axial plane is the volume's own; six of its slices hold the bright box.
    assert!((3..9).contains(&place(&window).index), "{:?}", place(&window));
    assert!(shows(&window, "6 of 24 slices above the threshold, highest >99 % in slice 4"));
    // 10 × 8 × 6 voxels of 2 mm³, but for what the mock's square of 64 pixels rounds.
    let volume = |w: &Window| {
        let label = w.query_all_by_label_contains("Volume ").next().unwrap();
        let node = label.accesskit_node();
        node.label().or(node.value()).unwrap()
    };
    let axial = volume(&window);
    let ml: f64 = axial.trim_start_matches("Volume ").trim_end_matches(" ml").parse().unwrap();
    assert!((0.7..1.3).contains(&ml), "{axial}");
    for plane in ["Coronal", "Sagittal"] {
        window.get_by_label(plane).click();
        wait(&mut window, plane, |w| shows(w, "The networks looked at axial slices"));
        measured(&mut window);
        assert_eq!(volume(&window), axial, "{plane}");
        assert!(shows(&window, "6 of 24 slices above the threshold") && shows(&window, "mask of the axial slices"));
        // The box lies in few slices of these planes, too: the next one with a mask is found.
        window.key_press(Key::Home);
        window.key_press(Key::N);
        wait(&mut window, "a slice with a mask", |w| shows(w, "Area "));
    }
    window.key_press_modifiers(Modifiers::COMMAND | Modifiers::SHIFT, Key::L);
    wait(&mut window, "the label", |w| shows(w, "On request, the networks looked in the sagittal plane"));
    wait(&mut window, "answers in this plane", |w| shows(w, "10 of 40 slices above the threshold"));
}

#[test]
fn below_the_threshold_is_never_an_all_clear() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("dark.png");
    write(folder.path(), "dark.png", &Slice::new(64, 64, vec![30.0; 4096], Depth::Eight).unwrap());
    let mut window = ui_common::window(vec![path], [1280.0, 720.0]);
    wait(&mut window, "the answer", |w| shows(w, "Below threshold. This is not an all-clear."));
}

#[test]
fn studies_are_split_and_joined_by_hand() {
    let folder = tempfile::tempdir().unwrap();
    for i in 0..4 {
        write(folder.path(), &format!("s_{i}.png"), &drawn(1, i as f32));
    }
    let mut window = ui_common::window(vec![folder.path().to_path_buf()], [1280.0, 900.0]);
    let grouping = |w: &Window| w.state().session().selected().map(|entry| entry.study.grouping);
    wait(&mut window, "the study", |w| grouping(w) == Some(Grouping::Alike));
    wait(&mut window, "the file's name", |w| shows(w, "s_0.png") || shows(w, "s_1.png") || shows(w, "s_3.png"));
    window.key_press_modifiers(Modifiers::COMMAND | Modifiers::SHIFT, Key::J);
    wait(&mut window, "four pictures", |w| w.state().session().count() == 4);
    assert_eq!(grouping(&window), Some(Grouping::Single));
    wait(&mut window, "the remark", |w| shows(w, "Seen on its own"));
    window.key_press_modifiers(Modifiers::COMMAND, Key::J);
    wait(&mut window, "one study again", |w| w.state().session().count() == 1);
    assert_eq!(grouping(&window), Some(Grouping::Hand));
    let names = window.state().session().selected().unwrap().study.files.len();
    assert_eq!(names, 4);
    window.key_press_modifiers(Modifiers::COMMAND, Key::J);
    wait(&mut window, "the reason", |w| shows(w, "No other open picture has the same folder"));
}

fn predict(home: &Path, args: &[&str]) -> Value {
    let output = lesionlens(
        home,
        &[&["predict", "v.nii", "--always-segment", "--ignore-gate", "--mask-threshold", "0.05", "--json", "-"], args]
            .concat(),
    );
    assert!(output.status.success(), "{}", text(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn predict_finds_the_same_in_every_plane_unless_it_is_asked_to_look_anew() {
    let home = tempfile::tempdir().unwrap();
    // Drawn heads 3 mm apart, those in the middle with a lesion.
    let (side, count) = (64, 8);
    let drawn = |z: usize| {
        let example = Phantom { side, ..Phantom::example() };
        Phantom { lesion: example.lesion.filter(|_| (2..6).contains(&z)), ..example }.draw().0
    };
    // Rows run from face to back in a picture and from back to face in the file; that columns are mirrored does not matter here.
    let voxels: Vec<u8> = (0..count)
        .flat_map(|z| drawn(z).values().chunks(side).rev().flatten().map(|v| *v as u8).collect::<Vec<_>>())
        .collect();
    nifti::write(&home.path().join("v.nii"), [side, side, count], [1.0, 1.0, 3.0], &voxels);
    let plain = predict(home.path(), &[]);
    let study = plain["studies"][0].clone();
    assert_eq!((&study["grouping"], &study["looked_at"]), (&"volume".into(), &8.into()));
    assert_eq!((&study["plane"], &study["looked_in"]), (&"axial".into(), &"axial".into()));
    let ml = study["mask"]["volume_ml"].as_f64().unwrap();
    assert!(ml > 0.0, "{study}");
    let masks: Vec<Vec<u8>> = ["axial", "coronal", "sagittal"]
        .iter()
        .map(|plane| {
            let report = predict(home.path(), &["--plane", plane, "--mask", plane, "--mask-format", "nifti"]);
            let seen = &report["studies"][0];
            assert_eq!((&seen["plane"], &seen["looked_in"]), (&Value::from(*plane), &"axial".into()));
            assert_eq!(seen["looked_in_on_request"], false);
            for key in ["volume_ml", "voxels", "components"] {
                assert_eq!(seen["mask"][key], study["mask"][key], "{plane}: {key}");
            }
            for key in ["positive_slices", "highest", "looked_at"] {
                assert_eq!(seen[key], study[key], "{plane}: {key}");
            }
            let results = report["results"].as_array().unwrap();
            assert_eq!(results.len(), if *plane == "axial" { count } else { side });
            let pixels: u64 = results.iter().map(|r| r["segmenter"]["mask_pixels"].as_u64().unwrap()).sum();
            assert_eq!(Some(pixels), study["mask"]["voxels"].as_u64(), "{plane}");
            let of = if *plane == "axial" { "slice" } else { "study" };
            assert!(results.iter().all(|r| r["plane"] == *plane && r["classifier"]["verdict_of"] == of));
            std::fs::read(home.path().join(plane).join("v.nii.gz")).unwrap()
        })
        .collect();
    assert!(masks[0] == masks[1] && masks[0] == masks[2], "one mask in the array of the source");
    let anew = &predict(home.path(), &["--look-in", "coronal"])["studies"][0];
    assert_eq!((&anew["looked_in"], &anew["looked_in_on_request"]), (&"coronal".into(), &true.into()));
    assert_eq!((&anew["plane"], &anew["looked_at"]), (&"coronal".into(), &64.into()));
}

/// A classifier above its threshold and an empty mask, which a mask threshold of 1 gives.
#[test]
fn predict_says_when_classifier_and_segmenter_contradict_each_other() {
    let home = tempfile::tempdir().unwrap();
    common::phantom_png(&home.path().join("v.png"));
    let report = |args: &[&str]| -> Value {
        let output =
            lesionlens(home.path(), &[&["predict", "v.png", "--json", "-", "--always-segment"], args].concat());
        assert!(output.status.success(), "{}", text(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let said =
        |report: &Value| (report["results"][0]["contradiction"].clone(), report["studies"][0]["contradiction"].clone());
    let empty = report(&["--threshold", "0", "--mask-threshold", "1"]);
    assert_eq!(said(&empty), ("nothing-outlined".into(), "nothing-outlined".into()));
    let below = report(&["--threshold", "1", "--mask-threshold", "0.01"]);
    assert_eq!(said(&below), ("outlined-below-threshold".into(), "outlined-below-threshold".into()));
    assert_eq!(empty["studies"][0]["grouping"], "single");
}

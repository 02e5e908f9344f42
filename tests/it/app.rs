//! The window, driven by what is written on it.

use crate::common;
use crate::common::dicom;
use crate::ui_common;
use crate::ui_common::{drop_file, shows, wait, window, with_example};
use dicom_core::VR;
use dicom_dictionary_std::tags;
use egui::{Key, Modifiers, Role};
use egui_kittest::kittest::Queryable as _;
use lesionlens::domain::phantom::Phantom;
use lesionlens::domain::study::Neighbourhood;
use lesionlens::engine::candle::CandleEngine;
use lesionlens::engine::device::{self, DeviceChoice};
use lesionlens::engine::worker::Started;
use lesionlens::engine::{Answer, Engine, EngineError, Question};
use lesionlens::models::registry::Registry;
use std::sync::Arc;

#[test]
fn it_opens_on_the_example_with_the_result_shown() {
    let window = with_example();
    assert!(shows(&window, "drawn example") && shows(&window, "Above threshold: tumour"));
    // The mock outlines bright pixels; the phantom's truth lies beside it.
    assert!(shows(&window, "Dice with the reference outline") && shows(&window, "no pixel size known"));
    assert!(shows(&window, "Research aid, not a medical device"));
}

#[test]
fn the_threshold_moves_by_slider_and_keys_and_comes_back() {
    let mut window = with_example();
    let default = window.state().session().thresholds.classifier;
    window.get_by_role_and_label(Role::Slider, "Threshold").set_value_accesskit(0.99);
    window.step();
    window.step();
    assert!((window.state().session().thresholds.classifier - 0.99).abs() < 1e-9);
    assert!(shows(&window, "Below threshold") && shows(&window, "No mask"));
    window.key_press(Key::OpenBracket);
    window.step();
    assert!((window.state().session().thresholds.classifier - 0.98).abs() < 1e-9);
    window.key_press(Key::CloseBracket);
    window.key_press(Key::CloseBracket);
    window.step();
    window.step();
    assert!((window.state().session().thresholds.classifier - 0.99).abs() < 1e-9, "never above 0.99");
    window.get_by_label("Reset").click();
    window.step();
    window.step();
    assert_eq!(window.state().session().thresholds.classifier, default);
}

#[test]
fn dropped_files_join_the_list_and_bad_ones_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let mut window = with_example();
    let (good, empty) = (folder.path().join("scan_7.png"), folder.path().join("empty.png"));
    common::phantom_png(&good);
    std::fs::write(&empty, b"").unwrap();
    drop_file(&mut window, &good);
    let is_open = |w: &ui_common::Window, name: &str| w.state().session().list().any(|e| e.study.title == name);
    wait(&mut window, "the dropped scan", |w| is_open(w, "scan_7.png"));
    assert!(!is_open(&window, "drawn example"), "the example makes room");
    let other = folder.path().join("scan_8.png");
    common::phantom_png(&other);
    drop_file(&mut window, &other);
    wait(&mut window, "the second scan", |w| is_open(w, "scan_8.png"));
    wait(&mut window, "its answer", |w| w.state().session().progress() == (2, 2));
    assert_eq!(window.state().session().selected().unwrap().study.title, "scan_8.png");
    drop_file(&mut window, &empty);
    wait(&mut window, "the message", |w| shows(w, "is empty"));
    assert!(shows(&window, "empty.png"), "the message names the file");
    assert_eq!(window.state().session().count(), 2, "nothing is lost");
    // Along the list by keys, and off it.
    window.key_press(Key::ArrowUp);
    window.step();
    assert_eq!(window.state().session().selected().unwrap().study.title, "scan_7.png");
    window.key_press(Key::ArrowDown);
    window.key_press(Key::Delete);
    window.step();
    window.step();
    window.step();
    assert_eq!(window.state().session().selected().unwrap().study.title, "scan_7.png");
    assert_eq!(window.state().session().count(), 1);
}

#[test]
fn the_overlay_answers_to_its_keys_and_its_box() {
    let mut window = with_example();
    assert!(window.state().settings().show_overlay);
    for key in [Key::G, Key::S] {
        window.key_press(key);
        window.step();
    }
    window.step();
    assert!(window.state().settings().show_overlay, "off and on again");
    window.get_by_role_and_label(Role::CheckBox, "Mask").click_accesskit();
    window.step();
    window.step();
    assert!(!window.state().settings().show_overlay);
    let opacity = window.state().settings().overlay.opacity;
    window.key_press(Key::D);
    window.step();
    assert!(window.state().settings().overlay.opacity > opacity);
    window.get_by_label("Cyan").click_accesskit();
    window.step();
    window.step();
    assert_eq!(format!("{:?}", window.state().settings().overlay.colour), "Cyan");
}

/// Two scans of one content and different names give the same bytes: no name, and nothing else that tells them apart.
#[test]
fn an_export_does_not_say_whose_scan_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let export = |name: &str| {
        let (scan, target) = (folder.path().join(name), folder.path().join(format!("{name}.out.png")));
        common::phantom_png(&scan);
        let mut window = window(vec![scan], [1280.0, 720.0]);
        wait(&mut window, "the mask", |w| {
            let session = w.state().session();
            session.selected().is_some_and(|e| session.segmentation(e).is_some())
        });
        save_export(&mut window, &target);
        std::fs::read(target).unwrap()
    };
    assert!(export("DOE_JOHN_19570101.png") == export("a.png"));
}

#[test]
fn a_typed_path_is_opened() {
    let folder = tempfile::tempdir().unwrap();
    let scan = folder.path().join("typed g s 1.png");
    common::phantom_png(&scan);
    let mut window = with_example();
    let hint = "Path of a picture or folder, then Enter";
    window.get_by_role_and_label(Role::TextInput, hint).focus();
    window.step();
    window.get_by_role_and_label(Role::TextInput, hint).type_text(scan.to_str().unwrap());
    window.step();
    window.key_press(Key::Enter);
    let title = |w: &ui_common::Window| w.state().session().selected().unwrap().study.title.clone();
    wait(&mut window, "the typed scan", |w| title(w) == "typed g s 1.png");
    assert!(window.state().settings().show_overlay, "letters typed into the field are no shortcuts");
}

#[test]
fn exporting_writes_the_scan_with_its_footer() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("out.png");
    let mut window = with_example();
    save_export(&mut window, &target);
    let picture = image::open(&target).unwrap().into_rgb8();
    // Twice 256 pixels, centred over a footer of at least 560.
    assert_eq!(picture.width(), 560);
    assert!(picture.height() > 512 + 80);
}

/// Through the export window, as a user would.
fn save_export(window: &mut ui_common::Window, target: &std::path::Path) {
    window.key_press_modifiers(Modifiers::COMMAND, Key::E);
    wait(window, "the export window", |w| shows(w, "What to write"));
    save_as(window, target);
}

/// Opens the export window and chooses what to write.
fn choose_export(window: &mut ui_common::Window, kind: &str) {
    window.key_press_modifiers(Modifiers::COMMAND, Key::E);
    wait(window, "the export window", |w| shows(w, "What to write"));
    window.get_by_role_and_label(Role::ComboBox, "What to write").click();
    window.step();
    window.step();
    window.get_by_label(kind).click();
    window.step();
    window.step();
}

/// Types the file's name into the open export window and saves.
fn save_as(window: &mut ui_common::Window, target: &std::path::Path) {
    let field = window.get_by_role_and_label(Role::TextInput, "File");
    field.focus();
    window.step();
    window.key_press_modifiers(Modifiers::COMMAND, Key::A);
    window.step();
    window.get_by_role_and_label(Role::TextInput, "File").type_text(target.to_str().unwrap());
    window.step();
    window.step();
    window.get_by_label("Save").click();
    let target = target.to_path_buf();
    wait(window, "the file", move |w| target.is_file() && !shows(w, "What to write"));
}

#[test]
fn every_dialog_opens_by_key_and_closes_by_escape_at_small_and_doubled_size() {
    for size in [[1280.0, 720.0], [860.0, 520.0], [640.0, 400.0]] {
        let mut window = window(Vec::new(), size);
        wait(&mut window, "the example", |w| w.state().session().count() == 1);
        for (modifiers, key, title) in [
            (Modifiers::NONE, Key::F1, "Keyboard and mouse"),
            (Modifiers::NONE, Key::M, "Model cards"),
            (Modifiers::COMMAND, Key::Comma, "Compute on"),
        ] {
            window.key_press_modifiers(modifiers, key);
            wait(&mut window, title, |w| shows(w, title));
            window.key_press(Key::Escape);
            wait(&mut window, "it to close", |w| !shows(w, title));
        }
    }
}

/// Five pages, the third of them bright enough for the mock's classifier and mask.
fn stack(path: &std::path::Path) {
    let mut encoder = tiff::encoder::TiffEncoder::new(std::fs::File::create(path).unwrap()).unwrap();
    for page in 0..5u8 {
        let pixels: Vec<u8> = (0..64 * 64).map(|i| if page == 2 && i > 2000 { 250 } else { 20 + page }).collect();
        encoder.write_image::<tiff::encoder::colortype::Gray8>(64, 64, &pixels).unwrap();
    }
}

#[test]
fn a_stack_is_walked_through_triaged_measured_and_exported() {
    let folder = tempfile::tempdir().unwrap();
    let (path, sheet, table) = (folder.path().join("s.tif"), folder.path().join("o.png"), folder.path().join("o.csv"));
    stack(&path);
    let mut window = window(vec![path], [1280.0, 720.0]);
    wait(&mut window, "every slice's answer", |w| w.state().session().progress() == (5, 5));
    wait(&mut window, "the measured study", |w| shows(w, "no slice distance known"));
    // It opens on the slice with the highest probability.
    assert!(shows(&window, "Slice 3 of 5") && shows(&window, "1 of 5 slices above the threshold"));
    window.key_press(Key::Home);
    window.step();
    for (key, at) in [(Key::ArrowDown, 1), (Key::End, 4), (Key::P, 2), (Key::Home, 0), (Key::N, 2)] {
        window.key_press(key);
        window.step();
        window.step();
        assert_eq!(window.state().session().selected().unwrap().shown.place.index, at, "{key:?}");
    }
    assert!(shows(&window, "Above threshold: tumour") && shows(&window, "1 of 5 slices, one region"));
    // mm are refused in words, and can be given.
    window.key_press(Key::L);
    wait(&mut window, "the reason", |w| shows(w, "No mm here"));
    for (kind, target) in [("Positive slices on one sheet (PNG)", &sheet), ("Results by slice (CSV)", &table)] {
        choose_export(&mut window, kind);
        save_as(&mut window, target);
    }
    assert!(image::open(&sheet).unwrap().width() >= 64);
    let csv = std::fs::read_to_string(&table).unwrap();
    assert_eq!(csv.lines().count(), 6);
    assert!(!csv.contains("s.tif"), "a file's name may be a patient's");
}

/// A network dropped on the window: what it holds is shown, its owner names the classes, and it is in use at once.
#[test]
fn a_dropped_model_is_installed_and_used() {
    let folder = tempfile::tempdir().unwrap();
    let models = folder.path().join("models");
    let mut window = ui_common::window_with_models(Vec::new(), [1280.0, 720.0], Some(models.clone()));
    wait(&mut window, "the example", |w| w.state().session().count() == 1);
    let network = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/keras3/func.keras");
    drop_file(&mut window, &network);
    wait(&mut window, "the dialog", |w| shows(w, "an architecture of its own, input 20×20×3"));
    assert!(shows(&window, "on the open slice: 0.00 to"));
    for (field, text) in [("Class 1", "cyst"), ("Class 2", "normal"), ("Class 3", "stone"), ("Name", "kidney")] {
        window.get_by_role_and_label(Role::TextInput, field).focus();
        window.step();
        window.key_press_modifiers(Modifiers::COMMAND, Key::A);
        window.step();
        window.get_by_role_and_label(Role::TextInput, field).type_text(text);
        window.step();
    }
    window.get_by_role_and_label(Role::TextInput, "Trained on").focus();
    window.step();
    window.get_by_role_and_label(Role::TextInput, "Trained on").type_text("CT, axial, kidney");
    window.step();
    window.get_by_label("Check and install").click();
    wait(&mut window, "the model", |w| shows(w, "Installed kidney"));
    assert_eq!(window.state().session().models.classifier.as_deref(), Some("kidney"));
    let card = std::fs::read_to_string(models.join("kidney/card.toml")).unwrap();
    assert!(card.contains("\"cyst\"") && card.contains("CT, axial, kidney"), "{card}");
    // A damaged one is named, and nothing is lost.
    let damaged = folder.path().join("damaged.keras");
    std::fs::write(&damaged, &std::fs::read(&network).unwrap()[..9000]).unwrap();
    drop_file(&mut window, &damaged);
    wait(&mut window, "the reason", |w| shows(w, "damaged.keras"));
    assert_eq!(window.state().session().count(), 1);
}

/// A series with a gap, of a modality that the models were not made for, asked with the shipped models on both sides.
#[test]
fn the_window_exports_the_report_that_predict_writes() {
    let home = tempfile::tempdir().unwrap();
    let (series, target) = (home.path().join("series"), home.path().join("window.json"));
    std::fs::create_dir(&series).unwrap();
    for (i, z) in [0, 5, 17].into_iter().enumerate() {
        let example = Phantom::example();
        let drawn = Phantom { lesion: example.lesion.filter(|_| z == 5), ..example };
        let pixels: Vec<u16> = drawn.draw().0.values().iter().map(|v| *v as u16).collect();
        dicom::write(&series.join(format!("IM{i}")), 256, &pixels, |o| {
            dicom::place(o, r"1\0\0\0\1\0", &format!(r"-128\-128\{z}"), r"1\1");
            dicom::put(o, tags::MODALITY, VR::CS, "CT");
        });
    }
    let engine = |_| {
        let device = device::open(DeviceChoice::Cpu).device;
        Started { engine: Box::new(CandleEngine::new(Arc::new(Registry::scan_in(&[])), device)), notice: None }
    };
    let mut window = ui_common::window_with_engine(vec![series.clone()], [1280.0, 720.0], None, Arc::new(engine));
    wait(&mut window, "every answer", |w| w.state().session().is_complete());
    choose_export(&mut window, "Results of the study (JSON)");
    window.get_by_role_and_label(Role::CheckBox, "Write the file's name into it").click();
    window.step();
    save_as(&mut window, &target);
    let output = common::lesionlens(home.path(), &["predict", series.to_str().unwrap(), "--json", "predict.json"]);
    assert!(output.status.success(), "{}", common::text(&output.stderr));
    let report = |name: &str| {
        let text = std::fs::read(home.path().join(name)).unwrap();
        let mut report: serde_json::Value = serde_json::from_slice(&text).unwrap();
        for slice in report["results"].as_array_mut().unwrap() {
            slice.as_object_mut().unwrap().remove("timings_ms").unwrap();
        }
        report
    };
    let (of_window, of_predict) = (report("window.json"), report("predict.json"));
    assert_eq!(of_window, of_predict);
    let warnings = of_predict["studies"][0]["warnings"].to_string();
    assert!(warnings.contains("uneven-slice-distances") && warnings.contains("the model was made for"), "{warnings}");
    assert_eq!(of_predict["results"].as_array().unwrap().len(), 3);
}

/// Fails at every question as a faulty driver would.
struct PanickingEngine;

impl Engine for PanickingEngine {
    fn device(&self) -> String {
        "mock".into()
    }

    fn prepare(&mut self, _model: &str) -> Result<(), EngineError> {
        Ok(())
    }

    fn answer(
        &mut self,
        _question: Question,
        _model: &str,
        _slices: &[Neighbourhood],
        _cancelled: &(dyn Fn() -> bool + Sync),
    ) -> Result<Vec<Answer>, EngineError> {
        panic!("for the test")
    }
}

#[test]
fn an_engine_that_panics_is_told_and_nothing_waits_for_it() {
    let engine = |_| Started { engine: Box::new(PanickingEngine), notice: None };
    let mut window = ui_common::window_with_engine(Vec::new(), [1280.0, 720.0], None, Arc::new(engine));
    wait(&mut window, "the message", |w| shows(w, "the model stopped unexpectedly"));
    assert!(window.state().session().is_complete());
}

#[test]
fn an_engine_that_cannot_be_made_is_told_and_files_still_open() {
    let folder = tempfile::tempdir().unwrap();
    let scan = folder.path().join("scan.png");
    common::phantom_png(&scan);
    let engine = |_| panic!("for the test");
    let mut window = ui_common::window_with_engine(Vec::new(), [1280.0, 720.0], None, Arc::new(engine));
    wait(&mut window, "the message", |w| shows(w, "The networks stopped"));
    drop_file(&mut window, &scan);
    wait(&mut window, "the scan", |w| shows(w, "scan.png"));
}

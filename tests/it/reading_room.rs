//! The window as a reading room: what stays in view, who has the keyboard, and where messages go.

use crate::common::{self, dicom, nifti};
use crate::ui_common::{
    Window, drop_file, shows, wait, window, window_that_restores, window_with_models, with_example,
};
use dicom_core::VR;
use dicom_dictionary_std::tags;
use egui::{Key, Modifiers, Pos2, Role, vec2};
use egui_kittest::kittest::Queryable as _;
use lesionlens::tuning::Corrections;
use lesionlens::tuning::corrections::Outlined;
use std::path::Path;

/// The scan's place on the screen.
fn scan(window: &Window) -> egui::Rect {
    window.get_by_role_and_label(Role::Image, "Scan").rect()
}

/// Drags with the left button, in steps as a hand does.
fn drag(window: &mut Window, from: Pos2, to: Pos2) {
    window.hover_at(from);
    window.step();
    window.drag_at(from);
    window.step();
    for part in 1..=4 {
        window.hover_at(from + (to - from) * (part as f32 / 4.0));
        window.step();
    }
    window.drop_at(to);
    window.step();
    window.step();
}

#[test]
fn what_the_threshold_does_is_in_view_right_under_its_slider() {
    for size in [[1280.0, 720.0], [1280.0, 800.0]] {
        let mut window = window(Vec::new(), size);
        wait(&mut window, "the example's verdict", |w| shows(w, "Above threshold: tumour"));
        let slider = window.get_by_role_and_label(Role::Slider, "Threshold").rect();
        let sentence = window.get_by_label_contains("of 100 tumour slices").rect();
        assert!(sentence.top() - slider.bottom() < 12.0, "{slider:?} {sentence:?}");
        assert!(sentence.bottom() < size[1] - 30.0, "{sentence:?}");
        let verdict = window.get_by_label_contains("Above threshold: tumour").rect();
        // The verdict stays where it is while the rest scrolls.
        window.hover_at(sentence.center());
        window.step();
        window.event(egui::Event::MouseWheel {
            unit: egui::MouseWheelUnit::Point,
            delta: vec2(0.0, -120.0),
            phase: egui::TouchPhase::Move,
            source: egui::MouseWheelSource::Wheel,
            modifiers: Modifiers::NONE,
        });
        (0..40).for_each(|_| window.step());
        assert!(window.get_by_label_contains("of 100 tumour slices").rect().top() < sentence.top() - 20.0);
        assert_eq!(window.get_by_label_contains("Above threshold: tumour").rect(), verdict);
        assert!(window.query_by_role_and_label(Role::ComboBox, "Classifier").is_some());
    }
}

#[test]
fn no_shortcut_acts_under_a_dialog_and_every_dialog_has_a_way_out() {
    let mut window = with_example();
    let opens = [
        (Modifiers::NONE, Key::F1, "Keyboard and mouse", "Close"),
        (Modifiers::NONE, Key::M, "Model cards", "Close"),
        (Modifiers::COMMAND, Key::Comma, "Compute on", "Close"),
        (Modifiers::COMMAND, Key::E, "What to write", "Cancel"),
    ];
    for (modifiers, key, title, button) in opens {
        for by_button in [true, false] {
            window.key_press_modifiers(modifiers, key);
            wait(&mut window, title, |w| shows(w, title));
            (0..4).for_each(|_| window.step());
            window.key_press(Key::G);
            window.key_press(Key::CloseBracket);
            window.key_press(Key::Delete);
            window.step();
            window.step();
            assert!(window.state().settings().show_overlay && window.state().session().count() == 1, "{title}");
            if by_button {
                window.get_by_label(button).click();
            } else {
                window.key_press(Key::Escape);
            }
            wait(&mut window, "it to close", |w| !shows(w, title));
        }
    }
    assert!(!shows(&window, "cuda") && !shows(&window, "metal"), "only devices that this build has");
    // Enter ends what only informs.
    window.key_press(Key::F1);
    wait(&mut window, "the shortcuts", |w| shows(w, "Keyboard and mouse"));
    window.key_press(Key::Enter);
    wait(&mut window, "it to close", |w| !shows(w, "Keyboard and mouse"));
}

#[test]
fn the_calibration_dialog_has_the_keyboard() {
    let mut window = with_example();
    window.key_press(Key::L);
    window.step();
    let scan = scan(&window);
    drag(&mut window, scan.center() - vec2(60.0, 0.0), scan.center() + vec2(60.0, 0.0));
    wait(&mut window, "the question", |w| shows(w, "How long is this line?"));
    (0..6).for_each(|_| window.step());
    // Straight away, without a click into the field.
    for digit in ["4", "5"] {
        window.event(egui::Event::Text(digit.into()));
        window.key_press(if digit == "4" { Key::Num4 } else { Key::Num5 });
        window.step();
    }
    window.key_press(Key::Enter);
    wait(&mut window, "it to close", |w| !shows(w, "How long is this line?"));
    let entry = window.state().session().selected().unwrap();
    // 45 mm over the line, which is 120 points long on a picture of 256 pixels that fills the scan's height.
    let scale = scan.height().min(scan.width()) * 0.98 / 256.0;
    let expected = 45.0 / f64::from(120.0 / scale);
    let calibrated = entry.calibration.unwrap();
    assert!((calibrated / expected - 1.0).abs() < 0.02, "{calibrated} {expected}");
}

#[test]
fn messages_wait_in_a_tray_beside_findings_and_stay_in_a_log() {
    let folder = tempfile::tempdir().unwrap();
    let mut window = with_example();
    for i in 0..5 {
        let bad = folder.path().join(format!("bad{i}.png"));
        std::fs::write(&bad, b"").unwrap();
        drop_file(&mut window, &bad);
        let name = format!("bad{i}.png");
        wait(&mut window, "the message", move |w| shows(w, &name));
    }
    assert!(shows(&window, "2 earlier messages") && !shows(&window, "bad0.png"));
    // Beside the findings and the list, below the scan.
    let message = window.get_by_label_contains("bad4.png").rect();
    let scan = scan(&window);
    assert!(message.top() >= scan.bottom() && message.right() <= scan.right() && message.left() >= scan.left());
    window.get_by_label("Dismiss all").click();
    wait(&mut window, "them to go", |w| !shows(w, "bad4.png"));
    window.get_by_role_and_label(Role::Button, "Messages").click();
    wait(&mut window, "the log", |w| shows(w, "bad0.png") && shows(w, "bad4.png"));
    window.get_by_label("Hide all messages").click();
    wait(&mut window, "it to close", |w| !shows(w, "bad4.png"));
}

/// A copy of a model's folder is the reader's own model, which can be taken away again; the program's own cannot.
#[test]
fn an_imported_model_is_removed_after_a_question() {
    let folder = tempfile::tempdir().unwrap();
    let models = folder.path().join("models");
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("weights/brain4");
    std::fs::create_dir_all(models.join("mine")).unwrap();
    for name in ["card.toml", "model.safetensors"] {
        std::fs::copy(shipped.join(name), models.join("mine").join(name)).unwrap();
    }
    let mut window = window_with_models(Vec::new(), [1280.0, 720.0], Some(models.clone()));
    wait(&mut window, "the example's answers", |w| w.state().session().is_complete());
    (0..4).for_each(|_| window.step());
    for answer in ["Cancel", "Delete"] {
        window.get_by_label("Remove…").click();
        wait(&mut window, "the menu", |w| w.query_by_label("brain4").is_some());
        window.get_by_label("brain4").click();
        wait(&mut window, "the question", |w| shows(w, "Delete this model?"));
        assert!(models.join("mine/card.toml").is_file());
        window.get_by_label(answer).click();
        wait(&mut window, "it to close", |w| !shows(w, "Delete this model?"));
    }
    wait(&mut window, "the model to go", move |_| !models.join("mine").exists());
    wait(&mut window, "the message", |w| shows(w, "Removed the model brain4"));
}

/// Ten bright slices of thirty; the volume's middle is dark.
fn volume(path: &Path) {
    let mut voxels = Vec::new();
    for z in 0..30 {
        for i in 0..32 * 24 {
            voxels.push(if (18..28).contains(&z) && i > 400 { 250u8 } else { 10 + (i % 5) as u8 });
        }
    }
    nifti::write(path, [32, 24, 30], [1.0, 1.0, 2.0], &voxels);
}

#[test]
fn the_list_says_how_many_slices_of_how_many_and_shows_the_most_suspicious() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("v.nii");
    volume(&path);
    let mut window = window(vec![path], [1280.0, 720.0]);
    wait(&mut window, "the answers", |w| shows(w, "%, 10 of 30"));
    wait(&mut window, "the picture", |w| w.state().session().selected().unwrap().thumbnail.0.index >= 18);
    // Bright in its lower part, as that slice is.
    let entry = window.state().session().selected().unwrap();
    assert!(entry.thumbnail.1.iter().filter(|v| **v > 200).count() > entry.thumbnail.1.len() / 8);
}

#[test]
fn slices_are_played_and_panels_make_room() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("v.nii");
    volume(&path);
    let mut window = window(vec![path], [1280.0, 720.0]);
    wait(&mut window, "the answers", |w| w.state().session().is_complete());
    let index = |w: &Window| w.state().session().selected().unwrap().shown.place.index;
    window.key_press(Key::End);
    window.step();
    window.get_by_label("Play the slices").click();
    // From the last slice on to the first.
    wait(&mut window, "the second slice", |w| index(w) == 1);
    window.key_press(Key::Escape);
    window.step();
    let stopped = index(&window);
    std::thread::sleep(std::time::Duration::from_millis(200));
    (0..3).for_each(|_| window.step());
    assert_eq!(index(&window), stopped);
    let before = scan(&window);
    window.key_press(Key::H);
    wait(&mut window, "more room", |w| scan(w).width() > before.width() + 400.0);
    assert!(!shows(&window, "Findings") && shows(&window, "not a medical device"));
    window.key_press(Key::H);
    wait(&mut window, "the panels", |w| shows(w, "Findings") && scan(w) == before);
}

#[test]
fn dicom_attributes_are_listed_and_searched() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("IM1");
    let pixels: Vec<u16> = (0..64 * 64).map(|i| (i % 251) as u16).collect();
    dicom::write(&path, 64, &pixels, |o| {
        dicom::put(o, tags::MODALITY, VR::CS, "MR");
        dicom::put(o, tags::STUDY_DATE, VR::DA, "20240501");
        dicom::put(o, tags::SERIES_DESCRIPTION, VR::LO, "AX FLAIR");
        dicom::put(o, tags::SLICE_THICKNESS, VR::DS, "5");
    });
    let mut window = window(vec![path], [1280.0, 720.0]);
    wait(&mut window, "the scan", |w| w.state().session().is_complete());
    let made = window.state().session().selected().unwrap().study.subject.acquisition.clone();
    assert_eq!((made.date.as_deref(), made.sequence.as_deref()), (Some("2024-05-01"), Some("AX FLAIR")));
    assert_eq!(made.thickness_mm, Some(5.0));
    window.key_press_modifiers(Modifiers::COMMAND, Key::I);
    wait(&mut window, "the list", |w| shows(w, "attributes of IM1"));
    assert!(shows(&window, "Modality") && shows(&window, "(0008,0060)"));
    (0..5).for_each(|_| window.step());
    window.event(egui::Event::Text("thickn".into()));
    wait(&mut window, "what was sought", |w| !shows(w, "(0008,0060)"));
    assert!(shows(&window, "SliceThickness") && shows(&window, "1 of "));
    window.key_press(Key::Escape);
    wait(&mut window, "it to close", |w| !shows(w, "SliceThickness"));
}

#[test]
fn three_planes_are_linked_and_any_of_them_can_be_enlarged() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("v.nii");
    volume(&path);
    let mut window = window(vec![path], [1280.0, 720.0]);
    wait(&mut window, "the answers", |w| w.state().session().is_complete());
    let whole = scan(&window);
    window.key_press(Key::Q);
    let beside = |w: &Window, plane: &str| {
        w.query_by_role_and_label(Role::Image, &format!("Scan, {plane}")).map(|node| node.rect())
    };
    wait(&mut window, "the grid", |w| beside(w, "coronal").is_some() && beside(w, "sagittal").is_some());
    (0..20).for_each(|_| {
        std::thread::sleep(std::time::Duration::from_millis(10));
        window.step();
    });
    let coronal = beside(&window, "coronal").unwrap();
    assert!(scan(&window).width() < whole.width() * 0.52 && !scan(&window).intersects(coronal.shrink(4.0)));
    assert!(window.query_by_role_and_label(Role::Image, "Positive slices").is_some());
    let index = |w: &Window| w.state().session().selected().unwrap().place.index;
    // The head is on top of a coronal slice: a click above its middle goes up, one below goes down.
    for (height, expected) in [(-0.3, 20..30), (0.3, 0..10)] {
        let at = coronal.center() + vec2(0.0, coronal.height() * height);
        window.hover_at(at);
        window.drag_at(at);
        window.step();
        window.drop_at(at);
        (0..3).for_each(|_| window.step());
        assert!(expected.contains(&index(&window)), "{height} {}", index(&window));
        std::thread::sleep(std::time::Duration::from_millis(500));
        window.step();
    }
    // A double click on the plane in hand enlarges it, and makes it small again.
    for (what, width) in [("the enlarged plane", whole.width()), ("the grid", whole.width() / 2.0)] {
        let at = scan(&window).center();
        window.hover_at(at);
        window.step();
        // In one frame, since the harness counts a quarter of a second for each.
        for pressed in [true, false, true, false] {
            let (button, modifiers) = (egui::PointerButton::Primary, Modifiers::NONE);
            window.input_mut().events.push(egui::Event::PointerButton { pos: at, button, pressed, modifiers });
        }
        wait(&mut window, what, move |w| (scan(w).width() - width).abs() < 8.0);
        std::thread::sleep(std::time::Duration::from_millis(500));
        window.step();
    }
    window.key_press(Key::Q);
    wait(&mut window, "one view", |w| scan(w) == whole && beside(w, "coronal").is_none());
}

/// The reader's outline of the slice on show, in pixels.
fn outlined(window: &Window) -> Option<usize> {
    let entry = window.state().session().selected().unwrap();
    entry.outline(entry.shown.place).map(|mask| mask.area())
}

#[test]
fn an_outline_is_corrected_undone_and_saved_beside_the_scan() {
    let folder = tempfile::tempdir().unwrap();
    let (path, target) = (folder.path().join("head.png"), folder.path().join("head_mask.png"));
    common::phantom_png(&path);
    let mut window = window(vec![path.clone()], [1280.0, 720.0]);
    wait(&mut window, "the answers", |w| w.state().session().is_complete());
    window.key_press_modifiers(Modifiers::COMMAND, Key::S);
    wait(&mut window, "the reason", |w| shows(w, "No outline was drawn"));
    window.key_press(Key::E);
    wait(&mut window, "the tools", |w| shows(w, "Smart brush"));
    (0..3).for_each(|_| window.step());
    let model = {
        let session = window.state().session();
        let map = session.segmentation(session.selected().unwrap()).unwrap();
        map.mask(session.thresholds.mask).area()
    };
    // A dark corner, which no model outlines.
    let picture = scan(&window);
    let side = picture.height().min(picture.width()) * 0.98;
    let corner = picture.center() - vec2(side * 0.45, side * 0.45);
    drag(&mut window, corner, corner + vec2(40.0, 0.0));
    let drawn = outlined(&window).unwrap();
    assert!(drawn > model + 40, "it starts from the model's outline: {drawn} {model}");
    window.key_press_modifiers(Modifiers::COMMAND, Key::Z);
    wait(&mut window, "the stroke to go", |w| outlined(w).is_none());
    window.key_press_modifiers(Modifiers::COMMAND | Modifiers::SHIFT, Key::Z);
    wait(&mut window, "the stroke to come back", |w| outlined(w) == Some(drawn));
    // A dab apart from the rest goes when only the largest part is kept.
    let dab = picture.center() + vec2(side * 0.45, side * 0.45);
    drag(&mut window, dab, dab + vec2(8.0, 0.0));
    let both = outlined(&window).unwrap();
    assert!(both > drawn);
    window.get_by_label("Keep largest").click();
    wait(&mut window, "the dab to go", |w| outlined(w).unwrap() < both);
    window.get_by_label("Grow").click();
    (0..3).for_each(|_| window.step());
    window.get_by_label("Eraser").click();
    window.step();
    let before = outlined(&window).unwrap();
    window.key_press_modifiers(Modifiers::COMMAND, Key::S);
    wait(&mut window, "the question", |w| shows(w, "head_mask.png"));
    window.get_by_label("Save").click();
    wait(&mut window, "the file", |_| target.is_file());
    let reopened = lesionlens::io::load(&path).unwrap();
    let place = lesionlens::domain::study::Place { cut: reopened.native(), index: 0 };
    let slice = reopened.frames.slice(place).unwrap();
    assert_eq!(reopened.truth(place, &slice).unwrap().unwrap().area(), before);
    // A file that is there is never replaced unasked.
    let bytes = std::fs::read(&target).unwrap();
    window.get_by_label("Shrink").click();
    wait(&mut window, "a smaller outline", |w| outlined(w).unwrap() < before);
    window.key_press_modifiers(Modifiers::COMMAND, Key::S);
    wait(&mut window, "the warning", |w| shows(w, "will be replaced: 1") && w.query_by_label("Replace").is_some());
    window.get_by_label("Cancel").click();
    wait(&mut window, "it to close", |w| !shows(w, "will be replaced"));
    assert_eq!(std::fs::read(&target).unwrap(), bytes);
    window.key_press(Key::Escape);
    wait(&mut window, "the tools to go", |w| !shows(w, "Smart brush"));
}

#[test]
fn slices_between_two_drawn_ones_are_outlined_and_saved_as_a_volume() {
    let folder = tempfile::tempdir().unwrap();
    let (path, target) = (folder.path().join("v.nii"), folder.path().join("v_mask.nii.gz"));
    volume(&path);
    let models = folder.path().join("models");
    let mut window = window_with_models(vec![path.clone()], [1280.0, 720.0], Some(models.clone()));
    wait(&mut window, "the answers", |w| w.state().session().is_complete());
    window.key_press(Key::E);
    wait(&mut window, "the tools", |w| shows(w, "Smart brush"));
    (0..3).for_each(|_| window.step());
    for down in [2, 4] {
        window.key_press(Key::Home);
        (0..down).for_each(|_| window.key_press(Key::ArrowDown));
        (0..down + 3).for_each(|_| window.step());
        let picture = scan(&window);
        drag(&mut window, picture.center(), picture.center() + vec2(30.0, 0.0));
    }
    window.get_by_label("Interpolate").click();
    let has = |w: &Window, index: usize| {
        let entry = w.state().session().selected().unwrap();
        let place = lesionlens::domain::study::Place { index, ..entry.place };
        entry.outline(place).is_some_and(|mask| mask.area() > 10)
    };
    wait(&mut window, "the slice between", |w| has(w, 3));
    assert!(has(&window, 2) && has(&window, 4) && !has(&window, 1) && !has(&window, 5));
    window.key_press_modifiers(Modifiers::COMMAND, Key::S);
    wait(&mut window, "what will be saved", |w| shows(w, "Slices that you outlined: 3"));
    assert!(shows(&window, "about which the file says nothing: 27"));
    window.get_by_label("the model's outline").click();
    wait(&mut window, "the model's slices", |w| shows(w, "stay as the model outlined them: 10"));
    // The dialog says that a copy is kept, and where.
    assert!(shows(&window, &models.with_file_name("corrections").display().to_string()));
    window.get_by_label("Save").click();
    wait(&mut window, "the file", |_| target.is_file());
    wait(&mut window, "the copy", |w| shows(w, "Corrected slices so far: 3; patients: 1."));
    // Slices of the model's are no corrections.
    let corrections = Corrections { folder: models.with_file_name("corrections") };
    let rows = corrections.rows().unwrap();
    let drawn: Vec<usize> = rows.iter().filter(|r| r.outlined == Outlined::Yes).map(|r| r.slice).collect();
    assert_eq!((rows.len(), drawn), (30, vec![3, 4, 5]));
    let reopened = lesionlens::io::load(&path).unwrap();
    let outlined = |index: usize| {
        let place = lesionlens::domain::study::Place { cut: reopened.native(), index };
        reopened.truth(place, &reopened.frames.slice(place).unwrap()).unwrap().is_some_and(|mask| mask.area() > 0)
    };
    let found: Vec<usize> = (0..30).filter(|index| outlined(*index)).collect();
    assert_eq!(found, [2, 3, 4, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27]);
}

#[test]
fn measurements_are_moved_by_their_handles_removed_one_by_one_and_undone() {
    let mut window = with_example();
    let figures = |w: &Window| w.state().figures().to_vec();
    let centre = scan(&window).center();
    window.key_press(Key::J);
    window.step();
    drag(&mut window, centre, centre + vec2(80.0, 0.0));
    let drawn = figures(&window);
    assert!((drawn[0].degrees([1.0, 1.0]).unwrap() - 90.0).abs() < 1e-6, "{drawn:?}");
    window.key_press(Key::B);
    window.step();
    let place = centre + vec2(-90.0, 60.0);
    window.hover_at(place);
    window.step();
    window.drag_at(place);
    window.drop_at(place);
    wait(&mut window, "the question", |w| w.query_by_role_and_label(Role::TextInput, "Text of the label").is_some());
    (0..6).for_each(|_| window.step());
    window.event(egui::Event::Text("oedema?".into()));
    window.step();
    window.key_press(Key::Enter);
    wait(&mut window, "the label", |w| figures(w).iter().any(|f| format!("{f:?}").contains("oedema?")));
    // Escape puts the tool away; a drag from a handle moves it.
    (0..3).for_each(|_| window.step());
    window.key_press(Key::Escape);
    window.step();
    let before = figures(&window);
    drag(&mut window, centre + vec2(80.0, 0.0), centre + vec2(80.0, 40.0));
    let moved = figures(&window);
    assert_eq!(moved.len(), 2);
    assert_ne!(before[0], moved[0]);
    window.key_press_modifiers(Modifiers::COMMAND, Key::Z);
    wait(&mut window, "the move to be undone", |w| figures(w) == before);
    // A right click on a handle removes its figure alone.
    window.hover_at(place);
    window.step();
    for pressed in [true, false] {
        let (button, modifiers) = (egui::PointerButton::Secondary, Modifiers::NONE);
        window.event(egui::Event::PointerButton { pos: place, button, pressed, modifiers });
    }
    wait(&mut window, "the label to go", |w| figures(w).len() == 1);
    window.key_press_modifiers(Modifiers::COMMAND, Key::Z);
    wait(&mut window, "the label to come back", |w| figures(w) == before);
}

#[test]
fn a_picture_is_copied_and_exported_beside_the_plain_scan_on_white() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("out.png");
    let mut window = with_example();
    window.key_press_modifiers(Modifiers::COMMAND, Key::C);
    wait(&mut window, "the message", |w| shows(w, "Copied the annotated picture"));
    window.key_press_modifiers(Modifiers::COMMAND, Key::E);
    wait(&mut window, "the dialog", |w| shows(w, "What to write"));
    for choice in ["Plain scan beside it", "Light, for print"] {
        window.get_by_role_and_label(Role::CheckBox, choice).click();
        (0..2).for_each(|_| window.step());
    }
    window.get_by_role_and_label(Role::TextInput, "File").focus();
    window.step();
    window.key_press_modifiers(Modifiers::COMMAND, Key::A);
    window.step();
    window.event(egui::Event::Text(target.to_str().unwrap().into()));
    window.step();
    window.key_press(Key::Enter);
    wait(&mut window, "the file", |_| target.is_file());
    let picture = image::open(&target).unwrap().into_rgb8();
    // Twice 256 pixels enlarged twice, over white paper.
    assert_eq!(picture.width(), 1024);
    assert_eq!(picture.get_pixel(2, picture.height() - 2).0, [255; 3]);
    // The left half is grey, the right one has the mask's colour.
    let coloured = |columns: std::ops::Range<u32>| {
        let spread = |x: u32, y: u32| {
            let pixel = picture.get_pixel(x, y).0;
            pixel.iter().max().unwrap() - pixel.iter().min().unwrap()
        };
        columns.flat_map(|x| (0..512).map(move |y| (x, y))).filter(|(x, y)| spread(*x, *y) > 40).count()
    };
    assert_eq!(coloured(0..512), 0);
    assert!(coloured(512..1024) > 1000);
    // 300 dpi are 11 811 pixels a metre, as PNG says it.
    let bytes = std::fs::read(&target).unwrap();
    let at = bytes.windows(4).position(|w| w == b"pHYs").unwrap();
    assert_eq!(bytes[at + 4..at + 8], 11_811u32.to_be_bytes());
}

/// Closed by accident, with an outline that was not saved and a line: the next window has both again. Files that went are named.
#[test]
fn what_was_open_is_open_again_with_unsaved_work() {
    let folder = tempfile::tempdir().unwrap();
    let sessions = folder.path().join("sessions");
    let (head, gone) = (folder.path().join("head.png"), folder.path().join("gone.png"));
    common::phantom_png(&head);
    common::phantom_png(&gone);
    let mut window = window_that_restores(vec![head.clone(), gone.clone()], sessions.clone());
    wait(&mut window, "the answers", |w| w.state().session().is_complete() && w.state().session().count() == 2);
    (0..3).for_each(|_| window.step());
    if !shows_file(&window, "head.png") {
        window.key_press(Key::PageDown);
        wait(&mut window, "the other picture", |w| shows_file(w, "head.png"));
    }
    window.key_press(Key::L);
    window.step();
    let picture = scan(&window);
    drag(&mut window, picture.center(), picture.center() + vec2(50.0, 0.0));
    wait(&mut window, "the line", |w| w.state().figures().len() == 1);
    window.key_press(Key::Escape);
    wait(&mut window, "the question to close", |w| !shows(w, "How long is this line?"));
    window.key_press(Key::E);
    wait(&mut window, "the tools", |w| shows(w, "Smart brush"));
    (0..3).for_each(|_| window.step());
    let picture = scan(&window);
    let corner = picture.center() - vec2(150.0, 150.0);
    drag(&mut window, corner, corner + vec2(40.0, 0.0));
    let drawn = outlined(&window).unwrap();
    window.key_press(Key::CloseBracket);
    window.step();
    let threshold = window.state().session().thresholds.classifier;
    let wanted = format!("\"classifier\":{threshold}");
    wait(&mut window, "the file", |_| kept(&sessions, &wanted) && kept(&sessions, "\"distance\""));
    std::fs::remove_file(&gone).unwrap();
    // The harness keeps the first window, and its file, until the test ends: the next one finds a copy.
    let sessions = {
        let copy = folder.path().join("after");
        std::fs::create_dir(&copy).unwrap();
        for file in std::fs::read_dir(&sessions).unwrap().flatten() {
            std::fs::copy(file.path(), copy.join(file.file_name())).unwrap();
        }
        copy
    };

    let mut window = window_that_restores(Vec::new(), sessions.clone());
    wait(&mut window, "the picture", |w| shows_file(w, "head.png"));
    assert!(shows(&window, "gone.png was open and is no longer there"));
    wait(&mut window, "the outline", |w| outlined(w) == Some(drawn));
    assert_eq!(window.state().figures().len(), 1);
    assert_eq!(window.state().session().thresholds.classifier, threshold);
    // Turned off, everything is forgotten at once.
    window.key_press_modifiers(Modifiers::COMMAND, Key::Comma);
    wait(&mut window, "the settings", |w| shows(w, "Reopen at the next start"));
    window.get_by_label_contains("Reopen at the next start").click();
    wait(&mut window, "the file to go", |_| !kept(&sessions, "head.png"));
}

/// Whether a file of what was open contains `part`.
fn kept(sessions: &Path, part: &str) -> bool {
    let files = std::fs::read_dir(sessions).into_iter().flatten().flatten().map(|file| file.path());
    // A file that is still being written has another name.
    let mut finished = files.filter(|path| path.extension().is_some_and(|ending| ending == "json"));
    finished.any(|path| std::fs::read_to_string(path).unwrap_or_default().contains(part))
}

fn shows_file(window: &Window, name: &str) -> bool {
    window.state().session().selected().is_some_and(|entry| entry.study.title == name)
}

//! Both languages; alone in its file because the language belongs to the whole process.

#[path = "it/ui_common/mod.rs"]
mod ui_common;

use egui::{Key, Modifiers};
use egui_kittest::kittest::Queryable as _;
use ui_common::{drop_file, shows, wait, with_example};

#[test]
fn choosing_spanish_translates_everything_at_once() {
    let mut window = with_example();
    window.key_press_modifiers(Modifiers::COMMAND, Key::Comma);
    wait(&mut window, "the settings", |w| shows(w, "Language"));
    window.get_by_label("Español").click();
    wait(&mut window, "Spanish", |w| shows(w, "Hallazgos"));
    for text in ["Sobre el umbral: tumor", "Estudios", "no es un producto sanitario", "Umbral", "Idioma"] {
        assert!(shows(&window, text), "{text}");
    }
    for text in ["Findings", "Studies", "Threshold", "Language"] {
        assert!(!shows(&window, text), "{text}");
    }
    // Numbers, keys and errors too.
    window.key_press(Key::Escape);
    wait(&mut window, "it to close", |w| !shows(w, "Idioma"));
    assert!(shows(&window, "Dice con el contorno de referencia 0,") && !shows(&window, "referencia 0."));
    window.key_press(Key::F1);
    wait(&mut window, "the shortcuts", |w| shows(w, "Re Pág") && shows(w, "Supr") && shows(w, "Mayús"));
    window.key_press(Key::F1);
    let folder = tempfile::tempdir().unwrap();
    let empty = folder.path().join("vacía.png");
    std::fs::write(&empty, b"").unwrap();
    drop_file(&mut window, &empty);
    wait(&mut window, "the reason", |w| shows(w, "vacía.png: está vacío (0 bytes)"));
}

/// Every key has both languages, and both ask for the same values.
#[test]
fn no_text_lacks_a_translation() {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/assets/locales/app.yml")).unwrap();
    let values = |line: &str| {
        let mut names: Vec<String> =
            line.match_indices("%{").map(|(at, _)| line[at + 2..].split('}').next().unwrap().to_string()).collect();
        names.sort();
        names
    };
    let mut checked = 0;
    let lines: Vec<&str> = text.lines().collect();
    for (i, line) in lines.iter().enumerate() {
        let (english, spanish) = match line.split_once("{ en: ") {
            Some((_, rest)) => rest.split_once(", es: ").expect(line),
            None if line.trim_start().starts_with("en:") => (*line, lines[i + 1]),
            None => continue,
        };
        assert_eq!(values(english), values(spanish), "{line}");
        assert!(spanish.contains('"') && !spanish.contains("\"\""), "{line}");
        checked += 1;
    }
    assert!(checked > 100, "{checked}");
}

/// What the window says comes from the locales: no panel holds a sentence of its own.
#[test]
fn no_panel_holds_text_that_is_not_translated() {
    let says = [
        ".label(\"",
        ".button(\"",
        ".small_button(\"",
        ".heading(\"",
        ".weak(\"",
        ".strong(\"",
        ".hint_text(\"",
        ".on_hover_text(\"",
        "RichText::new(\"",
        "Label::new(\"",
        ".error(\"",
        ".info(\"",
        ".accessible_name(\"",
    ];
    // Units, and examples of what the card's own words look like.
    let allowed = ["mm", "MR FLAIR, axial, brain"];
    let mut found = Vec::new();
    let mut folders = vec![std::path::PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/src/app"))];
    while let Some(folder) = folders.pop() {
        for path in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            let shown = text.split("#[cfg(test)]").next().unwrap();
            for sign in says {
                for (at, _) in shown.match_indices(sign) {
                    let words = shown[at + sign.len()..].split('"').next().unwrap();
                    let letters = words.chars().filter(|c| c.is_alphabetic()).count();
                    if letters > 1 && !words.contains('{') && !allowed.contains(&words) {
                        found.push(format!("{}: {words}", path.display()));
                    }
                }
            }
        }
    }
    assert!(found.is_empty(), "{found:#?}");
}

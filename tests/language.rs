//! Both languages; alone in its file because the language belongs to the whole process.

#[path = "it/ui_common/mod.rs"]
mod ui_common;

use egui::{Key, Modifiers};
use egui_kittest::kittest::Queryable as _;
use ui_common::{shows, wait, with_example};

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

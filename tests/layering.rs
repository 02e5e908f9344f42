//! Who may know whom: the house as drawn. Reads the sources and fails on a forbidden `use`.

use std::path::{Path, PathBuf};

/// A module folder and what its sources must not mention.
const RULES: &[(&str, &[&str])] = &[
    (
        "domain",
        &[
            "crate::io",
            "crate::nn",
            "crate::models",
            "crate::engine",
            "crate::train",
            "crate::export",
            "crate::cli",
            "crate::app",
            "candle",
            "egui",
            "std::fs",
        ],
    ),
    (
        "io",
        &[
            "crate::nn",
            "crate::models",
            "crate::engine",
            "crate::train",
            "crate::export",
            "crate::cli",
            "crate::app",
            "candle",
            "egui",
        ],
    ),
    (
        "export",
        &[
            "crate::io",
            "crate::nn",
            "crate::models",
            "crate::engine",
            "crate::train",
            "crate::cli",
            "crate::app",
            "candle",
            "egui",
        ],
    ),
    (
        "nn",
        &[
            "crate::domain",
            "crate::io",
            "crate::models",
            "crate::engine",
            "crate::train",
            "crate::export",
            "crate::cli",
            "crate::app",
            "egui",
        ],
    ),
    ("models", &["crate::export", "crate::io", "crate::engine", "crate::train", "crate::cli", "crate::app", "egui"]),
    ("engine", &["crate::io", "crate::train", "crate::export", "crate::cli", "crate::app", "egui"]),
    ("train", &["crate::export", "crate::engine", "crate::cli", "crate::app", "egui"]),
    ("app", &["crate::nn", "crate::models", "crate::train", "crate::cli", "candle", "safetensors"]),
];

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
    found
}

/// The code of a file without comments and attributes of derive macros.
fn code(path: &Path) -> String {
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n")
}

#[test]
fn modules_keep_to_their_neighbours() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut broken = Vec::new();
    let mut read = 0;
    for (module, forbidden) in RULES {
        for file in sources(&root.join(module)) {
            read += 1;
            let code = code(&file);
            // A grouped import would hide its modules from this test.
            assert!(!code.contains("use crate::{"), "{}", file.display());
            for word in forbidden.iter().filter(|word| mentions(&code, word)) {
                broken.push(format!("{} mentions {word}", file.display()));
            }
        }
    }
    assert!(read > 40, "only {read} files were read: has the tree moved?");
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

/// A path counts where it is used, not as a part of another word.
fn mentions(code: &str, word: &str) -> bool {
    code.match_indices(word).any(|(at, _)| {
        let before = code[..at].chars().next_back();
        let after = code[at + word.len()..].chars().next();
        let part = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric());
        // `engine::candle` is the engine's file, not the library.
        !part(before)
            && before != Some(':')
            && (after == Some(':') || after == Some(';') || !word.contains("candle") && !part(after))
    })
}

/// Only `cli/view.rs` opens windows.
#[test]
fn only_the_view_command_knows_the_window() {
    let cli = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/cli");
    for file in sources(&cli).into_iter().filter(|f| !f.ends_with("view.rs")) {
        assert!(!mentions(&code(&file), "crate::app"), "{}", file.display());
    }
}

/// Unsafe code lives in the micro-kernels and in the doors to the `gemm` crate and the allocator; clippy asks each block for its reason.
#[test]
fn unsafe_code_stays_in_the_kernels() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for file in sources(&source) {
        let place = file.strip_prefix(&source).unwrap();
        let doors = ["nn/ops/matrix.rs", "allocator.rs"].map(Path::new);
        let allowed = place.starts_with("nn/plan/kernels") || doors.contains(&place);
        assert!(allowed || !mentions(&code(&file), "unsafe"), "{}", file.display());
    }
}

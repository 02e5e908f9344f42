//! Who may know whom: the house as drawn. Reads the sources and fails on a forbidden `use`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// A module folder and what its sources must not mention.
const RULES: &[(&str, &[&str])] = &[
    (
        "domain",
        &[
            "crate::io",
            "lesionlens_nn",
            "crate::models",
            "crate::engine",
            "crate::train",
            "crate::export",
            "crate::cli",
            "crate::serve",
            "crate::app",
            "candle",
            "egui",
            "std::fs",
        ],
    ),
    (
        "io",
        &[
            "lesionlens_nn",
            "crate::models",
            "crate::engine",
            "crate::train",
            "crate::export",
            "crate::cli",
            "crate::serve",
            "crate::app",
            "candle",
            "egui",
        ],
    ),
    (
        "export",
        &[
            "crate::io",
            "lesionlens_nn",
            "crate::models",
            "crate::engine",
            "crate::train",
            "crate::cli",
            "crate::serve",
            "crate::app",
            "candle",
            "egui",
        ],
    ),
    (
        "models",
        &[
            "crate::export",
            "crate::io",
            "crate::engine",
            "crate::train",
            "crate::cli",
            "crate::serve",
            "crate::app",
            "egui",
        ],
    ),
    ("engine", &["crate::io", "crate::train", "crate::export", "crate::cli", "crate::serve", "crate::app", "egui"]),
    ("batch", &["lesionlens_nn", "crate::train", "crate::cli", "crate::serve", "crate::app", "candle", "egui"]),
    (
        "pacs",
        &[
            "lesionlens_nn",
            "crate::models",
            "crate::engine",
            "crate::batch",
            "crate::export",
            "crate::train",
            "crate::cli",
            "crate::serve",
            "crate::app",
            "candle",
            "egui",
        ],
    ),
    ("serve", &["crate::train", "crate::cli", "crate::app", "egui"]),
    ("train", &["crate::tuning", "crate::export", "crate::engine", "crate::cli", "crate::serve", "crate::app", "egui"]),
    ("tuning", &["crate::engine", "crate::batch", "crate::cli", "crate::serve", "crate::app", "egui"]),
    ("app", &["lesionlens_nn", "crate::models", "crate::train", "crate::cli", "crate::serve", "candle", "safetensors"]),
];

/// The sources of each crate that has rooms.
const CRATES: &[&str] = &["src", "crates/nn/src"];

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
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for file in CRATES.iter().flat_map(|source| sources(&root.join(source))) {
        let place = file.strip_prefix(root).unwrap();
        let doors = ["crates/nn/src/ops/matrix.rs", "src/allocator.rs"].map(Path::new);
        let allowed = place.starts_with("crates/nn/src/plan/kernels") || doors.contains(&place);
        assert!(allowed || !mentions(&code(&file), "unsafe"), "{}", file.display());
    }
}

/// Circles of files that still wait to be undone. The list may only become shorter.
const KNOWN_CIRCLES: &[&str] = &["train/calibration, train/evaluate"];

/// Files that use each other cannot be read or moved one by one. A folder and what lies in it may know each other.
#[test]
fn no_circle_of_files_is_new() {
    let found: BTreeSet<String> = CRATES.iter().flat_map(|source| circles(source)).collect();
    assert_eq!(found.iter().collect::<Vec<_>>(), KNOWN_CIRCLES);
}

/// The circles among the files of a crate, each as the names of its files.
fn circles(source: &str) -> BTreeSet<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(source);
    let files: BTreeMap<String, PathBuf> =
        sources(&root).into_iter().map(|file| (module(&root, &file), file)).collect();
    let used = |(name, file): (&String, &PathBuf)| {
        let code = code(file);
        let code = code.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        let others = paths(code).into_iter().filter_map(|path| resolved(name, &path, &files));
        let apart = |other: &String| !inside(name, other) && !inside(other, name);
        (name.clone(), others.filter(apart).collect::<BTreeSet<String>>())
    };
    let uses: BTreeMap<String, BTreeSet<String>> = files.iter().map(used).collect();
    let reached = |from: &String| {
        let (mut seen, mut open) = (BTreeSet::new(), vec![from.clone()]);
        while let Some(next) = open.pop() {
            open.extend(uses[&next].iter().filter(|other| seen.insert(String::clone(other))).cloned());
        }
        seen
    };
    let reached: BTreeMap<&String, BTreeSet<String>> = uses.keys().map(|name| (name, reached(name))).collect();
    let circle = |name: &&String| {
        let others = reached[*name].iter().filter(|other| reached[*other].contains(*name));
        others.cloned().collect::<Vec<String>>().join(", ")
    };
    uses.keys().filter(|name| reached[name].contains(*name)).map(|n| circle(&n)).collect()
}

/// A file's place among the modules, such as `io/dicom/frame`.
fn module(root: &Path, file: &Path) -> String {
    let place = file.strip_prefix(root).unwrap().with_extension("");
    let place = if place.ends_with("mod") { place.parent().unwrap().to_path_buf() } else { place };
    place.to_str().unwrap().replace('\\', "/")
}

fn inside(name: &str, folder: &str) -> bool {
    name == folder || name.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'))
}

/// Paths that begin with `crate` or `super`, those in a group one by one.
fn paths(code: &str) -> Vec<String> {
    let word = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
    let starts = code.match_indices("crate::").chain(code.match_indices("super::"));
    // The rest of a longer path is no path of its own.
    let starts = starts.filter(|(at, _)| !code[..*at].ends_with(word));
    let mut found = Vec::new();
    for (at, _) in starts {
        let (path, rest) = code[at..].split_at(code[at..].find(|c| !word(c)).unwrap_or(code.len() - at));
        let Some(group) = rest.strip_prefix('{') else {
            found.push(path.to_string());
            continue;
        };
        let mut depth = 1;
        let closed = |c: char| {
            depth += i32::from(c == '{') - i32::from(c == '}');
            depth == 0
        };
        let group = &group[..group.find(closed).unwrap()];
        let mut depth = 0;
        let between = |c: char| {
            depth += i32::from(c == '{') - i32::from(c == '}');
            c == ',' && depth == 0
        };
        found.extend(group.split(between).map(|item| format!("{path}{}", item.split('{').next().unwrap().trim())));
    }
    found
}

/// The module that a path in `name` leads to or into.
fn resolved(name: &str, path: &str, files: &BTreeMap<String, PathBuf>) -> Option<String> {
    let mut place: Vec<&str> = name.split('/').collect();
    for word in path.split("::").filter(|word| !word.is_empty()) {
        match word {
            "crate" => place.clear(),
            "super" => _ = place.pop(),
            word => place.push(word),
        }
    }
    while !place.is_empty() {
        let name = place.join("/");
        if files.contains_key(&name) {
            return Some(name);
        }
        place.pop();
    }
    None
}

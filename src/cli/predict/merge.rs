//! `predict --merge`: the parts of a divided run put together.

use super::Args;
use crate::batch::lines;
use anyhow::Context;
use std::path::PathBuf;
use std::process::ExitCode;

/// Reads the lines of files and of the `*.jsonl` in folders, and writes their results as one run would have.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let mut files = Vec::new();
    for path in &args.paths {
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let entries = std::fs::read_dir(path).with_context(|| format!("cannot read {}", path.display()))?;
        let mut inside: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        inside.retain(|path| path.extension().is_some_and(|ending| ending == "jsonl"));
        inside.sort();
        files.extend(inside);
    }
    let mut all = Vec::new();
    for file in &files {
        all.extend(lines::read(file)?);
    }
    let report = lines::merge(all)?;
    super::finish(args.json.as_deref(), args.csv.as_deref(), &report)
}

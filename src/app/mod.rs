//! The window.
use std::path::PathBuf;
pub fn run(_paths: Vec<PathBuf>) -> anyhow::Result<()> { Ok(()) }

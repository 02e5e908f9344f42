//! `run.toml`: what a run was made of.

use super::checkpoint::RunFolder;
use super::error::TrainError;
use super::recipe::Recipe;
use serde::{Deserialize, Serialize};
use std::process::Command;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunNote {
    pub version: String,
    /// What the checkout that the program was built in is at when training starts, `+` when files differ from it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    pub device: String,
    pub data_sha256: String,
    /// Name of the file that training started from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub init: Option<String>,
    pub recipe: Recipe,
}

impl RunNote {
    pub fn new(recipe: &Recipe, data_sha256: &str, device: &str, init: Option<String>) -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION").into(),
            commit: commit(),
            device: device.into(),
            data_sha256: data_sha256.into(),
            init,
            recipe: recipe.clone(),
        }
    }

    pub fn read(folder: &RunFolder) -> Result<Self, TrainError> {
        let path = folder.note();
        let text = std::fs::read_to_string(&path).map_err(|e| TrainError::file(&path, e))?;
        toml::from_str(&text).map_err(|e| TrainError::file(&path, e))
    }
}

/// `None` where there is no checkout or no git.
fn commit() -> Option<String> {
    let git = |args: &[&str]| -> Option<String> {
        let output = Command::new("git").arg("-C").arg(env!("CARGO_MANIFEST_DIR")).args(args).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_string())
    };
    let head = git(&["rev-parse", "--short=12", "HEAD"])?;
    let changed = git(&["status", "--porcelain", "--untracked-files=no"]).is_some_and(|changes| !changes.is_empty());
    Some(if changed { format!("{head}+") } else { head })
}

//! What a run needs to go on as if it had never stopped.

use super::error::TrainError;
use crate::domain::card::Epoch;
use candle_core::Device;
use lesionlens_nn::exec::Parameters;
use lesionlens_nn::weights::{self, Precision};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Where a run stands.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Position {
    pub phase: usize,
    /// Epoch within the phase.
    pub epoch: usize,
    /// Steps done within the epoch.
    pub step: usize,
    /// Steps of the optimiser since the start.
    pub optimiser_step: usize,
    /// Sum of the losses of the epoch's steps so far.
    pub loss_sum: f64,
    /// Best validation figure so far.
    pub best: Option<f64>,
    pub history: Vec<Epoch>,
    /// Of the recipe and the data, to refuse continuing with others.
    pub recipe_hash: String,
    pub data_hash: String,
}

/// Files of a run's folder.
pub struct RunFolder(pub PathBuf);

impl RunFolder {
    pub fn position(&self) -> PathBuf {
        self.0.join("checkpoint.toml")
    }

    /// Named after the position it belongs to, so that the two can never be mixed up.
    fn tensors(&self, position: &Position) -> PathBuf {
        let Position { phase, epoch, step, .. } = position;
        self.0.join(format!("checkpoint-{phase}-{epoch}-{step}.safetensors"))
    }

    /// Weights that a finished run leaves.
    pub fn weights(&self) -> PathBuf {
        self.0.join("model.safetensors")
    }

    /// Card that a finished run leaves.
    pub fn card(&self) -> PathBuf {
        self.0.join("card.toml")
    }

    /// What the run was made of.
    pub fn note(&self) -> PathBuf {
        self.0.join("run.toml")
    }

    pub fn history(&self) -> PathBuf {
        self.0.join("history.csv")
    }

    fn best(&self) -> PathBuf {
        self.0.join("best.safetensors")
    }

    /// Tensors first, then the position that names them, then the old tensors go: whenever it is killed, a whole checkpoint is
    /// left.
    pub fn save(&self, position: &Position, tensors: &Parameters) -> Result<(), TrainError> {
        let kept = self.tensors(position);
        write_atomically(&kept, &weights::write(tensors, Precision::F32, None)?)?;
        let text = toml::to_string(position).map_err(|e| TrainError::file(&self.position(), e))?;
        write_atomically(&self.position(), text.as_bytes())?;
        let files = std::fs::read_dir(&self.0).map_err(|e| TrainError::file(&self.0, e))?;
        for path in files.flatten().map(|entry| entry.path()).filter(|path| *path != kept) {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if name.starts_with("checkpoint-") && name.ends_with(".safetensors") {
                // An old checkpoint that cannot be removed only takes space.
                std::fs::remove_file(path).ok();
            }
        }
        Ok(())
    }

    /// The last checkpoint; an error names the file that is missing or damaged.
    pub fn load(&self) -> Result<(Position, Parameters), TrainError> {
        let path = self.position();
        let text = std::fs::read_to_string(&path).map_err(|e| TrainError::file(&path, e))?;
        let position: Position = toml::from_str(&text).map_err(|e| TrainError::file(&path, e))?;
        let tensors = read(&self.tensors(&position))?;
        Ok((position, tensors))
    }

    pub fn save_best(&self, parameters: &Parameters) -> Result<(), TrainError> {
        write_atomically(&self.best(), &weights::write(parameters, Precision::F32, None)?)
    }

    pub fn load_best(&self) -> Result<Parameters, TrainError> {
        read(&self.best())
    }
}

fn read(path: &Path) -> Result<Parameters, TrainError> {
    let bytes = std::fs::read(path).map_err(|e| TrainError::file(path, e))?;
    Ok(weights::read(&bytes, &Device::Cpu)?)
}

pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<(), TrainError> {
    crate::files::write_atomically(path, bytes).map_err(|e| TrainError::file(path, e))
}

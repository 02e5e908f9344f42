//! Does a network answer as its reference did?

use super::model::{Model, ModelError};
use candle_core::{DType, Device, Tensor};
use lesionlens_nn::weights;
use std::path::{Path, PathBuf};

#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    #[error("{path}: {problem}")]
    Reference { path: PathBuf, problem: String },
    #[error(transparent)]
    Model(#[from] ModelError),
}

/// Runs `input` [N, H, W, C] of a safetensors file through the bare network and returns the largest absolute difference from
/// `output`. The reference may hold the scores before a sigmoid or softmax that the import added.
pub fn largest_difference(model: &Model, reference: &Path) -> Result<f64, VerifyError> {
    let bad = |problem: String| VerifyError::Reference { path: reference.to_path_buf(), problem };
    let bytes = std::fs::read(reference).map_err(|e| bad(e.to_string()))?;
    let tensors = weights::read(&bytes, &Device::Cpu).map_err(|e| bad(e.to_string()))?;
    let get = |name: &str| tensors.get(name).ok_or_else(|| bad(format!("has no tensor `{name}`")));
    let (input, wanted) = (get("input")?, get("output")?);
    let card = model.card();
    let example = [card.input.side, card.input.side, card.input.channels];
    if input.rank() != 4 || input.dims()[1..] != example {
        return Err(bad(format!("`input` is {:?}, the model takes [N, {example:?}]", input.dims())));
    }
    let found = model.bare_output(input)?;
    if found.elem_count() != wanted.elem_count() {
        return Err(bad(format!("`output` is {:?}, the model gives {:?}", wanted.dims(), found.dims())));
    }
    let largest = |wanted: &Tensor| -> candle_core::Result<f64> {
        let found = found.to_device(&Device::Cpu)?.flatten_all()?.to_dtype(DType::F64)?;
        let differences = (found - wanted.flatten_all()?)?.abs()?.to_vec1::<f64>()?;
        // A NaN must not be lost in a comparison.
        Ok(differences.into_iter().fold(0.0, |worst, d| if d.is_nan() || d > worst { d } else { worst }))
    };
    let compare = || -> candle_core::Result<f64> {
        let wanted = wanted.to_dtype(DType::F64)?;
        let (plain, closed) = (largest(&wanted)?, largest(&closed(&wanted)?)?);
        Ok(if closed < plain { closed } else { plain })
    };
    compare().map_err(|e| bad(e.to_string()))
}

/// Scores [N, …, classes] as probabilities: by a sigmoid for one class, by a softmax for several.
fn closed(scores: &Tensor) -> candle_core::Result<Tensor> {
    match scores.dims().last() {
        Some(1) | None => (scores.neg()?.exp()? + 1.0)?.recip(),
        Some(_) => candle_nn::ops::softmax(scores, candle_core::D::Minus1),
    }
}

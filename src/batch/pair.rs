//! Which models are asked, and from which thresholds on.

use crate::domain::card::Task;
use crate::models::model::{ModelError, task_name};
use crate::models::registry::Registry;

/// What a user asks for. `None` stands for the default, the id `none` for no model.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wishes<'a> {
    pub classifier: Option<&'a str>,
    pub segmenter: Option<&'a str>,
    /// Probability in 0–1 from which a slice counts as positive.
    pub threshold: Option<f64>,
    /// Probability in 0–1 from which a pixel belongs to the mask.
    pub mask_threshold: Option<f64>,
}

/// A model with the threshold it is asked at.
#[derive(Debug, Clone, PartialEq)]
pub struct Chosen {
    pub id: String,
    pub threshold: f64,
}

/// The cascade; at least one of the two is there.
#[derive(Debug, Clone, PartialEq)]
pub struct Pair {
    pub classifier: Option<Chosen>,
    pub segmenter: Option<Chosen>,
}

/// Why models cannot be asked.
#[derive(Debug, thiserror::Error)]
pub enum PairError {
    #[error(transparent)]
    Model(#[from] ModelError),
    #[error("`{id}` answers with {task}; it cannot be the --{role}")]
    Task { id: String, task: &'static str, role: &'static str },
    #[error("without a classifier and a segmenter there is nothing to ask; choose at least one")]
    Nothing,
}

impl Pair {
    /// The models wished for, the default pair without a wish.
    ///
    /// # Errors
    /// If a model is not there or answers something else, or there is none at all.
    pub fn choose(registry: &Registry, wishes: Wishes) -> Result<Self, PairError> {
        let (classifier, segmenter) = registry.default_pair();
        let pair = Pair {
            classifier: chosen(registry, wishes.classifier, classifier, wishes.threshold, false)?,
            segmenter: chosen(registry, wishes.segmenter, segmenter, wishes.mask_threshold, true)?,
        };
        if pair.classifier.is_none() && pair.segmenter.is_none() {
            return Err(PairError::Nothing);
        }
        Ok(pair)
    }
}

fn chosen(
    registry: &Registry,
    wanted: Option<&str>,
    default: Option<String>,
    threshold: Option<f64>,
    segments: bool,
) -> Result<Option<Chosen>, PairError> {
    let id = match wanted {
        Some("none") => None,
        Some(id) => Some(id.to_string()),
        None => default,
    };
    let Some(id) = id else { return Ok(None) };
    let card = &registry.get(&id)?.card;
    if (card.task == Task::Segmentation) != segments {
        let role = if segments { "segmenter" } else { "classifier" };
        return Err(PairError::Task { id, task: task_name(card.task), role });
    }
    let threshold = threshold.unwrap_or(card.threshold.default);
    Ok(Some(Chosen { id, threshold }))
}

//! `GET /api/v0/models`: the cards of the models that can be asked.

use super::service::Service;
use crate::domain::card::Card;
use axum::Json;
use axum::extract::State;
use serde::Serialize;
use std::sync::Arc;

#[derive(Serialize)]
pub struct Listing {
    models: Vec<Listed>,
    /// The pair that is asked where a request names none.
    default: Pair,
}

#[derive(Serialize)]
struct Pair {
    classifier: Option<String>,
    segmenter: Option<String>,
}

/// What of a card a client needs to choose a model and to read its answers.
#[derive(Serialize)]
struct Listed {
    id: String,
    name: String,
    version: String,
    architecture: String,
    /// `binary`, `multiclass` or `segmentation`.
    task: crate::domain::card::Task,
    classes: Vec<String>,
    /// Threshold where a request names none.
    threshold: f64,
    /// Side of the network's square input in pixels.
    side: usize,
    channels: usize,
    /// What the model was made for.
    modality: String,
    calibrated: bool,
    sha256: String,
    licence: String,
    intended_use: String,
    limits: String,
}

impl From<&Card> for Listed {
    fn from(card: &Card) -> Self {
        Self {
            id: card.id.clone(),
            name: card.name.clone(),
            version: card.version.clone(),
            architecture: card.architecture.clone(),
            task: card.task,
            classes: card.classes.clone(),
            threshold: card.threshold.default,
            side: card.input.side,
            channels: card.input.channels,
            modality: card.input.modality.clone(),
            calibrated: card.is_calibrated(),
            sha256: card.sha256.clone(),
            licence: card.licence.clone(),
            intended_use: card.intended_use.clone(),
            limits: card.limits.clone(),
        }
    }
}

pub async fn list(State(service): State<Arc<Service>>) -> Json<Listing> {
    let (classifier, segmenter) = service.registry.default_pair();
    let models = service.registry.entries().map(|entry| Listed::from(&entry.card)).collect();
    Json(Listing { models, default: Pair { classifier, segmenter } })
}

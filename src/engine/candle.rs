//! The engine that runs real models.

use super::{Answer, Engine, EngineError, Question, Watch, device};
use crate::domain::card::Surroundings;
use crate::domain::explanation::{Explanation, Inquiry, Method};
use crate::domain::prediction::Classification;
use crate::domain::study::Neighbourhood;
use crate::models::explaining::Explainer;
use crate::models::model::{Model, ModelError};
use crate::models::registry::Registry;
use candle_core::Device;
use std::collections::HashMap;
use std::sync::Arc;

pub struct CandleEngine {
    registry: Arc<Registry>,
    device: Device,
    models: HashMap<String, Model>,
    /// The explainer in use, with its model and the layer that was asked for.
    explainer: Option<(String, Option<String>, Explainer)>,
}

impl CandleEngine {
    pub fn new(registry: Arc<Registry>, device: Device) -> Self {
        Self { registry, device, models: HashMap::new(), explainer: None }
    }

    /// The model, read and checked on first use.
    pub fn model(&mut self, id: &str) -> Result<&Model, ModelError> {
        if !self.models.contains_key(id) {
            let model = self.registry.load(id, &self.device)?;
            self.models.insert(id.to_string(), model);
        }
        self.models.get(id).ok_or_else(|| ModelError::Unknown { id: id.to_string(), known: Vec::new() })
    }
}

impl CandleEngine {
    /// The explainer of a model at a layer, read on first use. One is kept: a layer or model is changed seldom.
    fn explainer(&mut self, id: &str, layer: &Option<String>) -> Result<&Explainer, ModelError> {
        let current = self.explainer.take().filter(|(model, at, _)| model == id && at == layer);
        let explainer = match current {
            Some((.., explainer)) => explainer,
            None => Explainer::load(&self.registry.get(id)?.source, layer.as_deref())?,
        };
        Ok(&self.explainer.insert((id.to_string(), layer.clone(), explainer)).2)
    }
}

impl From<ModelError> for EngineError {
    fn from(error: ModelError) -> Self {
        if error.is_cancelled() { EngineError::Cancelled } else { EngineError::Failed(error.to_string()) }
    }
}

impl Engine for CandleEngine {
    fn device(&self) -> String {
        device::name(&self.device).to_string()
    }

    fn prepare(&mut self, model: &str) -> Result<(), EngineError> {
        Ok(self.model(model).map(|_| ())?)
    }

    fn surroundings(&mut self, model: &str) -> Surroundings {
        Surroundings::of(self.registry.get(model).iter().map(|entry| &entry.card.input))
    }

    fn answer(
        &mut self,
        question: Question,
        model: &str,
        slices: &[Neighbourhood],
        cancelled: &(dyn Fn() -> bool + Sync),
    ) -> Result<Vec<Answer>, EngineError> {
        let model = self.model(model)?;
        let each = |band: &dyn Fn(&Neighbourhood) -> Result<Answer, ModelError>| {
            slices.iter().map(band).collect::<Result<Vec<Answer>, ModelError>>()
        };
        Ok(match question {
            Question::ProbabilityBand => {
                each(&|slice| model.probability_band(slice, cancelled).map(Answer::ProbabilityBand))?
            }
            Question::OutlineBand => each(&|slice| model.outline_band(slice, cancelled).map(Answer::OutlineBand))?,
            Question::Classify => {
                model.classify_all(slices, cancelled)?.into_iter().map(Answer::Classification).collect()
            }
            Question::Segment => model.segment_all(slices, cancelled)?.into_iter().map(Answer::Segmentation).collect(),
        })
    }

    fn explain(
        &mut self,
        model: &str,
        slice: &Neighbourhood,
        said: &Classification,
        inquiry: &Inquiry,
        watch: Watch,
    ) -> Result<Explanation, EngineError> {
        Ok(match inquiry.method {
            Method::GradCam => self.explainer(model, &inquiry.layer)?.explain(slice, said, watch.cancelled)?,
            Method::Occlusion => self.model(model)?.occlusion(slice, said, watch.progress, watch.cancelled)?,
        })
    }
}

//! The engine that runs real models.

use super::{Answer, Engine, EngineError, Question, device};
use crate::domain::card::Surroundings;
use crate::domain::study::Neighbourhood;
use crate::models::model::{Model, ModelError};
use crate::models::registry::Registry;
use candle_core::Device;
use std::collections::HashMap;
use std::sync::Arc;

pub struct CandleEngine {
    registry: Arc<Registry>,
    device: Device,
    models: HashMap<String, Model>,
}

impl CandleEngine {
    pub fn new(registry: Arc<Registry>, device: Device) -> Self {
        Self { registry, device, models: HashMap::new() }
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
}

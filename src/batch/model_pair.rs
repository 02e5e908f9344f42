//! The pair of models over slices: the segmenter is asked only where the classifier says yes.

use super::pair::{Chosen, Pair};
use crate::domain::band::SliceBand;
use crate::domain::card::{Card, Surroundings};
use crate::domain::cascade::Gate;
use crate::domain::explanation::{Explanation, Inquiry};
use crate::domain::input_gate::InputGate;
use crate::domain::prediction::{Classification, Segmentation, Thresholds};
use crate::domain::study::{FrameError, Neighbourhood, Place, Study};
use crate::engine::{Answer, Engine, EngineError, Question, Watch, answer_each};
use crate::models::model::ModelError;
use crate::models::registry::Registry;
use rayon::prelude::*;
use std::sync::Arc;
use std::time::Instant;

/// The models of a batch and the engine that runs them.
pub struct ModelPair {
    engine: Box<dyn Engine>,
    pair: Pair,
    /// Cards of the models, shared with the reports.
    pub cards: Arc<[Card]>,
    pub thresholds: Thresholds,
    manner: Manner,
}

/// How the models are asked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Manner {
    /// Segment whatever the classifier says.
    pub always_segment: bool,
    /// Answer about pictures that the models do not know, too.
    pub ignore_gate: bool,
    /// Ask how far answers move when pictures are changed a little.
    pub band: bool,
    /// Explain the classifier's answers, and how.
    pub explain: Option<Inquiry>,
}

/// Why models cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error(transparent)]
    Model(#[from] ModelError),
}

/// A slice with what the models answered.
pub struct AnsweredSlice {
    pub around: Neighbourhood,
    pub classification: Option<Classification>,
    pub segmentation: Option<Segmentation>,
    /// Whether the picture is one that the deciding model knows; `None` where nobody has measured that. Answers about others are
    /// withheld, unless they were asked for all the same.
    pub gate: Option<InputGate>,
    /// How far the answers move, where that was asked.
    pub band: SliceBand,
    /// Why the classifier answered as it did, where that was asked.
    pub explanation: Option<Explanation>,
    /// Why a model has no answer, for each that failed.
    pub failures: Vec<String>,
    /// Milliseconds for reading and decoding.
    pub load_ms: f64,
}

impl AnsweredSlice {
    fn unasked(around: Neighbourhood, load_ms: f64) -> Self {
        let (failures, band) = (Vec::new(), SliceBand::default());
        Self {
            around,
            classification: None,
            segmentation: None,
            gate: None,
            band,
            explanation: None,
            failures,
            load_ms,
        }
    }

    /// Notes what the input gate says of the slice. Says whether its answers count.
    fn judge(&mut self, gate: Option<InputGate>) -> bool {
        self.gate = gate;
        !self.gate.as_ref().is_some_and(InputGate::is_unlike)
    }

    /// Takes the answers back. Says that none is left.
    fn withhold(&mut self) -> bool {
        (self.classification, self.segmentation) = (None, None);
        false
    }
}

impl ModelPair {
    /// Loads the models.
    ///
    /// # Errors
    /// If a model cannot be used.
    pub fn load(
        pair: Pair,
        registry: &Registry,
        mut engine: Box<dyn Engine>,
        manner: Manner,
    ) -> Result<Self, LoadError> {
        let mut cards = Vec::new();
        for chosen in pair.classifier.iter().chain(&pair.segmenter) {
            engine.prepare(&chosen.id)?;
            cards.push(registry.get(&chosen.id)?.card.clone());
        }
        let threshold = |chosen: &Option<Chosen>| chosen.as_ref().map_or(0.5, |c| c.threshold);
        let thresholds =
            Thresholds { classifier: threshold(&pair.classifier), mask: threshold(&pair.segmenter) as f32 };
        Ok(Self { engine, pair, cards: cards.into(), thresholds, manner })
    }

    /// Whether a segmenter is in use.
    pub fn outlines(&self) -> bool {
        self.pair.segmenter.is_some()
    }

    /// The models and their thresholds.
    pub fn pair(&self) -> &Pair {
        &self.pair
    }

    /// Where the networks run.
    pub fn device(&self) -> String {
        self.engine.device()
    }

    /// Reads slices side by side and asks the models about them together. Gives one result for each place, in order.
    pub fn ask(&mut self, study: &Study, places: &[Place]) -> Vec<Result<AnsweredSlice, FrameError>> {
        let wanted = Surroundings::of(self.cards.iter().map(|card| &card.input));
        let read = |place: &Place| {
            let started = Instant::now();
            let around = study.picture(*place).among(wanted)?;
            let load_ms = started.elapsed().as_secs_f64() * 1e3;
            Ok(AnsweredSlice::unasked(around, load_ms))
        };
        let mut slices: Vec<Result<AnsweredSlice, FrameError>> = places.par_iter().map(read).collect();
        let mut readable: Vec<&mut AnsweredSlice> = slices.iter_mut().flatten().collect();
        let Manner { always_segment, ignore_gate, band, .. } = self.manner;
        let (threshold, has_classifier) = (self.thresholds.classifier, self.pair.classifier.is_some());
        self.ask_about(Question::Classify, &mut readable);
        readable.retain_mut(|slice| {
            let gate = slice.classification.as_ref().and_then(|c| c.gate.clone());
            slice.judge(gate) || ignore_gate || slice.withhold()
        });
        let gate = |slice: &AnsweredSlice| Gate::new(has_classifier, slice.classification.as_ref(), threshold);
        readable.retain(|slice| always_segment || gate(slice).is_open());
        self.ask_about(Question::Segment, &mut readable);
        for slice in readable.into_iter().filter(|slice| slice.gate.is_none()) {
            let gate = slice.segmentation.as_ref().and_then(|s| s.gate.clone());
            if !slice.judge(gate) && !ignore_gate {
                slice.withhold();
            }
        }
        if band {
            let answered = |question: Question, slice: &AnsweredSlice| match question {
                Question::OutlineBand => slice.segmentation.is_some(),
                _ => slice.classification.is_some(),
            };
            for question in [Question::ProbabilityBand, Question::OutlineBand] {
                let wavering = slices.iter_mut().flatten().filter(|slice| answered(question, slice));
                let mut wavering: Vec<&mut AnsweredSlice> = wavering.collect();
                self.ask_about(question, &mut wavering);
            }
        }
        self.explain(slices.iter_mut().flatten());
        slices
    }

    /// Explains the classifier's answers that are not withheld, where that was asked.
    fn explain<'a>(&mut self, slices: impl Iterator<Item = &'a mut AnsweredSlice>) {
        let (Some(inquiry), Some(Chosen { id, .. })) = (&self.manner.explain, &self.pair.classifier) else { return };
        let watch = Watch { progress: &|_, _| {}, cancelled: &|| false };
        for slice in slices {
            let Some(said) = &slice.classification else { continue };
            match self.engine.explain(id, &slice.around, said, inquiry, watch) {
                Ok(explanation) => slice.explanation = Some(explanation),
                Err(EngineError::Failed(why)) => slice.failures.push(why),
                Err(EngineError::Cancelled) => {}
            }
        }
    }

    fn ask_about(&mut self, question: Question, slices: &mut [&mut AnsweredSlice]) {
        let model = match question {
            Question::Classify | Question::ProbabilityBand => &self.pair.classifier,
            Question::Segment | Question::OutlineBand => &self.pair.segmenter,
        };
        let Some(Chosen { id, .. }) = model.as_ref().filter(|_| !slices.is_empty()) else { return };
        let inputs: Vec<Neighbourhood> = slices.iter().map(|slice| slice.around.clone()).collect();
        let answers = answer_each(self.engine.as_mut(), question, id, &inputs, &|| false);
        for (slice, answer) in slices.iter_mut().zip(answers) {
            match answer {
                Ok(Answer::Classification(c)) => slice.classification = Some(c),
                Ok(Answer::Segmentation(s)) => slice.segmentation = Some(s),
                Ok(Answer::ProbabilityBand(band)) => slice.band.probability = Some(band),
                Ok(Answer::OutlineBand(band)) => {
                    let threshold = self.thresholds.mask;
                    slice.band.area = Some([band.inner(threshold).area(), band.outer(threshold).area()]);
                }
                Err(EngineError::Failed(why)) => slice.failures.push(why),
                Err(EngineError::Cancelled) => {}
            }
        }
    }
}

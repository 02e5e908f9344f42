//! An engine for tests of the window: answers from the picture's brightness alone, at once or when let go.

use super::{Answer, Engine, EngineError, Question, Watch};
use crate::domain::band::{OutlineBand, ProbabilityBand};
use crate::domain::card::Resize;
use crate::domain::explanation::{Explanation, Inquiry, Method, on_square};
use crate::domain::prediction::{Answers, Classification, ModelRef, Segmentation};
use crate::domain::resample::Placement;
use crate::domain::slice::Slice;
use crate::domain::study::Neighbourhood;

/// Says "tumor" with the share of the brightest value in the picture; outlines pixels brighter than `MASK_GREY`.
#[derive(Default)]
pub struct MockEngine;

/// Grey value at which the mock's mask probability is ½.
pub const MASK_GREY: f32 = 160.0;

impl Engine for MockEngine {
    fn device(&self) -> String {
        "mock".into()
    }

    fn prepare(&mut self, _model: &str) -> Result<(), EngineError> {
        Ok(())
    }

    fn answer(
        &mut self,
        question: Question,
        model: &str,
        slices: &[Neighbourhood],
        cancelled: &(dyn Fn() -> bool + Sync),
    ) -> Result<Vec<Answer>, EngineError> {
        if cancelled() {
            return Err(EngineError::Cancelled);
        }
        let model = ModelRef { id: model.into(), sha256: "0".repeat(64) };
        Ok(slices.iter().map(|slice| self.answer_one(question, model.clone(), &slice.slice)).collect())
    }

    /// Bright places speak for it.
    fn explain(
        &mut self,
        _model: &str,
        slice: &Neighbourhood,
        said: &Classification,
        inquiry: &Inquiry,
        _watch: Watch,
    ) -> Result<Explanation, EngineError> {
        let slice = &slice.slice;
        let placement = Placement::new(slice.extent(), 64, Resize::Fit);
        let square = placement.place(&slice.grey(), slice.width(), slice.height());
        let layers = if inquiry.method == Method::GradCam { vec!["early".into(), "late".into()] } else { Vec::new() };
        Ok(Explanation {
            model: said.model.clone(),
            method: inquiry.method,
            layer: inquiry.layer.clone().or_else(|| layers.last().cloned()),
            layers,
            class: "tumor".into(),
            probability: said.finding(),
            square: on_square(&square, (64, 64), 64),
            placement,
            width: slice.width(),
            height: slice.height(),
        })
    }
}

impl MockEngine {
    fn answer_one(&self, question: Question, model: ModelRef, slice: &Slice) -> Answer {
        let grey = slice.grey();
        match question {
            Question::Classify => {
                let p = f64::from(grey.iter().copied().fold(0.0, f32::max)) / 256.0;
                let classes = vec![("tumor".into(), p), ("no_tumor".into(), 1.0 - p)];
                Answer::Classification(Classification {
                    model,
                    answers: Answers::YesOrNo,
                    classes,
                    calibrated: false,
                    sequence: None,
                    gate: None,
                    milliseconds: 1.0,
                })
            }
            Question::ProbabilityBand => Answer::ProbabilityBand(ProbabilityBand { lowest: 0.0, highest: 1.0 }),
            Question::OutlineBand => {
                let placement = Placement::new(slice.extent(), 64, Resize::Fit);
                let (lowest, highest) = (vec![0.0; 64 * 64], vec![1.0; 64 * 64]);
                let (width, height) = (slice.width(), slice.height());
                Answer::OutlineBand(OutlineBand { model, lowest, highest, placement, width, height })
            }
            Question::Segment => {
                let placement = Placement::new(slice.extent(), 64, Resize::Fit);
                let square = placement.place(&grey, slice.width(), slice.height());
                let square = square.into_iter().map(|v| (0.5 + (v - MASK_GREY) / 255.0).clamp(0.0, 1.0)).collect();
                let (width, height) = (slice.width(), slice.height());
                Answer::Segmentation(Segmentation {
                    model,
                    sequence: None,
                    gate: None,
                    square,
                    placement,
                    width,
                    height,
                    milliseconds: 1.0,
                })
            }
        }
    }
}

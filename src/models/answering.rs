//! What a model says of slices.

use super::model::{Model, ModelError, task_name};
use super::preprocess;
use super::variation::{VARIATIONS, Variation};
use crate::domain::band::{OutlineBand, ProbabilityBand};
use crate::domain::card::{InputSpec, Sequence, Task, is_normal_class};
use crate::domain::gate_statistics::Familiarity;
use crate::domain::input_gate::InputGate;
use crate::domain::prediction::{Answers, Classification, Segmentation};
use crate::domain::study::Neighbourhood;
use candle_core::{DType, Device, Tensor};
use lesionlens_nn::exec::ExecError;
use rayon::prelude::*;
use std::time::Instant;

/// How familiar each picture is; `None` where nobody has measured it.
pub(super) type Familiarities = Vec<Option<Familiarity>>;

/// A network's output for several slices, in their order.
struct Outputs {
    answers: Vec<Vec<f32>>,
    familiarities: Familiarities,
    /// Time in the network for each slice.
    milliseconds: f64,
}

impl Model {
    /// What the network says of each slice.
    fn run(&self, slices: &[Neighbourhood], cancelled: &(dyn Fn() -> bool + Sync)) -> Result<Outputs, ModelError> {
        let spec = &self.card.input;
        let inputs: Vec<Vec<f32>> = slices.par_iter().map(|slice| preprocess::network_input(slice, spec)).collect();
        let started = Instant::now();
        let inputs = inputs.concat();
        let mirrored = spec.mirrored.then(|| preprocess::mirrored(&inputs, spec.side, spec.channels));
        let (mut answers, familiarities) = self.infer(inputs, slices.len(), cancelled)?;
        if let Some(mirrored) = mirrored {
            let (others, _) = self.infer(mirrored, slices.len(), cancelled)?;
            let is_map = self.card.task == Task::Segmentation;
            for (answer, other) in answers.iter_mut().zip(others) {
                let back =
                    if is_map { preprocess::mirrored(&other, spec.side, self.card.classes.len()) } else { other };
                answer.iter_mut().zip(back).for_each(|(answer, back)| *answer = (*answer + back) / 2.0);
            }
        }
        let milliseconds = started.elapsed().as_secs_f64() * 1e3 / slices.len().max(1) as f64;
        Ok(Outputs { answers, familiarities, milliseconds })
    }

    /// The network's bare output for each of a batch of `count` inputs, and how familiar each is.
    pub(super) fn infer(
        &self,
        inputs: Vec<f32>,
        count: usize,
        cancelled: &(dyn Fn() -> bool + Sync),
    ) -> Result<(Vec<Vec<f32>>, Familiarities), ModelError> {
        let failed = |reason: ExecError| ModelError::Run { id: self.card.id.clone(), reason };
        let InputSpec { side, channels, .. } = self.card.input;
        let x = Tensor::from_vec(inputs, (count, side, side, channels), &Device::Cpu).map_err(|e| failed(e.into()))?;
        let y = self.network.infer(&x, cancelled).map_err(failed)?;
        let values =
            y.flatten_all().and_then(|t| t.to_dtype(DType::F32)?.to_vec1::<f32>()).map_err(|e| failed(e.into()))?;
        if values.iter().any(|v| !v.is_finite()) {
            return Err(self.silent());
        }
        let gate = self.card.input_gate.as_ref();
        let each = values.len() / count.max(1);
        let answer = each.saturating_sub(gate.map_or(0, |gate| gate.mean.len()));
        let split = |output: &[f32]| {
            let (own, features) = output.split_at(answer);
            let familiarity =
                gate.and_then(|gate| Some(Familiarity { score: gate.score(features)?, threshold: gate.threshold }));
            (own.to_vec(), familiarity)
        };
        Ok(values.chunks_exact(each.max(1)).map(split).unzip())
    }

    /// Output of the bare network for a batch [N, side, side, channels], without preprocessing, mirroring and calibration: [N, outputs]
    /// for classes, [N, side, side, 1] for a mask.
    ///
    /// # Errors
    /// If the batch has another shape or the network fails.
    pub fn bare_output(&self, input: &Tensor) -> Result<Tensor, ModelError> {
        let failed = |reason: ExecError| ModelError::Run { id: self.card.id.clone(), reason };
        let output = self.network.infer(input, &|| false).map_err(failed)?;
        let Some(gate) = &self.card.input_gate else { return Ok(output) };
        let own = || {
            let (count, each) = output.dims2()?;
            let answer = output.narrow(1, 0, each - gate.mean.len())?;
            let side = self.card.input.side;
            if self.card.task == Task::Segmentation { answer.reshape((count, side, side, ())) } else { Ok(answer) }
        };
        own().map_err(|e| failed(e.into()))
    }

    fn expect(&self, fits: bool, wanted: &'static str) -> Result<(), ModelError> {
        let (id, task) = (self.card.id.clone(), task_name(self.card.task));
        if fits { Ok(()) } else { Err(ModelError::Task { id, task, wanted }) }
    }

    /// Class probabilities of a slice, alone or among those beside it.
    pub fn classify(
        &self,
        slice: impl Into<Neighbourhood>,
        cancelled: &(dyn Fn() -> bool + Sync),
    ) -> Result<Classification, ModelError> {
        self.classify_all(&[slice.into()], cancelled)?.pop().ok_or_else(|| self.silent())
    }

    /// As [`Self::classify`] for several slices at once, which is faster than one by one.
    pub fn classify_all(
        &self,
        slices: &[Neighbourhood],
        cancelled: &(dyn Fn() -> bool + Sync),
    ) -> Result<Vec<Classification>, ModelError> {
        self.expect(self.card.task != Task::Segmentation, "a classifier")?;
        let Outputs { answers, familiarities, milliseconds } = self.run(slices, cancelled)?;
        let answers = answers.iter().zip(familiarities).zip(slices);
        Ok(answers
            .map(|((values, familiarity), seen)| self.classification(values, seen, familiarity, milliseconds))
            .collect())
    }

    /// A classifier's output in words; `milliseconds` is the time that it took.
    fn classification(
        &self,
        values: &[f32],
        seen: &Neighbourhood,
        familiarity: Option<Familiarity>,
        milliseconds: f64,
    ) -> Classification {
        let answers = if self.card.task == Task::Binary { Answers::YesOrNo } else { Answers::OneOf };
        let p: Vec<f64> = match (answers, values) {
            (Answers::YesOrNo, [p]) => vec![f64::from(*p), 1.0 - f64::from(*p)],
            _ => values.iter().map(|p| f64::from(*p)).collect(),
        };
        Classification {
            model: self.reference(),
            answers,
            classes: self.card.classes.iter().cloned().zip(self.calibrated(&p)).collect(),
            calibrated: self.card.is_calibrated(),
            sequence: self.sequence_of(seen),
            gate: self.judged(seen, familiarity),
            milliseconds,
        }
    }

    fn judged(&self, seen: &Neighbourhood, familiarity: Option<Familiarity>) -> Option<InputGate> {
        familiarity.map(|familiarity| InputGate::new(seen, &self.card, familiarity))
    }

    /// What the model is given of a picture of several sequences.
    fn sequence_of(&self, seen: &Neighbourhood) -> Option<Sequence> {
        seen.slice.is_coloured().then(|| self.card.input.sequence.given())
    }

    fn silent(&self) -> ModelError {
        ModelError::NotANumber { id: self.card.id.clone() }
    }

    /// A tumour probability per pixel of a slice, alone or among those beside it.
    pub fn segment(
        &self,
        slice: impl Into<Neighbourhood>,
        cancelled: &(dyn Fn() -> bool + Sync),
    ) -> Result<Segmentation, ModelError> {
        self.segment_all(&[slice.into()], cancelled)?.pop().ok_or_else(|| self.silent())
    }

    /// As [`Self::segment`] for several slices at once.
    pub fn segment_all(
        &self,
        slices: &[Neighbourhood],
        cancelled: &(dyn Fn() -> bool + Sync),
    ) -> Result<Vec<Segmentation>, ModelError> {
        self.expect(self.card.task == Task::Segmentation, "a segmenter")?;
        let Outputs { answers, familiarities, milliseconds } = self.run(slices, cancelled)?;
        let segmentation =
            |((maps, familiarity), seen): ((Vec<f32>, Option<Familiarity>), &Neighbourhood)| Segmentation {
                model: self.reference(),
                sequence: self.sequence_of(seen),
                gate: self.judged(seen, familiarity),
                square: self.finding(maps),
                placement: preprocess::placement(&seen.slice, &self.card.input),
                width: seen.slice.width(),
                height: seen.slice.height(),
                milliseconds,
            };
        Ok(answers.into_iter().zip(familiarities).zip(slices).map(segmentation).collect())
    }

    /// How far the classifier's answer about a slice moves when the picture is changed a little.
    ///
    /// # Errors
    /// As [`Self::classify`].
    pub fn probability_band(
        &self,
        seen: &Neighbourhood,
        cancelled: &(dyn Fn() -> bool + Sync),
    ) -> Result<ProbabilityBand, ModelError> {
        self.expect(self.card.task != Task::Segmentation, "a classifier")?;
        let own = self.classify(seen.clone(), cancelled)?;
        let changed = self.varied(seen, cancelled)?;
        let changed: Vec<Classification> =
            changed.iter().map(|values| self.classification(values, seen, None, 0.0)).collect();
        Ok(ProbabilityBand::of(&own, &changed))
    }

    /// How far the outline in a slice moves when the picture is changed a little.
    ///
    /// # Errors
    /// As [`Self::segment`].
    pub fn outline_band(
        &self,
        seen: &Neighbourhood,
        cancelled: &(dyn Fn() -> bool + Sync),
    ) -> Result<OutlineBand, ModelError> {
        let own = self.segment(seen.clone(), cancelled)?;
        let (mut lowest, mut highest) = (own.square.clone(), own.square.clone());
        for (variation, map) in VARIATIONS.iter().zip(self.varied(seen, cancelled)?) {
            let back = variation.undo(&self.finding(map), own.placement.side, &own.square);
            lowest.iter_mut().zip(&back).for_each(|(low, p)| *low = low.min(*p));
            highest.iter_mut().zip(&back).for_each(|(high, p)| *high = high.max(*p));
        }
        let Segmentation { model, placement, width, height, .. } = own;
        Ok(OutlineBand { model, lowest, highest, placement, width, height })
    }

    /// The network's bare output for each of the [`VARIATIONS`] of a slice.
    fn varied(&self, seen: &Neighbourhood, cancelled: &(dyn Fn() -> bool + Sync)) -> Result<Vec<Vec<f32>>, ModelError> {
        let spec = &self.card.input;
        let squares = preprocess::squares(seen, spec);
        let input = |variation: &Variation| preprocess::input_of(&variation.of(&squares, spec.side), spec);
        let inputs: Vec<Vec<f32>> = VARIATIONS.par_iter().map(input).collect();
        Ok(self.infer(inputs.concat(), VARIATIONS.len(), cancelled)?.0)
    }

    /// Probability of any finding at each pixel of maps of the card's classes: what the background leaves, or the largest where no
    /// class is the background.
    fn finding(&self, maps: Vec<f32>) -> Vec<f32> {
        let classes = &self.card.classes;
        if classes.len() == 1 {
            return maps;
        }
        let background = classes.iter().position(|class| is_normal_class(class));
        let of_pixel = |pixel: &[f32]| match background {
            Some(background) => 1.0 - pixel[background],
            None => pixel.iter().copied().fold(0.0, f32::max),
        };
        maps.chunks_exact(classes.len()).map(of_pixel).collect()
    }

    /// Temperature scaling (Guo et al. 2017) of probabilities that sum to one: logits divided by the card's temperature T are
    /// powers p^(1/T), summing to one again. A card without calibration changes nothing.
    fn calibrated(&self, p: &[f64]) -> Vec<f64> {
        let Some(calibration) = self.card.calibration else { return p.to_vec() };
        let powers: Vec<f64> = p.iter().map(|p| p.max(1e-12).powf(1.0 / calibration.temperature)).collect();
        let total: f64 = powers.iter().sum();
        powers.into_iter().map(|power| power / total).collect()
    }
}

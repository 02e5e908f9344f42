//! Why a classifier answered as it did, by Grad-CAM.

use super::model::{ModelError, Source, read_card, read_graph};
use super::preprocess;
use crate::domain::card::{Card, Task};
use crate::domain::explanation::{Explanation, Method, on_square};
use crate::domain::prediction::{Classification, ModelRef};
use crate::domain::study::Neighbourhood;
use lesionlens_nn::exec::ExecError;
use lesionlens_nn::grad_cam::{GradCam, GradCamError};
use lesionlens_nn::plan::isa::Isa;

/// A classifier whose answers are explained at one of its layers.
pub struct Explainer {
    card: Card,
    cam: GradCam,
    layer: String,
    layers: Vec<String>,
}

impl Explainer {
    /// Reads the model. Its last map before pooling is looked at where no `layer` is named.
    ///
    /// # Errors
    /// If the model cannot be read, is no graph, is no classifier, or has no such map.
    pub fn load(source: &Source, layer: Option<&str>) -> Result<Self, ModelError> {
        let card = read_card(source)?;
        if card.task == Task::Segmentation {
            return Err(ModelError::Task { id: card.id, task: "a mask", wanted: "a classifier" });
        }
        let found = read_graph(source, &card)?;
        let (graph, parameters) = found.ok_or_else(|| ModelError::NotExplained { id: card.id.clone() })?;
        let offered = graph.explainable();
        let layers: Vec<String> = offered.iter().map(|id| graph.node(*id).name.clone()).collect();
        let id = match layer {
            Some(name) => graph.explainable_map(name).ok_or_else(|| ModelError::NoLayer {
                id: card.id.clone(),
                layer: name.into(),
                known: layers.clone(),
            })?,
            None => *offered.last().ok_or_else(|| ModelError::NoMap { id: card.id.clone() })?,
        };
        let isa = Isa::forced().unwrap_or_else(Isa::exact);
        let name = graph.node(id).name.clone();
        let cam = GradCam::new(&graph, parameters, id, isa).map_err(|error| failed(&card, error))?;
        Ok(Self { card, cam, layer: name, layers })
    }

    /// Explains what the model `said` of a slice: its first class for yes or no, else the class that decides.
    ///
    /// # Errors
    /// When cancelled, or when the network fails.
    pub fn explain(
        &self,
        seen: &Neighbourhood,
        said: &Classification,
        cancelled: &(dyn Fn() -> bool + Sync),
    ) -> Result<Explanation, ModelError> {
        let (spec, class) = (&self.card.input, said.deciding());
        let mut inputs = preprocess::network_input(seen, spec);
        if spec.mirrored {
            let mirrored = preprocess::mirrored(&inputs, spec.side, spec.channels);
            inputs.extend(mirrored);
        }
        let heats = self.cam.heat(&inputs, class, cancelled).map_err(|error| failed(&self.card, error))?;
        let mut sum = Vec::new();
        let mut size = (0, 0);
        for (index, heat) in heats.into_iter().enumerate() {
            size = (heat.rows, heat.columns);
            // The answer is the mean over the picture and its mirror image, and so is what speaks for it.
            let own = if index == 0 { heat.values } else { preprocess::mirrored(&heat.values, heat.columns, 1) };
            if sum.is_empty() {
                sum = own;
            } else {
                sum.iter_mut().zip(own).for_each(|(sum, v)| *sum += v);
            }
        }
        if sum.iter().any(|v| !v.is_finite()) {
            return Err(ModelError::NotANumber { id: self.card.id.clone() });
        }
        let square = on_square(&sum, size, spec.side);
        let layer = Some(self.layer.clone());
        Ok(explanation(&self.card, seen, said, square, (Method::GradCam, layer, self.layers.clone())))
    }
}

/// The explanation of what a model said, from values on its square.
pub(super) fn explanation(
    card: &Card,
    seen: &Neighbourhood,
    said: &Classification,
    square: Vec<f32>,
    (method, layer, layers): (Method, Option<String>, Vec<String>),
) -> Explanation {
    let (class, probability) = said.classes.get(said.deciding()).cloned().unwrap_or_default();
    Explanation {
        model: ModelRef { id: card.id.clone(), sha256: card.sha256.clone() },
        method,
        layer,
        layers,
        class,
        probability,
        square,
        placement: preprocess::placement(&seen.slice, &card.input),
        width: seen.slice.width(),
        height: seen.slice.height(),
    }
}

fn failed(card: &Card, error: GradCamError) -> ModelError {
    match error {
        GradCamError::Exec(reason) => ModelError::Run { id: card.id.clone(), reason },
        other => {
            let reason = ExecError::Tensor(candle_core::Error::Msg(other.to_string()));
            ModelError::Run { id: card.id.clone(), reason }
        }
    }
}

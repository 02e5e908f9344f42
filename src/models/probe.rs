//! What inner layers of a model see in a picture, on average over its places.

use super::model::{ModelError, Source, read_card, read_graph};
use super::preprocess::{self, Squares};
use crate::domain::card::InputSpec;
use candle_core::{DType, Device, Tensor};
use lesionlens_nn::exec::ExecError;
use lesionlens_nn::network::{Network, Runner};
use lesionlens_nn::plan::isa::Isa;
use rayon::prelude::*;

/// The part of a model that computes the means of some of its layers.
pub struct Probe {
    id: String,
    network: Network,
    input: InputSpec,
    /// Names of the layers, in the order of their means.
    pub layers: Vec<String>,
}

impl Probe {
    /// Reads the model and chooses its layers ([`lesionlens_nn::graph::Graph::landmarks`]).
    ///
    /// # Errors
    /// If the model cannot be read, or is no graph.
    pub fn new(source: &Source) -> Result<Self, ModelError> {
        let card = read_card(source)?;
        let found = read_graph(source, &card)?;
        let (graph, parameters) = found.ok_or_else(|| ModelError::NoGraph { id: card.id.clone() })?;
        let ids = graph.landmarks();
        let problem = |problem: String| ModelError::Card { place: source.place(), problem };
        let means = graph.means_of(&ids).map_err(|e| problem(e.to_string()))?;
        let runner = Runner::Cpu(Some(Isa::forced().unwrap_or_else(|| Isa::for_network(&graph))));
        let network = Network::new(&means, parameters, &runner).map_err(|e| problem(e.to_string()))?;
        let layers = ids.iter().map(|id| graph.node(*id).name.clone()).collect();
        Ok(Self { id: card.id, network, input: card.input, layers })
    }

    /// How pictures become the network's input.
    pub fn input(&self) -> &InputSpec {
        &self.input
    }

    /// Means of the layers' channels, a vector a picture.
    ///
    /// # Errors
    /// When the network fails, or gives values that are not numbers.
    pub fn means(&self, pictures: &[Squares]) -> Result<Vec<Vec<f32>>, ModelError> {
        let failed = |reason: ExecError| ModelError::Run { id: self.id.clone(), reason };
        let InputSpec { side, channels, .. } = self.input;
        let inputs: Vec<Vec<f32>> =
            pictures.par_iter().map(|squares| preprocess::input_of(squares, &self.input)).collect();
        let shape = (pictures.len(), side, side, channels);
        let x = Tensor::from_vec(inputs.concat(), shape, &Device::Cpu).map_err(|e| failed(e.into()))?;
        let y = self.network.infer(&x, &|| false).map_err(failed)?;
        let rows = y.to_dtype(DType::F32).and_then(|y| y.to_vec2::<f32>()).map_err(|e| failed(e.into()))?;
        if rows.iter().flatten().any(|v| !v.is_finite()) {
            return Err(ModelError::NotANumber { id: self.id.clone() });
        }
        Ok(rows)
    }
}

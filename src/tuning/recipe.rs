//! The recipe of a fine-tune: the model's own network and input, its encoder frozen, few and gentle steps.

use super::error::TuningError;
use crate::domain::card::{Card, CardText, Task};
use crate::train::loss::Loss;
use crate::train::optimiser::Rule;
use crate::train::recipe::{Augmentation, Layout, Phase, Recipe, Sampling, Source, Split};
use crate::train::schedule::Schedule;
use lesionlens_nn::graph::{Graph, Op};
use lesionlens_nn::weights::Precision;
use lesionlens_nn::zoo::Architecture;
use std::path::PathBuf;

/// Index of the corrections among the recipe's sources, and of earlier data.
pub const CORRECTIONS: usize = 0;
pub const REHEARSAL: usize = 1;

/// Examples in a batch. Small, since there are few.
const BATCH: usize = 4;
/// Highest learning rate.
const RATE: f64 = 1e-3;

/// A folder of labelled slices, by its absolute path.
#[derive(Debug, Clone)]
pub struct Data {
    pub folder: PathBuf,
    pub layout: Layout,
}

/// The network of a model's card, for the side of its input.
///
/// # Errors
/// If it is no segmenter with one class, or no network that can be trained here.
pub fn network(card: &Card) -> Result<(Architecture, Graph), TuningError> {
    if card.task != Task::Segmentation {
        return Err(TuningError::NotASegmenter(card.id.clone()));
    }
    let architecture = Architecture::ALL.into_iter().find(|a| a.id() == card.architecture);
    let own = || TuningError::NotTrainable(card.id.clone());
    let architecture = architecture.filter(|_| card.classes.len() == 1).ok_or_else(own)?;
    let mut format = architecture.native();
    (format.side, format.channels, format.outputs) = (card.input.side, card.input.channels, 1);
    let graph = architecture.with(format).map_err(crate::train::error::TrainError::from)?;
    Ok((architecture, graph))
}

/// Layers with weights that no map which was made larger reaches: the encoder of a U-shaped network.
pub fn encoder(graph: &Graph) -> Vec<String> {
    let mut enlarged = vec![false; graph.nodes().len()];
    for id in graph.ids() {
        let node = graph.node(id);
        let grows = matches!(
            node.op,
            Op::Upsample { .. } | Op::Resize { .. } | Op::ConvTranspose { .. } | Op::DepthToSpace { .. }
        );
        enlarged[id.index()] = grows || node.inputs.iter().any(|input| enlarged[input.index()]);
    }
    let mut names: Vec<String> = Vec::new();
    for parameter in graph.parameters() {
        let name = &graph.node(parameter.node).name;
        if !enlarged[parameter.node.index()] && names.last() != Some(name) {
            names.push(name.clone());
        }
    }
    names
}

/// The recipe that continues the training of a model on corrections, and on earlier data where there are any.
///
/// # Errors
/// As [`network`].
pub fn recipe(card: &Card, corrections: Data, rehearsal: Option<Data>, epochs: usize) -> Result<Recipe, TuningError> {
    let (architecture, graph) = network(card)?;
    let source =
        |name: &str, Data { folder, layout }| Source { name: name.into(), folder, layout, ..Source::default() };
    let mut sources = vec![source("corrections", corrections)];
    sources.extend(rehearsal.map(|data| source("earlier data", data)));
    Ok(Recipe {
        id: card.id.clone(),
        architecture,
        task: Task::Segmentation,
        seed: 1,
        precision: Precision::F16,
        optimiser: Rule::AdamW,
        weight_decay: 1e-2,
        mixed_precision: false,
        ema: 0.95,
        loss: Loss::BceDice,
        deep_supervision: Vec::new(),
        input: card.input.clone(),
        split: Split { seed: 1, validation: 0.0, test: 0.0 },
        sampling: Sampling::default(),
        augment: Augmentation {
            flip: 0.5,
            rotate: 12.0,
            scale: 0.1,
            shift: 0.05,
            elastic: 0.01,
            gamma: 0.3,
            contrast: 0.2,
            brightness: 0.05,
            noise: 0.02,
            alone: 0.1,
            ..Augmentation::default()
        },
        sources,
        phases: vec![Phase {
            epochs,
            side: card.input.side,
            batch: BATCH,
            learning_rate: RATE,
            schedule: Schedule::OneCycle,
            freeze: encoder(&graph),
            patience: None,
        }],
        card: CardText {
            name: card.name.clone(),
            version: card.version.clone(),
            classes: card.classes.clone(),
            data: String::new(),
            licence: card.licence.clone(),
            intended_use: card.intended_use.clone(),
            limits: card.limits.clone(),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_encoder_ends_where_maps_are_made_larger() {
        let resunet = encoder(&Architecture::Resunet.graph(64).unwrap());
        assert!(["stem1.conv", "down3.main", "bottom.main_norm"].iter().all(|name| resunet.contains(&(*name).into())));
        assert!(!resunet.iter().any(|name| name.starts_with("up") || name == "logit"));
        let other = encoder(&Architecture::EfficientnetUnet.graph(64).unwrap());
        assert!(other.contains(&"_conv_stem".into()) && !other.contains(&"logit".into()));
    }
}

//! The tensors of a state dict by the names that the libraries give them.

use crate::exec::Parameters;
use candle_core::Tensor;
use std::collections::{BTreeMap, BTreeSet};

/// The first convolution of each known U-Net, whose kernel tells the channels of the pictures.
pub const FIRST_OF_UNETS: [&str; 5] =
    ["encoder1.enc1conv1", "inc.double_conv.0", "conv_0.conv_0.conv", "0.conv.unit0.conv", "0.conv"];

/// Modules that training code wraps a network in.
const WRAPPERS: [&str; 19] = [
    "module",
    "model",
    "net",
    "network",
    "backbone",
    "_orig_mod",
    "base_model",
    "base",
    "unet",
    "resnet",
    "resnet18",
    "resnet50",
    "efficientnet",
    "vgg",
    "densenet",
    "classifier_model",
    "feature_extractor",
    "student",
    "ema",
];

/// A dense layer of a head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeadLayer<'a> {
    pub name: &'a str,
    /// Whether the numbers of the layers leave room for a function behind it.
    pub is_active: bool,
}

/// Tensors by name.
#[derive(Debug, Clone)]
pub struct Dict(BTreeMap<String, Tensor>);

impl Dict {
    /// Names lose what every one of them begins with, when it is such a wrapper.
    pub fn new(tensors: Parameters) -> Self {
        // Nothing is made of empty ones, and a hostile side beside a zero says nothing of memory.
        let mut tensors: BTreeMap<String, Tensor> =
            tensors.into_iter().filter(|(_, t)| !t.dims().contains(&0)).collect();
        tensors.retain(|name, _| !is_of_training(name));
        while let Some(prefix) = shared_wrapper(&tensors) {
            tensors = tensors.into_iter().map(|(name, t)| (name[prefix.len()..].to_string(), t)).collect();
        }
        Self(tensors)
    }

    pub fn get(&self, name: &str) -> Option<&Tensor> {
        self.0.get(name)
    }

    pub fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// Sides of a tensor; empty when there is none.
    pub fn dims(&self, name: &str) -> &[usize] {
        self.0.get(name).map_or(&[], Tensor::dims)
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// How many blocks are numbered from 0 on, such that `name(i)` is there.
    pub fn count(&self, name: impl Fn(usize) -> String) -> usize {
        (0..).take_while(|i| self.has(&name(*i))).count()
    }

    /// The last dense layers in their order, wherever their owner put them: in the place of one of `modules`, alone or in a Sequential,
    /// or in one inside another.
    ///
    /// # Errors
    /// If there is none, or other layers with tensors stand between them.
    pub fn head<'a>(&'a self, modules: &[&str]) -> Result<Vec<HeadLayer<'a>>, String> {
        let mut found = modules.iter().map(|module| (*module, self.dense_layers(module)));
        let Some((module, found)) = found.find(|(_, layers)| !layers.is_empty()) else {
            return Err(format!("it has no head that classifies (no `{}.weight`)", modules[0]));
        };
        let numbers = |name: &str| -> Vec<usize> {
            let inner = name.strip_prefix(module).unwrap_or_default();
            inner.split('.').filter_map(|part| part.parse().ok()).collect()
        };
        let names = found.iter().map(|weight| weight.trim_end_matches(".weight"));
        let mut layers: Vec<(Vec<usize>, &'a str)> = names.map(|name| (numbers(name), name)).collect();
        layers.sort();
        let is_sequence = layers.windows(2).all(|pair| pair[0].0 < pair[1].0 && !pair[0].0.is_empty());
        if layers.len() > 1 && !is_sequence {
            let list: Vec<&str> = layers.iter().map(|(_, name)| *name).collect();
            return Err(format!(
                "its head has several layers (`{}`) whose order is not in the file",
                list.join("`, `")
            ));
        }
        let has_room = |place: usize| {
            let next = layers.get(place + 1);
            next.is_some_and(|(next, _)| next.iter().zip(&layers[place].0).any(|(next, own)| *next > own + 1))
        };
        let layer =
            |(place, (_, name)): (usize, &(Vec<usize>, &'a str))| HeadLayer { name, is_active: has_room(place) };
        Ok(layers.iter().enumerate().map(layer).collect())
    }

    /// What is wrong when only these tensors were taken.
    pub fn left_over<'a>(&'a self, used: &'a BTreeSet<String>) -> impl Iterator<Item = String> + 'a {
        self.names().filter(|name| !used.contains(*name)).map(|name| format!("`{name}` is not part of it"))
    }

    /// Weights of dense layers in the place of `module`: itself, or the layers of a Sequential that stands there.
    fn dense_layers(&self, module: &str) -> Vec<&str> {
        let is_dense = |name: &&str| {
            let inner = name.strip_prefix(module).and_then(|rest| rest.strip_suffix("weight"));
            inner.is_some_and(|inner| inner.starts_with('.')) && self.dims(name).len() == 2
        };
        self.names().filter(is_dense).collect()
    }

    /// Channels of the pictures, by the first convolution of the networks that may have one.
    pub fn channels(&self) -> usize {
        let first = [
            "conv1",
            "features.0",
            "features.0.0",
            "features.conv0",
            "conv1.0",
            "conv_stem",
            "stem.0",
            "encoder.conv1",
            "encoder._conv_stem",
        ];
        let found =
            first.iter().chain(&FIRST_OF_UNETS).find_map(|name| self.dims(&format!("{name}.weight")).get(1).copied());
        found.filter(|channels| *channels == 1).unwrap_or(3)
    }

    /// A few names, for a message.
    pub fn first_names(&self) -> String {
        let names: Vec<String> = self.names().take(4).map(|name| format!("`{name}`")).collect();
        names.join(", ")
    }

    pub fn into_tensors(self) -> Parameters {
        self.0.into_iter().collect()
    }
}

/// Weights of a loss and counters, which are in a checkpoint because its owner kept everything.
fn is_of_training(name: &str) -> bool {
    let plain = name.to_lowercase();
    let last = plain.rsplit('.').next().unwrap_or_default();
    let first = plain.split('.').next().unwrap_or_default();
    let named = ["criterion", "loss", "metric"].iter().any(|word| first.contains(word));
    named
        || ["pos_weight", "class_weight", "class_weights", "loss_weight", "n_averaged", "global_step", "step", "epoch"]
            .contains(&last)
}

/// `module.` when all names begin so.
fn shared_wrapper(tensors: &BTreeMap<String, Tensor>) -> Option<String> {
    let prefix = WRAPPERS.map(|wrapper| format!("{wrapper}."));
    prefix.into_iter().find(|prefix| !tensors.is_empty() && tensors.keys().all(|name| name.starts_with(prefix)))
}

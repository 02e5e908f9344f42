//! The tensors of a state dict by the names that the libraries give them.

use crate::exec::Parameters;
use candle_core::Tensor;
use std::collections::{BTreeMap, BTreeSet};

/// Modules that training code wraps a network in.
const WRAPPERS: [&str; 6] = ["module", "model", "net", "network", "backbone", "_orig_mod"];

/// Tensors by name.
#[derive(Debug, Clone)]
pub struct Dict(BTreeMap<String, Tensor>);

impl Dict {
    /// Names lose what every one of them begins with, when it is such a wrapper.
    pub fn new(tensors: Parameters) -> Self {
        // Nothing is made of empty ones, and a hostile side beside a zero says nothing of memory.
        let mut tensors: BTreeMap<String, Tensor> =
            tensors.into_iter().filter(|(_, t)| !t.dims().contains(&0)).collect();
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

    /// The last dense layer, wherever its owner put it: in the place of one of `modules`, alone or the only one of a Sequential.
    ///
    /// # Errors
    /// If there is none, or there are several, whose activations no tensor tells.
    pub fn head(&self, modules: &[&str]) -> Result<&str, String> {
        let found = modules.iter().map(|module| self.dense_layers(module)).find(|layers| !layers.is_empty());
        match found.as_deref() {
            Some([weight]) => Ok(weight.trim_end_matches(".weight")),
            Some(several) => {
                let list = several.join("`, `");
                Err(format!("its head has several layers (`{list}`), and what stands between them is not in the file"))
            }
            None => Err(format!("it has no head that classifies (no `{}.weight`)", modules[0])),
        }
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
        let first = ["conv1", "features.0", "features.0.0", "conv_stem", "stem.0"];
        let found = first.iter().find_map(|name| self.dims(&format!("{name}.weight")).get(1).copied());
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

/// `module.` when all names begin so.
fn shared_wrapper(tensors: &BTreeMap<String, Tensor>) -> Option<String> {
    let prefix = WRAPPERS.map(|wrapper| format!("{wrapper}."));
    prefix.into_iter().find(|prefix| !tensors.is_empty() && tensors.keys().all(|name| name.starts_with(prefix)))
}

//! Tensors of a state dict under the names that candle-transformers knows them by.

use super::TorchError;
use super::dict::{Dict, HeadLayer};
use crate::exec::Parameters;
use candle_core::{Result, Tensor};
use std::collections::BTreeSet;

/// Moves tensors to other names and notes what is missing or left over.
pub(super) struct Renaming<'a> {
    network: &'static str,
    dict: &'a Dict,
    out: Parameters,
    used: BTreeSet<String>,
    problems: Vec<String>,
}

impl<'a> Renaming<'a> {
    pub fn new(network: &'static str, dict: &'a Dict) -> Self {
        Self { network, dict, out: Parameters::new(), used: BTreeSet::new(), problems: Vec::new() }
    }

    pub fn problem(&mut self, problem: String) {
        self.problems.push(problem);
    }

    /// A tensor as it is.
    pub fn tensor(&mut self, from: &str, to: &str) {
        self.with(from, to, |tensor| Ok(tensor.clone()));
    }

    /// A tensor that is changed on the way.
    pub fn with(&mut self, from: &str, to: &str, change: impl Fn(&Tensor) -> Result<Tensor>) {
        self.used.insert(from.to_string());
        match self.dict.get(from).map(change) {
            Some(Ok(tensor)) => _ = self.out.insert(to.to_string(), tensor),
            Some(Err(problem)) => self.problems.push(format!("`{from}`: {problem}")),
            None => self.problems.push(format!("`{from}` is missing")),
        }
    }

    /// The weight and, where there is one, the bias of a layer.
    pub fn layer(&mut self, from: &str, to: &str) {
        self.tensor(&format!("{from}.weight"), &format!("{to}.weight"));
        if self.dict.has(&format!("{from}.bias")) {
            self.tensor(&format!("{from}.bias"), &format!("{to}.bias"));
        }
    }

    /// The only dense layer in the place of one of `modules`; returns how many classes it tells apart.
    pub fn head(&mut self, modules: &[&str], to: &str) -> usize {
        match self.dict.head(modules) {
            Ok(layers) => match layers.as_slice() {
                [HeadLayer { name, .. }] => {
                    self.layer(name, to);
                    self.dict.dims(&format!("{name}.weight"))[0]
                }
                several => {
                    let list: Vec<&str> = several.iter().map(|layer| layer.name).collect();
                    self.problems.push(format!("its head has several layers (`{}`)", list.join("`, `")));
                    1
                }
            },
            Err(problem) => {
                self.problems.push(problem);
                1
            }
        }
    }

    /// A tensor that is no part of what runs here, or was taken up by another.
    pub fn pass_over(&mut self, name: &str) {
        self.used.insert(name.to_string());
    }

    pub fn finish(mut self) -> std::result::Result<Parameters, TorchError> {
        self.problems.extend(self.dict.left_over(&self.used));
        if self.problems.is_empty() {
            Ok(self.out)
        } else {
            Err(TorchError::Mismatch { name: self.network, problems: self.problems })
        }
    }
}

//! The training loop. Every random choice is drawn from (seed, phase, epoch, position), never from shared state, so a run is
//! the same whatever the thread count and however often it is stopped and resumed.

use super::augment;
use super::checkpoint::{Position, RunFolder, write_atomically};
use super::dataset::{Dataset, Parts};
use super::error::TrainError;
use super::evaluate::{self, Evaluator};
use super::optimiser::AdamW;
use super::recipe::{Phase, Recipe};
use crate::domain::card::Task;
use crate::domain::metrics;
use crate::nn::exec::{Backend, Parameters, Pass, Training};
use crate::nn::graph::{Graph, Op, Role};
use crate::nn::ops::BatchStatistics;
use candle_core::{DType, Device, Tensor, Var};
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

/// One row of `history.csv`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EpochRecord {
    pub phase: usize,
    pub epoch: usize,
    pub side: usize,
    pub loss: f64,
    /// Mean Dice per validation patient, or AUC of a classifier.
    pub validation: f64,
}

/// Told what happens, for a progress bar.
pub trait Observer {
    fn step(&mut self, phase: usize, epoch: usize, step: usize, steps: usize, loss: f64);
    fn epoch(&mut self, record: &EpochRecord);
}

/// A run in progress.
pub struct Fit<'a> {
    recipe: &'a Recipe,
    data: &'a Dataset,
    parts: &'a Parts,
    device: &'a Device,
    folder: RunFolder,
    variables: BTreeMap<String, Var>,
    optimiser: AdamW,
    /// Running average of all parameters, statistics included.
    average: Parameters,
    position: Position,
}

impl<'a> Fit<'a> {
    /// A fresh run; `init` gives weights to start from instead of random ones.
    pub fn new(
        recipe: &'a Recipe,
        data: &'a Dataset,
        parts: &'a Parts,
        device: &'a Device,
        folder: RunFolder,
        init: Option<Parameters>,
    ) -> Result<Self, TrainError> {
        let graph = recipe.architecture.graph(recipe.input.side)?;
        let values = match init {
            Some(values) => values,
            None => initial(&graph, recipe.seed, device)?,
        };
        let position =
            Position { recipe_hash: recipe_hash(recipe), data_hash: data.sha256.clone(), ..Position::default() };
        let optimiser = AdamW::new(recipe.weight_decay);
        let variables = variables(&values)?;
        Ok(Self { recipe, data, parts, device, folder, variables, optimiser, average: values, position })
    }

    /// Continues the run in `folder`; recipe and data must be those it was started with.
    pub fn resume(
        recipe: &'a Recipe,
        data: &'a Dataset,
        parts: &'a Parts,
        device: &'a Device,
        folder: RunFolder,
    ) -> Result<Self, TrainError> {
        let (position, tensors) = folder.load()?;
        if position.recipe_hash != recipe_hash(recipe) || position.data_hash != data.sha256 {
            return Err(TrainError::file(&folder.position(), "was made with another recipe or other data"));
        }
        let part = |prefix: &str| -> Parameters {
            let named = |(name, t): (&String, &Tensor)| Some((name.strip_prefix(prefix)?.to_string(), t.clone()));
            tensors.iter().filter_map(named).collect()
        };
        let to_device = |p: Parameters| -> Result<Parameters, TrainError> {
            p.into_iter().map(|(name, t)| Ok((name, t.to_device(device)?))).collect()
        };
        let mut optimiser = AdamW::new(recipe.weight_decay);
        optimiser.step = position.optimiser_step;
        let mut second = to_device(part("second."))?;
        for (name, first) in to_device(part("first."))? {
            if let Some(second) = second.remove(&name) {
                optimiser.moments.insert(name, (first, second));
            }
        }
        let variables = variables(&to_device(part("value."))?)?;
        let average = to_device(part("average."))?;
        Ok(Self { recipe, data, parts, device, folder, variables, optimiser, average, position })
    }

    /// Trains to the end of the recipe and returns the best weights by validation, with the history.
    pub fn run(
        mut self,
        observer: &mut dyn Observer,
        stop: &AtomicBool,
    ) -> Result<(Parameters, Vec<EpochRecord>), TrainError> {
        while let Some(phase) = self.recipe.phases.get(self.position.phase).cloned() {
            let graph = self.recipe.architecture.graph(phase.side)?;
            while self.position.epoch < phase.epochs {
                self.epoch(&graph, &phase, observer, stop)?;
            }
            self.position.phase += 1;
            self.position.epoch = 0;
            self.save()?;
        }
        Ok((self.folder.load_best()?, self.position.history))
    }

    fn epoch(
        &mut self,
        graph: &Graph,
        phase: &Phase,
        observer: &mut dyn Observer,
        stop: &AtomicBool,
    ) -> Result<(), TrainError> {
        let order = self.order();
        // A last batch of one example has no batch statistics worth the name.
        let batches: Vec<&[usize]> = order.chunks(phase.batch).filter(|b| b.len() > 1).collect();
        while self.position.step < batches.len() {
            if stop.load(Ordering::Relaxed) {
                self.save()?;
                return Err(TrainError::Interrupted(self.folder.0.clone()));
            }
            let (step, total) =
                (self.position.epoch * batches.len() + self.position.step, phase.epochs * batches.len());
            let rate = phase.learning_rate * phase.schedule.share(step, total);
            let loss = self.step(graph, phase, batches[self.position.step], rate)?;
            self.position.loss_sum += loss;
            self.position.step += 1;
            observer.step(self.position.phase, self.position.epoch, self.position.step, batches.len(), loss);
        }
        let (validation, candidate) = self.candidate(graph)?;
        let record = EpochRecord {
            phase: self.position.phase,
            epoch: self.position.epoch,
            side: phase.side,
            loss: self.position.loss_sum / batches.len().max(1) as f64,
            validation,
        };
        observer.epoch(&record);
        self.position.history.push(record);
        // Only weights of the last picture size are candidates: figures of other sizes do not compare.
        let comparable = phase.side == self.recipe.input.side;
        if comparable && self.position.best.is_none_or(|best| validation > best) {
            self.position.best = Some(validation);
            self.folder.save_best(&candidate)?;
        }
        self.position.epoch += 1;
        self.position.step = 0;
        self.position.loss_sum = 0.0;
        self.save()
    }

    /// Generator for one purpose of one place in the run.
    fn rng(&self, purpose: u64, item: u64) -> ChaCha8Rng {
        let mut rng = ChaCha8Rng::seed_from_u64(self.recipe.seed ^ (purpose << 56));
        rng.set_stream(((self.position.phase as u64) << 52) | ((self.position.epoch as u64) << 36) | item);
        rng
    }

    /// This epoch's examples: all tumour slices and a fresh draw of the others, shuffled.
    fn order(&self) -> Vec<usize> {
        let mut rng = self.rng(1, 0);
        let (mut chosen, mut negatives): (Vec<usize>, Vec<usize>) =
            self.parts.train.iter().partition(|i| self.data.examples[**i].is_positive());
        negatives.shuffle(&mut rng);
        let wanted = (chosen.len() as f64 * self.recipe.sampling.negatives).round() as usize;
        chosen.extend(negatives.into_iter().take(wanted));
        chosen.shuffle(&mut rng);
        chosen
    }

    fn step(&mut self, graph: &Graph, phase: &Phase, items: &[usize], rate: f64) -> Result<f64, TrainError> {
        let first = (self.position.step * phase.batch) as u64;
        let pictures: Vec<augment::Varied> = items
            .par_iter()
            .enumerate()
            .map(|(i, item)| {
                let mut rng = self.rng(2, first + i as u64);
                augment::vary(&self.data.examples[*item], phase.side, &self.recipe.augment, &mut rng)
            })
            .collect();
        let positive: Vec<bool> = items.iter().map(|i| self.data.examples[*i].is_positive()).collect();
        let (x, target) = evaluate::batch(&pictures, &positive, &self.recipe.input, self.recipe.task, self.device)?;

        let mut dropout = self.rng(3, first);
        let mut uniform = |n: usize| (0..n).map(|_| dropout.random::<f32>()).collect();
        let parameters: Parameters =
            self.variables.iter().map(|(name, v)| (name.clone(), v.as_tensor().clone())).collect();
        let mut pass = Pass {
            graph,
            parameters: &parameters,
            backend: Backend::of(self.device),
            training: Some(Training { statistics: Vec::new(), uniform: &mut uniform }),
            cancelled: &|| false,
        };
        let logits = pass.run(&x, graph.logits())?;
        let statistics = pass.training.map(|t| t.statistics).unwrap_or_default();
        let loss = self.recipe.loss.of(&logits, &target)?;
        let value = loss.to_dtype(DType::F32)?.to_scalar::<f32>()?;
        if !value.is_finite() {
            let Position { epoch, step, .. } = self.position;
            return Err(TrainError::Diverged { value, epoch, step });
        }
        let grads = loss.backward()?;
        self.optimiser.step(&self.variables, &grads, rate)?;
        self.position.optimiser_step = self.optimiser.step;
        for (node, batch) in statistics {
            self.update_running(graph, node, &batch)?;
        }
        self.update_average()?;
        Ok(f64::from(value))
    }

    /// running = momentum · running + (1 − momentum) · batch, as Keras does, with the biased variance.
    fn update_running(
        &self,
        graph: &Graph,
        node: crate::nn::graph::NodeId,
        batch: &BatchStatistics,
    ) -> Result<(), TrainError> {
        let node = graph.node(node);
        let Op::BatchNorm { momentum, .. } = node.op else { return Ok(()) };
        for (role, values) in [(Role::RunningMean, &batch.mean), (Role::RunningVariance, &batch.variance)] {
            let Some(variable) = self.variables.get(&format!("{}.{}", node.name, role.suffix())) else { continue };
            let fresh = Tensor::new(values.as_slice(), self.device)?.to_dtype(variable.dtype())?;
            variable.set(&((variable.as_detached_tensor() * momentum)? + (fresh * (1.0 - momentum))?)?)?;
        }
        Ok(())
    }

    fn update_average(&mut self) -> Result<(), TrainError> {
        let t = self.optimiser.step as f64;
        // A young average forgets faster, else it would remember the random start.
        let decay = self.recipe.ema.min((1.0 + t) / (10.0 + t));
        for (name, variable) in &self.variables {
            let value = variable.as_detached_tensor();
            let averaged = match self.average.remove(name) {
                Some(old) if self.recipe.ema > 0.0 => ((old * decay)? + (value * (1.0 - decay))?)?,
                _ => value.copy()?,
            };
            self.average.insert(name.clone(), averaged);
        }
        Ok(())
    }

    /// The better of the running average and the weights as they are, by validation: in a short run the average lags behind.
    fn candidate(&self, graph: &Graph) -> Result<(f64, Parameters), TrainError> {
        let averaged = self.validate(graph, &self.average)?;
        let current: Parameters =
            self.variables.iter().map(|(name, v)| (name.clone(), v.as_detached_tensor())).collect();
        let last = if self.recipe.ema > 0.0 { self.validate(graph, &current)? } else { averaged };
        Ok(if last > averaged { (last, current) } else { (averaged, self.average.clone()) })
    }

    fn validate(&self, graph: &Graph, parameters: &Parameters) -> Result<f64, TrainError> {
        let examples: Vec<_> = self.parts.validation.iter().map(|i| &self.data.examples[*i]).collect();
        let Recipe { input, task, .. } = self.recipe;
        let evaluator = Evaluator { graph, parameters, spec: input, task: *task, device: self.device };
        let results = evaluator.run(&examples, |_| {})?;
        Ok(match task {
            Task::Segmentation => {
                let patients = evaluate::by_patient(&results);
                let dices: Vec<f64> = patients.iter().filter_map(|(_, s)| evaluate::patient_dice(s)).collect();
                metrics::mean(&dices).unwrap_or(0.0)
            }
            Task::Binary | Task::Multiclass => metrics::auc(&evaluate::scores(&results, 1.0)).unwrap_or(0.0),
        })
    }

    fn save(&self) -> Result<(), TrainError> {
        let mut tensors = Parameters::new();
        for (name, variable) in &self.variables {
            tensors.insert(format!("value.{name}"), variable.as_detached_tensor());
        }
        for (name, (first, second)) in &self.optimiser.moments {
            tensors.insert(format!("first.{name}"), first.clone());
            tensors.insert(format!("second.{name}"), second.clone());
        }
        for (name, average) in &self.average {
            tensors.insert(format!("average.{name}"), average.clone());
        }
        self.folder.save(&self.position, &tensors)?;
        let mut csv = csv::Writer::from_writer(Vec::new());
        let path = self.folder.0.join("history.csv");
        for record in &self.position.history {
            csv.serialize(record).map_err(|e| TrainError::file(&path, e))?;
        }
        write_atomically(&path, &csv.into_inner().map_err(|e| TrainError::file(&path, e))?)
    }
}

/// A short fingerprint of a recipe's content.
pub fn recipe_hash(recipe: &Recipe) -> String {
    format!("{:x}", Sha256::digest(format!("{recipe:?}")))
}

fn variables(values: &Parameters) -> Result<BTreeMap<String, Var>, TrainError> {
    values.iter().map(|(name, t)| Ok((name.clone(), Var::from_tensor(t)?))).collect()
}

/// He-normal kernels (He et al. 2015), zero biases, unit scales, standard running statistics.
fn initial(graph: &Graph, seed: u64, device: &Device) -> Result<Parameters, TrainError> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut out = Parameters::new();
    for parameter in graph.parameters() {
        let count: usize = parameter.shape.iter().product();
        let values = match parameter.role {
            Role::Kernel => {
                let fan_in = parameter.shape[1..].iter().product::<usize>() as f32;
                let deviation = (2.0 / fan_in).sqrt();
                (0..count).map(|_| augment::normal(&mut rng) * deviation).collect()
            }
            Role::Bias | Role::RunningMean => vec![0.0; count],
            Role::Scale | Role::RunningVariance => vec![1.0; count],
        };
        out.insert(parameter.name, Tensor::from_vec(values, parameter.shape.as_slice(), device)?);
    }
    Ok(out)
}

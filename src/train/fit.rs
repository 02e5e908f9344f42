//! The training loop. Every random choice is drawn from (seed, phase, epoch, position), never from shared state, so a run is
//! the same whatever the thread count and however often it is stopped and resumed.

use super::calibration::{self, MaskThreshold};
use super::checkpoint::{Position, RunFolder, write_atomically};
use super::dataset::Dataset;
use super::error::TrainError;
use super::evaluate::Evaluator;
use super::lesions::Lesions;
use super::loader::{Batch, Loader};
use super::optimiser::Optimiser;
use super::recipe::{Phase, Recipe};
use super::sources::Part;
use super::start;
use super::supervision::Supervised;
use crate::domain::card::{Epoch, Task};
use crate::domain::{figures, metrics};
use candle_core::{DType, Device, Tensor, Var};
use lesionlens_nn::exec::{self, Backend, Parameters, Pass, Training};
use lesionlens_nn::graph::{Graph, NodeId, Op, Role};
use lesionlens_nn::ops::BatchStatistics;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};

/// Told what happens, for a progress bar.
pub trait Observer {
    fn step(&mut self, phase: usize, epoch: usize, step: usize, steps: usize, loss: f64);
    fn epoch(&mut self, record: &Epoch);
}

/// A run in progress.
pub struct Fit<'a> {
    recipe: &'a Recipe,
    data: &'a Dataset,
    device: &'a Device,
    folder: RunFolder,
    variables: BTreeMap<String, Var>,
    optimiser: Optimiser,
    /// Running average of all parameters, statistics included.
    average: Parameters,
    position: Position,
}

/// A network at one phase's picture size, and which of its layers are not trained.
struct Stage {
    graph: Graph,
    supervised: Supervised,
    phase: Phase,
    frozen: Vec<NodeId>,
}

impl Stage {
    fn new(recipe: &Recipe, phase: &Phase) -> Result<Self, TrainError> {
        let graph = recipe.architecture.with(recipe.format(phase.side))?;
        let supervised = Supervised::new(&graph, &recipe.deep_supervision)?;
        let frozen = start::frozen(&graph, &phase.freeze)?;
        Ok(Self { graph, supervised, phase: phase.clone(), frozen })
    }

    fn is_frozen(&self, parameter: &str) -> bool {
        self.phase.freeze.iter().any(|layers| start::is_among(parameter, layers))
    }
}

impl<'a> Fit<'a> {
    /// A fresh run; `init` gives weights to start from instead of random ones.
    pub fn new(
        recipe: &'a Recipe,
        data: &'a Dataset,
        device: &'a Device,
        folder: RunFolder,
        init: Option<Parameters>,
    ) -> Result<Self, TrainError> {
        let graph = recipe.architecture.with(recipe.format(recipe.input.side))?;
        let graph = Supervised::new(&graph, &recipe.deep_supervision)?.graph;
        let mut values = start::random(&graph, recipe.seed, device)?;
        for (name, tensor) in init.into_iter().flatten() {
            values.insert(name, tensor.to_device(device)?);
        }
        let (recipe_hash, data_hash) = (recipe_hash(recipe)?, data.sha256().to_string());
        let position = Position { recipe_hash, data_hash, ..Position::default() };
        let optimiser = Optimiser::new(recipe.optimiser, recipe.weight_decay);
        let variables = variables(&values)?;
        Ok(Self { recipe, data, device, folder, variables, optimiser, average: values, position })
    }

    /// Continues the run in `folder`; recipe and data must be those it was started with.
    pub fn resume(
        recipe: &'a Recipe,
        data: &'a Dataset,
        device: &'a Device,
        folder: RunFolder,
    ) -> Result<Self, TrainError> {
        let (position, tensors) = folder.load()?;
        if position.recipe_hash != recipe_hash(recipe)? || position.data_hash != data.sha256() {
            let what = if position.data_hash == data.sha256() {
                "another recipe"
            } else {
                "other data, or data split otherwise"
            };
            let problem = format!("was made with {what}; give what run.toml names, or start anew in another --out");
            return Err(TrainError::file(&folder.position(), problem));
        }
        let tensors: Parameters =
            tensors.into_iter().map(|(name, t)| Ok((name, t.to_device(device)?))).collect::<Result<_, TrainError>>()?;
        let part = |prefix: &str| -> Parameters {
            let named = |(name, t): (&String, &Tensor)| Some((name.strip_prefix(prefix)?.to_string(), t.clone()));
            tensors.iter().filter_map(named).collect()
        };
        let mut optimiser = Optimiser::new(recipe.optimiser, recipe.weight_decay);
        optimiser.restore(position.optimiser_step, part("optimiser."));
        let variables = variables(&part("value."))?;
        let average = part("average.");
        Ok(Self { recipe, data, device, folder, variables, optimiser, average, position })
    }

    /// Trains to the end of the recipe and returns the best weights by validation, with the history.
    pub fn run(
        mut self,
        observer: &mut dyn Observer,
        stop: &AtomicBool,
    ) -> Result<(Parameters, Vec<Epoch>), TrainError> {
        // All of them now: a mistake in the last phase must not be found hours later.
        let stages: Vec<Stage> =
            self.recipe.phases.iter().map(|phase| Stage::new(self.recipe, phase)).collect::<Result<_, _>>()?;
        let lesions = Lesions::new(self.recipe, self.data);
        while let Some(stage) = stages.get(self.position.phase) {
            let phase = &stage.phase;
            while self.position.epoch < phase.epochs && !self.has_stalled(phase) {
                self.epoch(stage, &lesions, observer, stop)?;
            }
            self.position.phase += 1;
            self.position.epoch = 0;
            self.save()?;
        }
        let mut best = self.folder.load_best()?;
        // The heads of deep supervision have done their work.
        if let Some(stage) = stages.last() {
            let kept: HashSet<String> = stage.graph.parameters().into_iter().map(|p| p.name).collect();
            best.retain(|name, _| kept.contains(name));
        }
        Ok((best, self.position.history))
    }

    /// Whether this phase's last epochs brought nothing better than those before.
    fn has_stalled(&self, phase: &Phase) -> bool {
        let Some(patience) = phase.patience else { return false };
        let history = self.position.history.iter().filter(|e| e.phase == self.position.phase);
        let of_phase: Vec<f64> = history.filter_map(|e| e.validation).collect();
        let best = |part: &[f64]| part.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let split = of_phase.len().saturating_sub(patience);
        split > 0 && best(&of_phase[split..]) <= best(&of_phase[..split])
    }

    fn epoch(
        &mut self,
        stage: &Stage,
        lesions: &Lesions,
        observer: &mut dyn Observer,
        stop: &AtomicBool,
    ) -> Result<(), TrainError> {
        let phase = &stage.phase;
        let order = self.order();
        // A last batch of one example has no batch statistics worth the name.
        let batches: Vec<&[usize]> = order.chunks(phase.batch).filter(|b| b.len() > 1).collect();
        let steps = batches.len();
        let place = self.place();
        let varied = |item: u64| place.rng(2, item);
        let (recipe, data, device) = (self.recipe, self.data, self.device);
        let (side, network) = (phase.side, &stage.supervised);
        let loader = Loader { recipe, data, side, lesions, network, device, rng: &varied };
        let done = self.position.step;
        let mut rate = 0.0;
        loader.each(done * phase.batch, &batches[done..], |batch, inner| {
            if stop.load(Ordering::Relaxed) {
                self.save()?;
                return Err(TrainError::Interrupted(self.folder.0.clone()));
            }
            let epoch = self.position.epoch as f64 + self.position.step as f64 / steps as f64;
            rate = phase.learning_rate * phase.schedule.share(epoch, phase.epochs as f64);
            let loss = self.step(stage, place, &batch, &inner, rate)?;
            self.position.loss_sum += loss;
            self.position.step += 1;
            observer.step(self.position.phase, self.position.epoch, self.position.step, steps, loss);
            Ok(())
        })?;
        let (validation, candidate) = self.candidate(&stage.graph)?;
        let record = Epoch {
            phase: self.position.phase,
            epoch: self.position.epoch,
            side: phase.side,
            learning_rate: rate,
            loss: self.position.loss_sum / steps.max(1) as f64,
            validation,
        };
        observer.epoch(&record);
        self.position.history.push(record);
        // Only weights of the last picture size are candidates: figures of other sizes do not compare.
        let comparable = phase.side == self.recipe.input.side;
        // Without validation patients the last epoch counts.
        let is_better = validation.is_none() || self.position.best.is_none() || validation > self.position.best;
        if comparable && is_better {
            self.position.best = validation;
            self.folder.save_best(&candidate)?;
        }
        self.position.epoch += 1;
        self.position.step = 0;
        self.position.loss_sum = 0.0;
        self.save()
    }

    fn place(&self) -> Place {
        Place { seed: self.recipe.seed, phase: self.position.phase, epoch: self.position.epoch }
    }

    /// This epoch's examples, drawn anew and shuffled.
    fn order(&self) -> Vec<usize> {
        let mut rng = self.place().rng(1, 0);
        let mut chosen = Vec::new();
        for (index, source) in self.recipe.sources.iter().enumerate() {
            let mut own: Vec<usize> =
                self.data.part(Part::Train).into_iter().filter(|i| self.data.items[*i].source == index).collect();
            if let Some(draw) = source.draw {
                own.shuffle(&mut rng);
                own.truncate(draw);
            }
            chosen.extend(own);
        }
        if let Some(share) = self.recipe.sampling.negatives {
            let (positives, mut negatives): (Vec<usize>, Vec<usize>) =
                chosen.into_iter().partition(|i| self.data.items[*i].label == 0);
            negatives.shuffle(&mut rng);
            negatives.truncate((positives.len() as f64 * share).round() as usize);
            chosen = [positives, negatives].concat();
        }
        chosen.shuffle(&mut rng);
        chosen
    }

    fn step(
        &mut self,
        stage: &Stage,
        place: Place,
        batch: &Batch,
        inner: &[Tensor],
        rate: f64,
    ) -> Result<f64, TrainError> {
        let mut dropout = place.rng(3, self.position.step as u64);
        let mut uniform = |n: usize| (0..n).map(|_| dropout.random::<f32>()).collect();
        let value = |(name, v): (&String, &Var)| {
            let tensor = if stage.is_frozen(name) { v.as_detached_tensor() } else { v.as_tensor().clone() };
            (name.clone(), tensor)
        };
        let mut parameters: Parameters = self.variables.iter().map(value).collect();
        let mut input = batch.input.clone();
        if self.recipe.mixed_precision && !self.device.is_cpu() {
            (parameters, input) =
                (exec::halved(&stage.supervised.graph, parameters, DType::BF16)?, input.to_dtype(DType::BF16)?);
        }
        let mut pass = Pass {
            graph: &stage.supervised.graph,
            parameters: &parameters,
            backend: Backend::of(self.device),
            training: Some(Training { statistics: Vec::new(), frozen: &stage.frozen, uniform: &mut uniform }),
            cancelled: &|| false,
        };
        let answers = pass.run_to(&input, &stage.supervised.outputs())?;
        let statistics = pass.training.map(|t| t.statistics).unwrap_or_default();
        let own = self.recipe.loss.of(&answers[0].to_dtype(DType::F32)?, &batch.target)?;
        let loss = stage.supervised.loss(own, &answers[1..], inner)?;
        let value = loss.to_scalar::<f32>()?;
        if !value.is_finite() {
            let Position { epoch, step, .. } = self.position;
            return Err(TrainError::Diverged { value, epoch: epoch + 1, step: step + 1 });
        }
        let grads = loss.backward()?;
        self.optimiser.step(&self.variables, &grads, rate)?;
        self.position.optimiser_step = self.optimiser.step;
        for (node, batch) in statistics {
            self.update_running(&stage.graph, node, &batch)?;
        }
        self.update_average()?;
        Ok(f64::from(value))
    }

    /// running = momentum · running + (1 − momentum) · batch, as Keras does, with the biased variance.
    fn update_running(&self, graph: &Graph, node: NodeId, batch: &BatchStatistics) -> Result<(), TrainError> {
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

    /// The better of the running average and the weights as they are, by validation: in a short run the average lags behind. The
    /// running average without validation patients.
    fn candidate(&self, graph: &Graph) -> Result<(Option<f64>, Parameters), TrainError> {
        if self.data.part(Part::Validation).is_empty() {
            return Ok((None, self.average.clone()));
        }
        let averaged = self.validate(graph, &self.average)?;
        let current: Parameters =
            self.variables.iter().map(|(name, v)| (name.clone(), v.as_detached_tensor())).collect();
        let last = if self.recipe.ema > 0.0 { self.validate(graph, &current)? } else { averaged };
        Ok(if last > averaged { (Some(last), current) } else { (Some(averaged), self.average.clone()) })
    }

    fn validate(&self, graph: &Graph, parameters: &Parameters) -> Result<f64, TrainError> {
        let Self { recipe, data, device, .. } = *self;
        let results =
            Evaluator { graph, parameters, recipe, data, device }.run(&data.part(Part::Validation), |_| {})?;
        let cases = calibration::cases(&results, 1.0, MaskThreshold::HALF);
        let figure = match recipe.task {
            Task::Segmentation => figures::mean_dice(&cases),
            Task::Binary => metrics::auc(&figures::scores(&cases)),
            Task::Multiclass => figures::balanced_accuracy(&cases, recipe.card.classes.len()),
        };
        Ok(figure.unwrap_or(0.0))
    }

    fn save(&self) -> Result<(), TrainError> {
        let mut tensors = Parameters::new();
        for (name, variable) in &self.variables {
            tensors.insert(format!("value.{name}"), variable.as_detached_tensor());
        }
        for (name, tensor) in self.optimiser.state() {
            tensors.insert(format!("optimiser.{name}"), tensor);
        }
        for (name, average) in &self.average {
            tensors.insert(format!("average.{name}"), average.clone());
        }
        self.folder.save(&self.position, &tensors)?;
        let mut csv = csv::Writer::from_writer(Vec::new());
        let path = self.folder.history();
        for record in &self.position.history {
            csv.serialize(record).map_err(|e| TrainError::file(&path, e))?;
        }
        write_atomically(&path, &csv.into_inner().map_err(|e| TrainError::file(&path, e))?)
    }
}

/// A place in a run, from which its random numbers follow.
#[derive(Clone, Copy)]
struct Place {
    seed: u64,
    phase: usize,
    epoch: usize,
}

impl Place {
    /// Generator for one purpose at one item of the epoch.
    fn rng(self, purpose: u64, item: u64) -> ChaCha8Rng {
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed ^ (purpose << 56));
        rng.set_stream(((self.phase as u64) << 52) | ((self.epoch as u64) << 36) | item);
        rng
    }
}

/// The SHA-256 of a recipe's TOML, so that renaming a field in the code changes no run's fingerprint.
///
/// # Errors
/// If the recipe cannot be written as TOML.
fn recipe_hash(recipe: &Recipe) -> Result<String, TrainError> {
    let text = toml::to_string(recipe).map_err(|e| TrainError::Data(format!("{}: {e}", recipe.id)))?;
    Ok(format!("{:x}", Sha256::digest(text)))
}

fn variables(values: &Parameters) -> Result<BTreeMap<String, Var>, TrainError> {
    values.iter().map(|(name, t)| Ok((name.clone(), Var::from_tensor(t)?))).collect()
}

//! Describes a network, teaches it to tell discs from squares with candle's optimiser, and asks it on the fast path.
//!
//! `cargo run --release -p lesionlens-nn --example learn`

use candle_core::{Device, Tensor, Var};
use candle_nn::{AdamW, Optimizer, ParamsAdamW};
use lesionlens_nn::exec::{Backend, Parameters, Pass};
use lesionlens_nn::graph::{Activation, Builder, Graph, Op, Padding, Shape, Window};
use lesionlens_nn::network::{Network, Runner};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::HashMap;
use std::error::Error;

const SIDE: usize = 16;
const BATCH: usize = 32;

fn main() -> Result<(), Box<dyn Error>> {
    let graph = network()?;
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let variables = start(&graph, &mut rng)?;
    let settings = ParamsAdamW { lr: 3e-3, ..ParamsAdamW::default() };
    let mut optimiser = AdamW::new(variables.values().cloned().collect(), settings)?;
    for step in 1..=120 {
        let (pictures, labels) = examples(&mut rng)?;
        let parameters = parameters(&variables);
        let (backend, training, cancelled) = (Backend::Own, None, &|| false);
        let mut pass = Pass { graph: &graph, parameters: &parameters, backend, training, cancelled };
        let logits = pass.run(&pictures, graph.logits())?;
        let loss = candle_nn::loss::binary_cross_entropy_with_logit(&logits, &labels)?;
        optimiser.backward_step(&loss)?;
        if step % 40 == 0 {
            println!("step {step}: loss {:.3}", loss.to_scalar::<f32>()?);
        }
    }

    let trained = parameters(&variables).into_iter().map(|(name, tensor)| (name, tensor.detach())).collect();
    let network = Network::new(&graph, trained, &Runner::Cpu(None))?;
    let (pictures, labels) = examples(&mut rng)?;
    let answers = network.infer(&pictures, &|| false)?.flatten_all()?.to_vec1::<f32>()?;
    let labels = labels.flatten_all()?.to_vec1::<f32>()?;
    let right = answers.iter().zip(&labels).filter(|(p, label)| (**p >= 0.5) == (**label >= 0.5)).count();
    println!("{right} of {BATCH} new pictures are told rightly");
    Ok(())
}

fn network() -> Result<Graph, Box<dyn Error>> {
    let (mut b, mut x) = Builder::new(Shape::Image { height: SIDE, width: SIDE, channels: 1 });
    for (number, filters) in [8, 16].into_iter().enumerate() {
        x = b.conv(format!("conv{number}"), x, filters, Window::dense(3, Padding::Same));
        x = b.relu(format!("relu{number}"), x);
        x = b.max_pool(format!("pool{number}"), x);
    }
    x = b.push("flatten", Op::Flatten, &[x]);
    x = b.dense("logits", x, 1);
    b.activation("probability", x, Activation::Sigmoid);
    Ok(b.finish()?)
}

/// Random values for every parameter of the graph.
fn start(graph: &Graph, rng: &mut ChaCha8Rng) -> Result<HashMap<String, Var>, Box<dyn Error>> {
    let value = |parameter: lesionlens_nn::graph::Parameter, rng: &mut ChaCha8Rng| {
        let inputs: usize = parameter.shape.iter().skip(1).product();
        let reach = (3.0 / inputs as f32).sqrt();
        let values =
            (0..parameter.shape.iter().product()).map(|_| rng.random_range(-reach..reach)).collect::<Vec<f32>>();
        Ok((parameter.name, Var::from_vec(values, parameter.shape, &Device::Cpu)?))
    };
    graph.parameters().into_iter().map(|parameter| value(parameter, rng)).collect()
}

fn parameters(variables: &HashMap<String, Var>) -> Parameters {
    variables.iter().map(|(name, variable)| (name.clone(), variable.as_tensor().clone())).collect()
}

/// Pictures [32, 16, 16, 1] of a disc or a square of the same area, and labels [32, 1]: 1 for a disc.
fn examples(rng: &mut ChaCha8Rng) -> Result<(Tensor, Tensor), Box<dyn Error>> {
    let (mut pixels, mut labels) = (Vec::new(), Vec::new());
    for _ in 0..BATCH {
        let is_disc: bool = rng.random();
        let (radius, centre) = (rng.random_range(3.0..5.0f32), [0, 1].map(|_| rng.random_range(6.0..9.0f32)));
        let inside = |at: usize| {
            let [x, y] = [(at % SIDE) as f32 - centre[0], (at / SIDE) as f32 - centre[1]];
            if is_disc { x.hypot(y) <= radius } else { x.abs().max(y.abs()) <= 0.886 * radius }
        };
        pixels.extend((0..SIDE * SIDE).map(|at| if inside(at) { 1.0f32 } else { 0.0 }));
        labels.push(if is_disc { 1.0f32 } else { 0.0 });
    }
    let pictures = Tensor::from_vec(pixels, (BATCH, SIDE, SIDE, 1), &Device::Cpu)?;
    Ok((pictures, Tensor::from_vec(labels, (BATCH, 1), &Device::Cpu)?))
}

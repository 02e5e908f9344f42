//! The plan on every instruction set against a plain f64 reference, written for clarity and nothing else.

use super::*;
use crate::graph::{Builder, Padding};
use crate::network::{Network, Runner};
use crate::zoo::Architecture;
use candle_core::cpu::erf::erf_f64;
use candle_core::{Device, Tensor};
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::HashMap;

/// A map or vector in f64; vectors are 1×1.
#[derive(Clone)]
struct Plain {
    height: usize,
    width: usize,
    channels: usize,
    values: Vec<f64>,
}

impl Plain {
    fn make(shape: Shape, value: impl Fn(usize, usize, usize) -> f64) -> Self {
        let (height, width, channels) = match shape {
            Shape::Image { height, width, channels } => (height, width, channels),
            Shape::Vector { len } => (1, 1, len),
        };
        let value = &value;
        let values = (0..height)
            .flat_map(|y| (0..width).flat_map(move |x| (0..channels).map(move |c| value(y, x, c))))
            .collect();
        Self { height, width, channels, values }
    }

    /// Zero outside.
    fn at(&self, y: isize, x: isize, c: usize) -> Option<f64> {
        let (row, column) = (usize::try_from(y).ok()?, usize::try_from(x).ok()?);
        (row < self.height && column < self.width).then(|| self.values[(row * self.width + column) * self.channels + c])
    }

    fn pixels(&self) -> f64 {
        (self.height * self.width) as f64
    }
}

type Weights = HashMap<String, Vec<f64>>;

fn reference(graph: &Graph, weights: &Weights, input: &[f32]) -> Vec<f64> {
    let mut values: Vec<Plain> = Vec::new();
    for id in graph.ids() {
        let node = graph.node(id);
        let x = node.inputs.first().map(|i| values[i.0].clone());
        let weight = |role: Role| &weights[&format!("{}.{}", node.name, role.suffix())];
        let value = match (&node.op, x) {
            (_, None) => {
                let mut plain = Plain::make(node.shape, |_, _, _| 0.0);
                plain.values = input.iter().map(|v| f64::from(*v)).collect();
                plain
            }
            (Op::Conv { window, bias, .. }, Some(x)) => {
                let (top, left) = (window.pads(0, x.height).unwrap().0, window.pads(1, x.width).unwrap().0);
                let (kernel, offsets) = (weight(Role::Kernel), bias.then(|| weight(Role::Bias)));
                Plain::make(node.shape, |y, column, filter| {
                    let mut sum = offsets.map_or(0.0, |bias| bias[filter]);
                    for c in 0..x.channels {
                        for i in 0..window.size[0] {
                            for j in 0..window.size[1] {
                                let from_y = (y * window.stride[0] + i) as isize - top as isize;
                                let from_x = (column * window.stride[1] + j) as isize - left as isize;
                                let w = ((filter * x.channels + c) * window.size[0] + i) * window.size[1] + j;
                                sum += x.at(from_y, from_x, c).unwrap_or(0.0) * kernel[w];
                            }
                        }
                    }
                    sum
                })
            }
            (Op::DepthwiseConv { window, bias }, Some(x)) => {
                let (top, left) = (window.pads(0, x.height).unwrap().0, window.pads(1, x.width).unwrap().0);
                let (kernel, offsets) = (weight(Role::Kernel), bias.then(|| weight(Role::Bias)));
                let [rows, columns] = window.size;
                Plain::make(node.shape, |y, column, c| {
                    let tap = |k: usize| {
                        let from_y = (y * window.stride[0] + k / columns) as isize - top as isize;
                        let from_x = (column * window.stride[1] + k % columns) as isize - left as isize;
                        x.at(from_y, from_x, c).unwrap_or(0.0) * kernel[c * rows * columns + k]
                    };
                    offsets.map_or(0.0, |bias| bias[c]) + (0..rows * columns).map(tap).sum::<f64>()
                })
            }
            (Op::MaxPool { window } | Op::AveragePool { window }, Some(x)) => {
                let (top, left) = (window.pads(0, x.height).unwrap().0, window.pads(1, x.width).unwrap().0);
                Plain::make(node.shape, |y, column, c| {
                    let inside: Vec<f64> = (0..window.size[0] * window.size[1])
                        .filter_map(|k| {
                            let (i, j) = (k / window.size[1], k % window.size[1]);
                            let from_y = (y * window.stride[0] + i) as isize - top as isize;
                            x.at(from_y, (column * window.stride[1] + j) as isize - left as isize, c)
                        })
                        .collect();
                    match node.op {
                        Op::MaxPool { .. } => inside.iter().copied().fold(f64::NEG_INFINITY, f64::max),
                        _ => inside.iter().sum::<f64>() / inside.len() as f64,
                    }
                })
            }
            (Op::Dense { bias, .. }, Some(x)) => Plain::make(node.shape, |_, _, unit| {
                let kernel = weight(Role::Kernel);
                let row = &kernel[unit * x.values.len()..][..x.values.len()];
                let sum: f64 = row.iter().zip(&x.values).map(|(w, v)| w * v).sum();
                sum + if *bias { weight(Role::Bias)[unit] } else { 0.0 }
            }),
            (Op::BatchNorm { epsilon, scale, .. }, Some(x)) => Plain::make(node.shape, |y, column, c| {
                let gamma = if *scale { weight(Role::Scale)[c] } else { 1.0 };
                let normal = (x.at(y as isize, column as isize, c).unwrap() - weight(Role::RunningMean)[c])
                    / (weight(Role::RunningVariance)[c] + epsilon).sqrt();
                normal * gamma + weight(Role::Bias)[c]
            }),
            (Op::LayerNorm { epsilon }, Some(mut x)) => {
                let (scale, shift) = (weight(Role::Scale), weight(Role::Bias));
                for pixel in x.values.chunks_mut(x.channels) {
                    let mean = pixel.iter().sum::<f64>() / x.channels as f64;
                    let variance = pixel.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / x.channels as f64;
                    for (c, value) in pixel.iter_mut().enumerate() {
                        *value = (*value - mean) / (variance + epsilon).sqrt() * scale[c] + shift[c];
                    }
                }
                x
            }
            (Op::Activation { function }, Some(mut x)) => {
                match function {
                    Activation::Relu => x.values.iter_mut().for_each(|v| *v = v.max(0.0)),
                    Activation::Relu6 => x.values.iter_mut().for_each(|v| *v = v.clamp(0.0, 6.0)),
                    Activation::Gelu => x.values.iter_mut().for_each(|v| *v *= 0.5 * (1.0 + erf_f64(*v / 2f64.sqrt()))),
                    Activation::Silu => x.values.iter_mut().for_each(|v| *v /= 1.0 + (-*v).exp()),
                    Activation::Sigmoid => x.values.iter_mut().for_each(|v| *v = 1.0 / (1.0 + (-*v).exp())),
                    Activation::Softmax => {
                        for pixel in x.values.chunks_mut(x.channels) {
                            let total: f64 = pixel.iter().map(|v| v.exp()).sum();
                            pixel.iter_mut().for_each(|v| *v = v.exp() / total);
                        }
                    }
                    // The others are compared by formula in `functions`.
                    other => panic!("no reference for {other:?}"),
                }
                x
            }
            (Op::GlobalAveragePool, Some(x)) => {
                Plain::make(node.shape, |_, _, c| x.values.iter().skip(c).step_by(x.channels).sum::<f64>() / x.pixels())
            }
            (Op::Upsample { factor }, Some(x)) => Plain::make(node.shape, |y, column, c| {
                x.at((y / factor) as isize, (column / factor) as isize, c).unwrap()
            }),
            (Op::Add, Some(x)) => {
                let other = &values[node.inputs[1].0];
                Plain { values: x.values.iter().zip(&other.values).map(|(a, b)| a + b).collect(), ..x }
            }
            (Op::Multiply, Some(x)) => {
                let by = &values[node.inputs[1].0].values;
                Plain { values: x.values.iter().enumerate().map(|(i, v)| v * by[i % by.len()]).collect(), ..x }
            }
            (Op::Concat, Some(_)) => Plain::make(node.shape, |y, column, mut c| {
                for part in &node.inputs {
                    let part = &values[part.0];
                    if c < part.channels {
                        return part.at(y as isize, column as isize, c).unwrap();
                    }
                    c -= part.channels;
                }
                unreachable!("channels of a concatenation are those of its parts")
            }),
            (Op::ZeroPad { rows, columns }, Some(x)) => Plain::make(node.shape, |y, column, c| {
                x.at(y as isize - rows[0] as isize, column as isize - columns[0] as isize, c).unwrap_or(0.0)
            }),
            (Op::Flatten, Some(x)) => Plain { height: 1, width: 1, channels: x.values.len(), ..x },
            (Op::Dropout { .. } | Op::Input { .. }, Some(x)) => x,
            // Those of imported networks are compared in `lower`.
            (other, Some(_)) => panic!("no reference for {other:?}"),
        };
        values.push(value);
    }
    values.pop().unwrap().values
}

/// Weights whose sums stay near one, all exact in bf16 so that only the arithmetic is under test.
fn weights(graph: &Graph, rng: &mut ChaCha8Rng) -> (Weights, Parameters) {
    let mut plain = Weights::new();
    let mut tensors = Parameters::new();
    for p in graph.parameters() {
        let fan_in = p.shape.iter().skip(1).product::<usize>() as f32;
        let values: Vec<f32> = (0..p.shape.iter().product())
            .map(|_| {
                let value = match p.role {
                    Role::Kernel => rng.random_range(-1.0..1.0) * (3.0 / fan_in).sqrt(),
                    Role::RunningVariance | Role::Scale => rng.random_range(0.5..1.5),
                    _ => rng.random_range(-0.5..0.5),
                };
                bf16::from_f32(value).to_f32()
            })
            .collect();
        plain.insert(p.name.clone(), values.iter().map(|v| f64::from(*v)).collect());
        tensors.insert(p.name, Tensor::from_vec(values, p.shape.as_slice(), &Device::Cpu).unwrap());
    }
    (plain, tensors)
}

fn picture(len: usize, rng: &mut ChaCha8Rng) -> Vec<f32> {
    (0..len).map(|_| bf16::from_f32(rng.random_range(-1.0..1.0)).to_f32()).collect()
}

/// Largest difference as a share of the largest value of the reference.
fn difference(found: &[f32], wanted: &[f64]) -> f64 {
    assert_eq!(found.len(), wanted.len());
    let scale = wanted.iter().fold(1e-3, |m: f64, v| m.max(v.abs()));
    let worst = |worst: f64, (a, b): (&f32, &f64)| {
        let d = (f64::from(*a) - b).abs();
        if d.is_nan() || d > worst { d } else { worst }
    };
    found.iter().zip(wanted).fold(0.0, worst) / scale
}

/// What a path may be off by, as a share of the largest value: f32 1e-4; bf16 keeps 8 bits, and errors of `depth` roundings add up.
fn tolerance(isa: Isa, depth: usize) -> f64 {
    if isa.is_half() { (depth as f64).sqrt() * 2f64.powi(-7) } else { 1e-4 }
}

/// Runs three examples at once and one alone on every path this processor has.
fn check(graph: &Graph, seed: u64, depth: usize, what: &str) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let (plain, tensors) = weights(graph, &mut rng);
    let len = graph.input_shape().values();
    let examples = picture(3 * len, &mut rng);
    let wanted: Vec<f64> = examples.chunks(len).flat_map(|x| reference(graph, &plain, x)).collect();
    for isa in Isa::available() {
        let plan = Plan::compile(graph, tensors.clone(), isa).unwrap();
        let together = plan.run(&examples, &|| false).unwrap();
        let off = difference(&together, &wanted);
        assert!(off < tolerance(isa, depth), "{what} on {isa}: off by {off:.2e}");
        // Alone, rows or channels are shared out instead; a second run finds used buffers.
        let alone: Vec<f32> = examples.chunks(len).flat_map(|x| plan.run(x, &|| false).unwrap()).collect();
        assert_eq!(alone, together, "{what} on {isa}: one by one");
    }
}

/// Convolutions of random shapes, with everything that can be fused into them.
#[test]
fn convolutions_of_any_shape() {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    for case in 0..80 {
        let (height, width) = (rng.random_range(1..20), rng.random_range(1..20));
        let channels = *[1, 2, 3, 5, 16, 17, 32, 64, 130].choose(&mut rng).unwrap();
        let filters = *[1, 3, 8, 16, 24, 33, 48, 64, 100, 192].choose(&mut rng).unwrap();
        let padding = if rng.random_bool(0.7) { Padding::Same } else { Padding::Valid };
        let size = [rng.random_range(1..=7.min(height)), rng.random_range(1..=7.min(width))];
        let stride = [rng.random_range(1..=3), rng.random_range(1..=3)];
        let (mut b, x) = Builder::new(Shape::Image { height, width, channels });
        let bias = rng.random_bool(0.7);
        let mut y = b.push("conv", Op::Conv { filters, window: Window::new(size, stride, padding), bias }, &[x]);
        if rng.random_bool(0.4) {
            let other = b.push("other", Op::Conv { filters, window: Window::new(size, stride, padding), bias }, &[x]);
            y = b.push("sum", Op::Add, &[y, other]);
        }
        if rng.random_bool(0.5) {
            let function = if rng.random_bool(0.8) { Activation::Relu } else { Activation::Relu6 };
            y = b.activation("relu", y, function);
        }
        if rng.random_bool(0.3) {
            y = b.batch_norm("norm", y);
        }
        let window = Window::new(size, stride, padding);
        let sides = [window.output_side(0, height).unwrap(), window.output_side(1, width).unwrap()];
        if rng.random_bool(0.4) && sides.iter().all(|s| *s >= 2) {
            b.max_pool("pool", y);
        }
        let graph = b.finish().unwrap();
        check(&graph, case, 3, &format!("case {case}: {height}×{width}×{channels} by {filters}, {window:?}"));
    }
}

/// Depthwise convolutions of random shapes, alone and between pointwise ones as inverted bottlenecks have them.
#[test]
fn depthwise_convolutions_of_any_shape() {
    for case in 0..60 {
        let mut rng = ChaCha8Rng::seed_from_u64(2000 + case);
        let (height, width) = (rng.random_range(1..20), rng.random_range(1..20));
        let channels = *[1, 3, 8, 15, 16, 24, 40, 96, 144].choose(&mut rng).unwrap();
        let size = [rng.random_range(1..=5.min(height)), rng.random_range(1..=5.min(width))];
        let padding = if rng.random_bool(0.7) { Padding::Same } else { Padding::Valid };
        let window = Window::new(size, [rng.random_range(1..=2), rng.random_range(1..=2)], padding);
        let (mut b, x) = Builder::new(Shape::Image { height, width, channels });
        let wide = case % 2 == 0;
        let mut y = if wide { b.conv("expand", x, 2 * channels, Window::dense(1, Padding::Valid)) } else { x };
        y = b.push("depthwise", Op::DepthwiseConv { window, bias: rng.random_bool(0.5) }, &[y]);
        if rng.random_bool(0.7) {
            y = b.batch_norm("norm", y);
        }
        if rng.random_bool(0.7) {
            y = b.activation("relu", y, if case % 3 == 0 { Activation::Relu } else { Activation::Relu6 });
        }
        if wide {
            b.conv("project", y, channels, Window::dense(1, Padding::Valid));
        }
        check(&b.finish().unwrap(), case, 4, &format!("case {case}: {height}×{width}×{channels}, {window:?}"));
    }
}

/// 3×3 convolutions at stride 1 with many channels, which take Winograd's detour in f32: odd and even sides, every padding, fused
/// additions, enlarged ones too, and pools.
#[test]
fn convolutions_of_three_by_three() {
    for case in 0..24 {
        let mut rng = ChaCha8Rng::seed_from_u64(500 + case);
        let (height, width) = (2 * rng.random_range(2..10), 2 * rng.random_range(2..10));
        let (height, width) = if case % 3 == 0 { (height + 1, width + 1) } else { (height, width) };
        let channels = *[32, 48, 64, 272].choose(&mut rng).unwrap();
        let filters = *[32, 40, 64, 100, 256].choose(&mut rng).unwrap();
        let padding = if case % 4 == 3 { Padding::Valid } else { Padding::Same };
        let (mut b, x) = Builder::new(Shape::Image { height, width, channels });
        let mut y = b.conv("conv", x, filters, Window::dense(3, padding));
        if case % 4 == 1 {
            let short = b.conv("short", x, filters, Window::dense(1, Padding::Valid));
            y = b.push("sum", Op::Add, &[short, y]);
        } else if case % 4 == 2 && height % 2 == 0 && width % 2 == 0 {
            let small = b.max_pool("small", x);
            let small = b.conv("low", small, filters, Window::dense(1, Padding::Valid));
            let up = b.push("up", Op::Upsample { factor: 2 }, &[small]);
            y = b.push("sum", Op::Add, &[y, up]);
        }
        y = b.relu("relu", y);
        if case % 5 == 0 {
            y = b.batch_norm("norm", y);
        }
        if case % 2 == 0 {
            b.max_pool("pool", y);
        }
        let graph = b.finish().unwrap();
        check(&graph, case, 3, &format!("case {case}: {height}×{width}×{channels} by {filters}, {padding:?}"));
    }
}

/// Random networks: branches, concatenations of concatenations, enlargements, padding, pools, values read twice, dense heads.
#[test]
fn networks_of_any_shape() {
    for case in 0..80 {
        let mut rng = ChaCha8Rng::seed_from_u64(1000 + case);
        let side = rng.random_range(4..14);
        let (mut b, x) = Builder::new(Shape::Image { height: side, width: side, channels: rng.random_range(1..5) });
        let mut maps = vec![(x, side)];
        let steps = rng.random_range(3..14);
        for step in 0..steps {
            let &(from, side) = maps.choose(&mut rng).unwrap();
            let same: Vec<_> = maps.iter().filter(|m| m.1 == side).map(|m| m.0).collect();
            let name = format!("n{step}");
            let (node, side) = match rng.random_range(0..16) {
                0..3 => {
                    let size = rng.random_range(1..4);
                    (b.conv(name, from, rng.random_range(1..40), Window::dense(size, Padding::Same)), side)
                }
                3 => (b.relu(name, from), side),
                4 => (b.batch_norm(name, from), side),
                5 => {
                    let several = rng.random_range(1..4);
                    let parts: Vec<NodeId> = (0..several).map(|_| *same.choose(&mut rng).unwrap()).collect();
                    (b.push(name, Op::Concat, &parts), side)
                }
                6 => {
                    let (one, two) = (b.conv(format!("{name}a"), from, 7, Window::dense(1, Padding::Valid)), from);
                    let two = b.conv(format!("{name}b"), two, 7, Window::dense(3, Padding::Same));
                    (b.push(name, Op::Add, &[one, two]), side)
                }
                7 if side >= 4 && side % 2 == 0 => {
                    // A decoder's step: small map enlarged, joined, read by 1×1 convolutions.
                    let small = b.max_pool(format!("{name}s"), from);
                    let small = b.conv(format!("{name}c"), small, 9, Window::dense(3, Padding::Same));
                    let up = b.push(format!("{name}u"), Op::Upsample { factor: 2 }, &[small]);
                    let both = b.push(format!("{name}b"), Op::Concat, &[up, from]);
                    let left = b.conv(format!("{name}l"), both, 12, Window::dense(1, Padding::Valid));
                    let right = b.conv(format!("{name}r"), both, 12, Window::dense(1, Padding::Valid));
                    (b.push(name, Op::Add, &[left, right]), side)
                }
                8 => (b.push(name, Op::ZeroPad { rows: [1, 0], columns: [0, 1] }, &[from]), side + 1),
                9 => {
                    let window = Window::new([3, 3], [1, 1], Padding::Same);
                    let op = if rng.random_bool(0.5) { Op::MaxPool { window } } else { Op::AveragePool { window } };
                    (b.push(name, op, &[from]), side)
                }
                10 => (b.depthwise(name, from, Window::dense(3, Padding::Same)), side),
                11 => {
                    // A gate on each channel (squeeze and excitation).
                    let whole = Window::tiles(side);
                    let channels = b.shape(from).channels();
                    let gate = b.push(format!("{name}s"), Op::AveragePool { window: whole }, &[from]);
                    let gate = b.conv(format!("{name}c"), gate, channels, Window::dense(1, Padding::Valid));
                    let gate = b.activation(format!("{name}g"), gate, Activation::Sigmoid);
                    (b.push(name, Op::Multiply, &[from, gate]), side)
                }
                12 => (b.activation(name, from, Activation::Silu), side),
                13 => (b.activation(name, from, Activation::Gelu), side),
                14 if b.shape(from).channels() > 3 => (b.push(name, Op::LayerNorm { epsilon: 1e-2 }, &[from]), side),
                _ => (b.push(name, Op::Dropout { rate: 0.5 }, &[from]), side),
            };
            maps.push((node, side));
        }
        let last = maps[maps.len() - 1].0;
        match rng.random_range(0..4) {
            0 => {
                b.activation("out", last, Activation::Sigmoid);
            }
            1 => {
                let flat = b.push("flat", Op::Flatten, &[last]);
                let y = b.dense("dense", flat, 20);
                let y = b.relu("dense_relu", y);
                let y = b.batch_norm("dense_norm", y);
                let y = b.dense("out", y, 3);
                b.activation("softmax", y, Activation::Softmax);
            }
            2 => {
                let y = b.push("mean", Op::GlobalAveragePool, &[last]);
                let y = b.push("mean_norm", Op::LayerNorm { epsilon: 1e-2 }, &[y]);
                b.dense("out", y, 2);
            }
            _ => {}
        }
        let graph = b.finish().unwrap();
        check(&graph, case, 3 + steps, &format!("network {case}"));
    }
}

/// The two LGG networks at a small size, three examples.
#[test]
fn both_networks() {
    for (architecture, side) in [(Architecture::ResnetClassifier, 64), (Architecture::Resunet, 32)] {
        check(&architecture.graph(side).unwrap(), 5, 12, architecture.id());
    }
}

/// Every architecture at a small size: the plan against candle's own operations, which is what GPUs run, node by node.
#[test]
fn every_architecture_runs_as_candle_runs_it() {
    for architecture in Architecture::ALL {
        let side = match architecture {
            Architecture::InceptionV3 => 75,
            Architecture::Vgg16V2 => 128,
            _ => 64,
        };
        let graph = architecture.graph(side).unwrap();
        let mut rng = ChaCha8Rng::seed_from_u64(9);
        let (_, tensors) = weights(&graph, &mut rng);
        let (shape, x) = (architecture.native().channels, picture(2 * graph.input_shape().values(), &mut rng));
        let x = Tensor::from_vec(x, (2, side, side, shape), &Device::Cpu).unwrap();
        let run = |runner: Runner| {
            let network = Network::new(&graph, tensors.clone(), &runner).unwrap();
            network.infer(&x, &|| false).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap()
        };
        let wanted: Vec<f64> = run(Runner::Gpu(Device::Cpu)).into_iter().map(f64::from).collect();
        for isa in Isa::available() {
            let off = difference(&run(Runner::Cpu(Some(isa))), &wanted);
            assert!(off < tolerance(isa, 60), "{} on {isa}: off by {off:.1e}", architecture.id());
        }
    }
}

#[test]
fn a_run_is_cancelled_between_operations() {
    let graph = Architecture::Resunet.graph(32).unwrap();
    let (_, tensors) = weights(&graph, &mut ChaCha8Rng::seed_from_u64(1));
    let plan = Plan::compile(&graph, tensors, Isa::Portable).unwrap();
    let asked = std::sync::atomic::AtomicUsize::new(0);
    let stop = || asked.fetch_add(1, std::sync::atomic::Ordering::Relaxed) >= 3;
    assert_eq!(plan.run(&vec![0.0; 32 * 32 * 3], &stop), Err(Cancelled));
    assert!(asked.into_inner() < 10);
}

#[test]
fn missing_weights_and_unknown_paths_are_named() {
    let graph = Architecture::Resunet.graph(32).unwrap();
    let error = Plan::compile(&graph, Parameters::new(), Isa::Portable).err().unwrap();
    assert!(error.to_string().contains("`"), "{error}");
    let error = Isa::force("sse9").err().unwrap().to_string();
    assert!(error.contains("`sse9`") && error.contains("portable"), "{error}");
}

/// The same numbers on one thread and on three.
#[test]
fn results_do_not_depend_on_the_number_of_threads() {
    let graph = Architecture::ResnetClassifier.graph(64).unwrap();
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let (_, tensors) = weights(&graph, &mut rng);
    let x = picture(graph.input_shape().values(), &mut rng);
    for isa in Isa::available() {
        let plan = Plan::compile(&graph, tensors.clone(), isa).unwrap();
        let run = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| plan.run(&x, &|| false).unwrap())
        };
        assert_eq!(run(1), run(3), "{isa}");
    }
}

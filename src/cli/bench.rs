//! `lesionlens bench`: how fast networks run on this machine, as medians of repeated runs.

use super::choice::choice;
use super::isa::IsaChoice;
use super::threads::Threads;
use crate::domain::mask::Mask;
use crate::domain::measure::Measurements;
use crate::domain::overlay::{OverlayStyle, paint};
use crate::domain::prediction::Segmentation;
use crate::domain::resample::Placement;
use crate::domain::study::Neighbourhood;
use crate::io;
use crate::models::model::Model;
use crate::models::preprocess;
use crate::models::registry::Registry;
use crate::train::loss::Loss;
use crate::train::optimiser::{Optimiser, Rule};
use anyhow::{Context, bail};
use candle_core::{Device, Tensor, Var};
use lesionlens_nn::exec::{Backend, Parameters, Pass, Training};
use lesionlens_nn::graph::{Graph, Parameter, Role};
use lesionlens_nn::network::{Network, Runner};
use lesionlens_nn::plan::isa::Isa;
use lesionlens_nn::zoo::{Architecture, Format};
use serde::Serialize;
use std::collections::BTreeMap;
use std::hint::black_box;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

/// Slices in a step of training.
const TRAINING_BATCH: usize = 16;
/// Side of the picture for the slider's figure.
const SLIDER_SIDE: usize = 512;

#[derive(clap::Args)]
pub struct Args {
    /// Slices given to the networks at once.
    #[arg(long, default_value = "1", value_name = "N", conflicts_with = "train")]
    batch: NonZeroUsize,
    /// Runs to take the median of.
    #[arg(long, default_value = "30", value_name = "N")]
    runs: NonZeroUsize,
    /// Measure this architecture with arbitrary weights instead of the shipped pair.
    #[arg(long, value_parser = choice(Architecture::ALL, Architecture::id))]
    architecture: Option<Architecture>,
    /// Measure a step of training at batch 16 instead.
    #[arg(long, requires = "architecture")]
    pub train: bool,
    /// Write the figures as JSON to this file, `-` for standard output.
    #[arg(long, value_name = "FILE|-")]
    json: Option<PathBuf>,
    #[command(flatten)]
    threads: Threads,
    #[command(flatten)]
    isa: IsaChoice,
}

/// Times are in milliseconds and, but for the cold start's, medians; networks' are per slice.
#[derive(Serialize)]
struct Figures {
    version: &'static str,
    /// The forced instruction set.
    isa: Option<&'static str>,
    threads: usize,
    batch: usize,
    runs: usize,
    #[serde(flatten)]
    subject: Subject,
    /// Largest resident memory of this process in MiB, where the system tells.
    peak_memory_mib: Option<f64>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Subject {
    Pair(Box<Pair>),
    Architecture {
        architecture: &'static str,
        network_ms: f64,
    },
    /// One step: forward, backward, AdamW.
    Training {
        architecture: &'static str,
        step_ms: f64,
    },
}

/// The shipped classifier and segmenter.
#[derive(Serialize)]
struct Pair {
    classifier: String,
    segmenter: String,
    classifier_isa: &'static str,
    segmenter_isa: &'static str,
    classifier_ms: f64,
    segmenter_ms: f64,
    /// Classifier, then segmenter, on prepared inputs.
    both_ms: f64,
    /// Both from a decoded slice to probability and probability map, one slice at a time.
    slice_ms: f64,
    cold_start: ColdStart,
    /// Moving the mask threshold: 512² probability map to RGBA pixels.
    slider_ms: f64,
}

/// Once each, from a fresh process.
#[derive(Serialize)]
struct ColdStart {
    /// Reading cards of all models.
    scan_ms: f64,
    /// Weights read, checked and packed, each network.
    load_classifier_ms: f64,
    load_segmenter_ms: f64,
    /// First answer of both networks, buffers being made.
    first_slice_ms: f64,
}

pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    args.threads.apply()?;
    args.isa.apply()?;
    let subject = match args.architecture {
        Some(architecture) if args.train => training(architecture, args.runs.get())?,
        Some(architecture) => bare(architecture, &args)?,
        None => Subject::Pair(Box::new(pair(&args)?)),
    };
    let figures = Figures {
        version: env!("CARGO_PKG_VERSION"),
        isa: Isa::forced().map(Isa::id),
        threads: rayon::current_num_threads(),
        batch: if args.train { TRAINING_BATCH } else { args.batch.get() },
        runs: args.runs.get(),
        subject,
        peak_memory_mib: peak_memory(),
    };
    match &args.json {
        Some(path) if path.as_os_str() == "-" => println!("{}", serde_json::to_string_pretty(&figures)?),
        Some(path) => super::save(path, serde_json::to_string_pretty(&figures)?.as_bytes())?,
        None => print!("{}", table(&figures)),
    }
    Ok(ExitCode::SUCCESS)
}

fn table(figures: &Figures) -> String {
    let mut rows = vec![("threads", figures.threads.to_string()), ("batch", figures.batch.to_string())];
    let ms = |value: f64| format!("{value:.2} ms");
    match &figures.subject {
        Subject::Architecture { architecture, network_ms } => {
            rows.push(("instructions", figures.isa.unwrap_or("the fastest that keeps the answer").to_string()));
            rows.push((architecture, ms(*network_ms)));
        }
        Subject::Training { architecture, step_ms } => rows.push((architecture, format!("{} a step", ms(*step_ms)))),
        Subject::Pair(pair) => rows.extend([
            ("classifier", format!("{} ({}, {})", ms(pair.classifier_ms), pair.classifier, pair.classifier_isa)),
            ("segmenter", format!("{} ({}, {})", ms(pair.segmenter_ms), pair.segmenter, pair.segmenter_isa)),
            ("both networks", ms(pair.both_ms)),
            ("slice to answer", ms(pair.slice_ms)),
            ("slider to mask", ms(pair.slider_ms)),
            ("start: cards", ms(pair.cold_start.scan_ms)),
            ("start: classifier", ms(pair.cold_start.load_classifier_ms)),
            ("start: segmenter", ms(pair.cold_start.load_segmenter_ms)),
            ("start: first slice", ms(pair.cold_start.first_slice_ms)),
        ]),
    }
    if let Some(mib) = figures.peak_memory_mib {
        rows.push(("peak memory", format!("{mib:.0} MiB")));
    }
    rows.iter().map(|(name, value)| format!("{name:<20}{value}\n")).collect()
}

/// Milliseconds of one call.
fn once<T>(work: impl FnOnce() -> T) -> (T, f64) {
    let started = Instant::now();
    let value = black_box(work());
    (value, started.elapsed().as_secs_f64() * 1e3)
}

/// Median milliseconds of `runs` calls after two for warming up.
fn median<T>(runs: usize, mut work: impl FnMut() -> anyhow::Result<T>) -> anyhow::Result<f64> {
    for _ in 0..2 {
        work()?;
    }
    let mut times = (0..runs).map(|_| once(&mut work)).map(|(r, ms)| r.map(|_| ms)).collect::<Result<Vec<_>, _>>()?;
    times.sort_by(f64::total_cmp);
    let middle = times.len() / 2;
    Ok(if times.len() % 2 == 1 { times[middle] } else { (times[middle - 1] + times[middle]) / 2.0 })
}

fn pair(args: &Args) -> anyhow::Result<Pair> {
    let (registry, scan_ms) = once(Registry::scan);
    let (Some(classifier), Some(segmenter)) = registry.default_pair() else {
        bail!("no classifier and segmenter found")
    };
    let load = |id: &str| {
        let (model, ms) = once(|| registry.load(id, &Device::Cpu));
        model.map(|model| (model, ms))
    };
    let (classify, load_classifier_ms) = load(&classifier)?;
    let (segment, load_segmenter_ms) = load(&segmenter)?;
    let study = io::example();
    let slice = study.slice(0).context("no example")?;
    let never: &(dyn Fn() -> bool + Sync) = &|| false;
    let answer = || -> anyhow::Result<Segmentation> {
        classify.classify(&slice, never)?;
        Ok(segment.segment(&slice, never)?)
    };
    let (first, first_slice_ms) = once(answer);
    let segmentation = large(&first?);

    let (batch, runs) = (args.batch.get(), args.runs.get());
    let input = |model: &Model| -> anyhow::Result<Tensor> {
        let spec = &model.card().input;
        let one = preprocess::network_input(&Neighbourhood::from(&slice), spec);
        Ok(Tensor::from_vec(one.repeat(batch), (batch, spec.side, spec.side, spec.channels), &Device::Cpu)?)
    };
    let (for_classifier, for_segmenter) = (input(&classify)?, input(&segment)?);
    let classifier_ms = median(runs, || Ok(classify.network().infer(&for_classifier, never)?))?;
    let segmenter_ms = median(runs, || Ok(segment.network().infer(&for_segmenter, never)?))?;
    let both =
        || Ok((classify.network().infer(&for_classifier, never)?, segment.network().infer(&for_segmenter, never)?));
    let both_ms = median(runs, both)?;
    let slice_ms = median(runs, answer)?;
    let map = segmentation.probability_map();
    let mut thresholds = (1..=9).cycle();
    let slider_ms = median(runs.max(20), || {
        let threshold = thresholds.next().unwrap_or(5) as f32 / 10.0;
        slider(&segmentation, &map, threshold).context("the probability map has another size than its picture")
    })?;
    let per_slice = |ms: f64| ms / batch as f64;
    let isa = |model: &Model| model.network().isa().map_or("gpu", Isa::id);
    Ok(Pair {
        classifier,
        segmenter,
        classifier_isa: isa(&classify),
        segmenter_isa: isa(&segment),
        classifier_ms: per_slice(classifier_ms),
        segmenter_ms: per_slice(segmenter_ms),
        both_ms: per_slice(both_ms),
        slice_ms,
        cold_start: ColdStart { scan_ms, load_classifier_ms, load_segmenter_ms, first_slice_ms },
        slider_ms,
    })
}

/// The same map for a picture of 512².
fn large(segmentation: &Segmentation) -> Segmentation {
    let Placement { side, .. } = segmentation.placement;
    let placement = Placement { side, left: 0, top: 0, width: side, height: side };
    Segmentation { width: SLIDER_SIDE, height: SLIDER_SIDE, placement, ..segmentation.clone() }
}

/// What the window does when the mask threshold moves: mask, its sizes, its edge, its pixels.
fn slider(segmentation: &Segmentation, map: &[f32], threshold: f32) -> Option<Vec<[u8; 4]>> {
    let mask = Mask::from_probability(map, segmentation.width, segmentation.height, threshold)?;
    black_box((Measurements::of(&mask, None), mask.border()));
    paint(Some(&mask), None, OverlayStyle { contour: false, ..OverlayStyle::default() })
}

/// Any weights do for the time, as long as values neither die out nor explode.
fn arbitrary(graph: &Graph) -> candle_core::Result<Parameters> {
    let tensor = |p: Parameter| {
        let fan_in = p.shape.iter().skip(1).product::<usize>() as f32;
        let value = |i: usize| match p.role {
            Role::Kernel => (i as f32 * 12.989).sin() * (3.0 / fan_in).sqrt(),
            Role::Scale | Role::RunningVariance => 1.0,
            Role::Bias | Role::RunningMean => 0.0,
        };
        let values: Vec<f32> = (0..p.shape.iter().product()).map(value).collect();
        Ok((p.name, Tensor::from_vec(values, p.shape.as_slice(), &Device::Cpu)?))
    };
    graph.parameters().into_iter().map(tensor).collect()
}

fn picture(format: Format, batch: usize) -> candle_core::Result<Tensor> {
    let Format { side, channels, .. } = format;
    let values: Vec<f32> = (0..batch * side * side * channels).map(|i| (i as f32 * 0.37).sin()).collect();
    Tensor::from_vec(values, (batch, side, side, channels), &Device::Cpu)
}

fn bare(architecture: Architecture, args: &Args) -> anyhow::Result<Subject> {
    let format = architecture.native();
    let graph = architecture.with(format)?;
    let network = Network::new(&graph, arbitrary(&graph)?, &Runner::of(&Device::Cpu))?;
    let batch = args.batch.get();
    let x = picture(format, batch)?;
    let network_ms = median(args.runs.get(), || Ok(network.infer(&x, &|| false)?))? / batch as f64;
    Ok(Subject::Architecture { architecture: architecture.id(), network_ms })
}

fn training(architecture: Architecture, runs: usize) -> anyhow::Result<Subject> {
    let format = architecture.native();
    let graph = architecture.with(format)?;
    let variables: BTreeMap<String, Var> = arbitrary(&graph)?
        .iter()
        .map(|(name, t)| Ok((name.clone(), Var::from_tensor(t)?)))
        .collect::<anyhow::Result<_>>()?;
    let mut optimiser = Optimiser::new(Rule::AdamW, 1e-4);
    let x = picture(format, TRAINING_BATCH)?;
    let step_ms = median(runs, || {
        let parameters: Parameters = variables.iter().map(|(name, v)| (name.clone(), v.as_tensor().clone())).collect();
        let mut pass = Pass {
            graph: &graph,
            parameters: &parameters,
            backend: Backend::Own,
            training: Some(Training { statistics: Vec::new(), frozen: &[], uniform: &mut |n| vec![0.5; n] }),
            cancelled: &|| false,
        };
        let logits = pass.run(&x, graph.logits())?;
        let loss = Loss::Bce { smoothing: 0.0 }.of(&logits, &logits.detach().ones_like()?)?;
        Ok(optimiser.step(&variables, &loss.backward()?, 1e-4)?)
    })?;
    Ok(Subject::Training { architecture: architecture.id(), step_ms })
}

/// The system's high-water mark, on Linux.
fn peak_memory() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.split_whitespace().next()?.parse::<f64>().ok().map(|kib| kib / 1024.0)
}

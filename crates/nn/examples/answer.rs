//! Reads a network from an ONNX file, says what it consists of, and times its answer to a grey picture.
//!
//! `cargo run --release -p lesionlens-nn --example answer -- MODEL.onnx`

use candle_core::{Device, Tensor};
use lesionlens_nn::graph::Shape;
use lesionlens_nn::network::{Network, Runner};
use lesionlens_nn::onnx::OnnxFile;
use std::error::Error;
use std::path::Path;
use std::time::Instant;

fn main() -> Result<(), Box<dyn Error>> {
    let name = std::env::args().nth(1).ok_or("name an ONNX file")?;
    let folder = Path::new(&name).parent().unwrap_or(Path::new("."));
    // Large networks keep their tensors in files beside the model.
    let beside = |other: &str| std::fs::read(folder.join(other)).map_err(|e| e.to_string());
    let model = OnnxFile::parse(&std::fs::read(&name)?, &beside)?.network(None)?;
    println!("{} layers, {} parameters", model.graph.nodes().len(), model.graph.parameter_count());
    let Shape::Image { height, width, channels } = model.graph.input_shape() else {
        return Err("it takes no picture".into());
    };
    println!("{width}×{height} pixels of {channels} channels in, {:?} out", model.graph.output_shape().dims());

    let network = Network::new(&model.graph, model.weights, &Runner::Cpu(None))?;
    let picture = Tensor::full(0.5f32, (1, height, width, channels), &Device::Cpu)?;
    network.infer(&picture, &|| false)?;
    let started = Instant::now();
    let answer = network.infer(&picture, &|| false)?.flatten_all()?.to_vec1::<f32>()?;
    println!(
        "{:.1} ms; the first numbers are {:?}",
        started.elapsed().as_secs_f64() * 1e3,
        &answer[..answer.len().min(4)]
    );
    Ok(())
}

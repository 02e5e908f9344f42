//! Single convolutions as the networks have them, on every instruction set of this processor: `cargo bench --bench kernels`.

use candle_core::{Device, Tensor};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use lesionlens_nn::exec::Parameters;
use lesionlens_nn::graph::{Builder, Padding, Shape, Window};
use lesionlens_nn::network::{Network, Runner};
use lesionlens_nn::plan::isa::Isa;

fn convolutions(criterion: &mut Criterion) {
    for (name, side, channels, filters, size) in [
        ("3x3 16 at 256", 256, 16, 16, 3),
        ("3x3 64 at 62", 62, 64, 64, 3),
        ("3x3 256 at 62", 62, 256, 256, 3),
        ("1x1 256 to 64 at 56", 56, 256, 64, 1),
    ] {
        let (mut b, x) = Builder::new(Shape::Image { height: side, width: side, channels });
        let padding = if size == 1 { Padding::Valid } else { Padding::Same };
        let y = b.conv("conv", x, filters, Window::dense(size, padding));
        b.relu("relu", y);
        let graph = b.finish().expect("a fixed graph");
        let tensor = |shape: &[usize]| Tensor::rand(-1f32, 1f32, shape, &Device::Cpu).expect("a small tensor");
        let parameters: Parameters =
            graph.parameters().into_iter().map(|p| (p.name.clone(), tensor(&p.shape))).collect();
        let x = tensor(&[1, side, side, channels]);
        let mut group = criterion.benchmark_group(name);
        group.throughput(Throughput::Elements((side * side * channels * filters * size * size) as u64));
        for isa in Isa::available() {
            let network = Network::new(&graph, parameters.clone(), &Runner::Cpu(Some(isa))).expect("a fixed graph");
            group.bench_function(BenchmarkId::from_parameter(isa), |b| b.iter(|| network.infer(&x, &|| false)));
        }
        group.finish();
    }
}

criterion_group!(benches, convolutions);
criterion_main!(benches);

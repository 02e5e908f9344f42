//! The shipped pair from a decoded slice to its answers, and one at a time: `cargo bench --bench cascade`.

use candle_core::Device;
use criterion::{Criterion, criterion_group, criterion_main};
use lesionlens::io;
use lesionlens::models::registry::Registry;

fn cascade(criterion: &mut Criterion) {
    let registry = Registry::scan_in(&[]);
    let (classifier, segmenter) = registry.default_pair();
    let load = |id: Option<String>| registry.load(&id.expect("a built-in model"), &Device::Cpu).expect("sound weights");
    let (classifier, segmenter) = (load(classifier), load(segmenter));
    let slice = io::example().slice(0).expect("the example");
    let mut group = criterion.benchmark_group("slice");
    group.bench_function("classify", |b| b.iter(|| classifier.classify(&slice, &|| false)));
    group.bench_function("segment", |b| b.iter(|| segmenter.segment(&slice, &|| false)));
    group.bench_function("both", |b| {
        b.iter(|| (classifier.classify(&slice, &|| false), segmenter.segment(&slice, &|| false)));
    });
    group.finish();
}

criterion_group!(benches, cascade);
criterion_main!(benches);

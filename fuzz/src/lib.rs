//! What the targets do: open bytes as a user would open a file, a study or a network.

use lesionlens::domain::study::Place;
use std::path::PathBuf;
use std::sync::LazyLock;

/// One file a process, in memory where the system has a place for that.
static FILE: LazyLock<PathBuf> = LazyLock::new(|| {
    let memory = PathBuf::from("/dev/shm");
    let folder = if memory.is_dir() { memory } else { std::env::temp_dir() };
    folder.join(format!("lesionlens-fuzz-{}", std::process::id()))
});

fn write(bytes: &[u8]) {
    std::fs::write(&*FILE, bytes).expect("a place for the file");
}

/// Opens a study and looks at its first, middle and last slice. Errors are welcome; panics that reach this, hangs and memory without
/// measure are not.
pub fn open(bytes: &[u8]) {
    write(bytes);
    let Ok(study) = lesionlens::io::load(&FILE) else { return };
    for plane in study.frames.planes().iter().copied().chain([study.frames.native()]) {
        let count = study.frames.count(plane);
        for index in [0, count / 2, count.saturating_sub(1)] {
            let place = Place { cut: lesionlens::domain::study::Cut { plane, time: study.frames.times() - 1 }, index };
            if let Ok(slice) = study.frames.slice(place) {
                std::hint::black_box(slice.grey());
            }
        }
    }
}

/// Finds out which network a file of weights holds. As with [`open`], only errors may come of it.
pub fn inspect(bytes: &[u8]) {
    write(bytes);
    let _ = std::hint::black_box(lesionlens::models::import::inspect(&FILE, None, None));
}

/// Reads an ONNX network; it has no files beside it.
pub fn onnx(bytes: &[u8]) {
    let Ok(file) = lesionlens_nn::onnx::OnnxFile::parse(bytes, &|_| Err("there is none".into())) else { return };
    std::hint::black_box(file.network(Some(32)).is_ok());
}

//! What a model file is, before anything is called broken: known formats by their first bytes, and the remedy for all others.

use lesionlens_nn::{keras, torch};
use std::io::Cursor;
use std::path::Path;

/// Formats that are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ModelFile {
    /// HDF5 or a `.keras` archive.
    Keras,
    /// A state dict of `torch.save`, or safetensors.
    StateDict,
    Onnx,
}

/// Something else; the sentence goes behind the file's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OtherFile {
    #[error(
        "is a TensorFlow SavedModel folder. In Python: `model = tf.keras.models.load_model(FOLDER); model.save(\"model.keras\")`, or `python -m tf2onnx.convert --saved-model FOLDER --output model.onnx`; then import that file"
    )]
    SavedModel,
    #[error("is a folder; choose the model file in it")]
    Folder,
    #[error("is empty; copy or download it again")]
    Empty,
    #[error(
        "is a Git LFS pointer: a note of where the model is kept, not the model. Run `git lfs pull` in its repository, or download the file itself"
    )]
    LfsPointer,
    #[error("is a web page, not a model; download the file itself (on GitHub: \"Download raw file\")")]
    WebPage,
    #[error(
        "is a TorchScript archive. In Python: `torch.save(torch.jit.load(FILE).state_dict(), \"weights.pth\")`, or export it with `torch.onnx.export`; then import that file"
    )]
    TorchScript,
    #[error(
        "is an exported PyTorch program (`torch.export`). In Python: `torch.save(torch.export.load(FILE).state_dict, \"weights.pth\")`, or export it with `torch.onnx.export`; then import that file"
    )]
    TorchProgram,
    #[error(
        "holds a whole pickled PyTorch module, which is code of its owner and is never run here. In Python, beside that code: `torch.save(torch.load(FILE, weights_only=False).state_dict(), \"weights.pth\")`; then import that file"
    )]
    PickledModule,
    #[error(
        "is a TensorFlow Lite model; import the Keras model it was made from, or `python -m tf2onnx.convert --tflite FILE --output model.onnx`"
    )]
    TfLite,
    #[error(
        "is part of a TensorFlow checkpoint, which holds numbers without a network. Load it in Python into the model it belongs to, `model.save(\"model.keras\")`, and import that file"
    )]
    TfCheckpoint,
    #[error(
        "is a TensorFlow graph (`.pb`); convert it with `python -m tf2onnx.convert --graphdef FILE --inputs IN:0 --outputs OUT:0 --output model.onnx` (or --saved-model FOLDER) and import that file"
    )]
    TfGraph,
    #[error("is a model description without weights; import the weights file and give this one with --config")]
    Config,
    #[error("is a list of weight shards; give the text of `model.to_json()` with --config FILE.json")]
    ShardList,
    #[error("is an archive without a model that is known here; unpack it and import the model file in it")]
    Archive,
    #[error("is a Python pickle, but not one that `torch.save` wrote; save `model.state_dict()` with `torch.save`")]
    Pickle,
    #[error("is a NumPy file; save the model as Keras (.keras), PyTorch state dict (.pth), safetensors or ONNX")]
    NumPy,
    #[error(
        "is no model file that is known here; known are Keras (.keras, .h5), PyTorch state dicts (.pth, .pt), safetensors and ONNX"
    )]
    Unknown,
}

/// What a path is that cannot be read as a file.
pub fn of_folder(path: &Path) -> OtherFile {
    let is_saved = ["saved_model.pb", "saved_model.pbtxt"].iter().any(|name| path.join(name).is_file());
    if is_saved { OtherFile::SavedModel } else { OtherFile::Folder }
}

/// What a file is, by its name's end and its bytes.
///
/// # Errors
/// If it is something else.
pub fn of_file(path: &Path, bytes: &[u8]) -> Result<ModelFile, OtherFile> {
    let name = path.file_name().map(|name| name.to_string_lossy().to_lowercase()).unwrap_or_default();
    let start = &bytes[..bytes.len().min(1024)];
    let text = String::from_utf8_lossy(start);
    let text = text.trim_start_matches('\u{feff}').trim_start();
    let lower = text.to_lowercase();
    // HDF5 may stand behind a block of its user's.
    let is_hdf5 = [0, 512, 1024, 2048].iter().any(|at| bytes.get(*at..).is_some_and(keras::is_hdf5));
    if bytes.is_empty() {
        return Err(OtherFile::Empty);
    }
    if text.starts_with("version https://git-lfs") {
        return Err(OtherFile::LfsPointer);
    }
    if lower.starts_with("<!doctype html") || lower.starts_with("<html") || lower.starts_with("<head") {
        return Err(OtherFile::WebPage);
    }
    if is_hdf5 {
        return Ok(ModelFile::Keras);
    }
    if bytes.starts_with(b"PK\x03\x04") || bytes.starts_with(b"PK\x05\x06") {
        return of_archive(bytes);
    }
    if torch::is_state_dict(bytes) {
        let is_module = torch::pickle::is_pickle(bytes) && mentions_modules(bytes);
        return if is_module { Err(OtherFile::PickledModule) } else { Ok(ModelFile::StateDict) };
    }
    if bytes.get(4..8) == Some(b"TFL3") {
        return Err(OtherFile::TfLite);
    }
    if name.ends_with("saved_model.pb") {
        return Err(OtherFile::SavedModel);
    }
    if name == "checkpoint" || name.contains(".ckpt.") || name.contains(".data-0000") || name.ends_with(".index") {
        return Err(OtherFile::TfCheckpoint);
    }
    if text.starts_with('{') {
        return Err(if name.ends_with(".weights.json") { OtherFile::ShardList } else { OtherFile::Config });
    }
    // The first field of a model is its format's version, a small number.
    if name.ends_with(".onnx") || bytes[0] == 8 && bytes.get(1).is_some_and(|version| (1..32).contains(version)) {
        return Ok(ModelFile::Onnx);
    }
    if bytes.starts_with(b"\x93NUMPY") {
        return Err(OtherFile::NumPy);
    }
    if bytes[0] == 0x80 && bytes.get(1).is_some_and(|protocol| *protocol <= 5) {
        return Err(OtherFile::Pickle);
    }
    if bytes.starts_with(b"\x1f\x8b") || bytes.starts_with(b"7z\xbc\xaf") || bytes.starts_with(b"Rar!") {
        return Err(OtherFile::Archive);
    }
    Err(if name.ends_with(".pb") { OtherFile::TfGraph } else { OtherFile::Unknown })
}

fn of_archive(bytes: &[u8]) -> Result<ModelFile, OtherFile> {
    let Ok(zip) = zip::ZipArchive::new(Cursor::new(bytes)) else {
        // One that was cut short is told by the reader of its kind.
        let start = String::from_utf8_lossy(&bytes[..bytes.len().min(4096)]).into_owned();
        return Ok(if start.contains("data.pkl") { ModelFile::StateDict } else { ModelFile::Keras });
    };
    let names: Vec<String> = zip.file_names().flatten().map(|name| name.into_owned()).collect();
    let has = |end: &str| names.iter().any(|name| name == end || name.ends_with(&format!("/{end}")));
    if has("constants.pkl") {
        return Err(OtherFile::TorchScript);
    }
    if has("data.pkl") {
        return if mentions_modules(bytes) { Err(OtherFile::PickledModule) } else { Ok(ModelFile::StateDict) };
    }
    if has("serialized_exported_program.json") || names.iter().any(|name| name.contains("models/model.json")) {
        return Err(OtherFile::TorchProgram);
    }
    if has("config.json") {
        return Ok(ModelFile::Keras);
    }
    Err(match () {
        () if has("saved_model.pb") => OtherFile::SavedModel,
        () if names.iter().all(|name| name.ends_with(".npy")) && !names.is_empty() => OtherFile::NumPy,
        () => OtherFile::Archive,
    })
}

/// A pickle of tensors names no layers. Pickles stand uncompressed in PyTorch's archives, before their data or behind them.
fn mentions_modules(bytes: &[u8]) -> bool {
    let needle = b"torch.nn.modules.";
    let ends = 1 << 22;
    let front = &bytes[..bytes.len().min(ends)];
    front.windows(needle.len()).any(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn zipped(names: &[&str]) -> Vec<u8> {
        let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
        for name in names {
            zip.start_file(*name, zip::write::SimpleFileOptions::default()).unwrap();
            zip.write_all(b"{}").unwrap();
        }
        zip.finish().unwrap().into_inner()
    }

    #[test]
    fn each_kind_is_known_by_its_bytes() {
        let of = |name: &str, bytes: &[u8]| of_file(Path::new(name), bytes);
        assert_eq!(of("m.pth", b""), Err(OtherFile::Empty));
        assert_eq!(of("m.pth", b"version https://git-lfs.github.com/spec/v1\n"), Err(OtherFile::LfsPointer));
        assert_eq!(of("m.h5", b"\n<!DOCTYPE html><html>"), Err(OtherFile::WebPage));
        assert_eq!(of("m.h5", b"\x89HDF\r\n\x1a\n"), Ok(ModelFile::Keras));
        let behind_a_block = [&[0; 512][..], b"\x89HDF\r\n\x1a\n"].concat();
        assert_eq!(of("m.h5", &behind_a_block), Ok(ModelFile::Keras));
        assert_eq!(of("m.onnx", b"\x08\x08\x12\x07pytorch"), Ok(ModelFile::Onnx));
        assert_eq!(of("m.tflite", b"\x1c\0\0\0TFL3"), Err(OtherFile::TfLite));
        assert_eq!(of("m.ckpt.index", b"\0\0"), Err(OtherFile::TfCheckpoint));
        assert_eq!(of("m.pkl", b"\x80\x04\x95\0"), Err(OtherFile::Pickle));
        assert_eq!(of("m.keras", &zipped(&["metadata.json", "config.json", "model.weights.h5"])), Ok(ModelFile::Keras));
        assert_eq!(of("m.pt", &zipped(&["m/data.pkl", "m/constants.pkl", "m/code/a.py"])), Err(OtherFile::TorchScript));
        assert_eq!(of("m.pt", &zipped(&["m/data.pkl", "m/version"])), Ok(ModelFile::StateDict));
        assert_eq!(of("m.zip", &zipped(&["photo.jpg"])), Err(OtherFile::Archive));
        assert_eq!(of("m.npz", &zipped(&["a.npy", "b.npy"])), Err(OtherFile::NumPy));
        assert_eq!(of("m.json", b"{\"class_name\": 1}"), Err(OtherFile::Config));
        assert_eq!(of("m.bin", b"what is this"), Err(OtherFile::Unknown));
    }

    #[test]
    fn a_saved_model_is_a_folder_with_its_graph() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(of_folder(folder.path()), OtherFile::Folder);
        std::fs::write(folder.path().join("saved_model.pb"), b"").unwrap();
        assert_eq!(of_folder(folder.path()), OtherFile::SavedModel);
    }
}

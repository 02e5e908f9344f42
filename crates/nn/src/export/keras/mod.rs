//! A graph as a `.keras` archive, which Keras 3 opens on any of its backends.
//!
//! Keras looks for a layer's tensors by the layer's class and its number among those of that class, in the order of `model.layers`.

mod layer;

use super::ExportError;
use crate::exec::Parameters;
use crate::graph::{Graph, Shape};
use crate::keras::order::keras_order;
use candle_core::{DType, Tensor};
use hdf5_pure::FileBuilder;
use layer::{Layer, Layers};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::io::{Cursor, Write};

/// The version of Keras whose description of layers is written.
const KERAS_VERSION: &str = "3.3.3";

/// The bytes of a `.keras` file. Its model takes batch × rows × columns × channels, as the graph does.
///
/// # Errors
/// If a tensor is missing, or a layer has no counterpart in Keras.
pub fn write(graph: &Graph, parameters: &Parameters) -> Result<Vec<u8>, ExportError> {
    let layers = Layers::of(graph, parameters)?;
    let config = serde_json::to_vec(&described(&layers)).map_err(std::io::Error::from)?;
    let metadata = json!({ "keras_version": KERAS_VERSION, "date_saved": "1980-01-01@00:00:00" }).to_string();
    let weights = tensors(&layers)?;
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    // Keras reads the weights in their place, which it can where they are not compressed.
    let stored = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    let parts =
        [("metadata.json", metadata.as_bytes()), ("config.json", &config[..]), ("model.weights.h5", &weights[..])];
    for (name, bytes) in parts {
        zip.start_file(name, stored).map_err(std::io::Error::from)?;
        zip.write_all(bytes)?;
    }
    Ok(zip.finish().map_err(std::io::Error::from)?.into_inner())
}

/// The model's configuration.
fn described(layers: &Layers) -> Value {
    let all = &layers.layers;
    let tensor = |of: &usize| {
        let Layer { name, shape, .. } = &all[*of];
        json!({
            "class_name": "__keras_tensor__",
            "config": { "shape": with_batch(shape), "dtype": "float32", "keras_history": [name, 0, 0] },
        })
    };
    let one = |layer: &Layer| {
        let mut config = layer.config.clone();
        if let Value::Object(config) = &mut config {
            config.insert("name".into(), json!(layer.name));
            config.insert("dtype".into(), json!("float32"));
        }
        let given: Vec<Value> = layer.inputs.iter().map(tensor).collect();
        let arguments = if layer.merges { json!([given]) } else { json!(given) };
        let nodes = if given.is_empty() { json!([]) } else { json!([{ "args": arguments, "kwargs": {} }]) };
        json!({
            "module": "keras.layers",
            "class_name": layer.class,
            "config": config,
            "registered_name": null,
            "name": layer.name,
            "inbound_nodes": nodes,
        })
    };
    let name = |at: usize| json!([all[at].name, 0, 0]);
    json!({
        "module": "keras.src.models.functional",
        "class_name": "Functional",
        "config": {
            "name": "network",
            "trainable": true,
            "layers": all.iter().map(one).collect::<Vec<_>>(),
            "input_layers": [name(0)],
            "output_layers": [name(layers.output)],
        },
        "registered_name": "Functional",
        "build_config": { "input_shape": null },
    })
}

/// Sides of a value with any batch before them.
fn with_batch(sides: &[usize]) -> Value {
    std::iter::once(Value::Null).chain(sides.iter().map(|side| json!(side))).collect()
}

/// The HDF5 file of all tensors.
fn tensors(layers: &Layers) -> Result<Vec<u8>, ExportError> {
    let inputs: Vec<Vec<usize>> = layers.layers.iter().map(|layer| layer.inputs.clone()).collect();
    let mut met: HashMap<&str, usize> = HashMap::new();
    let mut file = FileBuilder::new();
    let mut all = file.create_group("layers");
    for at in keras_order(&inputs, layers.output) {
        let Layer { class, tensors, .. } = &layers.layers[at];
        let count = met.entry(class).or_default();
        let name = if *count == 0 { snake_case(class) } else { format!("{}_{count}", snake_case(class)) };
        *count += 1;
        if tensors.is_empty() {
            continue;
        }
        let mut group = all.create_group(&name);
        let mut numbered = group.create_group("vars");
        for (place, tensor) in tensors.iter().enumerate() {
            let shape: Vec<u64> = tensor.dims().iter().map(|side| *side as u64).collect();
            let values: Vec<f32> = tensor.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?;
            numbered.create_dataset(&place.to_string()).with_f32_data(&values).with_shape(&shape);
        }
        group.add_group(numbered.finish());
        all.add_group(group.finish());
    }
    file.add_group(all.finish());
    file.finish().map_err(|reason| ExportError::Hdf5(reason.to_string()))
}

/// A class's name as Keras writes it in files: `Conv2DTranspose` becomes `conv2d_transpose`, `PReLU` `p_re_lu`.
fn snake_case(class: &str) -> String {
    let letters: Vec<char> = class.chars().collect();
    let mut out = String::new();
    for (at, letter) in letters.iter().enumerate() {
        let before = at.checked_sub(1).map(|at| letters[at]);
        let next_is_small = letters.get(at + 1).is_some_and(char::is_ascii_lowercase);
        let begins = letter.is_ascii_uppercase() && before.is_some_and(|c| c.is_ascii_lowercase() || next_is_small);
        if begins {
            out.push('_');
        }
        out.push(letter.to_ascii_lowercase());
    }
    out
}

/// Sides of a shape without its batch.
fn sides(shape: Shape) -> Vec<usize> {
    shape.dims()
}

/// A tensor of these sides and values.
fn constant(values: Vec<f32>, sides: &[usize]) -> Result<Tensor, ExportError> {
    Ok(Tensor::from_vec(values, sides, &candle_core::Device::Cpu)?)
}

#[cfg(test)]
mod tests {
    use super::snake_case;

    /// What `keras.src.utils.naming.to_snake_case` says.
    #[test]
    fn classes_are_named_as_in_keras() {
        let known = [
            ("Conv2D", "conv2d"),
            ("Conv2DTranspose", "conv2d_transpose"),
            ("DepthwiseConv2D", "depthwise_conv2d"),
            ("BatchNormalization", "batch_normalization"),
            ("GroupNormalization", "group_normalization"),
            ("LayerNormalization", "layer_normalization"),
            ("PReLU", "p_re_lu"),
            ("Dense", "dense"),
        ];
        for (class, name) in known {
            assert_eq!(snake_case(class), name);
        }
    }
}

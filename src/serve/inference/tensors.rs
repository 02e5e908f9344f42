//! Tensors of the Open Inference Protocol: numbers in JSON, or bytes behind it (the extension `binary_tensor_data`).

use crate::serve::problem::Problem;
use serde::de::{Deserialize, Deserializer, SeqAccess, Visitor};
use serde::{Deserialize as FromJson, Serialize};
use std::fmt;

/// Header that says how many bytes of a body are JSON; binary tensors follow.
pub const JSON_LENGTH: &str = "inference-header-content-length";
/// The only type of numbers that networks here take and give.
pub const DATATYPE: &str = "FP32";

/// Numbers of a JSON array, nested or not, in row-major order.
#[derive(Debug, Default, PartialEq)]
pub struct Flat(pub Vec<f32>);

impl<'de> Deserialize<'de> for Flat {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut values = Vec::new();
        deserializer.deserialize_any(Into(&mut values))?;
        Ok(Self(values))
    }
}

/// Appends every number that it meets.
struct Into<'a>(&'a mut Vec<f32>);

impl<'de> serde::de::DeserializeSeed<'de> for Into<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Into<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("numbers, or arrays of them")
    }

    fn visit_f64<E>(self, value: f64) -> Result<(), E> {
        self.0.push(value as f32);
        Ok(())
    }

    fn visit_i64<E>(self, value: i64) -> Result<(), E> {
        self.0.push(value as f32);
        Ok(())
    }

    fn visit_u64<E>(self, value: u64) -> Result<(), E> {
        self.0.push(value as f32);
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while items.next_element_seed(Into(&mut *self.0))?.is_some() {}
        Ok(())
    }
}

/// Settings of a tensor.
#[derive(Debug, Default, FromJson)]
pub struct TensorSettings {
    /// Bytes of the tensor behind the JSON.
    pub binary_data_size: Option<usize>,
    /// Whether an output is wanted as bytes.
    pub binary_data: Option<bool>,
}

#[derive(Debug, FromJson)]
pub struct InputTensor {
    pub name: String,
    pub shape: Vec<usize>,
    pub datatype: String,
    #[serde(default)]
    pub parameters: TensorSettings,
    #[serde(default)]
    pub data: Option<Flat>,
}

#[derive(Debug, FromJson)]
pub struct WantedTensor {
    pub name: String,
    #[serde(default)]
    pub parameters: TensorSettings,
}

/// Settings of a whole request.
#[derive(Debug, Default, FromJson)]
pub struct RequestSettings {
    /// Whether outputs that nobody spoke of are wanted as bytes.
    #[serde(default)]
    pub binary_data_output: bool,
}

#[derive(Debug, FromJson)]
pub struct InferenceRequest {
    pub id: Option<String>,
    #[serde(default)]
    pub parameters: RequestSettings,
    pub inputs: Vec<InputTensor>,
    #[serde(default)]
    pub outputs: Vec<WantedTensor>,
}

/// What is said of a tensor in an answer.
#[derive(Debug, Serialize)]
pub struct OutputTensor {
    pub name: &'static str,
    pub shape: Vec<usize>,
    pub datatype: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<Vec<f32>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parameters: Option<BinarySize>,
}

#[derive(Debug, Serialize)]
pub struct BinarySize {
    pub binary_data_size: usize,
}

/// A request with the numbers of its only input, of the shape that it says.
#[derive(Debug)]
pub struct Parsed {
    pub id: Option<String>,
    pub shape: Vec<usize>,
    pub values: Vec<f32>,
    /// Whether the output is wanted as bytes.
    pub binary_output: bool,
}

/// Reads a body whose first `json_length` bytes are JSON, or all of it. `input` and `output` are the names of the tensors.
///
/// # Errors
/// If the body is malformed, names another tensor, or its numbers do not fill its shape.
pub fn parse(body: &[u8], json_length: Option<usize>, input: &str, output: &str) -> Result<Parsed, Problem> {
    let wrong = |text: String| Problem::Malformed(text);
    let split = json_length.unwrap_or(body.len());
    let too_short = || wrong(format!("{JSON_LENGTH} is {split}, but the body has {} bytes", body.len()));
    let (json, binary) = body.split_at_checked(split).ok_or_else(too_short)?;
    let request: InferenceRequest =
        serde_json::from_slice(json).map_err(|e| wrong(format!("the request is malformed: {e}")))?;
    let count = request.inputs.len();
    let only = <[InputTensor; 1]>::try_from(request.inputs);
    let [tensor] =
        only.map_err(|_| wrong(format!("there are {count} inputs; the model takes one, called `{input}`")))?;
    if tensor.name != input {
        return Err(wrong(format!("there is no input `{}`; the model takes `{input}`", tensor.name)));
    }
    if tensor.datatype != DATATYPE {
        return Err(wrong(format!("`{input}` is {}; the model takes {DATATYPE}", tensor.datatype)));
    }
    if let Some(other) = request.outputs.iter().find(|wanted| wanted.name != output) {
        return Err(wrong(format!("there is no output `{}`; the model gives `{output}`", other.name)));
    }
    let values = match (tensor.data, tensor.parameters.binary_data_size) {
        (Some(Flat(values)), None) => values,
        (None, Some(size)) if size == binary.len() && size % 4 == 0 => {
            binary.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
        }
        (None, Some(size)) => {
            let text = format!("`{input}` says {size} bytes of {DATATYPE}, but {} follow the JSON", binary.len());
            return Err(wrong(text));
        }
        (Some(_), Some(_)) => return Err(wrong(format!("`{input}` has numbers both in the JSON and behind it"))),
        (None, None) => return Err(wrong(format!("`{input}` has no data"))),
    };
    let wanted = tensor.shape.iter().try_fold(1usize, |product, side| product.checked_mul(*side));
    if wanted != Some(values.len()) {
        return Err(wrong(format!("`{input}` has {} numbers, which do not fill {:?}", values.len(), tensor.shape)));
    }
    let binary_output = match request.outputs.first().and_then(|wanted| wanted.parameters.binary_data) {
        Some(wanted) => wanted,
        None => request.parameters.binary_data_output,
    };
    Ok(Parsed { id: request.id, shape: tensor.shape, values, binary_output })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(body: &str) -> String {
        let problem = parse(body.as_bytes(), None, "input", "output").unwrap_err();
        assert_eq!(problem.status().as_u16(), 400);
        problem.to_string()
    }

    #[test]
    fn nested_and_flat_numbers_are_the_same_tensor() {
        for data in ["[[1, 2.5], [3, -4]]", "[1, 2.5, 3, -4]"] {
            let body = format!(
                r#"{{"id":"7","inputs":[{{"name":"input","shape":[2,2],"datatype":"FP32","data":{data}}}],
                    "outputs":[{{"name":"output","parameters":{{"binary_data":true}}}}]}}"#
            );
            let parsed = parse(body.as_bytes(), None, "input", "output").unwrap();
            assert_eq!((parsed.shape, parsed.values), (vec![2, 2], vec![1.0, 2.5, 3.0, -4.0]));
            assert!(parsed.binary_output && parsed.id.as_deref() == Some("7"));
        }
    }

    #[test]
    fn bytes_follow_the_json() {
        let json =
            br#"{"inputs":[{"name":"input","shape":[1],"datatype":"FP32","parameters":{"binary_data_size":4}}]}"#;
        let body = [json.as_slice(), &1.5f32.to_le_bytes()].concat();
        let parsed = parse(&body, Some(json.len()), "input", "output").unwrap();
        assert_eq!((parsed.values, parsed.binary_output), (vec![1.5], false));
        let short = parse(&body[..json.len() + 3], Some(json.len()), "input", "output").unwrap_err();
        assert!(short.to_string().contains("3 follow"), "{short}");
        assert!(parse(&body, Some(1 << 40), "input", "output").is_err());
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let with = |name: &str, shape: &str, kind: &str, data: &str| {
            refused(&format!(r#"{{"inputs":[{{"name":"{name}","shape":{shape},"datatype":"{kind}","data":{data}}}]}}"#))
        };
        assert!(with("x", "[1]", "FP32", "[1]").contains("no input `x`"));
        assert!(with("input", "[1]", "INT8", "[1]").contains("takes FP32"));
        assert!(with("input", "[3]", "FP32", "[1]").contains("do not fill"));
        assert!(with("input", "[9223372036854775807, 9]", "FP32", "[1]").contains("do not fill"));
        assert!(with("input", "[1]", "FP32", "[\"a\"]").contains("numbers"));
        assert!(refused("{\"inputs\":[]}").contains("0 inputs"));
        assert!(refused("[").contains("malformed"));
    }
}

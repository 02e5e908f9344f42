//! The messages of an ONNX file (onnx.proto3), without what a network does not need.

use super::OnnxError;
use super::array::Array;
use super::wire::Message;
use half::{bf16, f16};
use std::collections::HashMap;

/// Operations that are believed; the largest published networks have some ten thousand.
const MOST_NODES: usize = 50_000;
/// Values of one tensor that are believed: 1 GiB in f32.
const MOST_VALUES: usize = 1 << 28;

/// A model.
#[derive(Debug, Default)]
pub struct Model {
    /// Version of the standard's operators.
    pub opset: i64,
    pub nodes: Vec<Node>,
    pub constants: HashMap<String, Array>,
    pub inputs: Vec<Input>,
    pub outputs: Vec<String>,
}

/// A value that the network is given; sides that are open are `None`.
#[derive(Debug, Clone, PartialEq)]
pub struct Input {
    pub name: String,
    pub sides: Vec<Option<usize>>,
}

/// One operation.
#[derive(Debug, Default)]
pub struct Node {
    pub name: String,
    pub operator: String,
    pub domain: String,
    pub inputs: Vec<String>,
    pub outputs: Vec<String>,
    pub attributes: HashMap<String, Attribute>,
}

#[derive(Debug, Clone)]
pub enum Attribute {
    Float(f32),
    Integer(i64),
    Text(String),
    Tensor(Array),
    Floats(Vec<f32>),
    Integers(Vec<i64>),
    Other,
}

/// Gives the bytes of a file beside the model by its plain name.
pub type Beside<'a> = dyn Fn(&str) -> Result<Vec<u8>, String> + 'a;

/// Parses a file; tensors in files of their own are read through `beside`.
pub fn model(bytes: &[u8], beside: &Beside) -> Result<Model, OnnxError> {
    let mut out = Model::default();
    let mut message = Message(bytes);
    let mut graph = None;
    while let Some((number, field)) = message.next()? {
        match number {
            7 => graph = Some(field.bytes()?),
            8 => {
                let (mut domain, mut version) = (String::new(), 0);
                let mut opset = Message(field.bytes()?);
                while let Some((number, field)) = opset.next()? {
                    match number {
                        1 => domain = field.text()?,
                        2 => version = field.integer()?,
                        _ => {}
                    }
                }
                if domain.is_empty() || domain == "ai.onnx" {
                    out.opset = version;
                }
            }
            _ => {}
        }
    }
    let graph = graph.ok_or_else(|| OnnxError::Damaged("it holds no graph; export it again".into()))?;
    let mut files = External { beside, known: HashMap::new() };
    let mut message = Message(graph);
    while let Some((number, field)) = message.next()? {
        match number {
            1 if out.nodes.len() < MOST_NODES => out.nodes.push(node(field.bytes()?, &mut files)?),
            1 => return Err(OnnxError::Damaged(format!("it has more than {MOST_NODES} operations"))),
            5 => {
                let (name, array) = tensor(field.bytes()?, &mut files)?;
                out.constants.insert(name, array);
            }
            11 => out.inputs.push(input(field.bytes()?)?),
            12 => out.outputs.push(input(field.bytes()?)?.name),
            _ => {}
        }
    }
    // Old exporters list constants among the inputs.
    out.inputs.retain(|input| !out.constants.contains_key(&input.name));
    Ok(out)
}

fn node(bytes: &[u8], files: &mut External) -> Result<Node, OnnxError> {
    let mut out = Node::default();
    let mut message = Message(bytes);
    while let Some((number, field)) = message.next()? {
        match number {
            1 => out.inputs.push(field.text()?),
            2 => out.outputs.push(field.text()?),
            3 => out.name = field.text()?,
            4 => out.operator = field.text()?,
            5 => {
                let (name, attribute) = attribute(field.bytes()?, files)?;
                out.attributes.insert(name, attribute);
            }
            7 => out.domain = field.text()?,
            _ => {}
        }
    }
    Ok(out)
}

fn attribute(bytes: &[u8], files: &mut External) -> Result<(String, Attribute), OnnxError> {
    let (mut name, mut kind) = (String::new(), 0);
    let (mut float, mut integer, mut text, mut array) = (0.0, 0, String::new(), None);
    let (mut floats, mut integers) = (Vec::new(), Vec::new());
    let mut message = Message(bytes);
    while let Some((number, field)) = message.next()? {
        match number {
            1 => name = field.text()?,
            2 => float = field.float()?,
            3 => integer = field.integer()?,
            4 => text = field.text()?,
            5 => array = Some(tensor(field.bytes()?, files)?.1),
            7 => floats.extend(field.floats()?),
            8 => integers.extend(field.integers()?),
            20 => kind = field.integer()?,
            _ => {}
        }
    }
    let attribute = match kind {
        1 => Attribute::Float(float),
        2 => Attribute::Integer(integer),
        3 => Attribute::Text(text),
        4 => array.map_or(Attribute::Other, Attribute::Tensor),
        6 => Attribute::Floats(floats),
        7 => Attribute::Integers(integers),
        _ => Attribute::Other,
    };
    Ok((name, attribute))
}

fn input(bytes: &[u8]) -> Result<Input, OnnxError> {
    let mut out = Input { name: String::new(), sides: Vec::new() };
    let mut message = Message(bytes);
    while let Some((number, field)) = message.next()? {
        match number {
            1 => out.name = field.text()?,
            2 => {
                let mut kind = Message(field.bytes()?);
                while let Some((number, field)) = kind.next()? {
                    if number == 1 {
                        out.sides = tensor_sides(field.bytes()?)?;
                    }
                }
            }
            _ => {}
        }
    }
    Ok(out)
}

fn tensor_sides(bytes: &[u8]) -> Result<Vec<Option<usize>>, OnnxError> {
    let mut sides = Vec::new();
    let mut tensor = Message(bytes);
    while let Some((number, field)) = tensor.next()? {
        if number != 2 {
            continue;
        }
        let mut shape = Message(field.bytes()?);
        while let Some((_, field)) = shape.next()? {
            let mut side = None;
            let mut dimension = Message(field.bytes()?);
            while let Some((number, field)) = dimension.next()? {
                if number == 1 {
                    side = usize::try_from(field.integer()?).ok().filter(|side| *side > 0);
                }
            }
            sides.push(side);
        }
    }
    Ok(sides)
}

/// Files of tensors beside the model, each read once.
struct External<'a> {
    beside: &'a Beside<'a>,
    known: HashMap<String, Vec<u8>>,
}

impl External<'_> {
    fn values(&mut self, place: &HashMap<String, String>, length: usize) -> Result<Vec<u8>, OnnxError> {
        let file = place.get("location").cloned().unwrap_or_default();
        let is_plain = std::path::Path::new(&file).file_name().is_some_and(|name| name == file.as_str());
        if !is_plain || file.contains(['/', '\\', ':']) {
            return Err(OnnxError::External(file));
        }
        if !self.known.contains_key(&file) {
            let bytes = (self.beside)(&file).map_err(|problem| OnnxError::Missing { file: file.clone(), problem })?;
            self.known.insert(file.clone(), bytes);
        }
        let number = |key: &str| place.get(key).and_then(|text| text.parse::<usize>().ok());
        let start = number("offset").unwrap_or(0);
        let length = number("length").unwrap_or(length);
        let bytes = self.known.get(&file).and_then(|bytes| bytes.get(start..start.checked_add(length)?));
        Ok(bytes
            .ok_or_else(|| OnnxError::Damaged(format!("`{file}` beside it is too short; copy both again")))?
            .to_vec())
    }
}

/// Name and values of a tensor.
fn tensor(bytes: &[u8], files: &mut External) -> Result<(String, Array), OnnxError> {
    let (mut name, mut sides, mut kind) = (String::new(), Vec::new(), 0);
    let (mut floats, mut integers, mut doubles) = (Vec::new(), Vec::new(), Vec::new());
    let (mut raw, mut place, mut is_external) = (None, HashMap::new(), false);
    let mut message = Message(bytes);
    while let Some((number, field)) = message.next()? {
        match number {
            1 => sides.extend(field.integers()?),
            2 => kind = field.integer()?,
            4 => floats.extend(field.floats()?),
            5 | 7 => integers.extend(field.integers()?),
            8 => name = field.text()?,
            9 => raw = Some(field.bytes()?.to_vec()),
            10 => doubles.extend(field.doubles()?),
            13 => {
                let (mut key, mut value) = (String::new(), String::new());
                let mut entry = Message(field.bytes()?);
                while let Some((number, field)) = entry.next()? {
                    match number {
                        1 => key = field.text()?,
                        2 => value = field.text()?,
                        _ => {}
                    }
                }
                place.insert(key, value);
            }
            14 => is_external = field.integer()? == 1,
            _ => {}
        }
    }
    let damaged = |problem: &str| OnnxError::Damaged(format!("its tensor `{name}` {problem}"));
    let sides: Option<Vec<usize>> = sides.iter().map(|side| usize::try_from(*side).ok()).collect();
    let sides = sides.ok_or_else(|| damaged("has a negative side"))?;
    let count = sides.iter().try_fold(1usize, |all, side| all.checked_mul(*side)).filter(|count| *count <= MOST_VALUES);
    let count = count.ok_or_else(|| damaged("is larger than any network's"))?;
    let width = match kind {
        2 | 3 | 9 => 1,
        4 | 5 | 10 | 16 => 2,
        1 | 6 => 4,
        7 | 11 => 8,
        other => return Err(damaged(&format!("holds numbers of a kind that is not known here ({other})"))),
    };
    if is_external {
        raw = Some(files.values(&place, count * width)?);
    }
    let array = match (kind, raw) {
        (1 | 10 | 11 | 16, raw) => {
            let values: Vec<f32> = match raw {
                Some(raw) => match kind {
                    1 => raw.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect(),
                    10 => raw.as_chunks().0.iter().map(|b| f16::from_le_bytes(*b).to_f32()).collect(),
                    16 => raw.as_chunks().0.iter().map(|b| bf16::from_le_bytes(*b).to_f32()).collect(),
                    _ => raw.as_chunks().0.iter().map(|b| f64::from_le_bytes(*b) as f32).collect(),
                },
                None => match kind {
                    1 => floats,
                    10 => integers.iter().map(|bits| f16::from_bits(*bits as u16).to_f32()).collect(),
                    16 => integers.iter().map(|bits| bf16::from_bits(*bits as u16).to_f32()).collect(),
                    _ => doubles.iter().map(|value| *value as f32).collect(),
                },
            };
            Array::floats(sides, values)
        }
        (_, Some(raw)) => {
            let values = match kind {
                2 | 9 => raw.iter().map(|b| i64::from(*b)).collect(),
                3 => raw.iter().map(|b| i64::from(*b as i8)).collect(),
                4 => raw.as_chunks().0.iter().map(|b| i64::from(u16::from_le_bytes(*b))).collect(),
                5 => raw.as_chunks().0.iter().map(|b| i64::from(i16::from_le_bytes(*b))).collect(),
                6 => raw.as_chunks().0.iter().map(|b| i64::from(i32::from_le_bytes(*b))).collect(),
                _ => raw.as_chunks().0.iter().map(|b| i64::from_le_bytes(*b)).collect(),
            };
            Array::integers(sides, values)
        }
        (_, None) => Array::integers(sides, integers),
    };
    Ok((name.clone(), array.ok_or_else(|| damaged("has not as many values as its shape says"))?))
}

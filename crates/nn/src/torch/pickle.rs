//! State dicts as `torch.save` writes them: the zip archive of today and the plain stream of before 1.6.
//!
//! The pickle inside is parsed into plain objects and never executed; only tensors with text names are taken.

use crate::exec::Parameters;
use candle_core::pickle::{Object, Stack};
use candle_core::{DType, Device, Tensor};
use half::{bf16, f16};
use std::collections::HashMap;
use std::io::{Cursor, Read};

/// Why a file was not read as a state dict.
#[derive(Debug, thiserror::Error)]
pub enum PytorchError {
    #[error("not a PyTorch file that `torch.save` wrote")]
    Format,
    #[error("damaged or unusual PyTorch file: {0}")]
    Content(String),
    #[error("`{name}` {problem}")]
    Tensor { name: String, problem: String },
}

impl PytorchError {
    fn content(problem: impl ToString) -> Self {
        Self::Content(problem.to_string())
    }
}

/// The pickle of the stream format's magic number.
const STREAM_MAGIC: &[u8] = &[0x80, 2, 0x8a, 10, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19, b'.'];

/// Whether a file looks like one that `torch.save` wrote; Keras' archives are zips too.
pub fn is_pickle(bytes: &[u8]) -> bool {
    let zip = zip::ZipArchive::new(Cursor::new(bytes));
    let mut names = zip.iter().flat_map(|zip| zip.file_names().flatten());
    bytes.starts_with(STREAM_MAGIC) || names.any(|name| name.ends_with("/data.pkl"))
}

/// Largest pickle that is unpacked; data are never compressed, so no other member can be larger than the file.
const MAX_PICKLE: u64 = 64 << 20;

/// Deepest nesting of objects; a state dict needs less than a dozen.
const MAX_DEPTH: usize = 64;

/// Objects that may be looked at in all; a large state dict has some hundred thousand.
const MAX_OBJECTS: usize = 20_000_000;

/// Values of all tensors together may be so many times the file's size: tensors may share storage.
const MAX_SHARING: usize = 4;

/// The tensors of a state dict by name, in f32; whole numbers (batch counters) are left out. A checkpoint that holds the state dict
/// under one of the usual names is opened too.
///
/// # Errors
/// If the bytes are no such file, are cut short, or a tensor's description contradicts its storage.
pub fn read(bytes: &[u8]) -> Result<Parameters, PytorchError> {
    let (object, storages) = if bytes.starts_with(STREAM_MAGIC) { stream(bytes)? } else { archive(bytes)? };
    let mut out = Parameters::new();
    let mut room = bytes.len().saturating_mul(MAX_SHARING);
    for (name, value) in entries(object)? {
        let (Ok(name), Some(place)) = (name.unicode(), Place::of(value)) else { continue };
        let Some(dtype) = place.dtype else { continue };
        let failed = |problem: String| PytorchError::Tensor { name: name.clone(), problem };
        let storage = storages.get(&place.key).ok_or_else(|| failed("has no data in the file".into()))?;
        let values = place.values(dtype, storage).ok_or_else(|| failed("reaches beyond its data".into()))?;
        room = room
            .checked_sub(values.len() * place.item)
            .ok_or_else(|| PytorchError::content("its tensors share far more data than is there"))?;
        let tensor =
            Tensor::from_vec(values, place.shape.as_slice(), &Device::Cpu).map_err(|e| failed(e.to_string()))?;
        out.insert(name, tensor);
    }
    Ok(out)
}

/// Raw bytes by storage key.
type Storages = HashMap<String, Vec<u8>>;

/// Opcodes that nest objects or copy them, and the one whose long form overflows.
const GROWING: &[u8] = b"hjqrtRQaesub\x81\x85\x86\x87";
const LONG1: u8 = 0x8a;

/// One opcode at a time, so that an object which nests or doubles without end is stopped while it is small.
fn unpickle(reader: &mut Cursor<&[u8]>) -> Result<Object, PytorchError> {
    let mut stack = Stack::empty();
    let mut objects = MAX_OBJECTS;
    loop {
        let rest = reader.get_ref().get(reader.position() as usize..).unwrap_or_default();
        let (opcode, next) = (rest.first().copied(), rest.get(1).copied());
        if opcode == Some(LONG1) && next.is_some_and(|length| length > 8) {
            return Err(PytorchError::content("a whole number of more than 64 bits"));
        }
        if stack.read(reader).map_err(PytorchError::content)? {
            return stack.finalize().map_err(PytorchError::content);
        }
        if let (true, Some(top)) = (opcode.is_some_and(|code| GROWING.contains(&code)), stack.stack().last()) {
            let left = spend(top, objects, 0);
            objects = left.ok_or_else(|| PytorchError::content("objects nest or repeat without end"))?;
        }
    }
}

/// What is left of `objects` after counting those in `object`; `None` when they do not suffice or nest too deeply.
fn spend(object: &Object, objects: usize, depth: usize) -> Option<usize> {
    let left = objects.checked_sub(1).filter(|_| depth < MAX_DEPTH)?;
    children(object).into_iter().try_fold(left, |left, child| spend(child, left, depth + 1))
}

/// The objects right inside an object.
fn children(object: &Object) -> Vec<&Object> {
    match object {
        Object::Tuple(items) | Object::List(items) => items.iter().collect(),
        Object::Dict(items) => items.iter().flat_map(|(key, value)| [key, value]).collect(),
        Object::Reduce { callable, args } | Object::Build { callable, args } => vec![callable, args],
        Object::PersistentLoad(id) => vec![id],
        _ => Vec::new(),
    }
}

/// Magic, protocol, system, object, storage keys, then every storage: its length and its values.
fn stream(bytes: &[u8]) -> Result<(Object, Storages), PytorchError> {
    let mut reader: Cursor<&[u8]> = Cursor::new(&bytes[STREAM_MAGIC.len()..]);
    let _protocol = unpickle(&mut reader)?;
    let _system = unpickle(&mut reader)?;
    let object = unpickle(&mut reader)?;
    let sizes = storage_sizes(&object);
    let Object::List(keys) = unpickle(&mut reader)? else {
        return Err(PytorchError::content("no list of storages"));
    };
    let mut storages = Storages::new();
    for key in keys {
        let key = key.unicode().map_err(|_| PytorchError::content("a storage without a name"))?;
        let mut count = [0; 8];
        reader.read_exact(&mut count).map_err(PytorchError::content)?;
        let item = sizes.get(&key).ok_or_else(|| PytorchError::content("a storage that no tensor uses"))?;
        let length = usize::try_from(u64::from_le_bytes(count)).ok().and_then(|n| n.checked_mul(*item));
        let start = reader.position() as usize + STREAM_MAGIC.len();
        let data = length.and_then(|length| bytes.get(start..start.checked_add(length)?));
        let data = data.ok_or_else(|| PytorchError::content("the file is cut short"))?;
        reader.set_position((start - STREAM_MAGIC.len() + data.len()) as u64);
        storages.insert(key, data.to_vec());
    }
    Ok((object, storages))
}

/// Bytes of a value in every storage that is spoken of anywhere, optimiser states too.
fn storage_sizes(object: &Object) -> HashMap<String, usize> {
    let mut sizes = HashMap::new();
    let mut waiting = vec![object];
    while let Some(object) = waiting.pop() {
        match object {
            Object::PersistentLoad(id) => sizes.extend(storage(id).map(|(key, _, item)| (key, item))),
            other => waiting.extend(children(other)),
        }
    }
    sizes
}

/// Key, number format (`None` for numbers that are no weights) and bytes of a value, of `('storage', class, key, …)`.
fn storage(id: &Object) -> Option<(String, Option<DType>, usize)> {
    let Object::Tuple(parts) = id else { return None };
    let [_, Object::Class { class_name, .. }, Object::Unicode(key), ..] = parts.as_slice() else { return None };
    let (dtype, item) = match class_name.as_str() {
        "FloatStorage" => (Some(DType::F32), 4),
        "DoubleStorage" => (Some(DType::F64), 8),
        "HalfStorage" => (Some(DType::F16), 2),
        "BFloat16Storage" => (Some(DType::BF16), 2),
        "LongStorage" => (None, 8),
        "IntStorage" => (None, 4),
        "ShortStorage" => (None, 2),
        "ByteStorage" | "CharStorage" | "BoolStorage" => (None, 1),
        _ => return None,
    };
    Some((key.clone(), dtype, item))
}

/// A zip with `NAME/data.pkl` and `NAME/data/KEY`.
fn archive(bytes: &[u8]) -> Result<(Object, Storages), PytorchError> {
    let mut zip = zip::ZipArchive::new(Cursor::new(bytes)).map_err(|_| PytorchError::Format)?;
    let names = zip.file_names().map(|name| Ok(name?.into_owned()));
    let names: Vec<String> = names.collect::<Result<_, zip::result::ZipError>>().map_err(PytorchError::content)?;
    let pickle = names.iter().find(|name| name.ends_with("/data.pkl")).ok_or(PytorchError::Format)?;
    let folder = format!("{}data/", pickle.trim_end_matches("data.pkl"));
    let mut member = |name: &str| -> Result<Vec<u8>, PytorchError> {
        let file = zip.by_name(name).map_err(PytorchError::content)?;
        let is_stored = file.compression() == zip::CompressionMethod::Stored;
        let limit = if is_stored { bytes.len() as u64 } else { MAX_PICKLE };
        let (mut data, size) = (Vec::new(), file.size());
        file.take(limit).read_to_end(&mut data).map_err(PytorchError::content)?;
        if data.len() as u64 == size {
            Ok(data)
        } else {
            Err(PytorchError::content(format!("`{name}` has not its stated size")))
        }
    };
    let object = unpickle(&mut Cursor::new(member(pickle)?.as_slice()))?;
    let used = storage_sizes(&object);
    let mut storages = Storages::new();
    for name in &names {
        if let Some(key) = name.strip_prefix(&folder).filter(|key| used.contains_key(*key)) {
            storages.insert(key.to_string(), member(name)?);
        }
    }
    Ok((object, storages))
}

/// Keys under which training code keeps the state dict in a checkpoint.
const INNER: [&str; 5] = ["state_dict", "model_state_dict", "model", "net", "weights"];

/// Whether a value is a tensor.
fn is_tensor(value: &Object) -> bool {
    let class =
        |object: &Object| matches!(object, Object::Class { class_name, .. } if class_name.starts_with("_rebuild_"));
    matches!(value, Object::Reduce { callable, .. } if class(callable))
}

/// Number of tensors right inside a dictionary.
fn tensors_in(value: &Object) -> usize {
    match value {
        Object::Dict(items) => items.iter().filter(|(_, value)| is_tensor(value)).count(),
        Object::Build { callable, .. } => tensors_in(callable),
        _ => 0,
    }
}

/// Names and values of the state dict.
fn entries(object: Object) -> Result<Vec<(Object, Object)>, PytorchError> {
    let object = match object {
        Object::Build { callable, .. } => *callable,
        other => other,
    };
    let entries = object.dict().map_err(|_| PytorchError::content("holds no state dict; save `model.state_dict()`"))?;
    let is = |key: &Object, name: &str| matches!(key, Object::Unicode(text) if text == name);
    let named = entries.iter().position(|(key, value)| INNER.iter().any(|name| is(key, name)) && !is_tensor(value));
    // Under another name, the dictionary with the most tensors is the network.
    let has_own = entries.iter().any(|(_, value)| is_tensor(value));
    let fullest = || {
        let most = entries.iter().enumerate().max_by_key(|(_, (_, value))| tensors_in(value))?;
        (!has_own && tensors_in(&most.1.1) > 0).then_some(most.0)
    };
    match named.or_else(fullest) {
        Some(inner) => {
            let (_, value) = entries.into_iter().nth(inner).unwrap_or((Object::None, Object::None));
            self::entries(value)
        }
        None => Ok(entries),
    }
}

/// Where a tensor's values lie.
struct Place {
    key: String,
    /// `None` for numbers that are no weights.
    dtype: Option<DType>,
    /// Bytes of a value.
    item: usize,
    offset: usize,
    shape: Vec<usize>,
    stride: Vec<usize>,
}

impl Place {
    /// Of `_rebuild_tensor_v2(storage, offset, size, stride, …)`, bare or as a parameter; `None` for any other object.
    fn of(value: Object) -> Option<Self> {
        let (callable, args) = value.reduce().ok()?;
        let (_, function) = callable.class().ok()?;
        let mut args = args.tuple().ok()?.into_iter();
        if function == "_rebuild_parameter" {
            return Self::of(args.next()?);
        }
        if function != "_rebuild_tensor_v2" {
            return None;
        }
        let (key, dtype, item) = storage(&args.next()?.persistent_load().ok()?)?;
        let offset = usize::try_from(args.next()?.int_or_long().ok()?).ok()?;
        let shape = Vec::<usize>::try_from(args.next()?).ok()?;
        let stride = Vec::<usize>::try_from(args.next()?).ok()?;
        (shape.len() == stride.len()).then_some(Self { key, dtype, item, offset, shape, stride })
    }

    /// The values in row-major order; `None` when one lies outside the storage.
    fn values(&self, dtype: DType, storage: &[u8]) -> Option<Vec<f32>> {
        let count = self.shape.iter().try_fold(1usize, |all, side| all.checked_mul(*side))?;
        // Also keeps a lying shape with zero strides from filling memory.
        if count > storage.len() / self.item {
            return None;
        }
        let mut values = Vec::with_capacity(count);
        let mut at = vec![0usize; self.shape.len()];
        for _ in 0..count {
            let place =
                at.iter().zip(&self.stride).try_fold(self.offset, |sum, (i, s)| sum.checked_add(i.checked_mul(*s)?))?;
            let start = place.checked_mul(self.item)?;
            values.push(number(dtype, storage.get(start..start.checked_add(self.item)?)?)?);
            for axis in (0..at.len()).rev() {
                at[axis] += 1;
                if at[axis] < self.shape[axis] {
                    break;
                }
                at[axis] = 0;
            }
        }
        Some(values)
    }
}

/// A little-endian number as f32.
fn number(dtype: DType, bytes: &[u8]) -> Option<f32> {
    Some(match dtype {
        DType::F32 => f32::from_le_bytes(bytes.try_into().ok()?),
        DType::F64 => f64::from_le_bytes(bytes.try_into().ok()?) as f32,
        DType::F16 => f16::from_le_bytes(bytes.try_into().ok()?).to_f32(),
        DType::BF16 => bf16::from_le_bytes(bytes.try_into().ok()?).to_f32(),
        _ => return None,
    })
}

//! Tensors of a Keras HDF5 file in the layout of this program.

use super::config::Description;
use super::layer::deviation_share;
use super::stored::{Form, Origin, Stored};
use super::{KerasError, hdf5};
use crate::exec::Parameters;
use crate::graph::{Op, Parameter, Role};
use crate::weights::WeightsError;
use candle_core::{Device, Tensor};
use half::f16;
use hdf5_pure::{AttrValue, Datatype, FormatError};
use std::collections::HashMap;

/// Names of the tensor in a Keras file; Keras 2 and 3 differ in one.
pub fn keras_names(op: &Op, role: Role) -> &'static [&'static str] {
    match (op, role) {
        (Op::BatchNorm { .. } | Op::LayerNorm { .. }, Role::Bias) => &["beta"],
        (_, Role::Bias) => &["bias"],
        (Op::DepthwiseConv { .. }, Role::Kernel) => &["depthwise_kernel", "kernel"],
        (_, Role::Kernel) => &["kernel"],
        (_, Role::Scale) => &["gamma"],
        (_, Role::RunningMean) => &["moving_mean"],
        (_, Role::RunningVariance) => &["moving_variance"],
    }
}

/// How a file arranges its tensors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrangement {
    /// By layer names, below this group (`model_weights/` in a whole model, nothing in a file of weights).
    Named(&'static str),
    /// By class and order, as Keras 3 does in `.keras` and `.weights.h5`: `layers/conv2d_1/vars/0`.
    Numbered,
}

impl Arrangement {
    /// Where a tensor may lie, the likeliest place first.
    fn paths(self, model: &str, stored: &Stored) -> Vec<String> {
        let root = match self {
            Arrangement::Numbered => return vec![format!("{}/vars/{}", stored.group, stored.position)],
            Arrangement::Named(root) => root,
        };
        let layer = &stored.layer;
        // Layers of a model inside the model lie in that model's group; Keras 3 puts the model's name in between.
        let places = match (layer.split_once('/'), layer.rsplit_once('/')) {
            (Some((outer, _)), Some((_, own))) => {
                // Or the layer's own name holds a stroke.
                vec![layer.clone(), format!("{layer}/{layer}"), format!("{outer}/{own}")]
            }
            _ => vec![format!("{layer}/{layer}"), format!("{layer}/{model}/{layer}")],
        };
        let path = |place: &String, name: &str, end: &str| format!("{root}{place}/{name}{end}");
        let all = places.iter().flat_map(|place| stored.names.iter().map(move |name| (place, *name)));
        all.flat_map(|(place, name)| [":0", ""].map(|end| path(place, name, end))).collect()
    }
}

/// The files that hold a model's tensors: one, or the shards of a large model.
pub struct Shards {
    pub files: Vec<hdf5_pure::File>,
    pub arrangement: Arrangement,
}

impl Shards {
    /// All tensors of the graph; every one that is missing or misshapen is listed.
    pub fn read(&self, description: &Description) -> Result<Parameters, KerasError> {
        let mut weights = HashMap::new();
        let mut problems = Vec::new();
        for parameter in description.graph.parameters() {
            let Some(origin) = description.origins.get(&parameter.name) else {
                problems.push(format!("nothing says where `{}` lies", parameter.name));
                continue;
            };
            match self.value(&description.name, origin, &parameter)? {
                Ok(tensor) => _ = weights.insert(parameter.name, tensor),
                Err(problem) => problems.push(problem),
            }
        }
        if problems.is_empty() { Ok(weights) } else { Err(WeightsError::Mismatch(problems).into()) }
    }

    /// The inner error is one of several to list.
    fn value(&self, model: &str, origin: &Origin, parameter: &Parameter) -> Result<Result<Tensor, String>, KerasError> {
        let vector = |values: Vec<f32>| Tensor::new(values, &Device::Cpu).map_err(|e| e.to_string());
        let numbers = |stored: &Stored| -> Result<Result<Vec<f32>, String>, KerasError> {
            let tensor = self.tensor(model, stored, &parameter.shape)?;
            Ok(tensor.and_then(|tensor| tensor.to_vec1().map_err(|e| e.to_string())))
        };
        Ok(match origin {
            Origin::File(stored) => self.tensor(model, stored, &parameter.shape)?,
            Origin::Constant(values) if parameter.shape == [values.len()] => vector(values.clone()),
            Origin::Constant(_) => Err(format!("`{}` has another size", parameter.name)),
            Origin::Deviations { variance } => {
                numbers(variance)?.and_then(|all| vector(all.into_iter().map(deviation_share).collect()))
            }
            Origin::Means { mean, variance } => match (numbers(mean)?, numbers(variance)?) {
                (Ok(mean), Ok(variance)) => {
                    vector(mean.iter().zip(variance).map(|(mean, v)| -mean * deviation_share(v)).collect())
                }
                (Err(problem), _) | (_, Err(problem)) => Err(problem),
            },
        })
    }

    fn tensor(&self, model: &str, stored: &Stored, wanted: &[usize]) -> Result<Result<Tensor, String>, KerasError> {
        let paths = self.arrangement.paths(model, stored);
        for file in &self.files {
            if let Some((path, dataset)) = find(file, &paths)? {
                return Ok(tensor(&dataset, wanted, stored.form).map_err(|problem| format!("`{path}`: {problem}")));
            }
        }
        for file in &self.files {
            if let Some((path, dataset)) = self.listed(file, stored)? {
                return Ok(tensor(&dataset, wanted, stored.form).map_err(|problem| format!("`{path}`: {problem}")));
            }
        }
        Ok(Err(format!("`{}` is missing", paths[0])))
    }

    /// A tensor of a model inside the model, whose group lists its tensors under names that differ by version: the one whose
    /// last parts are the layer's and the tensor's.
    fn listed(
        &self,
        file: &hdf5_pure::File,
        stored: &Stored,
    ) -> Result<Option<(String, hdf5_pure::Dataset)>, KerasError> {
        let Arrangement::Named(root) = self.arrangement else { return Ok(None) };
        let (Some((outer, _)), Some((_, own))) = (stored.layer.split_once('/'), stored.layer.rsplit_once('/')) else {
            return Ok(None);
        };
        let Ok(group) = file.group(&format!("{root}{outer}")) else { return Ok(None) };
        let names = strings(&group.attrs().map_err(hdf5)?, "weight_names").unwrap_or_default();
        let ends: Vec<String> = stored.names.iter().map(|name| format!("{own}/{name}")).collect();
        let fits = |name: &&String| {
            let plain = name.trim_end_matches(":0");
            ends.iter().any(|end| plain == end || plain.ends_with(&format!("/{end}")))
        };
        let found: Vec<String> = names.iter().filter(fits).map(|name| format!("{root}{outer}/{name}")).collect();
        if found.len() == 1 { find(file, &found) } else { Ok(None) }
    }
}

/// A list of texts; long lists are cut into `layer_names0`, `layer_names1`, …
pub fn strings(attributes: &HashMap<String, AttrValue>, name: &str) -> Option<Vec<String>> {
    let whole = attributes.get(name).and_then(AttrValue::as_strings).map(<[String]>::to_vec);
    whole.or_else(|| {
        let parts = (0..).map_while(|i| attributes.get(&format!("{name}{i}")).and_then(AttrValue::as_strings));
        let all: Vec<String> = parts.flatten().cloned().collect();
        (!all.is_empty()).then_some(all)
    })
}

/// The first of these datasets that is there.
fn find(file: &hdf5_pure::File, paths: &[String]) -> Result<Option<(String, hdf5_pure::Dataset)>, KerasError> {
    for path in paths {
        match file.dataset(path) {
            Ok(dataset) => return Ok(Some((path.clone(), dataset))),
            Err(hdf5_pure::Error::Format(FormatError::PathNotFound(_))) => {}
            // A file cut short or damaged would report every tensor after the first; one sentence says it better.
            Err(error) => return Err(KerasError::Damaged { path: path.clone(), problem: error.to_string() }),
        }
    }
    Ok(None)
}

/// Sides of a tensor in a file for a parameter of sides `wanted`.
fn keras_shape(wanted: &[usize], form: Form) -> Option<Vec<usize>> {
    Some(match (form, wanted) {
        (Form::Kernel, &[out, input, rows, columns]) => vec![rows, columns, input, out],
        (Form::Transposed, &[out, input, rows, columns]) => vec![rows, columns, out, input],
        (Form::Depthwise, &[channels, one, rows, columns]) => vec![rows, columns, channels, one],
        (Form::Groups(groups), &[out, input, rows, columns])
            if groups > 0 && input % groups == 0 && out % groups == 0 =>
        {
            // Several filters a channel stand as channels × filters, those of groups as in × out: the values are the same.
            let each = if groups == input { vec![input, out / input] } else { vec![input / groups, out] };
            [vec![rows, columns], each].concat()
        }
        (Form::Dense, &[out, input]) | (Form::DenseOnMap, &[out, input, 1, 1]) => vec![input, out],
        (Form::Plain | Form::ByChannel, all) => all.to_vec(),
        _ => return None,
    })
}

/// Reads a dataset that must hold the values of `wanted` (our layout) in Keras' layout.
pub fn tensor(dataset: &hdf5_pure::Dataset, wanted: &[usize], form: Form) -> Result<Tensor, String> {
    let keras_shape = keras_shape(wanted, form).ok_or("does not fit the layer")?;
    // Sizes are compared before anything is allocated, so a lying header cannot ask for more than the network needs.
    let shape = dataset.shape().map_err(|e| e.to_string())?;
    let is = |wanted: &[usize]| shape.iter().copied().eq(wanted.iter().map(|s| *s as u64));
    let fits = match form {
        Form::ByChannel => {
            is(&[&vec![1; shape.len().saturating_sub(1)][..], wanted].concat()) || shape.is_empty() && wanted == [1]
        }
        // Depthwise kernels of one filter a channel are stored under either rule.
        Form::Groups(groups) if is(&[&keras_shape[..2], &[wanted[1] / groups, wanted[0]]].concat()) => true,
        _ => is(&keras_shape),
    };
    if !fits {
        return Err(format!("is {shape:?}, needs {keras_shape:?}"));
    }
    let values = match dataset.datatype().map_err(|e| e.to_string())? {
        Datatype::FloatingPoint { size: 4 | 8, .. } => dataset.read_f32().map_err(|e| e.to_string())?,
        Datatype::FloatingPoint { size: 2, .. } => {
            let bytes = dataset.read_raw().map_err(|e| e.to_string())?;
            bytes.as_chunks().0.iter().map(|b| f16::from_le_bytes(*b).to_f32()).collect()
        }
        _ => return Err("is not a floating-point tensor".into()),
    };
    if values.len() != keras_shape.iter().product::<usize>() {
        return Err("is cut short".into());
    }
    if let Some(bad) = values.iter().find(|v| !v.is_finite()) {
        return Err(format!("holds {bad}"));
    }
    let build = || {
        let tensor = Tensor::from_vec(values, keras_shape.as_slice(), &Device::Cpu)?;
        match (form, wanted) {
            (Form::Kernel, _) => tensor.permute((3, 2, 0, 1))?.contiguous(),
            (Form::Transposed | Form::Depthwise, _) => tensor.permute((2, 3, 0, 1))?.contiguous(),
            (Form::Groups(groups), &[out, input, rows, columns]) => {
                let each = tensor.reshape((rows, columns, input / groups, out))?.permute((3, 2, 0, 1))?;
                between_groups_zero(&each.contiguous()?, groups)
            }
            (Form::Dense, _) => tensor.t()?.contiguous(),
            (Form::DenseOnMap, _) => tensor.t()?.contiguous()?.reshape(wanted),
            _ => Ok(tensor),
        }
    };
    build().map_err(|e: candle_core::Error| e.to_string())
}

/// A kernel [out, in of a group, rows, columns] as one of all channels, zero where a filter does not see.
pub fn between_groups_zero(kernel: &Tensor, groups: usize) -> candle_core::Result<Tensor> {
    let (out, each, rows, columns) = kernel.dims4()?;
    let filters = out / groups;
    let parts = (0..groups).map(|group| {
        let own = kernel.narrow(0, group * filters, filters)?;
        own.pad_with_zeros(1, group * each, (groups - 1 - group) * each)
    });
    Tensor::cat(&parts.collect::<candle_core::Result<Vec<_>>>()?, 0)?.reshape((out, groups * each, rows, columns))
}

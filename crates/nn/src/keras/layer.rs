//! One layer of a configuration → nodes of the graph.

use super::activation::{self, Told};
use super::stored::{Form, Origin, Stored};
use crate::graph::{Activation, Builder, Grid, NodeId, Op, Padding, Resampling, Role, Shape, Window};
use serde_json::Value;
use std::collections::HashMap;

/// Layers that do nothing outside training.
const ONLY_IN_TRAINING: [&str; 25] = [
    "SpatialDropout2D",
    "SpatialDropout1D",
    "GaussianNoise",
    "GaussianDropout",
    "AlphaDropout",
    "ActivityRegularization",
    "Identity",
    "RandomFlip",
    "RandomRotation",
    "RandomZoom",
    "RandomContrast",
    "RandomBrightness",
    "RandomTranslation",
    "RandomHeight",
    "RandomWidth",
    "RandomShear",
    "RandomHue",
    "RandomSaturation",
    "RandomSharpness",
    "RandomErasing",
    "RandomInvert",
    "RandomPerspective",
    "RandomGaussianBlur",
    "RandomElasticTransform",
    "RandomColorJitter",
];

/// Why a layer of maps is not read behind a vector.
pub const NEEDS_MAP: &str = "needs a map";

/// Where nodes and the origins of their parameters go.
pub struct Sink<'a> {
    pub builder: &'a mut Builder,
    pub origins: &'a mut HashMap<String, Origin>,
    /// The file is of Keras 2.
    pub legacy: bool,
    /// Maps are channels × rows × columns in the file.
    pub channels_first: bool,
}

/// A layer as the configuration has it.
pub struct Layer<'a> {
    pub class: &'a str,
    pub name: &'a str,
    /// Name with those of the models around it.
    pub path: String,
    /// Group in a Keras 3 file.
    pub group: String,
    pub config: &'a Value,
    /// Numbers that stand beside the tensors in its call.
    pub constants: Vec<f32>,
}

pub fn text<'a>(value: &'a Value, key: &str) -> Option<&'a str> {
    value.get(key).and_then(Value::as_str)
}

fn pair(value: Option<&Value>) -> Option<[usize; 2]> {
    let number = |value: &Value| value.as_u64().and_then(|n| usize::try_from(n).ok());
    match value? {
        Value::Array(items) => match items.as_slice() {
            [a, b] => Some([number(a)?, number(b)?]),
            _ => None,
        },
        one => Some([number(one)?; 2]),
    }
}

/// A number, a list of them or an array as Keras serialises it.
pub fn numbers(value: &Value) -> Option<Vec<f32>> {
    match value {
        Value::Number(n) => Some(vec![n.as_f64()? as f32]),
        Value::Array(items) => Some(items.iter().map(numbers).collect::<Option<Vec<_>>>()?.concat()),
        Value::Object(object) => numbers(object.get("config")?.get("value")?),
        _ => None,
    }
}

impl Layer<'_> {
    fn refuses(&self, what: &str) -> String {
        format!("{} `{}`: {what}", self.class, self.name)
    }

    fn lacks(&self, key: &str) -> String {
        self.refuses(&format!("no readable `{key}`"))
    }

    fn flag(&self, key: &str, default: bool) -> bool {
        self.config.get(key).and_then(Value::as_bool).unwrap_or(default)
    }

    fn count(&self, key: &str) -> Result<usize, String> {
        self.config.get(key).and_then(Value::as_u64).map(|v| v as usize).ok_or_else(|| self.lacks(key))
    }

    fn number(&self, key: &str) -> Result<f64, String> {
        self.config.get(key).and_then(Value::as_f64).ok_or_else(|| self.lacks(key))
    }

    /// `default` where nothing is said.
    fn sides(&self, key: &str, default: [usize; 2]) -> Result<[usize; 2], String> {
        match self.config.get(key) {
            None | Some(Value::Null) => Ok(default),
            given => pair(given).ok_or_else(|| self.lacks(key)),
        }
    }

    /// (above, below) and (left, right).
    fn margins(&self, key: &str) -> Result<[[usize; 2]; 2], String> {
        let read = || match self.config.get(key)?.as_array().map(Vec::as_slice) {
            Some([rows, columns]) => Some([pair(Some(rows))?, pair(Some(columns))?]),
            Some(_) => None,
            None => pair(self.config.get(key)).map(|[n, _]| [[n; 2]; 2]),
        };
        read().ok_or_else(|| self.lacks(key))
    }

    fn window(&self, size_key: &str) -> Result<Window, String> {
        let size = pair(self.config.get(size_key)).ok_or_else(|| self.lacks(size_key))?;
        let default = if size_key == "pool_size" { size } else { [1; 2] };
        let padding = match text(self.config, "padding") {
            // Both rules agree for a single pixel.
            Some("same") if size == [1, 1] => Padding::Valid,
            Some("same") => Padding::Same,
            Some("valid") | None => Padding::Valid,
            Some(other) => return Err(self.refuses(&format!("padding `{other}`"))),
        };
        let dilation = self.sides("dilation_rate", [1; 2])?;
        Ok(Window { dilation, ..Window::new(size, self.sides("strides", default)?, padding) })
    }

    /// The axis is that of channels.
    fn on_channels(&self, sink: &Sink, input: Shape) -> Result<(), String> {
        let axis = self.config.get("axis");
        let axis = axis.and_then(|a| a.as_i64().or_else(|| a.get(0)?.as_i64()));
        let is_vector = matches!(input, Shape::Vector { .. });
        match axis {
            None if !sink.channels_first => Ok(()),
            Some(-1 | 3) if !sink.channels_first || is_vector => Ok(()),
            Some(1 | -3) if sink.channels_first || is_vector => Ok(()),
            None => Ok(()),
            Some(other) => Err(self.refuses(&format!("axis {other}"))),
        }
    }

    fn stored(&self, names: &'static [&'static str], position: usize, form: Form) -> Stored {
        Stored { layer: self.path.clone(), group: self.group.clone(), names, position, form }
    }

    /// Adds a node; the layer's first bears its name alone.
    fn push(&self, sink: &mut Sink, part: &str, op: Op, inputs: &[NodeId]) -> NodeId {
        let name = if part.is_empty() { self.path.clone() } else { format!("{}/{part}", self.path) };
        sink.builder.push(name, op, inputs)
    }

    /// Says where a parameter of the node that was added last comes from.
    fn origin(&self, sink: &mut Sink, part: &str, role: Role, origin: Origin) {
        let name = if part.is_empty() { self.path.clone() } else { format!("{}/{part}", self.path) };
        sink.origins.insert(format!("{name}.{}", role.suffix()), origin);
    }

    fn store(&self, sink: &mut Sink, part: &str, role: Role, stored: Stored) {
        self.origin(sink, part, role, Origin::File(stored));
    }

    /// The activation that a layer names beside its work.
    fn activated(&self, sink: &mut Sink, x: NodeId) -> Result<NodeId, String> {
        match activation::told(self.config.get("activation"), sink.legacy) {
            Told::Linear => Ok(x),
            Told::Function(function) => Ok(self.push(sink, "activation", Op::Activation { function }, &[x])),
            Told::Unknown(name) => Err(self.refuses(&format!("activation `{name}`"))),
        }
    }

    /// A scale and a shift by channel that the configuration says.
    fn constant_affine(
        &self,
        sink: &mut Sink,
        part: &str,
        x: NodeId,
        [scale, shift]: [Vec<f32>; 2],
    ) -> Result<NodeId, String> {
        let channels = sink.builder.shape(x).channels();
        let spread = |values: Vec<f32>| match values.as_slice() {
            [one] => Ok(vec![*one; channels]),
            all if all.len() == channels => Ok(values),
            all => Err(self.refuses(&format!("{} constants for {channels} channels", all.len()))),
        };
        let (scale, shift) = (spread(scale)?, spread(shift)?);
        let y = self.push(sink, part, Op::Affine, &[x]);
        self.origin(sink, part, Role::Scale, Origin::Constant(scale));
        self.origin(sink, part, Role::Bias, Origin::Constant(shift));
        Ok(y)
    }

    /// A tensor of the file, or the given value for each channel where the layer has none.
    fn optional(&self, sink: &mut Sink, role: Role, stored: Option<Stored>, value: f32, channels: usize) {
        let origin = stored.map_or_else(|| Origin::Constant(vec![value; channels]), Origin::File);
        self.origin(sink, "", role, origin);
    }

    /// Adds the layer's nodes behind `inputs`; gives the last one.
    ///
    /// # Errors
    /// If the layer or something that it says is not known.
    pub fn emit(&self, sink: &mut Sink, inputs: &[NodeId]) -> Result<NodeId, String> {
        let merged = self.merge(sink, inputs);
        if let Some(merged) = merged {
            return merged;
        }
        let &[x] = inputs else { return Err(self.refuses(&format!("takes one input, has {}", inputs.len()))) };
        if ONLY_IN_TRAINING.contains(&self.class) {
            return Ok(x);
        }
        if self.class == "Dropout" {
            return Ok(self.push(sink, "", Op::Dropout { rate: self.number("rate")? }, &[x]));
        }
        if let Some(function) = activation::layer(self.class, self.config) {
            let function = function.map_err(|what| self.refuses(&what))?;
            return Ok(self.push(sink, "", Op::Activation { function }, &[x]));
        }
        let shape = sink.builder.shape(x);
        let channels = shape.channels();
        match (self.class, shape) {
            ("Conv2D" | "Convolution2D", _) => self.convolution(sink, x),
            ("DepthwiseConv2D", _) => self.depthwise(sink, x, true),
            ("SeparableConv2D" | "SeparableConvolution2D", _) => {
                let x = self.depthwise(sink, x, false)?;
                let (filters, bias) = (self.count("filters")?, self.flag("use_bias", true));
                let window = Window::dense(1, Padding::Valid);
                let y = self.push(sink, "pointwise", Op::Conv { filters, window, bias }, &[x]);
                let kernel = self.stored(&["pointwise_kernel"], 1, Form::Kernel);
                self.store(sink, "pointwise", Role::Kernel, kernel);
                let bias = self.stored(&["bias"], 2, Form::Plain);
                self.store(sink, "pointwise", Role::Bias, bias);
                self.activated(sink, y)
            }
            ("Conv2DTranspose" | "Convolution2DTranspose", Shape::Image { height, width, .. }) => {
                self.transposed(sink, x, [height, width])
            }
            ("Dense", _) => {
                let (units, bias) = (self.count("units")?, self.flag("use_bias", true));
                let on_map = matches!(shape, Shape::Image { .. });
                let (op, form) = if on_map {
                    let window = Window::dense(1, Padding::Valid);
                    (Op::Conv { filters: units, window, bias }, Form::DenseOnMap)
                } else {
                    (Op::Dense { units, bias }, Form::Dense)
                };
                let y = self.push(sink, "", op, &[x]);
                self.store(sink, "", Role::Kernel, self.stored(&["kernel"], 0, form));
                self.store(sink, "", Role::Bias, self.stored(&["bias"], 1, Form::Plain));
                self.activated(sink, y)
            }
            ("BatchNormalization" | "SyncBatchNormalization", _) => {
                self.on_channels(sink, shape)?;
                let (epsilon, momentum) = (self.number("epsilon")?, self.number("momentum")?);
                let (scale, centre) = (self.flag("scale", true), self.flag("center", true));
                let y = self.push(sink, "", Op::BatchNorm { epsilon, momentum, scale }, &[x]);
                let first = usize::from(scale) + usize::from(centre);
                let plain = |names, position| self.stored(names, position, Form::Plain);
                self.optional(sink, Role::Scale, scale.then(|| plain(&["gamma"], 0)), 1.0, channels);
                let beta = centre.then(|| plain(&["beta"], usize::from(scale)));
                self.optional(sink, Role::Bias, beta, 0.0, channels);
                self.store(sink, "", Role::RunningMean, plain(&["moving_mean"], first));
                self.store(sink, "", Role::RunningVariance, plain(&["moving_variance"], first + 1));
                Ok(y)
            }
            ("LayerNormalization" | "GroupNormalization", _) => {
                self.on_channels(sink, shape)?;
                let epsilon = self.number("epsilon")?;
                let op = if self.class == "LayerNormalization" {
                    Op::LayerNorm { epsilon }
                } else {
                    let groups = self.config.get("groups").and_then(Value::as_i64).unwrap_or(32);
                    let groups = if groups == -1 { channels } else { usize::try_from(groups).unwrap_or(0) };
                    Op::GroupNorm { groups, epsilon }
                };
                let y = self.push(sink, "", op, &[x]);
                let (scale, centre) = (self.flag("scale", true), self.flag("center", true));
                let gamma = scale.then(|| self.stored(&["gamma"], 0, Form::Plain));
                let beta = centre.then(|| self.stored(&["beta"], usize::from(scale), Form::Plain));
                self.optional(sink, Role::Scale, gamma, 1.0, channels);
                self.optional(sink, Role::Bias, beta, 0.0, channels);
                Ok(y)
            }
            ("Rescaling", _) => {
                let told = |key: &str, default: f32| match self.config.get(key) {
                    None | Some(Value::Null) => Ok(vec![default]),
                    Some(value) => numbers(value).ok_or_else(|| self.lacks(key)),
                };
                self.constant_affine(sink, "", x, [told("scale", 1.0)?, told("offset", 0.0)?])
            }
            ("Normalization", _) => self.normalization(sink, x),
            ("PReLU", _) => {
                let by_channel = match self.config.get("shared_axes").and_then(Value::as_array).map(Vec::len) {
                    None | Some(0) => false,
                    Some(2) => true,
                    Some(_) => return Err(self.refuses("slopes shared along one axis")),
                };
                let y = self.push(sink, "", Op::PRelu { by_channel }, &[x]);
                let form = if by_channel { Form::ByChannel } else { Form::Plain };
                self.store(sink, "", Role::Scale, self.stored(&["alpha"], 0, form));
                Ok(y)
            }
            ("Activation", _) => match activation::told(self.config.get("activation"), sink.legacy) {
                Told::Linear => Ok(x),
                Told::Function(function) => Ok(self.push(sink, "", Op::Activation { function }, &[x])),
                Told::Unknown(name) => Err(self.refuses(&format!("activation `{name}`"))),
            },
            ("Softmax", _) => {
                self.on_channels(sink, shape)?;
                Ok(self.push(sink, "", Op::Activation { function: Activation::Softmax }, &[x]))
            }
            ("MaxPooling2D", _) => Ok(self.push(sink, "", Op::MaxPool { window: self.window("pool_size")? }, &[x])),
            ("AveragePooling2D", _) => {
                Ok(self.push(sink, "", Op::AveragePool { window: self.window("pool_size")? }, &[x]))
            }
            ("GlobalAveragePooling2D" | "GlobalAveragePooling1D", Shape::Image { height, width, .. }) => {
                if self.flag("keepdims", false) {
                    let window = Window::new([height, width], [1; 2], Padding::Valid);
                    return Ok(self.push(sink, "", Op::AveragePool { window }, &[x]));
                }
                Ok(self.push(sink, "", Op::GlobalAveragePool, &[x]))
            }
            ("GlobalMaxPooling2D" | "GlobalMaxPooling1D", Shape::Image { height, width, .. }) => {
                let window = Window::new([height, width], [1; 2], Padding::Valid);
                let y = self.push(sink, "", Op::MaxPool { window }, &[x]);
                if self.flag("keepdims", false) { Ok(y) } else { Ok(self.push(sink, "flat", Op::Flatten, &[y])) }
            }
            ("UpSampling2D", Shape::Image { height, width, .. }) => {
                let [rows, columns] = pair(self.config.get("size")).ok_or_else(|| self.lacks("size"))?;
                let to = match (height.checked_mul(rows), width.checked_mul(columns)) {
                    (Some(height), Some(width)) => [height, width],
                    _ => return Err(self.lacks("size")),
                };
                let op = match text(self.config, "interpolation") {
                    Some("nearest") | None if rows == columns => Op::Upsample { factor: rows },
                    Some("nearest") | None => Op::Resize { to, resampling: Resampling::Floor, grid: Grid::Asymmetric },
                    Some("bilinear") => Op::Resize { to, resampling: Resampling::Bilinear, grid: Grid::HalfPixel },
                    Some(other) => return Err(self.refuses(&format!("interpolation `{other}`"))),
                };
                Ok(self.push(sink, "", op, &[x]))
            }
            ("Resizing", Shape::Image { .. }) => {
                let plain = text(self.config, "interpolation") == Some("bilinear")
                    && !["crop_to_aspect_ratio", "pad_to_aspect_ratio", "antialias"]
                        .iter()
                        .any(|key| self.flag(key, false));
                if !plain {
                    return Err(self.refuses("resizing other than bilinear to a fixed size"));
                }
                let to = [self.count("height")?, self.count("width")?];
                let (resampling, grid) = (Resampling::Bilinear, Grid::HalfPixel);
                Ok(self.push(sink, "", Op::Resize { to, resampling, grid }, &[x]))
            }
            ("ZeroPadding2D", _) => {
                let [rows, columns] = self.margins("padding")?;
                Ok(self.push(sink, "", Op::ZeroPad { rows, columns }, &[x]))
            }
            ("Cropping2D", _) => {
                let [rows, columns] = self.margins("cropping")?;
                Ok(self.push(sink, "", Op::Crop { rows, columns }, &[x]))
            }
            // Keras flattens vectors too, to no effect.
            ("Flatten", Shape::Vector { .. }) => Ok(x),
            ("Flatten", _) => {
                // Keras turns channels to the end itself when it is told that they come first.
                let in_order = sink.channels_first && text(self.config, "data_format") != Some("channels_first");
                let x = if in_order { self.push(sink, "order", Op::Permute { axes: [2, 0, 1] }, &[x]) } else { x };
                Ok(self.push(sink, "", Op::Flatten, &[x]))
            }
            ("Reshape", _) => self.reshape(sink, x),
            ("Permute", Shape::Image { .. }) if !sink.channels_first => {
                let dims = self.config.get("dims").and_then(Value::as_array).ok_or_else(|| self.lacks("dims"))?;
                let axes: Option<Vec<usize>> =
                    dims.iter().map(|axis| usize::try_from(axis.as_u64()?.checked_sub(1)?).ok()).collect();
                let axes = axes.and_then(|axes| axes.try_into().ok()).ok_or_else(|| self.lacks("dims"))?;
                Ok(self.push(sink, "", Op::Permute { axes }, &[x]))
            }
            (
                "GlobalAveragePooling2D"
                | "GlobalMaxPooling2D"
                | "UpSampling2D"
                | "Conv2DTranspose"
                | "Resizing"
                | "Permute",
                _,
            ) => Err(self.refuses(NEEDS_MAP)),
            _ => self.arithmetic(sink, x),
        }
    }

    fn convolution(&self, sink: &mut Sink, x: NodeId) -> Result<NodeId, String> {
        let (window, filters) = (self.window("kernel_size")?, self.count("filters")?);
        let bias = self.flag("use_bias", true);
        let form = match self.config.get("groups").and_then(Value::as_u64) {
            None | Some(1) => Form::Kernel,
            Some(groups) => Form::Groups(groups as usize),
        };
        let y = self.push(sink, "", Op::Conv { filters, window, bias }, &[x]);
        self.store(sink, "", Role::Kernel, self.stored(&["kernel"], 0, form));
        self.store(sink, "", Role::Bias, self.stored(&["bias"], 1, Form::Plain));
        self.activated(sink, y)
    }

    /// The depthwise part alone when it is not `whole`.
    fn depthwise(&self, sink: &mut Sink, x: NodeId, whole: bool) -> Result<NodeId, String> {
        let window = self.window("kernel_size")?;
        let bias = whole && self.flag("use_bias", true);
        let channels = sink.builder.shape(x).channels();
        let multiplier = self.config.get("depth_multiplier").and_then(Value::as_u64).unwrap_or(1) as usize;
        let (op, form) = if multiplier == 1 {
            (Op::DepthwiseConv { window, bias }, Form::Depthwise)
        } else {
            let filters = channels.checked_mul(multiplier).ok_or_else(|| self.lacks("depth_multiplier"))?;
            (Op::Conv { filters, window, bias }, Form::Groups(channels))
        };
        let y = self.push(sink, "", op, &[x]);
        self.store(sink, "", Role::Kernel, self.stored(&["depthwise_kernel", "kernel"], 0, form));
        self.store(sink, "", Role::Bias, self.stored(&["bias"], 1, Form::Plain));
        if whole { self.activated(sink, y) } else { Ok(y) }
    }

    fn transposed(&self, sink: &mut Sink, x: NodeId, from: [usize; 2]) -> Result<NodeId, String> {
        let (window, filters) = (self.window("kernel_size")?, self.count("filters")?);
        let bias = self.flag("use_bias", true);
        let [stride, other] = window.stride;
        if window.dilation != [1, 1] || stride != other {
            return Err(self.refuses("holes, or unlike strides"));
        }
        if self.config.get("groups").and_then(Value::as_u64).is_some_and(|groups| groups != 1) {
            return Err(self.refuses("groups"));
        }
        let same = text(self.config, "padding") == Some("same");
        let extra = match self.config.get("output_padding") {
            None | Some(Value::Null) => None,
            given => Some(pair(given).ok_or_else(|| self.lacks("output_padding"))?),
        };
        let crop = |axis: usize| -> Option<[isize; 2]> {
            let (side, size) = (from[axis], window.size[axis]);
            let whole = isize::try_from((side - 1).checked_mul(stride)?.checked_add(size)?).ok()?;
            let output = match extra {
                Some(extra) => {
                    let pad = if same { size / 2 } else { 0 };
                    whole - 2 * pad as isize + extra[axis] as isize
                }
                None if same => side.checked_mul(stride)? as isize,
                None => whole + stride.saturating_sub(size) as isize,
            };
            let before = if same { (whole - output).max(0) / 2 } else { 0 };
            Some([before, whole - output - before])
        };
        let (Some(rows), Some(columns)) = (crop(0), crop(1)) else { return Err(self.lacks("strides")) };
        let op = Op::ConvTranspose { filters, size: window.size, stride, crop: [rows, columns], bias };
        let y = self.push(sink, "", op, &[x]);
        self.store(sink, "", Role::Kernel, self.stored(&["kernel"], 0, Form::Transposed));
        self.store(sink, "", Role::Bias, self.stored(&["bias"], 1, Form::Plain));
        self.activated(sink, y)
    }

    fn normalization(&self, sink: &mut Sink, x: NodeId) -> Result<NodeId, String> {
        if self.flag("invert", false) {
            return Err(self.refuses("inverted normalisation"));
        }
        if !matches!(self.config.get("axis"), None | Some(Value::Null)) {
            self.on_channels(sink, sink.builder.shape(x))?;
        }
        let told = |key: &str| self.config.get(key).filter(|value| !value.is_null());
        if let (Some(mean), Some(variance)) = (told("mean"), told("variance")) {
            let mean = numbers(mean).ok_or_else(|| self.lacks("mean"))?;
            let variance = numbers(variance).ok_or_else(|| self.lacks("variance"))?;
            if mean.len() != variance.len() {
                return Err(self.lacks("variance"));
            }
            let scale: Vec<f32> = variance.iter().map(|v| deviation_share(*v)).collect();
            let shift = mean.iter().zip(&scale).map(|(mean, scale)| -mean * scale).collect();
            return self.constant_affine(sink, "", x, [scale, shift]);
        }
        let y = self.push(sink, "", Op::Affine, &[x]);
        let mean = self.stored(&["mean"], 0, Form::ByChannel);
        let variance = self.stored(&["variance"], 1, Form::ByChannel);
        self.origin(sink, "", Role::Scale, Origin::Deviations { variance: variance.clone() });
        self.origin(sink, "", Role::Bias, Origin::Means { mean, variance });
        Ok(y)
    }

    fn reshape(&self, sink: &mut Sink, x: NodeId) -> Result<NodeId, String> {
        let shape = sink.builder.shape(x);
        if sink.channels_first && matches!(shape, Shape::Image { .. }) {
            return Err(self.refuses("another shape for a map with its channels first"));
        }
        let told = self.config.get("target_shape").and_then(Value::as_array);
        let sides: Option<Vec<i64>> = told.and_then(|sides| sides.iter().map(Value::as_i64).collect());
        let sides = sides.ok_or_else(|| self.lacks("target_shape"))?;
        let known = sides.iter().filter(|side| **side > 0).try_fold(1i64, |all, side| all.checked_mul(*side));
        let known = known.filter(|known| *known > 0).ok_or_else(|| self.lacks("target_shape"))?;
        let rest = shape.values() as i64 / known;
        let sides: Vec<usize> = sides.iter().map(|side| if *side == -1 { rest } else { *side } as usize).collect();
        let to = match sides[..] {
            [len] => Shape::Vector { len },
            [width, channels] => Shape::Image { height: 1, width, channels },
            [height, width, channels] => Shape::Image { height, width, channels },
            _ => return Err(self.refuses("a shape of more than three sides")),
        };
        match (to, shape) {
            (to, from) if to == from => Ok(x),
            (Shape::Vector { len }, Shape::Image { .. }) if len == shape.values() => {
                Ok(self.push(sink, "", Op::Flatten, &[x]))
            }
            (to, _) => Ok(self.push(sink, "", Op::Reshape { shape: to }, &[x])),
        }
    }

    /// Layers of several inputs; `None` for other classes, and for arithmetic with constants.
    fn merge(&self, sink: &mut Sink, inputs: &[NodeId]) -> Option<Result<NodeId, String>> {
        if !self.constants.is_empty() {
            return None;
        }
        let op = match self.function() {
            "Concatenate" | "concat" => {
                let shape = inputs.first().map_or(Shape::Vector { len: 1 }, |x| sink.builder.shape(*x));
                return Some(self.on_channels(sink, shape).map(|()| self.push(sink, "", Op::Concat, inputs)));
            }
            "Add" | "Average" | "__operators__.add" | "math.add" | "Subtract" | "math.subtract" => Op::Add,
            "Multiply" | "math.multiply" => Op::Multiply,
            "Maximum" | "math.maximum" => Op::Maximum,
            _ => return None,
        };
        Some(self.folded(sink, op, inputs))
    }

    /// One input after the other joined by `op`.
    fn folded(&self, sink: &mut Sink, op: Op, inputs: &[NodeId]) -> Result<NodeId, String> {
        let Some((first, rest)) = inputs.split_first() else { return Err(self.refuses("has no inputs")) };
        let mut all = *first;
        for (i, next) in rest.iter().enumerate() {
            let last = i + 1 == rest.len() && self.class != "Average";
            let part = if last { String::new() } else { format!("part{i}") };
            let mut next = *next;
            if self.function().to_lowercase().contains("subtract") {
                next = self.constant_affine(sink, &format!("minus{i}"), next, [vec![-1.0], vec![0.0]])?;
            }
            // A vector beside a map stands for one value a channel.
            for (side, other) in [(&mut all, next), (&mut next, *first)] {
                if let (Shape::Vector { len }, Shape::Image { .. }) =
                    (sink.builder.shape(*side), sink.builder.shape(other))
                {
                    let shape = Shape::Image { height: 1, width: 1, channels: len };
                    *side = self.push(sink, &format!("pixel{i}"), Op::Reshape { shape }, &[*side]);
                }
            }
            let spreads = sink.builder.shape(next).spreads_over(sink.builder.shape(all));
            let pair = if spreads { [all, next] } else { [next, all] };
            all = self.push(sink, &part, op.clone(), &pair);
        }
        if self.class == "Average" {
            return self.constant_affine(sink, "", all, [vec![1.0 / inputs.len() as f32], vec![0.0]]);
        }
        Ok(all)
    }

    /// The operation of a layer that is a bare TensorFlow function; else its class.
    fn function(&self) -> &str {
        if self.class == "TFOpLambda" { text(self.config, "function").unwrap_or_default() } else { self.class }
    }

    /// A value and constants, as `preprocess_input` leaves them in a graph.
    fn arithmetic(&self, sink: &mut Sink, x: NodeId) -> Result<NodeId, String> {
        let constants = self.constants.clone();
        let affine = match self.function() {
            "cast" | "Cast" => return Ok(x),
            _ if constants.is_empty() => None,
            "math.truediv" | "TrueDivide" | "Divide" | "math.divide" => {
                Some([constants.iter().map(|c| 1.0 / c).collect(), vec![0.0]])
            }
            "math.multiply" | "Multiply" => Some([constants, vec![0.0]]),
            "math.add" | "__operators__.add" | "Add" | "nn.bias_add" => Some([vec![1.0], constants]),
            "math.subtract" | "Subtract" => Some([vec![1.0], constants.iter().map(|c| -c).collect()]),
            _ => None,
        };
        match affine {
            Some(affine) => self.constant_affine(sink, "", x, affine),
            None if self.class == "TFOpLambda" => Err(self.refuses(&format!("function `{}`", self.function()))),
            None if self.class == "Lambda" => Err(self.refuses(
                "Python code of its owner; replace it by layers, such as Rescaling, and save the model again",
            )),
            None => Err(format!("layer class `{}` (`{}`)", self.class, self.name)),
        }
    }
}

/// 1 / √variance, as Keras keeps it from infinity.
pub fn deviation_share(variance: f32) -> f32 {
    1.0 / variance.sqrt().max(1e-7)
}

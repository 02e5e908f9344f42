//! The layers of Keras that compute what the nodes of a graph compute; a node becomes one or several.

use super::{ExportError, constant, sides};
use crate::exec::Parameters;
use crate::graph::{Activation, Graph, Grid, NodeId, Op, Padding, Resampling, Role, Shape, Window};
use candle_core::Tensor;
use serde_json::{Value, json};

/// A layer with its tensors in Keras' order and arrangement.
pub struct Layer {
    pub name: String,
    pub class: &'static str,
    pub config: Value,
    /// Layers whose outputs it takes, by their place in the list.
    pub inputs: Vec<usize>,
    /// Whether it takes its inputs as one list.
    pub merges: bool,
    /// Sides of its output without the batch.
    pub shape: Vec<usize>,
    pub tensors: Vec<Tensor>,
}

/// All layers, each behind those it takes its inputs from.
pub struct Layers {
    pub layers: Vec<Layer>,
    pub output: usize,
}

impl Layers {
    /// # Errors
    /// If a tensor is missing, or a node has no counterpart.
    pub fn of(graph: &Graph, parameters: &Parameters) -> Result<Self, ExportError> {
        let mut writer = Writer { graph, parameters, layers: Vec::new(), places: Vec::new() };
        for id in graph.ids() {
            let place = writer.node(id)?;
            writer.places.push(place);
        }
        Ok(Self { output: writer.places[graph.output().index()], layers: writer.layers })
    }
}

struct Writer<'a> {
    graph: &'a Graph,
    parameters: &'a Parameters,
    layers: Vec<Layer>,
    /// The layer that gives each node's value.
    places: Vec<usize>,
}

impl Writer<'_> {
    fn tensor(&self, id: NodeId, role: Role) -> Result<Tensor, ExportError> {
        let name = format!("{}.{}", self.graph.node(id).name, role.suffix());
        self.parameters.get(&name).cloned().ok_or(ExportError::Missing(name))
    }

    fn vectors(&self, id: NodeId, roles: &[Role]) -> Result<Vec<Tensor>, ExportError> {
        roles.iter().map(|role| self.tensor(id, *role)).collect()
    }

    fn push(
        &mut self,
        class: &'static str,
        config: Value,
        inputs: &[usize],
        shape: Vec<usize>,
        tensors: Vec<Tensor>,
    ) -> usize {
        // Keras allows no strokes in names, and numbers keep them apart.
        let name = format!("{}_{}", class.to_lowercase(), self.layers.len());
        let merges = matches!(class, "Add" | "Multiply" | "Maximum" | "Concatenate");
        self.layers.push(Layer { name, class, config, inputs: inputs.to_vec(), merges, shape, tensors });
        self.layers.len() - 1
    }

    /// A frame of zeros, (above, below) and (left, right).
    fn framed(&mut self, input: usize, [rows, columns]: [[usize; 2]; 2]) -> usize {
        let [height, width, channels] = self.layers[input].shape[..] else { return input };
        let shape = vec![height + rows[0] + rows[1], width + columns[0] + columns[1], channels];
        self.push("ZeroPadding2D", json!({ "padding": [rows, columns] }), &[input], shape, Vec::new())
    }

    /// A reshaped value and, where `axes` are given, its permutation and a second shape. Axes count from 1, as in Keras.
    fn reshaped(&mut self, input: usize, table: Vec<usize>, axes: &[usize], back: Vec<usize>) -> usize {
        let x = self.push("Reshape", json!({ "target_shape": table }), &[input], table.clone(), Vec::new());
        let turned: Vec<usize> = axes.iter().map(|axis| table[axis - 1]).collect();
        let x = self.push("Permute", json!({ "dims": axes }), &[x], turned, Vec::new());
        self.push("Reshape", json!({ "target_shape": back }), &[x], back.clone(), Vec::new())
    }

    /// The input, with its zeros around it where Keras knows no name for them, and the name of the padding that is left.
    fn padded(&mut self, input: usize, window: &Window) -> (usize, &'static str) {
        match window.padding {
            Padding::Valid => (input, "valid"),
            Padding::Same => (input, "same"),
            Padding::Explicit([[0, 0], [0, 0]]) => (input, "valid"),
            Padding::Explicit(pads) => (self.framed(input, pads), "valid"),
        }
    }

    fn node(&mut self, id: NodeId) -> Result<usize, ExportError> {
        let node = self.graph.node(id);
        let inputs: Vec<usize> = node.inputs.iter().map(|input| self.places[input.index()]).collect();
        let from = node.inputs.first().map_or(node.shape, |input| self.graph.node(*input).shape);
        let (x, shape) = (inputs.first().copied().unwrap_or(0), sides(node.shape));
        let unknown = || ExportError::NoCounterpart { node: node.name.clone(), operation: node.op.label() };
        let bias = |has: bool| if has { &[Role::Bias][..] } else { &[] };
        Ok(match &node.op {
            Op::Input { shape: from } => {
                let config = json!({ "batch_shape": super::with_batch(&sides(*from)) });
                self.push("InputLayer", config, &[], shape, Vec::new())
            }
            Op::Conv { filters, window, bias: has } => {
                let mut tensors = vec![self.tensor(id, Role::Kernel)?.permute((2, 3, 1, 0))?.contiguous()?];
                tensors.extend(self.vectors(id, bias(*has))?);
                let (x, padding) = self.padded(x, window);
                let config = json!({
                    "filters": filters, "kernel_size": window.size, "strides": window.stride, "padding": padding,
                    "dilation_rate": window.dilation, "use_bias": has,
                });
                self.push("Conv2D", config, &[x], shape, tensors)
            }
            Op::DepthwiseConv { window, bias: has } => {
                let mut tensors = vec![self.tensor(id, Role::Kernel)?.permute((2, 3, 0, 1))?.contiguous()?];
                tensors.extend(self.vectors(id, bias(*has))?);
                let (x, padding) = self.padded(x, window);
                let config = json!({
                    "kernel_size": window.size, "strides": window.stride, "padding": padding,
                    "dilation_rate": window.dilation, "use_bias": has,
                });
                self.push("DepthwiseConv2D", config, &[x], shape, tensors)
            }
            Op::ConvTranspose { filters, size, stride, crop, bias: has } => {
                let Shape::Image { height, width, .. } = from else { return Err(unknown()) };
                // A stride longer than the kernel leaves pixels that Keras and this program count differently.
                if crop.iter().flatten().any(|side| *side < 0) || size.iter().any(|side| side < stride) {
                    return Err(unknown());
                }
                let mut tensors = vec![self.tensor(id, Role::Kernel)?.permute((2, 3, 0, 1))?.contiguous()?];
                tensors.extend(self.vectors(id, bias(*has))?);
                let whole = vec![(height - 1) * stride + size[0], (width - 1) * stride + size[1], *filters];
                let config = json!({
                    "filters": filters, "kernel_size": size, "strides": [stride, stride], "padding": "valid", "use_bias": has,
                });
                let x = self.push("Conv2DTranspose", config, &[x], whole, tensors);
                self.push("Cropping2D", json!({ "cropping": crop }), &[x], shape, Vec::new())
            }
            Op::Dense { units, bias: has } => {
                let mut tensors = vec![self.tensor(id, Role::Kernel)?.t()?.contiguous()?];
                tensors.extend(self.vectors(id, bias(*has))?);
                self.push("Dense", json!({ "units": units, "use_bias": has }), &[x], shape, tensors)
            }
            Op::BatchNorm { epsilon, momentum, scale } => {
                let scales = if *scale { &[Role::Scale][..] } else { &[] };
                let roles = [scales, &[Role::Bias, Role::RunningMean, Role::RunningVariance]].concat();
                let tensors = self.vectors(id, &roles)?;
                let config = json!({ "epsilon": epsilon, "momentum": momentum, "scale": scale });
                self.push("BatchNormalization", config, &[x], shape, tensors)
            }
            Op::Affine => {
                // Statistics that change nothing leave the scale and the shift.
                let channels = node.shape.channels();
                let mut tensors = self.vectors(id, &[Role::Scale, Role::Bias])?;
                tensors.push(constant(vec![0.0; channels], &[channels])?);
                tensors.push(constant(vec![1.0; channels], &[channels])?);
                self.push("BatchNormalization", json!({ "epsilon": 0.0 }), &[x], shape, tensors)
            }
            Op::LayerNorm { epsilon } => {
                let tensors = self.vectors(id, &[Role::Scale, Role::Bias])?;
                self.push("LayerNormalization", json!({ "epsilon": epsilon }), &[x], shape, tensors)
            }
            Op::GroupNorm { groups, epsilon } => {
                let tensors = self.vectors(id, &[Role::Scale, Role::Bias])?;
                let config = json!({ "groups": groups, "epsilon": epsilon });
                self.push("GroupNormalization", config, &[x], shape, tensors)
            }
            Op::PRelu { by_channel } => {
                let slopes = self.tensor(id, Role::Scale)?;
                let is_map = shape.len() == 3;
                let shared = if *by_channel && is_map { json!([1, 2]) } else { Value::Null };
                let slopes = if *by_channel && is_map { slopes.reshape((1, 1, ()))? } else { slopes };
                self.push("PReLU", json!({ "shared_axes": shared }), &[x], shape, vec![slopes])
            }
            Op::Activation { function } => return self.activation(*function, x, shape).ok_or_else(unknown),
            Op::MaxPool { window } => {
                // Zeros around are the floor of what a ReLU left, and of nothing else.
                let functions = |id: &NodeId| match self.graph.node(*id).op {
                    Op::Activation { function } => Some(function),
                    _ => None,
                };
                let is_floored = matches!(
                    node.inputs.first().and_then(functions),
                    Some(Activation::Relu | Activation::Relu6 | Activation::Sigmoid)
                );
                let (x, padding) = self.padded(x, window);
                if matches!(window.padding, Padding::Explicit(pads) if pads != [[0; 2]; 2]) && !is_floored {
                    return Err(unknown());
                }
                self.pool("MaxPooling2D", window, x, padding, shape)
            }
            Op::AveragePool { window } => {
                // Keras leaves out of the mean what lies outside, by its own names of padding alone.
                if matches!(window.padding, Padding::Explicit(pads) if pads != [[0; 2]; 2]) {
                    return Err(unknown());
                }
                let (x, padding) = self.padded(x, window);
                self.pool("AveragePooling2D", window, x, padding, shape)
            }
            Op::GlobalAveragePool => self.push("GlobalAveragePooling2D", json!({}), &[x], shape, Vec::new()),
            Op::Upsample { factor } => {
                let config = json!({ "size": [factor, factor], "interpolation": "nearest" });
                self.push("UpSampling2D", config, &[x], shape, Vec::new())
            }
            Op::Resize { to, resampling: Resampling::Bilinear, grid: Grid::HalfPixel } => {
                let config = json!({ "height": to[0], "width": to[1], "interpolation": "bilinear" });
                self.push("Resizing", config, &[x], shape, Vec::new())
            }
            Op::Resize { .. } => return Err(unknown()),
            Op::Add => self.push("Add", json!({}), &inputs, shape, Vec::new()),
            Op::Multiply => self.push("Multiply", json!({}), &inputs, shape, Vec::new()),
            Op::Maximum => self.push("Maximum", json!({}), &inputs, shape, Vec::new()),
            Op::Concat if inputs.len() == 1 => x,
            Op::Concat => self.push("Concatenate", json!({ "axis": -1 }), &inputs, shape, Vec::new()),
            Op::ZeroPad { rows, columns } => self.framed(x, [*rows, *columns]),
            Op::Crop { rows, columns } => {
                self.push("Cropping2D", json!({ "cropping": [rows, columns] }), &[x], shape, Vec::new())
            }
            Op::Channels { first, count } => {
                // A kernel of ones and zeros takes them out.
                let of = from.channels();
                let kernel =
                    (0..of * count).map(|at| if at / count == first + at % count { 1.0 } else { 0.0 }).collect();
                if shape.len() == 3 {
                    let kernel = constant(kernel, &[1, 1, of, *count])?;
                    let config = json!({ "filters": count, "kernel_size": [1, 1], "use_bias": false });
                    self.push("Conv2D", config, &[x], shape, vec![kernel])
                } else {
                    let kernel = constant(kernel, &[of, *count])?;
                    self.push("Dense", json!({ "units": count, "use_bias": false }), &[x], shape, vec![kernel])
                }
            }
            Op::ShuffleChannels { groups } => {
                let Shape::Image { height, width, channels } = node.shape else { return Err(unknown()) };
                self.reshaped(x, vec![height, width, *groups, channels / groups], &[1, 2, 4, 3], shape)
            }
            Op::DepthToSpace { block } => {
                let Shape::Image { height, width, channels } = from else { return Err(unknown()) };
                let table = vec![height, width, *block, *block, channels / (block * block)];
                self.reshaped(x, table, &[1, 3, 2, 4, 5], shape)
            }
            Op::Reshape { .. } => self.push("Reshape", json!({ "target_shape": shape }), &[x], shape, Vec::new()),
            Op::Permute { axes } => {
                self.push("Permute", json!({ "dims": axes.map(|axis| axis + 1) }), &[x], shape, Vec::new())
            }
            Op::Flatten => self.push("Flatten", json!({}), &[x], shape, Vec::new()),
            Op::Dropout { rate } => self.push("Dropout", json!({ "rate": rate }), &[x], shape, Vec::new()),
        })
    }

    fn pool(&mut self, class: &'static str, window: &Window, x: usize, padding: &str, shape: Vec<usize>) -> usize {
        let config = json!({ "pool_size": window.size, "strides": window.stride, "padding": padding });
        self.push(class, config, &[x], shape, Vec::new())
    }

    /// `None` for a function that Keras has no layer for.
    fn activation(&mut self, function: Activation, x: usize, shape: Vec<usize>) -> Option<usize> {
        let named = |name: &str| ("Activation", json!({ "activation": name }));
        let (class, config) = match function {
            Activation::Relu => named("relu"),
            Activation::Relu6 => named("relu6"),
            Activation::Silu => named("silu"),
            Activation::Gelu => named("gelu"),
            Activation::Sigmoid => named("sigmoid"),
            Activation::Softmax => named("softmax"),
            Activation::Selu => named("selu"),
            Activation::Tanh => named("tanh"),
            Activation::HardSwish => named("hard_silu"),
            Activation::Softplus => named("softplus"),
            Activation::Softsign => named("softsign"),
            Activation::Mish => named("mish"),
            Activation::Exp => named("exponential"),
            Activation::LeakyRelu { slope } => ("LeakyReLU", json!({ "negative_slope": slope })),
            Activation::Elu { alpha } => ("ELU", json!({ "alpha": alpha })),
            Activation::HardSigmoid { slope, shift } => {
                let config = json!({ "scale": slope, "offset": shift });
                let line = self.push("Rescaling", config, &[x], shape.clone(), Vec::new());
                return Some(self.push("ReLU", json!({ "max_value": 1.0 }), &[line], shape, Vec::new()));
            }
            Activation::Clip { low: 0.0, high } => ("ReLU", json!({ "max_value": high })),
            Activation::Clip { .. } | Activation::GeluTanh | Activation::Erf => return None,
        };
        Some(self.push(class, config, &[x], shape, Vec::new()))
    }
}

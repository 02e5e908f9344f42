//! Convolutions, pools, dense layers and normalisations.

use super::reader::{Axis, CHANNELS_FIRST, Call, Flow, Reader, Standing, VECTOR, Value};
use crate::graph::{Activation, NodeId, Op, Padding, Role, Shape, Window};
use crate::keras::between_groups_zero;
use candle_core::{Device, Tensor};

/// Explicit padding, or none.
fn around(pads: [[usize; 2]; 2]) -> Padding {
    if pads == [[0; 2]; 2] { Padding::Valid } else { Padding::Explicit(pads) }
}

fn standing(axes: &[Axis]) -> Standing {
    Standing::Plain(axes.to_vec())
}

impl Reader<'_> {
    /// `None` for other operators.
    pub fn layer(&mut self, call: &Call) -> Option<Result<Value, String>> {
        let first =
            |id: Result<NodeId, String>| id.map(|id| Value::Flow(Flow { id, standing: standing(&CHANNELS_FIRST) }));
        Some(match call.node.operator.as_str() {
            "Conv" => first(self.convolution(call)),
            "ConvTranspose" => first(self.transposed(call)),
            "MaxPool" => first(self.pool(call, true)),
            "AveragePool" => first(self.pool(call, false)),
            "GlobalAveragePool" | "GlobalMaxPool" => {
                first(self.global_pool(call, call.node.operator == "GlobalMaxPool"))
            }
            "BatchNormalization" => self.batch_norm(call),
            "InstanceNormalization" => self.instance_norm(call),
            "GroupNormalization" => first(self.group_norm(call)),
            "LayerNormalization" => self.layer_norm(call),
            "Gemm" => self.gemm(call),
            "MatMul" => self.matrix_product(call),
            "Resize" | "Upsample" => first(self.resize(call)),
            _ => return None,
        })
    }

    fn image(&self, id: NodeId) -> (usize, usize, usize) {
        match self.builder.shape(id) {
            Shape::Image { height, width, channels } => (height, width, channels),
            Shape::Vector { len } => (1, 1, len),
        }
    }

    /// The window of a convolution or pool, as far as its size.
    fn window(&self, call: &Call, size: [usize; 2]) -> Result<Window, String> {
        let (stride, dilation) = (call.pair("strides")?, call.pair("dilations")?);
        let padding = match call.text("auto_pad") {
            "SAME_UPPER" if size == [1, 1] => Padding::Valid,
            "SAME_UPPER" => Padding::Same,
            "VALID" => Padding::Valid,
            "" | "NOTSET" => {
                let pads = call.integers("pads").unwrap_or_else(|| vec![0; 4]);
                let pads: Option<Vec<usize>> =
                    pads.iter().map(|pad| usize::try_from(*pad).ok().filter(|pad| *pad <= 4096)).collect();
                match pads.as_deref() {
                    Some(&[top, left, bottom, right]) => around([[top, bottom], [left, right]]),
                    _ => return Err("has negative or odd `pads`".into()),
                }
            }
            other => return Err(format!("padding `{other}`")),
        };
        Ok(Window { dilation, ..Window::new(size, stride, padding) })
    }

    fn kernel(&self, call: &Call) -> Result<(Tensor, [usize; 2]), String> {
        let weights = call.weights(1, "kernel")?;
        let &[.., rows, columns] = weights.sides.as_slice() else { return Err("is no convolution of pictures".into()) };
        if weights.sides.len() != 4 {
            return Err(format!("works on {} axes; pictures have two", weights.sides.len().saturating_sub(2)));
        }
        let tensor = Tensor::from_vec(weights.as_floats(), weights.sides.as_slice(), &Device::Cpu);
        Ok((tensor.map_err(|e| e.to_string())?, [rows, columns]))
    }

    fn keep(&mut self, call: &Call, part: &str, role: Role, tensor: &Tensor) -> Result<(), String> {
        let values = tensor.flatten_all().and_then(|t| t.to_vec1()).map_err(|e| e.to_string())?;
        self.parameter(call, part, role, values, tensor.dims())
    }

    /// The bias at a place, if there is one.
    fn bias(&mut self, call: &Call, at: usize, units: usize) -> Result<bool, String> {
        if call.inputs.get(at).is_none_or(Option::is_none) {
            return Ok(false);
        }
        let values = call.weights(at, "bias")?.as_floats();
        let values = if values.len() == 1 { vec![values[0]; units] } else { values };
        self.parameter(call, "", Role::Bias, values, &[units])?;
        Ok(true)
    }

    fn convolution(&mut self, call: &Call) -> Result<NodeId, String> {
        let x = call.map(0)?;
        let (kernel, size) = self.kernel(call)?;
        let groups = usize::try_from(call.integer("group", 1)).unwrap_or(0);
        let (out, each) = (kernel.dims()[0], kernel.dims()[1]);
        let (_, _, channels) = self.image(x);
        if groups == 0 || each.checked_mul(groups) != Some(channels) || out % groups != 0 {
            return Err(format!("a kernel of {:?} in {groups} groups for {channels} channels", kernel.dims()));
        }
        let window = self.window(call, size)?;
        let bias = self.bias(call, 2, out)?;
        let op = if groups > 1 && groups == channels && out == channels {
            self.keep(call, "", Role::Kernel, &kernel)?;
            Op::DepthwiseConv { window, bias }
        } else {
            let kernel =
                if groups > 1 { between_groups_zero(&kernel, groups).map_err(|e| e.to_string())? } else { kernel };
            self.keep(call, "", Role::Kernel, &kernel)?;
            Op::Conv { filters: out, window, bias }
        };
        Ok(self.push(call, "", op, &[x]))
    }

    fn transposed(&mut self, call: &Call) -> Result<NodeId, String> {
        let x = call.map(0)?;
        let (kernel, size) = self.kernel(call)?;
        let groups = usize::try_from(call.integer("group", 1)).unwrap_or(0);
        let failed = |e: candle_core::Error| e.to_string();
        // [in, out of a group, rows, columns] here.
        let kernel = match groups {
            1 => kernel.transpose(0, 1).and_then(|k| k.contiguous()).map_err(failed)?,
            _ if groups > 0 && kernel.dims()[0] % groups == 0 => {
                let swap = |k: Tensor| k.transpose(0, 1)?.contiguous();
                between_groups_zero(&kernel, groups).and_then(swap).map_err(failed)?
            }
            _ => return Err(format!("{groups} groups")),
        };
        let [stride, other] = call.pair("strides")?;
        if stride != other || call.pair("dilations")? != [1, 1] || call.integers("output_shape").is_some() {
            return Err("unlike strides, holes or an explicit output shape".into());
        }
        let extra = call.integers("output_padding").unwrap_or_else(|| vec![0; 2]);
        let pads = match (call.text("auto_pad"), call.integers("pads")) {
            ("" | "NOTSET", pads) => pads.unwrap_or_else(|| vec![0; 4]),
            ("VALID", _) => vec![0; 4],
            ("SAME_UPPER", _) => {
                let over = size.map(|size| size as i64 - stride as i64);
                let [top, left] = over.map(|over| over.max(0) / 2);
                vec![top, left, over[0] - top, over[1] - left]
            }
            (other, _) => return Err(format!("padding `{other}`")),
        };
        if pads.iter().chain(&extra).any(|pad| !(-4096..=4096).contains(pad)) || stride > 4096 {
            return Err("has pads or strides that no network has".into());
        }
        let (&[top, left, bottom, right], &[down, across]) = (pads.as_slice(), extra.as_slice()) else {
            return Err("has odd `pads`".into());
        };
        let crop = [[top, bottom - down], [left, right - across]].map(|sides| sides.map(|n| n as isize));
        let filters = kernel.dims()[0];
        let bias = self.bias(call, 2, filters)?;
        self.keep(call, "", Role::Kernel, &kernel)?;
        Ok(self.push(call, "", Op::ConvTranspose { filters, size, stride, crop, bias }, &[x]))
    }

    fn pool(&mut self, call: &Call, largest: bool) -> Result<NodeId, String> {
        let mut x = call.map(0)?;
        let size = call.pair("kernel_shape")?;
        let mut window = self.window(call, size)?;
        if window.dilation != [1, 1] {
            return Err("a pool with holes".into());
        }
        if let (false, 1, Padding::Explicit(pads)) = (largest, call.integer("count_include_pad", 0), window.padding) {
            x = self.push(call, "zeros", Op::ZeroPad { rows: pads[0], columns: pads[1] }, &[x]);
            window.padding = Padding::Valid;
        }
        if call.integer("ceil_mode", 0) == 1 {
            let mut pads = match window.padding {
                Padding::Explicit(pads) => pads,
                _ => [[0; 2]; 2],
            };
            let (height, width, _) = self.image(x);
            for (axis, side) in [height, width].into_iter().enumerate() {
                let (size, stride) = (window.size[axis], window.stride[axis].max(1));
                let whole = side + pads[axis][0] + pads[axis][1];
                let mut count = whole.saturating_sub(size).div_ceil(stride) + 1;
                // The last window must begin inside the map or before it.
                if (count - 1) * stride >= side + pads[axis][0] {
                    count -= 1;
                }
                pads[axis][1] += ((count - 1) * stride + size).saturating_sub(whole);
            }
            window.padding = around(pads);
        }
        Ok(self.push(call, "", if largest { Op::MaxPool { window } } else { Op::AveragePool { window } }, &[x]))
    }

    fn global_pool(&mut self, call: &Call, largest: bool) -> Result<NodeId, String> {
        let x = call.map(0)?;
        Ok(self.whole_pool(call, x, largest))
    }

    /// One pixel of a whole map.
    pub fn whole_pool(&mut self, call: &Call, x: NodeId, largest: bool) -> NodeId {
        let (height, width, _) = self.image(x);
        let window = Window::new([height, width], [1; 2], Padding::Valid);
        self.push(call, "", if largest { Op::MaxPool { window } } else { Op::AveragePool { window } }, &[x])
    }

    fn batch_norm(&mut self, call: &Call) -> Result<Value, String> {
        let flow = call.flow(0)?;
        let channels = self.builder.shape(flow.id).channels();
        if !matches!(&flow.standing, Standing::Plain(axes) if axes.get(1) == Some(&Axis::Channel)) {
            return Err("works on an axis that is not the channels".into());
        }
        if call.integer("training_mode", 0) == 1 {
            return Err("was exported in training mode; call `model.eval()` before the export".into());
        }
        let epsilon = f64::from(call.float("epsilon", 1e-5));
        let id = self.push(call, "", Op::BatchNorm { epsilon, momentum: 0.9, scale: true }, &[flow.id]);
        for (at, role) in [(1, Role::Scale), (2, Role::Bias), (3, Role::RunningMean), (4, Role::RunningVariance)] {
            let values = call.weights(at, "statistics")?.as_floats();
            self.parameter(call, "", role, values, &[channels])?;
        }
        Ok(Value::Flow(Flow { id, ..flow }))
    }

    fn normalised(&mut self, call: &Call, x: NodeId, groups: usize, each: [Vec<f32>; 2]) -> Result<NodeId, String> {
        let (_, _, channels) = self.image(x);
        let epsilon = f64::from(call.float("epsilon", 1e-5));
        let id = self.push(call, "", Op::GroupNorm { groups, epsilon }, &[x]);
        for (values, role) in each.into_iter().zip([Role::Scale, Role::Bias]) {
            if values.is_empty() || channels % values.len() != 0 {
                return Err(format!("{} scales for {channels} channels", values.len()));
            }
            let times = channels / values.len();
            let spread = values.iter().flat_map(|v| std::iter::repeat_n(*v, times)).collect();
            self.parameter(call, "", role, spread, &[channels])?;
        }
        Ok(id)
    }

    fn instance_norm(&mut self, call: &Call) -> Result<Value, String> {
        let flow = call.flow(0)?;
        let (_, _, channels) = self.image(flow.id);
        let groups = match &flow.standing {
            Standing::Plain(axes) if *axes == CHANNELS_FIRST => channels,
            Standing::Grouped { groups } => *groups,
            _ => return Err("works on a map whose channels do not come first".into()),
        };
        let each = [call.weights(1, "scale")?.as_floats(), call.weights(2, "shift")?.as_floats()];
        let id = self.normalised(call, flow.id, groups, each)?;
        Ok(Value::Flow(Flow { id, ..flow }))
    }

    fn group_norm(&mut self, call: &Call) -> Result<NodeId, String> {
        let x = call.map(0)?;
        let groups = usize::try_from(call.integer("num_groups", 0)).unwrap_or(0);
        let each = [call.weights(1, "scale")?.as_floats(), call.weights(2, "shift")?.as_floats()];
        self.normalised(call, x, groups, each)
    }

    fn layer_norm(&mut self, call: &Call) -> Result<Value, String> {
        let flow = call.flow(0)?;
        let rank = self.sides(&flow).len() as i64;
        let axis = call.integer("axis", -1);
        let is_last = axis == -1 || axis == rank - 1;
        if !is_last || !matches!(&flow.standing, Standing::Plain(axes) if axes.last() == Some(&Axis::Channel)) {
            return Err("works on other axes than the channels".into());
        }
        let channels = self.builder.shape(flow.id).channels();
        let id = self.push(call, "", Op::LayerNorm { epsilon: f64::from(call.float("epsilon", 1e-5)) }, &[flow.id]);
        let scale = call.weights(1, "scale")?.as_floats();
        let shift = call.constant(2).map_or_else(|| vec![0.0; channels], |array| array.as_floats());
        self.parameter(call, "", Role::Scale, scale, &[channels])?;
        self.parameter(call, "", Role::Bias, shift, &[channels])?;
        Ok(Value::Flow(Flow { id, ..flow }))
    }

    /// `weights` are [units, features].
    fn dense(&mut self, call: &Call, flow: Flow, weights: Tensor, bias: bool) -> Result<Value, String> {
        let &[units, features] = weights.dims() else { return Err("its weights are no matrix".into()) };
        let shape = self.builder.shape(flow.id);
        let on_channels = matches!(&flow.standing, Standing::Plain(axes) if axes.last() == Some(&Axis::Channel));
        if !on_channels || shape.channels() != features {
            return Err(format!("multiplies {shape} by a matrix for {features} channels"));
        }
        let id = if let Shape::Vector { .. } = shape {
            self.keep(call, "", Role::Kernel, &weights)?;
            self.push(call, "", Op::Dense { units, bias }, &[flow.id])
        } else {
            let kernel = weights.reshape((units, features, 1, 1)).map_err(|e| e.to_string())?;
            self.keep(call, "", Role::Kernel, &kernel)?;
            let window = Window::dense(1, Padding::Valid);
            self.push(call, "", Op::Conv { filters: units, window, bias }, &[flow.id])
        };
        Ok(Value::Flow(Flow { id, ..flow }))
    }

    fn gemm(&mut self, call: &Call) -> Result<Value, String> {
        let flow = call.flow(0)?;
        if call.integer("transA", 0) != 0 || flow.standing != standing(&VECTOR) {
            return Err("does not multiply a vector".into());
        }
        let weights = call.weights(1, "matrix")?;
        let weights = if call.integer("transB", 0) == 0 { weights.transposed(&[1, 0]) } else { Some(weights.clone()) };
        let weights = weights.ok_or("its weights are no matrix")?;
        let alpha = call.float("alpha", 1.0);
        let values = weights.as_floats().iter().map(|w| w * alpha).collect();
        let tensor = Tensor::from_vec(values, weights.sides.as_slice(), &Device::Cpu).map_err(|e| e.to_string())?;
        if call.constant(2).is_some() && call.float("beta", 1.0) != 1.0 {
            return Err("a scaled bias".into());
        }
        let bias = self.bias(call, 2, tensor.dims()[0])?;
        self.dense(call, flow, tensor, bias)
    }

    fn matrix_product(&mut self, call: &Call) -> Result<Value, String> {
        let flow = call.flow(0)?;
        let weights = call.weights(1, "matrix")?.transposed(&[1, 0]).ok_or("its weights are no matrix")?;
        let tensor =
            Tensor::from_vec(weights.as_floats(), weights.sides.as_slice(), &Device::Cpu).map_err(|e| e.to_string())?;
        self.dense(call, flow, tensor, false)
    }

    fn resize(&mut self, call: &Call) -> Result<NodeId, String> {
        use crate::graph::{Grid, Resampling};
        let x = call.map(0)?;
        let (height, width, _) = self.image(x);
        let old = call.node.operator == "Upsample" || call.inputs.len() == 2 && call.node.operator == "Resize";
        let scales =
            call.constant(if old { 1 } else { 2 }).filter(|array| array.len() == 4).map(|array| array.as_floats());
        let scales = scales.or_else(|| match call.node.attributes.get("scales") {
            Some(super::proto::Attribute::Floats(values)) => Some(values.clone()),
            _ => None,
        });
        let sizes = call.constant(3).filter(|array| array.len() == 4).map(|array| array.as_integers());
        let to = match (sizes, scales) {
            (Some(sizes), _) => [sizes[2], sizes[3]].map(|side| usize::try_from(side).unwrap_or(0)),
            (None, Some(scales)) => {
                let to = [height as f32 * scales[2], width as f32 * scales[3]];
                if to.iter().any(|side| (side - side.round()).abs() > 1e-3) {
                    return Err("makes a size that is no whole number".into());
                }
                to.map(|side| side.round() as usize)
            }
            _ => return Err("does not say the new size as a constant".into()),
        };
        let default = if old { "asymmetric" } else { "half_pixel" };
        let told = call.text("coordinate_transformation_mode");
        let told = if told.is_empty() { default } else { told };
        let grid = match told {
            "half_pixel" | "pytorch_half_pixel" => Grid::HalfPixel,
            "asymmetric" => Grid::Asymmetric,
            "align_corners" => Grid::Corners,
            other => return Err(format!("coordinates `{other}`")),
        };
        if told == "pytorch_half_pixel" && to.contains(&1) {
            return Err("makes a side of one pixel by PyTorch's rule".into());
        }
        let whole = to[0] % height == 0 && to[1] % width == 0 && to[0] / height == to[1] / width;
        let rounding = if old { "floor" } else { call.text("nearest_mode") };
        let resampling = match (call.text("mode"), grid, rounding) {
            ("nearest" | "", Grid::Asymmetric, "floor")
            | ("nearest" | "", Grid::HalfPixel, "" | "round_prefer_floor" | "round_prefer_ceil")
                if whole =>
            {
                return Ok(self.push(call, "", Op::Upsample { factor: to[0] / height }, &[x]));
            }
            ("nearest" | "", _, "floor") => Resampling::Floor,
            ("nearest" | "", _, "" | "round_prefer_floor") => Resampling::Nearest,
            ("linear", ..) if call.integer("antialias", 0) == 0 => Resampling::Bilinear,
            (mode, _, rounding) => return Err(format!("mode `{mode}` {rounding}")),
        };
        Ok(self.push(call, "", Op::Resize { to, resampling, grid }, &[x]))
    }

    /// A function of single values or of the channels.
    pub fn activate(&mut self, call: &Call, function: Activation) -> Result<Value, String> {
        let flow = call.flow(0)?;
        let id = self.push(call, "", Op::Activation { function }, &[flow.id]);
        Ok(Value::Flow(Flow { id, ..flow }))
    }
}

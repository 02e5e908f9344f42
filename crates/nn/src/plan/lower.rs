//! What the plan has no kernel for, in terms of what it has.
//!
//! - A transposed convolution makes every block of stride × stride pixels from the same few input pixels: it is a convolution
//!   with a channel for each place in the block, whose channels then become pixels.
//! - Vectors that become part of a map again (gates that squeeze and excite) are kept as maps of one pixel.

use crate::exec::Parameters;
use crate::graph::{Builder, Graph, NodeId, Op, Padding, Role, Shape, Window};
use crate::rewrite::RewriteError;
use candle_core::{Device, Tensor};
use std::collections::HashMap;

/// The same function without transposed convolutions and without vectors that become maps.
///
/// # Errors
/// If a tensor is missing.
pub fn lower(graph: &Graph, mut parameters: Parameters) -> Result<(Graph, Parameters), RewriteError> {
    let readers = graph.readers();
    let pixels = vectors_in_maps(graph, &readers);
    let (mut builder, input) = Builder::new(graph.input_shape());
    let mut place = HashMap::from([(NodeId(0), input)]);
    // Vectors that are wanted as such too.
    let mut flat: HashMap<NodeId, NodeId> = HashMap::new();
    for id in graph.ids().skip(1) {
        if place.contains_key(&id) {
            continue;
        }
        let node = graph.node(id);
        let mut inputs: Vec<NodeId> = node.inputs.iter().map(|i| place[i]).collect();
        if !pixels[id.0] && matches!(node.shape, Shape::Vector { .. }) {
            for (input, from) in inputs.iter_mut().zip(&node.inputs) {
                if pixels[from.0] {
                    let name = format!("{}.flat", graph.node(*from).name);
                    *input = *flat.entry(*from).or_insert_with(|| builder.push(name, Op::Flatten, &[place[from]]));
                }
            }
        }
        let new = match &node.op {
            Op::ConvTranspose { .. } => {
                // A function of single values may as well come before the pixels part.
                let after = match readers[id.0].as_slice() {
                    [next] => Some(*next).filter(|next| is_elementwise(&graph.node(*next).op)),
                    _ => None,
                };
                let conv = Transposed::of(graph, id).lower(
                    inputs[0],
                    after.map(|after| &graph.node(after).op),
                    &mut builder,
                    &mut parameters,
                )?;
                if let Some(after) = after {
                    place.insert(after, conv);
                }
                conv
            }
            op if pixels[id.0] => {
                let op = on_one_pixel(op, graph, id, &mut parameters)?;
                builder.push(node.name.clone(), op, &inputs)
            }
            op => builder.push(node.name.clone(), op.clone(), &inputs),
        };
        place.insert(id, new);
    }
    Ok((builder.finish()?, parameters))
}

fn is_elementwise(op: &Op) -> bool {
    matches!(op, Op::Activation { function } if *function != crate::graph::Activation::Softmax)
}

/// By node: a vector that some map depends on.
fn vectors_in_maps(graph: &Graph, readers: &[Vec<NodeId>]) -> Vec<bool> {
    let mut reaches_map = vec![false; graph.nodes().len()];
    for id in graph.ids().rev() {
        let is_map = |reader: &NodeId| matches!(graph.node(*reader).shape, Shape::Image { .. });
        reaches_map[id.0] = readers[id.0].iter().any(|reader| is_map(reader) || reaches_map[reader.0]);
    }
    let is_vector = |id: NodeId| matches!(graph.node(id).shape, Shape::Vector { .. }) && id != NodeId(0);
    graph.ids().map(|id| is_vector(id) && reaches_map[id.0]).collect()
}

/// The operation that does to a map of one pixel what `op` does to a vector.
fn on_one_pixel(op: &Op, graph: &Graph, id: NodeId, parameters: &mut Parameters) -> Result<Op, RewriteError> {
    let node = graph.node(id);
    let from = graph.node(node.inputs[0]).shape;
    let pixel = Shape::Image { height: 1, width: 1, channels: node.shape.channels() };
    Ok(match (op, from) {
        (Op::Dense { units, bias }, _) => {
            let name = format!("{}.{}", node.name, Role::Kernel.suffix());
            if let Some(kernel) = parameters.get(&name) {
                let kernel = kernel.reshape((*units, from.channels(), 1, 1))?;
                parameters.insert(name, kernel);
            }
            Op::Conv { filters: *units, window: Window::dense(1, Padding::Valid), bias: *bias }
        }
        (Op::GlobalAveragePool, Shape::Image { height, width, .. }) => {
            Op::AveragePool { window: Window::new([height, width], [1; 2], Padding::Valid) }
        }
        (Op::Flatten | Op::Reshape { .. }, _) => Op::Reshape { shape: pixel },
        (op, _) => op.clone(),
    })
}

/// A transposed convolution and how it becomes one.
struct Transposed<'a> {
    name: &'a str,
    filters: usize,
    stride: usize,
    bias: bool,
    /// By axis.
    axes: [Axis; 2],
}

/// Along one axis: output block `q` is made from input pixels `q + first` to `q + last`.
#[derive(Clone, Copy)]
struct Axis {
    size: usize,
    /// Pixels that are taken away before the first.
    crop: isize,
    first: isize,
    last: isize,
    /// Blocks of output.
    blocks: usize,
    input: usize,
    output: usize,
}

impl Axis {
    fn new(size: usize, stride: usize, crop: isize, input: usize, output: usize) -> Self {
        let step = stride as isize;
        // Place r of block q is at q · stride + r + crop of the whole output; input pixel i reaches it by kernel value
        // (q − i) · stride + r + crop.
        let first = -(size as isize - 1 - crop).div_euclid(step);
        let last = (step - 1 + crop).div_euclid(step);
        Self { size, crop, first, last: last.max(first), blocks: output.div_ceil(stride), input, output }
    }

    fn window(&self) -> usize {
        (self.last - self.first + 1).unsigned_abs()
    }

    /// Pixels that the convolution wants before and after the input; negative where some are not wanted.
    fn around(&self) -> [isize; 2] {
        [-self.first, self.blocks as isize + self.last - self.input as isize]
    }

    /// Place in the kernel of window position `at` for place `r` of a block.
    fn tap(&self, stride: usize, r: usize, at: usize) -> Option<usize> {
        let tap = r as isize + self.crop - stride as isize * (self.first + at as isize);
        usize::try_from(tap).ok().filter(|tap| *tap < self.size)
    }
}

impl<'a> Transposed<'a> {
    fn of(graph: &'a Graph, id: NodeId) -> Self {
        let node = graph.node(id);
        let from = graph.node(node.inputs[0]).shape.dims();
        let to = node.shape.dims();
        let Op::ConvTranspose { filters, size, stride, crop, bias } = node.op else {
            unreachable!("only transposed convolutions are lowered")
        };
        let axes = [0, 1].map(|axis| Axis::new(size[axis], stride, crop[axis][0], from[axis], to[axis]));
        Self { name: &node.name, filters, stride, bias, axes }
    }

    fn lower(
        &self,
        input: NodeId,
        after: Option<&Op>,
        builder: &mut Builder,
        parameters: &mut Parameters,
    ) -> Result<NodeId, RewriteError> {
        let name = |part: &str| format!("{}.{part}", self.name);
        let around = self.axes.map(|axis| axis.around());
        let zeros = around.map(|sides| sides.map(|n| n.max(0).unsigned_abs()));
        let unread = around.map(|sides| sides.map(|n| n.min(0).unsigned_abs()));
        let mut x = input;
        if unread != [[0; 2]; 2] {
            x = builder.push(name("read"), Op::Crop { rows: unread[0], columns: unread[1] }, &[x]);
        }
        if zeros != [[0; 2]; 2] {
            x = builder.push(name("zeros"), Op::ZeroPad { rows: zeros[0], columns: zeros[1] }, &[x]);
        }
        self.spread_weights(&name("places"), parameters)?;
        let window = Window::new(self.axes.map(|axis| axis.window()), [1; 2], Padding::Valid);
        let filters = self.filters * self.stride * self.stride;
        x = builder.push(name("places"), Op::Conv { filters, window, bias: self.bias }, &[x]);
        if let Some(function) = after {
            x = builder.push(name("places.act"), function.clone(), &[x]);
        }
        let over = self.axes.map(|axis| axis.blocks * self.stride - axis.output);
        if self.stride > 1 {
            x = builder.push(name("pixels"), Op::DepthToSpace { block: self.stride }, &[x]);
        }
        if over != [0; 2] {
            x = builder.push(name("cut"), Op::Crop { rows: [0, over[0]], columns: [0, over[1]] }, &[x]);
        }
        Ok(x)
    }

    /// Weights of the convolution: its filter (r · stride + c) · filters + f makes place (r, c) of a block.
    fn spread_weights(&self, to: &str, parameters: &mut Parameters) -> candle_core::Result<()> {
        let mut take = |role: Role| {
            let name = format!("{}.{}", self.name, role.suffix());
            parameters.remove(&name).ok_or_else(|| candle_core::Error::Msg(format!("no tensor `{name}`")))
        };
        let kernel = take(Role::Kernel)?;
        let bias = self.bias.then(|| take(Role::Bias)).transpose()?;
        let (filters, channels, rows, columns) = kernel.dims4()?;
        let values: Vec<f32> = kernel.flatten_all()?.to_vec1()?;
        let [down, across] = self.axes.map(|axis| axis.window());
        let places = self.stride * self.stride;
        let mut spread = vec![0.0; places * filters * channels * down * across];
        let mut all = spread.iter_mut();
        for place in 0..places {
            let (r, c) = (place / self.stride, place % self.stride);
            for (filter, channel) in (0..filters).flat_map(|f| (0..channels).map(move |c| (f, c))) {
                let own = &values[(filter * channels + channel) * rows * columns..][..rows * columns];
                for (y, x) in (0..down).flat_map(|y| (0..across).map(move |x| (y, x))) {
                    let taps = (self.axes[0].tap(self.stride, r, y), self.axes[1].tap(self.stride, c, x));
                    let value = all.next();
                    if let ((Some(row), Some(column)), Some(value)) = (taps, value) {
                        *value = own[row * columns + column];
                    }
                }
            }
        }
        let kernel = Tensor::from_vec(spread, (places * filters, channels, down, across), &Device::Cpu)?;
        parameters.insert(format!("{to}.{}", Role::Kernel.suffix()), kernel);
        if let Some(bias) = bias {
            let bias = bias.repeat(places)?;
            parameters.insert(format!("{to}.{}", Role::Bias.suffix()), bias);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exec::{Backend, Pass};
    use crate::graph::{Activation, Grid, Resampling};
    use crate::plan::Plan;
    use crate::plan::isa::Isa;

    fn number(i: usize, salt: usize) -> f32 {
        ((i as f32 * 12.989_8 + salt as f32 * 7.31).sin() * 43_758.547).fract()
    }

    fn filled(graph: &Graph) -> Parameters {
        let tensor = |(salt, p): (usize, crate::graph::Parameter)| {
            let values: Vec<f32> = (0..p.shape.iter().product()).map(|i| number(i, salt)).collect();
            (p.name, Tensor::from_vec(values, p.shape.as_slice(), &Device::Cpu).unwrap())
        };
        graph.parameters().into_iter().enumerate().map(tensor).collect()
    }

    /// Every kernel, stride and crop up to 5, output padding included, against the definition in f64 to 1e-4.
    #[test]
    fn transposed_convolutions_by_definition() {
        let (height, width, channels, filters) = (4, 5, 2, 3);
        for (size, stride) in (1..=5).flat_map(|size| (1..=4).map(move |stride| (size, stride))) {
            for (before, after) in [(0isize, 0isize), (1, 0), (1, 1), (2, 1), (0, -1), (1, -1)] {
                let (mut b, x) = Builder::new(Shape::Image { height, width, channels });
                let crop = [[before, after], [0, 0]];
                let op = Op::ConvTranspose { filters, size: [size, size], stride, crop, bias: true };
                let up = b.push("up", op, &[x]);
                b.relu("relu", up);
                let Ok(graph) = b.finish() else { continue };
                let parameters = filled(&graph);
                let input: Vec<f32> = (0..height * width * channels).map(|i| number(i, 99)).collect();
                let values = |name: &str| parameters[name].flatten_all().unwrap().to_vec1::<f32>().unwrap();
                let (kernel, bias) = (values("up.weight"), values("up.bias"));
                let Shape::Image { height: rows, width: columns, .. } = graph.output_shape() else { panic!() };
                let mut wanted = vec![0.0f64; rows * columns * filters];
                for (at, wanted) in wanted.iter_mut().enumerate() {
                    let (y, x, f) = (at / filters / columns, at / filters % columns, at % filters);
                    *wanted = f64::from(bias[f]);
                    for (i, j, c) in (0..height * width * channels)
                        .map(|k| (k / channels / width, k / channels % width, k % channels))
                    {
                        let (row, column) =
                            (y as isize + before - (i * stride) as isize, x as isize - (j * stride) as isize);
                        if (0..size as isize).contains(&row) && (0..size as isize).contains(&column) {
                            let k = ((f * channels + c) * size + row as usize) * size + column as usize;
                            *wanted += f64::from(kernel[k]) * f64::from(input[(i * width + j) * channels + c]);
                        }
                    }
                    *wanted = wanted.max(0.0);
                }
                for isa in Isa::available().into_iter().filter(|isa| !isa.is_half()) {
                    let found = Plan::compile(&graph, parameters.clone(), isa).unwrap().run(&input, &|| false).unwrap();
                    let worst = found.iter().zip(&wanted).map(|(a, b)| (f64::from(*a) - b).abs()).fold(0.0, f64::max);
                    assert!(worst < 1e-4, "{isa}: {size} by {stride}, crop {before}, {after}: off by {worst}");
                }
            }
        }
    }

    /// A network of all layers that only imported ones have: the plan, this crate's operations and candle's agree to 2e-5.
    #[test]
    fn imported_layers_agree_on_every_path() {
        let (mut b, x) = Builder::new(Shape::Image { height: 8, width: 8, channels: 3 });
        let same = Padding::Same;
        let window = Window { dilation: [2, 2], ..Window::dense(3, same) };
        let x = b.push("affine", Op::Affine, &[x]);
        let x = b.conv("holes", x, 8, window);
        let x = b.activation("leaky", x, Activation::LeakyRelu { slope: 0.1 });
        let x = b.depthwise("thin", x, Window { dilation: [1, 2], ..Window::dense(3, same) });
        let x = b.push("groups", Op::GroupNorm { groups: 2, epsilon: 1e-3 }, &[x]);
        let p = b.push("prelu", Op::PRelu { by_channel: true }, &[x]);
        let q = b.push("slopes", Op::PRelu { by_channel: false }, &[p]);
        let mean = b.push("mean", Op::GlobalAveragePool, &[q]);
        let gate = b.dense("squeeze", mean, 4);
        let gate = b.activation("swish", gate, Activation::Silu);
        let gate = b.dense("excite", gate, 8);
        let gate = b.activation("open", gate, Activation::Sigmoid);
        let gate = b.push("pixel", Op::Reshape { shape: Shape::Image { height: 1, width: 1, channels: 8 } }, &[gate]);
        let x = b.push("gated", Op::Multiply, &[q, gate]);
        let one = b.push("one", Op::Channels { first: 2, count: 1 }, &[x]);
        let x = b.push("spread", Op::Add, &[x, one]);
        let x = b.push("shuffled", Op::ShuffleChannels { groups: 4 }, &[x]);
        let x = b.push("large", Op::DepthToSpace { block: 2 }, &[x]);
        let grid = Grid::HalfPixel;
        let x = b.push("smooth", Op::Resize { to: [12, 10], resampling: Resampling::Bilinear, grid }, &[x]);
        let y =
            b.push("near", Op::Resize { to: [12, 10], resampling: Resampling::Floor, grid: Grid::Asymmetric }, &[one]);
        let x = b.push("both", Op::Maximum, &[x, y]);
        let x = b.push("cut", Op::Crop { rows: [1, 1], columns: [0, 2] }, &[x]);
        let x = b.push("turned", Op::Permute { axes: [1, 2, 0] }, &[x]);
        let shape = Shape::Image { height: 4, width: 20, channels: 2 };
        let x = b.push("reshaped", Op::Reshape { shape }, &[x]);
        let padding = Padding::Explicit([[1, 0], [0, 2]]);
        let x = b.push("pool", Op::MaxPool { window: Window::new([3, 3], [2, 2], padding) }, &[x]);
        let x = b.conv("explicit", x, 3, Window::new([3, 3], [1, 1], Padding::Explicit([[2, 1], [0, 1]])));
        let x = b.activation("elu", x, Activation::Elu { alpha: 0.5 });
        let flat = b.push("flat", Op::Flatten, &[x]);
        let all = b.push("all", Op::Concat, &[flat, mean]);
        let all = b.push("head", Op::PRelu { by_channel: true }, &[all]);
        let x = b.dense("answer", all, 5);
        b.activation("softmax", x, Activation::Softmax);
        let graph = b.finish().unwrap();
        let parameters = filled(&graph);
        let input: Vec<f32> = (0..2 * 8 * 8 * 3).map(|i| number(i, 5)).collect();
        let x = Tensor::from_vec(input.clone(), (2, 8, 8, 3), &Device::Cpu).unwrap();
        let run = |backend| {
            let mut pass =
                Pass { graph: &graph, parameters: &parameters, backend, training: None, cancelled: &|| false };
            pass.run(&x, graph.output()).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap()
        };
        let (own, stock) = (run(Backend::Own), run(Backend::Stock));
        let spread = own.iter().fold((1f32, 0f32), |(low, high), p| (low.min(*p), high.max(*p)));
        assert!(spread.0 > 1e-6 && spread.1 < 1.0 - 1e-6, "saturated outputs prove nothing: {own:?}");
        let near = |a: &[f32], b: &[f32]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 2e-5);
        assert!(near(&own, &stock), "{own:?} {stock:?}");
        for isa in Isa::available().into_iter().filter(|isa| !isa.is_half()) {
            let plan = Plan::compile(&graph, parameters.clone(), isa).unwrap().run(&input, &|| false).unwrap();
            assert!(near(&own, &plan), "{isa}: {own:?} {plan:?}");
        }
    }
}

//! Layers that only imported networks have, composed of candle's operations for either layout of maps.

use super::graph::{Activation, Grid, Resampling, SELU, Window};
use candle_core::{D, Result, Tensor};

/// Where the axes of a batch of maps stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Axes {
    pub row: usize,
    pub column: usize,
    pub channel: usize,
}

impl Axes {
    pub const CHANNELS_LAST: Self = Self { row: 1, column: 2, channel: 3 };
    pub const CHANNELS_FIRST: Self = Self { row: 2, column: 3, channel: 1 };

    /// The axis of channels, which is the last one of a vector.
    pub fn channel_of(self, x: &Tensor) -> usize {
        if x.rank() == 4 { self.channel } else { x.rank() - 1 }
    }

    fn to_channels_first(self, x: &Tensor) -> Result<Tensor> {
        if self == Self::CHANNELS_FIRST { Ok(x.clone()) } else { x.permute((0, 3, 1, 2))?.contiguous() }
    }

    fn channels_last(self, x: Tensor) -> Result<Tensor> {
        if self == Self::CHANNELS_FIRST { Ok(x) } else { x.permute((0, 2, 3, 1))?.contiguous() }
    }

    /// Values by channel in a shape that spreads over `x`.
    fn along_channels(self, values: &Tensor, x: &Tensor) -> Result<Tensor> {
        let mut shape = vec![1; x.rank()];
        shape[self.channel_of(x)] = values.elem_count();
        values.reshape(shape)
    }
}

/// A function of single values or, for softmax, of the channels.
pub fn activation(x: &Tensor, function: Activation, axes: Axes) -> Result<Tensor> {
    let softplus = |x: &Tensor| x.relu()? + (x.abs()?.neg()?.exp()? + 1.0)?.log()?;
    let elu = |x: &Tensor, alpha: f64| x.relu()? - (x.neg()?.relu()?.neg()?.exp()?.affine(-alpha, alpha))?;
    match function {
        Activation::Relu => x.relu(),
        Activation::Relu6 => x.clamp(0.0, 6.0),
        Activation::Silu => x.silu(),
        Activation::Gelu => x.gelu_erf(),
        Activation::GeluTanh => x.gelu(),
        Activation::Sigmoid => candle_nn::ops::sigmoid(x),
        Activation::Softmax if axes.channel_of(x) == x.rank() - 1 => candle_nn::ops::softmax(x, D::Minus1),
        Activation::Softmax => candle_nn::ops::softmax(x, axes.channel_of(x)),
        Activation::LeakyRelu { slope } => x.relu()? - (x.neg()?.relu()? * slope)?,
        Activation::Elu { alpha } => elu(x, alpha),
        Activation::Selu => elu(x, SELU.1)? * SELU.0,
        Activation::Tanh => x.tanh(),
        Activation::HardSigmoid { slope, shift } => x.affine(slope, shift)?.clamp(0.0, 1.0),
        Activation::HardSwish => x * x.affine(1.0 / 6.0, 0.5)?.clamp(0.0, 1.0)?,
        Activation::Softplus => softplus(x),
        Activation::Softsign => x / (x.abs()? + 1.0)?,
        Activation::Mish => x * softplus(x)?.tanh()?,
        Activation::Exp => x.exp(),
        Activation::Erf => x.erf(),
        Activation::Clip { low, high } => x.clamp(low, high),
    }
}

/// `slopes` by channel, or rows × columns × channels.
pub fn parametric_relu(x: &Tensor, slopes: &Tensor, axes: Axes) -> Result<Tensor> {
    let slopes = match slopes.rank() {
        1 => axes.along_channels(slopes, x)?,
        _ if axes == Axes::CHANNELS_FIRST => slopes.permute((2, 0, 1))?.unsqueeze(0)?,
        _ => slopes.unsqueeze(0)?,
    };
    x.relu()? - x.neg()?.relu()?.broadcast_mul(&slopes)?
}

/// A kernel [out, in, rows, columns] with zeros where its window has holes.
pub fn filled_kernel(kernel: &Tensor, window: Window) -> Result<Tensor> {
    let mut kernel = kernel.clone();
    for (axis, dilation) in [(2, window.dilation[0]), (3, window.dilation[1])] {
        if dilation == 1 {
            continue;
        }
        let mut shape = kernel.dims().to_vec();
        let size = shape[axis];
        shape[axis] = 1;
        let gap = Tensor::zeros(
            [&shape[..axis], &[dilation - 1], &shape[axis + 1..]].concat(),
            kernel.dtype(),
            kernel.device(),
        )?;
        let mut parts = Vec::new();
        for at in 0..size {
            if at > 0 {
                parts.push(gap.clone());
            }
            parts.push(kernel.narrow(axis, at, 1)?);
        }
        kernel = Tensor::cat(&parts, axis)?;
    }
    Ok(kernel)
}

/// `kernel` is [out, in, rows, columns]; see [`crate::graph::Op::ConvTranspose`].
pub fn conv_transpose(
    x: &Tensor,
    kernel: &Tensor,
    bias: &Tensor,
    stride: usize,
    crop: [[isize; 2]; 2],
    axes: Axes,
) -> Result<Tensor> {
    let kernel = kernel.transpose(0, 1)?.contiguous()?;
    let mut y = axes.to_channels_first(x)?.conv_transpose2d(&kernel, 0, 0, stride, 1)?;
    for (axis, [before, after]) in [2, 3].into_iter().zip(crop) {
        y = y.pad_with_zeros(axis, before.min(0).unsigned_abs(), after.min(0).unsigned_abs())?;
        let (before, after) = (before.max(0).unsigned_abs(), after.max(0).unsigned_abs());
        y = y.narrow(axis, before, y.dim(axis)?.saturating_sub(before + after))?;
    }
    axes.channels_last(y.contiguous()?.broadcast_add(&bias.reshape((1, (), 1, 1))?)?)
}

/// The two input places of every output place along an axis, and the share of the second.
pub fn taps(from: usize, to: usize, resampling: Resampling, grid: Grid) -> Vec<(usize, usize, f32)> {
    let scale = from as f64 / to as f64;
    let place = |at: usize| match grid {
        Grid::HalfPixel => (at as f64 + 0.5) * scale - 0.5,
        Grid::Asymmetric => at as f64 * scale,
        Grid::Corners => at as f64 * (from as f64 - 1.0) / (to as f64 - 1.0).max(1.0),
    };
    let last = from - 1;
    let tap = |at: usize| {
        let place = place(at).clamp(0.0, last as f64);
        let low = place.floor();
        match resampling {
            Resampling::Floor => (low as usize, low as usize, 0.0),
            Resampling::Nearest => {
                let near = (place - 0.5).ceil().max(0.0) as usize;
                (near, near, 0.0)
            }
            Resampling::Bilinear => (low as usize, (low as usize + 1).min(last), (place - low) as f32),
        }
    };
    (0..to).map(tap).collect()
}

/// A map of another size.
pub fn resize(x: &Tensor, to: [usize; 2], resampling: Resampling, grid: Grid, axes: Axes) -> Result<Tensor> {
    let mut x = x.contiguous()?;
    for (axis, to) in [axes.row, axes.column].into_iter().zip(to) {
        let taps = taps(x.dim(axis)?, to, resampling, grid);
        let pick = |of: &dyn Fn(&(usize, usize, f32)) -> usize| {
            let places: Vec<u32> = taps.iter().map(|tap| of(tap) as u32).collect();
            x.index_select(&Tensor::from_vec(places, to, x.device())?, axis)
        };
        let low = pick(&|tap| tap.0)?;
        x = if resampling == Resampling::Bilinear {
            let mut shape = vec![1; 4];
            shape[axis] = to;
            let shares: Vec<f32> = taps.iter().map(|tap| tap.2).collect();
            let shares = Tensor::from_vec(shares, shape, x.device())?.to_dtype(x.dtype())?;
            (&low + (pick(&|tap| tap.1)? - &low)?.broadcast_mul(&shares)?)?
        } else {
            low
        };
    }
    Ok(x)
}

/// Groups of channels over the whole map, with a scale and a shift by channel.
pub fn group_norm(
    x: &Tensor,
    groups: usize,
    epsilon: f64,
    scale: &Tensor,
    shift: &Tensor,
    axes: Axes,
) -> Result<Tensor> {
    let first = axes.to_channels_first(x)?;
    let grouped = first.reshape((x.dim(0)?, groups, ()))?;
    let centred = grouped.broadcast_sub(&grouped.mean_keepdim(2)?)?;
    let normal = centred.broadcast_div(&(centred.sqr()?.mean_keepdim(2)? + epsilon)?.sqrt()?)?;
    let normal = normal.reshape(first.shape())?;
    let first = Axes::CHANNELS_FIRST;
    let scaled = normal.broadcast_mul(&first.along_channels(scale, &normal)?)?;
    axes.channels_last(scaled.broadcast_add(&first.along_channels(shift, &scaled)?)?)
}

/// A scale and a shift by channel.
pub fn affine(x: &Tensor, scale: &Tensor, shift: &Tensor, axes: Axes) -> Result<Tensor> {
    x.broadcast_mul(&axes.along_channels(scale, x)?)?.broadcast_add(&axes.along_channels(shift, x)?)
}

/// Channels as a table of `groups` rows, read by columns.
pub fn shuffle_channels(x: &Tensor, groups: usize, axes: Axes) -> Result<Tensor> {
    let axis = axes.channel_of(x);
    let each = x.dim(axis)? / groups;
    let order: Vec<u32> = (0..each).flat_map(|k| (0..groups).map(move |g| (g * each + k) as u32)).collect();
    x.contiguous()?.index_select(&Tensor::from_vec(order, groups * each, x.device())?, axis)
}

/// Pixels become blocks, see [`crate::graph::Op::DepthToSpace`].
pub fn depth_to_space(x: &Tensor, block: usize, axes: Axes) -> Result<Tensor> {
    let x = axes.to_channels_first(x)?;
    let (batch, channels, height, width) = x.dims4()?;
    let rest = channels / (block * block);
    let parts = x.reshape(&[batch, block, block, rest, height, width][..])?;
    let large = parts.permute(&[0, 3, 4, 1, 5, 2][..])?.contiguous()?;
    axes.channels_last(large.reshape((batch, rest, height * block, width * block))?)
}

/// The input's axes in another order (0 rows, 1 columns, 2 channels).
pub fn permute(x: &Tensor, order: [usize; 3], axes: Axes) -> Result<Tensor> {
    let last = if axes == Axes::CHANNELS_FIRST { x.permute((0, 2, 3, 1))? } else { x.clone() };
    let moved = last.permute((0, order[0] + 1, order[1] + 1, order[2] + 1))?.contiguous()?;
    if axes == Axes::CHANNELS_FIRST { moved.permute((0, 3, 1, 2))?.contiguous() } else { Ok(moved) }
}

/// The same values in (row, column, channel) order under another shape of one example.
pub fn reshape(x: &Tensor, to: &[usize], axes: Axes) -> Result<Tensor> {
    let first = axes == Axes::CHANNELS_FIRST;
    let x = if first && x.rank() == 4 { x.permute((0, 2, 3, 1))?.contiguous()? } else { x.contiguous()? };
    let y = x.reshape([&[x.dim(0)?], to].concat())?;
    if first && y.rank() == 4 { y.permute((0, 3, 1, 2))?.contiguous() } else { Ok(y) }
}

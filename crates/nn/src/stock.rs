//! The operations of a graph in candle's own terms, channels first, for devices that this crate has no kernels for.
//!
//! Candle 0.11's gradients of `max_pool2d`, `avg_pool2d` at odd sides and `upsample_nearest2d` are wrong, so pooling and
//! enlargement are composed of operations whose gradients are right.

use super::graph::{Padding, Window};
use super::ops::BatchStatistics;
use candle_core::{DType, Result, Tensor, bail};

/// Padding before and after along rows and columns.
fn pads(x: &Tensor, window: Window) -> Result<[(usize, usize); 2]> {
    let (_, _, height, width) = x.dims4()?;
    match (window.pads(0, height), window.pads(1, width)) {
        (Some(rows), Some(columns)) => Ok([rows, columns]),
        _ => bail!("{window:?} does not fit {height}×{width}"),
    }
}

pub fn conv2d(x: &Tensor, kernel: &Tensor, bias: &Tensor, window: Window) -> Result<Tensor> {
    grouped(x, kernel, bias, window, 1)
}

/// One filter a channel; `kernel` is [channels, 1, rows, columns].
pub fn depthwise(x: &Tensor, kernel: &Tensor, bias: &Tensor, window: Window) -> Result<Tensor> {
    grouped(x, kernel, bias, window, kernel.dim(0)?)
}

fn grouped(x: &Tensor, kernel: &Tensor, bias: &Tensor, window: Window, groups: usize) -> Result<Tensor> {
    let [rows, columns] = pads(x, window)?;
    let [stride, other] = window.stride;
    if stride != other {
        bail!("convolution with unlike strides {stride} and {other} does not run on this device");
    }
    let (x, pad) = if rows == columns && rows.0 == rows.1 {
        (x.clone(), rows.0)
    } else {
        (x.pad_with_zeros(2, rows.0, rows.1)?.pad_with_zeros(3, columns.0, columns.1)?, 0)
    };
    x.conv2d(kernel, pad, stride, 1, groups)?.broadcast_add(&bias.reshape((1, (), 1, 1))?)
}

/// Splits into whole tiles: [batch, channels, rows, k, columns, k].
fn tiles(x: &Tensor, window: Window) -> Result<Option<Tensor>> {
    let (batch, channels, height, width) = x.dims4()?;
    let [rows, columns] = window.size;
    if window.stride != window.size || window.padding != Padding::Valid {
        return Ok(None);
    }
    let (out_rows, out_columns) = (height / rows, width / columns);
    let x = x.narrow(2, 0, out_rows * rows)?.narrow(3, 0, out_columns * columns)?.contiguous()?;
    Ok(Some(
        x.reshape((batch, channels, out_rows, rows, out_columns * columns))?
            .reshape(&[batch, channels, out_rows, rows, out_columns, columns][..])?,
    ))
}

pub fn max_pool(x: &Tensor, window: Window) -> Result<Tensor> {
    if let Some(tiles) = tiles(x, window)? {
        return tiles.max(5)?.max(3);
    }
    let [rows, columns] = pads(x, window)?;
    // After a ReLU zero padding cannot win unless all is zero, but a general map needs a floor below every value.
    let floor = x.min_all()?.to_dtype(DType::F32)?.to_scalar::<f32>()?;
    let x = ((x - f64::from(floor))?).pad_with_zeros(2, rows.0, rows.1)?.pad_with_zeros(3, columns.0, columns.1)?;
    x.max_pool2d_with_stride((window.size[0], window.size[1]), (window.stride[0], window.stride[1]))? + f64::from(floor)
}

pub fn average_pool(x: &Tensor, window: Window) -> Result<Tensor> {
    if let Some(tiles) = tiles(x, window)? {
        return tiles.mean(5)?.mean(3);
    }
    let [rows, columns] = pads(x, window)?;
    let pad = |x: &Tensor| x.pad_with_zeros(2, rows.0, rows.1)?.pad_with_zeros(3, columns.0, columns.1);
    let pool =
        |x: &Tensor| x.avg_pool2d_with_stride((window.size[0], window.size[1]), (window.stride[0], window.stride[1]));
    // Dividing by the pooled indicator of the image leaves the mean over the pixels inside it.
    pool(&pad(x)?)?.broadcast_div(&pool(&pad(&x.narrow(0, 0, 1)?.narrow(1, 0, 1)?.ones_like()?)?)?)
}

pub fn upsample(x: &Tensor, factor: usize) -> Result<Tensor> {
    let (batch, channels, height, width) = x.dims4()?;
    x.reshape(&[batch, channels, height, 1, width, 1][..])?
        .broadcast_as(&[batch, channels, height, factor, width, factor][..])?
        .contiguous()?
        .reshape((batch, channels, height * factor, width * factor))
}

/// [channels] → a shape that broadcasts over `x`, whose channels are axis 1.
fn along_channels(values: &Tensor, x: &Tensor) -> Result<Tensor> {
    if x.rank() == 4 { values.reshape((1, (), 1, 1)) } else { values.reshape((1, ())) }
}

pub fn channel_affine(x: &Tensor, scale: &Tensor, shift: &Tensor) -> Result<Tensor> {
    x.broadcast_mul(&along_channels(scale, x)?)?.broadcast_add(&along_channels(shift, x)?)
}

pub fn batch_norm_train(x: &Tensor, gamma: &Tensor, beta: &Tensor, epsilon: f64) -> Result<(Tensor, BatchStatistics)> {
    let axes: &[usize] = if x.rank() == 4 { &[0, 2, 3] } else { &[0] };
    let mean = x.mean_keepdim(axes)?;
    let centred = x.broadcast_sub(&mean)?;
    let variance = centred.sqr()?.mean_keepdim(axes)?;
    let y = centred.broadcast_div(&(&variance + epsilon)?.sqrt()?)?;
    let y = channel_affine(&y, gamma, beta)?;
    let values = |t: &Tensor| t.flatten_all()?.to_dtype(DType::F64)?.to_vec1::<f64>();
    let statistics = BatchStatistics {
        count: x.elem_count() / gamma.elem_count(),
        mean: values(&mean)?,
        variance: values(&variance)?,
    };
    Ok((y, statistics))
}

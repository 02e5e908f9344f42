//! Differentiable CPU operations, each with its own backward, as candle custom ops.
//!
//! Activations are batch × rows × columns × channels (channels last), which makes a convolution a matrix product over
//! contiguous rows and lets every other loop run along channels. All operations work in f32 and f64 (gradients are checked in
//! f64), on any number of threads, and give the same bits whatever that number is: partial sums are always added in one order.

mod batch_norm;
mod conv;
mod depthwise;
mod filter;
mod lanes;
mod matrix;
mod pointwise;
mod pool;
#[cfg(test)]
mod tests;
mod upsample;
mod winograd;

pub use batch_norm::{BatchStatistics, batch_norm_train};
pub use conv::conv2d;
pub use depthwise::depthwise;
pub use pointwise::{add, add_relu, channel_affine, relu};
pub use pool::{average_pool, max_pool};
pub use upsample::upsample;

use candle_core::{CpuStorage, Layout, Result, Shape, Storage, Tensor, WithDType, bail};

/// The floating types the operations are written for.
pub trait Element: WithDType {
    fn of(value: f64) -> Self {
        Self::from_f64(value)
    }

    fn largest(self, other: Self) -> Self {
        if other > self { other } else { self }
    }
}

impl Element for f32 {}
impl Element for f64 {}

/// Runs a plain loop compiled for the widest registers of this processor; the build itself targets the baseline. Results are the
/// same bits: no multiplication is merged with an addition that was not merged before.
#[inline(always)]
pub(super) fn wide<R>(work: impl FnOnce() -> R) -> R {
    pulp::Arch::new().dispatch(work)
}

/// Values of a storage that must be contiguous, as every operation here asks of its inputs.
fn slice<'a, T: Element>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [T]> {
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&T::cpu_storage_as_slice(storage)?[start..end]),
        None => bail!("operation needs contiguous tensors"),
    }
}

/// Lends the values of a CPU tensor.
pub(super) fn with_values<T: Element, R>(tensor: &Tensor, f: impl FnOnce(&[T]) -> R) -> Result<R> {
    let tensor = tensor.contiguous()?;
    let (storage, layout) = tensor.storage_and_layout();
    match &*storage {
        Storage::Cpu(cpu) => Ok(f(slice(cpu, layout)?)),
        _ => bail!("operation runs on the CPU only"),
    }
}

/// A tensor on the CPU with the shape of `like`.
fn tensor_like<T: Element>(values: Vec<T>, like: &Tensor) -> Result<Tensor> {
    Tensor::from_vec(values, like.shape(), like.device())
}

/// Runs `$body` with `$t` bound to the element type of a storage.
macro_rules! by_storage {
    ($storage:expr, $t:ident => $body:expr) => {
        match $storage {
            candle_core::CpuStorage::F32(_) => {
                type $t = f32;
                $body
            }
            candle_core::CpuStorage::F64(_) => {
                type $t = f64;
                $body
            }
            _ => candle_core::bail!("operation works in f32 and f64 only"),
        }
    };
}

/// Runs `$body` with `$t` bound to the element type of a tensor.
macro_rules! by_dtype {
    ($tensor:expr, $t:ident => $body:expr) => {
        match $tensor.dtype() {
            candle_core::DType::F32 => {
                type $t = f32;
                $body
            }
            candle_core::DType::F64 => {
                type $t = f64;
                $body
            }
            other => candle_core::bail!("operation works in f32 and f64 only, not {other:?}"),
        }
    };
}

use {by_dtype, by_storage};

/// Finished values and their shape, as candle wants them back.
fn output<T: Element>(values: Vec<T>, shape: impl Into<Shape>) -> Result<(CpuStorage, Shape)> {
    Ok((T::to_cpu_storage_owned(values), shape.into()))
}

/// Batch × rows × columns × channels of a feature map.
#[derive(Debug, Clone, Copy)]
struct Dims {
    batch: usize,
    height: usize,
    width: usize,
    channels: usize,
}

impl Dims {
    fn of(shape: &Shape) -> Result<Self> {
        let (batch, height, width, channels) = shape.dims4()?;
        Ok(Self { batch, height, width, channels })
    }

    /// Values in one example.
    fn image(&self) -> usize {
        self.height * self.width * self.channels
    }

    fn shape(&self) -> Shape {
        (self.batch, self.height, self.width, self.channels).into()
    }
}

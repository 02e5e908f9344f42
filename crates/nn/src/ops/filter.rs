//! What convolutions have in common: a kernel and a bias over a window, differentiable in the picture and in both.

use super::{Dims, Element, by_dtype, by_storage, output, slice, tensor_like, wide, with_values};
use crate::graph::Window;
use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor, bail};
use std::marker::PhantomData;

/// The loops of one kind of convolution, for one input and kernel.
pub trait Filter: Sized + 'static {
    const NAME: &str;

    /// Errors when the window does not fit or the channels differ.
    fn new(input: Dims, kernel: &Shape, window: Window) -> Result<Self>;

    fn output(&self) -> Dims;

    fn forward<T: Element>(&self, x: &[T], kernel: &[T], bias: &[T]) -> Vec<T>;

    /// Gradients of kernel and bias: partial sums over a fixed number of images, added in order.
    fn kernel_gradient<T: Element>(&self, x: &[T], grad: &[T]) -> (Vec<T>, Vec<T>);

    fn input_gradient<T: Element>(&self, kernel: &[T], grad: &[T]) -> Vec<T>;
}

/// Size of a convolution's output, and the zero rows above and zero columns left of its input.
///
/// # Errors
/// If the window does not fit or the channels differ.
pub fn fit(input: Dims, kernel: &Shape, window: Window) -> Result<(Dims, [usize; 2])> {
    let (filters, channels, rows, columns) = kernel.dims4()?;
    let sides = (window.output_side(0, input.height), window.output_side(1, input.width));
    let pads = (window.pads(0, input.height), window.pads(1, input.width));
    match (sides, pads) {
        ((Some(height), Some(width)), (Some(top), Some(left)))
            if channels == input.channels && window.size == [rows, columns] =>
        {
            Ok((Dims { batch: input.batch, height, width, channels: filters }, [top.0, left.0]))
        }
        _ => bail!("convolution of {input:?} with a kernel of {kernel:?} and {window:?}"),
    }
}

/// Adds the rows of `grad`, each as long as `sums`, to `sums`. This is the gradient of a bias.
pub fn add_rows<T: Element>(sums: &mut [T], grad: &[T]) {
    wide(
        #[inline(always)]
        || {
            for pixel in grad.chunks_exact(sums.len()) {
                for (sum, value) in sums.iter_mut().zip(pixel) {
                    *sum += *value;
                }
            }
        },
    );
}

/// Filters `x` with `kernel` and adds `bias`, one value an output channel.
pub fn apply<F: Filter>(x: &Tensor, kernel: &Tensor, bias: &Tensor, window: Window) -> Result<Tensor> {
    let filter = Filtering::<F> { window, kind: PhantomData };
    x.contiguous()?.apply_op3(&kernel.contiguous()?, &bias.contiguous()?, filter)
}

struct Filtering<F> {
    window: Window,
    kind: PhantomData<fn() -> F>,
}

impl<F: Filter> CustomOp3 for Filtering<F> {
    fn name(&self) -> &'static str {
        F::NAME
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        kernel: &CpuStorage,
        kernel_layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let filter = F::new(Dims::of(x_layout.shape())?, kernel_layout.shape(), self.window)?;
        if bias_layout.shape().dims() != [filter.output().channels] {
            bail!("{} bias {:?} for {} channels", F::NAME, bias_layout.shape(), filter.output().channels);
        }
        by_storage!(x, T => {
            let y = filter.forward::<T>(slice(x, x_layout)?, slice(kernel, kernel_layout)?, slice(bias, bias_layout)?);
            output(y, filter.output().shape())
        })
    }

    fn bwd(
        &self,
        x: &Tensor,
        kernel: &Tensor,
        bias: &Tensor,
        _result: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let filter = F::new(Dims::of(x.shape())?, kernel.shape(), self.window)?;
        by_dtype!(x, T => {
            let (d_kernel, d_bias) =
                with_values::<T, _>(x, |x| with_values(grad, |grad| filter.kernel_gradient(x, grad)))??;
            // The picture itself needs no gradient: the first layer is spared the costliest product.
            let d_x = if x.track_op() {
                let values = with_values::<T, _>(kernel, |k| with_values(grad, |grad| filter.input_gradient(k, grad)))??;
                Some(tensor_like(values, x)?)
            } else {
                None
            };
            Ok((d_x, Some(tensor_like(d_kernel, kernel)?), Some(tensor_like(d_bias, bias)?)))
        })
    }
}

//! Batch normalisation (Ioffe & Szegedy 2015) over the last axis, with the batch's own statistics.

use super::lanes::{LANES, Lanes};
use super::{Element, by_dtype, by_storage, output, slice, tensor_like, wide, with_values};
use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor};
use rayon::prelude::*;
use std::sync::{Arc, OnceLock};

/// Rows a partial sum covers; fixed, so that results do not depend on the number of threads.
const ROWS: usize = 1024;

/// Mean and biased variance of a batch, per channel.
#[derive(Debug, Clone, PartialEq)]
pub struct BatchStatistics {
    pub mean: Vec<f64>,
    pub variance: Vec<f64>,
    /// Values a channel's statistics were taken over.
    pub count: usize,
}

/// Normalises `x` [.., channels] by its own statistics, scales by `gamma` and shifts by `beta`; returns the statistics too.
///
/// `relu` is the ceiling (∞ or 6) of a ReLU that follows: done here, its value and gradient cost no pass over memory of their own.
pub fn batch_norm_train(
    x: &Tensor,
    gamma: &Tensor,
    beta: &Tensor,
    epsilon: f64,
    relu: Option<f64>,
) -> Result<(Tensor, BatchStatistics)> {
    let statistics = Arc::new(OnceLock::new());
    let (lower, upper) = relu.map_or((f64::NEG_INFINITY, f64::INFINITY), |ceiling| (0.0, ceiling));
    let op = BatchNorm { epsilon, lower, upper, statistics: statistics.clone() };
    let y = x.contiguous()?.apply_op3(&gamma.contiguous()?, &beta.contiguous()?, op)?;
    match statistics.get() {
        Some(s) => Ok((y, BatchStatistics::clone(s))),
        None => candle_core::bail!("batch-norm left no statistics"),
    }
}

struct BatchNorm {
    epsilon: f64,
    /// Bounds of the ReLU behind; infinite without one.
    lower: f64,
    upper: f64,
    statistics: Arc<OnceLock<BatchStatistics>>,
}

/// Mean and variance by Chan's parallel formula: each block is centred on its own mean, then merged in order.
fn statistics<T: Element>(x: &[T], channels: usize) -> BatchStatistics {
    let blocks: Vec<(usize, Vec<f64>, Vec<f64>)> = x
        .par_chunks(channels * ROWS)
        .map(|block| {
            wide(
                #[inline(always)]
                || {
                    let rows = block.len() / channels;
                    let mut mean = vec![T::of(0.0); channels];
                    for row in block.chunks_exact(channels) {
                        mean.iter_mut().zip(row).for_each(|(m, x)| *m += *x);
                    }
                    let share = T::of(1.0 / rows as f64);
                    mean.iter_mut().for_each(|m| *m *= share);
                    let mut squares = vec![T::of(0.0); channels];
                    for row in block.chunks_exact(channels) {
                        for ((square, x), mean) in squares.iter_mut().zip(row).zip(&mean) {
                            let d = *x - *mean;
                            *square += d * d;
                        }
                    }
                    (rows, mean.iter().map(|v| v.to_f64()).collect(), squares.iter().map(|v| v.to_f64()).collect())
                },
            )
        })
        .collect();
    let (mut count, mut mean, mut squares) = (0.0, vec![0.0; channels], vec![0.0; channels]);
    for (rows, block_mean, block_squares) in &blocks {
        let rows = *rows as f64;
        let total = count + rows;
        for c in 0..channels {
            let d = block_mean[c] - mean[c];
            mean[c] += d * rows / total;
            squares[c] += block_squares[c] + d * d * count * rows / total;
        }
        count = total;
    }
    BatchStatistics { mean, variance: squares.iter().map(|s| s / count).collect(), count: count as usize }
}

/// Runs `$body` for every group of channels, of 16, of 8 and at the end of one, with `$first` the group's first channel and `$n` how many.
macro_rules! in_groups {
    ($channels:expr, $first:ident, $n:ident => $body:expr) => {
        let whole = $channels - $channels % LANES;
        for $first in (0..whole).step_by(LANES) {
            const $n: usize = LANES;
            $body
        }
        for $first in (whole..$channels - $channels % 8).step_by(8) {
            const $n: usize = 8;
            $body
        }
        for $first in $channels - $channels % 8..$channels {
            const $n: usize = 1;
            $body
        }
    };
}

/// What forward and backward need of the channels, and the ReLU behind them.
struct Channels<T> {
    mean: Vec<T>,
    /// 1 / standard deviation.
    inverse: Vec<T>,
    /// y = x · scale + shift.
    scale: Vec<T>,
    shift: Vec<T>,
    lower: T,
    upper: T,
}

/// Of a group of channels.
struct Group<T, const N: usize> {
    mean: Lanes<T, N>,
    inverse: Lanes<T, N>,
    scale: Lanes<T, N>,
    shift: Lanes<T, N>,
    lower: T,
    upper: T,
}

impl<T: Element, const N: usize> Group<T, N> {
    /// x̂ of one pixel's values `x`, and what the ReLU lets through of their gradient.
    #[inline(always)]
    fn behind_relu(&self, x: &[T], grad: &[T]) -> (Lanes<T, N>, Lanes<T, N>) {
        let x = Lanes::load(x);
        let y = x.mul(self.scale).add(self.shift);
        (x.sub(self.mean).mul(self.inverse), Lanes::load(grad).where_within(y, self.lower, self.upper))
    }
}

impl<T: Element> Channels<T> {
    fn new(op: &BatchNorm, statistics: &BatchStatistics, gamma: &[T], beta: &[T]) -> Self {
        let mean: Vec<T> = cast(statistics.mean.iter().copied());
        let inverse: Vec<T> = cast(statistics.variance.iter().map(|v| 1.0 / (v + op.epsilon).sqrt()));
        let scale: Vec<T> = gamma.iter().zip(&inverse).map(|(g, i)| *g * *i).collect();
        let shift = (0..gamma.len()).map(|c| beta[c] - mean[c] * scale[c]).collect();
        Self { mean, inverse, scale, shift, lower: T::of(op.lower), upper: T::of(op.upper) }
    }

    fn count(&self) -> usize {
        self.mean.len()
    }

    fn forward(&self, x: &[T]) -> Vec<T> {
        let channels = self.count();
        let mut y = vec![T::of(0.0); x.len()];
        y.par_chunks_mut(channels * ROWS).zip(x.par_chunks(channels * ROWS)).for_each(|(y, x)| {
            wide(
                #[inline(always)]
                || {
                    for (y, x) in y.chunks_exact_mut(channels).zip(x.chunks_exact(channels)) {
                        for ((y, x), scale) in y.iter_mut().zip(x).zip(self.scale.iter().zip(&self.shift)) {
                            let value = *x * *scale.0 + *scale.1;
                            // Written so that a NaN stays one and is noticed.
                            let value = if value < self.lower { self.lower } else { value };
                            *y = if value > self.upper { self.upper } else { value };
                        }
                    }
                },
            )
        });
        y
    }

    /// Those of the channels from `first` on.
    #[inline(always)]
    fn group<const N: usize>(&self, first: usize) -> Group<T, N> {
        Group {
            mean: Lanes::load(&self.mean[first..]),
            inverse: Lanes::load(&self.inverse[first..]),
            scale: Lanes::load(&self.scale[first..]),
            shift: Lanes::load(&self.shift[first..]),
            lower: self.lower,
            upper: self.upper,
        }
    }

    /// Per channel: Σ grad and Σ grad · x̂.
    fn gradient_sums(&self, x: &[T], grad: &[T]) -> (Vec<f64>, Vec<f64>) {
        let channels = self.count();
        let block = |(x, grad): (&[T], &[T])| {
            let mut sums = (vec![T::of(0.0); channels], vec![T::of(0.0); channels]);
            wide(
                #[inline(always)]
                || {
                    in_groups!(channels, first, N => {
                        let channel = self.group::<N>(first);
                        let (mut total, mut product) = (Lanes::zero(), Lanes::zero());
                        for (x, grad) in x.chunks_exact(channels).zip(grad.chunks_exact(channels)) {
                            let (normal, grad) = channel.behind_relu(&x[first..], &grad[first..]);
                            total = total.add(grad);
                            product = product.add(grad.mul(normal));
                        }
                        total.store(&mut sums.0[first..]);
                        product.store(&mut sums.1[first..]);
                    });
                },
            );
            sums
        };
        let blocks: Vec<_> = x.par_chunks(channels * ROWS).zip(grad.par_chunks(channels * ROWS)).map(block).collect();
        let mut total = (vec![0.0; channels], vec![0.0; channels]);
        for (grad, product) in &blocks {
            for c in 0..channels {
                total.0[c] += grad[c].to_f64();
                total.1[c] += product[c].to_f64();
            }
        }
        total
    }

    /// Gradient of x, given the means over the batch of the gradient and of its product with x̂.
    fn input_gradient(&self, x: &[T], grad: &[T], mean_grad: &[T], mean_product: &[T]) -> Vec<T> {
        let channels = self.count();
        let mut dx = vec![T::of(0.0); x.len()];
        let pieces = dx.par_chunks_mut(channels * ROWS).zip(x.par_chunks(channels * ROWS));
        pieces.zip(grad.par_chunks(channels * ROWS)).for_each(|((dx, x), grad)| {
            wide(
                #[inline(always)]
                || {
                    in_groups!(channels, first, N => {
                        let channel = self.group::<N>(first);
                        let (mean_grad, mean_product) =
                            (Lanes::load(&mean_grad[first..]), Lanes::load(&mean_product[first..]));
                        let rows = x.chunks_exact(channels).zip(grad.chunks_exact(channels));
                        for (dx, (x, grad)) in dx.chunks_exact_mut(channels).zip(rows) {
                            let (normal, grad) = channel.behind_relu(&x[first..], &grad[first..]);
                            let way = grad.sub(mean_grad).sub(normal.mul(mean_product));
                            channel.scale.mul(way).store(&mut dx[first..]);
                        }
                    });
                },
            )
        });
        dx
    }
}

fn cast<T: Element>(values: impl IntoIterator<Item = f64>) -> Vec<T> {
    values.into_iter().map(T::of).collect()
}

impl CustomOp3 for BatchNorm {
    fn name(&self) -> &'static str {
        "batch-norm"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        gamma: &CpuStorage,
        gamma_layout: &Layout,
        beta: &CpuStorage,
        beta_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        by_storage!(x, T => {
            let (x, gamma, beta) = (slice::<T>(x, x_layout)?, slice::<T>(gamma, gamma_layout)?, slice::<T>(beta, beta_layout)?);
            let statistics = statistics(x, gamma.len());
            let y = Channels::new(self, &statistics, gamma, beta).forward(x);
            self.statistics.get_or_init(|| statistics);
            output(y, x_layout.shape())
        })
    }

    fn bwd(
        &self,
        x: &Tensor,
        gamma: &Tensor,
        beta: &Tensor,
        _y: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let Some(statistics) = self.statistics.get() else {
            candle_core::bail!("batch-norm backward before forward");
        };
        by_dtype!(x, T => {
            let channels = Channels::new(self, statistics, &gamma.to_vec1::<T>()?, &beta.to_vec1::<T>()?);
            let count = statistics.count as f64;
            let (dx, d_beta, d_gamma) = with_values::<T, _>(x, |x| with_values::<T, _>(grad, |grad| {
                let (grads, products) = channels.gradient_sums(x, grad);
                let mean = |sums: &[f64]| -> Vec<T> { cast(sums.iter().map(|sum| sum / count)) };
                let dx = channels.input_gradient(x, grad, &mean(&grads), &mean(&products));
                (dx, cast::<T>(grads), cast::<T>(products))
            }))??;
            Ok((Some(tensor_like(dx, x)?), Some(tensor_like(d_gamma, gamma)?), Some(tensor_like(d_beta, beta)?)))
        })
    }
}

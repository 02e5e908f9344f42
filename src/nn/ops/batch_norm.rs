//! Batch normalisation (Ioffe & Szegedy 2015) over the last axis, with the batch's own statistics.

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
pub fn batch_norm_train(x: &Tensor, gamma: &Tensor, beta: &Tensor, epsilon: f64) -> Result<(Tensor, BatchStatistics)> {
    let statistics = Arc::new(OnceLock::new());
    let op = BatchNorm { epsilon, statistics: statistics.clone() };
    let y = x.contiguous()?.apply_op3(&gamma.contiguous()?, &beta.contiguous()?, op)?;
    match statistics.get() {
        Some(s) => Ok((y, BatchStatistics::clone(s))),
        None => candle_core::bail!("batch-norm left no statistics"),
    }
}

struct BatchNorm {
    epsilon: f64,
    statistics: Arc<OnceLock<BatchStatistics>>,
}

/// Mean and variance by Chan's parallel formula: each block is centred on its own mean, then merged in order.
fn statistics<T: Element>(x: &[T], channels: usize) -> BatchStatistics {
    let blocks: Vec<(usize, Vec<f64>, Vec<f64>)> = x
        .par_chunks(channels * ROWS)
        .map(|block| {
            wide(|| {
                let rows = block.len() / channels;
                let mut mean = vec![T::of(0.0); channels];
                for row in block.chunks_exact(channels) {
                    mean.iter_mut().zip(row).for_each(|(m, x)| *m += *x);
                }
                let share = T::of(1.0 / rows as f64);
                mean.iter_mut().for_each(|m| *m *= share);
                let mut squares = vec![T::of(0.0); channels];
                for row in block.chunks_exact(channels) {
                    for c in 0..channels {
                        let d = row[c] - mean[c];
                        squares[c] += d * d;
                    }
                }
                (rows, mean.iter().map(|v| v.to_f64()).collect(), squares.iter().map(|v| v.to_f64()).collect())
            })
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

/// Per channel: Σ grad and Σ grad · x̂.
fn gradient_sums<T: Element>(x: &[T], grad: &[T], mean: &[T], inverse: &[T]) -> (Vec<f64>, Vec<f64>) {
    let channels = mean.len();
    let blocks: Vec<(Vec<T>, Vec<T>)> = x
        .par_chunks(channels * ROWS)
        .zip(grad.par_chunks(channels * ROWS))
        .map(|(x, grad)| {
            wide(|| {
                let mut sums = (vec![T::of(0.0); channels], vec![T::of(0.0); channels]);
                for (x, grad) in x.chunks_exact(channels).zip(grad.chunks_exact(channels)) {
                    for c in 0..channels {
                        sums.0[c] += grad[c];
                        sums.1[c] += grad[c] * (x[c] - mean[c]) * inverse[c];
                    }
                }
                sums
            })
        })
        .collect();
    let mut total = (vec![0.0; channels], vec![0.0; channels]);
    for (grad, product) in &blocks {
        for c in 0..channels {
            total.0[c] += grad[c].to_f64();
            total.1[c] += product[c].to_f64();
        }
    }
    total
}

fn cast<T: Element>(values: impl IntoIterator<Item = f64>) -> Vec<T> {
    values.into_iter().map(T::of).collect()
}

impl BatchNorm {
    fn inverse_deviation<T: Element>(&self, statistics: &BatchStatistics) -> Vec<T> {
        cast(statistics.variance.iter().map(|v| 1.0 / (v + self.epsilon).sqrt()))
    }
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
            let channels = gamma.len();
            let statistics = statistics(x, channels);
            let inverse: Vec<T> = self.inverse_deviation(&statistics);
            let scale: Vec<T> = gamma.iter().zip(&inverse).map(|(g, i)| *g * *i).collect();
            let shift: Vec<T> = (0..channels).map(|c| beta[c] - T::of(statistics.mean[c]) * scale[c]).collect();
            let mut y = vec![T::of(0.0); x.len()];
            y.par_chunks_mut(channels * ROWS).zip(x.par_chunks(channels * ROWS)).for_each(|(y, x)| wide(|| {
                for (y, x) in y.chunks_exact_mut(channels).zip(x.chunks_exact(channels)) {
                    for c in 0..channels {
                        y[c] = x[c] * scale[c] + shift[c];
                    }
                }
            }));
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
            let scale = gamma.to_vec1::<T>()?;
            let mean: Vec<T> = cast(statistics.mean.iter().copied());
            let inverse: Vec<T> = self.inverse_deviation(statistics);
            let count = statistics.count as f64;
            let (dx, d_beta, d_gamma) = with_values::<T, _>(x, |x| with_values::<T, _>(grad, |grad| {
                let (grads, products) = gradient_sums(x, grad, &mean, &inverse);
                let mean_grad: Vec<T> = cast(grads.iter().map(|g| g / count));
                let mean_product: Vec<T> = cast(products.iter().map(|p| p / count));
                let channels = mean.len();
                let mut dx = vec![T::of(0.0); x.len()];
                dx.par_chunks_mut(channels * ROWS)
                    .zip(x.par_chunks(channels * ROWS))
                    .zip(grad.par_chunks(channels * ROWS))
                    .for_each(|((dx, x), grad)| wide(|| {
                        let rows = dx.chunks_exact_mut(channels).zip(x.chunks_exact(channels)).zip(grad.chunks_exact(channels));
                        for ((dx, x), grad) in rows {
                            for c in 0..channels {
                                let normal = (x[c] - mean[c]) * inverse[c];
                                dx[c] = scale[c] * inverse[c] * (grad[c] - mean_grad[c] - normal * mean_product[c]);
                            }
                        }
                    }));
                (dx, cast::<T>(grads), cast::<T>(products))
            }))??;
            Ok((Some(tensor_like(dx, x)?), Some(tensor_like(d_gamma, gamma)?), Some(tensor_like(d_beta, beta)?)))
        })
    }
}

//! Every gradient against central finite differences in f64, and forward and backward against candle's own operations.

use super::*;
use crate::graph::{Padding, Window};
use crate::stock;
use candle_core::{Device, Var};

/// A repeatable stand-in for random numbers, without ties.
fn values(n: usize, seed: f64) -> Vec<f64> {
    (0..n).map(|i| ((i as f64 * 12.9898 + seed) * 1.618).sin() * 2.0).collect()
}

fn tensor(shape: &[usize], seed: f64) -> Tensor {
    Tensor::from_vec(values(shape.iter().product(), seed), shape, &Device::Cpu).unwrap()
}

/// Σ f(inputs) · weights for fixed weights: a scalar that sees every output.
fn scalar(f: &dyn Fn(&[Tensor]) -> Result<Tensor>, inputs: &[Tensor]) -> Tensor {
    let y = f(inputs).unwrap();
    (&y * tensor(y.dims(), 0.5)).unwrap().sum_all().unwrap()
}

/// Compares the gradient of every input with central differences, to 1e-6.
fn check_gradients(f: &dyn Fn(&[Tensor]) -> Result<Tensor>, shapes: &[&[usize]]) {
    let inputs: Vec<Tensor> = shapes.iter().enumerate().map(|(i, s)| tensor(s, i as f64 + 1.0)).collect();
    let vars: Vec<Var> = inputs.iter().map(|t| Var::from_tensor(t).unwrap()).collect();
    let tracked: Vec<Tensor> = vars.iter().map(|v| v.as_tensor().clone()).collect();
    let grads = scalar(f, &tracked).backward().unwrap();
    for (which, var) in vars.iter().enumerate() {
        let grad = grads.get(var).unwrap().flatten_all().unwrap().to_vec1::<f64>().unwrap();
        let start = inputs[which].flatten_all().unwrap().to_vec1::<f64>().unwrap();
        for i in 0..start.len() {
            let at = |step: f64| {
                let mut moved = start.clone();
                moved[i] += step;
                let mut inputs = inputs.clone();
                inputs[which] = Tensor::from_vec(moved, shapes[which], &Device::Cpu).unwrap();
                scalar(f, &inputs).to_scalar::<f64>().unwrap()
            };
            let slope = (at(1e-5) - at(-1e-5)) / 2e-5;
            assert!((slope - grad[i]).abs() < 1e-6, "input {which}, value {i}: {slope} and {}", grad[i]);
        }
    }
}

fn windows() -> Vec<Window> {
    let mut all = Vec::new();
    for size in [[1, 1], [2, 2], [3, 3], [1, 3], [5, 2]] {
        for stride in [[1, 1], [2, 2]] {
            for padding in [Padding::Valid, Padding::Same] {
                all.push(Window::new(size, stride, padding));
            }
        }
    }
    all
}

#[test]
fn gradients_of_convolution() {
    for window in windows() {
        let kernel = [3, 2, window.size[0], window.size[1]];
        check_gradients(&|t| conv2d(&t[0], &t[1], &t[2], window), &[&[2, 5, 6, 2], &kernel, &[3]]);
    }
}

/// Winograd's way, which whole groups of 16 channels take: outputs that fill their last tiles and that do not, against candle's own
/// convolution in f64 to 1e-10, forward and backward.
#[test]
fn winograd_convolution_agrees_with_stock_forward_and_backward() {
    for (height, width, padding) in [
        (8, 8, Padding::Same),
        (6, 10, Padding::Valid),
        (5, 7, Padding::Same),
        (3, 4, Padding::Valid),
        (1, 1, Padding::Same),
    ] {
        let window = Window::dense(3, padding);
        let var = |shape: &[usize], seed| Var::from_tensor(&tensor(shape, seed)).unwrap();
        let inputs = [var(&[3, height, width, 16], 1.0), var(&[32, 16, 3, 3], 2.0), var(&[32], 3.0)];
        let [x, kernel, bias] = &inputs;
        let own = conv2d(x, kernel, bias, window).unwrap();
        let other = through_stock(x, |x| stock::conv2d(x, kernel, bias, window)).unwrap();
        assert_close(&own, &other, &format!("{height}×{width} {padding:?}"));
        let gradients = |y: Tensor| (&y * tensor(y.dims(), 0.5)).unwrap().sum_all().unwrap().backward().unwrap();
        let (own, other) = (gradients(own), gradients(other));
        for (i, input) in inputs.iter().enumerate() {
            let what = format!("{height}×{width} {padding:?}, gradient of input {i}");
            assert_close(own.get(input).unwrap(), other.get(input).unwrap(), &what);
        }
    }
}

#[test]
fn gradients_of_depthwise_convolution() {
    for window in windows() {
        let kernel = [3, 1, window.size[0], window.size[1]];
        check_gradients(&|t| depthwise(&t[0], &t[1], &t[2], window), &[&[2, 5, 6, 3], &kernel, &[3]]);
    }
}

#[test]
fn gradients_of_pooling() {
    for window in windows() {
        check_gradients(&|t| max_pool(&t[0], window), &[&[2, 7, 5, 2]]);
        check_gradients(&|t| average_pool(&t[0], window), &[&[2, 7, 5, 2]]);
    }
}

#[test]
fn gradients_of_the_rest() {
    check_gradients(&|t| Ok(batch_norm_train(&t[0], &t[1], &t[2], 1e-3, None)?.0), &[&[2, 3, 4, 3], &[3], &[3]]);
    check_gradients(&|t| Ok(batch_norm_train(&t[0], &t[1], &t[2], 1e-3, None)?.0), &[&[5, 3], &[3], &[3]]);
    for ceiling in [f64::INFINITY, 0.7] {
        // Channels go in groups of 16, of 8 and alone.
        let shapes: &[&[usize]] = &[&[2, 2, 3, 25], &[25], &[25]];
        check_gradients(&|t| Ok(batch_norm_train(&t[0], &t[1], &t[2], 1e-3, Some(ceiling))?.0), shapes);
    }
    check_gradients(&|t| relu(&t[0], false), &[&[2, 3, 4, 2]]);
    check_gradients(&|t| relu(&(&t[0] * 5.0)?, true), &[&[2, 3, 4, 2]]);
    check_gradients(&|t| add(&t[0], &t[1]), &[&[2, 3, 4, 2], &[2, 3, 4, 2]]);
    check_gradients(&|t| add_relu(&t[0], &t[1]), &[&[2, 3, 4, 2], &[2, 3, 4, 2]]);
    check_gradients(&|t| upsample(&t[0], 2), &[&[2, 3, 2, 2]]);
    check_gradients(&|t| upsample(&t[0], 3), &[&[1, 2, 3, 1]]);
    // One value used twice: gradients must add up, which candle's own enlargement gets wrong.
    check_gradients(&|t| add(&upsample(&t[0], 1)?, &t[0]), &[&[1, 3, 2, 2]]);
}

/// Channels last → first and back, around an operation of the stock backend.
fn through_stock(x: &Tensor, f: impl Fn(&Tensor) -> Result<Tensor>) -> Result<Tensor> {
    f(&x.permute((0, 3, 1, 2))?.contiguous()?)?.permute((0, 2, 3, 1))?.contiguous()
}

fn assert_close(a: &Tensor, b: &Tensor, what: &str) {
    assert_eq!(a.dims(), b.dims(), "{what}");
    let worst = (a - b).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f64>().unwrap();
    assert!(worst < 1e-10, "{what}: {worst}");
}

/// Two independent implementations of every operation give one answer, in f64 to 1e-10.
#[test]
fn own_and_stock_operations_agree() {
    let x = tensor(&[2, 9, 8, 3], 3.0);
    for window in windows() {
        let what = format!("{window:?}");
        let (kernel, bias) = (tensor(&[4, 3, window.size[0], window.size[1]], 1.0), tensor(&[4], 2.0));
        let own = conv2d(&x, &kernel, &bias, window).unwrap();
        assert_close(&own, &through_stock(&x, |x| stock::conv2d(x, &kernel, &bias, window)).unwrap(), &what);
        let (kernel, bias) = (tensor(&[3, 1, window.size[0], window.size[1]], 1.0), tensor(&[3], 2.0));
        let own = depthwise(&x, &kernel, &bias, window).unwrap();
        assert_close(&own, &through_stock(&x, |x| stock::depthwise(x, &kernel, &bias, window)).unwrap(), &what);
        let own = max_pool(&x, window).unwrap();
        assert_close(&own, &through_stock(&x, |x| stock::max_pool(x, window)).unwrap(), &what);
        let own = average_pool(&x, window).unwrap();
        assert_close(&own, &through_stock(&x, |x| stock::average_pool(x, window)).unwrap(), &what);
    }
    let own = upsample(&x, 2).unwrap();
    assert_close(&own, &through_stock(&x, |x| stock::upsample(x, 2)).unwrap(), "upsample");
    let (gamma, beta) = (tensor(&[3], 4.0), tensor(&[3], 5.0));
    let (own, statistics) = batch_norm_train(&x, &gamma, &beta, 1e-3, None).unwrap();
    let stock_norm = through_stock(&x, |x| {
        let (y, other) = stock::batch_norm_train(x, &gamma, &beta, 1e-3)?;
        assert!(statistics.mean.iter().zip(&other.mean).all(|(a, b)| (a - b).abs() < 1e-12));
        assert!(statistics.variance.iter().zip(&other.variance).all(|(a, b)| (a - b).abs() < 1e-12));
        Ok(y)
    });
    assert_close(&own, &stock_norm.unwrap(), "batch-norm");
    let own = channel_affine(&x, &gamma, &beta).unwrap();
    assert_close(&own, &through_stock(&x, |x| stock::channel_affine(x, &gamma, &beta)).unwrap(), "affine");
}

/// The stock path trains on GPUs: its gradients are checked too.
#[test]
fn gradients_of_the_stock_backend() {
    for window in [Window::tiles(2), Window::dense(3, Padding::Same)] {
        let kernel = [3, 2, window.size[0], window.size[1]];
        check_gradients(&|t| stock::conv2d(&t[0], &t[1], &t[2], window), &[&[1, 2, 4, 4], &kernel, &[3]]);
    }
    for stride in [1, 2] {
        let window = Window::new([3; 2], [stride; 2], Padding::Same);
        check_gradients(&|t| stock::depthwise(&t[0], &t[1], &t[2], window), &[&[1, 2, 4, 4], &[2, 1, 3, 3], &[2]]);
    }
    check_gradients(&|t| stock::max_pool(&t[0], Window::tiles(2)), &[&[2, 2, 5, 7]]);
    check_gradients(&|t| stock::average_pool(&t[0], Window::tiles(2)), &[&[2, 2, 5, 7]]);
    check_gradients(&|t| stock::upsample(&t[0], 2), &[&[1, 2, 3, 2]]);
    check_gradients(&|t| Ok(stock::batch_norm_train(&t[0], &t[1], &t[2], 1e-3)?.0), &[&[2, 3, 4, 2], &[3], &[3]]);
}

/// The same bits on one thread and on four.
#[test]
fn results_do_not_depend_on_the_number_of_threads() {
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let x = Var::from_tensor(&tensor(&[3, 40, 40, 8], 1.0).to_dtype(candle_core::DType::F32).unwrap()).unwrap();
            let f32s = |shape: &[usize]| tensor(shape, 2.0).to_dtype(candle_core::DType::F32).unwrap();
            let y = conv2d(&x, &f32s(&[16, 8, 3, 3]), &f32s(&[16]), Window::dense(3, Padding::Same)).unwrap();
            let y = conv2d(&y, &f32s(&[16, 16, 3, 3]), &f32s(&[16]), Window::dense(3, Padding::Same)).unwrap();
            let y = conv2d(&y, &f32s(&[8, 16, 1, 1]), &f32s(&[8]), Window::dense(1, Padding::Same)).unwrap();
            let y = depthwise(&y, &f32s(&[8, 1, 3, 3]), &f32s(&[8]), Window::dense(3, Padding::Same)).unwrap();
            let (y, _) = batch_norm_train(&y, &f32s(&[8]), &f32s(&[8]), 1e-3, Some(6.0)).unwrap();
            let grads = y.sqr().unwrap().sum_all().unwrap().backward().unwrap();
            let bits = |t: &Tensor| {
                t.flatten_all().unwrap().to_vec1::<f32>().unwrap().iter().map(|v| v.to_bits()).collect::<Vec<_>>()
            };
            (bits(&y), bits(grads.get(&x).unwrap()))
        })
    };
    assert!(run(1) == run(4));
}

//! The differentiable operations against PyTorch's own results and gradients (`fixtures/pytorch_gradients.py` made them).

use candle_core::safetensors::load_buffer;
use candle_core::{Device, Result, Tensor, Var};
use lesionlens_nn::graph::{Padding, Window};
use lesionlens_nn::ops;

const REFERENCE: &[u8] = include_bytes!("../fixtures/pytorch_gradients.safetensors");

fn close(found: &Tensor, wanted: &Tensor, what: &str) {
    assert_eq!(found.dims(), wanted.dims(), "{what}");
    let off = (found - wanted).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f64>().unwrap();
    assert!(off < 1e-10, "{what} is off by {off:e}");
}

/// Result and every gradient in f64 to 1e-10.
fn check(name: &str, inputs: &[&str], operation: impl Fn(&[Tensor]) -> Result<Tensor>) {
    let tensors = load_buffer(REFERENCE, &Device::Cpu).unwrap();
    let get = |part: &str| tensors[&format!("{name}.{part}")].clone();
    let vars: Vec<Var> = inputs.iter().map(|i| Var::from_tensor(&get(i)).unwrap()).collect();
    let tracked: Vec<Tensor> = vars.iter().map(|v| v.as_tensor().clone()).collect();
    let y = operation(&tracked).unwrap();
    close(&y, &get("y"), name);
    let grads = (y * get("weight")).unwrap().sum_all().unwrap().backward().unwrap();
    for (input, var) in inputs.iter().zip(&vars) {
        close(grads.get(var).unwrap(), &get(&format!("{input}.grad")), &format!("{name}, gradient of {input}"));
    }
}

#[test]
fn operations_and_gradients_are_pytorchs() {
    let conv = |t: &[Tensor], window: Window| ops::conv2d(&t[0], &t[1], &t[2], window);
    let inputs = ["x", "kernel", "bias"];
    check("conv_same", &inputs, |t| conv(t, Window::dense(3, Padding::Same)));
    let stride = Window::new([3; 2], [2; 2], Padding::Valid);
    check("conv_stride", &inputs, |t| conv(t, stride));
    check("conv_pointwise", &inputs, |t| conv(t, Window::dense(1, Padding::Valid)));
    check("batch_norm", &["x", "gamma", "beta"], |t| Ok(ops::batch_norm_train(&t[0], &t[1], &t[2], 1e-3, None)?.0));
    let depthwise = |t: &[Tensor], window: Window| ops::depthwise(&t[0], &t[1], &t[2], window);
    check("depthwise", &inputs, |t| depthwise(t, Window::dense(5, Padding::Same)));
    let halving = Window::new([3; 2], [2; 2], Padding::Same);
    check("depthwise_stride", &inputs, |t| depthwise(t, halving));
    let norm = ["x", "gamma", "beta"];
    check("batch_norm_relu6", &norm, |t| Ok(ops::batch_norm_train(&t[0], &t[1], &t[2], 1e-3, Some(6.0))?.0));
    check("relu", &["x"], |t| ops::relu(&t[0], false));
    check("add_relu", &["a", "b"], |t| ops::add_relu(&t[0], &t[1]));
    check("max_pool", &["x"], |t| ops::max_pool(&t[0], Window::tiles(2)));
    check("average_pool", &["x"], |t| ops::average_pool(&t[0], Window::tiles(2)));
    check("upsample", &["x"], |t| ops::upsample(&t[0], 2));
}

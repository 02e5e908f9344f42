//! Activations over many values at once, written so that the compiler turns them into vector code.

use crate::graph::{Activation, SELU};

/// Applies a function to each value or, for softmax, to all of them.
#[inline(always)]
pub fn activate(function: Activation, values: &mut [f32]) {
    match function {
        // Written so that a NaN stays one.
        Activation::Relu => each(values, |x| if x < 0.0 { 0.0 } else { x }),
        Activation::Relu6 => each(values, |x| x.clamp(0.0, 6.0)),
        Activation::Clip { low, high } => each(values, |x| x.clamp(low as f32, high as f32)),
        Activation::LeakyRelu { slope } => each(values, |x| if x < 0.0 { x * slope as f32 } else { x }),
        Activation::Silu => each(values, |x| x * sigmoid(x)),
        Activation::Sigmoid => each(values, sigmoid),
        Activation::Tanh => each(values, tanh),
        Activation::HardSigmoid { slope, shift } => {
            each(values, |x| (x * slope as f32 + shift as f32).clamp(0.0, 1.0));
        }
        Activation::HardSwish => each(values, |x| x * (x * (1.0 / 6.0) + 0.5).clamp(0.0, 1.0)),
        Activation::Gelu => each(values, |x| 0.5 * x * (1.0 + erf(x * std::f32::consts::FRAC_1_SQRT_2))),
        Activation::GeluTanh => {
            let factor = (2.0 / std::f32::consts::PI).sqrt();
            each(values, |x| 0.5 * x * (1.0 + tanh(factor * (x + 0.044_715 * x * x * x))));
        }
        Activation::Elu { alpha } => each(values, |x| elu(x, alpha as f32)),
        Activation::Selu => each(values, |x| SELU.0 as f32 * elu(x, SELU.1 as f32)),
        Activation::Mish => each(values, mish),
        Activation::Softsign => each(values, |x| x / (1.0 + x.abs())),
        Activation::Softplus => each(values, |x| x.max(0.0) + (-x.abs()).exp().ln_1p()),
        Activation::Exp => each(values, f32::exp),
        Activation::Erf => each(values, erf),
        Activation::Softmax => softmax(values),
    }
}

#[inline(always)]
fn each(values: &mut [f32], function: impl Fn(f32) -> f32) {
    values.iter_mut().for_each(|value| *value = function(*value));
}

fn softmax(values: &mut [f32]) {
    let largest = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    values.iter_mut().for_each(|v| *v = (*v - largest).exp());
    let total: f32 = values.iter().sum();
    values.iter_mut().for_each(|v| *v /= total);
}

/// eˣ within 2 units of the last place for x in −87 to 88, kept at the ends outside; a NaN stays one.
///
/// x = n · ln 2 + r with a whole n: eˣ is 2ⁿ, which is an exponent, times a polynomial of r (Cody & Waite 1980; coefficients of
/// the Cephes library).
#[inline(always)]
fn exp(x: f32) -> f32 {
    // Adding this leaves no bits for fractions, so the sum's last bits are n.
    const ROUND: f32 = 12_582_912.0;
    let x = x.clamp(-87.0, 88.0);
    let rounded = x * std::f32::consts::LOG2_E + ROUND;
    let n = rounded - ROUND;
    let r = x - n * 0.693_359_4 + n * 2.121_944_4e-4;
    let p = ((((1.987_569_1e-4 * r + 1.398_199_9e-3) * r + 8.333_452e-3) * r + 4.166_579_6e-2) * r + 0.166_666_65) * r
        + 0.5;
    let power = f32::from_bits((rounded.to_bits() << 23).wrapping_add(1.0f32.to_bits()));
    (p * r * r + r + 1.0) * power
}

#[inline(always)]
fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

#[inline(always)]
fn tanh(x: f32) -> f32 {
    2.0 * sigmoid(2.0 * x) - 1.0
}

#[inline(always)]
fn elu(x: f32, alpha: f32) -> f32 {
    if x < 0.0 { alpha * (exp(x) - 1.0) } else { x }
}

/// tanh(ln(1 + e)) is (e² + 2e) / (e² + 2e + 2).
#[inline(always)]
fn mish(x: f32) -> f32 {
    let e = exp(x.min(30.0));
    let above = e * (e + 2.0);
    x * (above / (above + 2.0))
}

/// The error function within 2e-7 (Abramowitz & Stegun 1964, 7.1.26).
#[inline(always)]
fn erf(x: f32) -> f32 {
    let t = 1.0 / (1.0 + 0.327_591_1 * x.abs());
    let p = ((((1.061_405_4 * t - 1.453_152) * t + 1.421_413_7) * t - 0.284_496_74) * t + 0.254_829_6) * t;
    (1.0 - p * exp(-x * x)).copysign(x)
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::cpu::erf::erf_f64;

    /// Every function from −20 to 20 against its formula in f64, within 1e-6 of the larger of 1 and the value.
    #[test]
    fn functions_by_formula() {
        let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
        let elu = |x: f64, alpha: f64| if x < 0.0 { alpha * (x.exp() - 1.0) } else { x };
        let softplus = |x: f64| x.max(0.0) + (-x.abs()).exp().ln_1p();
        type Formula<'a> = Box<dyn Fn(f64) -> f64 + 'a>;
        let cases: Vec<(Activation, Formula)> = vec![
            (Activation::Silu, Box::new(|x| x * sigmoid(x))),
            (Activation::Sigmoid, Box::new(sigmoid)),
            (Activation::Tanh, Box::new(f64::tanh)),
            (Activation::Gelu, Box::new(|x| 0.5 * x * (1.0 + erf_f64(x / 2f64.sqrt())))),
            (
                Activation::GeluTanh,
                Box::new(|x| {
                    0.5 * x * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x.powi(3))).tanh())
                }),
            ),
            (Activation::Elu { alpha: 0.7 }, Box::new(|x| elu(x, 0.7))),
            (Activation::Selu, Box::new(|x| SELU.0 * elu(x, SELU.1))),
            (Activation::Mish, Box::new(|x| x * softplus(x).tanh())),
            (Activation::Softplus, Box::new(softplus)),
            (Activation::Softsign, Box::new(|x| x / (1.0 + x.abs()))),
            (Activation::LeakyRelu { slope: 0.3 }, Box::new(|x| if x < 0.0 { 0.3 * x } else { x })),
            (Activation::HardSwish, Box::new(|x| x * (x / 6.0 + 0.5).clamp(0.0, 1.0))),
            (Activation::HardSigmoid { slope: 0.2, shift: 0.5 }, Box::new(|x| (0.2 * x + 0.5).clamp(0.0, 1.0))),
            (Activation::Clip { low: -1.0, high: 2.0 }, Box::new(|x| x.clamp(-1.0, 2.0))),
        ];
        let xs: Vec<f32> = (-2000..=2000).map(|i| i as f32 / 100.0).collect();
        for (function, formula) in cases {
            let mut found = xs.clone();
            activate(function, &mut found);
            for (x, found) in xs.iter().zip(found) {
                let wanted = formula(f64::from(*x));
                let off = (f64::from(found) - wanted).abs();
                assert!(off < 1e-6 * wanted.abs().max(1.0), "{function:?}({x}) is {found}, not {wanted}");
            }
        }
        let mut values = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY];
        activate(Activation::Sigmoid, &mut values);
        assert!(values[0].is_nan() && values[1] == 1.0 && values[2] < 1e-37);
    }
}

//! Pointwise non-linearities.

use serde::{Deserialize, Serialize};

/// A function of single values; `Softmax` works along the channel axis.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    Relu,
    Relu6,
    /// x · sigmoid(x), also called swish.
    Silu,
    /// x · Φ(x) with the normal distribution's own Φ, not the approximation by tanh (Hendrycks & Gimpel 2016).
    Gelu,
    Sigmoid,
    Softmax,
    /// x above zero, slope · x below.
    LeakyRelu {
        slope: f64,
    },
    /// x above zero, alpha · (eˣ − 1) below.
    Elu {
        alpha: f64,
    },
    /// The self-normalising ELU with its two published constants (Klambauer et al. 2017).
    Selu,
    Tanh,
    /// slope · x + shift, kept in 0–1.
    HardSigmoid {
        slope: f64,
        shift: f64,
    },
    /// x · hard sigmoid(x) with slope 1/6 and shift 1/2.
    HardSwish,
    /// ln(1 + eˣ).
    Softplus,
    /// x / (1 + |x|).
    Softsign,
    /// x · tanh(softplus(x)).
    Mish,
    /// The approximation of GELU by tanh.
    GeluTanh,
    Exp,
    /// The error function.
    Erf,
    /// x kept in low–high.
    Clip {
        low: f64,
        high: f64,
    },
}

/// Constants of SELU: scale and alpha.
pub const SELU: (f64, f64) = (1.050_700_987_355_480_5, 1.673_263_242_354_377_3);

impl Activation {
    /// Bounds of a function that only keeps values in a range.
    pub fn bounds(self) -> Option<(f64, f64)> {
        match self {
            Activation::Relu => Some((0.0, f64::INFINITY)),
            Activation::Relu6 => Some((0.0, 6.0)),
            Activation::Clip { low, high } => Some((low, high)),
            _ => None,
        }
    }

    /// Its name in small letters, without its constants.
    pub fn name(self) -> String {
        let told = format!("{self:?}").to_lowercase();
        told.split(' ').next().unwrap_or_default().to_string()
    }

    /// What is wrong with its constants.
    pub(super) fn problem(self) -> Option<&'static str> {
        let (numbers, ordered) = match self {
            Activation::LeakyRelu { slope } => ([slope, 0.0], true),
            Activation::Elu { alpha } => ([alpha, 0.0], true),
            Activation::HardSigmoid { slope, shift } => ([slope, shift], true),
            Activation::Clip { low, high } => ([low, high], low <= high),
            _ => ([0.0; 2], true),
        };
        (numbers.iter().any(|number| !number.is_finite()) || !ordered).then_some("has a constant that is no number")
    }
}

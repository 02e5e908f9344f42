//! Activations as Keras configurations name them.

use crate::graph::Activation;
use serde_json::Value;

/// What an activation means.
pub enum Told {
    Linear,
    Function(Activation),
    Unknown(String),
}

/// Reads the name of a function, or a layer that stands in its place. `legacy` is Keras 2, whose hard sigmoid is steeper.
pub fn told(value: Option<&Value>, legacy: bool) -> Told {
    match value {
        None | Some(Value::Null) => Told::Linear,
        Some(Value::String(name)) => by_name(name, legacy),
        Some(object) => {
            let class = object.get("class_name").and_then(Value::as_str).unwrap_or_default();
            let config = object.get("config").unwrap_or(&Value::Null);
            match (layer(class, config), config) {
                (Some(Ok(function)), _) => Told::Function(function),
                (_, Value::String(name)) => by_name(name, legacy),
                _ => Told::Unknown(class.to_string()),
            }
        }
    }
}

fn by_name(name: &str, legacy: bool) -> Told {
    Told::Function(match name {
        "linear" => return Told::Linear,
        "relu" => Activation::Relu,
        "relu6" => Activation::Relu6,
        "silu" | "swish" => Activation::Silu,
        "gelu" => Activation::Gelu,
        "sigmoid" => Activation::Sigmoid,
        "softmax" => Activation::Softmax,
        "leaky_relu" => Activation::LeakyRelu { slope: 0.2 },
        "elu" => Activation::Elu { alpha: 1.0 },
        "selu" => Activation::Selu,
        "tanh" => Activation::Tanh,
        "hard_sigmoid" if legacy => Activation::HardSigmoid { slope: 0.2, shift: 0.5 },
        "hard_sigmoid" => Activation::HardSigmoid { slope: 1.0 / 6.0, shift: 0.5 },
        "hard_silu" | "hard_swish" => Activation::HardSwish,
        "softplus" => Activation::Softplus,
        "softsign" => Activation::Softsign,
        "mish" => Activation::Mish,
        "exponential" => Activation::Exp,
        other => return Told::Unknown(other.to_string()),
    })
}

/// The function of a layer that is nothing else; `None` for other classes.
pub fn layer(class: &str, config: &Value) -> Option<Result<Activation, String>> {
    // A number, a list of one, or an array as Keras 2 serialises it.
    let number = |value: &Value| {
        let first =
            value.pointer("/config/value/0").or_else(|| value.pointer("/config/value")).or_else(|| value.get(0));
        value.as_f64().or_else(|| first?.as_f64())
    };
    let of = |key: &str| {
        config.get(key).filter(|value| !value.is_null()).map(|value| number(value).ok_or_else(|| key.to_string()))
    };
    let or = |key: &str, default: f64| of(key).unwrap_or(Ok(default));
    let read = || -> Result<Activation, String> {
        Ok(match class {
            "LeakyReLU" => {
                let slope = of("negative_slope").or_else(|| of("alpha")).unwrap_or(Ok(0.3))?;
                Activation::LeakyRelu { slope }
            }
            "ELU" => Activation::Elu { alpha: or("alpha", 1.0)? },
            "ReLU" => {
                let (slope, threshold) = (or("negative_slope", 0.0)?, or("threshold", 0.0)?);
                match (of("max_value").transpose()?, slope, threshold) {
                    (None, 0.0, 0.0) => Activation::Relu,
                    (Some(6.0), 0.0, 0.0) => Activation::Relu6,
                    (Some(high), 0.0, 0.0) => Activation::Clip { low: 0.0, high },
                    (None, slope, 0.0) => Activation::LeakyRelu { slope },
                    _ => return Err("a threshold, or a slope beside a ceiling".into()),
                }
            }
            _ => return Err(String::new()),
        })
    };
    ["LeakyReLU", "ELU", "ReLU"].contains(&class).then(read)
}

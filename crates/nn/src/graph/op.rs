//! What a node of a graph computes, and the shape that comes out.

use super::shape::{Shape, Window};
use serde::{Deserialize, Serialize};

/// Pointwise non-linearities; `Softmax` works along the channel axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
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
}

/// What a node computes. Weight layouts: convolution [out, in, rows, columns], depthwise [channels, 1, rows, columns], dense
/// [out, in].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Op {
    Input {
        shape: Shape,
    },
    Conv {
        filters: usize,
        window: Window,
        bias: bool,
    },
    /// One filter a channel, which sees only that channel.
    DepthwiseConv {
        window: Window,
        bias: bool,
    },
    Dense {
        units: usize,
        bias: bool,
    },
    /// Over channels; running statistics follow Keras: new = momentum · old + (1 − momentum) · batch.
    BatchNorm {
        epsilon: f64,
        momentum: f64,
        scale: bool,
    },
    /// Of each pixel over its channels, with a scale and a shift by channel (Ba et al. 2016).
    LayerNorm {
        epsilon: f64,
    },
    Activation {
        function: Activation,
    },
    MaxPool {
        window: Window,
    },
    /// The mean over the window's pixels that lie inside the image (Keras' rule at borders).
    AveragePool {
        window: Window,
    },
    GlobalAveragePool,
    /// Nearest neighbour, by a whole factor.
    Upsample {
        factor: usize,
    },
    Add,
    /// A map times another of its size, or times one value a channel (1×1×channels, second).
    Multiply,
    /// Along channels.
    Concat,
    /// A frame of zeros: (above, below) and (left, right).
    ZeroPad {
        rows: [usize; 2],
        columns: [usize; 2],
    },
    /// In (row, column, channel) order, as Keras.
    Flatten,
    /// Zeroes a share of the values in training only.
    Dropout {
        rate: f64,
    },
}

impl Op {
    /// The operation in a few words, for messages.
    pub fn label(&self) -> String {
        match self {
            Op::Input { .. } => "input".into(),
            Op::Conv { filters, window, .. } => {
                format!("convolution {}×{} with {filters} filters", window.size[0], window.size[1])
            }
            Op::DepthwiseConv { window, .. } => format!("depthwise convolution {}×{}", window.size[0], window.size[1]),
            Op::Dense { units, .. } => format!("dense with {units} units"),
            Op::BatchNorm { .. } => "batch normalisation".into(),
            Op::LayerNorm { .. } => "layer normalisation".into(),
            Op::Activation { function } => format!("{function:?}").to_lowercase(),
            Op::MaxPool { .. } => "max pooling".into(),
            Op::AveragePool { .. } => "average pooling".into(),
            Op::GlobalAveragePool => "global average pooling".into(),
            Op::Upsample { factor } => format!("upsampling ×{factor}"),
            Op::Add => "addition".into(),
            Op::Multiply => "multiplication".into(),
            Op::Concat => "concatenation".into(),
            Op::ZeroPad { .. } => "zero padding".into(),
            Op::Flatten => "flatten".into(),
            Op::Dropout { .. } => "dropout".into(),
        }
    }

    /// Shape after this operation, or what is wrong.
    pub(super) fn infer(&self, inputs: &[Shape]) -> Result<Shape, String> {
        let one = || match inputs {
            [shape] => Ok(*shape),
            _ => Err(format!("takes one input, has {}", inputs.len())),
        };
        let image = || match one()? {
            Shape::Image { height, width, channels } => Ok((height, width, channels)),
            shape => Err(format!("needs an image, gets a vector of {shape}")),
        };
        let windowed = |window: &Window, channels: Option<usize>| {
            let (height, width, input_channels) = image()?;
            match (window.output_side(0, height), window.output_side(1, width)) {
                (Some(height), Some(width)) => {
                    Ok(Shape::Image { height, width, channels: channels.unwrap_or(input_channels) })
                }
                _ => Err(format!("a {}×{} window does not fit {height}×{width}", window.size[0], window.size[1])),
            }
        };
        match self {
            Op::Input { shape } if inputs.is_empty() && shape.values() > 0 => Ok(*shape),
            Op::Input { .. } => Err("an input has no inputs and at least one value".into()),
            Op::Conv { filters: 0, .. } | Op::Dense { units: 0, .. } | Op::Upsample { factor: 0 } => {
                Err("has no outputs".into())
            }
            Op::Conv { filters, window, .. } => windowed(window, Some(*filters)),
            Op::DepthwiseConv { window, .. } | Op::MaxPool { window } | Op::AveragePool { window } => {
                windowed(window, None)
            }
            Op::Dense { units, .. } => match one()? {
                Shape::Vector { .. } => Ok(Shape::Vector { len: *units }),
                shape => Err(format!("needs a vector, gets {shape}; flatten first")),
            },
            Op::BatchNorm { .. } | Op::LayerNorm { .. } | Op::Activation { .. } | Op::Dropout { .. } => one(),
            Op::GlobalAveragePool => image().map(|(_, _, channels)| Shape::Vector { len: channels }),
            Op::Upsample { factor } => {
                image().map(|(h, w, channels)| Shape::Image { height: h * factor, width: w * factor, channels })
            }
            Op::ZeroPad { rows, columns } => image().map(|(height, width, channels)| Shape::Image {
                height: height + rows[0] + rows[1],
                width: width + columns[0] + columns[1],
                channels,
            }),
            Op::Flatten => one().map(|shape| Shape::Vector { len: shape.values() }),
            Op::Add => match inputs {
                [a, b] if a == b => Ok(*a),
                _ => Err(format!("needs two inputs of one shape, gets {}", list(inputs))),
            },
            Op::Multiply => match inputs {
                [map @ Shape::Image { channels, .. }, by]
                    if by == map || *by == (Shape::Image { height: 1, width: 1, channels: *channels }) =>
                {
                    Ok(*map)
                }
                _ => Err(format!("needs a map and another like it or 1×1, gets {}", list(inputs))),
            },
            Op::Concat => {
                let mut total = 0;
                for shape in inputs {
                    match (shape, inputs[0]) {
                        (Shape::Image { height, width, channels }, Shape::Image { height: h, width: w, .. })
                            if *height == h && *width == w =>
                        {
                            total += channels;
                        }
                        _ => return Err(format!("needs images of one size, gets {}", list(inputs))),
                    }
                }
                match inputs.first() {
                    Some(Shape::Image { height, width, .. }) => {
                        Ok(Shape::Image { height: *height, width: *width, channels: total })
                    }
                    _ => Err("needs at least one input".into()),
                }
            }
        }
    }
}

fn list(shapes: &[Shape]) -> String {
    shapes.iter().map(Shape::to_string).collect::<Vec<_>>().join(", ")
}

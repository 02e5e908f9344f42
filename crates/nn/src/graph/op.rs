//! What a node of a graph computes, and the shape that comes out.

use super::activation::Activation;
use super::shape::{Padding, Shape, Window};
use serde::{Deserialize, Serialize};

/// How values between pixels are made when a map is resized.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Resampling {
    /// The pixel below the place, rounded down.
    Floor,
    /// The nearest pixel, a half rounded down.
    Nearest,
    /// Between the two nearest pixels of each axis.
    Bilinear,
}

/// Which places of the input the pixels of a resized map stand for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Grid {
    /// Edges of the pictures meet: pixel `i` lies at (i + ½) / scale − ½.
    HalfPixel,
    /// Centres of the corner pixels meet: pixel `i` lies at i · (in − 1) / (out − 1).
    Corners,
    /// Pixel `i` lies at i / scale.
    Asymmetric,
}

/// What a node computes. Weight layouts: convolution and transposed convolution [out, in, rows, columns], depthwise
/// [channels, 1, rows, columns], dense [out, in].
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
    /// Every input pixel adds its kernel to the output, `stride` pixels apart. The whole output has (side − 1) · stride + size
    /// rows and columns; `crop` takes away (above, below) and (left, right), or adds where it is negative.
    ConvTranspose {
        filters: usize,
        size: [usize; 2],
        stride: usize,
        crop: [[isize; 2]; 2],
        bias: bool,
    },
    Dense {
        units: usize,
        bias: bool,
    },
    /// A scale and a shift by channel.
    Affine,
    /// x above zero, x times a learned slope below. One slope a channel, or one a value.
    PRelu {
        by_channel: bool,
    },
    /// Of groups of neighbouring channels over the whole map, with a scale and a shift by channel (Wu & He 2018). A group for
    /// each channel is instance normalisation.
    GroupNorm {
        groups: usize,
        epsilon: f64,
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
    /// To a size in rows and columns.
    Resize {
        to: [usize; 2],
        resampling: Resampling,
        grid: Grid,
    },
    /// A map with another of its size; where the second has one row, column or channel only, that one is used for all.
    Add,
    /// As [`Op::Add`].
    Multiply,
    /// The larger of two values, as [`Op::Add`].
    Maximum,
    /// Along channels.
    Concat,
    /// A frame of zeros: (above, below) and (left, right).
    ZeroPad {
        rows: [usize; 2],
        columns: [usize; 2],
    },
    /// Takes away (above, below) and (left, right).
    Crop {
        rows: [usize; 2],
        columns: [usize; 2],
    },
    /// Some neighbouring channels of a map, or values of a vector.
    Channels {
        first: usize,
        count: usize,
    },
    /// Channels as a table of `groups` rows, read by columns (Zhang et al. 2018).
    ShuffleChannels {
        groups: usize,
    },
    /// Channel (r · block + c) · n + k of a pixel becomes channel k of pixel (r, c) of a block × block square.
    DepthToSpace {
        block: usize,
    },
    /// The same values in (row, column, channel) order under another shape.
    Reshape {
        shape: Shape,
    },
    /// A map whose axes are those of the input, in this order (0 rows, 1 columns, 2 channels).
    Permute {
        axes: [usize; 3],
    },
    /// In (row, column, channel) order, as Keras.
    Flatten,
    /// Zeroes a share of the values in training only.
    Dropout {
        rate: f64,
    },
}

/// Rows or columns of the widest window that is believed.
const WIDEST_WINDOW: usize = 4096;

impl Op {
    /// The operation in a few words, for messages.
    pub fn label(&self) -> String {
        match self {
            Op::Input { .. } => "input".into(),
            Op::Conv { filters, window, .. } => {
                format!("convolution {}×{} with {filters} filters", window.size[0], window.size[1])
            }
            Op::DepthwiseConv { window, .. } => format!("depthwise convolution {}×{}", window.size[0], window.size[1]),
            Op::ConvTranspose { filters, size, .. } => {
                format!("transposed convolution {}×{} with {filters} filters", size[0], size[1])
            }
            Op::Dense { units, .. } => format!("dense with {units} units"),
            Op::Affine => "scale and shift".into(),
            Op::PRelu { .. } => "parametric ReLU".into(),
            Op::GroupNorm { groups, .. } => format!("normalisation in {groups} groups"),
            Op::BatchNorm { .. } => "batch normalisation".into(),
            Op::LayerNorm { .. } => "layer normalisation".into(),
            Op::Activation { function } => function.name(),
            Op::MaxPool { .. } => "max pooling".into(),
            Op::AveragePool { .. } => "average pooling".into(),
            Op::GlobalAveragePool => "global average pooling".into(),
            Op::Upsample { factor } => format!("upsampling ×{factor}"),
            Op::Resize { to, .. } => format!("resizing to {}×{}", to[0], to[1]),
            Op::Add => "addition".into(),
            Op::Multiply => "multiplication".into(),
            Op::Maximum => "maximum".into(),
            Op::Concat => "concatenation".into(),
            Op::ZeroPad { .. } => "zero padding".into(),
            Op::Crop { .. } => "cropping".into(),
            Op::Channels { first, count } => format!("channels {first} to {}", first + count),
            Op::ShuffleChannels { .. } => "channel shuffle".into(),
            Op::DepthToSpace { .. } => "depth to space".into(),
            Op::Reshape { shape } => format!("reshape to {shape}"),
            Op::Permute { .. } => "permutation of axes".into(),
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
            if window.extent().iter().any(|side| *side > WIDEST_WINDOW) {
                return Err(format!("has a window of more than {WIDEST_WINDOW} pixels"));
            }
            match (window.output_side(0, height), window.output_side(1, width)) {
                (Some(height), Some(width)) => {
                    Ok(Shape::Image { height, width, channels: channels.unwrap_or(input_channels) })
                }
                _ => Err(format!("a {}×{} window does not fit {height}×{width}", window.size[0], window.size[1])),
            }
        };
        if let Op::Activation { function } = self
            && let Some(problem) = function.problem()
        {
            return Err(problem.into());
        }
        match self {
            Op::Input { shape } if inputs.is_empty() && shape.values() > 0 => Ok(*shape),
            Op::Input { .. } => Err("an input has no inputs and at least one value".into()),
            Op::Conv { filters: 0, .. }
            | Op::ConvTranspose { filters: 0, .. }
            | Op::Dense { units: 0, .. }
            | Op::Upsample { factor: 0 } => Err("has no outputs".into()),
            Op::Conv { filters, window, .. } => windowed(window, Some(*filters)),
            Op::DepthwiseConv { window, .. } => windowed(window, None),
            Op::MaxPool { window } | Op::AveragePool { window } => match window.padding {
                _ if window.dilation != [1, 1] => Err("pools with holes are not known".into()),
                // A window must meet at least one pixel.
                Padding::Explicit(pads) if (0..2).any(|axis| pads[axis].iter().any(|p| *p >= window.size[axis])) => {
                    Err("has a window that lies outside the map".into())
                }
                _ => windowed(window, None),
            },
            Op::ConvTranspose { filters, size, stride, crop, .. } => {
                let (height, width, _) = image()?;
                let side = |side: usize, axis: usize| {
                    let whole = (side - 1).checked_mul(*stride)?.checked_add(size[axis])?;
                    let [before, after] = crop[axis];
                    isize::try_from(whole).ok()?.checked_sub(before)?.checked_sub(after)?.try_into().ok()
                };
                match (side(height, 0), side(width, 1)) {
                    (Some(height @ 1..), Some(width @ 1..)) if *stride > 0 && !size.contains(&0) => {
                        Ok(Shape::Image { height, width, channels: *filters })
                    }
                    _ => Err(format!("nothing of {height}×{width} is left")),
                }
            }
            Op::Dense { units, .. } => match one()? {
                Shape::Vector { .. } => Ok(Shape::Vector { len: *units }),
                shape => Err(format!("needs a vector, gets {shape}; flatten first")),
            },
            Op::BatchNorm { .. }
            | Op::LayerNorm { .. }
            | Op::Affine
            | Op::PRelu { .. }
            | Op::Activation { .. }
            | Op::Dropout { .. } => one(),
            Op::GroupNorm { groups, .. } => match image()? {
                (.., channels) if *groups > 0 && channels % groups == 0 => one(),
                (.., channels) => Err(format!("{channels} channels do not make {groups} groups")),
            },
            Op::GlobalAveragePool => image().map(|(_, _, channels)| Shape::Vector { len: channels }),
            Op::Upsample { factor } => {
                image().map(|(h, w, channels)| Shape::Image { height: h * factor, width: w * factor, channels })
            }
            Op::Resize { to: [0, _] | [_, 0], .. } => Err("has no outputs".into()),
            Op::Resize { to: [height, width], .. } => {
                image().map(|(_, _, channels)| Shape::Image { height: *height, width: *width, channels })
            }
            Op::ZeroPad { rows, columns } => image().map(|(height, width, channels)| Shape::Image {
                height: height + rows[0] + rows[1],
                width: width + columns[0] + columns[1],
                channels,
            }),
            Op::Crop { rows, columns } => {
                let (height, width, channels) = image()?;
                let rest = |side: usize, [before, after]: &[usize; 2]| {
                    side.checked_sub(*before)?.checked_sub(*after).filter(|side| *side > 0)
                };
                match (rest(height, rows), rest(width, columns)) {
                    (Some(height), Some(width)) => Ok(Shape::Image { height, width, channels }),
                    _ => Err(format!("nothing of {height}×{width} is left")),
                }
            }
            Op::Channels { first, count } => {
                let (shape, count) = (one()?, *count);
                match (first.checked_add(count), shape) {
                    (Some(end), _) if count == 0 || end > shape.channels() => {
                        Err(format!("{shape} has no values {first} to {end}"))
                    }
                    (Some(_), Shape::Image { height, width, .. }) => {
                        Ok(Shape::Image { height, width, channels: count })
                    }
                    (Some(_), Shape::Vector { .. }) => Ok(Shape::Vector { len: count }),
                    (None, _) => Err("asks for too many channels".into()),
                }
            }
            Op::ShuffleChannels { groups } => match one()? {
                shape if *groups > 0 && shape.channels() % groups == 0 => Ok(shape),
                shape => Err(format!("{shape} does not make {groups} groups")),
            },
            Op::DepthToSpace { block } => match image()? {
                (height, width, channels) if *block > 0 && *block < 1 << 16 && channels % (block * block) == 0 => {
                    let (height, width) = (height * block, width * block);
                    Ok(Shape::Image { height, width, channels: channels / (block * block) })
                }
                (.., channels) => Err(format!("{channels} channels do not make blocks of {block}×{block}")),
            },
            Op::Reshape { shape } => match one()? {
                from if shape.is_believable() && from.values() == shape.values() => Ok(*shape),
                from => Err(format!("{from} has not as many values as {shape}")),
            },
            Op::Permute { axes } => {
                let (height, width, channels) = image()?;
                let sides = [height, width, channels];
                let mut sorted = *axes;
                sorted.sort_unstable();
                match (sorted, axes.map(|axis| sides.get(axis).copied().unwrap_or(0))) {
                    ([0, 1, 2], [height, width, channels]) => Ok(Shape::Image { height, width, channels }),
                    _ => Err("does not name each axis once".into()),
                }
            }
            Op::Flatten => one().map(|shape| Shape::Vector { len: shape.values() }),
            Op::Add | Op::Multiply | Op::Maximum => match inputs {
                [a, b] if b.spreads_over(*a) => Ok(*a),
                _ => Err(format!("needs two inputs of one shape, gets {}", list(inputs))),
            },
            Op::Concat if inputs.iter().all(|shape| matches!(shape, Shape::Vector { .. })) && !inputs.is_empty() => {
                Ok(Shape::Vector { len: inputs.iter().map(|shape| shape.channels()).sum() })
            }
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

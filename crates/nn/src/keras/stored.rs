//! Where the values of a graph's parameter lie in a Keras file, and how Keras arranges them.

/// Arrangement of a tensor's values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// As ours.
    Plain,
    /// A convolution's kernel: rows × columns × in × out.
    Kernel,
    /// A transposed convolution's: rows × columns × out × in.
    Transposed,
    /// A depthwise convolution's: rows × columns × channels × 1.
    Depthwise,
    /// A kernel of several groups: rows × columns × in of a group × out; ours is zero between groups.
    Groups(usize),
    /// A dense layer's: in × out.
    Dense,
    /// A dense layer's that works at each pixel of a map.
    DenseOnMap,
    /// A value a channel, with sides of 1 before it.
    ByChannel,
}

/// A tensor of a layer.
#[derive(Debug, Clone, PartialEq)]
pub struct Stored {
    /// Names of the layer and of the models around it, outermost first, with strokes between.
    pub layer: String,
    /// Group of the layer in a Keras 3 file, such as `layers/functional/layers/conv2d_3`.
    pub group: String,
    /// Names of the tensor; Keras 2 and 3 differ in some.
    pub names: &'static [&'static str],
    /// Place among the layer's tensors.
    pub position: usize,
    pub form: Form,
}

/// Where values come from.
#[derive(Debug, Clone, PartialEq)]
pub enum Origin {
    File(Stored),
    /// The configuration says them.
    Constant(Vec<f32>),
    /// 1 / √variance of a normalisation layer.
    Deviations {
        variance: Stored,
    },
    /// −mean / √variance.
    Means {
        mean: Stored,
        variance: Stored,
    },
}

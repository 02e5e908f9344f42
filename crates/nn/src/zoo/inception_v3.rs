//! InceptionV3 (Szegedy et al. 2015) as Keras Applications builds it: convolutions without bias, batch-norms without scale.

use super::*;
use crate::graph::Activation;

/// A network under construction that numbers its layers as Keras does.
struct Inception {
    b: Builder,
    convolutions: usize,
    pools: usize,
}

/// Base (21,802,784 parameters), mean over the map, a dense layer with dropout, softmax.
pub fn build(input: Shape, outputs: usize) -> Result<Graph, GraphError> {
    let (b, x) = Builder::new(input);
    let mut net = Inception { b, convolutions: 0, pools: 0 };
    let x = net.reduce(x, 32);
    let x = net.conv(x, 32, [3, 3], Padding::Valid);
    let x = net.conv(x, 64, [3, 3], Padding::Same);
    let x = net.max_pool(x);
    let x = net.conv(x, 80, [1, 1], Padding::Valid);
    let x = net.conv(x, 192, [3, 3], Padding::Valid);
    let mut x = net.max_pool(x);
    for (i, projection) in [32, 64, 64].into_iter().enumerate() {
        x = net.module_35(&format!("mixed{i}"), x, projection);
    }
    x = net.reduction_35("mixed3", x);
    for (i, filters) in [128, 160, 160, 192].into_iter().enumerate() {
        x = net.module_17(&format!("mixed{}", i + 4), x, filters);
    }
    x = net.reduction_17("mixed8", x);
    x = net.module_8("mixed9", x);
    x = net.module_8("mixed10", x);
    let mut b = net.b;
    x = b.push("average_pool", Op::GlobalAveragePool, &[x]);
    x = b.dense("dense1", x, 256);
    x = b.relu("dense1_relu", x);
    x = b.push("dropout", Op::Dropout { rate: 0.5 }, &[x]);
    x = b.dense("logits", x, outputs);
    b.activation("probabilities", x, Activation::Softmax);
    b.finish()
}

impl Inception {
    fn unit(&mut self, x: NodeId, filters: usize, window: Window) -> NodeId {
        self.convolutions += 1;
        let i = self.convolutions;
        let x = self.b.push(format!("conv{i}"), Op::Conv { filters, window, bias: false }, &[x]);
        let x = self.b.push(format!("conv{i}_bn"), Op::BatchNorm { epsilon: 1e-3, momentum: 0.99, scale: false }, &[x]);
        self.b.relu(format!("conv{i}_relu"), x)
    }

    /// Convolution → batch-norm → ReLU; windows of one pixel are the same padded or not.
    fn conv(&mut self, x: NodeId, filters: usize, size: [usize; 2], padding: Padding) -> NodeId {
        let padding = if size == [1, 1] { Padding::Valid } else { padding };
        self.unit(x, filters, Window::new(size, [1; 2], padding))
    }

    /// Several of them one after the other, each (filters, size).
    fn chain(&mut self, x: NodeId, steps: &[(usize, [usize; 2])]) -> NodeId {
        steps.iter().fold(x, |x, (filters, size)| self.conv(x, *filters, *size, Padding::Same))
    }

    /// 3×3 at stride 2.
    fn reduce(&mut self, x: NodeId, filters: usize) -> NodeId {
        self.unit(x, filters, Window::new([3; 2], [2; 2], Padding::Valid))
    }

    fn max_pool(&mut self, x: NodeId) -> NodeId {
        self.pools += 1;
        let window = Window::new([3; 2], [2; 2], Padding::Valid);
        self.b.push(format!("max_pool{}", self.pools), Op::MaxPool { window }, &[x])
    }

    fn average_pool(&mut self, x: NodeId, filters: usize) -> NodeId {
        self.pools += 1;
        let window = Window::dense(3, Padding::Same);
        let x = self.b.push(format!("average_pool{}", self.pools), Op::AveragePool { window }, &[x]);
        self.conv(x, filters, [1, 1], Padding::Valid)
    }

    fn module_35(&mut self, name: &str, x: NodeId, projection: usize) -> NodeId {
        let one = self.chain(x, &[(64, [1, 1])]);
        let five = self.chain(x, &[(48, [1, 1]), (64, [5, 5])]);
        let three = self.chain(x, &[(64, [1, 1]), (96, [3, 3]), (96, [3, 3])]);
        let pool = self.average_pool(x, projection);
        self.b.push(name, Op::Concat, &[one, five, three, pool])
    }

    fn reduction_35(&mut self, name: &str, x: NodeId) -> NodeId {
        let three = self.reduce(x, 384);
        let double = self.chain(x, &[(64, [1, 1]), (96, [3, 3])]);
        let double = self.reduce(double, 96);
        let pool = self.max_pool(x);
        self.b.push(name, Op::Concat, &[three, double, pool])
    }

    fn module_17(&mut self, name: &str, x: NodeId, filters: usize) -> NodeId {
        let f = filters;
        let one = self.chain(x, &[(192, [1, 1])]);
        let seven = self.chain(x, &[(f, [1, 1]), (f, [1, 7]), (192, [7, 1])]);
        let double = self.chain(x, &[(f, [1, 1]), (f, [7, 1]), (f, [1, 7]), (f, [7, 1]), (192, [1, 7])]);
        let pool = self.average_pool(x, 192);
        self.b.push(name, Op::Concat, &[one, seven, double, pool])
    }

    fn reduction_17(&mut self, name: &str, x: NodeId) -> NodeId {
        let three = self.chain(x, &[(192, [1, 1])]);
        let three = self.reduce(three, 320);
        let seven = self.chain(x, &[(192, [1, 1]), (192, [1, 7]), (192, [7, 1])]);
        let seven = self.reduce(seven, 192);
        let pool = self.max_pool(x);
        self.b.push(name, Op::Concat, &[three, seven, pool])
    }

    fn module_8(&mut self, name: &str, x: NodeId) -> NodeId {
        let one = self.chain(x, &[(320, [1, 1])]);
        let three = self.chain(x, &[(384, [1, 1])]);
        let three = self.fork(&format!("{name}_three"), three);
        let double = self.chain(x, &[(448, [1, 1]), (384, [3, 3])]);
        let double = self.fork(&format!("{name}_double"), double);
        let pool = self.average_pool(x, 192);
        self.b.push(name, Op::Concat, &[one, three, double, pool])
    }

    /// A 3×3 as 1×3 beside 3×1.
    fn fork(&mut self, name: &str, x: NodeId) -> NodeId {
        let (wide, tall) = (self.chain(x, &[(384, [1, 3])]), self.chain(x, &[(384, [3, 1])]));
        self.b.push(name, Op::Concat, &[wide, tall])
    }
}

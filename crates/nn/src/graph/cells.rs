//! Where on the input the cells of an inner map look.

use super::{Graph, Grid, NodeId, Op, Shape, Window};

/// Rows or columns of a map: cell `i` has its centre at `first + i · step` of the input, in pixels, the first pixel's centre being 0.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cells {
    pub count: usize,
    pub step: f64,
    pub first: f64,
}

impl Graph {
    /// Rows and columns of a node's map, followed back along first inputs; `None` of a vector, which has no places.
    pub fn cells(&self, node: NodeId) -> Option<[Cells; 2]> {
        let mut way = vec![node];
        while let Some(before) = way.last().and_then(|id| self.node(*id).inputs.first()) {
            way.push(*before);
        }
        let whole = |side: usize| Cells { count: side, step: 1.0, first: 0.0 };
        let mut cells = sides(self.input_shape())?.map(whole);
        for id in way.into_iter().rev().skip(1) {
            let node = self.node(id);
            if matches!(node.op, Op::Reshape { .. } | Op::Permute { .. }) {
                return None;
            }
            let counts = sides(node.shape)?;
            for (axis, (cells, count)) in cells.iter_mut().zip(counts).enumerate() {
                *cells = cells.behind(&node.op, axis, count);
            }
        }
        Some(cells)
    }
}

fn sides(shape: Shape) -> Option<[usize; 2]> {
    match shape {
        Shape::Image { height, width, .. } => Some([height, width]),
        Shape::Vector { .. } => None,
    }
}

impl Cells {
    /// Those of a layer that reads these and has `count`.
    fn behind(self, op: &Op, axis: usize, count: usize) -> Self {
        // By how many of these cells the first centre moves, and how many lie between two.
        let (shift, stride) = match op {
            Op::Conv { window, .. }
            | Op::DepthwiseConv { window, .. }
            | Op::MaxPool { window }
            | Op::AveragePool { window } => (self.shift(window, axis), window.stride[axis] as f64),
            Op::Upsample { factor } | Op::DepthToSpace { block: factor } => {
                (0.5 / *factor as f64 - 0.5, 1.0 / *factor as f64)
            }
            // Of the even places that make a pixel, the middle one has the kernel's centre.
            Op::ConvTranspose { size, stride, crop, .. } => {
                let stride = *stride as f64;
                ((crop[axis][0] as f64 - (size[axis] as f64 - 1.0) / 2.0) / stride, 1.0 / stride)
            }
            Op::Resize { to, grid, .. } => {
                let (from, to) = (self.count as f64, to[axis] as f64);
                match grid {
                    Grid::HalfPixel => (0.5 * from / to - 0.5, from / to),
                    Grid::Asymmetric => (0.0, from / to),
                    Grid::Corners => (0.0, (from - 1.0) / (to - 1.0).max(1.0)),
                }
            }
            Op::Crop { rows, columns } => ([rows, columns][axis][0] as f64, 1.0),
            Op::ZeroPad { rows, columns } => (-([rows, columns][axis][0] as f64), 1.0),
            _ => (0.0, 1.0),
        };
        Self { count, step: self.step * stride, first: self.first + self.step * shift }
    }

    fn shift(&self, window: &Window, axis: usize) -> f64 {
        let before = window.pads(axis, self.count).map_or(0, |(before, _)| before);
        (window.extent()[axis] as f64 - 1.0) / 2.0 - before as f64
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Builder, Padding};
    use super::*;
    use crate::zoo::Architecture;

    /// By hand: a valid 3×3 moves by one cell, a 2×2 pool by half of one and doubles the step, "same" at stride 1 moves nothing.
    #[test]
    fn centres_by_hand() {
        let classifier = Architecture::ResnetClassifier.graph(256).unwrap();
        let of = |name: &str| classifier.cells(classifier.find(name).unwrap());
        // 1 | 1.5, step 2 | 3.5 | 4.5, step 4 | 8.5 | 10.5, step 8.
        for (name, count, step, first) in
            [("stem1.pool", 127, 2.0, 1.5), ("block3.relu", 62, 4.0, 4.5), ("tail.relu", 30, 8.0, 10.5)]
        {
            assert_eq!(of(name), Some([Cells { count, step, first }; 2]), "{name}");
        }
        assert_eq!(of("flatten"), None);
        // Down by 16 and up again, a U-Net's pixels lie where the input's do.
        let resunet = Architecture::Resunet.graph(64).unwrap();
        assert_eq!(resunet.cells(resunet.logits()), Some([Cells { count: 64, step: 1.0, first: 0.0 }; 2]));
    }

    /// "Same" at stride 2 on an even side pads below and right only, so its windows' middles are pixels 1, 3, …; zeros before the rows
    /// move those back.
    #[test]
    fn padding_moves_centres() {
        let (mut b, x) = Builder::new(Shape::Image { height: 8, width: 8, channels: 1 });
        let window = Window::new([3; 2], [2; 2], Padding::Same);
        let x = b.conv("half", x, 1, window);
        let x = b.push("pad", Op::ZeroPad { rows: [1, 0], columns: [0, 0] }, &[x]);
        let graph = b.finish().unwrap();
        let [rows, columns] = graph.cells(x).unwrap();
        assert_eq!(rows, Cells { count: 5, step: 2.0, first: -1.0 });
        assert_eq!(columns, Cells { count: 4, step: 2.0, first: 1.0 });
    }
}

//! Where every value of the plan lies: views into a few reused buffers.
//!
//! Maps are rows × columns × channels with a frame of zeros as wide as their readers' padding, so a convolution never asks where
//! the border is. A concatenation's inputs are written straight into its channels, and zero padding is a wider look at a map.

use super::fuse::{Stage, Work};
use crate::graph::{Graph, NodeId, Op, Shape, Window};

/// Values that kernels may read past the last pixel: a panel of channels.
pub const SLACK: usize = 64;

/// A map as its readers see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct View {
    pub slot: usize,
    /// Of the first pixel's first channel.
    pub start: usize,
    /// Values between rows.
    pub row: usize,
    /// Values between pixels.
    pub pixel: usize,
    pub height: usize,
    pub width: usize,
    pub channels: usize,
}

/// Zeros around a map.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Frame {
    pub top: usize,
    pub bottom: usize,
    pub left: usize,
    pub right: usize,
}

impl Frame {
    fn around(self, inner: Frame) -> Frame {
        Frame {
            top: self.top + inner.top,
            bottom: self.bottom + inner.bottom,
            left: self.left + inner.left,
            right: self.right + inner.right,
        }
    }

    fn covering(self, other: Frame) -> Frame {
        Frame {
            top: self.top.max(other.top),
            bottom: self.bottom.max(other.bottom),
            left: self.left.max(other.left),
            right: self.right.max(other.right),
        }
    }

    fn of_window(window: Window, height: usize, width: usize) -> Frame {
        let (top, bottom) = window.pads(0, height).unwrap_or_default();
        let (left, right) = window.pads(1, width).unwrap_or_default();
        Frame { top, bottom, left, right }
    }
}

/// A map as its writer sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target {
    pub view: View,
    pub frame: Frame,
    /// First channel inside a pixel of the buffer.
    pub channel: usize,
}

/// How a node's value comes to lie somewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// In a buffer of its own.
    Own,
    /// In the channels of a concatenation, from the given one on.
    Part { of: NodeId, channel: usize },
    /// The same pixels as another node, seen with a wider frame.
    Widened { of: NodeId, by: Frame },
}

/// Places of all maps, and the buffers they need.
pub struct Layout {
    places: Vec<Option<Place>>,
    /// By node: slot and frame of buffers of their own.
    buffers: Vec<Option<(usize, Frame)>>,
    shapes: Vec<Shape>,
    /// Values in every slot.
    pub slots: Vec<usize>,
}

impl Layout {
    pub fn new(graph: &Graph, stages: &[Stage]) -> Self {
        let nodes = graph.nodes().len();
        let shapes: Vec<Shape> = graph.nodes().iter().map(|n| n.shape).collect();
        let places = places(graph, stages);
        let mut layout = Self { places, buffers: vec![None; nodes], shapes, slots: Vec::new() };
        let mut frames = vec![Frame::default(); nodes];
        for stage in stages {
            let conv = match &stage.work {
                Work::Conv(fused) => fused.conv,
                Work::Depthwise { conv, .. } => *conv,
                Work::Node => continue,
            };
            if let (Op::Conv { window, .. } | Op::DepthwiseConv { window, .. }, [input]) =
                (&graph.node(conv).op, graph.node(conv).inputs.as_slice())
                && let Shape::Image { height, width, .. } = graph.node(*input).shape
            {
                frames[input.0] = frames[input.0].covering(Frame::of_window(*window, height, width));
            }
        }
        // What a reader of a part or of a widened look needs, the buffer behind it must have.
        let mut whole = vec![Frame::default(); nodes];
        for id in graph.ids() {
            let (mut root, mut frame) = (id, frames[id.0]);
            while let Some(Place::Part { of, .. } | Place::Widened { of, .. }) = layout.places[root.0] {
                if let Some(Place::Widened { by, .. }) = layout.places[root.0] {
                    frame = frame.around(by);
                }
                root = of;
            }
            whole[root.0] = whole[root.0].covering(frame);
        }
        let roots: Vec<Option<NodeId>> = graph.ids().map(|id| layout.root(id)).collect();
        layout.assign(&roots, &whole, stages, graph);
        layout
    }

    /// The node in whose buffer a map lies.
    fn root(&self, id: NodeId) -> Option<NodeId> {
        match self.places[id.0]? {
            Place::Own => Some(id),
            Place::Part { of, .. } | Place::Widened { of, .. } => self.root(of),
        }
    }

    /// Gives every buffer a slot, reusing those whose last reader is done.
    fn assign(&mut self, roots: &[Option<NodeId>], frames: &[Frame], stages: &[Stage], graph: &Graph) {
        let mut last = vec![0; roots.len()];
        for (time, stage) in stages.iter().enumerate() {
            for node in stage.reads(graph).into_iter().chain([stage.output]) {
                if let Some(root) = roots[node.0] {
                    last[root.0] = time;
                }
            }
        }
        if let Some(output) = roots[graph.output().0] {
            last[output.0] = stages.len();
        }
        let mut free: Vec<usize> = Vec::new();
        let mut writes: Vec<(usize, NodeId)> = vec![(0, NodeId(0))];
        writes.extend(stages.iter().enumerate().map(|(time, stage)| (time, stage.output)));
        let mut live: Vec<NodeId> = Vec::new();
        for (time, node) in writes {
            let Some(root) = roots[node.0] else { continue };
            if self.buffers[root.0].is_some() {
                continue;
            }
            // What was read for the last time before now makes room.
            live.retain(|old| {
                let done = last[old.0] < time;
                if let (true, Some((slot, _))) = (done, self.buffers[old.0]) {
                    free.push(slot);
                }
                !done
            });
            let Shape::Image { height, width, channels } = self.shapes[root.0] else { continue };
            let frame = frames[root.0];
            let size = (height + frame.top + frame.bottom) * (width + frame.left + frame.right) * channels + SLACK;
            // The tightest slot that is large enough, else the largest, which then grows.
            let fit = |i: &usize| {
                let capacity = self.slots[free[*i]];
                (capacity < size, if capacity < size { usize::MAX - capacity } else { capacity })
            };
            let slot = match (0..free.len()).min_by_key(fit) {
                Some(i) => free.swap_remove(i),
                None => {
                    self.slots.push(0);
                    self.slots.len() - 1
                }
            };
            self.slots[slot] = self.slots[slot].max(size);
            self.buffers[root.0] = Some((slot, frame));
            live.push(root);
        }
    }

    /// Where a node is written; `None` for vectors and for values that never exist in memory.
    pub fn target(&self, id: NodeId) -> Option<Target> {
        let Shape::Image { height, width, channels } = self.shapes[id.0] else { return None };
        Some(match self.places[id.0]? {
            Place::Own => {
                let (slot, frame) = self.buffers[id.0]?;
                let row = (width + frame.left + frame.right) * channels;
                let start = frame.top * row + frame.left * channels;
                let view = View { slot, start, row, pixel: channels, height, width, channels };
                Target { view, frame, channel: 0 }
            }
            Place::Part { of, channel } => {
                let whole = self.target(of)?;
                let view = View { start: whole.view.start + channel, channels, ..whole.view };
                Target { view, channel: whole.channel + channel, ..whole }
            }
            Place::Widened { of, by } => {
                let inner = self.target(of)?;
                let start = inner.view.start - by.top * inner.view.row - by.left * inner.view.pixel;
                let view = View { start, height, width, ..inner.view };
                Target { view, ..inner }
            }
        })
    }

    /// Whether `part` was written straight into `concat`.
    pub fn is_in_place(&self, part: NodeId, concat: NodeId) -> bool {
        matches!(self.places[part.0], Some(Place::Part { of, .. }) if of == concat)
    }
}

/// Chooses a place for the input and every stage's value.
fn places(graph: &Graph, stages: &[Stage]) -> Vec<Option<Place>> {
    let mut places = vec![None; graph.nodes().len()];
    places[0] = Some(Place::Own);
    for stage in stages {
        let node = graph.node(stage.output);
        places[stage.output.0] = Some(match node.op {
            Op::ZeroPad { rows: [top, bottom], columns: [left, right] } => {
                Place::Widened { of: node.inputs[0], by: Frame { top, bottom, left, right } }
            }
            _ => Place::Own,
        });
    }
    for concat in stages.iter().map(|s| s.output).filter(|id| graph.node(*id).op == Op::Concat) {
        let inputs = &graph.node(concat).inputs;
        let mut channel = 0;
        for part in inputs {
            let once = inputs.iter().filter(|i| *i == part).count() == 1;
            let written = stages.iter().any(|s| s.output == *part);
            if once && written && places[part.0] == Some(Place::Own) {
                places[part.0] = Some(Place::Part { of: concat, channel });
                if !is_sound(graph, stages, &places, root_of(&places, concat)) {
                    places[part.0] = Some(Place::Own);
                }
            }
            channel += graph.node(*part).shape.channels();
        }
    }
    places
}

/// No stage reads the buffer that it writes, but for a concatenation's parts that already lie in it.
fn is_sound(graph: &Graph, stages: &[Stage], places: &[Option<Place>], root: NodeId) -> bool {
    stages.iter().filter(|s| root_of(places, s.output) == root).all(|stage| {
        let in_place = |read: NodeId| matches!(places[read.0], Some(Place::Part { of, .. }) if of == stage.output);
        let look = matches!(places[stage.output.0], Some(Place::Widened { .. }));
        look || stage.reads(graph).iter().all(|read| in_place(*read) || root_of(places, *read) != root)
    })
}

fn root_of(places: &[Option<Place>], id: NodeId) -> NodeId {
    match places[id.0] {
        Some(Place::Part { of, .. } | Place::Widened { of, .. }) => root_of(places, of),
        _ => id,
    }
}

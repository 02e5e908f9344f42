//! A [`crate::graph::Graph`] and its weights → files of other runtimes.

pub mod onnx;

//! Networks as values: one [`graph::Graph`] per network, many uses.
//!
//! - [`graph`]: layers, how they are joined, and the shapes that follow from it.
//! - [`exec`] runs a graph, on the CPU through the compiled [`plan`], elsewhere through candle.
//! - [`grad_cam`] tells which places of a picture speak for an answer.
//! - [`ops`]: the operations of training with their gradients.
//! - [`keras`] and [`torch`] read a graph or its weights from files of those frameworks.
//! - [`zoo`]: the architectures that are known by name.

// A user's file or device must never end the program.
#![warn(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

pub mod exec;
pub mod export;
pub mod fold;
pub mod grad_cam;
pub mod graph;
pub mod keras;
mod layers;
pub mod network;
pub mod onnx;
pub mod ops;
pub mod plan;
pub mod rewrite;
mod simplify;
mod stock;
pub mod torch;
pub mod weights;
pub mod zoo;

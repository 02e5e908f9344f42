//! Networks: one [`graph::Graph`] value per network, many uses.

pub mod exec;
pub mod fold;
pub mod graph;
pub mod keras;
pub mod network;
pub mod ops;
pub mod plan;
pub mod rewrite;
mod simplify;
mod stock;
pub mod torch;
pub mod weights;
pub mod zoo;

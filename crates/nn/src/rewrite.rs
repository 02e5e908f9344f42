//! What rewrites of a graph have in common.

use super::graph::GraphError;

/// Why a graph could not be rewritten.
#[derive(Debug, thiserror::Error)]
pub enum RewriteError {
    #[error(transparent)]
    Graph(#[from] GraphError),
    #[error(transparent)]
    Tensor(#[from] candle_core::Error),
}

//! Models on disk and in the binary: cards, weights, preprocessing, lookup.

pub mod preprocess;

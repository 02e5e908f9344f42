//! Models on disk and in the binary: cards, weights, preprocessing, lookup.

pub mod cascade;
pub mod export;
pub mod import;
pub mod kind;
pub mod model;
pub mod preprocess;
pub mod registry;
pub mod verify;

//! Models on disk and in the binary: cards, weights, preprocessing, lookup.

mod answering;
pub mod cascade;
pub mod explaining;
pub mod export;
pub mod import;
pub mod kind;
pub mod model;
mod occlusion;
pub mod preprocess;
pub mod preprocessing_note;
pub mod probe;
pub mod registry;
mod variation;
pub mod verify;

//! Training, validation and the writing of model folders.

pub mod augment;
pub mod checkpoint;
pub mod dataset;
pub mod error;
pub mod evaluate;
pub mod fit;
pub mod loss;
pub mod optimiser;
pub mod recipe;

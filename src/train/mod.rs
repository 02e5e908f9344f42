//! Training, validation and the writing of model folders.

pub mod assess;
pub mod augment;
pub mod cache;
pub mod calibration;
pub mod checkpoint;
pub mod dataset;
pub mod error;
pub mod evaluate;
pub mod fit;
pub mod folders;
pub mod lesions;
pub mod loader;
pub mod loss;
pub mod optimiser;
pub mod outcome;
mod patient_folders;
pub mod reader;
pub mod recipe;
pub mod run_note;
pub mod schedule;
pub mod sources;
pub mod start;
pub mod strip;
pub mod supervision;
mod table;
pub mod twins;

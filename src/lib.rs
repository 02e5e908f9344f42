//! LesionLens: what a neural network sees in an MRI slice.
pub mod domain;
pub mod export;
pub mod models;
pub mod nn;
pub mod train;
pub mod cli;

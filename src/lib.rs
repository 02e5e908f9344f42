//! LesionLens: what a neural network sees in an MRI slice.
rust_i18n::i18n!("assets/locales", fallback = "en");

pub mod app;
pub mod cli;
pub mod domain;
pub mod engine;
pub mod export;
pub mod io;
pub mod models;
pub mod nn;
pub mod train;

//! LesionLens shows what a neural network sees in an MRI slice. It is a research aid, not a medical device.
//!
//! Data flows one way: file → study → tensors → engine → findings → pixels and exports.
//!
//! - [`domain`]: slices, masks, windows, model cards, figures of merit. Knows nobody.
//! - [`io`]: pictures on disk → studies, whatever their names. Knows `domain`.
//! - [`models`]: cards and weights together, preprocessing, lookup, import. Knows [`lesionlens_nn`], `domain`.
//! - [`files`]: writing files whole or not at all.
//! - [`engine`]: questions and answers in plain types, on a thread of its own. Knows `models`.
//! - [`train`]: recipes, data sets, augmentation, the training loop, evaluation. Knows `lesionlens_nn`, `models`, `io`.
//! - [`export`]: annotated pictures, masks, tables. Knows `domain`.
//! - [`batch`]: the cascade over studies and the report of it. Knows all of the above but `train`.
//! - `pacs`: series from a DICOMweb archive, results back into it. Knows `io`, `domain`.
//! - [`tuning`]: corrected outlines as a data set, and the fine-tune on them. Knows `train`, `models`, `export`, `io`.
//! - `serve`: the networks behind HTTP. Knows all but `app`.
//! - [`app`]: the window. Knows neither tensors nor file formats.
//! - [`cli`]: the commands.

// A user's file, disk or device must never end the program.
#![warn(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
rust_i18n::i18n!("assets/locales", fallback = "en");

pub mod app;
pub mod batch;
pub mod cli;
pub mod domain;
pub mod engine;
pub mod export;
pub mod files;
pub mod io;
pub mod models;
#[cfg(feature = "pacs")]
pub mod pacs;
#[cfg(feature = "serve")]
pub mod serve;
pub mod train;
pub mod tuning;

//! Learning from corrections: outlines by a reader's hand as a data set, and a fine-tune of the model in use on them.
//!
//! The window, which knows neither tensors nor training, is told of all of it in plain types.

mod card;
pub mod comparison;
pub mod corrections;
pub mod error;
mod patient;
mod recipe;
pub mod run;
mod selection;

pub use comparison::{Comparison, Conclusion};
pub use corrections::{Contribution, Corrections, Summary};
pub use error::TuningError;
pub use run::{News, Plan, Tuned, install, run, run_installed};

//! What the program is about, free of files, tensors and windows.

pub mod card;
pub mod mask;
pub mod metrics;
pub mod resample;
pub mod slice;
pub mod window;

//! DICOMweb (PS3.18): series from an archive, results back into it. Nothing here is used unless the user names an archive.

mod client;
mod parts;
mod query;
mod retrieve;
mod store;

pub use client::{Archive, Login, PacsError};
pub use query::{Search, Series};

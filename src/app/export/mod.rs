//! Exports from the window: [`gather`] collects what a file is made of; the file is written on another thread.

mod gather;
mod marks;
pub mod picture;
mod table;

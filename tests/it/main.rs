//! The program from outside: files, commands and the window. One program, because each would hold all weights anew.

mod app;
mod cli;
mod common;
mod dicom_files;
mod dicom_spelling;
mod evaluation;
mod explain;
mod exports;
mod fine_tune;
mod gradients;
mod input;
mod input_gate;
mod io;
mod keras;
mod nifti_files;
mod numerics;
mod one_study;
mod onnx;
mod patient_folders;
mod pytorch;
mod reading_room;
#[cfg(feature = "serve")]
mod serve;
mod shards;
mod studies;
mod tiff_files;
mod torch;
mod training;
mod ui_common;

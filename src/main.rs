//! Parses the command line, runs it, prints one error.

use clap::Parser;
use std::process::ExitCode;

/// Training and inference allocate and free large tensors all the time, which glibc's allocator gives back and faults in again.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match lesionlens::cli::run(lesionlens::cli::Cli::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

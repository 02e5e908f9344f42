//! Parses the command line, runs it, prints one error.

use clap::Parser;
use std::process::ExitCode;

/// Training and inference allocate and free large tensors all the time, which glibc's allocator gives back and faults in again.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Keeps freed memory instead of giving it back at once: clearing it again takes a quarter of a training step.
fn keep_freed_memory() {
    // `mi_option_purge_delay` of mimalloc's `mi_option_e`, for which the binding has no name; −1 is never.
    const PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;
    // SAFETY: sets one number inside the allocator; nothing is passed by reference.
    unsafe { libmimalloc_sys::mi_option_set(PURGE_DELAY, -1) }
}

/// A reader that has seen enough (`| head`) is no fault, but `println!` panics of it.
fn end_quietly_without_a_reader() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let text = panic.payload_as_str().unwrap_or_default();
        if text.starts_with("failed printing to stdout") && text.contains("Broken pipe") {
            // What a shell says of a program that SIGPIPE ended.
            std::process::exit(141);
        }
        usual(panic);
    }));
}

fn main() -> ExitCode {
    end_quietly_without_a_reader();
    let cli = lesionlens::cli::Cli::parse();
    if cli.trains() {
        keep_freed_memory();
    }
    match lesionlens::cli::run(cli) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

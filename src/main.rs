//! Parses the command line, runs it, prints one error.

mod allocator;

use clap::Parser;
use std::process::ExitCode;

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
        allocator::keep_freed_memory();
    }
    match lesionlens::cli::run(cli) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

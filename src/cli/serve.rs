//! `lesionlens serve`: the networks behind HTTP.

use super::choice::choice;
use super::threads::Threads;
use crate::engine::candle::CandleEngine;
use crate::engine::device::{self, DeviceChoice};
use crate::models::registry::Registry;
use crate::serve::{self, Key, Limits, Settings};
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

/// From the last byte of a request to its answer.
const TIME_LIMIT: Duration = Duration::from_secs(300);

#[derive(clap::Args)]
pub struct Args {
    /// Address to listen on. Without a key it must be this machine's own, such as 127.0.0.1.
    #[arg(long, default_value = "127.0.0.1")]
    host: String,
    /// Port to listen on; 0 takes a free one and prints it.
    #[arg(long, default_value_t = 8000)]
    port: u16,
    /// File with the key that clients name in the header X-API-Key; the variable LESIONLENS_API_KEY without it.
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
    /// Where the networks run.
    #[arg(long, default_value = "auto", value_parser = choice(DeviceChoice::ALL, DeviceChoice::label))]
    device: DeviceChoice,
    #[command(flatten)]
    threads: Threads,
    /// Largest body of a request.
    #[arg(long, default_value_t = 512, value_name = "MIB", value_parser = clap::value_parser!(u64).range(1..=1 << 20))]
    max_body: u64,
    /// Requests that may wait while others are answered. A further one is told to come again.
    #[arg(long, default_value_t = 64, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    queue: u32,
}

pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let key = Key::find(args.key_file.as_deref())?;
    args.threads.apply()?;
    let opened = device::open(args.device);
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(false).with_target(false).init();
    if let Some(notice) = &opened.notice {
        tracing::warn!("{notice}");
    }
    let registry = Arc::new(Registry::scan());
    let engine = CandleEngine::new(registry.clone(), opened.device);
    let limits = Limits {
        body: args.max_body << 20,
        queue: args.queue as usize,
        workers: (2 * rayon::current_num_threads()).clamp(2, 8),
        time: TIME_LIMIT,
    };
    let settings = Settings { host: args.host, port: args.port, key, limits };
    serve::run(settings, registry, engine, |address| {
        // Whoever started the program may have closed its output.
        let _ = writeln!(std::io::stdout(), "http://{address}/");
    })?;
    Ok(ExitCode::SUCCESS)
}

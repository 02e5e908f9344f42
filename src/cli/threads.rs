//! `--threads`, the same everywhere.

use std::num::NonZeroUsize;

#[derive(clap::Args)]
pub struct Threads {
    /// Threads; all cores by default.
    #[arg(long, value_name = "N")]
    threads: Option<NonZeroUsize>,
}

impl Threads {
    /// Before the first parallel work.
    pub fn apply(&self) -> anyhow::Result<()> {
        if let Some(threads) = self.threads {
            rayon::ThreadPoolBuilder::new().num_threads(threads.get()).build_global()?;
        }
        Ok(())
    }
}

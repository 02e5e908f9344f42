//! `--isa`, the same everywhere.

use lesionlens_nn::plan::isa::Isa;

#[derive(clap::Args)]
pub struct IsaChoice {
    /// Instructions to run networks with on the CPU: avx512-bf16, avx512, avx2, neon or portable; the fastest by default.
    #[arg(long, value_name = "NAME")]
    isa: Option<String>,
}

impl IsaChoice {
    /// Before the first network is built.
    pub fn apply(&self) -> anyhow::Result<()> {
        match &self.isa {
            Some(name) => Ok(Isa::force(name)?),
            None => Ok(()),
        }
    }
}

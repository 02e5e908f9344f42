//! `lesionlens doctor`: what this machine offers and what the program found.

use crate::engine::device::{self, DeviceChoice};
use crate::models::model::Model;
use crate::models::registry::{Registry, user_folder};
use candle_core::Device;
use lesionlens_nn::plan::isa::Isa;
use std::process::ExitCode;

#[derive(clap::Args)]
pub struct Args {}

pub fn run(_: Args) -> anyhow::Result<ExitCode> {
    println!("lesionlens {}", env!("CARGO_PKG_VERSION"));
    println!("system        {} {}", std::env::consts::OS, std::env::consts::ARCH);
    println!("threads       {}", rayon::current_num_threads());
    println!("cpu features  {}", cpu_features().join(" "));
    let paths = Isa::available().iter().map(|isa| isa.id()).collect::<Vec<_>>().join(", ");
    let forced = Isa::forced().map_or(String::new(), |isa| format!("; {isa} is forced"));
    println!("cpu paths     {paths}{forced}");
    for choice in [DeviceChoice::Cpu, DeviceChoice::Cuda, DeviceChoice::Metal] {
        let state = device::open(choice).notice.unwrap_or_else(|| "available".into());
        println!("{:<13} {state}", choice.label());
    }
    match super::view::display() {
        Ok(kind) => println!("display       {kind}"),
        Err(why) => println!("display       none ({why})"),
    }
    if let Some(folder) = user_folder() {
        println!("your models   {}", folder.display());
    }
    let registry = Registry::scan();
    let mut sound = registry.problems.is_empty();
    for entry in registry.entries() {
        let state = match Model::load(&entry.source, &Device::Cpu) {
            Ok(model) => format!("ok, sha256 {}", model.reference().short_hash()),
            Err(error) => {
                sound = false;
                error.to_string()
            }
        };
        println!("model         {:<18} {state} ({})", entry.card.id, entry.source.place());
    }
    for problem in &registry.problems {
        println!("unusable      {problem}");
    }
    Ok(if sound { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What the kernels could use here.
fn cpu_features() -> Vec<&'static str> {
    #[cfg(target_arch = "x86_64")]
    {
        macro_rules! found {
            ($($name:tt),*) => { [$(($name, std::is_x86_feature_detected!($name))),*] };
        }
        let all = found!("sse4.2", "avx", "avx2", "fma", "avx512f", "avx512bw", "avx512vl", "avx512vnni", "avx512bf16");
        all.into_iter().filter_map(|(name, found)| found.then_some(name)).collect()
    }
    #[cfg(target_arch = "aarch64")]
    {
        vec!["neon"]
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    {
        Vec::new()
    }
}

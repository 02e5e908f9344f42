//! `lesionlens phantom`: draws the example head, for trying things out without anybody's scan.

use super::save;
use crate::domain::phantom::{Lesion, Phantom};
use crate::export::png;
use anyhow::bail;
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(clap::Args)]
pub struct Args {
    /// Picture to write; the outline of its lesion goes beside it as NAME_mask.png.
    out: PathBuf,
    /// Side in pixels, 16 to 4096.
    #[arg(long, default_value_t = 256)]
    side: usize,
    /// Another head with another number.
    #[arg(long)]
    seed: Option<u32>,
    /// A head without a lesion.
    #[arg(long)]
    healthy: bool,
    /// Place of the lesion from the centre (0,0) to the edges (−1 … 1), and its radius.
    #[arg(long, value_names = ["X", "Y", "RADIUS"], num_args = 3, allow_negative_numbers = true, conflicts_with = "healthy")]
    lesion: Option<Vec<f32>>,
}

pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    if !(16..=4096).contains(&args.side) {
        bail!("--side must be from 16 to 4096");
    }
    let example = Phantom::example();
    let lesion = match args.lesion.as_deref() {
        Some(&[x, y, radius]) if radius > 0.0 => Some(Lesion { x, y, radius }),
        Some(_) => bail!("--lesion takes X Y RADIUS with a radius above 0"),
        None => example.lesion,
    };
    let lesion = lesion.filter(|_| !args.healthy);
    let (slice, mask) = Phantom { side: args.side, seed: args.seed.unwrap_or(example.seed), lesion }.draw();
    save(&args.out, &png::slice(&slice)?)?;
    let stem = args.out.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
    save(&args.out.with_file_name(format!("{stem}_mask.png")), &png::mask(&mask)?)?;
    Ok(ExitCode::SUCCESS)
}

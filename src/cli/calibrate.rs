//! `lesionlens models calibrate`: the input gate of a model from folders of pictures.

use crate::domain::gate_statistics::GateFigure;
use crate::files;
use crate::models::model::{Source, read_card};
use crate::models::registry::Registry;
use crate::train::familiarity;
use anyhow::{Context, bail};
use indicatif::ProgressBar;
use std::path::PathBuf;

#[derive(clap::Args)]
pub struct Args {
    /// The model, by id.
    id: String,
    /// Folder of pictures that the model is made for; may be given several times.
    #[arg(long, required = true, value_name = "DIR")]
    data: Vec<PathBuf>,
    /// Folder of pictures that the model must not be asked about, such as other organs; may be given several times.
    #[arg(long, value_name = "DIR")]
    unlike: Vec<PathBuf>,
    /// Write the card to this file instead of the model's folder. A built-in model's card cannot be changed in place.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Measures the gate and writes it into the card.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let registry = Registry::scan();
    let source = &registry.get(&args.id)?.source;
    let target = match (&args.out, source) {
        (Some(out), _) => out.clone(),
        (None, Source::Folder(folder)) => folder.join("card.toml"),
        (None, Source::Embedded { .. }) => {
            bail!(
                "model `{}` is built in, so its card cannot be changed; name a file for the new card with --out",
                args.id
            )
        }
    };
    let mut card = read_card(source)?;
    let bar = ProgressBar::new_spinner();
    let gate = familiarity::gate(source, &args.data, &args.unlike, &mut || {
        bar.inc(1);
        bar.set_message(format!("{} pictures", bar.position()));
    })?;
    bar.finish_and_clear();
    gate.measured.iter().for_each(|figure| println!("{}", line(figure)));
    card.input_gate = Some(gate);
    let text = toml::to_string(&card).context("the card cannot be written as TOML")?;
    files::write_atomically(&target, text.as_bytes()).with_context(|| format!("cannot write {}", target.display()))?;
    println!("{}", target.display());
    Ok(())
}

/// "lgg/images: 3 of 300 pictures that the model knows are called unlike".
fn line(figure: &GateFigure) -> String {
    let kind = if figure.known { "that the model knows" } else { "of another kind" };
    format!("{}: {} of {} pictures {kind} are called unlike", figure.source, figure.unlike, figure.pictures)
}

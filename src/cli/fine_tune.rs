//! `lesionlens fine-tune`: a model learns from corrected outlines.

use super::figures;
use super::stopping;
use super::threads::Threads;
use crate::models::registry::{Registry, user_folder};
use crate::tuning::comparison::{Dice, FEWEST, Mean};
use crate::tuning::{self, Comparison, Conclusion, News, Plan, TuningError};
use anyhow::Context;
use indicatif::{HumanDuration, ProgressBar, ProgressStyle};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

#[derive(clap::Args)]
pub struct Args {
    /// Model to start from: a segmenter; its encoder stays as it is.
    model: String,
    /// Corrected slices: the folder of corrections that the window collects, or any folder that `evaluate` reads with outlines.
    #[arg(long, value_name = "CORRECTIONS")]
    data: PathBuf,
    /// Earlier data, of which some is shown again so that it is not forgotten.
    #[arg(long, value_name = "DATA")]
    rehearse: Option<PathBuf>,
    /// Folder of the run: checkpoint, curve, comparison and, in the end, the new model.
    #[arg(long, value_name = "RUN")]
    out: PathBuf,
    /// Times that every slice is shown; as many as suit their number by default.
    #[arg(long, value_name = "N")]
    epochs: Option<NonZeroUsize>,
    /// Continue the run in --out.
    #[arg(long)]
    resume: bool,
    /// Install the new model under this name; without it nothing is installed.
    #[arg(long, value_name = "NAME")]
    install: Option<String>,
    #[command(flatten)]
    threads: Threads,
}

pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    args.threads.apply()?;
    let stop = stopping::on_ctrl_c()?;
    let plan = Plan {
        model: args.model,
        corrections: args.data,
        rehearse: args.rehearse,
        out: args.out.clone(),
        epochs: args.epochs.map(NonZeroUsize::get),
        resume: args.resume,
    };
    let mut shown = Shown::new()?;
    let tuned = match tuning::run(&plan, &Registry::scan(), &mut |news| shown.tell(news), &stop) {
        Err(TuningError::Exists(folder)) if folder.join("card.toml").exists() && args.install.is_some() => {
            anyhow::bail!(
                "{} is finished; install its model with `lesionlens models install {0} --id NAME`",
                folder.display()
            )
        }
        tuned => tuned?,
    };
    shown.bar.finish_and_clear();
    print!("{}", report(&tuned.comparison));
    if let Some(id) = &args.install {
        let models = user_folder().context("no folder for your data is known here")?;
        tuning::install(&args.out, id, &models)?;
        println!("installed {}", models.join(id).display());
    } else {
        eprintln!("nothing was installed; `lesionlens models install {} --id NAME` does it", args.out.display());
    }
    println!("{}", args.out.display());
    Ok(ExitCode::SUCCESS)
}

/// Old against new in lines of text.
pub fn report(comparison: &Comparison) -> String {
    let Comparison { learnt_slices, learnt_patients, model, .. } = comparison;
    let mut text = format!("learnt from {learnt_slices} corrected slices of {learnt_patients} patients\n");
    let mut compare = |name: &str, dice: &Option<Dice>| {
        let Some(Dice { patients, slices, old, new, difference }) = dice else { return };
        text += &format!("{name}: {slices} slices, n = {patients} patients\n");
        for (name, Mean { value, ci95 }) in [(model.as_str(), old), ("fine-tuned", new), ("difference", difference)] {
            text += &format!("  Dice {}\n", figures::line(name, *value, *ci95));
        }
    };
    compare("held-out corrections", &comparison.corrections);
    compare("earlier data", &comparison.earlier);
    text += &match comparison.conclusion {
        Conclusion::NotMeasured => {
            "not measured: no corrected patient with a lesion could be held out; correct slices of at least two patients\n".into()
        }
        Conclusion::TooFew => format!(
            "too few held-out patients to tell whether the new model is better: at least {FEWEST} are needed\n"
        ),
        Conclusion::Better => "better on held-out corrections\n".into(),
        Conclusion::Worse => "worse on held-out corrections; do not install it\n".into(),
        Conclusion::Unclear => "no clear difference on held-out corrections\n".to_string(),
    };
    if comparison.known_to_old > 0 {
        let n = comparison.known_to_old;
        text +=
            &format!("note: {model} had been trained on {n} of these held-out patients, so its figure flatters it\n");
    }
    if comparison.patients_guessed {
        text += "note: patients are guessed from file names; if two names are one person, the figures flatter both models\n";
    }
    text
}

/// A bar on a terminal, a line for each epoch everywhere.
struct Shown {
    bar: ProgressBar,
}

impl Shown {
    fn new() -> anyhow::Result<Self> {
        let bar = ProgressBar::new(1000);
        bar.set_style(ProgressStyle::with_template("{msg} {bar:30} {percent} %")?);
        Ok(Self { bar })
    }

    fn tell(&mut self, news: News) {
        let share = |done: usize, of: usize| (1000 * done / of.max(1)) as u64;
        match news {
            News::Reading(done, of) => {
                self.bar.set_message("reading");
                self.bar.set_position(share(done, of));
            }
            News::Learning { slices, held_out } => {
                self.bar.suspend(|| eprintln!("to learn from: {slices} corrected slices; held out: {held_out}"));
            }
            News::Step { done, left } => {
                let left = left.map_or(String::new(), |left| {
                    format!(", {} left", HumanDuration(Duration::from_secs(left.as_secs())))
                });
                self.bar.set_message(format!("learning{left}"));
                self.bar.set_position((done * 1000.0) as u64);
            }
            News::Epoch { done, of, loss } => self.bar.suspend(|| eprintln!("{done}/{of}: loss {loss:.4}")),
            News::Measuring(done, of) => {
                self.bar.set_message("comparing");
                self.bar.set_position(share(done, of));
            }
        }
    }
}

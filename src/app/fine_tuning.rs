//! A fine-tune as the window knows it: what there is to learn from, how far it is, and what came of it.

use super::background::Job;
use super::{App, Dialog};
use crate::domain::card::Card;
use crate::tuning::{Comparison, Conclusion, News, Plan, Summary, Tuned, TuningError};
use rust_i18n::t;
use std::path::PathBuf;
use std::time::Duration;

/// Why a fine-tune is no longer running.
pub enum Ended {
    Finished(Box<Tuned>),
    /// On request; it can be continued.
    Stopped,
    Failed(String),
}

/// How far a fine-tune is.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Stage {
    #[default]
    Ready,
    /// Share of the pictures that were read.
    Reading(f32),
    /// Share of the steps, and the time that the others will take.
    Learning(f32, Option<Duration>),
    /// Share of the slices that were measured.
    Comparing(f32),
    Stopped,
    Finished(Box<Comparison>),
}

/// The dialog's fields and the run behind it.
#[derive(Default)]
pub struct FineTuning {
    /// What there is to learn from; unknown until it was counted.
    pub summary: Option<Result<Summary, String>>,
    /// Folder of earlier data; empty for none.
    pub rehearse: String,
    /// Name of the new model.
    pub name: String,
    pub stage: Stage,
    /// Mean loss of each epoch.
    pub curve: Vec<f64>,
    /// Id of the model that is fine-tuned.
    pub model: String,
    /// Folder of the run.
    pub run: Option<PathBuf>,
    job: Option<Job>,
}

impl FineTuning {
    pub fn is_running(&self) -> bool {
        matches!(self.stage, Stage::Reading(_) | Stage::Learning(..) | Stage::Comparing(_))
    }

    pub fn heard(&mut self, news: News) {
        let share = |done: usize, of: usize| done as f32 / of.max(1) as f32;
        match news {
            News::Reading(done, of) => self.stage = Stage::Reading(share(done, of)),
            News::Learning { .. } => self.stage = Stage::Learning(0.0, None),
            News::Step { done, left } => self.stage = Stage::Learning(done as f32, left),
            News::Epoch { loss, .. } => self.curve.push(loss),
            News::Measuring(done, of) => self.stage = Stage::Comparing(share(done, of)),
        }
    }

    /// Ends the run after the step in hand.
    pub fn stop(&mut self) {
        self.job.iter().for_each(Job::stop);
    }

    pub fn reset(&mut self) {
        let Self { summary, rehearse, .. } = std::mem::take(self);
        (self.summary, self.rehearse) = (summary, rehearse);
    }
}

impl App {
    pub(super) fn show_fine_tune(&mut self) {
        if self.dialogs.contains(&Dialog::FineTune) {
            self.close(Dialog::FineTune);
            return;
        }
        let Some(corrections) = self.corrections.clone() else {
            self.notifications.error(t!("import.no_folder"));
            return;
        };
        self.tasks.count_corrections(corrections);
        self.open(Dialog::FineTune);
    }

    /// Starts a fine-tune of the segmenter in use, or continues the one that was stopped.
    pub(super) fn start_tuning(&mut self, resume: bool) {
        let (Some(corrections), Some(model)) = (&self.corrections, self.session.models.segmenter.clone()) else {
            return;
        };
        if !resume {
            self.fine_tuning.curve.clear();
            self.fine_tuning.run = Some(corrections.new_run());
            self.fine_tuning.name = format!("{model}-tuned");
            self.fine_tuning.model = model;
        }
        let FineTuning { rehearse, run, model, .. } = &self.fine_tuning;
        let Some(out) = run.clone() else { return };
        let rehearse = rehearse.trim();
        let plan = Plan {
            model: model.clone(),
            corrections: corrections.folder.clone(),
            rehearse: (!rehearse.is_empty()).then(|| PathBuf::from(rehearse)),
            out,
            epochs: None,
            resume,
        };
        self.fine_tuning.stage = Stage::Reading(0.0);
        self.fine_tuning.job = Some(self.tasks.fine_tune(plan));
    }

    pub(super) fn tuned(&mut self, ended: Ended) {
        self.fine_tuning.job = None;
        match ended {
            Ended::Finished(tuned) => {
                if !self.dialogs.contains(&Dialog::FineTune) {
                    self.notifications.info(t!("tune.finished"));
                }
                self.fine_tuning.stage = Stage::Finished(Box::new(tuned.comparison));
            }
            Ended::Stopped => self.fine_tuning.stage = Stage::Stopped,
            Ended::Failed(why) => {
                self.fine_tuning.stage = Stage::Ready;
                self.notifications.error(why);
                // Messages lie behind dialogs.
                self.close(Dialog::FineTune);
            }
        }
    }

    pub(super) fn install_tuned(&mut self) {
        match (&self.fine_tuning.run, &self.models_folder) {
            (Some(run), Some(folder)) => {
                self.tasks.install_tuned(run.clone(), self.fine_tuning.name.trim().to_string(), folder.clone());
            }
            _ => self.notifications.error(t!("import.no_folder")),
        }
    }

    /// The new model is in use at once.
    pub(super) fn tuned_installed(&mut self, card: Card) {
        self.close(Dialog::FineTune);
        self.fine_tuning.reset();
        self.use_new(card);
    }
}

/// What was collected, in words.
pub fn collected(summary: &Summary) -> String {
    t!("tune.collected", slices = summary.slices, patients = summary.patients).into_owned()
}

/// What may be said of the new model.
pub fn conclusion(conclusion: Conclusion) -> String {
    conclusion_in(conclusion, &rust_i18n::locale())
}

fn conclusion_in(conclusion: Conclusion, locale: &str) -> String {
    let key = format!("tune.{}", conclusion.id().replace('-', "_"));
    t!(&key, locale = locale, n = crate::tuning::comparison::FEWEST).into_owned()
}

/// The file, the problem and the remedy.
pub fn tuning_error(error: &TuningError) -> String {
    error_in(error, &rust_i18n::locale())
}

fn error_in(error: &TuningError, locale: &str) -> String {
    match error {
        TuningError::NotASegmenter(id) => t!("tune.error.not_a_segmenter", locale = locale, id = id),
        TuningError::NotTrainable(id) => t!("tune.error.not_trainable", locale = locale, id = id),
        TuningError::Nothing(folder) => t!("tune.error.nothing", locale = locale, folder = folder.display()),
        TuningError::TooFew { folder, slices } => {
            t!("tune.error.too_few", locale = locale, folder = folder.display(), slices = slices)
        }
        TuningError::Exists(folder) => t!("tune.error.exists", locale = locale, folder = folder.display()),
        TuningError::NoRun(folder) => t!("tune.error.no_run", locale = locale, folder = folder.display()),
        TuningError::OtherModel { run, model } => {
            t!("tune.error.other_model", locale = locale, folder = run.display(), model = model)
        }
        TuningError::Unfinished(folder) => t!("tune.error.unfinished", locale = locale, folder = folder.display()),
        TuningError::Outline { slice } => t!("tune.error.outline", locale = locale, slice = slice),
        TuningError::File { path, problem } => {
            t!("tune.error.file", locale = locale, path = path.display(), problem = problem)
        }
        TuningError::Train(_) | TuningError::Model(_) | TuningError::Import(_) | TuningError::Export(_) => {
            t!("tune.error.other", locale = locale, problem = error)
        }
    }
    .into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conclusions_and_errors_are_said_in_both_languages() {
        let errors = [
            TuningError::NotASegmenter("m".into()),
            TuningError::NotTrainable("m".into()),
            TuningError::Nothing("f".into()),
            TuningError::TooFew { folder: "f".into(), slices: 1 },
            TuningError::Exists("f".into()),
            TuningError::NoRun("f".into()),
            TuningError::OtherModel { run: "f".into(), model: "m".into() },
            TuningError::Unfinished("f".into()),
            TuningError::Outline { slice: 3 },
            TuningError::file(std::path::Path::new("f"), "p"),
        ];
        let say = |locale: &str| -> Vec<String> {
            let conclusions = Conclusion::ALL.map(|conclusion| conclusion_in(conclusion, locale));
            errors.iter().map(|error| error_in(error, locale)).chain(conclusions).collect()
        };
        let (english, spanish) = (say("en"), say("es"));
        for (en, es) in english.iter().zip(&spanish) {
            assert!(en != es && !en.contains("tune.") && !es.contains("tune."), "{en}: {es}");
        }
    }
}

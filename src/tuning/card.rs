//! The card of a fine-tuned model. It claims no figure of the model that it came from.

use super::comparison::Comparison;
use crate::domain::card::{Card, CardText, Epoch, Identity, Level, MeasuredOn, TrainingNote};
use crate::domain::figures::{Case, Judge};
use crate::train::dataset::Dataset;
use crate::train::sources::Part;
use std::collections::BTreeSet;

/// What the card tells of the run.
pub struct Run<'a> {
    pub old: &'a Card,
    pub data: &'a Dataset,
    pub history: Vec<Epoch>,
    pub comparison: &'a Comparison,
    /// Answers of the new model about held-out corrections.
    pub held_out: &'a [Case],
    pub seed: u64,
    pub commit: Option<String>,
    /// sha256 of the new weights, lower-case hex.
    pub sha256: String,
    /// Whether the layers that the old model's input gate looks at are what they were, bit by bit.
    pub gate_is_intact: bool,
}

/// Names of both, each once.
fn union(one: &[String], other: impl IntoIterator<Item = String>) -> Vec<String> {
    let all: BTreeSet<String> = one.iter().cloned().chain(other).collect();
    all.into_iter().collect()
}

impl Run<'_> {
    /// The card of the new model. Its threshold is the old model's, which nobody has chosen anew.
    pub fn card(self) -> Card {
        let Self { old, data, comparison, .. } = self;
        let Comparison { learnt_slices, learnt_patients, .. } = comparison;
        let learnt = format!("{learnt_slices} corrected slices of {learnt_patients} patients");
        let before = old.training.clone().unwrap_or_default();
        let text = CardText {
            name: format!("{}, fine-tuned", old.name),
            version: "1".into(),
            classes: old.classes.clone(),
            data: format!("{learnt}; before that: {}", before.data),
            licence: old.licence.clone(),
            intended_use: old.intended_use.clone(),
            limits: format!(
                "Fine-tuned from {} {} on {learnt}. Its figures are from held-out corrections alone; those of {0} do not hold for it. {}",
                old.id, old.version, old.limits
            ),
        };
        let identity = Identity {
            id: old.id.clone(),
            architecture: old.architecture.clone(),
            task: old.task,
            input: old.input.clone(),
            sha256: self.sha256,
        };
        let mut card = Card::unmeasured(identity, text);
        card.threshold = old.threshold;
        card.history = self.history;
        // The frozen layers see every picture as before, so what they told of the old model's pictures still holds.
        card.input_gate = old.input_gate.clone().filter(|_| self.gate_is_intact);
        card.training = Some(TrainingNote {
            recipe: format!("fine-tune of {} {}, sha256 {}", old.id, old.version, old.sha256),
            data: format!("{learnt}, sha256 {}; before that: {}", data.sha256(), before.data),
            seed: Some(self.seed),
            commit: self.commit,
            // The weights have met the old model's patients too.
            train_patients: union(&before.train_patients, data.patients(Part::Train)),
            validation_patients: before.validation_patients,
            test_patients: data.patients(Part::Test),
            folds: before.folds,
            sources_of_unknown_patients: before.sources_of_unknown_patients,
        });
        if !self.held_out.is_empty() {
            let known = if comparison.patients_guessed { Level::SliceLeaky } else { Level::Patient };
            let judge = Judge { task: card.task, classes: &card.classes, threshold: card.threshold.default };
            card.metrics = judge.figures(self.held_out, known);
            let patients: BTreeSet<&String> = self.held_out.iter().map(|case| &case.patient).collect();
            let slices = self.held_out.len();
            card.measured_on = Some(MeasuredOn {
                patients: if comparison.patients_guessed { 0 } else { patients.len() },
                slices,
                slices_of_unknown_patients: if comparison.patients_guessed { slices } else { 0 },
                source: "held-out corrections".into(),
            });
        }
        card
    }
}

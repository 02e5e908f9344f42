//! Asks installed models about labelled slices, as the window and the command line would.

use super::error::TrainError;
use super::folders::Found;
use super::reader::Reader;
use crate::domain::card::{Card, Surroundings, Task, is_normal_class, is_tumour_class, same_class};
use crate::domain::cascade::Gate;
use crate::domain::figures::{Case, Overlap};
use crate::domain::mask::Mask;
use crate::domain::slice::Slice;
use crate::domain::study::Neighbourhood;
use crate::models::model::Model;
use std::collections::BTreeSet;
use std::sync::Arc;

/// How the data's classes and a model's go together.
#[derive(Debug, Clone, PartialEq)]
pub struct Classes {
    /// Of the answers.
    pub names: Vec<String>,
    pub task: Task,
    /// The model's own classes, when answers are put together to tumour or none.
    merged: Option<Vec<bool>>,
}

impl Classes {
    /// The model's own classes when the data uses no others, else tumour or none. Without a model, tumour or none.
    ///
    /// # Errors
    /// If a class of the data is neither the model's nor known to be a tumour or none.
    pub fn new(card: Option<&Card>, found: &[Found]) -> Result<Self, TrainError> {
        let used: BTreeSet<&String> = found.iter().map(|f| &f.class).collect();
        let own = |card: &Card, class: &str| card.classes.iter().any(|name| same_class(name, class));
        if let Some(card) = card.filter(|card| used.iter().all(|class| own(card, class))) {
            return Ok(Self { names: card.classes.clone(), task: card.task, merged: None });
        }
        if let Some(unknown) = used.iter().find(|class| !is_normal_class(class) && !is_tumour_class(class)) {
            let known = card.map_or("tumor, no_tumor".into(), |card| card.classes.join(", "));
            return Err(TrainError::Data(format!(
                "the class `{unknown}` of the data is neither a class of the model ({known}) nor known as a tumour or none; rename its folder, \
                 or move it away"
            )));
        }
        let normal = |card: &Card| match card.task {
            Task::Binary => vec![false, true],
            _ => card.classes.iter().map(|class| is_normal_class(class)).collect(),
        };
        let names = vec!["tumor".into(), "no_tumor".into()];
        Ok(Self { names, task: Task::Binary, merged: card.map(normal) })
    }

    fn label(&self, class: &str) -> usize {
        let own = self.names.iter().position(|name| same_class(name, class));
        own.unwrap_or(usize::from(is_normal_class(class)))
    }

    fn probabilities(&self, answer: &[f64]) -> Vec<f64> {
        match &self.merged {
            None => answer.to_vec(),
            Some(normal) => {
                let none: f64 = answer.iter().zip(normal).filter(|(_, normal)| **normal).map(|(p, _)| p).sum();
                vec![1.0 - none, none]
            }
        }
    }
}

/// Whom to ask.
pub struct Panel<'a> {
    pub classifier: Option<&'a Model>,
    pub segmenter: Option<&'a Model>,
    /// The classifier's.
    pub threshold: f64,
    pub mask_threshold: f32,
    pub classes: Classes,
}

/// A slice with its true outline and the predicted one.
pub struct Look {
    pub slice: Arc<Slice>,
    pub predicted: Option<Mask>,
    pub truth: Option<Mask>,
}

impl Panel<'_> {
    /// What the models say of one picture.
    pub fn ask(&self, reader: &Reader, found: &Found) -> Result<Case, TrainError> {
        let seen = self.read(reader, found)?;
        let classification = self.classifier.map(|model| model.classify(seen.clone(), &|| false)).transpose()?;
        let answer: Vec<f64> =
            classification.iter().flat_map(|c| c.classes.iter().map(|(_, probability)| *probability)).collect();
        let look = self.outline(reader, found, seen)?;
        Ok(Case {
            patient: found.patient.clone(),
            file: found.page.name(),
            source: 0,
            label: self.classes.label(&found.class),
            shown: Gate::new(self.classifier.is_some(), classification.as_ref(), self.threshold).is_open(),
            probabilities: if answer.is_empty() { answer } else { self.classes.probabilities(&answer) },
            overlap: look.predicted.as_ref().map(|predicted| Overlap::of(predicted, look.truth.as_ref())),
        })
    }

    /// The picture with both outlines.
    pub fn look(&self, reader: &Reader, found: &Found) -> Result<Look, TrainError> {
        self.outline(reader, found, self.read(reader, found)?)
    }

    /// The slice with what the models look at beside it.
    fn read(&self, reader: &Reader, found: &Found) -> Result<Neighbourhood, TrainError> {
        let models = self.classifier.iter().chain(&self.segmenter);
        reader.seen(found, Surroundings::of(models.map(|model| &model.card().input)))
    }

    fn outline(&self, reader: &Reader, found: &Found, seen: Neighbourhood) -> Result<Look, TrainError> {
        let outline = found.outline.as_ref();
        let truth = outline.map(|outline| reader.outline(&found.page, outline, &seen.slice)).transpose()?;
        let segmentation = self.segmenter.map(|model| model.segment(seen.clone(), &|| false)).transpose()?;
        Ok(Look { predicted: segmentation.map(|s| s.mask(self.mask_threshold)), truth, slice: seen.slice })
    }
}

#[cfg(test)]
mod tests {
    use super::super::folders::Page;
    use super::*;

    fn found(class: &str) -> Found {
        Found {
            page: Page::only("a.png".into()),
            outline: None,
            beside: [None, None],
            stack: None,
            patient: "p".into(),
            class: class.into(),
        }
    }

    fn card(id: &str) -> Card {
        let source = crate::models::registry::embedded().find(|(name, _)| *name == id).unwrap().1;
        crate::models::model::read_card(&source).unwrap()
    }

    #[test]
    fn classes_of_model_and_data_are_brought_together() {
        // A yes-or-no model meets tumour kinds: any of them is a tumour.
        let meet = |id: &str, classes: &[&str]| {
            Classes::new(Some(&card(id)), &classes.iter().map(|class| found(class)).collect::<Vec<_>>())
        };
        let classes = meet("lgg-resnet", &["glioma", "no_tumor"]).unwrap();
        assert_eq!(classes.names, ["tumor", "no_tumor"]);
        assert_eq!((classes.label("glioma"), classes.label("no_tumor"), classes.label("normal")), (0, 1, 1));
        assert_eq!(classes.probabilities(&[0.7, 0.3]), [0.7, 0.3]);
        // A model of four kinds meets yes or no.
        let four = meet("brain4", &["tumor", "no_tumor"]).unwrap();
        let p = four.probabilities(&[0.5, 0.2, 0.1, 0.2]);
        assert!((p[0] - 0.8).abs() < 1e-12 && (p[1] - 0.2).abs() < 1e-12);
        // And its own kinds, however they are spelt.
        let own = meet("brain4", &["Meningioma", "pituitary_tumor", "notumor"]).unwrap();
        assert_eq!((own.task, own.label("pituitary_tumor"), own.label("notumor")), (Task::Multiclass, 2, 3));
        // What is neither is not guessed.
        let error = meet("brain4", &["images", "masks"]).unwrap_err().to_string();
        assert!(error.contains("`images`") && error.contains("meningioma"), "{error}");
    }
}

//! Lists the pictures of a recipe's sources, and says to which part each belongs.

use super::error::TrainError;
use super::folders::{self, Found, NOT_OUTLINED, Outline, Page};
use super::recipe::{Recipe, Shares};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::sync::Arc;

/// What an example is for; no patient is in two parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Part {
    Train,
    Validation,
    Test,
    /// Only stands before or behind an example, and is learnt from in no other way.
    Beside,
}

/// How patients are divided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Division {
    /// By the recipe's shares.
    Shares,
    /// One of `of` folds: its patients are for the test, and of the others the recipe's share is for validation. Patients of a
    /// source that tests nobody stay in training.
    Fold { index: usize, of: usize },
    /// Everybody is trained on.
    Whole,
}

/// One labelled picture, not read yet.
#[derive(Debug, Clone, PartialEq)]
pub struct Item {
    pub page: Page,
    pub outline: Option<Outline>,
    /// All slices of its study, in their order; `None` for a picture that stands alone.
    pub stack: Option<Arc<[Page]>>,
    /// Examples that show the slices before and after.
    pub beside: [Option<usize>; 2],
    pub patient: String,
    /// Index of the recipe's source.
    pub source: usize,
    /// Index of the recipe's class.
    pub label: usize,
    pub part: Part,
}

/// All pictures of all sources below `data`, in a fixed order.
///
/// # Errors
/// If a folder or list cannot be read, a class is not the recipe's or too rare, or a patient would be in two parts.
pub fn list(data: &Path, recipe: &Recipe, division: Division) -> Result<Vec<Item>, TrainError> {
    let labels = recipe.labels();
    let mut all = Vec::new();
    for (index, source) in recipe.sources.iter().enumerate() {
        let found = folders::find(data, source)?;
        if let Some(unknown) = source.classes.keys().find(|class| found.iter().all(|f| f.class != **class)) {
            let there: BTreeSet<&str> = found.iter().map(|f| f.class.as_str()).collect();
            let there = there.into_iter().collect::<Vec<_>>().join(", ");
            let problem = format!("source `{}` speaks of class `{unknown}`; here are {there}", source.name);
            return Err(TrainError::file(&data.join(&source.folder), problem));
        }
        // Patients are shared out before classes are left out, so that every recipe over a folder has the same test patients.
        let parts = share_out(&found, recipe.split.seed, source.split.unwrap_or(recipe.split.shares()), division);
        let is_used = |one: &Found| source.classes.is_empty() || source.classes.contains_key(&one.class);
        if !found.iter().any(|one| one.class != NOT_OUTLINED && is_used(one)) {
            let folder = data.join(&source.folder);
            return Err(TrainError::file(&folder, "holds no picture of a class that the recipe uses"));
        }
        let part = |one: &Found| if one.class == NOT_OUTLINED { Part::Beside } else { parts[&one.patient] };
        all.extend(found.into_iter().map(|one| (index, part(&one), one)));
    }
    let items = items(data, recipe, all)?;
    let needed: &[(Part, &str)] = match division {
        Division::Whole => &[(Part::Train, "training")],
        Division::Shares | Division::Fold { .. } => &[(Part::Train, "training"), (Part::Validation, "validation")],
    };
    check_classes(&items, &labels, needed, data)?;
    check_parts(&items)?;
    Ok(items)
}

/// Examples of pictures that were found, each with the index of its source and its part. Pictures of a class that their source leaves
/// out are dropped.
///
/// # Errors
/// If a class is not the recipe's.
pub fn items(data: &Path, recipe: &Recipe, found: Vec<(usize, Part, Found)>) -> Result<Vec<Item>, TrainError> {
    let labels = recipe.labels();
    let (mut items, mut beside) = (Vec::new(), Vec::new());
    for (index, part, one) in found {
        let classes = &recipe.sources[index].classes;
        let class = match classes.get(&one.class) {
            Some(class) => class,
            None if classes.is_empty() || part == Part::Beside => &one.class,
            None => continue,
        };
        let label = match labels.iter().position(|l| l == class) {
            Some(label) => label,
            // Nobody asks for the class of a neighbour.
            None if part == Part::Beside => 0,
            None => {
                let problem = format!("class `{class}` is none of the recipe's: {}", labels.join(", "));
                return Err(TrainError::file(&data.join(&one.page.file), problem));
            }
        };
        let Found { page, outline, stack, patient, .. } = one;
        items.push(Item { page, outline, stack, beside: [None, None], patient, source: index, label, part });
        beside.push(one.beside);
    }
    let places: HashMap<Page, usize> = items.iter().enumerate().map(|(i, item)| (item.page.clone(), i)).collect();
    for (item, beside) in items.iter_mut().zip(beside) {
        item.beside = beside.map(|page| places.get(&page?).copied());
    }
    Ok(items)
}

/// One name is one patient, whatever sources it stands in: nobody may be trained on here and tested on there.
fn check_parts(items: &[Item]) -> Result<(), TrainError> {
    let mut parts: BTreeMap<&str, Part> = BTreeMap::new();
    for item in items.iter().filter(|item| item.part != Part::Beside) {
        let part = parts.entry(&item.patient).or_insert(item.part);
        if *part != item.part {
            return Err(TrainError::Data(format!(
                "patient `{}` would be in two parts, because sources are split differently; give them one `split`, or rename",
                item.patient
            )));
        }
    }
    Ok(())
}

/// Every class must be seen in training and in validation, or nothing could be learnt or chosen.
fn check_classes(items: &[Item], labels: &[String], needed: &[(Part, &str)], data: &Path) -> Result<(), TrainError> {
    for (label, name) in labels.iter().enumerate() {
        for (part, what) in needed {
            let count = items.iter().filter(|i| i.label == label && i.part == *part).count();
            if count < 2 {
                let folder = data.display();
                return Err(TrainError::Data(format!(
                    "{folder}: {count} pictures of class `{name}` for {what}, at least 2 are needed; add pictures or change `split`"
                )));
            }
        }
    }
    Ok(())
}

/// Shuffles patients under the seed: first test, then validation, then training. Folds are dealt like cards from that order.
fn share_out(found: &[Found], seed: u64, shares: Shares, division: Division) -> BTreeMap<String, Part> {
    let names: BTreeSet<&String> = found.iter().map(|f| &f.patient).collect();
    let mut patients: Vec<&String> = names.into_iter().collect();
    patients.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
    let share = |part: f64| (part * patients.len() as f64).round() as usize;
    let (test, validation) = (share(shares.test), share(shares.validation));
    let part = |place: usize| match division {
        Division::Shares if place < test => Part::Test,
        Division::Shares if place < test + validation => Part::Validation,
        Division::Fold { index, of } if test > 0 && place % of == index => Part::Test,
        // Places of the other folds are counted through, so that validation patients come from all of them.
        Division::Fold { index, of } if test > 0 && place - place.saturating_sub(index).div_ceil(of) < validation => {
            Part::Validation
        }
        _ => Part::Train,
    };
    patients.into_iter().enumerate().map(|(place, patient)| (patient.clone(), part(place))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pictures(patients: usize) -> Vec<Found> {
        let picture = |patient: usize| Found {
            page: Page::only(format!("{patient}.png").into()),
            outline: None,
            beside: [None, None],
            stack: None,
            patient: format!("p{patient}"),
            class: "tumor".into(),
        };
        (0..patients).map(picture).collect()
    }

    #[test]
    fn every_patient_is_tested_in_one_fold_and_trained_on_in_the_end() {
        let (found, shares) = (pictures(23), Shares { validation: 0.1, test: 0.2 });
        let mut tested = BTreeMap::<String, usize>::new();
        for index in 0..5 {
            let parts = share_out(&found, 7, shares, Division::Fold { index, of: 5 });
            let count = |part: Part| parts.values().filter(|p| **p == part).count();
            assert!([4, 5].contains(&count(Part::Test)));
            // A tenth of 23, rounded.
            assert_eq!(count(Part::Validation), 2);
            for (patient, _) in parts.iter().filter(|(_, part)| **part == Part::Test) {
                *tested.entry(patient.clone()).or_default() += 1;
            }
        }
        assert_eq!(tested.len(), 23);
        assert!(tested.values().all(|times| *times == 1));
        let whole = share_out(&found, 7, shares, Division::Whole);
        assert!(whole.values().all(|part| *part == Part::Train));
    }

    #[test]
    fn a_source_that_tests_nobody_stays_in_training() {
        let shares = Shares { validation: 0.1, test: 0.0 };
        for index in 0..5 {
            let parts = share_out(&pictures(10), 7, shares, Division::Fold { index, of: 5 });
            assert!(parts.values().all(|part| *part == Part::Train));
        }
    }
}

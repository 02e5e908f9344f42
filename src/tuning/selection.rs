//! Which slices are learnt from and which measured: patients are kept apart, and few of them are held out.

use super::comparison::FEWEST;
use super::error::TuningError;
use super::recipe::{CORRECTIONS, Data, REHEARSAL};
use crate::train::folders::{self, Found, NOT_OUTLINED, Page, UNMARKED};
use crate::train::recipe::{Layout, Source};
use crate::train::sources::Part;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::Path;

/// Share of the corrected patients that are held out.
const HELD_OUT: f64 = 0.25;
/// Slices of earlier data that are learnt from, for each corrected one.
const REHEARSED: usize = 1;
/// Patients of earlier data that are measured, and slices of each.
const MEASURED: (usize, usize) = (8, 3);

/// Slices with their source and part.
pub type Chosen = Vec<(usize, Part, Found)>;

/// How a folder of labelled slices is laid out.
pub fn layout_of(folder: &Path) -> Layout {
    match folders::layout_of(folder) {
        Layout::ClassFolders => Layout::Volumes,
        known => known,
    }
}

/// Every labelled slice of a folder.
pub fn all(Data { folder, layout }: &Data) -> Result<Vec<Found>, TuningError> {
    let source = Source { folder: folder.clone(), layout: *layout, ..Source::default() };
    Ok(folders::find(Path::new("/"), &source)?)
}

/// Slices that are learnt from and slices that are measured, with those beside them where the network looks at neighbours.
pub fn choose(corrections: Vec<Found>, rehearsal: Vec<Found>, neighbours: bool) -> Chosen {
    let is_labelled = |one: &Found| one.class != NOT_OUTLINED && one.class != UNMARKED;
    let patients: BTreeSet<String> =
        corrections.iter().filter(|one| is_labelled(one)).map(|one| one.patient.clone()).collect();
    let held_out = held_out(&patients);
    let mut chosen = Chosen::new();
    let labelled = corrections.iter().filter(|one| is_labelled(one));
    chosen.extend(labelled.map(|one| {
        let part = if held_out.contains(&one.patient) { Part::Test } else { Part::Train };
        (CORRECTIONS, part, one.clone())
    }));
    let learnt = chosen.iter().filter(|(_, part, _)| *part == Part::Train).count();
    let strangers = rehearsal.iter().filter(|one| is_labelled(one) && !patients.contains(&one.patient));
    chosen.extend(rehearsed(strangers.collect(), learnt * REHEARSED));
    if neighbours {
        let beside = [(CORRECTIONS, &corrections), (REHEARSAL, &rehearsal)];
        let more: Chosen = beside.into_iter().flat_map(|(source, all)| beside_of(&chosen, source, all)).collect();
        chosen.extend(more);
    }
    chosen
}

/// A quarter of the patients, at least [`FEWEST`] where there are twice as many, and nobody when there is one only. It depends on
/// their names alone, so that the same are held out after further corrections as far as may be.
fn held_out(patients: &BTreeSet<String>) -> BTreeSet<String> {
    let count = match patients.len() {
        0 | 1 => 0,
        n if n >= 2 * FEWEST => ((n as f64 * HELD_OUT).round() as usize).max(FEWEST),
        n => ((n as f64 * HELD_OUT).round() as usize).max(1),
    };
    let mut order: Vec<&String> = patients.iter().collect();
    order.sort_by_key(|name| lot(name));
    order.into_iter().take(count).cloned().collect()
}

/// A place in an order that looks like chance and is the same every time.
fn lot(name: &str) -> [u8; 32] {
    Sha256::digest(name.as_bytes()).into()
}

/// Some slices of some patients to be measured, and `count` slices of the others to learn from, two with a lesion for one without.
fn rehearsed(slices: Vec<&Found>, count: usize) -> Chosen {
    let mut by_patient: BTreeMap<&str, Vec<&Found>> = BTreeMap::new();
    for one in slices {
        by_patient.entry(&one.patient).or_default().push(one);
    }
    let mut patients: Vec<(&str, Vec<&Found>)> = by_patient.into_iter().collect();
    patients.sort_by_key(|(name, _)| lot(name));
    let measured = MEASURED.0.min(patients.len() / 3);
    let others = patients.split_off(measured);
    let mut chosen = Chosen::new();
    for (_, mut slices) in patients {
        slices.sort_by_key(|one| (one.outline.is_none(), lot(&one.page.name())));
        chosen.extend(slices.into_iter().take(MEASURED.1).map(|one| (REHEARSAL, Part::Test, one.clone())));
    }
    let mut rest: Vec<&Found> = others.into_iter().flat_map(|(_, slices)| slices).collect();
    rest.sort_by_key(|one| lot(&one.page.name()));
    let (lesions, free): (Vec<&Found>, Vec<&Found>) = rest.into_iter().partition(|one| one.outline.is_some());
    let wanted = lesions.into_iter().take(count - count / 3).chain(free.into_iter().take(count / 3));
    chosen.extend(wanted.map(|one| (REHEARSAL, Part::Train, one.clone())));
    chosen
}

/// Slices of a source that stand before or behind a chosen one and are not chosen themselves.
fn beside_of(chosen: &Chosen, source: usize, all: &[Found]) -> Chosen {
    let known: HashSet<&Page> = chosen.iter().map(|(_, _, one)| &one.page).collect();
    let by_page: HashMap<&Page, &Found> = all.iter().map(|one| (&one.page, one)).collect();
    let own = chosen.iter().filter(|(of, ..)| *of == source);
    let wanted: BTreeMap<String, &Page> = own
        .flat_map(|(_, _, one)| one.beside.iter().flatten())
        .filter(|page| !known.contains(page))
        .map(|page| (page.name(), page))
        .collect();
    wanted.values().filter_map(|page| Some((source, Part::Beside, Found::clone(by_page.get(page)?)))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::folders::Outline;

    fn slice(patient: &str, index: usize, class: &str) -> Found {
        let page = |index: usize| Page { file: patient.into(), index };
        Found {
            page: page(index),
            outline: (class == "tumor").then_some(Outline { file: None, pixels: 9 }),
            beside: [index.checked_sub(1).map(page), Some(page(index + 1))],
            stack: None,
            patient: patient.into(),
            class: class.into(),
        }
    }

    fn patients(chosen: &Chosen, source: usize, part: Part) -> BTreeSet<String> {
        let own = chosen.iter().filter(|(of, own, _)| *of == source && *own == part);
        own.map(|(_, _, one)| one.patient.clone()).collect()
    }

    #[test]
    fn no_patient_is_learnt_from_and_measured() {
        let corrections: Vec<Found> = (0..12).map(|i| slice(&format!("c{}", i / 2), i, "tumor")).collect();
        // Earlier data with one of the corrected patients among them.
        let mut earlier: Vec<Found> = (0..60).map(|i| slice(&format!("e{}", i / 3), i, "tumor")).collect();
        earlier.push(slice("c0", 99, "tumor"));
        let chosen = choose(corrections, earlier, false);
        let of = |source, part| patients(&chosen, source, part);
        assert_eq!((of(0, Part::Train).len(), of(0, Part::Test).len()), (4, 2));
        for source in [0, 1] {
            assert!(of(source, Part::Train).is_disjoint(&of(source, Part::Test)));
        }
        assert!(!of(1, Part::Train).contains("c0") && !of(1, Part::Test).contains("c0"));
        assert_eq!(chosen.iter().filter(|(source, part, _)| *source == 1 && *part == Part::Train).count(), 6);
    }

    #[test]
    fn slices_that_nobody_outlined_are_neighbours_at_most() {
        let mut corrections = vec![slice("p", 4, "tumor")];
        corrections.extend([0, 3, 5, 9].map(|i| slice("p", i, NOT_OUTLINED)));
        let parts = |neighbours| -> Vec<(usize, Part)> {
            let chosen = choose(corrections.clone(), Vec::new(), neighbours);
            chosen.into_iter().map(|(_, part, one)| (one.page.index, part)).collect()
        };
        assert_eq!(parts(false), [(4, Part::Train)]);
        assert_eq!(parts(true), [(4, Part::Train), (3, Part::Beside), (5, Part::Beside)]);
    }
}

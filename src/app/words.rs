//! Findings as sentences in the current language, the same in panels and in exported files.

use super::textures::MaskFacts;
use crate::domain::card::Card;
use crate::domain::geometry::Plane;
use crate::domain::headline::Headline;
use crate::domain::input_gate::Reason;
use crate::domain::measure::VolumeMeasurements;
use crate::domain::prediction::{self, Classification, Verdict};
use crate::domain::subject::Mismatch;
use rust_i18n::t;

/// Name of a class in the current language; a class without a translation is spelt as in its card.
pub fn class_name(class: &str) -> String {
    let key = format!("class.{class}");
    let name = t!(&key);
    if name == key { class.replace('_', " ") } else { name.into_owned() }
}

/// What a model is for, in words; for a model of the reader's own what its owner said it was trained on, or its name.
pub fn model_words(card: &Card) -> String {
    let key = format!("model.{}", card.id);
    let words = t!(&key);
    match (words == key, card.input.modality.is_empty()) {
        (false, _) => words.into_owned(),
        (true, false) => card.input.modality.clone(),
        (true, true) => card.name.clone(),
    }
}

/// A verdict in words.
pub fn verdict_text(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Positive(class) => t!("verdict.positive", class = class_name(class)),
        Verdict::Normal(class) => t!("verdict.normal", class = class_name(class)),
        Verdict::Negative => t!("verdict.negative"),
        Verdict::Undecided => t!("verdict.undecided"),
    }
    .into_owned()
}

/// A number with so many decimals, as the current language writes it.
pub fn decimal(value: f64, digits: usize) -> String {
    in_language(format!("{value:.digits$}"))
}

/// A number with the language's decimal mark.
fn in_language(number: String) -> String {
    if &*rust_i18n::locale() == "es" { number.replace('.', ",") } else { number }
}

/// A probability in percent with its sign. Beyond 1 and 99 % no calibration tells more.
pub fn percent(probability: f64) -> String {
    in_language(prediction::percent(probability))
}

/// A probability in percent, with a mark where the model does not know pictures of this kind.
pub fn percent_of(classification: &Classification, probability: f64) -> String {
    let mark = if classification.is_unlike() { " ⚠" } else { "" };
    format!("{}{mark}", percent(probability))
}

/// Why a picture is unlike those that a model knows, as a part of a sentence.
pub fn reason_text(reason: &Reason) -> String {
    match reason {
        Reason::UnlikeTraining => t!("gate.unlike_training").into_owned(),
        Reason::NearlyEmpty => t!("gate.nearly_empty").into_owned(),
        Reason::ColourPhotograph => t!("gate.colour_photograph").into_owned(),
        Reason::Elongated => t!("gate.elongated").into_owned(),
        Reason::Told(mismatch) => mismatch_text(mismatch),
    }
}

/// How a study differs from what a model was made for.
pub fn mismatch_text(mismatch: &Mismatch) -> String {
    match mismatch {
        Mismatch::Modality { study, model } => t!("mismatch.modality", study = study, model = model).into_owned(),
        Mismatch::BodyPart { study, model } => t!("mismatch.body_part", study = study, model = model).into_owned(),
        Mismatch::Plane { study, model } => {
            t!("mismatch.plane", study = plane_name(*study), model = plane_name(*model)).into_owned()
        }
        Mismatch::Sequence { study, model } => {
            let [study, model] = [study.id(), model.id()].map(|id| t!(format!("sequence.{id}")));
            t!("mismatch.sequence", study = study, model = model).into_owned()
        }
    }
}

/// "24 of 155 slices above the threshold, highest 98.9 % in slice 99".
pub fn headline_text(headline: &Headline, count: usize) -> String {
    let Headline { answered, positive, highest } = headline;
    let slices = if *answered < count {
        t!("headline.so_far", n = positive, answered = answered, count = count)
    } else {
        t!("headline.positive", n = positive, count = count)
    };
    match highest {
        Some((index, p)) => {
            format!("{slices}, {}", t!("headline.highest", percent = percent(*p), n = index + 1))
        }
        None => slices.into_owned(),
    }
}

/// A plane as a word within a sentence.
pub fn plane_name(plane: Plane) -> String {
    t!(format!("plane.{}", plane.id())).to_lowercase()
}

/// Sizes of a whole study's mask. `count` is the number of slices of the study.
pub fn volume_lines(sizes: &VolumeMeasurements, count: usize) -> Vec<String> {
    let ml = match sizes.ml {
        Some(ml) => t!("volume.ml", ml = decimal(ml, 1)),
        None => t!("volume.voxels", voxels = sizes.voxels),
    };
    let slices = match sizes.components {
        1 => t!("volume.slices_one", n = sizes.slices, count = count),
        parts => t!("volume.slices", n = sizes.slices, count = count, parts = parts),
    };
    let diameter = sizes.diameter_mm.filter(|_| sizes.voxels > 0);
    let diameter = diameter.map(|mm| t!("volume.diameter", mm = decimal(mm, 1)).into_owned());
    [ml.into_owned(), slices.into_owned()].into_iter().chain(diameter).collect()
}

/// Sizes of one slice's mask, and its overlap with the truth.
pub fn measurement_lines(facts: &MaskFacts, mask_threshold: f32) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(m) = &facts.measurements {
        let area = match m.area_mm2 {
            Some(mm2) => t!("findings.area_mm", px = m.pixels, mm2 = decimal(mm2, 0)),
            None => t!("findings.area_px", px = m.pixels),
        };
        lines.push(area.into_owned());
        let diameter = match m.diameter_mm {
            Some(mm) => t!("findings.diameter_mm", px = decimal(m.diameter_px, 1), mm = decimal(mm, 1)),
            None => t!("findings.diameter_px", px = decimal(m.diameter_px, 1)),
        };
        lines.push(t!("findings.components", n = m.components).into_owned() + "   " + &diameter);
        lines.push(t!("findings.mask_threshold_at", threshold = decimal(f64::from(mask_threshold), 2)).into_owned());
    }
    if let Some(dice) = facts.dice {
        lines.push(t!("findings.dice", dice = decimal(dice, 3)).into_owned());
    }
    lines
}

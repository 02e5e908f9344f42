//! The input gate: whether a picture looks like those that a model was trained on. Where it does not, its answer is withheld.

use super::card::Card;
use super::gate_statistics::Familiarity;
use super::study::Neighbourhood;
use super::subject::Mismatch;

/// Why a picture is not what a model was made for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// Inner layers answer otherwise than to training pictures.
    UnlikeTraining,
    /// There is next to nothing on the picture.
    NearlyEmpty,
    /// A colour picture that is no dark ground with sequences in its channels.
    ColourPhotograph,
    /// The picture is more than three times as long as wide.
    Elongated,
    /// The file says that it shows something else.
    Told(Mismatch),
}

impl Reason {
    /// Name in results.
    pub fn code(&self) -> String {
        match self {
            Reason::UnlikeTraining => "unlike-training".into(),
            Reason::NearlyEmpty => "nearly-empty".into(),
            Reason::ColourPhotograph => "colour-photograph".into(),
            Reason::Elongated => "elongated".into(),
            Reason::Told(mismatch) => mismatch.code(),
        }
    }
}

/// What the gate says of one slice.
#[derive(Debug, Clone, PartialEq)]
pub struct InputGate {
    pub familiarity: Familiarity,
    /// Empty where the picture is one that the model knows.
    pub reasons: Vec<Reason>,
}

/// Share of pixels, 0–1, below which a picture is nearly empty.
const CONTENT: f64 = 0.01;
/// Grey value 0–255 from which on a pixel is content.
const GREY: f32 = 16.0;
/// Length over width from which on no slice of a head or body is expected.
const LONGEST: f64 = 3.0;

impl InputGate {
    /// Judges a slice by a model's card and by how familiar it is to the model. Nearly empty slices at the ends of a study are what
    /// every model knows.
    pub fn new(seen: &Neighbourhood, card: &Card, familiarity: Familiarity) -> Self {
        let (slice, alone) = (&seen.slice, seen.alone);
        let certain = |m: &Mismatch| matches!(m, Mismatch::Modality { .. } | Mismatch::BodyPart { .. });
        let told = seen.subject.mismatches(slice, card).into_iter().filter(certain);
        let mut reasons: Vec<Reason> = told.map(Reason::Told).collect();
        let grey = slice.grey();
        let (width, height) = slice.extent();
        if is_empty(&grey) {
            reasons.extend(alone.then_some(Reason::NearlyEmpty));
            return Self { familiarity, reasons };
        }
        if width.max(height) > LONGEST * width.min(height) {
            reasons.push(Reason::Elongated);
        }
        if slice.is_coloured() && !has_dark_ground(&grey, slice.width()) {
            reasons.push(Reason::ColourPhotograph);
        }
        if familiarity.score >= familiarity.threshold {
            reasons.push(Reason::UnlikeTraining);
        }
        Self { familiarity, reasons }
    }

    /// Whether the picture is unlike those that the model knows.
    pub fn is_unlike(&self) -> bool {
        !self.reasons.is_empty()
    }
}

/// Whether next to nothing stands out from black.
pub fn is_empty(grey: &[f32]) -> bool {
    let content = grey.iter().filter(|v| **v >= GREY).count();
    let flat = grey.iter().all(|v| Some(v) == grey.first());
    flat || (content as f64) < CONTENT * grey.len() as f64
}

/// Whether most of the picture's frame is dark, as the air around a patient is.
fn has_dark_ground(grey: &[f32], width: usize) -> bool {
    let height = grey.len() / width.max(1);
    let on_frame = |i: &usize| {
        let (x, y) = (i % width, i / width);
        x == 0 || y == 0 || x + 1 == width || y + 1 == height
    };
    let frame: Vec<usize> = (0..grey.len()).filter(on_frame).collect();
    let dark = frame.iter().filter(|i| grey[**i] < 2.0 * GREY).count();
    2 * dark > frame.len()
}

#[cfg(test)]
mod tests {
    use super::super::slice::{Depth, Slice};
    use super::*;
    use std::sync::Arc;

    fn reasons(width: usize, height: usize, pixels: Vec<f32>, alone: bool, score: f64) -> Vec<String> {
        let slice = Slice::new(width, height, pixels, Depth::Eight).unwrap();
        let card: Card = toml::from_str(include_str!("../../weights/lgg-resunet/card.toml")).unwrap();
        let seen = Neighbourhood { alone, ..Arc::new(slice).into() };
        let gate = InputGate::new(&seen, &card, Familiarity { score, threshold: 1.0 });
        gate.reasons.iter().map(Reason::code).collect()
    }

    #[test]
    fn empty_long_and_unfamiliar_pictures_are_named() {
        let head = |n: usize| (0..n).map(|i| if i % 3 == 0 { 0.0 } else { 100.0 }).collect::<Vec<f32>>();
        assert!(reasons(20, 20, head(400), true, 0.0).is_empty());
        assert_eq!(reasons(20, 20, head(400), true, 1.0), ["unlike-training"]);
        assert_eq!(reasons(70, 20, head(1400), true, 0.0), ["elongated"]);
        assert_eq!(reasons(20, 20, vec![0.0; 400], true, 5.0), ["nearly-empty"]);
        assert!(reasons(20, 20, vec![0.0; 400], false, 5.0).is_empty(), "the end of a volume is no stranger");
    }
}

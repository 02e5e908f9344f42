//! What a study says it shows, and how that differs from what a model was made for.

use super::acquisition::{Acquisition, Weighting};
use super::card::{Card, Sequence};
use super::geometry::Plane;
use super::slice::Slice;

/// A way in which a study is not what a model was made for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mismatch {
    Modality { study: String, model: String },
    BodyPart { study: String, model: String },
    Plane { study: Plane, model: Plane },
    Sequence { study: Weighting, model: Sequence },
}

impl Mismatch {
    /// Stable name for machine-readable output.
    pub fn code(&self) -> String {
        match self {
            Mismatch::Modality { study, model } => format!("modality: {study}, the model was made for {model}"),
            Mismatch::BodyPart { study, model } => format!("body-part: {study}, the model was made for {model}"),
            Mismatch::Plane { study, model } => format!("plane: {}, the model was made for {}", study.id(), model.id()),
            Mismatch::Sequence { study, model } => {
                format!("sequence: {}, the model was made for {}", study.id(), model.id())
            }
        }
    }
}

/// What a study says it shows.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Subject {
    /// DICOM modality (PS3.3 C.7.3.1.1.1), such as MR or CT.
    pub modality: Option<String>,
    /// DICOM body part examined, such as HEAD.
    pub body_part: Option<String>,
    pub acquisition: Acquisition,
}

/// DICOM modalities that a card's `input.modality` may begin with.
const MODALITIES: [&str; 12] = ["MR", "CT", "US", "CR", "DX", "MG", "PT", "NM", "XA", "RF", "OCT", "SM"];
/// Modalities that do not say how a picture was made: secondary capture, other.
const UNTOLD: [&str; 2] = ["SC", "OT"];
/// How names of body parts begin (DICOM PS3.16 annex L), by group: within one, a model may be used. A name of no group, such as
/// WHOLEBODY or UNKNOWN, says nothing of what a picture shows.
const BODY_PARTS: [&[&str]; 8] = [
    &["BRAIN", "HEAD", "SKULL", "NEURO", "CEREBR", "PITUITARY", "SELLA", "ORBIT", "EAR", "IAC"],
    &["KIDNEY", "ABDOMEN", "RENAL", "CHESTABD", "BODY", "LIVER", "PANCREAS", "SPLEEN", "ADRENAL", "STOMACH", "COLON"],
    &["CHEST", "LUNG", "THORAX", "RIB", "STERNUM"],
    &["BREAST"],
    &["PELVIS", "PROSTATE", "UTERUS", "OVARY", "BLADDER", "RECTUM"],
    &["HEART", "CARDIAC", "CORONARY", "AORTA"],
    &["SPINE", "CSPINE", "TSPINE", "LSPINE", "SSPINE", "VERTEBRA"],
    &[
        "EXTREMITY",
        "KNEE",
        "HIP",
        "SHOULDER",
        "ELBOW",
        "ANKLE",
        "FOOT",
        "HAND",
        "WRIST",
        "LEG",
        "ARM",
        "FEMUR",
        "TIBIA",
        "THIGH",
        "CALF",
        "HUMERUS",
        "FOREARM",
        "FINGER",
        "TOE",
    ],
];

impl Subject {
    /// As [`Self::mismatches`] for several models, each difference once.
    pub fn mismatches_of<'a>(&self, slice: &Slice, cards: impl IntoIterator<Item = &'a Card>) -> Vec<Mismatch> {
        let mut found: Vec<Mismatch> = Vec::new();
        for mismatch in cards.into_iter().flat_map(|card| self.mismatches(slice, card)) {
            if !found.contains(&mismatch) {
                found.push(mismatch);
            }
        }
        found
    }

    /// How the study and this slice differ from what the card's model was made for.
    pub fn mismatches(&self, slice: &Slice, card: &Card) -> Vec<Mismatch> {
        let model = &card.input.modality;
        let words: Vec<String> =
            model.split(|c: char| !c.is_alphanumeric()).filter(|w| !w.is_empty()).map(str::to_uppercase).collect();
        let mut found = Vec::new();
        let own = words.first().filter(|word| MODALITIES.contains(&word.as_str()));
        if let (Some(study), Some(own)) = (&self.modality, own)
            && !UNTOLD.contains(&study.as_str())
            && study != own
        {
            found.push(Mismatch::Modality { study: study.clone(), model: model.clone() });
        }
        let group = |name: &str| BODY_PARTS.iter().position(|part| part.iter().any(|p| name.starts_with(p)));
        if let Some(part) = &self.body_part
            && let Some(own) = words.iter().find_map(|word| group(word))
            && group(&part.to_uppercase()).is_some_and(|part| part != own)
        {
            found.push(Mismatch::BodyPart { study: part.clone(), model: model.clone() });
        }
        let own = Plane::ALL.into_iter().find(|plane| words.iter().any(|w| w.eq_ignore_ascii_case(plane.id())));
        if let (Some(orientation), Some(model)) = (slice.orientation, own)
            && orientation.plane() != model
        {
            found.push(Mismatch::Plane { study: orientation.plane(), model });
        }
        if let Some(study) = self.acquisition.weighting
            && !is_looked_at(study, card.input.sequence)
        {
            found.push(Mismatch::Sequence { study, model: card.input.sequence });
        }
        found
    }
}

/// Whether a model that looks at `sequence` was made for pictures of this contrast.
fn is_looked_at(study: Weighting, sequence: Sequence) -> bool {
    match sequence {
        Sequence::Luminance | Sequence::Any => true,
        Sequence::T1 => study == Weighting::T1,
        Sequence::Flair => study == Weighting::Flair,
        Sequence::T1ce => study == Weighting::T1ce,
        Sequence::Three => matches!(study, Weighting::T1 | Weighting::Flair | Weighting::T1ce),
    }
}

#[cfg(test)]
mod tests {
    use super::super::geometry::Orientation;
    use super::super::slice::Depth;
    use super::*;

    #[test]
    fn a_model_is_warned_of_what_it_was_not_made_for() {
        let source = include_str!("../../weights/lgg-resunet/card.toml");
        let mut card: Card = toml::from_str(source).unwrap();
        card.input.modality = "MR FLAIR, axial, brain".into();
        let mut slice = Slice::new(16, 16, vec![0.0; 256], Depth::Eight).unwrap();
        let subject = |modality: &str, part: &str| Subject {
            modality: Some(modality.into()),
            body_part: Some(part.into()).filter(|p: &String| !p.is_empty()),
            ..Subject::default()
        };
        assert_eq!(subject("MR", "HEAD").mismatches(&slice, &card), []);
        assert_eq!(subject("SC", "").mismatches(&slice, &card), []);
        let ct = subject("CT", "ABDOMEN").mismatches(&slice, &card);
        assert!(matches!(ct.as_slice(), [Mismatch::Modality { .. }, Mismatch::BodyPart { .. }]), "{ct:?}");
        let told = |part: &str| subject("MR", part).mismatches(&slice, &card).len();
        assert_eq!(["WHOLEBODY", "UNKNOWN", "KNEE", "LSPINE", "HEART"].map(told), [0, 0, 1, 1, 1]);
        slice.orientation = Orientation::new([0.0, 1.0, 0.0], [0.0, 0.0, -1.0]);
        let plane = [Mismatch::Plane { study: Plane::Sagittal, model: Plane::Axial }];
        assert_eq!(subject("MR", "BRAIN").mismatches(&slice, &card), plane);
        let mut t2 = subject("MR", "HEAD");
        t2.acquisition.weighting = Some(Weighting::T2);
        slice.orientation = None;
        card.input.sequence = Sequence::Flair;
        let other = [Mismatch::Sequence { study: Weighting::T2, model: Sequence::Flair }];
        assert_eq!(t2.mismatches(&slice, &card), other);
        card.input.sequence = Sequence::Any;
        assert_eq!(t2.mismatches(&slice, &card), []);
        card.input.modality = "unknown".into();
        assert_eq!(subject("CT", "ABDOMEN").mismatches(&slice, &card), []);
    }
}

//! What the address of a prediction may ask for.

use super::attachments::MaskFormat;
use super::problem::Problem;
use crate::batch::Looking;
use crate::batch::model_pair::Manner;
use crate::batch::pair::Wishes;
use crate::domain::explanation::{Inquiry, Method};
use crate::domain::geometry::Plane;
use serde::Deserialize;

/// A setting that is on when it is named.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
enum Switch {
    #[serde(alias = "", alias = "1", alias = "true", alias = "yes", alias = "on")]
    On,
    #[default]
    #[serde(alias = "0", alias = "false", alias = "no", alias = "off")]
    Off,
}

/// Whether answers are explained, and how.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Explain {
    #[serde(alias = "", alias = "1", alias = "true", alias = "yes", alias = "on")]
    GradCam,
    Occlusion,
    #[default]
    #[serde(alias = "0", alias = "false", alias = "no", alias = "off")]
    Nothing,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum PictureFormat {
    Png,
}

/// The query of `POST /api/v0/predict`. An unknown name is refused: a misspelt threshold would otherwise go unnoticed.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PredictQuery {
    classifier: Option<String>,
    segmenter: Option<String>,
    threshold: Option<f64>,
    mask_threshold: Option<f64>,
    #[serde(default)]
    always_segment: Switch,
    #[serde(default)]
    ignore_gate: Switch,
    #[serde(default)]
    band: Switch,
    #[serde(default)]
    explain: Explain,
    mask: Option<MaskFormat>,
    picture: Option<PictureFormat>,
    plane: Option<String>,
    look_in: Option<String>,
    time: Option<usize>,
}

fn probability(name: &str, value: Option<f64>) -> Result<(), Problem> {
    match value {
        Some(p) if !(0.0..=1.0).contains(&p) => {
            Err(Problem::Malformed(format!("`{name}` is {p}; it must be a number from 0 to 1")))
        }
        _ => Ok(()),
    }
}

fn plane(name: &str, value: Option<&str>) -> Result<Option<Plane>, Problem> {
    let Some(value) = value else { return Ok(None) };
    let names = || Plane::ALL.map(Plane::id).join(", ");
    let found = Plane::ALL.into_iter().find(|plane| plane.id() == value);
    found.map(Some).ok_or_else(|| Problem::Malformed(format!("`{name}` is `{value}`; it must be one of {}", names())))
}

impl PredictQuery {
    /// Reads the part of an address behind the question mark.
    ///
    /// # Errors
    /// If a name is unknown or a value out of range.
    pub fn parse(query: &str) -> Result<Self, Problem> {
        let malformed =
            |error: &dyn std::fmt::Display| Problem::Malformed(format!("the address is malformed: {error}"));
        let query: Self = serde_urlencoded::from_str(query).map_err(|e| malformed(&e))?;
        probability("threshold", query.threshold)?;
        probability("mask_threshold", query.mask_threshold)?;
        query.looking()?;
        Ok(query)
    }

    pub fn wishes(&self) -> Wishes<'_> {
        Wishes {
            classifier: self.classifier.as_deref(),
            segmenter: self.segmenter.as_deref(),
            threshold: self.threshold,
            mask_threshold: self.mask_threshold,
        }
    }

    /// Which cut of a volume is looked in and shown.
    ///
    /// # Errors
    /// If a plane is unknown, or the time is 0: it counts from 1.
    pub fn looking(&self) -> Result<Looking, Problem> {
        let time = self.time.unwrap_or(1).checked_sub(1);
        Ok(Looking {
            plane: plane("plane", self.plane.as_deref())?,
            look_in: plane("look_in", self.look_in.as_deref())?,
            time: time.ok_or_else(|| Problem::Malformed("`time` is 0; it counts from 1".into()))?,
        })
    }

    /// How the models are to be asked.
    pub fn manner(&self) -> Manner {
        let is_on = |switch: Switch| switch == Switch::On;
        let (always_segment, ignore_gate) = (is_on(self.always_segment), is_on(self.ignore_gate));
        Manner { always_segment, ignore_gate, band: is_on(self.band), explain: self.explain() }
    }

    /// How answers are to be explained, if they are.
    pub fn explain(&self) -> Option<Inquiry> {
        let method = match self.explain {
            Explain::GradCam => Method::GradCam,
            Explain::Occlusion => Method::Occlusion,
            Explain::Nothing => return None,
        };
        Some(Inquiry { method, layer: None })
    }

    pub fn mask(&self) -> Option<MaskFormat> {
        self.mask
    }

    /// Whether the slices themselves are wanted as pictures.
    pub fn with_pictures(&self) -> bool {
        matches!(self.picture, Some(PictureFormat::Png))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_misspelt_or_out_of_range_is_named() {
        for (query, named) in [
            ("thresold=0.5", "thresold"),
            ("threshold=2", "from 0 to 1"),
            ("threshold=NaN", "from 0 to 1"),
            ("threshold=high", "invalid float"),
            ("mask=jpeg", "jpeg"),
            ("plane=oblique", "axial"),
            ("time=0", "counts from 1"),
        ] {
            let problem = PredictQuery::parse(query).unwrap_err();
            assert!(problem.to_string().contains(named), "{query}: {problem}");
            assert_eq!(problem.status().as_u16(), 400);
        }
        let query = PredictQuery::parse(
            "classifier=none&threshold=0.25&always_segment=true&ignore_gate=1&mask=seg&picture=png",
        )
        .unwrap();
        assert_eq!((query.wishes().classifier, query.wishes().threshold), (Some("none"), Some(0.25)));
        assert!(
            query.manner() == Manner { always_segment: true, ignore_gate: true, band: false, explain: None }
                && query.with_pictures()
                && query.mask() == Some(MaskFormat::Seg)
        );
    }
}

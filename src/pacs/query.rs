//! QIDO-RS (PS3.18, 10.6): which series an archive has.

use super::client::{Archive, PacsError};
use serde_json::Value;
use std::collections::HashSet;

const MEDIA: &str = "application/dicom+json";
/// Series of one answer. Archives may give fewer.
const PAGE: usize = 100;
/// Series of a whole search.
const MOST: usize = 10_000;

/// What series are looked for.
#[derive(Debug, Default)]
pub struct Search {
    pub patient_id: Option<String>,
    /// A day as YYYYMMDD, or two with a hyphen between.
    pub date: Option<String>,
    pub modality: Option<String>,
    pub series_uid: Option<String>,
}

/// A series that was found. Nothing here names the patient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Series {
    pub study_uid: String,
    pub uid: String,
    pub modality: String,
    /// Day of the study as YYYYMMDD.
    pub date: String,
    pub description: String,
    /// Number of images, where the archive tells.
    pub images: Option<usize>,
}

/// The first value of an attribute in the DICOM JSON model (PS3.18, F), as text.
fn value(object: &Value, tag: &str) -> Option<String> {
    match object.get(tag)?.get("Value")?.get(0)? {
        Value::String(text) => Some(text.trim_matches([' ', '\0']).to_string()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

impl Series {
    fn of(object: &Value) -> Option<Self> {
        Some(Self {
            study_uid: value(object, "0020000D")?,
            uid: value(object, "0020000E")?,
            modality: value(object, "00080060").unwrap_or_default(),
            date: value(object, "00080020").unwrap_or_default(),
            description: value(object, "0008103E").unwrap_or_default(),
            images: value(object, "00201209").and_then(|text| text.parse().ok()),
        })
    }
}

impl Archive {
    /// The series that fit, in the archive's order.
    ///
    /// # Errors
    /// If the archive cannot be asked or answers with something else.
    pub fn search(&self, search: &Search) -> Result<Vec<Series>, PacsError> {
        let wished = [
            ("PatientID", &search.patient_id),
            ("StudyDate", &search.date),
            ("Modality", &search.modality),
            ("SeriesInstanceUID", &search.series_uid),
        ];
        let mut found: Vec<Series> = Vec::new();
        let mut known = HashSet::new();
        while found.len() < MOST {
            let mut parameters: Vec<(&str, String)> =
                wished.iter().filter_map(|(name, value)| Some((*name, value.as_ref()?.clone()))).collect();
            for field in ["StudyDate", "SeriesDescription", "NumberOfSeriesRelatedInstances"] {
                parameters.push(("includefield", field.into()));
            }
            parameters.push(("limit", PAGE.to_string()));
            parameters.push(("offset", found.len().to_string()));
            let answer = self.json("series", self.get("series", &parameters, MEDIA)?)?;
            let problem = || PacsError::Answer { url: self.address("series"), problem: "no list of series".into() };
            let page = answer.as_array().ok_or_else(problem)?;
            let before = found.len();
            // An archive that knows no offset gives the same page again.
            found.extend(page.iter().filter_map(Series::of).filter(|series| known.insert(series.uid.clone())));
            if found.len() == before {
                break;
            }
        }
        Ok(found)
    }

    /// The series with this UID.
    ///
    /// # Errors
    /// If there is none, or the archive cannot be asked.
    pub fn series(&self, uid: &str) -> Result<Series, PacsError> {
        let search = Search { series_uid: Some(uid.into()), ..Search::default() };
        let found = self.search(&search)?.into_iter().find(|series| series.uid == uid);
        found.ok_or_else(|| PacsError::NoSeries { uid: uid.into() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_series_is_read_from_the_json_model() {
        let object = json!({
            "0020000D": { "vr": "UI", "Value": ["1.2"] },
            "0020000E": { "vr": "UI", "Value": ["1.2.3"] },
            "00080060": { "vr": "CS", "Value": ["MR"] },
            "00201209": { "vr": "IS", "Value": [6] },
            "0008103E": { "vr": "LO" },
        });
        let series = Series::of(&object).unwrap();
        assert_eq!((series.uid.as_str(), series.study_uid.as_str(), series.images), ("1.2.3", "1.2", Some(6)));
        assert_eq!((series.modality.as_str(), series.description.as_str()), ("MR", ""));
        assert_eq!(Series::of(&json!({})), None);
    }
}

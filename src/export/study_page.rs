//! The results of studies as one self-contained HTML page on light paper: pictures, sizes, reading conditions and limits.

use super::html::{self, escaped};
use super::report::{Report, SliceReport, StudyMask, StudyReport};
use crate::domain::card::Card;
use crate::domain::prediction;
use sha2::{Digest, Sha256};

/// Pictures of one study on the page at most.
pub const MOST_PICTURES: usize = 6;

/// A slice on the page.
pub struct Picture {
    /// Place of its study in the report.
    pub study: usize,
    /// From 1.
    pub slice: usize,
    /// Outlined pixels, by which pictures are chosen.
    pub area: usize,
    /// PNG bytes.
    pub png: Vec<u8>,
}

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:56rem;padding:0 1rem;background:#fff;color:#1a202c}\
h1{font-size:1.4rem}h2{font-size:1.15rem;margin-top:1.6rem;border-bottom:2px solid #1a202c}table{border-collapse:collapse}\
td,th{padding:.15rem 1rem .15rem 0;text-align:left;vertical-align:top;border-bottom:1px solid #e2e8f0}th{font-weight:600}\
figure{display:inline-block;margin:.4rem .6rem .4rem 0}figure img{width:16rem;background:#000}figcaption{font-size:.8rem}\
.note{border-left:4px solid #d69e2e;background:#fff8e6;padding:.4rem 1rem}footer{font-size:.85rem;margin-top:2rem}\
@media print{body{margin:0}h2{break-after:avoid}figure,table{break-inside:avoid}}";

/// The whole page. `cards` are those of the models in use. Files are named only `with_names`: names can identify a patient.
pub fn render(report: &Report, pictures: &[Picture], cards: &[Card], with_names: bool) -> String {
    let mut page = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>LesionLens report</title><style>{STYLE}</style></head><body>\
         <h1>LesionLens report</h1><p class=\"note\">A research aid. It is not a medical device and must not be used for diagnosis or treatment.</p>"
    );
    for (number, study) in report.studies.iter().enumerate() {
        let slices: Vec<&SliceReport> = report.results.iter().filter(|slice| slice.study == number).collect();
        let source = if with_names { format!(": {}", escaped(&study.source)) } else { String::new() };
        page += &format!("<h2>Study {}{source}</h2>", number + 1);
        page += &figures(pictures, number, with_names, &slices);
        page += &table("Findings", &findings(study, &slices));
        page += &table("Reading conditions", &conditions(study, &slices));
    }
    page += &table("Models", &models(report, cards));
    if !report.errors.is_empty() {
        page +=
            &format!("<p class=\"note\">{} problems; what they are about is missing above.</p>", report.errors.len());
    }
    page += &format!("<footer>{}, on {}</footer></body></html>\n", escaped(&report.app), escaped(&report.device));
    page
}

type Row = (&'static str, String);

fn table(title: &str, rows: &[Row]) -> String {
    let rows: String = rows.iter().map(|(name, value)| format!("<tr><th>{name}</th><td>{value}</td></tr>")).collect();
    format!("<h3>{title}</h3><table>{rows}</table>")
}

fn figures(pictures: &[Picture], study: usize, with_names: bool, slices: &[&SliceReport]) -> String {
    let own = pictures.iter().filter(|picture| picture.study == study);
    let figure = |picture: &Picture| {
        let slice = slices.iter().find(|slice| slice.slice == picture.slice);
        let file = slice.filter(|_| with_names).map(|slice| format!(", {}", slice.file)).unwrap_or_default();
        html::figure(&picture.png, &format!("Slice {}{file}", picture.slice))
    };
    own.map(figure).collect()
}

fn percent(probability: f64) -> String {
    escaped(&prediction::percent(probability))
}

/// A size with the band of what small changes of the picture make of it, where that was computed.
fn banded(value: String, band: Option<[f64; 2]>, digits: usize, unit: &str) -> String {
    match band {
        Some([low, high]) => format!("{value} {unit} (band {low:.digits$}–{high:.digits$} {unit})"),
        None => format!("{value} {unit}"),
    }
}

fn findings(study: &StudyReport, slices: &[&SliceReport]) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    if study.unlike_slices > 0 {
        let text = format!("{} of {} slices do not look like what the model knows", study.unlike_slices, slices.len());
        rows.push(("Input gate", text));
    }
    if let Some(highest) = &study.highest {
        let above = format!("{} of {} slices above the threshold", study.positive_slices, study.looked_at);
        rows.push((
            "Classifier",
            format!("{above}, highest {} in slice {}", percent(highest.probability), highest.slice),
        ));
        let at = slices.iter().find(|slice| slice.slice == highest.slice).and_then(|slice| slice.classifier.as_ref());
        if let Some([low, high]) = at.and_then(|c| c.probability_range) {
            rows.push(("Band of the highest", format!("{} to {}", percent(low), percent(high))));
        }
    } else if slices.iter().all(|slice| slice.classifier.is_none()) {
        rows.push(("Classifier", "no answer, or it is withheld".into()));
    }
    match &study.mask {
        Some(mask) if mask.voxels > 0 => rows.extend(sizes(mask, slices)),
        Some(_) if study.unlike_slices == slices.len() => rows.push(("Outline", "withheld, as the answers are".into())),
        Some(_) => rows.push(("Outline", "nothing outlined; this is no all-clear".into())),
        None => rows.push(("Outline", "no segmenter was asked".into())),
    }
    if let Some(dice) = study.dice {
        rows.push(("Dice with the reference", format!("{dice:.3}")));
    }
    if study.contradiction.is_some() {
        rows.push(("Contradiction", "classifier and segmenter contradict each other".into()));
    }
    rows
}

fn sizes(mask: &StudyMask, slices: &[&SliceReport]) -> Vec<Row> {
    let unknown = || "no pixel size known, so nothing is given in mm".to_string();
    let mut rows = vec![("Foci", format!("{} (slices with any: {})", mask.components, mask.slices))];
    let volume = match mask.volume_ml {
        Some(ml) => banded(format!("{ml:.2}"), mask.volume_ml_range, 2, "ml"),
        None => format!("{} pixels; no distance between slices known", mask.voxels),
    };
    rows.push(("Volume", volume));
    // Single slices have areas with bands of their own.
    if let [slice] = slices
        && let Some(segmenter) = &slice.segmenter
    {
        let band = segmenter.area_range.map(|range| range.map(|n| n as f64));
        rows.push(("Area", banded(segmenter.mask_pixels.to_string(), band, 0, "pixels")));
    }
    rows.push(("Largest diameter", mask.diameter_mm.map_or_else(unknown, |mm| format!("{mm:.1} mm"))));
    let product = mask.perpendicular_mm.zip(mask.product_mm2);
    let product =
        product.map(|([longest, across], product)| format!("{longest:.1} mm × {across:.1} mm = {product:.0} mm²"));
    rows.push(("Largest product of perpendicular diameters (as RANO)", product.unwrap_or_else(unknown)));
    rows
}

fn conditions(study: &StudyReport, slices: &[&SliceReport]) -> Vec<Row> {
    let mut rows: Vec<Row> = vec![("Slices", study.slices.to_string())];
    let looked = study.looked_in.clone().unwrap_or_else(|| "unknown".into());
    rows.push(("Plane the networks looked in", escaped(&looked)));
    let made = [&study.modality, &study.body_part].into_iter().flatten().map(|text| escaped(text));
    let made = made.collect::<Vec<_>>().join(", ");
    rows.push(("Modality, body part", if made.is_empty() { "unknown".into() } else { made }));
    if let Some(slice) = slices.first() {
        let spacing = slice.spacing_mm.map_or_else(|| "unknown".into(), |[r, c]| format!("{r:.3} × {c:.3} mm"));
        rows.push(("Pixel size", format!("{spacing}, {} × {} pixels", slice.width, slice.height)));
        rows.push(("Window of the pictures", "each slice's own".into()));
    }
    let thresholds = |slice: &&SliceReport| {
        let classifier = slice.classifier.as_ref().map(|c| format!("classifier {}", c.threshold));
        let mask = slice.segmenter.as_ref().map(|s| format!("mask {}", s.mask_threshold));
        [classifier, mask].into_iter().flatten().collect::<Vec<_>>()
    };
    if let Some(thresholds) = slices.iter().map(thresholds).max_by_key(Vec::len).filter(|all| !all.is_empty()) {
        rows.push(("Thresholds", thresholds.join(", ")));
    }
    rows.push(("sha256 of what was read", digest(slices)));
    // Behind a colon a warning quotes files.
    let codes: Vec<String> = study.warnings.iter().filter_map(|w| w.split(':').next()).map(escaped).collect();
    if !codes.is_empty() {
        rows.push(("Warnings", codes.join(", ")));
    }
    rows
}

/// First 12 digits of the sha256 of the file, or of the list of the slices' sha256 where there are several files.
fn digest(slices: &[&SliceReport]) -> String {
    let mut hashes: Vec<&str> = slices.iter().map(|slice| slice.sha256.as_str()).filter(|h| !h.is_empty()).collect();
    hashes.dedup();
    let short = |hash: &str| hash.get(..12).unwrap_or(hash).to_string();
    match hashes[..] {
        [] => "unknown".into(),
        [one] => short(one),
        _ => format!("{} (of {} files)", short(&format!("{:x}", Sha256::digest(hashes.join("\n")))), hashes.len()),
    }
}

fn models(report: &Report, cards: &[Card]) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    for card in cards {
        let hash = card.sha256.get(..12).unwrap_or_default();
        rows.push(("Model", format!("{} {}, weights {hash}", escaped(&card.id), escaped(&card.version))));
        rows.push(("Meant for", escaped(&card.intended_use)));
        rows.push(("Limits", escaped(&card.limits)));
    }
    rows.push(("Program, device", format!("{}, {}", escaped(&report.app), escaped(&report.device))));
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_whole_and_names_nobody_unless_asked() {
        let slice = serde_json::json!({
            "file": "DOE<JOHN>.png", "study": 0, "slice": 1, "width": 9, "height": 9, "spacing_mm": [0.5, 0.5],
            "sha256": "0123456789abcdef", "warnings": [], "timings_ms": {},
        });
        let study = serde_json::json!({
            "source": "DOE<JOHN>.png", "grouping": "single", "slices": 1, "looked_in_on_request": false, "looked_at": 1, "time": 1,
            "unlike_slices": 0, "positive_slices": 1, "highest": {"slice": 1, "probability": 0.995},
            "mask": {"voxels": 21, "slices": 1, "components": 1, "volume_ml_range": null, "diameter_mm": 3.2,
                "perpendicular_mm": [3.0, 2.0], "product_mm2": 6.0},
            "warnings": ["truth-unusable: DOE_mask.tif is empty"],
        });
        let report = serde_json::json!({
            "schema": 1, "app": "lesionlens 0", "device": "cpu", "studies": [study], "results": [slice], "errors": [],
        });
        let report: Report = serde_json::from_value(report).unwrap();
        let picture = Picture { study: 0, slice: 1, area: 21, png: vec![1, 2, 3] };
        let page = render(&report, &[picture], &[], false);
        assert!(!page.contains("DOE"), "{page}");
        for part in
            ["&gt;99 % in slice 1", "3.0 mm × 2.0 mm = 6 mm²", "0123456789ab", "AQID", "truth-unusable", "</html>"]
        {
            assert!(page.contains(part), "{part}: {page}");
        }
        assert!(!page.contains("src=\"http") && !page.contains("href"), "everything is in the file");
        assert!(render(&report, &[], &[], true).contains("DOE&lt;JOHN&gt;.png"));
    }
}

//! An evaluation as one self-contained HTML page: figures, plots, patients, and the worst slices as pictures.

use super::ExportError;
use super::html::{self, escaped};
use super::plot::{Plot, Series};
use crate::domain::card::{Level, OperatingPoint};
use crate::domain::evaluation::{Asked, Evaluation, PatientFigures};
use crate::domain::figures::Case;
use crate::domain::{figures, metrics};
use std::fmt::Write;

/// A slice to look at.
pub struct Picture {
    pub caption: String,
    /// PNG bytes.
    pub png: Vec<u8>,
}

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:64rem;padding:0 1rem;color:#1a202c}\
h1{font-size:1.5rem}h2{font-size:1.15rem;margin-top:2rem}table{border-collapse:collapse}td,th{padding:.2rem .7rem;text-align:right;\
border-bottom:1px solid #e2e8f0}td:first-child,th:first-child{text-align:left}.plots{display:flex;flex-wrap:wrap;gap:1rem}\
.note{background:#fff8e6;border-left:4px solid #d69e2e;padding:.5rem 1rem}figure{display:inline-block;margin:.5rem}\
figure img{width:20rem;image-rendering:pixelated}figcaption{font-size:.85rem;max-width:20rem}";

/// The whole page. `cases` are those the evaluation was made from.
pub fn render(e: &Evaluation, cases: &[Case], data: &str, worst: &[Picture]) -> Result<String, ExportError> {
    let mut page = String::new();
    // Writing to a String cannot fail.
    let mut put = |text: String| page.push_str(&text);
    put(format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>LesionLens evaluation</title><style>{STYLE}</style></head><body>\
         <h1>LesionLens evaluation</h1><p>{} slices of {} patients in {}</p>",
        e.slices,
        e.patients,
        escaped(data)
    ));
    put(notes(e));
    put(models(e));
    put(figure_table(e));
    put(format!("<h2>Plots</h2><div class=\"plots\">{}</div>", plots(e, cases)?));
    put(confusion(e));
    put(patients(e));
    if !worst.is_empty() {
        put("<h2>Worst slices</h2><p>Prediction cyan, truth magenta.</p>".into());
        for picture in worst {
            put(html::figure(&picture.png, &picture.caption));
        }
    }
    put("<p>LesionLens is a research aid, not a medical device.</p></body></html>\n".into());
    Ok(page)
}

fn notes(e: &Evaluation) -> String {
    let mut out = String::new();
    let mut note = |text: String| write!(out, "<p class=\"note\">{text}</p>").unwrap_or_default();
    if e.patients_seen_in_training > 0 {
        note(format!(
            "{} of these patients were in a model's training or validation data: the figures flatter. Use --split to keep to unseen patients.",
            e.patients_seen_in_training
        ));
    }
    if e.unknown_patients_in_training {
        note("A model was also trained on pictures whose patients are not known; these may be among them.".into());
    }
    if e.level == Level::SliceLeaky {
        note("The data do not say which slices belong to one patient: figures are slice-level (leaky), intervals too narrow.".into());
    }
    out
}

fn models(e: &Evaluation) -> String {
    let row = |role: &str, asked: &Option<Asked>| {
        asked.as_ref().map_or(String::new(), |a| {
            let hash = a.sha256.get(..12).unwrap_or(&a.sha256);
            format!("<tr><td>{role}</td><td>{}</td><td>{hash}</td><td>{:.2}</td></tr>", escaped(&a.id), a.threshold)
        })
    };
    format!(
        "<h2>Models</h2><table><tr><th></th><th>model</th><th>sha256</th><th>threshold</th></tr>{}{}</table>",
        row("classifier", &e.classifier),
        row("segmenter", &e.segmenter)
    )
}

/// Share or score with its interval.
fn figure_table(e: &Evaluation) -> String {
    let mut rows = String::new();
    for name in e.figures.keys() {
        let Some(value) = e.value(name) else { continue };
        let interval = e.interval(name).map_or(String::new(), |[low, high]| format!("{low:.3}–{high:.3}"));
        rows += &format!("<tr><td>{}</td><td>{value:.3}</td><td>{interval}</td></tr>", escaped(name));
    }
    if let Some(point) = e.at_wanted_recall {
        rows += &format!(
            "<tr><td>for recall {:.3}</td><td>threshold {:.2}</td><td>precision {:.3}</td></tr>",
            point.recall, point.threshold, point.precision
        );
    }
    format!(
        "<h2>Figures</h2><table><tr><th>figure</th><th>value</th><th>95 % interval over patients</th></tr>{rows}</table>"
    )
}

fn plots(e: &Evaluation, cases: &[Case]) -> Result<String, ExportError> {
    let mut all = Vec::new();
    let unit = |title: &str, x: &str, y: &str, series: Vec<Series>, diagonal: bool| Plot {
        title: title.into(),
        x_label: x.into(),
        y_label: y.into(),
        x_range: [0.0, 1.0],
        y_range: [0.0, 1.02],
        series,
        diagonal,
    };
    let line = |name: &str, points: Vec<(f64, f64)>| Series { name: name.into(), points };
    if !e.operating_curve.is_empty() {
        let by_threshold =
            |f: fn(&OperatingPoint) -> f64| e.operating_curve.iter().map(|p| (p.threshold, f(p))).collect();
        let curves = vec![
            line("recall", by_threshold(|p| p.recall)),
            line("precision", by_threshold(|p| p.precision)),
            line("specificity", by_threshold(|p| p.specificity)),
        ];
        all.push(unit("By threshold", "threshold", "share", curves, false));
        let scores = figures::scores(cases);
        let ranks = metrics::every_operating_point(&scores);
        let roc = ranks.iter().map(|p| (1.0 - p.specificity, p.recall)).collect();
        all.push(unit("ROC", "1 − specificity", "recall", vec![line("ROC", roc)], true));
        let pr = ranks.iter().map(|p| (p.recall, p.precision)).collect();
        all.push(unit("Precision and recall", "recall", "precision", vec![line("PR", pr)], false));
        let bins = metrics::reliability(&scores).into_iter().map(|bin| (bin.probability, bin.share)).collect();
        all.push(unit("Calibration", "probability", "share with tumour", vec![line("calibration", bins)], true));
    }
    let mut dices: Vec<f64> = e.by_patient.iter().filter_map(|p| p.dice).collect();
    if !dices.is_empty() {
        dices.sort_by(f64::total_cmp);
        let points = dices.iter().enumerate().map(|(i, d)| (i as f64 + 1.0, *d)).collect();
        let by_rank = unit("Dice by patient, worst first", "patient", "Dice", vec![line("Dice", points)], false);
        all.push(Plot { x_range: [0.0, dices.len() as f64 + 1.0], ..by_rank });
    }
    all.iter().map(|plot| plot.svg(440, 330)).collect()
}

fn confusion(e: &Evaluation) -> String {
    let Some(confusion) = &e.confusion else { return String::new() };
    let head: String = confusion.classes.iter().map(|c| format!("<th>{}</th>", escaped(c))).collect();
    let row = |(class, counts): (&String, &Vec<usize>)| {
        let cells: String = counts.iter().map(|n| format!("<td>{n}</td>")).collect();
        format!("<tr><td>{}</td>{cells}</tr>", escaped(class))
    };
    let rows: String = confusion.classes.iter().zip(&confusion.counts).map(row).collect();
    format!("<h2>Slices by true class (rows) and answer</h2><table><tr><th></th>{head}</tr>{rows}</table>")
}

fn patients(e: &Evaluation) -> String {
    let share = |v: Option<f64>| v.map_or("–".into(), |v| format!("{v:.3}"));
    let row = |p: &PatientFigures| {
        format!(
            "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
            escaped(&p.patient),
            p.slices,
            p.tumor_slices,
            share(p.dice),
            share(p.cascade_dice),
            share(p.recall)
        )
    };
    let rows: String = e.by_patient.iter().map(row).collect();
    format!(
        "<h2>Patients</h2><table><tr><th>patient</th><th>slices</th><th>with tumour</th><th>Dice</th><th>Dice, cascade</th><th>recall</th></tr>{rows}</table>"
    )
}

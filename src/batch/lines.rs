//! Results as JSON Lines, one study a line, so that a batch can be divided, interrupted and put together again.

use super::shard::StudyKey;
use crate::export::report::{FileError, Report};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// What a study was asked. Only answers to the same question are kept or put together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Asked {
    pub classifier: Option<AskedModel>,
    pub segmenter: Option<AskedModel>,
    /// Further flags of the command line that change an answer or the files beside it.
    pub flags: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AskedModel {
    pub id: String,
    /// sha256 of the weights.
    pub sha256: String,
    pub threshold: f64,
}

/// One line: a study's own report and its place in the batch.
#[derive(Debug, Serialize, Deserialize)]
pub struct Line {
    /// Place in the whole batch, from 1. What was wrong before any study was opened stands at 0.
    pub position: usize,
    /// Number of studies in the whole batch.
    pub of: usize,
    pub key: String,
    pub asked: Asked,
    #[serde(flatten)]
    pub report: Report,
}

impl Line {
    /// The line for a study.
    pub fn new(position: usize, of: usize, key: StudyKey, asked: Asked, report: Report) -> Self {
        Self { position, of, key: key.hex(), asked, report }
    }

    /// Text of the line, with a line feed.
    ///
    /// # Errors
    /// [`LineError::Encode`] if a name is no UTF-8.
    pub fn text(&self) -> Result<String, LineError> {
        serde_json::to_string(self).map(|text| text + "\n").map_err(|e| LineError::Encode(e.to_string()))
    }

    /// Whether the line holds an answer to `asked` about these files, without anything missing.
    pub fn answers(&self, asked: &Asked, files: &[&Path]) -> bool {
        let told: BTreeSet<&str> = self.report.results.iter().map(|slice| slice.file.as_str()).collect();
        let files: BTreeSet<String> = files.iter().map(|file| file.display().to_string()).collect();
        self.asked == *asked && self.report.errors.is_empty() && files.iter().map(String::as_str).eq(told)
    }
}

/// Why lines cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LineError {
    #[error("cannot write a line: {0}")]
    Encode(String),
    #[error("{}: cannot be read ({reason}); check the path and your permission to read it", path.display())]
    Read { path: PathBuf, reason: std::io::Error },
    #[error("{}: line {line} is no line of `predict` ({problem}); name files that --shard or --resume wrote", path.display())]
    Syntax { path: PathBuf, line: usize, problem: String },
    #[error("there are no lines to merge; name files that --shard wrote, or their folder")]
    None,
    #[error(
        "the lines answer different questions: {0}; merge parts that were made with the same models, thresholds and flags"
    )]
    Mixed(String),
    #[error("the parts saw {0} and {1} studies; make all of them from the same files")]
    Counts(usize, usize),
}

/// Reads lines. A last line without its line feed was cut off by an interruption and is left out.
///
/// # Errors
/// If the file cannot be read, or another line is damaged.
pub fn read(path: &Path) -> Result<Vec<Line>, LineError> {
    let text = std::fs::read_to_string(path).map_err(|reason| LineError::Read { path: path.to_path_buf(), reason })?;
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    let parsed = whole.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()).map(|(index, line)| {
        let problem = |e: serde_json::Error| e.to_string();
        let syntax = |problem| LineError::Syntax { path: path.to_path_buf(), line: index + 1, problem };
        serde_json::from_str(line).map_err(|e| syntax(problem(e)))
    });
    parsed.collect()
}

/// Puts lines together to the report that one run over all studies writes. A later line about a study replaces an earlier one; a
/// study that no line is about becomes an error of the report.
///
/// # Errors
/// If there are none, or they answer different questions or count different studies.
pub fn merge(lines: Vec<Line>) -> Result<Report, LineError> {
    let mut by_place: BTreeMap<(usize, String), Line> = BTreeMap::new();
    let (mut first, mut of): (Option<(Asked, String)>, usize) = (None, 0);
    for line in lines {
        match &first {
            None => {
                first = Some((line.asked.clone(), line.report.app.clone()));
                of = line.of;
            }
            Some((asked, _)) if *asked != line.asked => {
                return Err(LineError::Mixed(format!("{} and {}", described(asked), described(&line.asked))));
            }
            Some((_, app)) if *app != line.report.app => {
                return Err(LineError::Mixed(format!("{app} and {}", line.report.app)));
            }
            Some(_) if of != line.of => return Err(LineError::Counts(of, line.of)),
            Some(_) => {}
        }
        by_place.insert((line.position, line.key.clone()), line);
    }
    if first.is_none() {
        return Err(LineError::None);
    }
    let there: BTreeSet<usize> = by_place.keys().map(|(position, _)| *position).collect();
    let missing = (1..=of).filter(|position| !there.contains(position)).count();
    let devices: BTreeSet<String> = by_place.values().map(|line| line.report.device.clone()).collect();
    let mut whole = Report::new(devices.into_iter().collect::<Vec<_>>().join(", "));
    by_place.into_values().for_each(|line| whole.append(line.report));
    if missing > 0 {
        let error = format!("{missing} of {of} studies are in no part; run the missing parts, or go on with --resume");
        whole.errors.push(FileError { file: "merge".into(), error });
    }
    Ok(whole)
}

/// The question in a few words.
fn described(asked: &Asked) -> String {
    let models = asked.classifier.iter().chain(&asked.segmenter);
    let mut parts: Vec<String> =
        models.map(|m| format!("{} ({}) at {}", m.id, m.sha256.get(..12).unwrap_or(&m.sha256), m.threshold)).collect();
    parts.extend(asked.flags.iter().cloned());
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(threshold: f64) -> Asked {
        let model = AskedModel { id: "m".into(), sha256: "ab".into(), threshold };
        Asked { classifier: Some(model), segmenter: None, flags: Vec::new() }
    }

    fn line(position: usize, threshold: f64, problem: Option<&str>) -> Line {
        let mut report = Report::new("cpu".into());
        let errors = problem.iter().map(|error| FileError { file: "f".into(), error: error.to_string() });
        report.errors.extend(errors);
        Line { position, of: 2, key: format!("{position:x}"), asked: asked(threshold), report }
    }

    #[test]
    fn a_later_line_wins_and_what_no_part_has_is_told() {
        let merged = merge(vec![line(2, 0.5, Some("old")), line(2, 0.5, Some("new"))]).unwrap();
        let errors: Vec<&str> = merged.errors.iter().map(|e| e.error.as_str()).collect();
        assert_eq!(errors[0], "new");
        assert!(errors[1].starts_with("1 of 2 studies are in no part"));
        assert!(merge(vec![line(2, 0.5, None), line(1, 0.5, None)]).unwrap().errors.is_empty());
    }

    #[test]
    fn answers_to_different_questions_are_never_put_together() {
        let error = merge(vec![line(1, 0.5, None), line(2, 0.4, None)]).unwrap_err();
        assert!(error.to_string().contains("m (ab) at 0.5 and m (ab) at 0.4"), "{error}");
        assert!(matches!(merge(Vec::new()), Err(LineError::None)));
        let other = Line { of: 3, ..line(2, 0.5, None) };
        assert!(matches!(merge(vec![line(1, 0.5, None), other]), Err(LineError::Counts(2, 3))));
    }

    #[test]
    fn a_line_that_an_interruption_cut_off_is_left_out() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let text = line(1, 0.1, None).text().unwrap();
        std::fs::write(file.path(), format!("{text}{}", &text[..20])).unwrap();
        let lines = read(file.path()).unwrap();
        assert_eq!((lines.len(), lines[0].asked.clone()), (1, asked(0.1)));
        std::fs::write(file.path(), format!("{}\n{text}", &text[..20])).unwrap();
        assert!(read(file.path()).unwrap_err().to_string().contains("line 1 is no line of `predict`"));
    }
}

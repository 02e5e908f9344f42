//! The JSON Lines of a run that is divided or may be interrupted: what is done, study by study.

use super::Args;
use crate::batch::lines::{self, Asked, AskedModel, Line};
use crate::batch::model_pair::ModelPair;
use crate::batch::pair::Chosen;
use crate::batch::shard::StudyKey;
use crate::cli::save;
use crate::domain::geometry::Plane;
use crate::export::report::Report;
use crate::io::hash_of;
use anyhow::Context;
use std::collections::HashSet;
use std::fs::File;
use std::io::{Stdout, Write, stdout};
use std::path::{Path, PathBuf};

/// What answers depend on beside the files.
pub fn asked(args: &Args, models: &ModelPair) -> Asked {
    let model = |chosen: &Option<Chosen>| {
        let chosen = chosen.as_ref()?;
        let sha256 = models.cards.iter().find(|card| card.id == chosen.id).map(|card| card.sha256.clone());
        Some(AskedModel { id: chosen.id.clone(), sha256: sha256?, threshold: chosen.threshold })
    };
    let plane = |name: &str, plane: Option<Plane>| plane.map(|plane| format!("--{name} {}", plane.id()));
    let mut flags = Vec::new();
    flags.extend(args.always_segment.then(|| "--always-segment".to_string()));
    flags.extend(args.ignore_gate.then(|| "--ignore-gate".to_string()));
    flags.extend(args.band.then(|| "--band".to_string()));
    flags.extend(plane("plane", args.plane));
    flags.extend(plane("look-in", args.look_in));
    flags.extend((args.time > 1).then(|| format!("--time {}", args.time)));
    flags.extend(args.mask.as_ref().map(|_| format!("--mask --mask-format {}", args.mask_format.id())));
    flags.extend(args.overlay.as_ref().map(|_| format!("--overlay --overlay-colour {}", args.overlay_colour.id())));
    let layer = args.explain_layer.as_ref().map(|layer| format!(" --explain-layer {layer}")).unwrap_or_default();
    flags.extend(args.explain.as_ref().map(|_| format!("--explain --explain-by {}{layer}", args.explain_by.id())));
    let pair = models.pair();
    Asked { classifier: model(&pair.classifier), segmenter: model(&pair.segmenter), flags }
}

/// Where lines go, each at once.
enum Target {
    File(File),
    Stdout(Stdout),
    /// Only the table is wanted.
    Nowhere,
}

/// Lines that are there and those that are added.
pub struct Journal {
    asked: Asked,
    target: Target,
    lines: Vec<Line>,
    /// Studies of the whole batch.
    of: usize,
}

impl Journal {
    /// A journal in `path`, `-` for standard output. With `resume`, the lines in it are kept that answer `asked` about the same files; the
    /// others are left out, as everything is without it.
    ///
    /// # Errors
    /// If the file cannot be read or written.
    pub fn open(
        path: Option<&Path>,
        resume: bool,
        asked: Asked,
        studies: &[(StudyKey, Vec<&Path>)],
    ) -> anyhow::Result<Self> {
        let of = studies.len();
        let Some(path) = path else { return Ok(Self { asked, target: Target::Nowhere, lines: Vec::new(), of }) };
        if path.as_os_str() == "-" {
            return Ok(Self { asked, target: Target::Stdout(stdout()), lines: Vec::new(), of });
        }
        let before = if resume && path.exists() { lines::read(path)? } else { Vec::new() };
        let mut kept: Vec<Line> = Vec::new();
        // The last line about a study is the one that counts.
        let mut taken = HashSet::new();
        for mut line in before.into_iter().rev() {
            let Some(at) = studies.iter().position(|(key, _)| key.hex() == line.key) else { continue };
            if line.answers(&asked, &studies[at].1) && is_unchanged(&line.report) && taken.insert(at) {
                (line.position, line.of) = (at + 1, of);
                kept.push(line);
            }
        }
        kept.reverse();
        let text = kept.iter().map(Line::text).collect::<Result<String, _>>()?;
        save(path, text.as_bytes())?;
        let file = File::options().append(true).open(path);
        let file = file.with_context(|| format!("cannot write {}", path.display()))?;
        Ok(Self { asked, target: Target::File(file), lines: kept, of })
    }

    /// Whether the study at this place, from 1, is answered already.
    pub fn has(&self, position: usize) -> bool {
        self.lines.iter().any(|line| line.position == position)
    }

    /// Adds a study's own report. Place 0 is for what was wrong before any study was opened.
    ///
    /// # Errors
    /// If the line cannot be written.
    pub fn add(&mut self, position: usize, key: StudyKey, report: Report) -> anyhow::Result<()> {
        let line = Line::new(position, self.of, key, self.asked.clone(), report);
        let text = line.text()?;
        match &mut self.target {
            Target::File(file) => file.write_all(text.as_bytes())?,
            Target::Stdout(out) => out.write_all(text.as_bytes())?,
            Target::Nowhere => {}
        }
        self.lines.push(line);
        Ok(())
    }

    /// One report of all lines, in the order of the studies.
    pub fn into_report(mut self, device: String) -> Report {
        self.lines.sort_by_key(|line| line.position);
        let mut report = Report::new(device);
        self.lines.into_iter().for_each(|line| report.append(line.report));
        report
    }
}

/// Whether the files of a report are still those that were looked at.
fn is_unchanged(report: &Report) -> bool {
    let files: HashSet<(PathBuf, &str)> =
        report.results.iter().map(|slice| (PathBuf::from(&slice.file), slice.sha256.as_str())).collect();
    files.into_iter().all(|(file, sha256)| sha256.is_empty() || hash_of(&file).is_ok_and(|now| now == sha256))
}

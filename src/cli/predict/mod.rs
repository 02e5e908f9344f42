//! `lesionlens predict`: files, volumes, series and folders in, JSON, CSV, masks and overlays out.

mod journal;
mod listing;
mod merge;
mod pictures;

use super::asking::Asking;
use super::choice::choice;
use super::{emit, save};
use crate::batch::model_pair::{Manner, ModelPair};
use crate::batch::shard::{Shard, StudyKey, keys};
use crate::batch::{Batch, Looking};
use crate::domain::explanation::{Inquiry, Method};
use crate::domain::geometry::Plane;
use crate::domain::overlay::OverlayColour;
use crate::engine::candle::CandleEngine;
use crate::export::mask_volume::VolumeFormat;
use crate::export::report::{FileError, Report, TableFormat};
use crate::export::study_page;
use crate::io;
use crate::io::error::Problem;
use crate::io::paths::{Expanded, Source};
use crate::models::registry::Registry;
use anyhow::{Context, bail};
use indicatif::{ProgressBar, ProgressStyle};
use journal::Journal;
use pictures::Pictures;
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// How masks are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum MaskFormat {
    /// A picture for each slice, 0 and 255.
    Png,
    /// A file for each study.
    Volume(VolumeFormat),
}

impl MaskFormat {
    const ALL: [MaskFormat; 4] = [
        MaskFormat::Png,
        MaskFormat::Volume(VolumeFormat::Nifti),
        MaskFormat::Volume(VolumeFormat::Seg),
        MaskFormat::Volume(VolumeFormat::SegFractional),
    ];

    fn id(self) -> &'static str {
        match self {
            MaskFormat::Png => "png",
            MaskFormat::Volume(format) => format.id(),
        }
    }

    fn names_the_patient(self) -> bool {
        matches!(self, MaskFormat::Volume(format) if format.names_the_patient())
    }
}

#[derive(clap::Args)]
pub struct Args {
    /// Pictures, volumes, DICOM series and folders. A file called NAME_mask.* is the truth of NAME, never input.
    #[arg(required = true)]
    paths: Vec<PathBuf>,
    #[command(flatten)]
    asking: Asking,
    /// Segment every slice, whatever the classifier says.
    #[arg(long)]
    always_segment: bool,
    /// Answer about pictures that do not look like those a model was trained on, too; such answers are marked in the results.
    #[arg(long)]
    ignore_gate: bool,
    /// Also say how far each answer moves when the picture is mirrored, shifted, scaled and brightened a little: a range of
    /// probabilities, areas and volumes. Takes about nine times as long.
    #[arg(long)]
    band: bool,
    /// For volumes: the plane that results are shown and written in. The networks look in the study's own plane all the same, so
    /// that the mask is the same in every plane.
    #[arg(long, value_parser = choice(Plane::ALL, Plane::id))]
    plane: Option<Plane>,
    /// For volumes: the plane that the networks look in, instead of the study's own. Results are shown in it unless --plane names
    /// another.
    #[arg(long, value_name = "PLANE", value_parser = choice(Plane::ALL, Plane::id))]
    look_in: Option<Plane>,
    /// For volumes over time: the point in time, from 1.
    #[arg(long, default_value_t = 1, value_name = "N")]
    time: usize,
    /// Write results as JSON to this file, `-` for standard output.
    #[arg(long, value_name = "FILE|-")]
    json: Option<PathBuf>,
    /// Write results as CSV to this file, `-` for standard output.
    #[arg(long, value_name = "FILE|-")]
    csv: Option<PathBuf>,
    /// Write one HTML page with pictures, sizes, reading conditions and limits to this file. It names no file unless --report-names asks
    /// for it.
    #[arg(long, value_name = "FILE.html", conflicts_with_all = ["shard", "resume", "merge"])]
    report: Option<PathBuf>,
    /// Name the files in --report. Names can identify a patient.
    #[arg(long, requires = "report")]
    report_names: bool,
    /// Write scans with the mask painted over them into this folder.
    #[arg(long, value_name = "DIR")]
    overlay: Option<PathBuf>,
    /// Write, for each slice, what speaks for the classifier's answer as heat over the scan into this folder. Slices that the input
    /// gate withholds are left out.
    #[arg(long, value_name = "DIR")]
    explain: Option<PathBuf>,
    /// How answers are explained: by the network's own gradients, or by covering one place after the other (slow, but for every
    /// model).
    #[arg(long, requires = "explain", default_value = "grad-cam", value_parser = choice(Method::ALL, Method::id))]
    explain_by: Method,
    /// Layer of the classifier that Grad-CAM looks at; the last map before its pooling without one.
    #[arg(long, requires = "explain", value_name = "LAYER")]
    explain_layer: Option<String>,
    /// Colour of the mask in --overlay.
    #[arg(long, default_value = "red", value_parser = choice(OverlayColour::ALL, OverlayColour::id))]
    overlay_colour: OverlayColour,
    /// Write masks at the pictures' size into this folder.
    #[arg(long, value_name = "DIR")]
    mask: Option<PathBuf>,
    /// Masks as a picture a slice (0 and 255), as a volume a study (0 and 1) called NAME.nii.gz, or for DICOM series as a
    /// segmentation called NAME.dcm, which carries the patient's name and id as its series does.
    #[arg(long, default_value = "png", value_parser = choice(MaskFormat::ALL, MaskFormat::id))]
    mask_format: MaskFormat,
    /// Look only at this part of the studies, I from 0 to N − 1, for runs on several machines: every study is in one part, by a hash of
    /// its place below the folder. --json then has JSON Lines, one study a line; both are called shard-I-of-N without a name.
    #[arg(long, value_name = "I/N")]
    shard: Option<Shard>,
    /// Go on with the JSON Lines in --json: studies that the same weights, thresholds and flags have answered are passed over.
    #[arg(long)]
    resume: bool,
    /// Put the JSON Lines of parts together. The paths are then those files, or their folder.
    #[arg(long, conflicts_with_all = ["shard", "resume", "mask", "overlay", "explain"])]
    merge: bool,
}

pub fn run(mut args: Args) -> anyhow::Result<ExitCode> {
    if args.merge {
        prepare_targets(&args)?;
        return merge::run(&args);
    }
    let shard = args.shard.or(args.resume.then_some(Shard::WHOLE));
    if let Some(shard) = shard {
        name_lines(&mut args, shard)?;
    }
    let args = args;
    let device = args.asking.open_device()?;
    let registry = Arc::new(Registry::scan());
    let pair = args.asking.pair(&registry)?;
    let engine = CandleEngine::new(registry.clone(), device);
    let manner = Manner {
        always_segment: args.always_segment,
        ignore_gate: args.ignore_gate,
        band: args.band,
        explain: explain(&args)?,
    };
    let models = ModelPair::load(pair, &registry, Box::new(engine), manner)?;
    if args.explain.is_some() && models.pair().classifier.is_none() {
        bail!("--explain needs a classifier; leave `--classifier none` away");
    }
    if args.mask.is_some() && !models.outlines() {
        bail!("--mask needs a segmenter; leave `--segmenter none` away");
    }
    if args.mask.is_some() && args.mask_format.names_the_patient() {
        eprintln!("note: DICOM segmentations carry the patient's name and id, as their series do");
    }
    let looking = Looking { plane: args.plane, look_in: args.look_in, time: time_from_0(&args)? };
    prepare_targets(&args)?;
    let Expanded { sources, outlines, models: networks, errors } = io::paths::expand(&args.paths, &|| false);
    let named = sources.iter().flat_map(|source| source.paths()).chain(outlines.iter().map(PathBuf::as_path));
    let inputs: HashSet<PathBuf> = named.filter_map(|path| path.canonicalize().ok()).collect();
    for target in args.json.iter().chain(&args.csv).chain(&args.report) {
        if target.canonicalize().is_ok_and(|target| inputs.contains(&target)) {
            bail!("{} is one of the inputs; choose another file for the results", target.display());
        }
    }
    let keys = keys(&sources, &args.paths);
    let mut journal = match shard {
        Some(shard) => {
            let studies: Vec<_> = keys.iter().copied().zip(sources.iter().map(Source::paths)).collect();
            let asked = journal::asked(&args, &models);
            Some((shard, Journal::open(args.json.as_deref(), args.resume, asked, &studies)?))
        }
        None => None,
    };
    let cards = models.cards.clone();
    let mut batch = Batch::new(looking, models, Pictures::new(&args, inputs, shard)?);
    for error in &errors {
        batch.fail(&error.path, error.problem.to_string());
    }
    networks.iter().for_each(|path| batch.fail(path, Problem::Model.to_string()));
    if sources.is_empty() && errors.is_empty() {
        outlines.iter().for_each(|path| batch.fail(path, Problem::Outline.to_string()));
    }
    if let Some((shard, journal)) = &mut journal {
        let report = batch.take_report();
        // Every part sees the same problems, and the first one tells them.
        if shard.index == 0 && !report.errors.is_empty() {
            journal.add(0, StudyKey::NONE, report)?;
        }
    }
    let bar = ProgressBar::new(sources.len() as u64);
    bar.set_style(ProgressStyle::with_template("{bar:30} {pos}/{len} studies, {eta} left  {msg}")?);
    let stop = Arc::new(AtomicBool::new(false));
    let asked = stop.clone();
    ctrlc::set_handler(move || asked.store(true, Ordering::Relaxed))?;
    let stopped = || stop.load(Ordering::Relaxed);
    for (index, (source, key)) in sources.into_iter().zip(keys).enumerate() {
        let is_done = |(shard, journal): &(Shard, Journal)| !shard.has(&key) || journal.has(index + 1);
        if journal.as_ref().is_some_and(is_done) {
            bar.inc(1);
            continue;
        }
        let place = source.place().to_path_buf();
        if stopped() {
            batch.fail(&place, "not looked at: interrupted".into());
            continue;
        }
        bar.set_message(place.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default());
        let result = batch.source(source, &stopped, &|done, count| {
            if count > 1 {
                bar.set_message(format!("slice {done} of {count}"));
            }
        });
        if let Err(error) = result {
            batch.fail(error.file().unwrap_or(&place), error.problem());
        }
        // An interrupted study has no line, so that --resume looks at it again.
        if let Some((_, journal)) = journal.as_mut().filter(|_| !stopped()) {
            journal.add(index + 1, key, batch.take_report())?;
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    let (rest, pictures) = batch.finish();
    if let Some(target) = &args.report {
        let page = study_page::render(&rest, &pictures.into_pages(), &cards, args.report_names);
        save(target, page.as_bytes())?;
    }
    match journal {
        None => finish(args.json.as_deref(), args.csv.as_deref(), &rest),
        Some((_, journal)) => {
            let mut report = journal.into_report(rest.device.clone());
            report.append(rest);
            // The lines are written already.
            finish(None, args.csv.as_deref(), &report)
        }
    }
}

/// Names the files of a part where the user names none.
fn name_lines(args: &mut Args, shard: Shard) -> anyhow::Result<()> {
    if args.resume && args.json.as_ref().is_some_and(|json| json.as_os_str() == "-") {
        bail!("--resume reads what is there already; name a file with --json");
    }
    if args.json.is_none() && args.csv.is_none() {
        if args.shard.is_none() {
            bail!("--resume goes on with a file of JSON Lines; name it with --json");
        }
        let name = format!("shard-{}-of-{}", shard.index, shard.count);
        (args.json, args.csv) = (Some(format!("{name}.jsonl").into()), Some(format!("{name}.csv").into()));
    }
    if args.resume && args.json.is_none() {
        bail!("--resume goes on with a file of JSON Lines; name it with --json");
    }
    Ok(())
}

/// How answers are to be explained, if they are.
fn explain(args: &Args) -> anyhow::Result<Option<Inquiry>> {
    if args.explain.is_none() {
        return Ok(None);
    }
    if args.explain_layer.is_some() && args.explain_by == Method::Occlusion {
        bail!("--explain-layer is for Grad-CAM; leave `--explain-by occlusion` away");
    }
    if args.plane.is_some() && args.plane != args.look_in {
        bail!("explanations are of the plane that the networks look in; use --look-in in place of --plane");
    }
    Ok(Some(Inquiry { method: args.explain_by, layer: args.explain_layer.clone() }))
}

/// The point in time that is asked for, counted from 0.
fn time_from_0(args: &Args) -> anyhow::Result<usize> {
    args.time.checked_sub(1).context("--time counts from 1")
}

/// Writes results, prints what was not written, and tells what went wrong.
///
/// # Errors
/// If a file of results cannot be written; the others are written all the same.
fn finish(json: Option<&Path>, csv: Option<&Path>, report: &Report) -> anyhow::Result<ExitCode> {
    let tables = [(json, TableFormat::Json), (csv, TableFormat::Csv)];
    let mut written = Ok(());
    for (target, format) in tables {
        let Some(target) = target else { continue };
        let outcome = format.bytes(report).map_err(anyhow::Error::from).and_then(|bytes| emit(target, &bytes));
        written = written.and(outcome);
    }
    if json.is_none() && csv.is_none() {
        listing::print(report);
    }
    for FileError { file, error } in &report.errors {
        eprintln!("error: {file}: {error}");
    }
    written?;
    if report.errors.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    eprintln!("{} errors; there are results of {} slices", report.errors.len(), report.results.len());
    Ok(ExitCode::FAILURE)
}

/// Finds out before the work what would only fail after it.
fn prepare_targets(args: &Args) -> anyhow::Result<()> {
    let mut folders = Vec::new();
    for folder in args.overlay.iter().chain(&args.mask).chain(&args.explain) {
        std::fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
        folders.push(folder.canonicalize()?);
    }
    let one_kind = args.mask_format == MaskFormat::Png || args.mask.is_none();
    let distinct: HashSet<&PathBuf> = folders.iter().collect();
    if distinct.len() < folders.len() && one_kind {
        bail!(
            "two of --overlay, --mask and --explain name one folder, where each would overwrite the other; choose others"
        );
    }
    let to_stdout = |target: &Option<PathBuf>| target.as_ref().is_some_and(|t| t.as_os_str() == "-");
    if to_stdout(&args.json) && to_stdout(&args.csv) {
        bail!("--json and --csv cannot both go to standard output; name a file for one of them");
    }
    for file in args.json.iter().chain(&args.csv).chain(&args.report).filter(|file| file.as_os_str() != "-") {
        let folder = file.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        if !folder.is_dir() {
            bail!("{}: the folder {} does not exist; create it first", file.display(), folder.display());
        }
    }
    Ok(())
}

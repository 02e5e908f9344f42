//! `POST /api/v0/predict`: files in, the report of `predict` out.

use super::attachments::{Attachment, Attachments};
use super::problem::{Problem, of_source};
use super::query::PredictQuery;
use super::service::Service;
use super::upload::Upload;
use crate::batch::Batch;
use crate::batch::model_pair::ModelPair;
use crate::batch::pair::Pair;
use crate::export::report::Report;
use crate::io::error::Problem as FileProblem;
use crate::io::paths::{self, Expanded};
use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The report with the files that were asked for.
#[derive(Serialize)]
struct Answer<'a> {
    #[serde(flatten)]
    report: &'a Report,
    #[serde(skip_serializing_if = "Option::is_none")]
    masks: Option<Vec<Attachment>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pictures: Option<Vec<Attachment>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    explanations: Option<Vec<Attachment>>,
}

/// Ends the work on a request when nobody waits for its answer any more.
struct StopOnDrop(Arc<AtomicBool>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Answers a request. What is wrong with its address is told before its body is read.
pub async fn handle(
    State(service): State<Arc<Service>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let query = PredictQuery::parse(query.as_deref().unwrap_or_default())?;
    let pair = Pair::choose(&service.registry, query.wishes())?;
    if query.mask().is_some() && pair.segmenter.is_none() {
        return Err(Problem::Malformed("`mask` needs a segmenter; leave `segmenter=none` away".into()));
    }
    if query.explain().is_some() && pair.classifier.is_none() {
        return Err(Problem::Malformed("`explain` needs a classifier; leave `classifier=none` away".into()));
    }
    let admitted = service.admit()?;
    let upload = Upload::receive(&headers, body, service.limits.body).await?;
    let stop = StopOnDrop(Arc::new(AtomicBool::new(false)));
    let stopped = stop.0.clone();
    let worker = service.clone();
    let work = async {
        let turn = service.turn().await?;
        let job = move || {
            let _turn = turn;
            answer(&worker, upload, &query, pair, &|| stopped.load(Ordering::Relaxed))
        };
        let done = tokio::task::spawn_blocking(job).await;
        done.map_err(|panic| Problem::Internal(format!("a worker stopped: {panic}")))?
    };
    let limit = service.limits.time;
    let json = tokio::time::timeout(limit, work).await;
    drop((stop, admitted));
    let json = json.map_err(|_| Problem::TimedOut { seconds: limit.as_secs() })??;
    Ok(([(CONTENT_TYPE, "application/json")], json).into_response())
}

/// Looks at what was sent; reads files, computes, and takes its time.
fn answer(
    service: &Service,
    mut upload: Upload,
    query: &PredictQuery,
    pair: Pair,
    stopped: &dyn Fn() -> bool,
) -> Result<Vec<u8>, Problem> {
    upload.unpack(service.limits.body)?;
    let folder = upload.folder();
    let engine = Box::new(service.networks.clone());
    let models = ModelPair::load(pair, &service.registry, engine, query.manner())?;
    let outputs = Attachments { wanted: query.mask(), with_pictures: query.with_pictures(), ..Attachments::default() };
    let mut batch = Batch::new(query.looking()?, models, outputs);
    let Expanded { sources, outlines, models, errors } = paths::expand(&upload.paths, stopped);
    // The first problem decides the status where there is no result at all.
    let mut first = None;
    let mut failed = |batch: &mut Batch<Attachments>, path: &Path, problem: Problem, text: String| {
        batch.fail(path, text);
        first.get_or_insert(problem);
    };
    for error in errors {
        let problem = Problem::of_file(&name(&error.path, folder), &error.problem);
        failed(&mut batch, &error.path, problem, error.problem.to_string());
    }
    let outlines = outlines.iter().filter(|_| sources.is_empty()).map(|path| (path, FileProblem::Outline));
    for (path, problem) in models.iter().map(|path| (path, FileProblem::Model)).chain(outlines) {
        failed(&mut batch, path, Problem::of_file(&name(path, folder), &problem), problem.to_string());
    }
    for source in sources {
        let place = source.place().to_path_buf();
        if let Err(error) = batch.source(source, stopped, &|_, _| {}) {
            let path = error.file().unwrap_or(&place).to_path_buf();
            failed(&mut batch, &path, of_source(&name(&path, folder), &error), error.problem());
        }
    }
    let (mut report, outputs) = batch.finish();
    report.leave_out_folder(folder);
    if report.results.is_empty() {
        return Err(first.unwrap_or_else(|| unanswered(&report)));
    }
    let Attachments { wanted, with_pictures, masks, pictures, explanations } = outputs;
    let answer = Answer {
        report: &report,
        masks: wanted.map(|_| masks),
        pictures: with_pictures.then_some(pictures),
        explanations: query.explain().map(|_| explanations),
    };
    serde_json::to_vec(&answer).map_err(|e| Problem::Internal(format!("cannot write an answer: {e}")))
}

/// The problem of a study that was opened, but of which no slice could be read.
fn unanswered(report: &Report) -> Problem {
    let told = report.errors.first().map(|e| format!("{}: {}", e.file, e.error));
    Problem::Unanswerable(told.unwrap_or_else(|| "what was sent holds no picture; send a slice or a study".into()))
}

/// A file as the client called it.
fn name(path: &Path, folder: &Path) -> String {
    path.strip_prefix(folder).unwrap_or(path).display().to_string()
}

//! Why a request has no answer: a status, and JSON that names the problem and the remedy.

use crate::batch::SourceError;
use crate::batch::model_pair;
use crate::batch::pair::PairError;
use crate::io::error::{LoadError, Problem as FileProblem};
use axum::Json;
use axum::http::header::{CONNECTION, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::json;

/// Why a request has no answer.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// The request itself is malformed.
    #[error("{0}")]
    Malformed(String),
    #[error("the key is missing or wrong; send it as the header X-API-Key")]
    Key,
    #[error("too many requests with a wrong key; wait a minute and check the key")]
    WrongKeys,
    #[error("there is nothing at this address; GET /openapi.json lists what there is")]
    NotFound,
    #[error("no model is called `{0}`; GET /api/v0/models lists them")]
    UnknownModel(String),
    #[error("this address does not take that method; GET /openapi.json lists what it takes")]
    Method,
    #[error("the body did not arrive in time; send it again, or in smaller parts")]
    Slow,
    #[error("the body is larger than {mib} MiB; send less, or start the service with a larger --max-body")]
    TooLarge { mib: u64 },
    /// What was sent is of no kind that is read.
    #[error("{0}")]
    Unsupported(String),
    /// What was sent is of a known kind, but cannot be answered.
    #[error("{0}")]
    Unanswerable(String),
    #[error("{waiting} requests are waiting already; try again later, or start the service with a larger --queue")]
    Busy { waiting: usize },
    #[error("no answer within {seconds} seconds; send fewer slices at once")]
    TimedOut { seconds: u64 },
    #[error("the service is ending; send the request to another one")]
    Ending,
    /// A fault of the service itself. Its reason is logged, never sent.
    #[error("the service failed; its log says why")]
    Internal(String),
}

impl Problem {
    pub fn status(&self) -> StatusCode {
        match self {
            Problem::Malformed(_) => StatusCode::BAD_REQUEST,
            Problem::Key => StatusCode::UNAUTHORIZED,
            Problem::WrongKeys => StatusCode::TOO_MANY_REQUESTS,
            Problem::NotFound | Problem::UnknownModel(_) => StatusCode::NOT_FOUND,
            Problem::Method => StatusCode::METHOD_NOT_ALLOWED,
            Problem::Slow => StatusCode::REQUEST_TIMEOUT,
            Problem::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Problem::Unsupported(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Problem::Unanswerable(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Problem::Busy { .. } | Problem::TimedOut { .. } | Problem::Ending => StatusCode::SERVICE_UNAVAILABLE,
            Problem::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// Seconds after which the client may try again.
    fn retry_after(&self) -> Option<u32> {
        match self {
            Problem::WrongKeys => Some(60),
            Problem::Busy { .. } => Some(1),
            Problem::Ending => Some(5),
            _ => None,
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        if let Problem::Internal(reason) = &self {
            tracing::error!(reason, "the service failed");
        }
        let status = self.status();
        let mut response =
            (status, Json(json!({ "error": self.to_string(), "status": status.as_u16() }))).into_response();
        let headers = response.headers_mut();
        if let Some(seconds) = self.retry_after() {
            headers.insert(RETRY_AFTER, seconds.into());
        }
        match self {
            Problem::Key => {
                headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"lesionlens\""));
            }
            Problem::Ending => {
                headers.insert(CONNECTION, HeaderValue::from_static("close"));
            }
            _ => {}
        }
        response
    }
}

/// Whether no file like this is ever read, in contrast to a damaged one of a known kind.
fn is_unsupported(problem: &FileProblem) -> bool {
    use FileProblem::*;
    matches!(
        problem,
        NotAnImage | FolderWithoutImages | Model | NoPixels | IsSegmentation | UnsupportedSyntax(_) | Unsupported(_)
    )
}

impl Problem {
    /// The problem with a file. `name` is the file's as the client called it.
    pub fn of_file(name: &str, problem: &FileProblem) -> Self {
        let text = format!("{name}: {problem}");
        if is_unsupported(problem) { Problem::Unsupported(text) } else { Problem::Unanswerable(text) }
    }
}

impl From<PairError> for Problem {
    fn from(error: PairError) -> Self {
        Problem::Unanswerable(match error {
            PairError::Task { id, task, role } => format!("`{id}` answers with {task}; it cannot be the {role}"),
            other => other.to_string(),
        })
    }
}

impl From<model_pair::LoadError> for Problem {
    fn from(error: model_pair::LoadError) -> Self {
        Problem::Internal(error.to_string())
    }
}

/// A file of a request and what is wrong with it.
pub fn of_source(name: &str, error: &SourceError) -> Problem {
    match error {
        SourceError::Load(LoadError { problem, .. }) => Problem::of_file(name, problem),
        SourceError::NoSuchTime { there, asked } => {
            Problem::Unanswerable(format!("{name}: has {there} points in time, none numbered {asked}"))
        }
    }
}

//! Who answers which address, and what happens around every answer: key, log, counts.

use super::lingering::Lingering;
use super::problem::Problem;
use super::service::Service;
use super::{inference, models, page, predict};
use axum::Router;
use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::http::header::{CONTENT_TYPE, EXPECT, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use std::sync::Arc;
use std::time::Instant;

/// Addresses that need a key, those that do not, and what all have in common.
pub fn router(service: Arc<Service>) -> Router {
    let open = Router::new()
        .route("/health/live", get(live))
        .route("/health/ready", get(ready))
        .route("/v2/health/live", get(inference::live))
        .route("/v2/health/ready", get(inference::ready))
        .merge(page::router());
    let keyed = Router::new()
        .route("/api/v0/predict", post(predict::handle))
        .route("/api/v0/models", get(models::list))
        .route("/metrics", get(metrics))
        .route("/v2", get(inference::server))
        .route("/v2/repository/index", post(inference::index))
        .route("/v2/models/{id}", get(inference::metadata))
        .route("/v2/models/{id}/ready", get(inference::model_ready))
        .route("/v2/models/{id}/infer", post(inference::infer))
        .route("/v2/models/{id}/versions/{version}", get(inference::metadata))
        .route("/v2/models/{id}/versions/{version}/ready", get(inference::model_ready))
        .route("/v2/models/{id}/versions/{version}/infer", post(inference::infer))
        .layer(from_fn_with_state(service.clone(), with_key));
    open.merge(keyed)
        .fallback(async || Problem::NotFound)
        .method_not_allowed_fallback(async || Problem::Method)
        .layer(from_fn_with_state(service.clone(), observed))
        .with_state(service)
}

async fn live() -> &'static str {
    "live\n"
}

async fn ready(State(service): State<Arc<Service>>) -> (StatusCode, &'static str) {
    if service.is_ready() { (StatusCode::OK, "ready\n") } else { (StatusCode::SERVICE_UNAVAILABLE, "not ready\n") }
}

async fn metrics(State(service): State<Arc<Service>>) -> impl IntoResponse {
    ([(CONTENT_TYPE, "text/plain; version=0.0.4")], service.metrics.text())
}

/// Lets only those in who name the key.
async fn with_key(State(service): State<Arc<Service>>, request: Request, next: Next) -> Result<Response, Problem> {
    service.check_key(request.headers())?;
    Ok(next.run(request).await)
}

/// Logs and counts a request. Only the pattern of its address is told: what a client calls its files may name a patient.
async fn observed(State(service): State<Arc<Service>>, request: Request, next: Next) -> Response {
    let started = Instant::now();
    let route = request.extensions().get::<MatchedPath>().map_or("other", MatchedPath::as_str).to_string();
    let method = match request.method().as_str() {
        known @ ("GET" | "HEAD" | "POST" | "PUT" | "DELETE" | "OPTIONS" | "PATCH") => known.to_string(),
        _ => "other".into(),
    };
    let asks_first = request.headers().contains_key(EXPECT);
    let mut response = next.run(request.map(|body| Body::new(Lingering::new(body, asks_first)))).await;
    response.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    let (status, took) = (response.status().as_u16(), started.elapsed());
    service.metrics.request(&route, &method, status, took);
    let milliseconds = took.as_secs_f64() * 1e3;
    tracing::info!(route, method, status, milliseconds, "answered");
    response
}

//! The Open Inference Protocol (KServe v2, REST): the bare networks for clients and autoscalers of that ecosystem.
//!
//! A network takes the tensor that its card describes: preprocessing is the client's. Pictures go to `/api/v0/predict`.

mod tensors;

use super::problem::Problem;
use super::service::Service;
use super::upload::{check_length, limited};
use crate::domain::card::{Card, Task};
use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::response::{IntoResponse, Response};
use candle_core::{DType, Device, Tensor};
use futures_util::StreamExt;
use serde::Serialize;
use serde_json::{Value, json};
use std::sync::Arc;
use tensors::{BinarySize, DATATYPE, JSON_LENGTH, OutputTensor, Parsed, parse};

const INPUT: &str = "input";
const OUTPUT: &str = "output";
/// Examples of one request.
const MOST_EXAMPLES: usize = 64;

/// `GET /v2`.
pub async fn server() -> Json<Value> {
    let version = env!("CARGO_PKG_VERSION");
    Json(json!({ "name": "lesionlens", "version": version, "extensions": ["binary_tensor_data"] }))
}

/// `GET /v2/health/live`.
pub async fn live() -> Json<Value> {
    Json(json!({ "live": true }))
}

/// `GET /v2/health/ready`.
pub async fn ready(State(service): State<Arc<Service>>) -> Result<Json<Value>, Problem> {
    if service.is_ready() { Ok(Json(json!({ "ready": true }))) } else { Err(Problem::Ending) }
}

/// Identifier and, where the address names one, version of a model.
#[derive(serde::Deserialize)]
pub struct Named {
    id: String,
    version: Option<String>,
}

fn card(service: &Service, named: &Named) -> Result<Card, Problem> {
    let unknown = || Problem::UnknownModel(named.id.clone());
    let card = service.registry.get(&named.id).map_err(|_| unknown())?.card.clone();
    // One version of a model is there; another one must not answer in its name.
    if named.version.as_ref().is_some_and(|version| *version != card.version) {
        return Err(unknown());
    }
    Ok(card)
}

/// Shape of an example, without the batch.
fn example(card: &Card) -> [usize; 3] {
    [card.input.side, card.input.side, card.input.channels]
}

#[derive(Serialize)]
pub struct Metadata {
    name: String,
    versions: Vec<String>,
    platform: &'static str,
    inputs: Vec<TensorMetadata>,
    outputs: Vec<TensorMetadata>,
}

#[derive(Serialize)]
struct TensorMetadata {
    name: &'static str,
    datatype: &'static str,
    /// −1 stands for any number of examples.
    shape: Vec<i64>,
}

/// `GET /v2/models/ID`.
pub async fn metadata(
    State(service): State<Arc<Service>>,
    Path(named): Path<Named>,
) -> Result<Json<Metadata>, Problem> {
    let card = card(&service, &named)?;
    let side = card.input.side as i64;
    let output = match card.task {
        Task::Binary => vec![-1, 1],
        Task::Multiclass => vec![-1, card.classes.len() as i64],
        Task::Segmentation => vec![-1, side, side, 1],
    };
    let tensor = |name, shape| vec![TensorMetadata { name, datatype: DATATYPE, shape }];
    Ok(Json(Metadata {
        name: card.id,
        versions: vec![card.version],
        platform: "lesionlens",
        inputs: tensor(INPUT, vec![-1, side, side, card.input.channels as i64]),
        outputs: tensor(OUTPUT, output),
    }))
}

/// `GET /v2/models/ID/ready`: models are loaded when they are first asked.
pub async fn model_ready(
    State(service): State<Arc<Service>>,
    Path(named): Path<Named>,
) -> Result<Json<Value>, Problem> {
    let card = card(&service, &named)?;
    if service.is_ready() { Ok(Json(json!({ "name": card.id, "ready": true }))) } else { Err(Problem::Ending) }
}

/// `POST /v2/repository/index`, an extension that clients list models with.
pub async fn index(State(service): State<Arc<Service>>) -> Json<Value> {
    let entry = |card: &Card| json!({ "name": card.id, "version": card.version, "state": "READY", "reason": "" });
    Json(service.registry.entries().map(|found| entry(&found.card)).collect())
}

#[derive(Serialize)]
struct Answer {
    model_name: String,
    model_version: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    outputs: [OutputTensor; 1],
}

/// `POST /v2/models/ID/infer`.
pub async fn infer(
    State(service): State<Arc<Service>>,
    Path(named): Path<Named>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let card = card(&service, &named)?;
    check_length(&headers, service.limits.body)?;
    if headers.get(CONTENT_ENCODING).is_some_and(|encoding| encoding != "identity") {
        return Err(Problem::Unsupported("the body is compressed; send it as it is".into()));
    }
    let json_length = headers.get(JSON_LENGTH).map(|value| value.to_str().ok().and_then(|text| text.parse().ok()));
    let json_length = match json_length {
        Some(None) => return Err(Problem::Malformed(format!("{JSON_LENGTH} is no number"))),
        other => other.flatten(),
    };
    let _place = service.admit()?;
    // A tensor of the most examples, written as JSON with some 20 characters a number, is the largest body that makes sense.
    let most = example(&card).iter().product::<usize>() * MOST_EXAMPLES;
    let mut chunks = limited(body, service.limits.body.min(most as u64 * 20 + (1 << 20)));
    let mut bytes = Vec::new();
    while let Some(chunk) = chunks.next().await {
        bytes.extend_from_slice(&chunk?);
    }
    let turn = service.turn().await?;
    let worker = service.clone();
    let job = move || {
        let _turn = turn;
        let parsed = parse(&bytes, json_length, INPUT, OUTPUT)?;
        drop(bytes);
        run(&worker, card, parsed)
    };
    let done = tokio::time::timeout(service.limits.time, tokio::task::spawn_blocking(job)).await;
    let done = done.map_err(|_| Problem::TimedOut { seconds: service.limits.time.as_secs() })?;
    done.map_err(|panic| Problem::Internal(format!("a worker stopped: {panic}")))?
}

fn run(service: &Service, card: Card, parsed: Parsed) -> Result<Response, Problem> {
    let Parsed { id, shape, values, binary_output } = parsed;
    let fits = shape.len() == 4 && shape[1..] == example(&card) && (1..=MOST_EXAMPLES).contains(&shape[0]);
    if !fits {
        let wanted = example(&card);
        let text = format!("`{INPUT}` is {shape:?}; the model takes [N, {wanted:?}] with N from 1 to {MOST_EXAMPLES}");
        return Err(Problem::Malformed(text));
    }
    let failed = |e: candle_core::Error| Problem::Internal(format!("a tensor: {e}"));
    let input = Tensor::from_vec(values, shape, &Device::Cpu).map_err(failed)?;
    let output = service.networks.run(&card.id, input).map_err(|e| Problem::Internal(e.to_string()))?;
    let shape = output.dims().to_vec();
    let flat = || output.to_device(&Device::Cpu)?.flatten_all()?.to_dtype(DType::F32)?.to_vec1::<f32>();
    let values = flat().map_err(failed)?;
    if values.iter().any(|value| !value.is_finite()) {
        let text = "the network gave values that are not numbers for this input; do not use its answer";
        return Err(Problem::Unanswerable(text.into()));
    }
    let binary: Vec<u8> = values.iter().filter(|_| binary_output).flat_map(|value| value.to_le_bytes()).collect();
    let parameters = binary_output.then_some(BinarySize { binary_data_size: binary.len() });
    let data = (!binary_output).then_some(values);
    let outputs = [OutputTensor { name: OUTPUT, shape, datatype: DATATYPE, data, parameters }];
    let answer = Answer { model_name: card.id, model_version: card.version, id, outputs };
    if !binary_output {
        return Ok(Json(answer).into_response());
    }
    let json = serde_json::to_vec(&answer).map_err(|e| Problem::Internal(format!("cannot write an answer: {e}")))?;
    let length = HeaderValue::from(json.len());
    let mut response = [json, binary].concat().into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(HeaderName::from_static(JSON_LENGTH), length);
    Ok(response)
}

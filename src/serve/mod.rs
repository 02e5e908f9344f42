//! `lesionlens serve`: the networks behind HTTP. No socket is opened unless this room is asked to.
//!
//! `service` holds what requests share, `routes` says who answers which address, `listener` accepts connections.

mod archive;
mod attachments;
mod inference;
mod key;
mod lingering;
mod listener;
mod metrics;
mod models;
mod networks;
mod page;
mod predict;
mod problem;
mod query;
mod routes;
mod service;
mod upload;

pub use key::{Key, KeyError, VARIABLE as KEY_VARIABLE};
pub use service::Limits;

use crate::engine::candle::CandleEngine;
use crate::engine::{Engine, EngineError};
use crate::models::registry::Registry;
use metrics::Metrics;
use networks::Networks;
use service::Service;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;

/// From the signal to end until open requests are given up.
const LAST_REQUESTS: Duration = Duration::from_secs(30);

/// Where and how to serve.
pub struct Settings {
    pub host: String,
    pub port: u16,
    pub key: Option<Key>,
    pub limits: Limits,
}

/// Why nothing is served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error("{host} is no address of this machine ({reason}); --host takes an IP address or a name")]
    Host { host: String, reason: std::io::Error },
    #[error(
        "without a key, only 127.0.0.1 is listened on, not {host}; name a key with --key-file or {KEY_VARIABLE}, and put TLS in front"
    )]
    NoKey { host: String },
    #[error("cannot listen on {address} ({reason}); choose another --port")]
    Listen { address: SocketAddr, reason: std::io::Error },
    #[error("cannot start the service: {0}")]
    Start(std::io::Error),
    #[error("a model of the default pair cannot be loaded: {0}")]
    Models(EngineError),
}

/// The addresses of a host. Without a key all of them must be this machine's own loopback.
fn addresses(settings: &Settings) -> Result<Vec<SocketAddr>, ServeError> {
    let Settings { host, port, key, .. } = settings;
    let found = (host.as_str(), *port).to_socket_addrs();
    let found: Vec<SocketAddr> = found.map_err(|reason| ServeError::Host { host: host.clone(), reason })?.collect();
    if key.is_none() && !found.iter().all(|address| address.ip().is_loopback()) {
        return Err(ServeError::NoKey { host: host.clone() });
    }
    Ok(found)
}

/// Serves until the process is told to end (SIGINT, SIGTERM). Calls `listening` with the address once connections are accepted.
///
/// # Errors
/// If the address cannot be listened on or the default models cannot be loaded.
pub fn run(
    settings: Settings,
    registry: Arc<Registry>,
    engine: CandleEngine,
    listening: impl FnOnce(SocketAddr),
) -> Result<(), ServeError> {
    let addresses = addresses(&settings)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.map_err(ServeError::Start)?;
    let metrics = Arc::new(Metrics::default());
    let networks = Networks::start(engine, metrics.clone());
    let limits = settings.limits;
    let service = Arc::new(Service::new(registry, networks, metrics, settings.key, limits));
    let served = runtime.block_on(async {
        let listener = bind(&addresses).await?;
        let address = listener.local_addr().map_err(ServeError::Start)?;
        listening(address);
        tracing::info!(%address, "listening");
        let loading = tokio::task::spawn_blocking({
            let service = service.clone();
            move || load(&service)
        });
        let connections = listener::Connections::default();
        tokio::select! {
            () = connections.accept(&listener, routes::router(service.clone())) => {}
            () = ended() => {}
            failure = failed(loading) => return Err(ServeError::Models(failure)),
        }
        service.set_ready(false);
        drop(listener);
        tracing::info!("ending: open requests are answered first");
        if !connections.finish(LAST_REQUESTS).await {
            tracing::warn!("requests were still open and are given up");
        }
        Ok(())
    });
    // A network in the middle of its run is not waited for.
    runtime.shutdown_background();
    served
}

async fn bind(addresses: &[SocketAddr]) -> Result<TcpListener, ServeError> {
    let mut last = None;
    for address in addresses {
        match TcpListener::bind(address).await {
            Ok(listener) => return Ok(listener),
            Err(reason) => last = Some(ServeError::Listen { address: *address, reason }),
        }
    }
    Err(last.unwrap_or(ServeError::Start(std::io::ErrorKind::AddrNotAvailable.into())))
}

/// Loads the default pair, after which the service is ready.
fn load(service: &Service) -> Result<(), EngineError> {
    let (classifier, segmenter) = service.registry.default_pair();
    let mut networks = service.networks.clone();
    for id in classifier.iter().chain(&segmenter) {
        networks.prepare(id)?;
    }
    service.set_ready(true);
    tracing::info!("ready");
    Ok(())
}

/// Waits for ever unless loading fails.
async fn failed(loading: tokio::task::JoinHandle<Result<(), EngineError>>) -> EngineError {
    match loading.await {
        Ok(Ok(())) => std::future::pending().await,
        Ok(Err(error)) => error,
        Err(panic) => EngineError::Failed(panic.to_string()),
    }
}

/// Waits until the process is told to end.
async fn ended() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminated) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminated.recv() => {}
            }
            return;
        }
    }
    // Without a way to be told, the process is ended from outside.
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}

//! Accepts connections, not too many at once, and ends them gracefully.

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

/// Connections at once. Further ones wait in the system's own queue.
const MOST_CONNECTIONS: usize = 1024;
/// A client may take so long for the head of a request.
const HEAD: Duration = Duration::from_secs(20);
/// Wait after a connection could not be accepted, as when files run out.
const PAUSE: Duration = Duration::from_millis(50);

/// Open connections.
pub struct Connections {
    graceful: GracefulShutdown,
    free: Arc<Semaphore>,
}

impl Default for Connections {
    fn default() -> Self {
        Self { graceful: GracefulShutdown::new(), free: Arc::new(Semaphore::new(MOST_CONNECTIONS)) }
    }
}

impl Connections {
    /// Accepts connections for as long as it is polled.
    pub async fn accept(&self, listener: &TcpListener, router: Router) {
        loop {
            let Ok(permit) = self.free.clone().acquire_owned().await else { return };
            let stream = match listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
            };
            // Answers are written at once: waiting to fill a packet only delays them.
            let _ = stream.set_nodelay(true);
            let service = TowerToHyperService::new(router.clone());
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD)
                .serve_connection(TokioIo::new(stream), service);
            let watched = self.graceful.watch(connection);
            tokio::spawn(async move {
                // A client that goes away is no fault of the service.
                let _ = watched.await;
                drop(permit);
            });
        }
    }

    /// Lets open requests finish; returns whether all did in time.
    pub async fn finish(self, limit: Duration) -> bool {
        tokio::time::timeout(limit, self.graceful.shutdown()).await.is_ok()
    }
}

//! What all requests share.

use super::key::Key;
use super::metrics::{Admitted, Metrics};
use super::networks::Networks;
use super::problem::Problem;
use crate::models::registry::Registry;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};

/// Requests with a wrong key within a minute, after which further ones are told to wait.
const MOST_WRONG_KEYS: u32 = 100;

/// What a request may take.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes of a body.
    pub body: u64,
    /// Requests that wait while others are answered.
    pub queue: usize,
    /// Requests that are answered side by side; the networks themselves run one after another.
    pub workers: usize,
    /// From the last byte of a request to its answer.
    pub time: Duration,
}

/// Registry, networks, limits and counts.
pub struct Service {
    pub registry: Arc<Registry>,
    pub networks: Networks,
    pub limits: Limits,
    pub metrics: Arc<Metrics>,
    key: Option<Key>,
    admission: Semaphore,
    workers: Arc<Semaphore>,
    is_ready: AtomicBool,
    /// The minute that wrong keys are counted in, and how many there were.
    wrong_keys: Mutex<(Instant, u32)>,
}

/// A place among the requests that are answered or wait for it.
pub struct Place<'a> {
    _permit: SemaphorePermit<'a>,
    _counted: Admitted<'a>,
}

impl Service {
    pub fn new(
        registry: Arc<Registry>,
        networks: Networks,
        metrics: Arc<Metrics>,
        key: Option<Key>,
        limits: Limits,
    ) -> Self {
        Self {
            registry,
            networks,
            limits,
            metrics,
            key,
            admission: Semaphore::new(limits.queue + limits.workers),
            workers: Arc::new(Semaphore::new(limits.workers)),
            is_ready: AtomicBool::new(false),
            wrong_keys: Mutex::new((Instant::now(), 0)),
        }
    }

    /// Takes a place in the queue before any of a body is read, so that waiting bodies are bounded too.
    ///
    /// # Errors
    /// [`Problem::Busy`] when the queue is full.
    pub fn admit(&self) -> Result<Place<'_>, Problem> {
        let permit = self.admission.try_acquire().map_err(|_| Problem::Busy { waiting: self.limits.queue })?;
        Ok(Place { _permit: permit, _counted: self.metrics.admit() })
    }

    /// Waits for one of the workers.
    ///
    /// # Errors
    /// [`Problem::Ending`] when there are none any more.
    pub async fn turn(&self) -> Result<OwnedSemaphorePermit, Problem> {
        self.workers.clone().acquire_owned().await.map_err(|_| Problem::Ending)
    }

    /// Lets a request in that names the key, or any where there is none.
    ///
    /// # Errors
    /// If the key is wrong or missing.
    pub fn check_key(&self, headers: &axum::http::HeaderMap) -> Result<(), Problem> {
        if self.key.as_ref().is_none_or(|key| key.is_named_in(headers)) {
            return Ok(());
        }
        let mut counted = self.wrong_keys.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let (since, count) = &mut *counted;
        if since.elapsed() > Duration::from_secs(60) {
            (*since, *count) = (Instant::now(), 0);
        }
        *count += 1;
        Err(if *count > MOST_WRONG_KEYS { Problem::WrongKeys } else { Problem::Key })
    }

    /// Whether the models are loaded and the service is not ending.
    pub fn is_ready(&self) -> bool {
        self.is_ready.load(Ordering::Relaxed)
    }

    pub fn set_ready(&self, ready: bool) {
        self.is_ready.store(ready, Ordering::Relaxed);
    }
}

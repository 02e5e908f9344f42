//! Memory that plans reuse from run to run.

use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, PoisonError};

/// Things that are lent out and taken back; as many as were ever needed at once.
pub struct Pool<S> {
    idle: Mutex<Vec<S>>,
}

impl<S> Default for Pool<S> {
    fn default() -> Self {
        Self { idle: Mutex::new(Vec::new()) }
    }
}

impl<S> Pool<S> {
    /// An idle one, or a new one.
    pub fn lend_or(&self, make: impl FnOnce() -> S) -> Guard<'_, S> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        Guard { pool: self, lent: Some(idle.unwrap_or_else(make)) }
    }
}

/// Gives back what was lent when dropped.
pub struct Guard<'a, S> {
    pool: &'a Pool<S>,
    /// There until the drop.
    lent: Option<S>,
}

impl<S> Deref for Guard<'_, S> {
    type Target = S;

    fn deref(&self) -> &S {
        self.lent.as_ref().unwrap_or_else(|| unreachable!("lent until dropped"))
    }
}

impl<S> DerefMut for Guard<'_, S> {
    fn deref_mut(&mut self) -> &mut S {
        self.lent.as_mut().unwrap_or_else(|| unreachable!("lent until dropped"))
    }
}

impl<S> Drop for Guard<'_, S> {
    fn drop(&mut self) {
        // What a panic left half done is not for the next.
        if let Some(lent) = self.lent.take().filter(|_| !std::thread::panicking()) {
            self.pool.idle.lock().unwrap_or_else(PoisonError::into_inner).push(lent);
        }
    }
}

/// Scratch of one task.
#[derive(Default)]
pub struct Workspace<T> {
    /// Sums between blocks of weights.
    pub sums: Vec<f32>,
    /// Rows before pooling, or panels before they stand side by side.
    pub maps: Vec<T>,
}

/// Scratch for all tasks of a plan.
#[derive(Default)]
pub struct Workspaces<T>(Pool<Workspace<T>>);

impl<T: Default> Workspaces<T> {
    pub fn lend(&self) -> Guard<'_, Workspace<T>> {
        self.0.lend_or(Workspace::default)
    }
}

//! The last few things that were made, so that looking again costs nothing.

use std::sync::Mutex;

/// A small store with a budget of bytes, which forgets what was used longest ago; the newest is kept whatever its size.
pub struct Recent<K, V> {
    budget: usize,
    /// With their bytes, the newest last.
    entries: Mutex<Vec<(K, V, usize)>>,
}

impl<K: PartialEq, V: Clone> Recent<K, V> {
    pub fn new(budget: usize) -> Self {
        Self { budget, entries: Mutex::new(Vec::new()) }
    }

    pub fn has(&self, key: &K) -> bool {
        self.entries.lock().is_ok_and(|entries| entries.iter().any(|(k, ..)| k == key))
    }

    /// The value under `key`; made, with its bytes, when it is not there. Several threads may make one value at once.
    pub fn get_or_make<E>(&self, key: K, make: impl FnOnce() -> Result<(V, usize), E>) -> Result<V, E> {
        if let Some(found) = self.take(&key) {
            return Ok(found);
        }
        let (value, bytes) = make()?;
        if let Ok(mut entries) = self.entries.lock() {
            entries.retain(|(k, ..)| *k != key);
            entries.push((key, value.clone(), bytes));
            while entries.len() > 1 && entries.iter().map(|(.., bytes)| bytes).sum::<usize>() > self.budget {
                entries.remove(0);
            }
        }
        Ok(value)
    }

    /// The value under `key`, which becomes the newest.
    fn take(&self, key: &K) -> Option<V> {
        let mut entries = self.entries.lock().ok()?;
        let at = entries.iter().position(|(k, ..)| k == key)?;
        let entry = entries.remove(at);
        let value = entry.1.clone();
        entries.push(entry);
        Some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_used_longest_ago_goes_first() {
        let recent = Recent::new(10);
        let put = |key: u8, bytes: usize| recent.get_or_make(key, || Ok::<_, ()>((key, bytes))).unwrap();
        put(1, 4);
        put(2, 4);
        assert_eq!(recent.get_or_make(1, || Err(())), Ok(1));
        put(3, 4);
        assert!(recent.has(&1) && !recent.has(&2) && recent.has(&3));
        put(4, 99);
        assert!(recent.has(&4) && !recent.has(&3));
        assert_eq!(recent.get_or_make(5, || Err("no")), Err("no"));
    }
}

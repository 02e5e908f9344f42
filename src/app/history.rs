//! What can be undone and done again.

/// Changes kept.
const MOST: usize = 100;

/// Former states, the newest last, and those that were undone.
pub struct History<T> {
    past: Vec<T>,
    future: Vec<T>,
}

impl<T> Default for History<T> {
    fn default() -> Self {
        Self { past: Vec::new(), future: Vec::new() }
    }
}

impl<T> History<T> {
    /// Notes the state before a change. What was undone before cannot be done again.
    pub fn add(&mut self, before: T) {
        self.future.clear();
        self.past.push(before);
        if self.past.len() > MOST {
            self.past.remove(0);
        }
    }

    /// Forgets the newest change, which came to nothing.
    pub fn forget(&mut self) {
        self.past.pop();
    }

    /// Goes back: `swap` puts a former state in place and gives the one that it replaces, or nothing when there is no place for it
    /// any more. Says whether anything was undone.
    pub fn undo(&mut self, swap: impl FnOnce(T) -> Option<T>) -> bool {
        let now = self.past.pop().and_then(swap);
        let done = now.is_some();
        self.future.extend(now);
        done
    }

    /// Does again what was undone last, as [`Self::undo`].
    pub fn redo(&mut self, swap: impl FnOnce(T) -> Option<T>) -> bool {
        let now = self.future.pop().and_then(swap);
        let done = now.is_some();
        self.past.extend(now);
        done
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_undone_and_done_again_in_order() {
        let mut history = History::default();
        let mut value = 1;
        for next in [2, 3] {
            history.add(value);
            value = next;
        }
        let mut step = |history: &mut History<i32>, back: bool| {
            let swap = |other| Some(std::mem::replace(&mut value, other));
            let done = if back { history.undo(swap) } else { history.redo(swap) };
            (done, value)
        };
        assert_eq!([true, true, true].map(|back| step(&mut history, back)), [(true, 2), (true, 1), (false, 1)]);
        assert_eq!([false, true].map(|back| step(&mut history, back)), [(true, 2), (true, 1)]);
        history.add(7);
        assert!(!step(&mut history, false).0, "a new change leaves nothing to be done again");
    }
}

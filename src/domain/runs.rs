//! Runs of pixels and the parts they make: connected components without looking at pixels one by one.

/// Pixels of a mask side by side in one row: columns `start..end`.
#[derive(Debug, Clone, Copy)]
pub struct Run {
    pub row: usize,
    pub start: usize,
    pub end: usize,
}

/// Which runs belong together (a disjoint-set forest).
pub struct Parts {
    parent: Vec<usize>,
}

impl Parts {
    /// Every run by itself.
    pub fn new(count: usize) -> Self {
        Self { parent: (0..count).collect() }
    }

    /// The first run of the part that `at` belongs to.
    pub fn root(&mut self, mut at: usize) -> usize {
        while self.parent[at] != at {
            self.parent[at] = self.parent[self.parent[at]];
            at = self.parent[at];
        }
        at
    }

    fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.root(a), self.root(b));
        self.parent[a.max(b)] = a.min(b);
    }

    /// Number of parts.
    pub fn count(&mut self) -> usize {
        (0..self.parent.len()).filter(|at| self.root(*at) == *at).count()
    }

    /// Joins runs of two lists, each sorted by rows and columns and numbered from its start, that touch: in one row or neighbouring
    /// ones, overlapping or meeting at a corner.
    pub fn join_touching(&mut self, (a, a_start): (&[Run], usize), (b, b_start): (&[Run], usize)) {
        let mut first = 0;
        for (i, run) in a.iter().enumerate() {
            while first < b.len() && b[first].row + 1 < run.row {
                first += 1;
            }
            for (j, other) in b.iter().enumerate().skip(first).take_while(|(_, other)| other.row <= run.row + 1) {
                if other.start <= run.end && run.start <= other.end {
                    self.join(a_start + i, b_start + j);
                }
            }
        }
    }
}

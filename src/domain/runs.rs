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
    /// ones, overlapping or meeting at a corner. Each row is walked along once with each of its neighbours.
    pub fn join_touching(&mut self, (a, a_start): (&[Run], usize), (b, b_start): (&[Run], usize)) {
        let mut first = a_start;
        for row in a.chunk_by(|x, y| x.row == y.row) {
            let y = row[0].row;
            for near in y.saturating_sub(1)..=y + 1 {
                let from = b.partition_point(|run| run.row < near);
                let until = b.partition_point(|run| run.row <= near);
                self.join_rows((row, first), (&b[from..until], b_start + from));
            }
            first += row.len();
        }
    }

    /// Two rows from left to right.
    fn join_rows(&mut self, (a, a_start): (&[Run], usize), (b, b_start): (&[Run], usize)) {
        let (mut i, mut j) = (0, 0);
        while i < a.len() && j < b.len() {
            if b[j].start <= a[i].end && a[i].start <= b[j].end {
                self.join(a_start + i, b_start + j);
            }
            if a[i].end < b[j].end {
                i += 1;
            } else {
                j += 1;
            }
        }
    }
}

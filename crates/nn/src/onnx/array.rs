//! Constants of a graph: numbers with sides, and the arithmetic that exporters leave between them.

/// Numbers of one kind.
#[derive(Debug, Clone, PartialEq)]
pub enum Values {
    Floats(Vec<f32>),
    Integers(Vec<i64>),
}

/// A constant tensor in row-major order.
#[derive(Debug, Clone, PartialEq)]
pub struct Array {
    pub sides: Vec<usize>,
    pub values: Values,
}

impl Array {
    /// `None` if there are not as many values as the sides say.
    pub fn floats(sides: Vec<usize>, values: Vec<f32>) -> Option<Self> {
        (count(&sides) == Some(values.len())).then_some(Self { sides, values: Values::Floats(values) })
    }

    /// As [`Self::floats`].
    pub fn integers(sides: Vec<usize>, values: Vec<i64>) -> Option<Self> {
        (count(&sides) == Some(values.len())).then_some(Self { sides, values: Values::Integers(values) })
    }

    /// A list of integers.
    pub fn list(values: Vec<i64>) -> Self {
        Self { sides: vec![values.len()], values: Values::Integers(values) }
    }

    pub fn len(&self) -> usize {
        match &self.values {
            Values::Floats(values) => values.len(),
            Values::Integers(values) => values.len(),
        }
    }

    pub fn as_floats(&self) -> Vec<f32> {
        match &self.values {
            Values::Floats(values) => values.clone(),
            Values::Integers(values) => values.iter().map(|v| *v as f32).collect(),
        }
    }

    pub fn as_integers(&self) -> Vec<i64> {
        match &self.values {
            Values::Floats(values) => values.iter().map(|v| *v as i64).collect(),
            Values::Integers(values) => values.clone(),
        }
    }

    /// The only value.
    pub fn scalar(&self) -> Option<f32> {
        (self.len() == 1).then(|| self.as_floats()[0])
    }

    /// The same values with other sides.
    pub fn reshaped(&self, sides: Vec<usize>) -> Option<Self> {
        (count(&sides) == Some(self.len())).then(|| Self { sides, values: self.values.clone() })
    }

    /// Values at these places, with other sides.
    fn picked(&self, sides: Vec<usize>, places: &[usize]) -> Self {
        let values = match &self.values {
            Values::Floats(values) => Values::Floats(places.iter().map(|at| values[*at]).collect()),
            Values::Integers(values) => Values::Integers(places.iter().map(|at| values[*at]).collect()),
        };
        Self { sides, values }
    }

    /// The axes in another order.
    pub fn transposed(&self, order: &[usize]) -> Option<Self> {
        let mut sorted = order.to_vec();
        sorted.sort_unstable();
        if !sorted.into_iter().eq(0..self.sides.len()) {
            return None;
        }
        let strides = strides(&self.sides);
        let sides: Vec<usize> = order.iter().map(|axis| self.sides[*axis]).collect();
        let moved: Vec<usize> = order.iter().map(|axis| strides[*axis]).collect();
        let places: Vec<usize> = each_place(&sides).map(|at| at.iter().zip(&moved).map(|(i, s)| i * s).sum()).collect();
        Some(self.picked(sides, &places))
    }

    /// Entries of an axis by number, negative ones from the end.
    pub fn gathered(&self, axis: usize, indices: &Array) -> Option<Self> {
        let side = *self.sides.get(axis)?;
        let wanted: Option<Vec<usize>> = indices
            .as_integers()
            .into_iter()
            .map(|i| usize::try_from(if i < 0 { i + side as i64 } else { i }).ok().filter(|i| *i < side))
            .collect();
        let (wanted, inner) = (wanted?, self.sides[axis + 1..].iter().product::<usize>());
        let outer: usize = self.sides[..axis].iter().product();
        count(&[outer, wanted.len(), inner])?;
        let mut places = Vec::new();
        for o in 0..outer {
            for i in &wanted {
                places.extend((0..inner).map(|k| (o * side + i) * inner + k));
            }
        }
        let sides = [&self.sides[..axis], &indices.sides, &self.sides[axis + 1..]].concat();
        Some(self.picked(sides, &places))
    }

    /// A function of two arrays, each side of which may be 1 in one of them.
    pub fn combined(&self, other: &Array, function: impl Fn(f64, f64) -> f64) -> Option<Self> {
        let rank = self.sides.len().max(other.sides.len());
        let padded = |sides: &[usize]| [vec![1; rank - sides.len()], sides.to_vec()].concat();
        let (a, b) = (padded(&self.sides), padded(&other.sides));
        let sides: Option<Vec<usize>> =
            a.iter().zip(&b).map(|(a, b)| (a == b || *a == 1 || *b == 1).then_some(*a.max(b))).collect();
        let sides = sides?;
        count(&sides)?;
        let (sa, sb) = (strides(&a), strides(&b));
        let place = |at: &[usize], own: &[usize], strides: &[usize]| -> usize {
            at.iter().zip(own).zip(strides).map(|((i, side), stride)| if *side == 1 { 0 } else { i * stride }).sum()
        };
        let number = |array: &Array, at: usize| match &array.values {
            Values::Floats(values) => f64::from(values[at]),
            Values::Integers(values) => values[at] as f64,
        };
        let results: Vec<f64> = each_place(&sides)
            .map(|at| function(number(self, place(&at, &a, &sa)), number(other, place(&at, &b, &sb))))
            .collect();
        let whole = matches!((&self.values, &other.values), (Values::Integers(_), Values::Integers(_)));
        Some(if whole {
            Self { sides, values: Values::Integers(results.into_iter().map(|v| v.trunc() as i64).collect()) }
        } else {
            Self { sides, values: Values::Floats(results.into_iter().map(|v| v as f32).collect()) }
        })
    }
}

/// Values that a constant may have: 1 GiB in f32.
const MOST_VALUES: usize = 1 << 28;

/// Number of values; `None` for more than a network has.
fn count(sides: &[usize]) -> Option<usize> {
    sides.iter().try_fold(1usize, |all, side| all.checked_mul(*side)).filter(|count| *count <= MOST_VALUES)
}

fn strides(sides: &[usize]) -> Vec<usize> {
    let mut out = vec![1; sides.len()];
    for axis in (0..sides.len().saturating_sub(1)).rev() {
        out[axis] = out[axis + 1] * sides[axis + 1];
    }
    out
}

fn each_place(sides: &[usize]) -> impl Iterator<Item = Vec<usize>> + '_ {
    let strides = strides(sides);
    (0..sides.iter().product())
        .map(move |at: usize| sides.iter().zip(&strides).map(|(side, stride)| at / stride % side).collect())
}

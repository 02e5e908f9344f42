//! A safe door to the `gemm` crate for the one product the operations need.

use super::Element;

/// A dense matrix view: `rows`×`columns`, element (i, j) at `i * row_stride + j * column_stride`.
#[derive(Clone, Copy)]
pub struct View<'a, T> {
    pub values: &'a [T],
    pub rows: usize,
    pub columns: usize,
    row_stride: usize,
    column_stride: usize,
}

impl<'a, T> View<'a, T> {
    /// Row-major, tightly packed.
    pub fn new(values: &'a [T], rows: usize, columns: usize) -> Self {
        assert!(values.len() >= rows * columns, "matrix view larger than its values");
        Self { values, rows, columns, row_stride: columns, column_stride: 1 }
    }

    /// Row-major, rows `row_stride` values apart.
    pub fn strided(values: &'a [T], rows: usize, columns: usize, row_stride: usize) -> Self {
        let reach = rows.checked_sub(1).map_or(0, |last| last * row_stride + columns);
        assert!(values.len() >= reach, "matrix view larger than its values");
        Self { values, rows, columns, row_stride, column_stride: 1 }
    }

    pub fn transposed(self) -> Self {
        Self {
            rows: self.columns,
            columns: self.rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
            ..self
        }
    }
}

/// `out (+)= a · b`, with `out` row-major and tightly packed; `accumulate` keeps what is there.
pub fn product<T: Element>(out: &mut [T], a: View<T>, b: View<T>, accumulate: bool) {
    assert_eq!(a.columns, b.rows, "matrix product of unlike sizes");
    assert!(out.len() >= a.rows * b.columns, "matrix product does not fit its output");
    if a.rows == 0 || b.columns == 0 {
        return;
    }
    let one = T::of(1.0);
    // SAFETY: `View`'s constructors proved that the largest index of either input lies inside its slice, and the assert above does so
    // for the output; the three slices cannot overlap because `out` is borrowed exclusively.
    unsafe {
        gemm::gemm(
            a.rows,
            b.columns,
            a.columns,
            out.as_mut_ptr(),
            1,
            b.columns as isize,
            accumulate,
            a.values.as_ptr(),
            a.column_stride as isize,
            a.row_stride as isize,
            b.values.as_ptr(),
            b.column_stride as isize,
            b.row_stride as isize,
            one,
            one,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}

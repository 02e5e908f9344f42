//! One picture shared out by strips of rows.

use super::value::Value;
use rayon::prelude::*;

/// Gives every strip of `values` with its number to `work`, side by side when there are several threads.
pub fn each_strip<T: Value>(
    rows: &mut [T],
    values: usize,
    threads: usize,
    work: impl Fn((usize, &mut [T])) + Send + Sync,
) {
    if threads > 1 {
        rows.par_chunks_mut(values).enumerate().for_each(work);
    } else {
        rows.chunks_mut(values).enumerate().for_each(work);
    }
}

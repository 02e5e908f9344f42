//! Transforms of Winograd's F(2×2, 3×3) (Lavin & Gray 2016): a 3×3 convolution at stride 1 by 16 products where 36 were.
//!
//! A tile is 4×4 input pixels and gives 2×2 outputs. Y = Aᵀ[(G g Gᵀ) ⊙ (Bᵀ d B)]A with
//! Bᵀ = (1 0 −1 0; 0 1 1 0; 0 −1 1 0; 0 1 0 −1), G = (1 0 0; ½ ½ ½; ½ −½ ½; 0 0 1), Aᵀ = (1 1 1 0; 0 1 −1 −1).

use super::{Finish, Kernel, Lanes, store_some};
use crate::plan::value::Value;

/// Products of one tile.
pub const PRODUCTS: usize = 16;

/// Bᵀ d B for all channels of one tile.
pub struct Input<'a, T> {
    pub source: &'a [T],
    /// Offsets of the tile's rows and, inside a row, of its columns.
    pub rows: [usize; 4],
    pub columns: [usize; 4],
    /// A multiple of the lanes.
    pub channels: usize,
    /// The tile's values for product k start at k · plane.
    pub to: &'a mut [T],
    pub plane: usize,
}

/// Aᵀ M A, bias, residual and finish for one panel of one tile.
pub struct Output<'a, T> {
    /// The tile's sums of product k start at k · plane.
    pub sums: &'a [f32],
    pub plane: usize,
    /// Channels of the panel including padding.
    pub width: usize,
    /// Channels that are stored.
    pub channels: usize,
    pub bias: &'a [f32],
    pub finish: Finish<'a>,
    /// Values to add, at these offsets for the four outputs.
    pub residual: Option<(&'a [T], [usize; 4])>,
    pub target: &'a mut [T],
    /// Where the four outputs go: (0,0), (0,1), (1,0), (1,1); `None` for those beyond the map.
    pub places: [Option<usize>; 4],
    /// Only the largest of the four, which then all exist, is stored: in the first place.
    pub pool: bool,
}

/// G g Gᵀ of one kernel, rows first.
pub fn transform_kernel(g: [[f32; 3]; 3]) -> [f32; PRODUCTS] {
    let line = |[a, b, c]: [f64; 3]| [a, (a + b + c) / 2.0, (a - b + c) / 2.0, c];
    let g = g.map(|row| row.map(f64::from));
    let columns: [[f64; 4]; 3] = std::array::from_fn(|j| line([g[0][j], g[1][j], g[2][j]]));
    let mut out = [0.0; PRODUCTS];
    for i in 0..4 {
        let row = line([columns[0][i], columns[1][i], columns[2][i]]);
        for j in 0..4 {
            out[4 * i + j] = row[j] as f32;
        }
    }
    out
}

impl<T: Value> Kernel<T> {
    /// Whether the transforms work on maps of so many channels.
    pub fn has_winograd(&self, channels: usize) -> bool {
        channels.is_multiple_of(self.lanes.max(self.group))
    }

    /// # Panics
    /// If a slice is too short for what the job says; that would be a fault of the plan.
    pub fn winograd_input(&self, job: &mut Input<T>) {
        let far = |offsets: [usize; 4]| offsets.into_iter().fold(0, usize::max);
        assert!(self.has_winograd(job.channels));
        assert!(job.source.len() >= far(job.rows) + far(job.columns) + job.channels);
        assert!(job.to.len() >= (PRODUCTS - 1) * job.plane + job.channels);
        // SAFETY: the processor has the instructions (see `Kernel`); the assertions prove the last index of either slice.
        unsafe { (self.winograd.input)(job) }
    }

    /// # Panics
    /// As [`Self::winograd_input`].
    pub fn winograd_output(&self, job: &mut Output<T>) {
        let far = job.places.into_iter().flatten().fold(0, usize::max);
        assert!(self.has_winograd(job.width) && job.channels <= job.width);
        assert!(job.sums.len() >= (PRODUCTS - 1) * job.plane + job.width && job.bias.len() >= job.width);
        assert!(job.target.len() >= far + job.channels);
        assert!(job.finish.affine.is_none_or(|(a, b)| a.len() >= job.width && b.len() >= job.width));
        let reaches = |(values, offsets): (&[T], [usize; 4])| {
            let read = job.places.map(|place| place.is_some() || job.pool);
            offsets.into_iter().zip(read).all(|(offset, read)| !read || values.len() >= offset + job.width)
        };
        assert!(job.residual.is_none_or(reaches));
        // SAFETY: as above, for every slice; an output beyond the map reads no residual.
        unsafe { (self.winograd.output)(job) }
    }
}

/// # Safety
/// The instruction set of `L` must be there and the job's slices as long as [`Kernel::winograd_input`] checks.
#[inline(always)]
#[expect(clippy::needless_range_loop, reason = "closures of iterators would not have the caller's instruction set")]
pub(super) unsafe fn input<L: Lanes>(job: &mut Input<L::Value>) {
    // SAFETY: passed on from the caller.
    unsafe {
        for c in (0..job.channels).step_by(L::WIDTH) {
            let mut half = [[L::splat(0.0); 4]; 4];
            for j in 0..4 {
                let mut d = [L::splat(0.0); 4];
                for i in 0..4 {
                    d[i] = L::load_values(job.source.as_ptr().add(job.rows[i] + job.columns[j] + c));
                }
                let column = around(d);
                for i in 0..4 {
                    half[i][j] = column[i];
                }
            }
            for i in 0..4 {
                let row = around(half[i]);
                for j in 0..4 {
                    row[j].store_values(job.to.as_mut_ptr().add((4 * i + j) * job.plane + c));
                }
            }
        }
    }
}

/// Bᵀ of four.
#[inline(always)]
unsafe fn around<L: Lanes>([a, b, c, d]: [L; 4]) -> [L; 4] {
    // SAFETY: passed on from the caller.
    unsafe { [a.subtract(c), b.add(c), c.subtract(b), b.subtract(d)] }
}

/// Aᵀ of four.
#[inline(always)]
unsafe fn gathered<L: Lanes>([a, b, c, d]: [L; 4]) -> [L; 2] {
    // SAFETY: passed on from the caller.
    unsafe { [a.add(b).add(c), b.subtract(c).subtract(d)] }
}

/// # Safety
/// The instruction set of `L` must be there and the job's slices as long as [`Kernel::winograd_output`] checks.
#[inline(always)]
#[expect(clippy::needless_range_loop, reason = "closures of iterators would not have the caller's instruction set")]
pub(super) unsafe fn output<L: Lanes>(job: &mut Output<L::Value>) {
    // SAFETY: passed on from the caller.
    unsafe {
        let (lower, upper) = (L::splat(job.finish.lower), L::splat(job.finish.upper));
        for c in (0..job.width).step_by(L::WIDTH) {
            let mut half = [[L::splat(0.0); 4]; 2];
            for j in 0..4 {
                let mut m = [L::splat(0.0); 4];
                for i in 0..4 {
                    m[i] = L::load(job.sums.as_ptr().add((4 * i + j) * job.plane + c));
                }
                let column = gathered(m);
                half[0][j] = column[0];
                half[1][j] = column[1];
            }
            let [a, b] = gathered(half[0]);
            let [d, e] = gathered(half[1]);
            let bias = L::load(job.bias.as_ptr().add(c));
            let mut outputs = [a, b, d, e];
            for (i, y) in outputs.iter_mut().enumerate() {
                *y = y.add(bias);
                if let Some((values, offsets)) = &job.residual
                    && (job.pool || job.places[i].is_some())
                {
                    *y = y.add(L::load_values(values.as_ptr().add(offsets[i] + c)));
                }
                *y = y.clamp(lower, upper);
                if let Some((scale, shift)) = job.finish.affine {
                    *y = y.affine(L::load(scale.as_ptr().add(c)), L::load(shift.as_ptr().add(c)));
                }
            }
            if job.pool {
                // A clamp from below by the other is the larger of two. A NaN may be lost here, but one anywhere in a tile is in
                // its neighbours' outputs too, which share half of its pixels.
                let top = L::splat(f32::INFINITY);
                let [a, b, d, e] = outputs;
                let largest = a.clamp(b, top).clamp(d.clamp(e, top), top);
                if let Some(place) = job.places[0] {
                    store_some(largest, &mut job.target[place..], c, job.channels);
                }
                continue;
            }
            for (y, place) in outputs.into_iter().zip(job.places) {
                if let Some(place) = place {
                    store_some(y, &mut job.target[place..], c, job.channels);
                }
            }
        }
    }
}

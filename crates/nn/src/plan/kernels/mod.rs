//! Register-blocked convolution kernels, one file an instruction set.
//!
//! All of them are one loop, [`accumulate_tile`], over one small vocabulary, [`Lanes`]: a tile of output pixels by channels stays
//! in registers while the input values under it stream past, and bias, residual, ReLU and batch-norm happen before it is stored.
//! The build targets the baseline processor; which file runs is decided at run time by [`super::isa::Isa`].

#[cfg(target_arch = "x86_64")]
pub mod avx2;
#[cfg(target_arch = "x86_64")]
pub mod avx512;
#[cfg(target_arch = "x86_64")]
pub mod avx512_bf16;
pub mod depthwise;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
mod lanes;
#[cfg(target_arch = "aarch64")]
pub mod neon;
pub mod portable;
pub mod winograd;

use super::value::Value;

/// Values that follow each other in memory, `groups` groups of the kernel's size, starting `offset` after a pixel's first value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    pub offset: usize,
    pub groups: usize,
}

/// Runs that are summed up together.
#[derive(Debug, Clone)]
pub struct Runs {
    all: Vec<Run>,
    /// Values of a group.
    group: usize,
    groups: usize,
    /// Values from a pixel's first that the runs touch.
    reach: usize,
}

impl Runs {
    /// None yet, for a kernel with this group.
    pub fn new(group: usize) -> Self {
        Self { all: Vec::new(), group, groups: 0, reach: 0 }
    }

    pub fn push(&mut self, run: Run) {
        self.all.push(run);
        self.groups += run.groups;
        self.reach = self.reach.max(run.offset + run.groups * self.group);
    }
}

/// Values from the first to behind the last of `count` pieces of `len`, `stride` apart.
fn extent(count: usize, stride: usize, len: usize) -> usize {
    // Saturating: an extent past counting fits no slice.
    (count - 1).saturating_mul(stride).saturating_add(len)
}

/// What happens to a sum before it is stored; all slices are padded to whole panels.
#[derive(Debug, Clone, Copy)]
pub struct Finish<'a> {
    pub lower: f32,
    pub upper: f32,
    /// y · scale + shift, after the clamp.
    pub affine: Option<(&'a [f32], &'a [f32])>,
}

/// A map whose pixels are added to the sums; output pixel x reads its pixel (first + x) >> shift.
#[derive(Debug, Clone, Copy)]
pub struct Residual<'a, T> {
    /// From pixel 0 of the row.
    pub values: &'a [T],
    pub stride: usize,
    pub first: usize,
    pub shift: u32,
}

/// Where accumulators start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    Bias,
    /// What an earlier part of the sum left in `sums`.
    Sums,
}

/// Where accumulators go.
pub enum End<'a, T> {
    /// Into `sums`, for the next part.
    Sums,
    /// Through residual and finish into `target`; only the first `channels` of the panel are stored.
    Values {
        target: &'a mut [T],
        stride: usize,
        channels: usize,
        finish: Finish<'a>,
        residual: Option<Residual<'a, T>>,
    },
}

/// A few neighbouring pixels of one output row in one panel of channels.
pub struct Tile<'a, T> {
    pub pixels: usize,
    /// From the first value under the first pixel's window.
    pub source: &'a [T],
    /// Input values between neighbouring output pixels.
    pub source_stride: usize,
    pub runs: &'a Runs,
    /// [run][group][channel of the panel][value of the group]
    pub weights: &'a [T],
    pub bias: &'a [f32],
    /// [pixel][channel of the panel]
    pub sums: &'a mut [f32],
    pub start: Start,
    pub end: End<'a, T>,
}

/// A kernel for a fixed number of pixels and registers.
type TileKernel<T> = unsafe fn(&mut Tile<T>);

/// Kernels for panels of `vectors` registers; index = pixels − 1.
struct Family<T: 'static> {
    vectors: usize,
    by_pixels: &'static [TileKernel<T>],
}

/// Everything an instruction set offers. Only this module's children make one, and only `Isa::kernels` names it, after the
/// processor said that it has the instructions.
pub struct Kernel<T: 'static> {
    /// Channels in a register.
    lanes: usize,
    /// Values that one multiplication folds: 2 for bf16 dot products.
    group: usize,
    /// Widest first.
    families: &'static [Family<T>],
    winograd: Winograd<T>,
    depthwise: unsafe fn(&mut depthwise::Row<T>),
}

/// Transforms around the products of a Winograd convolution.
struct Winograd<T> {
    input: unsafe fn(&mut winograd::Input<T>),
    output: unsafe fn(&mut winograd::Output<T>),
}

/// Channels that are computed together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Panel {
    /// First channel.
    pub first: usize,
    /// Channels that exist; the rest of the panel is padding.
    pub channels: usize,
    /// Channels including padding.
    pub width: usize,
    /// Most pixels in a tile.
    pub most_pixels: usize,
    /// Of the kernel that made the panel.
    family: usize,
}

impl<T: Value> Kernel<T> {
    pub fn group(&self) -> usize {
        self.group
    }

    /// Covers `channels` with panels, widest first; `widest` caps their width in registers.
    pub fn panels(&self, channels: usize, widest: usize) -> Vec<Panel> {
        let mut panels = Vec::new();
        let mut first = 0;
        while first < channels {
            let left = channels - first;
            let fits = |f: &Family<T>| f.vectors <= widest && f.vectors * self.lanes <= left;
            let family = self.families.iter().position(fits).unwrap_or(self.families.len() - 1);
            let Family { vectors, by_pixels } = &self.families[family];
            let width = vectors * self.lanes;
            panels.push(Panel { first, channels: width.min(left), width, most_pixels: by_pixels.len(), family });
            first += width;
        }
        panels
    }

    /// Computes one tile.
    ///
    /// # Panics
    /// If a slice is too short for what the tile says; that would be a fault of the plan.
    pub fn tile(&self, panel: &Panel, tile: &mut Tile<T>) {
        let pixels = tile.pixels;
        let Family { vectors, by_pixels } = &self.families[panel.family];
        let width = vectors * self.lanes;
        let Runs { group, groups, reach, .. } = *tile.runs;
        assert!(panel.width == width && group == self.group, "a panel or runs of another kernel");
        assert!((1..=by_pixels.len()).contains(&pixels));
        assert!(tile.source.len() >= extent(pixels, tile.source_stride, reach));
        assert!(tile.weights.len() >= groups * width * self.group);
        assert!(tile.bias.len() >= width);
        let uses_sums = tile.start == Start::Sums || matches!(tile.end, End::Sums);
        assert!(!uses_sums || tile.sums.len() >= pixels * width);
        if let End::Values { target, stride, channels, finish, residual } = &tile.end {
            assert!(*channels <= width && target.len() >= extent(pixels, *stride, *channels));
            assert!(finish.affine.is_none_or(|(a, b)| a.len() >= width && b.len() >= width));
            let last = |r: &Residual<T>| extent(((r.first + pixels - 1) >> r.shift) + 1, r.stride, width);
            assert!(residual.as_ref().is_none_or(|r| r.values.len() >= last(r)));
        }
        // SAFETY: the processor has the instructions (see `Kernel`), and the assertions above prove for every slice that the
        // last index the kernel touches lies inside it.
        unsafe { by_pixels[pixels - 1](tile) }
    }
}

/// A register of f32 accumulators and what a kernel does with it.
///
/// # Safety
/// Every method needs the instruction set of its implementation; pointers must be valid for `WIDTH` values (`spread`: one group).
trait Lanes: Copy {
    /// Storage of activations and weights.
    type Value: Value;
    /// A register of weights, or of one activation group repeated.
    type Packed: Copy;
    const WIDTH: usize;
    const GROUP: usize;

    unsafe fn splat(value: f32) -> Self;
    unsafe fn load(from: *const f32) -> Self;
    unsafe fn store(self, to: *mut f32);
    unsafe fn add(self, other: Self) -> Self;
    unsafe fn subtract(self, other: Self) -> Self;
    unsafe fn clamp(self, lower: Self, upper: Self) -> Self;
    /// self · scale + shift
    unsafe fn affine(self, scale: Self, shift: Self) -> Self;
    unsafe fn load_values(from: *const Self::Value) -> Self;
    unsafe fn store_values(self, to: *mut Self::Value);
    /// `WIDTH` · `GROUP` weights.
    unsafe fn weights(from: *const Self::Value) -> Self::Packed;
    unsafe fn spread(from: *const Self::Value) -> Self::Packed;
    /// self + Σ over the group of a · w, in every lane.
    unsafe fn multiply_add(self, a: Self::Packed, w: Self::Packed) -> Self;
}

/// The kernel: `P` pixels × `N` registers of channels.
///
/// # Safety
/// The instruction set of `L` must be there and the tile's slices as long as [`Kernel::tile`] checks.
#[inline(always)]
unsafe fn accumulate_tile<L: Lanes, const P: usize, const N: usize>(tile: &mut Tile<L::Value>) {
    // SAFETY: passed on from the caller; offsets follow the layouts documented at `Tile`.
    unsafe {
        let width = N * L::WIDTH;
        let mut sums = [[L::splat(0.0); N]; P];
        match tile.start {
            Start::Bias => {
                for n in 0..N {
                    let bias = L::load(tile.bias.as_ptr().add(n * L::WIDTH));
                    for pixel in &mut sums {
                        pixel[n] = bias;
                    }
                }
            }
            Start::Sums => {
                for (p, pixel) in sums.iter_mut().enumerate() {
                    for (n, sum) in pixel.iter_mut().enumerate() {
                        *sum = L::load(tile.sums.as_ptr().add(p * width + n * L::WIDTH));
                    }
                }
            }
        }
        let mut weights = tile.weights.as_ptr();
        for run in &tile.runs.all {
            let source = tile.source.as_ptr().add(run.offset);
            for group in 0..run.groups {
                let mut packed = [L::weights(weights); N];
                for (n, packed) in packed.iter_mut().enumerate().skip(1) {
                    *packed = L::weights(weights.add(n * L::WIDTH * L::GROUP));
                }
                weights = weights.add(width * L::GROUP);
                for (p, pixel) in sums.iter_mut().enumerate() {
                    let value = L::spread(source.add(p * tile.source_stride + group * L::GROUP));
                    for n in 0..N {
                        pixel[n] = pixel[n].multiply_add(value, packed[n]);
                    }
                }
            }
        }
        match &mut tile.end {
            End::Sums => {
                for (p, pixel) in sums.iter().enumerate() {
                    for (n, sum) in pixel.iter().enumerate() {
                        sum.store(tile.sums.as_mut_ptr().add(p * width + n * L::WIDTH));
                    }
                }
            }
            End::Values { target, stride, channels, finish, residual } => {
                if let Some(residual) = residual {
                    for (p, pixel) in sums.iter_mut().enumerate() {
                        let from =
                            residual.values.as_ptr().add(((residual.first + p) >> residual.shift) * residual.stride);
                        for (n, sum) in pixel.iter_mut().enumerate() {
                            *sum = sum.add(L::load_values(from.add(n * L::WIDTH)));
                        }
                    }
                }
                let (lower, upper) = (L::splat(finish.lower), L::splat(finish.upper));
                for pixel in &mut sums {
                    for sum in pixel {
                        *sum = sum.clamp(lower, upper);
                    }
                }
                if let Some((scale, shift)) = finish.affine {
                    for n in 0..N {
                        let (scale, shift) =
                            (L::load(scale.as_ptr().add(n * L::WIDTH)), L::load(shift.as_ptr().add(n * L::WIDTH)));
                        for pixel in &mut sums {
                            pixel[n] = pixel[n].affine(scale, shift);
                        }
                    }
                }
                // Plain loops of fixed length keep the sums in registers; only a last, narrower panel takes the detour.
                if *channels == width {
                    for (p, pixel) in sums.iter().enumerate() {
                        for (n, sum) in pixel.iter().enumerate() {
                            sum.store_values(target.as_mut_ptr().add(p * *stride + n * L::WIDTH));
                        }
                    }
                } else {
                    let mut whole = [[[L::Value::default(); MOST_LANES]; N]; P];
                    for (pixel, whole) in sums.iter().zip(&mut whole) {
                        for (sum, whole) in pixel.iter().zip(whole) {
                            sum.store_values(whole.as_mut_ptr());
                        }
                    }
                    for (p, pixel) in whole.iter().enumerate() {
                        let to = &mut target[p * *stride..][..*channels];
                        for (to, from) in to.chunks_mut(L::WIDTH).zip(pixel) {
                            to.copy_from_slice(&from[..to.len()]);
                        }
                    }
                }
            }
        }
    }
}

/// Stores a register's values at `at` of a pixel, but none past its `channels`.
///
/// # Safety
/// The instruction set of `L` must be there, and `channels` values in the pixel.
#[inline(always)]
unsafe fn store_some<L: Lanes>(sums: L, pixel: &mut [L::Value], at: usize, channels: usize) {
    if at + L::WIDTH <= channels {
        // SAFETY: the caller checked that the pixel has all its channels.
        unsafe { sums.store_values(pixel.as_mut_ptr().add(at)) }
    } else if at < channels {
        let mut whole = [L::Value::default(); MOST_LANES];
        // SAFETY: no register is wider than `MOST_LANES`.
        unsafe { sums.store_values(whole.as_mut_ptr()) };
        pixel[at..channels].copy_from_slice(&whole[..channels - at]);
    }
}

/// Lanes of the widest register.
const MOST_LANES: usize = 16;

/// `kernel!(Lanes, Value, needs "feature"; 4 => [1, 2, 3])`: entries with the features, and `KERNEL` with kernels of 4 registers and 1, 2 or 3
/// pixels.
macro_rules! kernel {
    ($lanes:ty, $value:ty $(, needs $needs:literal)?; $($vectors:literal => [$($pixels:literal),*]),*) => {
        /// # Safety
        /// As [`accumulate_tile`].
        $(#[target_feature(enable = $needs)])?
        unsafe fn tile<const P: usize, const N: usize>(tile: &mut Tile<$value>) {
            // SAFETY: this function has the instructions; the tile is the caller's promise.
            unsafe { accumulate_tile::<$lanes, P, N>(tile) }
        }

        /// # Safety
        /// As [`winograd::input`].
        $(#[target_feature(enable = $needs)])?
        unsafe fn winograd_input(job: &mut winograd::Input<$value>) {
            // SAFETY: this function has the instructions; the job is the caller's promise.
            unsafe { winograd::input::<$lanes>(job) }
        }

        /// # Safety
        /// As [`winograd::output`].
        $(#[target_feature(enable = $needs)])?
        unsafe fn winograd_output(job: &mut winograd::Output<$value>) {
            // SAFETY: this function has the instructions; the job is the caller's promise.
            unsafe { winograd::output::<$lanes>(job) }
        }

        /// # Safety
        /// As [`depthwise::row`].
        $(#[target_feature(enable = $needs)])?
        unsafe fn depthwise_row(row: &mut depthwise::Row<$value>) {
            // SAFETY: this function has the instructions; the row is the caller's promise.
            unsafe { depthwise::row::<$lanes>(row) }
        }

        /// For processors with the features named above.
        pub const KERNEL: Kernel<$value> = Kernel {
            lanes: <$lanes as $crate::plan::kernels::Lanes>::WIDTH,
            group: <$lanes as $crate::plan::kernels::Lanes>::GROUP,
            families: &[$($crate::plan::kernels::Family {
                vectors: $vectors,
                by_pixels: &[$(tile::<$pixels, $vectors>),*],
            }),*],
            winograd: $crate::plan::kernels::Winograd { input: winograd_input, output: winograd_output },
            depthwise: depthwise_row,
        };
    };
}
use kernel;

//! A box of voxels, cut into slices of any main plane when they are asked for.

use super::geometry::{Affine, Layout, Plane};
use super::slice::{Depth, Slice, Spacing, SpacingSource, percentiles};
use super::study::{Cut, FrameError, Frames, Place, Warning};
use super::window::Window;
use std::sync::Arc;

/// Grey values as the source stores them: a volume is not made larger than it is.
#[derive(Debug, Clone)]
pub enum Voxels {
    U8(Vec<u8>),
    I16(Vec<i16>),
    U16(Vec<u16>),
    F32(Vec<f32>),
}

impl Voxels {
    pub fn len(&self) -> usize {
        match self {
            Voxels::U8(v) => v.len(),
            Voxels::I16(v) => v.len(),
            Voxels::U16(v) => v.len(),
            Voxels::F32(v) => v.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn get(&self, at: usize) -> f32 {
        match self {
            Voxels::U8(v) => f32::from(v[at]),
            Voxels::I16(v) => f32::from(v[at]),
            Voxels::U16(v) => f32::from(v[at]),
            Voxels::F32(v) => v[at],
        }
    }

    /// `count` values from `start` on, `step` apart.
    fn extend(&self, out: &mut Vec<f32>, start: usize, step: isize, count: usize) {
        fn walk<T: Copy>(
            values: &[T],
            start: usize,
            step: isize,
            count: usize,
            grey: impl Fn(T) -> f32,
        ) -> impl Iterator<Item = f32> {
            (0..count as isize).map(move |i| grey(values[(start as isize + i * step) as usize]))
        }
        match self {
            Voxels::U8(v) => out.extend(walk(v, start, step, count, f32::from)),
            Voxels::I16(v) => out.extend(walk(v, start, step, count, f32::from)),
            Voxels::U16(v) => out.extend(walk(v, start, step, count, f32::from)),
            Voxels::F32(v) => out.extend(walk(v, start, step, count, |v| v)),
        }
    }
}

/// A voxel edge this many times as long as both others is the distance of slices.
const THICK: f64 = 1.5;
/// Values looked at for the window of a whole volume.
const SAMPLE: usize = 1 << 18;

/// Voxels with their place in the patient; the first axis changes fastest, time slowest.
#[derive(Debug, Clone)]
pub struct Volume {
    size: [usize; 3],
    times: usize,
    voxels: Voxels,
    /// Grey value = stored value · slope + intercept.
    slope: f32,
    intercept: f32,
    affine: Option<Affine>,
    /// Without an affine: mm along each axis, where the source tells.
    spacing: Option<[f64; 3]>,
    /// One for all slices, so that they can be compared.
    window: Window,
}

impl Volume {
    /// `None` unless the voxels fill `size` × `times` exactly.
    pub fn new(
        size: [usize; 3],
        times: usize,
        voxels: Voxels,
        (slope, intercept): (f32, f32),
        affine: Option<Affine>,
        spacing: Option<[f64; 3]>,
    ) -> Option<Self> {
        let area = size.iter().try_fold(times, |product, side| product.checked_mul(*side))?;
        if area == 0 || area != voxels.len() {
            return None;
        }
        let every = area.div_ceil(SAMPLE);
        let finite = |v: f32| if v.is_finite() { v } else { 0.0 };
        let sample: Vec<f32> = (0..area).step_by(every).map(|at| finite(voxels.get(at) * slope + intercept)).collect();
        let (low, high) = percentiles(&sample, 0.001, 0.999);
        let window = Window::from_range(low, high);
        let spacing = affine.map(|a| a.spacing()).or(spacing);
        Some(Self { size, times, voxels, slope, intercept, affine, spacing, window })
    }

    fn layout(&self, plane: Plane) -> Layout {
        match self.affine {
            Some(affine) => Layout::of_plane(self.size, affine, plane),
            None => Layout { spacing: self.spacing, ..Layout::stored(self.size, None) },
        }
    }
}

impl Frames for Volume {
    fn planes(&self) -> &[Plane] {
        if self.affine.is_some() { &Plane::ALL } else { &[] }
    }

    fn times(&self) -> usize {
        self.times
    }

    /// The plane the volume was acquired in: across its thick slices; axial where no voxel edge is much longer than the others.
    fn native(&self) -> Plane {
        let depth = |plane: &Plane| self.spacing.map_or(0.0, |mm| mm[self.layout(*plane).slices.axis]);
        let is_thick = |plane: &Plane| {
            Plane::ALL.iter().filter(|other| *other != plane).all(|other| depth(plane) > depth(other) * THICK)
        };
        Plane::ALL.into_iter().find(is_thick).unwrap_or(Plane::Axial)
    }

    fn count(&self, plane: Plane) -> usize {
        self.layout(plane).count()
    }

    fn layout(&self, cut: Cut) -> Option<Layout> {
        Some(self.layout(cut.plane))
    }

    fn is_at_hand(&self, _place: Place) -> bool {
        true
    }

    fn slice(&self, place: Place) -> Result<Arc<Slice>, FrameError> {
        let layout = self.layout(place.cut.plane);
        if place.index >= layout.count() || place.cut.time >= self.times {
            return Err(FrameError::NoSuchSlice { index: place.index + 1, count: layout.count() });
        }
        let (width, height) = layout.slice_size();
        let (start, across, down) = layout.strides(place.index);
        let start = start + place.cut.time * self.size.iter().product::<usize>();
        let mut pixels = Vec::with_capacity(width * height);
        for y in 0..height as isize {
            self.voxels.extend(&mut pixels, (start as isize + y * down) as usize, across, width);
        }
        if (self.slope, self.intercept) != (1.0, 0.0) {
            pixels.iter_mut().for_each(|v| *v = *v * self.slope + self.intercept);
        }
        let slice = Slice::with_windows(width, height, pixels, Depth::Deep, vec![self.window]);
        let mut slice = slice.ok_or(FrameError::NoSuchSlice { index: place.index + 1, count: layout.count() })?;
        if slice.has_few_greys() {
            slice.warnings.push(Warning::FewGreys);
        }
        slice.spacing = self
            .spacing
            .and_then(|mm| Spacing::new(mm[layout.rows.axis], mm[layout.columns.axis], SpacingSource::Nifti));
        slice.orientation = layout.orientation();
        Ok(Arc::new(slice))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 4×3×2 voxels whose value tells their place: x + 10·y + 100·z; NIfTI's usual axes, left → right mirrored by the affine.
    fn volume() -> Volume {
        let values = (0..24).map(|i| (i % 4 + 10 * (i / 4 % 3) + 100 * (i / 12)) as i16).collect();
        let affine = Affine::new([30.0, 20.0, 0.0], [[-1.0, 0.0, 0.0], [0.0, -1.0, 0.0], [0.0, 0.0, 5.0]]);
        Volume::new([4, 3, 2], 1, Voxels::I16(values), (1.0, 0.0), affine, None).unwrap()
    }

    fn values(plane: Plane, index: usize) -> (usize, Vec<f32>) {
        let slice = volume().slice(Place { cut: Cut { plane, time: 0 }, index }).unwrap();
        (slice.width(), slice.values())
    }

    #[test]
    fn planes_show_right_at_the_left_and_the_head_on_top() {
        // The array runs from the patient's left to the right and from back to face: both are turned round.
        assert_eq!(values(Plane::Axial, 0), (4, vec![23., 22., 21., 20., 13., 12., 11., 10., 3., 2., 1., 0.]));
        // The coronal slice nearest to the face, head (z = 1) on top.
        assert_eq!(values(Plane::Coronal, 0), (4, vec![123., 122., 121., 120., 23., 22., 21., 20.]));
        // The sagittal slice at the patient's right: x = 3, from face to back.
        assert_eq!(values(Plane::Sagittal, 0), (3, vec![123., 113., 103., 23., 13., 3.]));
        assert_eq!(volume().native(), Plane::Axial);
    }

    #[test]
    fn thick_slices_are_the_plane_of_acquisition_and_all_else_is_axial() {
        let native = |mm: [f64; 3]| {
            let affine = Affine::new([0.0; 3], [[-mm[0], 0.0, 0.0], [0.0, -mm[1], 0.0], [0.0, 0.0, mm[2]]]);
            Volume::new([4, 3, 2], 1, Voxels::U8(vec![0; 24]), (1.0, 0.0), affine, None).unwrap().native()
        };
        assert_eq!(native([1.0, 1.0, 5.5]), Plane::Axial);
        assert_eq!((native([0.9, 5.0, 0.9]), native([5.0, 0.9, 0.9])), (Plane::Coronal, Plane::Sagittal));
        assert_eq!((native([1.0, 1.4, 1.0]), native([2.0, 2.0, 1.0])), (Plane::Axial, Plane::Axial));
    }

    #[test]
    fn voxels_that_do_not_fill_the_box_are_refused() {
        assert!(Volume::new([4, 3, 2], 1, Voxels::U8(vec![0; 23]), (1.0, 0.0), None, None).is_none());
        assert!(Volume::new([usize::MAX, 3, 2], 1, Voxels::U8(vec![0; 24]), (1.0, 0.0), None, None).is_none());
    }
}

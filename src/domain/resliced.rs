//! A stack of slices that lie evenly in the patient, cut in the other planes as well.

use super::geometry::{Affine, Layout, Plane};
use super::slice::{Depth, Slice, Spacing, SpacingSource};
use super::study::{Cut, FrameError, Frames, Origin, Place};
use std::sync::{Arc, OnceLock};

/// Most voxels of a study whose other planes are offered: 512 MB of grey values.
const MOST_VOXELS: usize = 1 << 27;

/// Frames with two further planes. Slices of their own plane are theirs; the others are cut from all of them, which are read when the
/// first such slice is asked for.
pub struct Resliced {
    frames: Arc<dyn Frames>,
    layout: Layout,
    affine: Affine,
    /// Grey values by point in time, in the order of the array.
    voxels: Vec<OnceLock<Result<Vec<f32>, FrameError>>>,
}

impl Resliced {
    /// The frames themselves when they make no box, have planes of their own already, or are a single slice or too large.
    pub fn of(frames: Arc<dyn Frames>) -> Arc<dyn Frames> {
        let cut = Cut { plane: frames.native(), time: 0 };
        let fits = |layout: &Layout| layout.count() > 1 && layout.size.iter().product::<usize>() <= MOST_VOXELS;
        let Some(layout) = frames.layout(cut).filter(fits) else { return frames };
        match layout.affine {
            Some(affine) if frames.planes().is_empty() => {
                let voxels = (0..frames.times()).map(|_| OnceLock::new()).collect();
                Arc::new(Self { frames, layout, affine, voxels })
            }
            _ => frames,
        }
    }

    fn layout_of(&self, plane: Plane) -> Layout {
        if plane == self.native() { self.layout } else { Layout::of_plane(self.layout.size, self.affine, plane) }
    }

    /// Every slice of the own plane, one after the other, as the array is laid out.
    fn read(&self, time: usize) -> Result<Vec<f32>, FrameError> {
        let size = self.layout.size;
        let mut voxels = vec![0.0; size.iter().product()];
        let cut = Cut { plane: self.native(), time };
        for index in 0..self.layout.count() {
            let slice = self.frames.slice(Place { cut, index })?;
            let (start, across, down) = self.layout.strides(index);
            let (width, height) = self.layout.slice_size();
            if (slice.width(), slice.height()) != (width, height) {
                let (found, wanted) = ((slice.width(), slice.height()), (width, height));
                return Err(FrameError::TruthSize { found, wanted });
            }
            for (i, value) in slice.values().into_iter().enumerate() {
                let (x, y) = ((i % width) as isize, (i / width) as isize);
                voxels[(start as isize + x * across + y * down) as usize] = value;
            }
        }
        Ok(voxels)
    }
}

impl Frames for Resliced {
    fn planes(&self) -> &[Plane] {
        &Plane::ALL
    }

    fn is_as_stored(&self) -> bool {
        self.frames.is_as_stored()
    }

    fn times(&self) -> usize {
        self.frames.times()
    }

    fn native(&self) -> Plane {
        self.frames.native()
    }

    fn count(&self, plane: Plane) -> usize {
        self.layout_of(plane).count()
    }

    fn layout(&self, cut: Cut) -> Option<Layout> {
        Some(self.layout_of(cut.plane))
    }

    /// A slice of another plane comes from every file; the first stands for them.
    fn origin(&self, place: Place) -> Option<Origin<'_>> {
        let own = place.cut.plane == self.native();
        self.frames
            .origin(Place { cut: Cut { plane: self.native(), ..place.cut }, index: if own { place.index } else { 0 } })
    }

    fn is_at_hand(&self, place: Place) -> bool {
        if place.cut.plane == self.native() {
            self.frames.is_at_hand(place)
        } else {
            self.voxels.get(place.cut.time).is_some_and(|voxels| voxels.get().is_some())
        }
    }

    fn slice(&self, place: Place) -> Result<Arc<Slice>, FrameError> {
        if place.cut.plane == self.native() {
            return self.frames.slice(place);
        }
        let layout = self.layout_of(place.cut.plane);
        let missing = || FrameError::NoSuchSlice { index: place.index + 1, count: layout.count() };
        let voxels = self.voxels.get(place.cut.time).filter(|_| place.index < layout.count()).ok_or_else(missing)?;
        let voxels = voxels.get_or_init(|| self.read(place.cut.time)).as_ref().map_err(FrameError::clone)?;
        let (width, height) = layout.slice_size();
        let (start, across, down) = layout.strides(place.index);
        let at = |x: usize, y: usize| voxels[(start as isize + x as isize * across + y as isize * down) as usize];
        let pixels = (0..height).flat_map(|y| (0..width).map(move |x| (x, y))).map(|(x, y)| at(x, y)).collect();
        // The looks of a slice of the own plane, so that the planes can be compared.
        let own = Cut { plane: self.native(), ..place.cut };
        let like = self.frames.slice(Place { cut: own, index: self.layout.count() / 2 })?;
        let slice = Slice::with_windows(width, height, pixels, Depth::Deep, like.windows().to_vec());
        let mut slice = slice.ok_or_else(missing)?;
        slice.inverted = like.inverted;
        slice.spacing = layout
            .spacing
            .and_then(|mm| Spacing::new(mm[layout.rows.axis], mm[layout.columns.axis], SpacingSource::PixelSpacing));
        slice.orientation = layout.orientation();
        Ok(Arc::new(slice))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three axial slices of 4×2 pixels, 5 mm apart, whose values tell their place: x + 10·y + 100·z.
    struct Stack;

    impl Frames for Stack {
        fn count(&self, _plane: Plane) -> usize {
            3
        }

        fn layout(&self, _cut: Cut) -> Option<Layout> {
            let affine = Affine::new([0.0; 3], [[1.0, 0.0, 0.0], [0.0, 2.0, 0.0], [0.0, 0.0, 5.0]]);
            Some(Layout::stored([4, 2, 3], affine))
        }

        fn is_at_hand(&self, _place: Place) -> bool {
            true
        }

        fn slice(&self, place: Place) -> Result<Arc<Slice>, FrameError> {
            let value = |i: usize| (i % 4 + 10 * (i / 4) + 100 * place.index) as f32;
            Ok(Arc::new(Slice::new(4, 2, (0..8).map(value).collect(), Depth::Deep).unwrap()))
        }
    }

    #[test]
    fn the_other_planes_are_cut_from_all_slices() {
        let frames = Resliced::of(Arc::new(Stack));
        let values = |plane: Plane, index: usize| {
            let slice = frames.slice(Place { cut: Cut { plane, time: 0 }, index }).unwrap();
            (slice.width(), slice.values())
        };
        assert_eq!(frames.planes().len(), 3);
        assert_eq!(values(Plane::Axial, 1), (4, vec![100.0, 101.0, 102.0, 103.0, 110.0, 111.0, 112.0, 113.0]));
        // The head is on top: the highest slice is the first row.
        assert_eq!(
            values(Plane::Coronal, 1),
            (4, vec![210.0, 211.0, 212.0, 213.0, 110.0, 111.0, 112.0, 113.0, 10.0, 11.0, 12.0, 13.0])
        );
        assert_eq!(values(Plane::Sagittal, 3), (2, vec![203.0, 213.0, 103.0, 113.0, 3.0, 13.0]));
        let sagittal = frames.slice(Place { cut: Cut { plane: Plane::Sagittal, time: 0 }, index: 0 }).unwrap();
        assert_eq!(sagittal.spacing.map(|s| (s.row_mm, s.column_mm)), Some((5.0, 2.0)));
        assert_eq!(sagittal.orientation.unwrap().marks(), ["A", "P", "H", "F"]);
        assert!(frames.slice(Place { cut: Cut { plane: Plane::Sagittal, time: 0 }, index: 4 }).is_err());
    }
}

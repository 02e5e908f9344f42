//! A mask over all voxels of a study, so that it can be cut in any plane.

use super::geometry::Layout;
use super::mask::Mask;

/// A mask over the voxels of a study's array: 1 inside, 0 outside; axis 0 of the array changes fastest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VoxelMask {
    size: [usize; 3],
    voxels: Vec<u8>,
}

impl VoxelMask {
    /// The volume of `masks`, each with its slice's index in `layout`; slices without a mask are empty.
    ///
    /// `None` when a mask has not the size of the layout's slices or its slice is not there.
    pub fn of(layout: &Layout, masks: &[(usize, Mask)]) -> Option<Self> {
        let mut voxels = vec![0u8; layout.size.iter().product()];
        let (width, height) = layout.slice_size();
        for (index, mask) in masks {
            if (mask.width(), mask.height()) != (width, height) || *index >= layout.count() {
                return None;
            }
            let (start, across, down) = layout.strides(*index);
            for run in mask.runs() {
                for x in run.start..run.end {
                    voxels[(start as isize + x as isize * across + run.row as isize * down) as usize] = 1;
                }
            }
        }
        Some(Self { size: layout.size, voxels })
    }

    /// All voxels, 0 or 1, in the order of the array.
    pub fn voxels(&self) -> &[u8] {
        &self.voxels
    }

    /// The mask in slice `index` of `layout`, which may cut the array in another plane than the one the mask was made in.
    ///
    /// `None` when the layout is of another array or has no such slice.
    pub fn slice(&self, layout: &Layout, index: usize) -> Option<Mask> {
        if layout.size != self.size || index >= layout.count() {
            return None;
        }
        let (width, height) = layout.slice_size();
        let (start, across, down) = layout.strides(index);
        let inside =
            |x: usize, y: usize| self.voxels[(start as isize + x as isize * across + y as isize * down) as usize] == 1;
        let pixels = (0..height).flat_map(|y| (0..width).map(move |x| (x, y))).map(|(x, y)| inside(x, y)).collect();
        Mask::new(width, height, pixels)
    }

    /// All slices of `layout` in order, as [`Self::slice`] gives them.
    pub fn slices(&self, layout: &Layout) -> Vec<(usize, Mask)> {
        (0..layout.count()).filter_map(|index| Some((index, self.slice(layout, index)?))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::geometry::{Affine, Plane};
    use super::super::measure::VolumeMeasurements;
    use super::*;

    /// Two voxels of a 4×3×2 array whose first axis runs from the patient's left to the right and the second from back to face.
    #[test]
    fn a_mask_is_the_same_in_every_plane() {
        let affine = Affine::new([30.0, 20.0, 0.0], [[-1.0, 0.0, 0.0], [0.0, -1.0, 0.0], [0.0, 0.0, 5.0]]).unwrap();
        let layout = |plane| Layout::of_plane([4, 3, 2], affine, plane);
        let axial = layout(Plane::Axial);
        // The upper slice: columns from right to left, rows from face to back.
        let masks = vec![(1, Mask::drawn(&["##..", "....", "...."]))];
        let volume = VoxelMask::of(&axial, &masks).unwrap();
        // x = 3 and 2, y = 2, z = 1 of the array.
        let at = [3 + 4 * 2 + 12, 2 + 4 * 2 + 12];
        assert!(volume.voxels().iter().enumerate().all(|(i, v)| (*v == 1) == at.contains(&i)));
        assert_eq!(volume.slice(&layout(Plane::Coronal), 0), Some(Mask::drawn(&["##..", "...."])));
        assert_eq!(volume.slice(&layout(Plane::Sagittal), 1), Some(Mask::drawn(&["#..", "..."])));
        assert_eq!(volume.slice(&axial, 1).as_ref(), Some(&masks[0].1));
        let sizes = Plane::ALL.map(|plane| {
            let sizes = VolumeMeasurements::of(&volume.slices(&layout(plane)), None, layout(plane).voxel_mm3());
            (sizes.voxels, sizes.components, sizes.ml)
        });
        assert_eq!(sizes, [(2, 1, Some(0.01)); 3]);
    }

    #[test]
    fn masks_of_another_size_or_slice_are_refused() {
        let layout = Layout::stored([4, 3, 2], None);
        assert_eq!(VoxelMask::of(&layout, &[(0, Mask::empty(3, 4))]), None);
        assert_eq!(VoxelMask::of(&layout, &[(2, Mask::empty(4, 3))]), None);
    }
}

//! Sizes of a mask, in millimetres only where the spacing is known.

use super::mask::Mask;
use super::runs::{Parts, Run};
use super::slice::Spacing;

/// What is said of a mask.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Measurements {
    /// Pixels inside the mask.
    pub pixels: usize,
    pub components: usize,
    /// Largest diameter of the largest component, in pixels.
    pub diameter_px: f64,
    pub area_mm2: Option<f64>,
    pub diameter_mm: Option<f64>,
}

impl Measurements {
    pub fn of(mask: &Mask, spacing: Option<Spacing>) -> Self {
        let parts = mask.components();
        let pixels = parts.iter().map(|part| part.pixels).sum();
        let largest = |pixel: (f64, f64)| parts.first().map_or(0.0, |part| part.diameter(pixel));
        Self {
            pixels,
            components: parts.len(),
            diameter_px: largest((1.0, 1.0)),
            area_mm2: spacing.map(|s| pixels as f64 * s.row_mm * s.column_mm),
            diameter_mm: spacing.map(|s| largest((s.column_mm, s.row_mm))),
        }
    }
}

/// Sizes of a mask over the slices of a study.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct VolumeMeasurements {
    pub voxels: usize,
    /// Slices with any of it.
    pub slices: usize,
    /// Connected parts in three dimensions; voxels that meet at a corner are connected.
    pub components: usize,
    /// Largest area within one slice.
    pub area_mm2: Option<f64>,
    /// Largest diameter within one slice, in mm.
    pub diameter_mm: Option<f64>,
    /// The two largest perpendicular diameters, in mm, of the part within one slice whose product of both is largest.
    pub perpendicular_mm: Option<[f64; 2]>,
    pub ml: Option<f64>,
}

impl VolumeMeasurements {
    /// `masks` by slice number, ascending; `voxel_mm3` and `spacing` where the study's geometry is known.
    pub fn of(masks: &[(usize, Mask)], spacing: Option<Spacing>, voxel_mm3: Option<f64>) -> Self {
        let involved: Vec<&(usize, Mask)> = masks.iter().filter(|(_, mask)| mask.area() > 0).collect();
        let voxels = involved.iter().map(|(_, mask)| mask.area()).sum();
        let diameter = |s: Spacing| {
            let of =
                |mask: &Mask| mask.components().iter().map(|p| p.diameter((s.column_mm, s.row_mm))).fold(0.0, f64::max);
            involved.iter().map(|(_, mask)| of(mask)).fold(0.0, f64::max)
        };
        Self {
            voxels,
            slices: involved.len(),
            components: components(&involved),
            area_mm2: spacing.map(|s| {
                let largest = involved.iter().map(|(_, mask)| mask.area()).max().unwrap_or_default();
                largest as f64 * s.row_mm * s.column_mm
            }),
            diameter_mm: spacing.map(diameter),
            perpendicular_mm: spacing.map(|s| {
                let parts = involved.iter().flat_map(|(_, mask)| mask.components());
                let each = parts.map(|part| part.diameters((s.column_mm, s.row_mm)));
                each.reduce(|best, next| if next[0] * next[1] > best[0] * best[1] { next } else { best })
                    .unwrap_or_default()
            }),
            ml: voxel_mm3.map(|mm3| voxels as f64 * mm3 / 1000.0),
        }
    }
}

/// Parts of neighbouring slices are one when any two of their pixels meet, also over a corner.
fn components(masks: &[&(usize, Mask)]) -> usize {
    let runs: Vec<Vec<Run>> = masks.iter().map(|(_, mask)| mask.runs()).collect();
    let starts: Vec<usize> = runs.iter().scan(0, |at, r| Some(std::mem::replace(at, *at + r.len()))).collect();
    let mut parts = Parts::new(runs.iter().map(Vec::len).sum());
    for (i, own) in runs.iter().enumerate() {
        parts.join_touching((own, starts[i]), (own, starts[i]));
        let neighbour = i.checked_sub(1).filter(|before| masks[*before].0 + 1 == masks[i].0);
        if let Some(before) = neighbour {
            parts.join_touching((own, starts[i]), (&runs[before], starts[before]));
        }
    }
    parts.count()
}

#[cfg(test)]
mod tests {
    use super::super::slice::SpacingSource;
    use super::*;

    #[test]
    fn parts_meet_over_slices_and_corners() {
        let masks = [
            (0, Mask::drawn(&["#...", "....", "...#"])),
            (1, Mask::drawn(&[".#..", "....", "...."])),
            // Not a neighbour of slice 1.
            (3, Mask::drawn(&[".#..", "..#.", "...."])),
        ];
        let sizes = VolumeMeasurements::of(&masks, Spacing::new(2.0, 1.0, SpacingSource::PixelSpacing), Some(10.0));
        assert_eq!((sizes.voxels, sizes.slices, sizes.components), (5, 3, 3));
        // Two pixels apart by one column of 1 mm and one row of 2 mm.
        assert!((sizes.diameter_mm.unwrap() - 5f64.sqrt()).abs() < 1e-12);
        assert_eq!((sizes.ml, sizes.area_mm2), (Some(0.05), Some(4.0)));
    }

    /// In one slice the count is that of the two-dimensional parts, which has its own test.
    #[test]
    fn one_slice_has_as_many_parts_as_its_mask() {
        for seed in 0..20 {
            let mask = Mask::new(9, 8, (0..72).map(|i| (i * 7919 + seed * 104_729) % 1009 % 5 < 2).collect()).unwrap();
            let parts = mask.components().len();
            assert_eq!(VolumeMeasurements::of(&[(4, mask)], None, None).components, parts);
        }
    }
}

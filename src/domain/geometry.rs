//! Places and directions in the patient: x towards the patient's left, y to the back, z to the head, in mm (LPS, DICOM PS3.3
//! C.7.6.2.1.1).

/// x, y, z in the patient.
pub type Vector = [f64; 3];

pub fn dot(a: Vector, b: Vector) -> f64 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

pub fn cross(a: Vector, b: Vector) -> Vector {
    [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]
}

pub fn length(v: Vector) -> f64 {
    dot(v, v).sqrt()
}

pub fn scaled(v: Vector, by: f64) -> Vector {
    v.map(|c| c * by)
}

pub fn sum(a: Vector, b: Vector) -> Vector {
    [a[0] + b[0], a[1] + b[1], a[2] + b[2]]
}

pub fn difference(a: Vector, b: Vector) -> Vector {
    sum(a, scaled(b, -1.0))
}

/// The main planes of the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Plane {
    Axial,
    Coronal,
    Sagittal,
}

impl Plane {
    pub const ALL: [Plane; 3] = [Plane::Axial, Plane::Coronal, Plane::Sagittal];

    /// Name in cards, results and locales.
    pub fn id(self) -> &'static str {
        match self {
            Plane::Axial => "axial",
            Plane::Coronal => "coronal",
            Plane::Sagittal => "sagittal",
        }
    }

    /// Where a slice's columns, its rows and the slices themselves go, as radiologists look at them: the patient's right at the
    /// left, the head or the face at the top; slices from foot to head, from face to back, from right to left.
    pub fn directions(self) -> [Vector; 3] {
        let (left, back, head) = ([1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]);
        let foot = scaled(head, -1.0);
        match self {
            Plane::Axial => [left, back, head],
            Plane::Coronal => [left, foot, back],
            Plane::Sagittal => [back, foot, left],
        }
    }
}

/// How far from one a direction's length, and from zero the product of two perpendicular ones, may be.
const TOLERANCE: f64 = 0.02;
/// Share of a direction that a second letter at the edge stands for: more than about 15°.
const LETTER: f64 = 0.26;

/// How a slice lies in the patient: unit vectors.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Orientation {
    /// Along a row, towards higher columns.
    pub right: Vector,
    /// Along a column, towards higher rows.
    pub down: Vector,
}

impl Orientation {
    /// `None` unless both are unit vectors and perpendicular.
    pub fn new(right: Vector, down: Vector) -> Option<Self> {
        let unit = |v: Vector| (length(v) - 1.0).abs() < TOLERANCE;
        (unit(right) && unit(down) && dot(right, down).abs() < TOLERANCE).then_some(Self { right, down })
    }

    /// Away from the viewer: right × down.
    pub fn normal(&self) -> Vector {
        cross(self.right, self.down)
    }

    /// The main plane that is nearest.
    pub fn plane(&self) -> Plane {
        let [x, y, z] = self.normal().map(f64::abs);
        if z >= x && z >= y {
            Plane::Axial
        } else if y >= x {
            Plane::Coronal
        } else {
            Plane::Sagittal
        }
    }

    /// Whether both lie the same way, within rounding.
    pub fn same_way(&self, other: &Orientation) -> bool {
        let near = |a: Vector, b: Vector| length(difference(a, b)) < TOLERANCE;
        near(self.right, other.right) && near(self.down, other.down)
    }

    /// Letters at the left, right, upper and lower edge: L and R are the patient's, A face, P back, H head, F feet.
    pub fn marks(&self) -> [String; 4] {
        [scaled(self.right, -1.0), self.right, scaled(self.down, -1.0), self.down].map(letters)
    }
}

/// Where a direction points in the patient, the main part first.
fn letters(v: Vector) -> String {
    let names = [('L', 'R'), ('P', 'A'), ('H', 'F')];
    let mut parts: Vec<(f64, char)> =
        v.iter().zip(names).map(|(c, (up, down))| (c.abs(), if *c > 0.0 { up } else { down })).collect();
    parts.sort_by(|a, b| b.0.total_cmp(&a.0));
    parts.into_iter().filter(|(share, _)| *share > LETTER).map(|(_, letter)| letter).collect()
}

/// Voxel edges in mm that a scanner or a microscope may have, and the farthest place from its origin.
const MM: std::ops::RangeInclusive<f64> = 1e-4..=1e4;
const FARTHEST_MM: f64 = 1e6;

/// The patient's coordinates of voxels: origin + Σ index · step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Affine {
    /// Centre of the first voxel.
    pub origin: Vector,
    /// From one voxel to the next along each axis.
    pub steps: [Vector; 3],
}

impl Affine {
    /// `None` when a number is missing or the steps span no volume.
    pub fn new(origin: Vector, steps: [Vector; 3]) -> Option<Self> {
        let finite = origin.iter().chain(steps.iter().flatten()).all(|c| c.is_finite());
        let believable = steps.iter().all(|step| MM.contains(&length(*step))) && length(origin) < FARTHEST_MM;
        let volume = dot(cross(steps[0], steps[1]), steps[2]).abs();
        (finite && believable && volume > 1e-9).then_some(Self { origin, steps })
    }

    pub fn patient_from_voxel(&self, index: [f64; 3]) -> Vector {
        (0..3).fold(self.origin, |at, axis| sum(at, scaled(self.steps[axis], index[axis])))
    }

    /// mm between what two geometries say of one voxel.
    pub fn distance(&self, other: &Affine, index: [f64; 3]) -> f64 {
        length(difference(self.patient_from_voxel(index), other.patient_from_voxel(index)))
    }

    /// mm from voxel to voxel along each axis.
    pub fn spacing(&self) -> Vector {
        self.steps.map(length)
    }

    /// Volume of a voxel in mm³.
    pub fn voxel_mm3(&self) -> f64 {
        dot(cross(self.steps[0], self.steps[1]), self.steps[2]).abs()
    }
}

/// How an axis of an array is walked along.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Walk {
    /// 0–2.
    pub axis: usize,
    /// From its end to its start.
    pub reversed: bool,
}

impl Walk {
    /// Index along the axis of an array of this size after so many steps; the same turns an index into steps.
    fn along(self, size: &[usize; 3], steps: usize) -> usize {
        if self.reversed { (size[self.axis] - 1).saturating_sub(steps) } else { steps }
    }
}

/// How slices lie in the array of a study: axis 0 changes fastest.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Layout {
    /// Voxels along each axis of the array.
    pub size: [usize; 3],
    pub columns: Walk,
    pub rows: Walk,
    pub slices: Walk,
    /// Of the array; unknown without geometry.
    pub affine: Option<Affine>,
    /// mm along each axis of the array, where they are known.
    pub spacing: Option<Vector>,
}

impl Layout {
    /// An array whose axes are columns, rows and slices.
    pub fn stored(size: [usize; 3], affine: Option<Affine>) -> Self {
        let forward = |axis| Walk { axis, reversed: false };
        let spacing = affine.map(|affine| affine.spacing());
        Self { size, columns: forward(0), rows: forward(1), slices: forward(2), affine, spacing }
    }

    /// The array's axes as `plane` shows them: each is taken for the main direction of the body that it is nearest to.
    pub fn of_plane(size: [usize; 3], affine: Affine, plane: Plane) -> Self {
        let axes = nearest_axes(&affine);
        let [columns, rows, slices] = plane.directions().map(|direction| {
            let main = direction.iter().position(|c| *c != 0.0).unwrap_or(0);
            let axis = axes[main];
            Walk { axis, reversed: dot(affine.steps[axis], direction) < 0.0 }
        });
        Self { size, columns, rows, slices, affine: Some(affine), spacing: Some(affine.spacing()) }
    }

    /// Columns and rows of a slice.
    pub fn slice_size(&self) -> (usize, usize) {
        (self.size[self.columns.axis], self.size[self.rows.axis])
    }

    /// Number of slices.
    pub fn count(&self) -> usize {
        self.size[self.slices.axis]
    }

    /// Volume of a voxel in mm³: known from the distance of two slices, not from one.
    pub fn voxel_mm3(&self) -> Option<f64> {
        let box_mm3 = || self.spacing.map(|mm| mm.iter().product());
        self.affine.map(|affine| affine.voxel_mm3()).or_else(box_mm3).filter(|_| self.count() > 1)
    }

    /// Place in the array of a slice's first pixel, and the way from one pixel to the next along rows and columns.
    pub fn strides(&self, slice: usize) -> (usize, isize, isize) {
        let stride = [1, self.size[0], self.size[0] * self.size[1]];
        let first = |walk: Walk| if walk.reversed { (self.size[walk.axis] - 1) * stride[walk.axis] } else { 0 };
        let step = |walk: Walk| stride[walk.axis] as isize * if walk.reversed { -1 } else { 1 };
        let start = first(self.columns) + first(self.rows) + first(self.slices);
        let start = (start as isize + step(self.slices) * slice as isize) as usize;
        (start, step(self.columns), step(self.rows))
    }

    /// The voxel of the array under a pixel: column, row and slice, each within the layout.
    pub fn voxel_from_pixel(&self, pixel: [usize; 3]) -> [usize; 3] {
        let mut voxel = [0; 3];
        for (walk, steps) in [self.columns, self.rows, self.slices].into_iter().zip(pixel) {
            voxel[walk.axis] = walk.along(&self.size, steps);
        }
        voxel
    }

    /// Column, row and slice of a voxel of the array.
    pub fn pixel_from_voxel(&self, voxel: [usize; 3]) -> [usize; 3] {
        [self.columns, self.rows, self.slices].map(|walk| walk.along(&self.size, voxel[walk.axis]))
    }

    /// How slices lie in the patient; `None` where nothing says so.
    pub fn orientation(&self) -> Option<Orientation> {
        let steps = self.slices_affine()?.steps;
        let unit = |axis: usize| scaled(steps[axis], 1.0 / length(steps[axis]));
        Orientation::new(unit(0), unit(1))
    }

    /// The patient's coordinates by column, row and slice.
    pub fn slices_affine(&self) -> Option<Affine> {
        let affine = self.affine?;
        let walks = [self.columns, self.rows, self.slices];
        let mut corner = [0.0; 3];
        for walk in walks.iter().filter(|walk| walk.reversed) {
            corner[walk.axis] = (self.size[walk.axis] - 1) as f64;
        }
        let steps = walks.map(|walk| scaled(affine.steps[walk.axis], if walk.reversed { -1.0 } else { 1.0 }));
        Affine::new(affine.patient_from_voxel(corner), steps)
    }
}

/// The array axis nearest to each axis of the body, every one used once; the clearest pair first.
fn nearest_axes(affine: &Affine) -> [usize; 3] {
    let mut pairs: Vec<(f64, usize, usize)> = Vec::new();
    for (axis, step) in affine.steps.iter().enumerate() {
        let long = length(*step);
        pairs.extend((0..3).map(|body| (step[body].abs() / long, axis, body)));
    }
    pairs.sort_by(|a, b| b.0.total_cmp(&a.0));
    let (mut axes, mut used) = ([None; 3], [false; 3]);
    for (_, axis, body) in pairs {
        if axes[body].is_none() && !used[axis] {
            axes[body] = Some(axis);
            used[axis] = true;
        }
    }
    axes.map(Option::unwrap_or_default)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edges_of_an_axial_slice_are_those_of_radiology() {
        let axial = Orientation::new([1.0, 0.0, 0.0], [0.0, 1.0, 0.0]).unwrap();
        assert_eq!(axial.marks(), ["R", "L", "A", "P"]);
        assert_eq!(axial.plane(), Plane::Axial);
        let sagittal = Orientation::new([0.0, 1.0, 0.0], [0.0, 0.0, -1.0]).unwrap();
        assert_eq!(sagittal.marks(), ["A", "P", "H", "F"]);
        assert_eq!(sagittal.plane(), Plane::Sagittal);
        // Tilted by 30° about the left-right axis: two letters.
        let (s, c) = (0.5, 0.75f64.sqrt());
        assert_eq!(Orientation::new([1.0, 0.0, 0.0], [0.0, c, s]).unwrap().marks(), ["R", "L", "AF", "PH"]);
        assert_eq!(Orientation::new([1.0, 0.0, 0.0], [1.0, 0.0, 0.0]), None);
    }

    #[test]
    fn every_plane_of_a_turned_array_is_shown_the_same_way() {
        // Array axes: 0 head→foot, 1 left→right, 2 back→face.
        let affine = Affine::new([4.0, 6.0, 8.0], [[0.0, 0.0, -1.0], [-2.0, 0.0, 0.0], [0.0, -3.0, 0.0]]).unwrap();
        for plane in Plane::ALL {
            let layout = Layout::of_plane([9, 5, 3], affine, plane);
            let shown = layout.slices_affine().unwrap();
            for (step, direction) in shown.steps.iter().zip(plane.directions()) {
                assert!(dot(*step, direction) > 0.0, "{plane:?}");
            }
            // The first pixel is where the affine says it is.
            let (start, ..) = layout.strides(0);
            let index = [start % 9, start / 9 % 5, start / 45].map(|i| i as f64);
            assert_eq!(affine.patient_from_voxel(index), shown.origin, "{plane:?}");
            assert_eq!(layout.voxel_from_pixel([0; 3]).map(|i| i as f64), index, "{plane:?}");
            let pixel = [1, 2, 1];
            let voxel = layout.voxel_from_pixel(pixel);
            let place = shown.patient_from_voxel(pixel.map(|i| i as f64));
            assert_eq!(affine.patient_from_voxel(voxel.map(|i| i as f64)), place, "{plane:?}");
            assert_eq!(layout.pixel_from_voxel(voxel), pixel, "{plane:?}");
        }
        assert_eq!(Layout::of_plane([9, 5, 3], affine, Plane::Axial).slice_size(), (5, 3));
        assert_eq!(affine.voxel_mm3(), 6.0);
    }
}

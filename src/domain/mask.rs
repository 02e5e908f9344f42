//! Binary masks and what is measured on them.

use super::runs::{Parts, Run};
use std::collections::BTreeMap;
use std::ops::Range;

/// A yes/no picture, row-major.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mask {
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) pixels: Vec<bool>,
}

/// A connected part of a mask (8-neighbourhood).
#[derive(Debug, Clone, PartialEq)]
pub struct Component {
    pub pixels: usize,
    /// Left and right end of each of its runs: the corners of its convex hull are among them.
    ends: Vec<(u32, u32)>,
}

impl Component {
    /// Largest distance between two of its pixel centres, where a pixel is `pixel` (wide, high).
    pub fn diameter(&self, pixel: (f64, f64)) -> f64 {
        diameters(self.places(pixel))[0]
    }

    /// The two largest perpendicular diameters, as RANO measures them, where a pixel is `pixel` (wide, high): the largest distance
    /// between two pixel centres, and the longest line at right angles to it within the component's convex hull.
    pub fn diameters(&self, pixel: (f64, f64)) -> [f64; 2] {
        diameters(self.places(pixel))
    }

    fn places(&self, pixel: (f64, f64)) -> Vec<(f64, f64)> {
        self.ends.iter().map(|(x, y)| (f64::from(*x) * pixel.0, f64::from(*y) * pixel.1)).collect()
    }
}

impl Mask {
    /// `None` unless `pixels` fill `width`×`height` exactly.
    pub fn new(width: usize, height: usize, pixels: Vec<bool>) -> Option<Self> {
        (width.checked_mul(height)? == pixels.len()).then_some(Self { width, height, pixels })
    }

    /// From rows of text, `#` inside: for tests.
    #[cfg(test)]
    pub fn drawn(rows: &[&str]) -> Self {
        let pixels = rows.iter().flat_map(|r| r.chars().map(|c| c == '#')).collect();
        Self { width: rows[0].len(), height: rows.len(), pixels }
    }

    pub fn empty(width: usize, height: usize) -> Self {
        Self { width, height, pixels: vec![false; width * height] }
    }

    /// Pixels at or above `threshold` of a probability map; `None` unless the map is `width`×`height`.
    pub fn from_probability(map: &[f32], width: usize, height: usize, threshold: f32) -> Option<Self> {
        Self::new(width, height, map.iter().map(|p| *p >= threshold).collect())
    }

    pub fn width(&self) -> usize {
        self.width
    }

    pub fn height(&self) -> usize {
        self.height
    }

    pub fn pixels(&self) -> &[bool] {
        &self.pixels
    }

    /// Outside the picture is never inside the mask.
    pub fn at(&self, x: i64, y: i64) -> bool {
        let inside = (0..self.width as i64).contains(&x) && (0..self.height as i64).contains(&y);
        inside && self.pixels[y as usize * self.width + x as usize]
    }

    /// Number of pixels inside.
    pub fn area(&self) -> usize {
        self.pixels.iter().filter(|p| **p).count()
    }

    /// Dice overlap 2·|A∩B| / (|A|+|B|) in 0–1; two empty masks agree fully. `None` for unlike sizes.
    pub fn dice(&self, other: &Mask) -> Option<f64> {
        if (self.width, self.height) != (other.width, other.height) {
            return None;
        }
        let both = self.pixels.iter().zip(&other.pixels).filter(|(a, b)| **a && **b).count();
        let total = self.area() + other.area();
        Some(if total == 0 { 1.0 } else { 2.0 * both as f64 / total as f64 })
    }

    /// Whether a pixel of the mask touches a pixel outside it (4-neighbourhood).
    pub fn is_edge(&self, x: i64, y: i64) -> bool {
        self.at(x, y) && [(-1, 0), (1, 0), (0, -1), (0, 1)].iter().any(|(dx, dy)| !self.at(x + dx, y + dy))
    }

    /// The smallest rectangle around the mask: columns, then rows. `None` for an empty mask.
    fn bounds(&self) -> Option<(Range<usize>, Range<usize>)> {
        let runs = self.runs();
        let (first, last) = (runs.first()?, runs.last()?);
        let left = runs.iter().map(|run| run.start).min()?;
        let right = runs.iter().map(|run| run.end).max()?;
        Some((left..right, first.row..last.row + 1))
    }

    /// All runs, row by row from left to right.
    pub fn runs(&self) -> Vec<Run> {
        let mut runs = Vec::new();
        for (row, pixels) in self.pixels.chunks_exact(self.width.max(1)).enumerate() {
            // Most rows of most masks are empty, and this test is a memory comparison.
            if !pixels.contains(&true) {
                continue;
            }
            let mut from = 0;
            while let Some(start) = pixels[from..].iter().position(|p| *p).map(|at| from + at) {
                let end = pixels[start..].iter().position(|p| !*p).map_or(pixels.len(), |len| start + len);
                runs.push(Run { row, start, end });
                from = end;
            }
        }
        runs
    }

    /// The border between inside and outside as straight lines along pixel edges: pairs of corners, (x, y) in pixels with 0 at
    /// the left and upper edge of the picture.
    pub fn border(&self) -> Vec<[(u32, u32); 2]> {
        let mut lines = Vec::new();
        let Some((columns, rows)) = self.bounds() else { return lines };
        let mut trace = |long: &Range<usize>,
                         across: &Range<usize>,
                         differs: &dyn Fn(i64, i64) -> bool,
                         corner: &dyn Fn(u32, u32) -> (u32, u32)| {
            for step in across.start..=across.end {
                let mut start = None;
                for at in long.start..=long.end {
                    let edge = at < long.end && differs(at as i64, step as i64);
                    match (edge, start) {
                        (true, None) => start = Some(at),
                        (false, Some(from)) => {
                            lines.push([corner(from as u32, step as u32), corner(at as u32, step as u32)]);
                            start = None;
                        }
                        _ => {}
                    }
                }
            }
        };
        trace(&columns, &rows, &|x, y| self.at(x, y - 1) != self.at(x, y), &|x, y| (x, y));
        trace(&rows, &columns, &|y, x| self.at(x - 1, y) != self.at(x, y), &|y, x| (x, y));
        lines
    }

    /// Connected parts, largest first.
    pub fn components(&self) -> Vec<Component> {
        let runs = self.runs();
        let mut joined = Parts::new(runs.len());
        joined.join_touching((&runs, 0), (&runs, 0));
        let mut parts: BTreeMap<usize, Component> = BTreeMap::new();
        for (i, run) in runs.iter().enumerate() {
            let part = parts.entry(joined.root(i)).or_insert(Component { pixels: 0, ends: Vec::new() });
            part.pixels += run.end - run.start;
            part.ends.extend([(run.start as u32, run.row as u32), (run.end as u32 - 1, run.row as u32)]);
        }
        let mut parts: Vec<Component> = parts.into_values().collect();
        parts.sort_by_key(|part| std::cmp::Reverse(part.pixels));
        parts
    }
}

type Point = (f64, f64);

/// Places nearer to each other than this, in pixels or mm, are one.
const NEAR: f64 = 1e-9;

/// The largest distance within a set of points, and the longest line at right angles to it within their convex hull. Of several
/// largest distances, the one with the longest line across.
fn diameters(points: Vec<Point>) -> [f64; 2] {
    let hull = hull(points);
    let length = |(a, b): &(Point, Point)| (a.0 - b.0).hypot(a.1 - b.1);
    let pairs = || hull.iter().enumerate().flat_map(|(i, a)| hull[i + 1..].iter().map(move |b| (*a, *b)));
    let longest = pairs().map(|pair| length(&pair)).fold(0.0, f64::max);
    let across = pairs().filter(|pair| longest > 0.0 && length(pair) > longest * (1.0 - 1e-9));
    [longest, across.map(|(a, b)| across_of(&hull, a, b)).fold(0.0, f64::max)]
}

/// The longest line within a convex polygon at right angles to the line from `a` to `b`. It starts at a corner, for between corners the
/// length changes evenly.
fn across_of(hull: &[Point], a: Point, b: Point) -> f64 {
    let length = (b.0 - a.0).hypot(b.1 - a.1);
    let along = ((b.0 - a.0) / length, (b.1 - a.1) / length);
    // Places along the line and off it.
    let turned: Vec<Point> =
        hull.iter().map(|p| (p.0 * along.0 + p.1 * along.1, p.1 * along.0 - p.0 * along.1)).collect();
    let chord = |at: f64| {
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        for (i, p) in turned.iter().enumerate() {
            let q = turned[(i + 1) % turned.len()];
            let (first, last) = (p.0.min(q.0), p.0.max(q.0));
            if at < first - NEAR || at > last + NEAR {
                continue;
            }
            let share = |at: f64| ((at - p.0) / (q.0 - p.0)).clamp(0.0, 1.0);
            let ends = if last - first < NEAR { [p.1, q.1] } else { [p.1 + (q.1 - p.1) * share(at); 2] };
            for end in ends {
                (low, high) = (low.min(end), high.max(end));
            }
        }
        (high - low).max(0.0)
    };
    turned.iter().map(|p| chord(p.0)).fold(0.0, f64::max)
}

/// Corners of the convex hull of a set of points (Andrew's monotone chain).
fn hull(mut points: Vec<Point>) -> Vec<Point> {
    points.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
    points.dedup();
    let cross = |o: Point, a: Point, b: Point| (a.0 - o.0) * (b.1 - o.1) - (a.1 - o.1) * (b.0 - o.0);
    let mut hull: Vec<Point> = Vec::new();
    for half in 0..2 {
        let base = hull.len();
        let mut add = |p: (f64, f64)| {
            while hull.len() >= base + 2 && cross(hull[hull.len() - 2], hull[hull.len() - 1], p) <= 0.0 {
                hull.pop();
            }
            hull.push(p);
        };
        if half == 0 {
            points.iter().copied().for_each(&mut add)
        } else {
            points.iter().rev().copied().for_each(&mut add)
        }
        hull.pop();
    }
    hull
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By hand: a bar of 7 × 3 pixels, a diamond, a triangle and a single pixel.
    #[test]
    fn perpendicular_diameters_of_shapes_drawn_by_hand() {
        let of = |rows: &[&str], pixel: (f64, f64)| Mask::drawn(rows).components()[0].diameters(pixel);
        let close = |found: [f64; 2], wanted: [f64; 2]| {
            assert!((0..2).all(|i| (found[i] - wanted[i]).abs() < 1e-9), "{found:?}, not {wanted:?}");
        };
        // Corners (0, 0) to (6, 2): √40 along (6, 2). Lines across go along (−2, 6) and leave the bar above and below: 2 · √40 / 6.
        close(of(&["#######"; 3], (1.0, 1.0)), [40f64.sqrt(), 40f64.sqrt() / 3.0]);
        // Both diagonals are 4, in mm 4 wide and 8 high with pixels of 1 × 2 mm.
        let diamond = ["..#..", ".###.", "#####", ".###.", "..#.."];
        close(of(&diamond, (1.0, 1.0)), [4.0, 4.0]);
        close(of(&diamond, (1.0, 2.0)), [8.0, 4.0]);
        // Legs of 3: the hypotenuse is √18, the height over it √18 / 2.
        close(of(&["#...", "##..", "###.", "####"], (1.0, 1.0)), [18f64.sqrt(), 18f64.sqrt() / 2.0]);
        close(of(&["#"], (1.0, 1.0)), [0.0, 0.0]);
        close(of(&["####"], (2.0, 1.0)), [6.0, 0.0]);
    }

    #[test]
    fn components_are_counted_over_corners_and_measured() {
        let mask = Mask::drawn(&["##...", "##...", "..#..", ".....", "....#"]);
        let parts = mask.components();
        assert_eq!(parts.iter().map(|p| p.pixels).collect::<Vec<_>>(), vec![5, 1]);
        // From (0, 0) to (2, 2): √8.
        assert!((parts[0].diameter((1.0, 1.0)) - 8f64.sqrt()).abs() < 1e-12);
        assert_eq!(parts[1].diameter((1.0, 1.0)), 0.0);
        // Twice as tall pixels: from (0, 0) to (2, 4).
        assert!((parts[0].diameter((1.0, 2.0)) - 20f64.sqrt()).abs() < 1e-12);
    }

    /// Against a flood fill, on noise where parts join late and meet at corners.
    #[test]
    fn components_are_those_of_a_flood_fill() {
        for seed in 0..40 {
            let (width, height) = (3 + seed % 11, 3 + seed % 7);
            let noise = |i: usize| ((i * 7919 + seed * 104_729) % 1009) % 5 < 2 + seed % 2;
            let mask = Mask::new(width, height, (0..width * height).map(noise).collect()).unwrap();
            let mut left: Vec<(i64, i64)> = (0..height as i64)
                .flat_map(|y| (0..width as i64).map(move |x| (x, y)))
                .filter(|(x, y)| mask.at(*x, *y))
                .collect();
            let mut sizes = Vec::new();
            while let Some(start) = left.pop() {
                let (mut part, mut at) = (vec![start], 0);
                while at < part.len() {
                    let (x, y) = part[at];
                    let (near, far) = left.into_iter().partition(|(a, b)| (a - x).abs() <= 1 && (b - y).abs() <= 1);
                    part.extend::<Vec<_>>(near);
                    left = far;
                    at += 1;
                }
                sizes.push(part.len());
            }
            sizes.sort_by_key(|size| std::cmp::Reverse(*size));
            assert_eq!(mask.components().iter().map(|p| p.pixels).collect::<Vec<_>>(), sizes, "seed {seed}");
        }
    }

    #[test]
    fn the_border_of_two_pixels_is_a_rectangle() {
        let mut lines = Mask::drawn(&["....", ".##.", "...."]).border();
        lines.sort();
        assert_eq!(lines, [[(1, 1), (1, 2)], [(1, 1), (3, 1)], [(1, 2), (3, 2)], [(3, 1), (3, 2)]]);
        // At the picture's own edge too.
        assert_eq!(Mask::drawn(&["##", "##"]).border().len(), 4);
    }

    #[test]
    fn dice_of_known_masks() {
        let (a, b) = (Mask::drawn(&["##", ".."]), Mask::drawn(&["#.", "#."]));
        assert_eq!(a.dice(&b), Some(0.5));
        assert_eq!(Mask::empty(2, 2).dice(&Mask::empty(2, 2)), Some(1.0));
        assert_eq!(a.dice(&Mask::empty(2, 2)), Some(0.0));
        assert_eq!(a.dice(&Mask::empty(3, 2)), None);
    }
}

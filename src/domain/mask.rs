//! Binary masks and what is measured on them.

/// A yes/no picture, row-major.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mask {
    width: usize,
    height: usize,
    pixels: Vec<bool>,
}

/// A connected part of a mask (8-neighbourhood).
#[derive(Debug, Clone, PartialEq)]
pub struct Component {
    pub pixels: usize,
    /// Largest distance between two of its pixel centres, in pixels of the given aspect (see [`Mask::components`]).
    pub diameter: f64,
}

impl Mask {
    /// `None` unless `pixels` fill `width`×`height` exactly.
    pub fn new(width: usize, height: usize, pixels: Vec<bool>) -> Option<Self> {
        (width.checked_mul(height)? == pixels.len()).then_some(Self { width, height, pixels })
    }

    pub fn empty(width: usize, height: usize) -> Self {
        Self { width, height, pixels: vec![false; width * height] }
    }

    /// Pixels at or above `threshold` of a probability map.
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

    /// The border between inside and outside as straight lines along pixel edges: pairs of corners, (x, y) in pixels with 0 at
    /// the left and upper edge of the picture.
    pub fn border(&self) -> Vec<[(u32, u32); 2]> {
        let mut lines = Vec::new();
        let mut trace = |long: usize,
                         across: usize,
                         differs: &dyn Fn(i64, i64) -> bool,
                         corner: &dyn Fn(u32, u32) -> (u32, u32)| {
            for step in 0..=across {
                let mut start = None;
                for at in 0..=long {
                    let edge = at < long && differs(at as i64, step as i64);
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
        trace(self.width, self.height, &|x, y| self.at(x, y - 1) != self.at(x, y), &|x, y| (x, y));
        trace(self.height, self.width, &|y, x| self.at(x - 1, y) != self.at(x, y), &|y, x| (x, y));
        lines
    }

    /// Connected parts, largest first. `pixel` is a pixel's (width, height) in whatever unit the diameter should have.
    pub fn components(&self, pixel: (f64, f64)) -> Vec<Component> {
        let mut seen = vec![false; self.pixels.len()];
        let mut parts = Vec::new();
        for start in 0..self.pixels.len() {
            if !self.pixels[start] || seen[start] {
                continue;
            }
            let (mut size, mut edge) = (0, Vec::new());
            let mut stack = vec![start];
            seen[start] = true;
            while let Some(at) = stack.pop() {
                size += 1;
                let (x, y) = ((at % self.width) as i64, (at / self.width) as i64);
                if self.is_edge(x, y) {
                    edge.push((x as f64 * pixel.0, y as f64 * pixel.1));
                }
                for (dx, dy) in (-1..=1).flat_map(|dy| (-1..=1).map(move |dx| (dx, dy))) {
                    if self.at(x + dx, y + dy) {
                        let next = (y + dy) as usize * self.width + (x + dx) as usize;
                        if !std::mem::replace(&mut seen[next], true) {
                            stack.push(next);
                        }
                    }
                }
            }
            parts.push(Component { pixels: size, diameter: diameter(edge) });
        }
        parts.sort_by_key(|part| std::cmp::Reverse(part.pixels));
        parts
    }
}

/// Largest distance within a set of points, over the corners of its convex hull (Andrew's monotone chain).
fn diameter(mut points: Vec<(f64, f64)>) -> f64 {
    points.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
    points.dedup();
    let cross = |o: (f64, f64), a: (f64, f64), b: (f64, f64)| (a.0 - o.0) * (b.1 - o.1) - (a.1 - o.1) * (b.0 - o.0);
    let mut hull: Vec<(f64, f64)> = Vec::new();
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
    let distance = |a: (f64, f64), b: (f64, f64)| (a.0 - b.0).hypot(a.1 - b.1);
    hull.iter().flat_map(|a| hull.iter().map(move |b| distance(*a, *b))).fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(rows: &[&str]) -> Mask {
        let pixels = rows.iter().flat_map(|r| r.chars().map(|c| c == '#')).collect();
        Mask::new(rows[0].len(), rows.len(), pixels).unwrap()
    }

    #[test]
    fn components_are_counted_over_corners_and_measured() {
        let mask = drawn(&["##...", "##...", "..#..", ".....", "....#"]);
        let parts = mask.components((1.0, 1.0));
        assert_eq!(parts.iter().map(|p| p.pixels).collect::<Vec<_>>(), vec![5, 1]);
        // From (0, 0) to (2, 2): √8.
        assert!((parts[0].diameter - 8f64.sqrt()).abs() < 1e-12);
        assert_eq!(parts[1].diameter, 0.0);
        // Twice as tall pixels: from (0, 0) to (2, 4).
        assert!((mask.components((1.0, 2.0))[0].diameter - 20f64.sqrt()).abs() < 1e-12);
    }

    #[test]
    fn the_border_of_two_pixels_is_a_rectangle() {
        let mut lines = drawn(&["....", ".##.", "...."]).border();
        lines.sort();
        assert_eq!(lines, [[(1, 1), (1, 2)], [(1, 1), (3, 1)], [(1, 2), (3, 2)], [(3, 1), (3, 2)]]);
        // At the picture's own edge too.
        assert_eq!(drawn(&["##", "##"]).border().len(), 4);
    }

    #[test]
    fn dice_of_known_masks() {
        let (a, b) = (drawn(&["##", ".."]), drawn(&["#.", "#."]));
        assert_eq!(a.dice(&b), Some(0.5));
        assert_eq!(Mask::empty(2, 2).dice(&Mask::empty(2, 2)), Some(1.0));
        assert_eq!(a.dice(&Mask::empty(2, 2)), Some(0.0));
        assert_eq!(a.dice(&Mask::empty(3, 2)), None);
    }
}

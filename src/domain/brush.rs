//! Drawing on masks: brushes, filling, growing and shrinking, and outlines between two drawn slices.

use super::mask::Mask;

/// A round brush on a slice, in pixels from the slice's upper left corner.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Disk {
    pub centre: [f64; 2],
    pub radius: f64,
}

impl Disk {
    /// Columns and rows of the pixels whose centres lie within the disk, within a picture of this size.
    fn pixels(self, width: usize, height: usize) -> impl Iterator<Item = (usize, usize)> {
        let Disk { centre: [cx, cy], radius } = self;
        let range = |c: f64, side: usize| {
            let (low, high) = ((c - radius).floor().max(0.0), (c + radius).ceil().clamp(0.0, side as f64));
            low as usize..high as usize
        };
        let (columns, rows) = (range(cx, width), range(cy, height));
        let within = move |x: usize, y: usize| (x as f64 + 0.5 - cx).hypot(y as f64 + 0.5 - cy) <= radius;
        rows.flat_map(move |y| columns.clone().map(move |x| (x, y))).filter(move |(x, y)| within(*x, *y))
    }
}

impl Mask {
    /// Takes every pixel of the disk into the mask, or out of it.
    pub fn paint(&mut self, disk: Disk, inside: bool) {
        for (x, y) in disk.pixels(self.width, self.height) {
            self.pixels[y * self.width + x] = inside;
        }
    }

    /// Takes in the pixels of the disk that are connected to its centre by values within `tolerance` of the value there. `values` are
    /// the slice's, row by row.
    pub fn paint_alike(&mut self, disk: Disk, values: &[f32], tolerance: f32) {
        let [x, y] = disk.centre.map(|c| c.floor());
        let is_there = x >= 0.0 && y >= 0.0 && x < self.width as f64 && y < self.height as f64;
        if !is_there || values.len() != self.pixels.len() {
            return;
        }
        let start = y as usize * self.width + x as usize;
        let mut open = vec![false; self.pixels.len()];
        for (x, y) in disk.pixels(self.width, self.height) {
            let at = y * self.width + x;
            open[at] = (values[at] - values[start]).abs() <= tolerance;
        }
        for at in flooded(&mut open, self.width, start) {
            self.pixels[at] = true;
        }
    }

    /// Takes in the region outside the mask that holds the pixel, if the mask encloses it. Says whether it did.
    pub fn fill(&mut self, x: usize, y: usize) -> bool {
        if x >= self.width || y >= self.height {
            return false;
        }
        let mut open: Vec<bool> = self.pixels.iter().map(|inside| !inside).collect();
        let region = flooded(&mut open, self.width, y * self.width + x);
        let at_border = |at: &usize| {
            let (x, y) = (at % self.width, at / self.width);
            x == 0 || y == 0 || x + 1 == self.width || y + 1 == self.height
        };
        if region.is_empty() || region.iter().any(at_border) {
            return false;
        }
        region.into_iter().for_each(|at| self.pixels[at] = true);
        true
    }

    /// The mask with every pixel that touches it (4-neighbourhood).
    pub fn grown(&self) -> Mask {
        self.map(|x, y| self.at(x, y) || NEIGHBOURS.iter().any(|(dx, dy)| self.at(x + dx, y + dy)))
    }

    /// The mask without the pixels that touch what is outside it (4-neighbourhood).
    pub fn shrunk(&self) -> Mask {
        self.map(|x, y| self.at(x, y) && !self.is_edge(x, y))
    }

    /// The largest connected part (4-neighbourhood).
    pub fn largest_part(&self) -> Mask {
        let mut open = self.pixels.clone();
        let mut largest: Vec<usize> = Vec::new();
        for start in 0..open.len() {
            let part = flooded(&mut open, self.width, start);
            if part.len() > largest.len() {
                largest = part;
            }
        }
        let mut mask = Mask::empty(self.width, self.height);
        largest.into_iter().for_each(|at| mask.pixels[at] = true);
        mask
    }

    /// The outline at a share of the way from this slice's mask to another's, by their distances from the edge. `None` for unlike
    /// sizes.
    pub fn between(&self, other: &Mask, share: f64) -> Option<Mask> {
        if (self.width, self.height) != (other.width, other.height) {
            return None;
        }
        let (one, two) = (self.depths(), other.depths());
        let mixed = one.iter().zip(&two).map(|(a, b)| f64::from(*a) * (1.0 - share) + f64::from(*b) * share > 0.0);
        Some(Mask { width: self.width, height: self.height, pixels: mixed.collect() })
    }

    fn map(&self, inside: impl Fn(i64, i64) -> bool) -> Mask {
        let (width, height) = (self.width as i64, self.height as i64);
        let pixels = (0..height).flat_map(|y| (0..width).map(move |x| (x, y))).map(|(x, y)| inside(x, y)).collect();
        Mask { width: self.width, height: self.height, pixels }
    }

    /// Distance of every pixel from the edge in thirds of a pixel: positive inside, negative outside.
    fn depths(&self) -> Vec<i32> {
        let inside = distances(self, false);
        let outside = distances(self, true);
        inside.into_iter().zip(outside).map(|(a, b)| a - b).collect()
    }
}

const NEIGHBOURS: [(i64, i64); 4] = [(-1, 0), (1, 0), (0, -1), (0, 1)];

/// Indices of the open pixels that are connected to `start`, which are closed. `width` is the number of columns.
fn flooded(open: &mut [bool], width: usize, start: usize) -> Vec<usize> {
    let mut region = Vec::new();
    let mut waiting = vec![start];
    while let Some(at) = waiting.pop() {
        if !std::mem::take(&mut open[at]) {
            continue;
        }
        region.push(at);
        let x = at % width;
        waiting.extend((x > 0).then(|| at - 1));
        waiting.extend((x + 1 < width).then_some(at + 1));
        waiting.extend(at.checked_sub(width));
        waiting.extend(Some(at + width).filter(|below| *below < open.len()));
    }
    region
}

/// Distance of every pixel to the nearest one that is `target`, in thirds of a pixel (Borgefors' 3-4 chamfer distance).
fn distances(mask: &Mask, target: bool) -> Vec<i32> {
    let (width, height) = (mask.width as i64, mask.height as i64);
    let far = (width + height) as i32 * 4;
    let mut found: Vec<i32> = mask.pixels.iter().map(|inside| if *inside == target { 0 } else { far }).collect();
    let before = [(-1, 0, 3), (0, -1, 3), (-1, -1, 4), (1, -1, 4)];
    for backwards in [false, true] {
        for i in 0..found.len() {
            let at = if backwards { found.len() - 1 - i } else { i };
            let (x, y) = (at as i64 % width, at as i64 / width);
            for (dx, dy, cost) in before {
                let (dx, dy) = if backwards { (-dx, -dy) } else { (dx, dy) };
                let (nx, ny) = (x + dx, y + dy);
                if (0..width).contains(&nx) && (0..height).contains(&ny) {
                    found[at] = found[at].min(found[(ny * width + nx) as usize] + cost);
                }
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_brush_draws_and_erases_a_disk_within_the_picture() {
        let mut mask = Mask::empty(5, 4);
        mask.paint(Disk { centre: [2.5, 1.5], radius: 1.0 }, true);
        assert_eq!(mask, Mask::drawn(&["..#..", ".###.", "..#..", "....."]));
        mask.paint(Disk { centre: [3.5, 1.5], radius: 0.5 }, false);
        assert_eq!(mask, Mask::drawn(&["..#..", ".##..", "..#..", "....."]));
        mask.paint(Disk { centre: [-9.0, -9.0], radius: 2.0 }, true);
        assert_eq!(mask.area(), 4);
    }

    #[test]
    fn the_smart_brush_stays_within_its_radius_and_its_tissue() {
        // A bright column beside a dark one, and another bright one that is not connected.
        let values = [9.0, 9.0, 1.0, 9.0, 9.0, 8.5, 1.0, 9.0, 9.0, 9.0, 1.0, 9.0];
        let mut mask = Mask::empty(4, 3);
        mask.paint_alike(Disk { centre: [0.5, 0.5], radius: 9.0 }, &values, 1.0);
        assert_eq!(mask, Mask::drawn(&["##..", "##..", "##.."]));
        let mut mask = Mask::empty(4, 3);
        mask.paint_alike(Disk { centre: [0.5, 0.5], radius: 1.1 }, &values, 0.2);
        assert_eq!(mask, Mask::drawn(&["##..", "#...", "...."]));
    }

    #[test]
    fn only_what_is_enclosed_is_filled() {
        let mut ring = Mask::drawn(&["......", ".####.", ".#..#.", ".####.", "......"]);
        assert!(!ring.fill(0, 0));
        assert!(ring.fill(2, 2));
        assert_eq!(ring, Mask::drawn(&["......", ".####.", ".####.", ".####.", "......"]));
        assert!(!ring.fill(2, 2) && !ring.fill(99, 0));
    }

    #[test]
    fn growing_shrinking_and_the_largest_part() {
        let mask = Mask::drawn(&[".....", "..#..", "....."]);
        assert_eq!(mask.grown(), Mask::drawn(&["..#..", ".###.", "..#.."]));
        assert_eq!(mask.grown().shrunk(), mask);
        let two = Mask::drawn(&["##..#", "#....", "...##"]);
        assert_eq!(two.largest_part(), Mask::drawn(&["##...", "#....", "....."]));
    }

    #[test]
    fn between_two_outlines_lies_one_of_a_size_between() {
        let square = |from: usize, to: usize| {
            let inside = |i: usize| (from..to).contains(&(i % 20)) && (from..to).contains(&(i / 20));
            Mask::new(20, 20, (0..400).map(inside).collect()).unwrap()
        };
        let (small, large) = (square(8, 12), square(4, 16));
        assert_eq!(small.between(&large, 0.5), Some(square(6, 14)));
        assert_eq!(small.between(&large, 0.0), Some(small.clone()));
        assert_eq!(small.between(&Mask::empty(3, 3), 0.5), None);
    }
}

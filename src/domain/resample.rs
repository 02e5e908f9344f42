//! Changing the size of grey pictures and probability maps.

use super::card::Resize;

/// Where a picture lies in a square network input: the placed part, in pixels of the square.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placement {
    pub side: usize,
    pub left: usize,
    pub top: usize,
    pub width: usize,
    pub height: usize,
}

impl Placement {
    /// Where a picture goes in a square of `side`; `width` and `height` are its extent in pixels or in mm.
    pub fn new((width, height): (f64, f64), side: usize, rule: Resize) -> Self {
        let (w, h) = match rule {
            Resize::Stretch => (side, side),
            Resize::Fit => {
                let scale = side as f64 / width.max(height);
                let fit = |v: f64| ((v * scale).round() as usize).clamp(1, side);
                (fit(width), fit(height))
            }
        };
        Self { side, left: (side - w) / 2, top: (side - h) / 2, width: w, height: h }
    }

    /// The square with the picture in its place and zeros around it.
    pub fn place(&self, pixels: &[f32], width: usize, height: usize) -> Vec<f32> {
        let scaled = resize(pixels, (width, height), (self.width, self.height));
        if self.width == self.side && self.height == self.side {
            return scaled;
        }
        let mut square = vec![0.0; self.side * self.side];
        for (y, row) in scaled.chunks_exact(self.width).enumerate() {
            let start = (self.top + y) * self.side + self.left;
            square[start..start + self.width].copy_from_slice(row);
        }
        square
    }

    /// The inverse for a map over the square: the picture's part, at the picture's own size.
    pub fn take_back(&self, square: &[f32], width: usize, height: usize) -> Vec<f32> {
        let mut part = Vec::with_capacity(self.width * self.height);
        for y in self.top..self.top + self.height {
            let start = y * self.side + self.left;
            part.extend_from_slice(&square[start..start + self.width]);
        }
        resize(&part, (self.width, self.height), (width, height))
    }
}

/// For one output position: the first input position and the weights from there on, summing to 1.
struct Taps {
    first: usize,
    weights: Vec<f32>,
}

/// A triangle filter: linear interpolation when enlarging, a weighted mean over all covered pixels when shrinking.
fn taps(from: usize, to: usize) -> Vec<Taps> {
    let scale = from as f64 / to as f64;
    let radius = scale.max(1.0);
    (0..to)
        .map(|i| {
            let centre = (i as f64 + 0.5) * scale - 0.5;
            let first = (centre - radius).floor().max(0.0) as usize;
            let last = ((centre + radius).ceil() as usize).min(from - 1);
            let weights: Vec<f64> =
                (first..=last).map(|j| (1.0 - (j as f64 - centre).abs() / radius).max(0.0)).collect();
            let total: f64 = weights.iter().sum();
            Taps { first, weights: weights.iter().map(|w| (w / total) as f32).collect() }
        })
        .collect()
}

/// Resizes a row-major grey picture; a copy when the size is already right.
///
/// The triangle filter is that of Pillow's and TensorFlow's antialiased bilinear resize.
pub fn resize(pixels: &[f32], from: (usize, usize), to: (usize, usize)) -> Vec<f32> {
    if from == to {
        return pixels.to_vec();
    }
    let columns = taps(from.0, to.0);
    let narrow: Vec<f32> = pixels
        .chunks_exact(from.0)
        .flat_map(|row| {
            columns.iter().map(|tap| row[tap.first..].iter().zip(&tap.weights).map(|(v, w)| v * w).sum::<f32>())
        })
        .collect();
    let mut out = vec![0.0; to.0 * to.1];
    for (row, tap) in out.chunks_exact_mut(to.0).zip(taps(from.1, to.1)) {
        for (y, weight) in tap.weights.iter().enumerate() {
            let source = &narrow[(tap.first + y) * to.0..][..to.0];
            row.iter_mut().zip(source).for_each(|(out, v)| *out += weight * v);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shrinking_averages_and_enlarging_interpolates() {
        // A 2:1 triangle filter over 4 pixels a, b, c, d: the first output weighs a, b, c as 3, 3, 1 (of 7).
        let shrunk = resize(&[7.0, 7.0, 14.0, 0.0], (4, 1), (2, 1));
        assert!((shrunk[0] - (3.0 * 7.0 + 3.0 * 7.0 + 14.0) / 7.0).abs() < 1e-5, "{shrunk:?}");
        let enlarged = resize(&[0.0, 4.0], (2, 1), (4, 1));
        assert_eq!(enlarged, vec![0.0, 1.0, 3.0, 4.0]);
    }

    #[test]
    fn fitting_keeps_proportions_and_comes_back() {
        let (width, height) = (40, 20);
        let pixels: Vec<f32> = (0..width * height).map(|i| (i % width) as f32).collect();
        let placement = Placement::new((40.0, 20.0), 80, Resize::Fit);
        assert_eq!((placement.width, placement.height, placement.top), (80, 40, 20));
        let square = placement.place(&pixels, width, height);
        assert!(square[..20 * 80].iter().all(|v| *v == 0.0));
        let back = placement.take_back(&square, width, height);
        assert_eq!(back.len(), pixels.len());
        // A ramp is linear, so only the ends can differ after enlarging and shrinking.
        for (x, v) in back[..width].iter().enumerate().skip(2).take(width - 4) {
            assert!((v - x as f32).abs() < 0.05, "{x}: {v}");
        }
    }
}

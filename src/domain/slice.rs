//! One grey picture with what is known about it.

use super::window::Window;

/// How the source stored its grey values, which decides how they are shown and fed to a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// 0–255: taken as they are.
    Eight,
    /// More than eight bits or floating point: windowed.
    Deep,
}

/// Millimetres between pixel centres.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spacing {
    pub row_mm: f64,
    pub column_mm: f64,
}

/// A grey image, row-major, origin at the top left, in the source's own units.
#[derive(Debug, Clone, PartialEq)]
pub struct Slice {
    width: usize,
    height: usize,
    pixels: Vec<f32>,
    depth: Depth,
    pub spacing: Option<Spacing>,
}

impl Slice {
    /// `None` unless `pixels` fill `width`×`height` exactly and at least one pixel exists. Values that are not finite count as 0.
    pub fn new(width: usize, height: usize, mut pixels: Vec<f32>, depth: Depth) -> Option<Self> {
        if width == 0 || height == 0 || width.checked_mul(height)? != pixels.len() {
            return None;
        }
        pixels.iter_mut().filter(|v| !v.is_finite()).for_each(|v| *v = 0.0);
        Some(Self { width, height, pixels, depth, spacing: None })
    }

    pub fn width(&self) -> usize {
        self.width
    }

    pub fn height(&self) -> usize {
        self.height
    }

    pub fn depth(&self) -> Depth {
        self.depth
    }

    pub fn pixels(&self) -> &[f32] {
        &self.pixels
    }

    /// Value at a pixel inside the image.
    pub fn value(&self, x: usize, y: usize) -> Option<f32> {
        (x < self.width && y < self.height).then(|| self.pixels[y * self.width + x])
    }

    /// The window the picture opens with: 0–255 for eight bits, else from the 0.1th to the 99.9th percentile, so that a few
    /// hot pixels do not darken the rest.
    pub fn default_window(&self) -> Window {
        match self.depth {
            Depth::Eight => Window::from_range(0.0, 255.0),
            Depth::Deep => {
                let (low, high) = percentiles(&self.pixels, 0.001, 0.999);
                Window::from_range(low, high)
            }
        }
    }

    /// Grey values 0–255 as networks expect them, under [`Self::default_window`]: what the reader does to brightness and
    /// contrast never changes what a network sees.
    pub fn grey(&self) -> Vec<f32> {
        match self.depth {
            Depth::Eight => self.pixels.clone(),
            Depth::Deep => {
                let window = self.default_window();
                self.pixels.iter().map(|v| 255.0 * window.apply(*v)).collect()
            }
        }
    }

    /// Smallest and largest value.
    pub fn range(&self) -> (f32, f32) {
        self.pixels.iter().fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), v| (low.min(*v), high.max(*v)))
    }
}

/// Two quantiles of finite values; widened to the whole range when they coincide.
fn percentiles(values: &[f32], low: f64, high: f64) -> (f32, f32) {
    let mut sorted = values.to_vec();
    let last = sorted.len() - 1;
    let mut at = |q: f64| *sorted.select_nth_unstable_by((q * last as f64).round() as usize, f32::total_cmp).1;
    let (a, b) = (at(low), at(high));
    if b > a { (a, b) } else { (at(0.0), at(1.0)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deep_values_are_windowed_not_truncated() {
        let pixels: Vec<f32> = (0..10_000).map(|i| i as f32 * 6.0).collect();
        let slice = Slice::new(100, 100, pixels, Depth::Deep).unwrap();
        let grey = slice.grey();
        // The middle value maps to the middle of 0–255; the percentiles move it by at most 0.1 %.
        assert!((grey[5_000] - 127.5).abs() < 0.3, "{}", grey[5_000]);
        assert_eq!((grey[0], grey[9_999]), (0.0, 255.0));
    }

    #[test]
    fn a_single_hot_pixel_does_not_darken_the_rest() {
        let mut pixels = vec![100.0; 10_000];
        pixels[..5_000].fill(50.0);
        pixels[9_999] = 1e9;
        let slice = Slice::new(100, 100, pixels, Depth::Deep).unwrap();
        assert_eq!((slice.grey()[0], slice.grey()[6_000]), (0.0, 255.0));
    }

    #[test]
    fn a_flat_picture_is_no_division_by_zero() {
        let slice = Slice::new(16, 16, vec![7.0; 256], Depth::Deep).unwrap();
        assert!(slice.grey().iter().all(|v| v.is_finite()));
    }
}

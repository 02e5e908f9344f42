//! Window centre and width (DICOM PS3.3 C.11.2.1.2): which values are black, which white.

/// How brightness rises from black to white.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Ramp {
    /// Evenly from `centre − width/2` to `centre + width/2`.
    #[default]
    Linear,
    /// As 1 / (1 + exp(−4 (value − centre) / width)) (DICOM PS3.3 C.11.2.1.3.1).
    Sigmoid,
}

/// A ramp of brightness about `centre`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Window {
    pub centre: f32,
    /// Above zero.
    pub width: f32,
    pub ramp: Ramp,
}

/// Difference in brightness, of 1, by which a window must set the darkest and the brightest values apart.
const LEAST_CONTRAST: f32 = 16.0 / 256.0;

impl Window {
    /// From the darkest to the brightest value; an empty range is widened so that `low` is mid-grey.
    pub fn from_range(low: f32, high: f32) -> Self {
        let width = high - low;
        let (centre, width) = if width > 0.0 { (low + width / 2.0, width) } else { (low, 1.0) };
        Self { centre, width, ramp: Ramp::Linear }
    }

    /// Decimals that centre and width are written with: floating-point pictures often lie within 0–1.
    pub fn decimals(&self) -> usize {
        if self.width < 10.0 { 3 } else { 0 }
    }

    /// Brightness in 0–1.
    pub fn apply(&self, value: f32) -> f32 {
        let place = (value - self.centre) / self.width;
        match self.ramp {
            Ramp::Linear => (place + 0.5).clamp(0.0, 1.0),
            Ramp::Sigmoid => 1.0 / (1.0 + (-4.0 * place).exp()),
        }
    }

    /// Whether values from `low` to `high` can be told apart under this window. One beside them shows a blank, and one that is far too
    /// wide almost one.
    pub fn shows(&self, low: f32, high: f32) -> bool {
        high <= low || self.apply(high) - self.apply(low) >= LEAST_CONTRAST
    }

    /// After a drag by a share of the view: to the right widens, upwards brightens. `range` is the span of the values.
    pub fn dragged(&self, right: f32, up: f32, range: f32) -> Self {
        let range = range.max(1e-3);
        let width = (self.width + right * range).max(range / 1000.0);
        Self { centre: self.centre - up * range, width, ..*self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dragging_right_widens_and_up_brightens() {
        let window = Window::from_range(0.0, 255.0);
        let dragged = window.dragged(0.1, 0.1, 255.0);
        assert!(dragged.width > window.width);
        assert!(dragged.apply(100.0) > window.dragged(0.1, 0.0, 255.0).apply(100.0));
    }

    #[test]
    fn a_sigmoid_rises_as_the_standard_says() {
        let window = Window { ramp: Ramp::Sigmoid, ..Window::from_range(0.0, 100.0) };
        let shades = [0.0, 50.0, 75.0].map(|value| window.apply(value));
        // 1 / (1 + e²), 1 / 2, 1 / (1 + 1/e).
        for (shade, wanted) in shades.into_iter().zip([0.119_203, 0.5, 0.731_059]) {
            assert!((shade - wanted).abs() < 1e-5, "{shade} and {wanted}");
        }
    }

    #[test]
    fn a_window_that_tells_nothing_apart_is_known() {
        let values = Window::from_range(0.0, 1000.0);
        assert!(Window::from_range(300.0, 301.0).shows(0.0, 1000.0) && values.shows(0.0, 1000.0));
        assert!(!Window::from_range(5000.0, 6000.0).shows(0.0, 1000.0), "beside the values");
        assert!(!Window::from_range(0.0, 65_535.0).shows(0.0, 1000.0), "4 of 256 shades");
        assert!(values.shows(7.0, 7.0), "a blank picture blames no window");
    }

    #[test]
    fn a_flat_image_is_mid_grey() {
        assert_eq!(Window::from_range(5.0, 5.0).apply(5.0), 0.5);
    }
}

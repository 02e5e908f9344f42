//! Window centre and width (DICOM PS3.3 C.11.2.1.2): which values are black, which white.

/// A linear ramp from `centre − width/2` (black) to `centre + width/2` (white).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Window {
    pub centre: f32,
    /// Above zero.
    pub width: f32,
}

impl Window {
    /// From the darkest to the brightest value; an empty range is widened so that `low` is mid-grey.
    pub fn from_range(low: f32, high: f32) -> Self {
        let width = high - low;
        if width > 0.0 { Self { centre: low + width / 2.0, width } } else { Self { centre: low, width: 1.0 } }
    }

    /// Decimals that centre and width are written with: floating-point pictures often lie within 0–1.
    pub fn decimals(&self) -> usize {
        if self.width < 10.0 { 3 } else { 0 }
    }

    /// Brightness in 0–1.
    pub fn apply(&self, value: f32) -> f32 {
        ((value - self.centre) / self.width + 0.5).clamp(0.0, 1.0)
    }

    /// After a drag by a share of the view: to the right widens, upwards brightens. `range` is the span of the values.
    pub fn dragged(&self, right: f32, up: f32, range: f32) -> Self {
        let range = range.max(1e-3);
        Self { centre: self.centre - up * range, width: (self.width + right * range).max(range / 1000.0) }
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
    fn a_flat_image_is_mid_grey() {
        assert_eq!(Window::from_range(5.0, 5.0).apply(5.0), 0.5);
    }
}

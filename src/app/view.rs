//! How the selected slice is looked at: zoom, place, window.

use crate::domain::slice::{Channel, Slice};
use crate::domain::window::Window;
use egui::{Pos2, Rect, Vec2, pos2, vec2};

/// Screen points per pixel.
const ZOOM: std::ops::RangeInclusive<f32> = 0.02..=64.0;

#[derive(Debug, Clone, PartialEq)]
pub struct View {
    /// Points per image pixel; `None` fits the picture into the viewport.
    zoom: Option<f32>,
    /// Image position in the middle of the viewport, in pixels.
    centre: Pos2,
    /// Of the pictures this is a view of: width and height in pixels, height of a pixel relative to its width.
    shape: (usize, usize, f32),
    pub window: Window,
    pub invert: bool,
    /// Channel of a colour picture that is shown; its luminance without one.
    pub channel: Option<Channel>,
    /// Window preset in use, 1–5; 0 after a change by hand.
    pub preset: u8,
}

impl View {
    pub fn of(slice: &Slice) -> Self {
        let centre = pos2(slice.width() as f32 / 2.0, slice.height() as f32 / 2.0);
        Self {
            zoom: None,
            centre,
            shape: Self::shape(slice),
            window: slice.default_window(),
            invert: false,
            channel: None,
            preset: 1,
        }
    }

    fn shape(slice: &Slice) -> (usize, usize, f32) {
        (slice.width(), slice.height(), Self::aspect(slice))
    }

    /// Whether this view shows a slice as it would show the one it was made for.
    pub fn is_for(&self, slice: &Slice) -> bool {
        self.shape == Self::shape(slice)
    }

    /// The same place and zoom under another view's window.
    pub fn under(self, other: &View) -> Self {
        Self { window: other.window, preset: other.preset, invert: other.invert, channel: other.channel, ..self }
    }

    /// The same place, zoom and inversion, starting from another view's window.
    pub fn with_window(self, other: &View) -> Self {
        Self { window: other.window, preset: other.preset, ..self }
    }

    /// Shows the next of luminance, first, second and third channel, if the picture has channels.
    pub fn next_channel(&mut self, slice: &Slice) {
        let next = match self.channel {
            None => Some(Channel::Red),
            Some(Channel::Red) => Some(Channel::Green),
            Some(Channel::Green) => Some(Channel::Blue),
            Some(Channel::Blue) => None,
        };
        self.channel = next.filter(|_| slice.is_coloured());
    }

    pub fn fit(&mut self, slice: &Slice) {
        let whole = Self::of(slice);
        (self.zoom, self.centre) = (whole.zoom, whole.centre);
    }

    /// Height of a pixel relative to its width.
    fn aspect(slice: &Slice) -> f32 {
        slice.spacing.map_or(1.0, |s| (s.row_mm / s.column_mm) as f32)
    }

    /// Points per pixel, across and down.
    pub fn scale(&self, slice: &Slice, viewport: Rect) -> Vec2 {
        let aspect = Self::aspect(slice);
        let fitting = || {
            let across = viewport.width() / slice.width() as f32;
            let down = viewport.height() / (slice.height() as f32 * aspect);
            (across.min(down) * 0.98).max(*ZOOM.start())
        };
        let zoom = self.zoom.unwrap_or_else(fitting);
        vec2(zoom, zoom * aspect)
    }

    /// Where the whole picture lies on the screen.
    pub fn picture_rect(&self, slice: &Slice, viewport: Rect) -> Rect {
        let scale = self.scale(slice, viewport);
        let corner = viewport.center() - self.centre.to_vec2() * scale;
        Rect::from_min_size(corner, vec2(slice.width() as f32, slice.height() as f32) * scale)
    }

    /// Image position (pixels, 0 at the left edge of the first pixel) under a point of the screen.
    pub fn image_from_screen(&self, slice: &Slice, viewport: Rect, at: Pos2) -> Pos2 {
        (self.centre.to_vec2() + (at - viewport.center()) / self.scale(slice, viewport)).to_pos2()
    }

    /// Where a position in the picture lies on the screen.
    pub fn screen_from_image(&self, slice: &Slice, viewport: Rect, at: Pos2) -> Pos2 {
        viewport.center() + (at - self.centre) * self.scale(slice, viewport)
    }

    /// The pixel under a point of the screen.
    pub fn pixel_at(&self, slice: &Slice, viewport: Rect, at: Pos2) -> Option<(usize, usize)> {
        let p = self.image_from_screen(slice, viewport, at);
        let inside = p.x >= 0.0 && p.y >= 0.0 && p.x < slice.width() as f32 && p.y < slice.height() as f32;
        inside.then_some((p.x as usize, p.y as usize))
    }

    pub fn pan(&mut self, slice: &Slice, viewport: Rect, by: Vec2) {
        let scale = self.scale(slice, viewport);
        self.zoom = Some(scale.x);
        let middle = self.centre - by / scale;
        self.centre = pos2(middle.x.clamp(0.0, slice.width() as f32), middle.y.clamp(0.0, slice.height() as f32));
    }

    /// Enlarges by `factor`, keeping what is under `about` in place.
    pub fn zoom_about(&mut self, slice: &Slice, viewport: Rect, about: Pos2, factor: f32) {
        let fixed = self.image_from_screen(slice, viewport, about);
        let zoom = (self.scale(slice, viewport).x * factor).clamp(*ZOOM.start(), *ZOOM.end());
        self.zoom = Some(zoom);
        let scale = self.scale(slice, viewport);
        self.centre = fixed - (about - viewport.center()) / scale;
    }

    /// Window by preset number 1–5.
    pub fn set_preset(&mut self, slice: &Slice, preset: u8) {
        // Windows that the source names come first.
        let own = slice.windows().get(usize::from(preset.saturating_sub(1))).copied();
        if let Some(window) = own {
            (self.window, self.preset) = (window, preset);
            return;
        }
        // Of the values that occur: a dark scan stored in 0–255 may use but a part of them.
        let (low, high) = slice.range();
        let width = high - low;
        let part = |from: f32, to: f32| Window::from_range(low + from * width, low + to * width);
        self.window = match preset {
            2 => part(0.0, 0.6),
            3 => part(0.2, 0.7),
            4 => part(0.45, 1.0),
            5 => part(0.0, 0.3),
            _ => slice.default_window(),
        };
        self.preset = preset;
    }

    /// Left-drag: right widens, up brightens; a drag across the viewport spans the picture's whole range.
    pub fn drag_window(&mut self, slice: &Slice, viewport: Rect, by: Vec2) {
        let range = slice.default_window().width;
        let extent = viewport.size().max(vec2(1.0, 1.0));
        self.window = self.window.dragged(by.x / extent.x, -by.y / extent.y, range);
        self.preset = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::slice::{Depth, Spacing, SpacingSource};

    fn slice() -> Slice {
        Slice::new(100, 50, vec![0.0; 5_000], Depth::Eight).unwrap()
    }

    fn viewport() -> Rect {
        Rect::from_min_size(pos2(10.0, 20.0), vec2(400.0, 400.0))
    }

    #[test]
    fn zooming_keeps_what_is_under_the_pointer() {
        let (slice, viewport) = (slice(), viewport());
        let mut view = View::of(&slice);
        let about = pos2(120.0, 200.0);
        let before = view.image_from_screen(&slice, viewport, about);
        for factor in [1.5, 3.0, 0.4] {
            view.zoom_about(&slice, viewport, about, factor);
            let after = view.image_from_screen(&slice, viewport, about);
            assert!((after - before).length() < 1e-3, "{before:?} {after:?}");
        }
    }

    #[test]
    fn fitting_shows_everything_and_pixels_are_found() {
        let (slice, viewport) = (slice(), viewport());
        let view = View::of(&slice);
        let rect = view.picture_rect(&slice, viewport);
        assert!(viewport.contains_rect(rect));
        assert_eq!(view.pixel_at(&slice, viewport, rect.min + vec2(0.1, 0.1)), Some((0, 0)));
        assert_eq!(view.pixel_at(&slice, viewport, rect.max - vec2(0.1, 0.1)), Some((99, 49)));
        assert_eq!(view.pixel_at(&slice, viewport, rect.min - vec2(1.0, 0.0)), None);
    }

    #[test]
    fn tall_pixels_are_drawn_tall() {
        let mut slice = slice();
        slice.spacing = Spacing::new(2.0, 1.0, SpacingSource::Reader);
        let rect = View::of(&slice).picture_rect(&slice, viewport());
        assert!((rect.width() - rect.height()).abs() < 1e-3);
    }
}

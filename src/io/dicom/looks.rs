//! Windows of a series, judged by the grey values of all its slices.

use super::frame::Decoded;
use super::header::{FrameHeader, Header};
use super::look::Windows;
use crate::domain::slice::{Depth, Slice, percentiles};
use crate::domain::window::Window;

/// Values of a slice that are looked at for the window of its series.
const VALUES: usize = 1 << 13;

/// The grey values of a whole series, against which its windows are judged.
#[derive(Debug, Clone, Copy, Default)]
pub struct Looks {
    /// From the 0.1th to the 99.9th percentile; `None` for eight bits, which are shown as they are.
    range: Option<(f32, f32)>,
}

impl Looks {
    pub fn of(frames: &[Decoded]) -> Self {
        let deep = frames.iter().filter(|frame| frame.slice.depth() == Depth::Deep);
        let some = |frame: &Decoded| -> Vec<f32> {
            let values = frame.slice.values().into_iter().enumerate().step_by(frame.slice.area().div_ceil(VALUES));
            values.filter(|(at, _)| frame.padding.binary_search(at).is_err()).map(|(_, value)| value).collect()
        };
        let values: Vec<f32> = deep.flat_map(some).collect();
        Self { range: (!values.is_empty()).then(|| percentiles(&values, 0.001, 0.999)) }
    }

    /// Gives a slice the windows of its file that show something, else one that all slices of the series share.
    pub fn give(&self, slice: &mut Slice, header: &Header, frame: &FrameHeader) {
        let Some((low, high)) = self.range.filter(|_| slice.depth() == Depth::Deep) else { return };
        // A table gives its own range of brightness.
        if header.voi_table.is_some() && frame.windows.usable.is_empty() {
            return;
        }
        let mut windows: Vec<Window> =
            frame.windows.usable.iter().filter(|window| window.shows(low, high)).copied().collect();
        if windows.is_empty() {
            windows.push(Window::from_range(low, high));
        }
        slice.set_windows(windows);
    }

    /// Whether a window among these cannot be used.
    pub fn finds_unusable(&self, windows: &Windows) -> bool {
        let unseen = |(low, high): (f32, f32)| windows.usable.iter().any(|window| !window.shows(low, high));
        windows.has_unusable || self.range.is_some_and(unseen)
    }
}

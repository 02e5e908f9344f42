//! One grey picture with what is known about it.

pub use super::channel::Channel;
use super::geometry::Orientation;
use super::mask::Mask;
use super::resample::resize;
use super::warning::Warning;
use super::window::Window;

/// How the source stored its grey values, which decides how they are shown and fed to a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// 0–255: taken as they are.
    Eight,
    /// More than eight bits or floating point: windowed.
    Deep,
}

/// Who says how large a pixel is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpacingSource {
    /// DICOM PixelSpacing (0028,0030): in the patient.
    PixelSpacing,
    /// DICOM ImagerPixelSpacing (0018,1164): at the detector.
    ImagerPixelSpacing,
    /// DICOM NominalScannedPixelSpacing (0018,2010): of a scanned film.
    NominalScannedPixelSpacing,
    /// NIfTI's affine or `pixdim`.
    Nifti,
    /// TIFF resolution tags.
    TiffResolution,
    /// The reader, by a known distance.
    Reader,
    /// The source that a picture is a copy of.
    Copy,
}

impl SpacingSource {
    /// Name in results and locales.
    pub fn id(self) -> &'static str {
        match self {
            SpacingSource::PixelSpacing => "PixelSpacing",
            SpacingSource::ImagerPixelSpacing => "ImagerPixelSpacing",
            SpacingSource::NominalScannedPixelSpacing => "NominalScannedPixelSpacing",
            SpacingSource::Nifti => "NIfTI",
            SpacingSource::TiffResolution => "TIFF",
            SpacingSource::Reader => "reader",
            SpacingSource::Copy => "copy",
        }
    }
}

/// Millimetres between pixel centres.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spacing {
    pub row_mm: f64,
    pub column_mm: f64,
    pub source: SpacingSource,
}

impl Spacing {
    /// `None` unless both are sizes that a pixel can have.
    pub fn new(row_mm: f64, column_mm: f64, source: SpacingSource) -> Option<Self> {
        let usable = |mm: f64| (1e-4..=1e4).contains(&mm);
        (usable(row_mm) && usable(column_mm)).then_some(Self { row_mm, column_mm, source })
    }
}

/// Grey values in row-major order; eight-bit pictures are kept as bytes, since a session may hold thousands.
#[derive(Debug, Clone, PartialEq)]
enum Samples {
    Eight(Vec<u8>),
    Deep(Vec<f32>),
}

/// A grey image, row-major, origin at the top left, in the source's own units. A colour picture is its luminance, and keeps its
/// channels beside it: they may be three sequences of one slice.
#[derive(Debug, Clone, PartialEq)]
pub struct Slice {
    width: usize,
    height: usize,
    samples: Samples,
    /// Values 0–255 of red, green and blue, where they differ.
    channels: Option<[Vec<u8>; 3]>,
    /// At least one: the first is what the picture opens with.
    windows: Vec<Window>,
    pub spacing: Option<Spacing>,
    pub orientation: Option<Orientation>,
    /// High values are dark (DICOM MONOCHROME1, PS3.3 C.7.6.3.1.2).
    pub inverted: bool,
    /// What the reader should know of this slice.
    pub warnings: Vec<Warning>,
}

impl Slice {
    /// `None` unless `pixels` fill `width`×`height` exactly and at least one pixel exists. Values that are not finite count as
    /// 0; eight-bit values are rounded into 0–255.
    pub fn new(width: usize, height: usize, pixels: Vec<f32>, depth: Depth) -> Option<Self> {
        Self::with_windows(width, height, pixels, depth, Vec::new())
    }

    /// As [`Self::new`], with the windows that the source asks for, if any.
    pub fn with_windows(
        width: usize,
        height: usize,
        pixels: Vec<f32>,
        depth: Depth,
        windows: Vec<Window>,
    ) -> Option<Self> {
        if width == 0 || height == 0 || width.checked_mul(height)? != pixels.len() {
            return None;
        }
        let samples = match depth {
            // Casting saturates, and turns what is not a number into 0.
            Depth::Eight => Samples::Eight(pixels.into_iter().map(|v| v.round() as u8).collect()),
            Depth::Deep => Samples::Deep(pixels.into_iter().map(|v| if v.is_finite() { v } else { 0.0 }).collect()),
        };
        let windows = match &samples {
            _ if !windows.is_empty() => windows,
            Samples::Eight(_) => vec![Window::from_range(0.0, 255.0)],
            Samples::Deep(values) => {
                let (low, high) = percentiles(values, 0.001, 0.999);
                vec![Window::from_range(low, high)]
            }
        };
        let (spacing, orientation, inverted, warnings) = (None, None, false, Vec::new());
        let channels = None;
        Some(Self { width, height, samples, channels, windows, spacing, orientation, inverted, warnings })
    }

    /// The same picture with the colour channels that it was the luminance of, values 0–255; as it is unless each has its size.
    pub fn with_channels(mut self, channels: [Vec<u8>; 3]) -> Self {
        if channels.iter().all(|channel| channel.len() == self.area()) {
            self.channels = Some(channels);
        }
        self
    }

    /// Whether the picture has colour channels that differ.
    pub fn is_coloured(&self) -> bool {
        self.channels.is_some()
    }

    /// One channel of a colour picture as a grey picture; `None` for a grey one.
    pub fn channel(&self, channel: Channel) -> Option<Slice> {
        let values = self.channels.as_ref()?[channel as usize].clone();
        let windows = vec![Window::from_range(0.0, 255.0)];
        let Self { width, height, spacing, orientation, inverted, .. } = *self;
        let (samples, channels, warnings) = (Samples::Eight(values), None, self.warnings.clone());
        Some(Self { width, height, samples, channels, windows, spacing, orientation, inverted, warnings })
    }

    /// The same picture at another size, for a screen.
    pub fn resized(&self, width: usize, height: usize) -> Option<Slice> {
        let pixels = resize(&self.values(), (self.width, self.height), (width, height));
        let slice = Self::with_windows(width, height, pixels, self.depth(), self.windows.clone())?;
        let small = |channel: &Vec<u8>| -> Vec<u8> {
            let values: Vec<f32> = channel.iter().map(|v| f32::from(*v)).collect();
            resize(&values, (self.width, self.height), (width, height)).into_iter().map(|v| v.round() as u8).collect()
        };
        let channels = self.channels.as_ref().map(|all| all.each_ref().map(small));
        Some(Slice { inverted: self.inverted, channels, ..slice })
    }

    pub fn width(&self) -> usize {
        self.width
    }

    pub fn height(&self) -> usize {
        self.height
    }

    /// Number of pixels.
    pub fn area(&self) -> usize {
        self.width * self.height
    }

    /// Width and height in mm, or in pixels where nobody says how large a pixel is.
    pub fn extent(&self) -> (f64, f64) {
        let (column, row) = self.spacing.map_or((1.0, 1.0), |spacing| (spacing.column_mm, spacing.row_mm));
        (self.width as f64 * column, self.height as f64 * row)
    }

    pub fn depth(&self) -> Depth {
        match self.samples {
            Samples::Eight(_) => Depth::Eight,
            Samples::Deep(_) => Depth::Deep,
        }
    }

    /// All values, row by row.
    pub fn values(&self) -> Vec<f32> {
        match &self.samples {
            Samples::Eight(bytes) => bytes.iter().map(|v| f32::from(*v)).collect(),
            Samples::Deep(values) => values.clone(),
        }
    }

    /// All values, row by row, negated where high values are dark.
    pub fn brightness(&self) -> Vec<f32> {
        let values = self.values();
        if self.inverted { values.into_iter().map(|v| -v).collect() } else { values }
    }

    /// All values, row by row, without a copy of them.
    fn iter(&self) -> Box<dyn Iterator<Item = f32> + '_> {
        match &self.samples {
            Samples::Eight(bytes) => Box::new(bytes.iter().map(|v| f32::from(*v))),
            Samples::Deep(values) => Box::new(values.iter().copied()),
        }
    }

    /// Value at a pixel inside the image.
    pub fn value(&self, x: usize, y: usize) -> Option<f32> {
        let at = (x < self.width && y < self.height).then_some(y * self.width + x)?;
        match &self.samples {
            Samples::Eight(bytes) => bytes.get(at).map(|v| f32::from(*v)),
            Samples::Deep(values) => values.get(at).copied(),
        }
    }

    /// The window the picture opens with: the source's own, else 0–255 for eight bits or from the 0.1th to the 99.9th percentile,
    /// so that a few hot pixels do not darken the rest.
    pub fn default_window(&self) -> Window {
        self.windows[0]
    }

    /// All windows that the source names; [`Self::default_window`] is the first.
    pub fn windows(&self) -> &[Window] {
        &self.windows
    }

    /// Replaces the windows; the first is what the picture opens with. None at all changes nothing.
    pub fn set_windows(&mut self, windows: Vec<Window>) {
        if !windows.is_empty() {
            self.windows = windows;
        }
    }

    /// Grey values 0–255 as networks expect them, under [`Self::default_window`]: what the reader does to brightness and
    /// contrast never changes what a network sees.
    pub fn grey(&self) -> Vec<f32> {
        match &self.samples {
            Samples::Eight(_) if self.default_window() == Window::from_range(0.0, 255.0) && !self.inverted => {
                self.values()
            }
            _ => {
                let window = self.default_window();
                let shade = |v: f32| if self.inverted { 1.0 - window.apply(v) } else { window.apply(v) };
                self.values().into_iter().map(|v| 255.0 * shade(v)).collect()
            }
        }
    }

    /// As [`Self::shades`] of one channel, if one is named and the picture has channels.
    pub fn shades_of(&self, channel: Option<Channel>, window: Window, invert: bool) -> Vec<u8> {
        let channel = channel.and_then(|channel| self.channel(channel));
        channel.as_ref().unwrap_or(self).shades(window, invert)
    }

    /// Shades 0–255 for a screen under any window, black and white swapped when `invert`.
    pub fn shades(&self, window: Window, invert: bool) -> Vec<u8> {
        let shade = |v: f32| {
            let shade = (window.apply(v) * 255.0).round() as u8;
            if invert != self.inverted { 255 - shade } else { shade }
        };
        match &self.samples {
            Samples::Eight(bytes) => {
                let table: [u8; 256] = std::array::from_fn(|v| shade(v as f32));
                bytes.iter().map(|v| table[usize::from(*v)]).collect()
            }
            Samples::Deep(values) => values.iter().map(|v| shade(*v)).collect(),
        }
    }

    /// The part from (`x`, `y`), `None` when it does not lie inside.
    pub fn crop(&self, x: usize, y: usize, width: usize, height: usize) -> Option<Slice> {
        fn cut<T: Copy>(all: &[T], stride: usize, x: usize, y: usize, width: usize, height: usize) -> Vec<T> {
            all.chunks_exact(stride).skip(y).take(height).flat_map(|row| row[x..x + width].iter().copied()).collect()
        }
        if width == 0 || height == 0 || x + width > self.width || y + height > self.height {
            return None;
        }
        let samples = match &self.samples {
            Samples::Eight(bytes) => Samples::Eight(cut(bytes, self.width, x, y, width, height)),
            Samples::Deep(values) => Samples::Deep(cut(values, self.width, x, y, width, height)),
        };
        let channels =
            self.channels.as_ref().map(|all| all.each_ref().map(|one| cut(one, self.width, x, y, width, height)));
        let Self { spacing, orientation, inverted, .. } = *self;
        let (windows, warnings) = (self.windows.clone(), Vec::new());
        Some(Slice { width, height, samples, channels, windows, spacing, orientation, inverted, warnings })
    }

    /// The picture read as an outline: bright where the tumour is.
    pub fn outline(&self) -> Option<Mask> {
        let (low, high) = self.range();
        // Masks are stored as 0/1 or 0/255; JPEG noise of a few grey values around black is no tumour.
        let noise = self.depth() == Depth::Eight && high > 1.0 && high <= 16.0;
        let middle = match (noise, high > low) {
            (true, _) => high,
            // A label map: its first label is as much tumour as its last.
            (false, true) if self.depth() == Depth::Deep && low == 0.0 && high <= 255.0 && self.is_whole() => 0.5,
            (false, true) => low + (high - low) / 2.0,
            (false, false) => 0.5,
        };
        Mask::new(self.width, self.height, self.iter().map(|v| v > middle).collect())
    }

    fn is_whole(&self) -> bool {
        self.iter().all(|v| v.fract() == 0.0)
    }

    /// Whether at most four different values occur, as in a blank picture or an outline.
    pub fn has_few_greys(&self) -> bool {
        let mut seen: Vec<f32> = Vec::new();
        self.iter().all(|v| {
            if !seen.contains(&v) {
                seen.push(v);
            }
            seen.len() <= 4
        })
    }

    /// Smallest and largest value.
    pub fn range(&self) -> (f32, f32) {
        self.iter().fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)))
    }
}

/// Values of a slice that are looked at for the window of several.
const SAMPLES: usize = 1 << 13;

/// One window for slices that belong together, from the 0.1th to the 99.9th percentile of their values; `None` without a slice of more
/// than eight bits, and where counts and fractions are mixed, which do not share a scale.
pub fn shared_window(slices: &[Slice]) -> Option<Window> {
    let deep = || slices.iter().filter(|slice| slice.depth() == Depth::Deep);
    let mut kinds = deep().map(Slice::is_whole);
    let first = kinds.next()?;
    if kinds.any(|kind| kind != first) {
        return None;
    }
    // An odd step does not fall into the rhythm of rows.
    let values: Vec<f32> = deep().flat_map(|slice| slice.iter().step_by((slice.area() / SAMPLES) | 1)).collect();
    let (low, high) = percentiles(&values, 0.001, 0.999);
    Some(Window::from_range(low, high))
}

/// Two quantiles of finite values; widened to the whole range when they coincide.
pub fn percentiles(values: &[f32], low: f64, high: f64) -> (f32, f32) {
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

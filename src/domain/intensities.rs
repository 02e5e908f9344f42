//! Grey values of the head over a whole study, which networks see instead of a display window.

use super::slice::{Channel, Slice};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

/// Slices of a study that are looked at, evenly spaced.
pub const SLICES: usize = 24;

/// Values that are looked at in each slice at most.
pub const SAMPLES: usize = 1 << 14;
/// Share of the pixels at a picture's border from which one exact value there counts as fill, not tissue.
pub const FILL: f64 = 0.5;
/// Share of the values that are darker than air's brightness.
pub const DARK: f64 = 0.01;
/// Share of the values that are darker than bright tissue.
pub const BRIGHT: f64 = 0.995;
/// Share of the way from air to bright tissue from which a value counts as head.
pub const HEAD: f32 = 0.1;
/// Standard deviations below and above the head's mean between which a network tells values apart.
pub const DEVIATIONS: (f32, f32) = (-3.0, 5.0);

/// Mean and spread of the head's grey values. "Head" is whatever is brighter than air and is not a fill value: a network for
/// brains, kidneys or anything else sees its own organ on one scale, whatever scanner, bit depth or display window it came with.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Intensities {
    /// Value outside the body that a program wrote there, when most border pixels have it.
    fill: Option<f32>,
    /// Brightness of air, and the least that counts as head.
    air: f32,
    least: f32,
    mean: f32,
    /// 0 for a picture without contrast.
    deviation: f32,
}

impl Intensities {
    /// Intensities over slices that belong together, or of a single picture. Values of inverted slices (MONOCHROME1) count as
    /// their negatives, so that bright tissue is bright.
    pub fn of<'a>(slices: impl IntoIterator<Item = &'a Slice>) -> Self {
        let (mut border, mut count) = (HashMap::<u32, usize>::new(), 0);
        let mut values = Vec::new();
        for slice in slices {
            let all = slice.brightness();
            for value in ring(&all, slice.width()) {
                *border.entry(value.to_bits()).or_default() += 1;
                count += 1;
            }
            // An odd step does not fall into the rhythm of rows.
            values.extend(all.into_iter().step_by((slice.area() / SAMPLES) | 1));
        }
        // The larger value of two equally common ones, so that the answer does not depend on the order of a hash table.
        let common = border.into_iter().map(|(bits, n)| (n, f32::from_bits(bits)));
        let common = common.max_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)));
        let fill = common.filter(|(n, _)| *n as f64 >= FILL * count as f64).map(|(_, value)| value);
        values.retain(|v| Some(*v) != fill);
        let flat = Self { fill, air: 0.0, least: 0.0, mean: 0.0, deviation: 0.0 };
        if values.is_empty() {
            return flat;
        }
        let (air, bright) = super::slice::percentiles(&values, DARK, BRIGHT);
        let least = air + HEAD * (bright - air);
        let head: Vec<f32> = values.into_iter().filter(|v| *v > least).map(|v| v.min(bright)).collect();
        if head.is_empty() {
            return flat;
        }
        let (mean, deviation) = moments(&head);
        Self { fill, air, least, mean: mean as f32, deviation: deviation as f32 }
    }

    /// Grey value 0–255 of a brightness. The head's values go from 0 at three standard deviations below their mean to 255 at five
    /// above it. Darker ones fade to 0 at the brightness of air, so that air looks like a fill value, which is 0 too.
    pub fn grey(&self, brightness: f32) -> f32 {
        if self.deviation <= 0.0 || Some(brightness) == self.fill || brightness <= self.air {
            return 0.0;
        }
        let (low, high) = DEVIATIONS;
        let of_head = |v: f32| 255.0 * (((v - self.mean) / self.deviation - low) / (high - low)).clamp(0.0, 1.0);
        if brightness < self.least {
            of_head(self.least) * (brightness - self.air) / (self.least - self.air)
        } else {
            of_head(brightness)
        }
    }
}

/// Intensities of a study's grey values and, where its pictures are coloured, of each channel.
#[derive(Debug, Clone, PartialEq)]
pub struct ChannelIntensities {
    grey: Intensities,
    channels: Option<[Intensities; 3]>,
}

impl ChannelIntensities {
    /// Intensities over slices that belong together. Channels have intensities of their own if every slice has channels.
    pub fn of(slices: &[Arc<Slice>]) -> Self {
        let of = |channel: Channel| -> Option<Intensities> {
            let planes: Option<Vec<Slice>> = slices.iter().map(|slice| slice.channel(channel)).collect();
            planes.filter(|planes| !planes.is_empty()).map(|planes| Intensities::of(&planes))
        };
        let [red, green, blue] = Channel::ALL.map(of);
        let channels = red.zip(green).zip(blue).map(|((red, green), blue)| [red, green, blue]);
        Self { grey: Intensities::of(slices.iter().map(Arc::as_ref)), channels }
    }

    /// Intensities of a channel, or of the grey values; `None` for a channel that some slice of the study does not have.
    pub fn of_channel(&self, channel: Option<Channel>) -> Option<Intensities> {
        match channel {
            None => Some(self.grey),
            Some(channel) => self.channels.map(|all| all[channel as usize]),
        }
    }
}

/// Indices of the slices that stand for a study of `count`: at most 24, evenly spaced.
pub fn sampled(count: usize) -> impl Iterator<Item = usize> {
    let step = count.div_ceil(SLICES).max(1);
    (0..count).skip(step / 2).step_by(step)
}

/// Intensities of a study by point in time, each measured once.
#[derive(Debug, Default)]
pub struct StudyIntensities(Mutex<BTreeMap<usize, Arc<ChannelIntensities>>>);

impl StudyIntensities {
    /// Intensities at a point in time; `measure` is called when they are not known yet.
    pub fn at(&self, time: usize, measure: impl FnOnce() -> ChannelIntensities) -> Arc<ChannelIntensities> {
        // Held while they are measured, so that threads that need the same ones wait instead of measuring them again.
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.entry(time).or_insert_with(|| Arc::new(measure())).clone()
    }
}

/// Mean and population standard deviation, as numpy computes them; 0 for no values.
pub fn moments(values: &[f32]) -> (f64, f64) {
    let n = values.len().max(1) as f64;
    let mean = values.iter().map(|v| f64::from(*v)).sum::<f64>() / n;
    let variance = values.iter().map(|v| (f64::from(*v) - mean).powi(2)).sum::<f64>() / n;
    (mean, variance.sqrt())
}

/// The values along the border of a picture.
fn ring(values: &[f32], width: usize) -> impl Iterator<Item = f32> + '_ {
    let last = (values.len() / width).saturating_sub(1);
    values.chunks_exact(width).enumerate().flat_map(move |(y, row)| {
        let step = if y == 0 || y == last { 1 } else { (width - 1).max(1) };
        row.iter().step_by(step).copied()
    })
}

#[cfg(test)]
mod tests {
    use super::super::slice::Depth;
    use super::*;

    /// A square of tissue in 32×32 pixels, its left half at `dark`, its right half at `bright`, with a rim of `rim` in its first
    /// column; the values of `around` take turns outside.
    fn head(around: [f32; 3], rim: f32, dark: f32, bright: f32) -> Slice {
        let value = |i: usize| match (i % 32, i / 32) {
            (x, y) if !(8..24).contains(&x) || !(8..24).contains(&y) => around[i % 3],
            (8, _) => rim,
            (x, _) if x < 16 => dark,
            _ => bright,
        };
        Slice::new(32, 32, (0..1024).map(value).collect(), Depth::Deep).unwrap()
    }

    /// Grey values of air, dark and bright tissue.
    fn shades(slice: &Slice) -> [f32; 3] {
        let (found, values) = (Intensities::of([slice]), slice.brightness());
        [0, 8 * 32 + 10, 8 * 32 + 20].map(|i| found.grey(values[i]))
    }

    #[test]
    fn tissue_is_seen_alike_whatever_its_units_and_its_fill() {
        // 112 dark pixels and 128 bright ones: mean 0.5333 and deviation 0.49889 of the way from dark to bright.
        let wanted = [-0.5333f32, 0.4667].map(|v| 255.0 * (v / 0.49889 + 3.0) / 8.0);
        let cases = [
            // Noisy air; twelve bits; air far below tissue.
            head([0.0, 1.0, 2.0], 0.0, 100.0, 200.0),
            head([0.0, 10.0, 20.0], 0.0, 900.0, 1800.0),
            head([-1000.0, -1001.0, -1002.0], -1000.0, 0.0, 80.0),
            // A z-scored brain whose fill lies in the midst of its values.
            head([0.5; 3], -1.0, 0.2, 0.9),
        ];
        for (number, slice) in cases.iter().enumerate() {
            let [air, dark, bright] = shades(slice);
            assert!(air < 5.0, "case {number}: air is {air}");
            for (found, wanted) in [dark, bright].into_iter().zip(wanted) {
                assert!((found - wanted).abs() < 0.1, "case {number}: {found} instead of {wanted}");
            }
        }
    }

    #[test]
    fn bright_tissue_of_an_inverted_picture_is_bright() {
        let plain = head([0.0, 1.0, 2.0], 0.0, 100.0, 200.0);
        let negative = plain.values().into_iter().map(|v| 1000.0 - v).collect();
        let mut inverted = Slice::new(32, 32, negative, Depth::Deep).unwrap();
        inverted.inverted = true;
        for (found, wanted) in shades(&inverted).into_iter().zip(shades(&plain)) {
            assert!((found - wanted).abs() < 1e-3, "{found} instead of {wanted}");
        }
    }

    #[test]
    fn a_picture_without_contrast_is_black_and_no_division_by_zero() {
        let flat = Slice::new(16, 16, vec![7.0; 256], Depth::Deep).unwrap();
        assert_eq!(Intensities::of([&flat]).grey(7.0), 0.0);
        assert_eq!(Intensities::of([]).grey(7.0), 0.0);
    }

    #[test]
    fn a_study_has_one_scale() {
        // The bright slice alone would be scaled down; among darker ones it stays bright.
        let air = [0.0, 1.0, 2.0];
        let (dark, bright) = (head(air, 0.0, 100.0, 120.0), head(air, 0.0, 200.0, 240.0));
        let study = Intensities::of([&dark, &bright]);
        assert!(study.grey(220.0) > Intensities::of([&bright]).grey(220.0));
        assert!(study.grey(110.0) < study.grey(210.0));
    }
}

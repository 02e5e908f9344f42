//! Why a classifier answered as it did: how much each place of a slice speaks for a class.

use super::prediction::ModelRef;
use super::resample::{Placement, resize};

/// How an explanation is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Method {
    /// From the gradients of one of the network's layers. Fast; only for networks that are graphs.
    #[default]
    GradCam,
    /// By covering one place after the other and asking again. Slow; for every network.
    Occlusion,
}

impl Method {
    pub const ALL: [Method; 2] = [Method::GradCam, Method::Occlusion];

    /// Name on the command line, in results and in locales.
    pub fn id(self) -> &'static str {
        match self {
            Method::GradCam => "grad-cam",
            Method::Occlusion => "occlusion",
        }
    }
}

/// What explanation is wanted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Inquiry {
    pub method: Method,
    /// Layer of the network for Grad-CAM; the last map before its pooling without one.
    pub layer: Option<String>,
}

/// How much each place of a slice speaks for a class.
#[derive(Debug, Clone, PartialEq)]
pub struct Explanation {
    pub model: ModelRef,
    pub method: Method,
    /// Layer that was looked at, for Grad-CAM.
    pub layer: Option<String>,
    /// Layers that can be chosen for Grad-CAM, in the order of the network.
    pub layers: Vec<String>,
    /// The class that is explained, and its probability in 0–1.
    pub class: String,
    pub probability: f64,
    /// side² values in 0–1, row by row on the network's square: shares of the place that speaks most. All 0 where nothing does.
    pub square: Vec<f32>,
    pub placement: Placement,
    /// Size of the picture in pixels.
    pub width: usize,
    pub height: usize,
}

impl Explanation {
    /// Values in 0–1 at the picture's own size, row by row.
    pub fn map(&self) -> Vec<f32> {
        self.placement.take_back(&self.square, self.width, self.height)
    }

    /// Values in 0–1 of the picture's part of the square, row by row: `placement.width` × `placement.height`.
    pub fn placed(&self) -> Vec<f32> {
        let place = &self.placement;
        let rows = self.square.chunks_exact(place.side).skip(place.top).take(place.height);
        rows.flat_map(|row| &row[place.left..][..place.width]).copied().collect()
    }

    /// Whether nothing speaks for the class.
    pub fn is_empty(&self) -> bool {
        self.square.iter().all(|v| *v == 0.0)
    }
}

/// A map of `rows` × `columns` values ≥ 0 as shares of its largest value, on a square of `side`. A map without a value above 0 stays
/// 0.
pub fn on_square(values: &[f32], (rows, columns): (usize, usize), side: usize) -> Vec<f32> {
    let square = resize(values, (columns, rows), (side, side));
    let most = square.iter().copied().fold(0.0, f32::max);
    square.into_iter().map(|v| if most > 0.0 { (v / most).clamp(0.0, 1.0) } else { 0.0 }).collect()
}

/// Colours from no evidence to the most, at equal distances. They can be told apart by colour-blind readers and grow brighter.
const COLOURS: [[f32; 3]; 5] =
    [[66.0, 10.0, 104.0], [147.0, 38.0, 103.0], [221.0, 81.0, 58.0], [252.0, 165.0, 10.0], [252.0, 255.0, 164.0]];

/// Colour of a value in 0–1.
pub fn colour(value: f32) -> [u8; 3] {
    let place = value.clamp(0.0, 1.0) * (COLOURS.len() - 1) as f32;
    let low = (place as usize).min(COLOURS.len() - 2);
    let share = place - low as f32;
    [0, 1, 2].map(|c| (COLOURS[low][c] + (COLOURS[low + 1][c] - COLOURS[low][c]) * share).round() as u8)
}

/// Straight-alpha RGBA pixels of a map of values in 0–1. The more a place speaks for the class, the less of the scan shows through;
/// `opacity` in 0–1 is that of the place that speaks most.
pub fn paint(map: &[f32], opacity: f32) -> Vec<[u8; 4]> {
    let pixel = |value: &f32| {
        let [r, g, b] = colour(*value);
        [r, g, b, (value.clamp(0.0, 1.0) * opacity.clamp(0.0, 1.0) * 255.0).round() as u8]
    };
    map.iter().map(pixel).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_becomes_shares_of_its_largest_value() {
        let square = on_square(&[0.0, 3.0, 0.0, 0.0], (2, 2), 8);
        assert_eq!((square.len(), square[7], square[56]), (64, 1.0, 0.0));
        assert!(on_square(&[0.0; 4], (2, 2), 8).iter().all(|v| *v == 0.0), "nothing is made of nothing");
    }

    #[test]
    fn colours_run_from_violet_to_yellow_and_a_cold_place_is_clear() {
        assert_eq!((colour(0.0), colour(0.5), colour(1.0)), ([66, 10, 104], [221, 81, 58], [252, 255, 164]));
        assert_eq!(paint(&[0.0, 1.0], 0.5), [[66, 10, 104, 0], [252, 255, 164, 128]]);
    }
}

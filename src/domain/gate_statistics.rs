//! What a card knows about the pictures that its model was trained on, and how far another picture is from them.

use serde::{Deserialize, Serialize};

/// Statistics of training pictures: a linear discriminant (logistic regression with examples of
/// other pictures, as Hendrycks et al. 2019 expose them) over means of inner layers and over the distance from the training pictures.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GateStatistics {
    /// Layers whose channels are averaged over all places; the numbers below follow their channels, layer by layer.
    pub layers: Vec<String>,
    /// Score from which on a picture is unlike the training pictures.
    pub threshold: f64,
    /// Mean and standard deviation of the logarithm of the training pictures' distance.
    pub distance: [f64; 2],
    pub distance_weight: f64,
    pub bias: f64,
    pub mean: Vec<f64>,
    pub deviation: Vec<f64>,
    pub weight: Vec<f64>,
    /// Shares of pictures that are called unlike, by source.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub measured: Vec<GateFigure>,
}

/// How many pictures of one source the gate calls unlike.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GateFigure {
    pub source: String,
    /// Whether pictures of this source are what the model was made for.
    pub known: bool,
    pub pictures: usize,
    pub unlike: usize,
}

/// Standard deviations at which a channel's departure stops counting, so that no single channel decides.
const MOST: f64 = 6.0;
/// The same for the distance.
const FARTHEST: f64 = 20.0;

impl GateStatistics {
    /// Score of a picture from the means of its layers; 0 is where the two kinds are equally likely. `None` when the numbers do not
    /// belong to these layers.
    pub fn score(&self, features: &[f32]) -> Option<f64> {
        (features.len() == self.mean.len()).then(|| {
            let weights = self.weight.iter().chain([&self.distance_weight]);
            self.terms(features).iter().zip(weights).map(|(term, weight)| term * weight).sum::<f64>() + self.bias
        })
    }

    /// Terms that the discriminant weighs: the bounded departure of every channel, and last the distance.
    pub fn terms(&self, features: &[f32]) -> Vec<f64> {
        let departures: Vec<f64> = self.departures(features).collect();
        let far = self.far(&departures);
        departures.into_iter().map(|z| z.clamp(-MOST, MOST)).chain([far]).collect()
    }

    /// Departure of every channel from its training mean, in standard deviations.
    fn departures(&self, features: &[f32]) -> impl Iterator<Item = f64> {
        let moments = self.mean.iter().zip(&self.deviation);
        features.iter().zip(moments).map(|(value, (mean, deviation))| (f64::from(*value) - mean) / deviation)
    }

    /// Logarithm of the root mean square departure, in standard deviations of the training pictures' own.
    fn far(&self, departures: &[f64]) -> f64 {
        let [mean, deviation] = self.distance;
        ((logarithm_of_distance(departures) - mean) / deviation).clamp(-MOST, FARTHEST)
    }

    /// Logarithm of a picture's distance from the training pictures.
    pub fn log_distance(&self, features: &[f32]) -> f64 {
        logarithm_of_distance(&self.departures(features).collect::<Vec<f64>>())
    }

    /// The fault of the numbers, if there is any.
    pub fn problem(&self) -> Option<String> {
        let len = self.mean.len();
        let finite = |values: &[f64]| values.iter().all(|v| v.is_finite());
        let is_whole = len > 0 && self.deviation.len() == len && self.weight.len() == len;
        let is_sound = [&self.mean, &self.deviation, &self.weight].iter().all(|values| finite(values))
            && finite(&[self.threshold, self.distance_weight, self.bias, self.distance[0]])
            && self.deviation.iter().chain(&self.distance[1..]).all(|d| *d > 0.0 && d.is_finite());
        (!is_whole || !is_sound).then(|| "`input_gate` does not hold a mean, a deviation and a weight a channel".into())
    }
}

/// Logarithm of the root mean square of departures in standard deviations.
fn logarithm_of_distance(departures: &[f64]) -> f64 {
    let square: f64 = departures.iter().map(|z| z * z).sum::<f64>() / departures.len().max(1) as f64;
    square.sqrt().max(1e-6).ln()
}

/// How familiar a picture is to a model: the higher the score, the less.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Familiarity {
    pub score: f64,
    /// Score from which on the picture is unlike the training pictures.
    pub threshold: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statistics() -> GateStatistics {
        GateStatistics {
            layers: vec!["a".into()],
            threshold: 1.0,
            distance: [0.0, 1.0],
            distance_weight: 0.5,
            bias: -1.0,
            mean: vec![1.0, 2.0],
            deviation: vec![0.5, 1.0],
            weight: vec![1.0, -1.0],
            measured: Vec::new(),
        }
    }

    #[test]
    fn a_score_by_hand() {
        // Departures 2 and 1: 2 − 1 + ½·ln √2.5 − 1.
        let score = statistics().score(&[2.0, 3.0]).unwrap();
        assert!((score - 0.25 * 2.5f64.ln()).abs() < 1e-12, "{score}");
        assert_eq!(statistics().score(&[2.0]), None);
        // A channel counts up to six deviations, the distance up to twenty.
        let far = statistics().score(&[1e30, 2.0]).unwrap();
        assert!((far - (6.0 + 10.0 - 1.0)).abs() < 1e-9, "{far}");
        assert!(statistics().problem().is_none());
        assert!(GateStatistics { weight: vec![1.0], ..statistics() }.problem().is_some());
        assert!(GateStatistics { deviation: vec![0.0, 1.0], ..statistics() }.problem().is_some());
    }
}

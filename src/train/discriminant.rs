//! Fits the statistics of an input gate: which means of inner layers tell training pictures from others.

use crate::domain::gate_statistics::GateStatistics;

/// Weight of the squared coefficients in the cost, beside a mean loss of the two kinds of pictures.
const RIDGE: f64 = 1.0 / 60.0;
/// Newton's method ends here at the latest; it needs about ten steps.
const MOST_STEPS: usize = 50;
/// Step of all coefficients together at which it has arrived.
const ARRIVED: f64 = 1e-6;
/// Least standard deviation of a channel, so that one that never changes in training does not decide alone.
const LEAST_DEVIATION: f64 = 1e-2;

/// Fits a gate to means of layers, a vector a picture: `known` of several sources of training pictures, `unlike` of several kinds of
/// other pictures. Each source and each kind has the same weight, however many pictures it has; none is empty. The threshold is left
/// at 0, where both are equally likely.
pub fn fit(layers: Vec<String>, known: &[Vec<Vec<f32>>], unlike: &[Vec<Vec<f32>>]) -> GateStatistics {
    let channels = known.iter().flatten().next().map_or(0, Vec::len);
    let over_all = |of: &dyn Fn(&Vec<f32>) -> f64| -> Vec<(f64, f64)> {
        let weighed = |source: &Vec<Vec<f32>>| {
            let weight = 1.0 / (source.len() * known.len()) as f64;
            source.iter().map(|means| (of(means), weight)).collect::<Vec<_>>()
        };
        known.iter().flat_map(weighed).collect()
    };
    let moments: Vec<(f64, f64)> =
        (0..channels).map(|channel| moments(&over_all(&|means| f64::from(means[channel])))).collect();
    let mut gate = GateStatistics {
        layers,
        threshold: 0.0,
        distance: [0.0, 1.0],
        distance_weight: 0.0,
        bias: 0.0,
        mean: moments.iter().map(|(mean, _)| rounded(*mean)).collect(),
        deviation: moments.iter().map(|(_, deviation)| rounded(deviation.max(0.0) + LEAST_DEVIATION)).collect(),
        weight: vec![0.0; channels],
        measured: Vec::new(),
    };
    let (mean, deviation) = self::moments(&over_all(&|means| gate.log_distance(means)));
    gate.distance = [rounded(mean), rounded(deviation.max(1e-3))];
    let mut examples = Vec::new();
    let mut add = |features: &Vec<f32>, is_unlike: bool, weight: f64| {
        let mut terms = gate.terms(features);
        terms.push(1.0);
        examples.push(Example { terms, is_unlike, weight });
    };
    for (kinds, is_unlike) in [(known, false), (unlike, true)] {
        for kind in kinds {
            kind.iter().for_each(|features| add(features, is_unlike, 0.5 / (kind.len() * kinds.len()) as f64));
        }
    }
    let coefficients = logistic(&examples, channels + 2);
    gate.weight = coefficients[..channels].iter().map(|w| rounded(*w)).collect();
    (gate.distance_weight, gate.bias) = (rounded(coefficients[channels]), rounded(coefficients[channels + 1]));
    gate
}

/// Five digits are more than a card needs.
fn rounded(value: f64) -> f64 {
    (value * 1e5).round() / 1e5
}

/// Mean and standard deviation of values with weights that sum to 1.
fn moments(values: &[(f64, f64)]) -> (f64, f64) {
    let mean = values.iter().map(|(v, weight)| v * weight).sum::<f64>();
    (mean, values.iter().map(|(v, weight)| (v - mean).powi(2) * weight).sum::<f64>().sqrt())
}

/// One picture of the regression; the last of its terms is 1.
struct Example {
    terms: Vec<f64>,
    is_unlike: bool,
    weight: f64,
}

/// Coefficients of a ridge-penalised logistic regression by Newton's method; the last, of the constant, is not penalised.
fn logistic(examples: &[Example], len: usize) -> Vec<f64> {
    let mut w = vec![0.0; len];
    for _ in 0..MOST_STEPS {
        let penalty = |i: usize| if i + 1 < len { RIDGE } else { 1e-9 };
        let mut gradient: Vec<f64> = w.iter().enumerate().map(|(i, w)| penalty(i) * w).collect();
        let mut hessian = vec![0.0; len * len];
        (0..len).for_each(|i| hessian[i * len + i] = penalty(i));
        for Example { terms, is_unlike, weight } in examples {
            let z: f64 = terms.iter().zip(&w).map(|(x, w)| x * w).sum();
            let p = 1.0 / (1.0 + (-z).exp());
            let slope = weight * (p - f64::from(u8::from(*is_unlike)));
            let bend = weight * p * (1.0 - p);
            for (i, x) in terms.iter().enumerate() {
                gradient[i] += slope * x;
                let row = &mut hessian[i * len..][..=i];
                row.iter_mut().zip(terms).for_each(|(h, y)| *h += bend * x * y);
            }
        }
        let step = solved(hessian, gradient, len);
        w.iter_mut().zip(&step).for_each(|(w, step)| *w -= step);
        if step.iter().map(|s| s * s).sum::<f64>().sqrt() < ARRIVED {
            break;
        }
    }
    w
}

/// Solution of a symmetric positive definite system, whose matrix is given by its lower half (Cholesky).
fn solved(mut matrix: Vec<f64>, mut right: Vec<f64>, len: usize) -> Vec<f64> {
    for i in 0..len {
        for j in 0..=i {
            let sum: f64 = (0..j).map(|k| matrix[i * len + k] * matrix[j * len + k]).sum();
            let rest = matrix[i * len + j] - sum;
            matrix[i * len + j] = if i == j { rest.max(1e-12).sqrt() } else { rest / matrix[j * len + j] };
        }
    }
    for i in 0..len {
        let sum: f64 = (0..i).map(|k| matrix[i * len + k] * right[k]).sum();
        right[i] = (right[i] - sum) / matrix[i * len + i];
    }
    for i in (0..len).rev() {
        let sum: f64 = (i + 1..len).map(|k| matrix[k * len + i] * right[k]).sum();
        right[i] = (right[i] - sum) / matrix[i * len + i];
    }
    right
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_system_by_hand() {
        // 4x + 2y = 10 and 2x + 3y = 9: x = 1.5, y = 2.
        let solution = solved(vec![4.0, 0.0, 2.0, 3.0], vec![10.0, 9.0], 2);
        assert!((solution[0] - 1.5).abs() < 1e-12 && (solution[1] - 2.0).abs() < 1e-12, "{solution:?}");
    }

    /// The gradient of the cost is zero at the solution, to 1e-6.
    #[test]
    fn newton_arrives_where_the_cost_is_least() {
        let example = |x: f64, is_unlike: bool| Example { terms: vec![x, 1.0], is_unlike, weight: 0.25 };
        let examples = [example(0.0, false), example(1.0, false), example(0.5, true), example(2.0, true)];
        let w = logistic(&examples, 2);
        let slope = |term: usize| {
            let of = |e: &Example| {
                let p = 1.0 / (1.0 + (-(e.terms[0] * w[0] + w[1])).exp());
                e.weight * (p - f64::from(u8::from(e.is_unlike))) * e.terms[term]
            };
            examples.iter().map(of).sum::<f64>()
        };
        assert!((slope(0) + RIDGE * w[0]).abs() < 1e-6 && slope(1).abs() < 1e-6, "{w:?}");
    }

    #[test]
    fn pictures_of_another_kind_score_higher() {
        let number = |i: usize, salt: f64| ((i as f64 * 12.9898 + salt) * 43758.5453).sin() as f32;
        let known: Vec<Vec<f32>> = (0..60).map(|i| vec![1.0 + 0.1 * number(i, 0.1), number(i, 0.2)]).collect();
        let kind: Vec<Vec<f32>> = (0..20).map(|i| vec![1.6 + 0.1 * number(i, 0.3), number(i, 0.4)]).collect();
        let gate = fit(vec!["a".into()], std::slice::from_ref(&known), std::slice::from_ref(&kind));
        assert!(gate.problem().is_none());
        let mean = |all: &[Vec<f32>]| all.iter().filter_map(|f| gate.score(f)).sum::<f64>() / all.len() as f64;
        assert!(mean(&known) < -1.0 && mean(&kind) > 1.0, "{} {}", mean(&known), mean(&kind));
        // What was never shown, but lies far away, scores high as well.
        assert!(gate.score(&[1.0, 40.0]).unwrap() > mean(&known) + 1.0);
    }
}

//! Figures of merit, always with the patients they were measured on.

use super::card::OperatingPoint;

/// Place of the largest probability, the first among equals; 0 without any.
pub fn likeliest(probabilities: impl IntoIterator<Item = f64>) -> usize {
    let best = probabilities.into_iter().enumerate().reduce(|best, next| if next.1 > best.1 { next } else { best });
    best.map_or(0, |(place, _)| place)
}

/// One scored slice: the probability the model gave and whether the slice has a tumour.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scored {
    pub probability: f64,
    pub positive: bool,
}

/// Share of (tumour, no tumour) pairs ranked rightly, ties counting half; `None` when a class is missing.
pub fn auc(scores: &[Scored]) -> Option<f64> {
    let mut sorted = scores.to_vec();
    sorted.sort_by(|a, b| a.probability.total_cmp(&b.probability));
    let positives = sorted.iter().filter(|s| s.positive).count() as f64;
    let negatives = sorted.len() as f64 - positives;
    if positives == 0.0 || negatives == 0.0 {
        return None;
    }
    let (mut below, mut pairs) = (0.0, 0.0);
    for ties in sorted.chunk_by(|a, b| a.probability == b.probability) {
        let up = ties.iter().filter(|s| s.positive).count() as f64;
        let down = ties.len() as f64 - up;
        pairs += up * (below + down / 2.0);
        below += down;
    }
    Some(pairs / (positives * negatives))
}

/// Slices by truth and alarm.
#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    hits: usize,
    misses: usize,
    false_alarms: usize,
    quiet: usize,
}

impl Counts {
    /// Shares of an empty class are 1 (nothing missed, nothing false).
    fn point(self, threshold: f64) -> OperatingPoint {
        let share = |part: usize, whole: usize| if whole == 0 { 1.0 } else { part as f64 / whole as f64 };
        let Self { hits, misses, false_alarms, quiet } = self;
        let all = hits + misses + false_alarms + quiet;
        OperatingPoint {
            threshold,
            recall: share(hits, hits + misses),
            precision: share(hits, hits + false_alarms),
            specificity: share(quiet, quiet + false_alarms),
            false_alarms_per_slice: if all == 0 { 0.0 } else { false_alarms as f64 / all as f64 },
        }
    }
}

/// What a threshold does to these slices; shares of an empty class are 1 (nothing missed, nothing false).
pub fn operating_point(scores: &[Scored], threshold: f64) -> OperatingPoint {
    let mut counts = Counts::default();
    for s in scores {
        let count = match (s.probability >= threshold, s.positive) {
            (true, true) => &mut counts.hits,
            (false, true) => &mut counts.misses,
            (true, false) => &mut counts.false_alarms,
            (false, false) => &mut counts.quiet,
        };
        *count += 1;
    }
    counts.point(threshold)
}

/// Operating points at 0.01, 0.02 … 0.99.
pub fn operating_curve(scores: &[Scored]) -> Vec<OperatingPoint> {
    (1..100).map(|i| operating_point(scores, f64::from(i) / 100.0)).collect()
}

/// The highest threshold of a curve that still catches the wanted share of slices with tumour.
pub fn threshold_for_recall(curve: &[OperatingPoint], recall: f64) -> Option<OperatingPoint> {
    curve.iter().rev().find(|point| point.recall >= recall).copied()
}

/// Operating points at every probability that occurs, falling: the steps of ROC and precision–recall curves, from "no alarm" on.
pub fn every_operating_point(scores: &[Scored]) -> Vec<OperatingPoint> {
    let mut falling = scores.to_vec();
    falling.sort_by(|a, b| b.probability.total_cmp(&a.probability));
    let positives = scores.iter().filter(|s| s.positive).count();
    let mut counts = Counts { misses: positives, quiet: scores.len() - positives, ..Counts::default() };
    let mut points = vec![counts.point(f64::INFINITY)];
    for ties in falling.chunk_by(|a, b| a.probability == b.probability) {
        let caught = ties.iter().filter(|s| s.positive).count();
        let alarms = ties.len() - caught;
        counts.hits += caught;
        counts.misses -= caught;
        counts.false_alarms += alarms;
        counts.quiet -= alarms;
        points.push(counts.point(ties[0].probability));
    }
    points
}

/// Slices whose probabilities lie in one tenth.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ReliabilityBin {
    /// Mean probability.
    pub probability: f64,
    /// Share of them that are positive.
    pub share: f64,
    pub count: usize,
}

/// Ten equal bins of probability, those without slices left out.
pub fn reliability(scores: &[Scored]) -> Vec<ReliabilityBin> {
    let mut bins = [(0, 0.0, 0.0); 10];
    for s in scores {
        let bin = &mut bins[((s.probability * 10.0) as usize).min(9)];
        *bin = (bin.0 + 1, bin.1 + s.probability, bin.2 + f64::from(u8::from(s.positive)));
    }
    let mean = |(count, sum, hits): (usize, f64, f64)| {
        (count > 0).then(|| ReliabilityBin { probability: sum / count as f64, share: hits / count as f64, count })
    };
    bins.into_iter().filter_map(mean).collect()
}

/// Expected calibration error with ten equal bins (Guo et al. 2017).
pub fn expected_calibration_error(scores: &[Scored]) -> f64 {
    let total = scores.len().max(1) as f64;
    reliability(scores).iter().map(|bin| (bin.probability - bin.share).abs() * bin.count as f64 / total).sum()
}

/// 95 % percentile interval of a statistic under resampling of patients with replacement (2,000 draws, fixed seed).
///
/// `None` with fewer than two patients or when no draw gives a figure.
pub fn bootstrap_ci95<T>(patients: &[T], statistic: impl Fn(&[&T]) -> Option<f64>) -> Option<[f64; 2]> {
    if patients.len() < 2 {
        return None;
    }
    // SplitMix64: enough for drawing indices, and this module stays free of dependencies.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    };
    let mut draws: Vec<f64> = (0..2_000)
        .filter_map(|_| {
            let drawn: Vec<&T> =
                (0..patients.len()).map(|_| &patients[(next() % patients.len() as u64) as usize]).collect();
            statistic(&drawn)
        })
        .collect();
    draws.sort_by(f64::total_cmp);
    let at = |q: f64| draws.get(((draws.len().checked_sub(1)?) as f64 * q).round() as usize).copied();
    Some([at(0.025)?, at(0.975)?])
}

/// Arithmetic mean; `None` for nothing.
pub fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// Middle value, the mean of the two middle ones for an even count; `None` for nothing.
pub fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        n if n % 2 == 1 => Some(sorted[middle]),
        _ => Some((sorted[middle - 1] + sorted[middle]) / 2.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scores(list: &[(f64, bool)]) -> Vec<Scored> {
        list.iter().map(|(probability, positive)| Scored { probability: *probability, positive: *positive }).collect()
    }

    #[test]
    fn auc_counts_pairs() {
        // Pairs (0.9, 0.5), (0.9, 0.1), (0.5, 0.5), (0.5, 0.1): 1 + 1 + ½ + 1 of 4.
        let s = scores(&[(0.9, true), (0.5, true), (0.5, false), (0.1, false)]);
        assert_eq!(auc(&s), Some(3.5 / 4.0));
        assert_eq!(auc(&s[..2]), None);
    }

    #[test]
    fn operating_points_by_hand() {
        let s = scores(&[(0.9, true), (0.6, false), (0.4, true), (0.2, false)]);
        let p = operating_point(&s, 0.5);
        assert_eq!((p.recall, p.precision, p.specificity, p.false_alarms_per_slice), (0.5, 0.5, 0.5, 0.25));
        assert_eq!(operating_point(&s, 0.05).recall, 1.0);
    }

    #[test]
    fn curves_start_without_alarms_and_end_with_all() {
        let s = scores(&[(0.9, true), (0.6, false), (0.4, true)]);
        let points: Vec<_> = every_operating_point(&s).iter().map(|p| (p.recall, p.specificity)).collect();
        assert_eq!(points, [(0.0, 1.0), (0.5, 1.0), (0.5, 0.0), (1.0, 0.0)]);
        assert_eq!(threshold_for_recall(&operating_curve(&s), 0.95).unwrap().threshold, 0.4);
    }

    #[test]
    fn calibration_error_by_hand() {
        // Two slices at 0.75, one positive: |0.75 − 0.5| = 0.25.
        let s = scores(&[(0.75, true), (0.75, false)]);
        assert!((expected_calibration_error(&s) - 0.25).abs() < 1e-12);
    }

    #[test]
    fn the_interval_of_a_mean_is_about_two_standard_errors_wide() {
        let values: Vec<f64> = (0..400).map(|i| f64::from(i % 2)).collect();
        let [low, high] =
            bootstrap_ci95(&values, |drawn| mean(&drawn.iter().map(|v| **v).collect::<Vec<_>>())).unwrap();
        // Standard error of 400 fair coin flips: 0.025.
        assert!((low - 0.451).abs() < 0.01 && (high - 0.549).abs() < 0.01, "{low} {high}");
    }
}

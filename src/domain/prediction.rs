//! What models said of a slice.

use super::card::Sequence;
use super::card::is_normal_class;
use super::input_gate::InputGate;
use super::mask::Mask;
use super::metrics;
use super::resample::Placement;

/// Which weights spoke.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelRef {
    pub id: String,
    /// sha256 of the weights, lower-case hex.
    pub sha256: String,
}

impl ModelRef {
    /// First 12 hex digits, for people.
    pub fn short_hash(&self) -> &str {
        self.sha256.get(..12).unwrap_or(&self.sha256)
    }
}

/// What a classifier was made to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answers {
    /// The first of two classes or not.
    YesOrNo,
    /// One of several classes.
    OneOf,
}

/// Probability of every class; they sum to 1.
#[derive(Debug, Clone, PartialEq)]
pub struct Classification {
    pub model: ModelRef,
    pub answers: Answers,
    /// As the card orders them; the class of interest first for yes or no.
    pub classes: Vec<(String, f64)>,
    /// Whether the card says the probabilities were calibrated.
    pub calibrated: bool,
    /// Sequence that the model was given of a colour picture of several; `None` for a grey picture.
    pub sequence: Option<Sequence>,
    /// Whether the picture is one that the model knows; `None` where nobody has measured that.
    pub gate: Option<InputGate>,
    /// Time in the network.
    pub milliseconds: f64,
}

/// A classifier's answer at a threshold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// A class of interest reaches the threshold.
    Positive(String),
    /// Yes or no: the class of interest does not reach it.
    Negative,
    /// One of several: the class that means "nothing found" reaches it.
    Normal(String),
    /// One of several: no class reaches it.
    Undecided,
}

impl Verdict {
    /// Whether a finding is excluded at this threshold.
    pub fn excludes(&self) -> bool {
        matches!(self, Verdict::Negative | Verdict::Normal(_))
    }
}

impl Classification {
    /// Place of the class that decides: the first for yes or no, else the likeliest.
    pub fn deciding(&self) -> usize {
        match self.answers {
            Answers::YesOrNo => 0,
            Answers::OneOf => metrics::likeliest(self.classes.iter().map(|(_, p)| *p)),
        }
    }

    /// Whether the picture is unlike those that the model knows.
    pub fn is_unlike(&self) -> bool {
        self.gate.as_ref().is_some_and(InputGate::is_unlike)
    }

    /// Whether the probabilities were calibrated, and for pictures of this kind.
    pub fn is_calibrated(&self) -> bool {
        self.calibrated && !self.is_unlike()
    }

    /// Probability of the class that decides.
    pub fn probability(&self) -> f64 {
        self.classes.get(self.deciding()).map_or(0.0, |(_, p)| *p)
    }

    /// Probability that something was found, whatever it is.
    pub fn finding(&self) -> f64 {
        (0..self.classes.len()).filter(|class| self.is_finding(*class)).map(|class| self.classes[class].1).sum()
    }

    /// Whether a class means that something was found.
    pub fn is_finding(&self, class: usize) -> bool {
        match self.answers {
            Answers::YesOrNo => class == 0,
            Answers::OneOf => self.classes.get(class).is_some_and(|(name, _)| !is_normal_class(name)),
        }
    }

    pub fn verdict(&self, threshold: f64) -> Verdict {
        let deciding = self.deciding();
        match (self.classes.get(deciding), self.answers) {
            (Some((class, p)), _) if *p >= threshold && self.is_finding(deciding) => Verdict::Positive(class.clone()),
            (Some((class, p)), Answers::OneOf) if *p >= threshold => Verdict::Normal(class.clone()),
            (_, Answers::OneOf) => Verdict::Undecided,
            (_, Answers::YesOrNo) => Verdict::Negative,
        }
    }
}

/// A tumour probability per pixel, kept on the network's square; sizes of the picture it belongs to beside it.
#[derive(Debug, Clone, PartialEq)]
pub struct Segmentation {
    pub model: ModelRef,
    /// As of [`Classification::sequence`].
    pub sequence: Option<Sequence>,
    /// As of [`Classification::gate`].
    pub gate: Option<InputGate>,
    /// side² values in 0–1, row by row.
    pub square: Vec<f32>,
    pub placement: Placement,
    /// Size of the picture in pixels.
    pub width: usize,
    pub height: usize,
    /// Time in the network.
    pub milliseconds: f64,
}

impl Segmentation {
    /// Probability at one pixel of the picture, interpolated as [`Self::probability_map`] does when enlarging.
    pub fn probability_at(&self, x: usize, y: usize) -> Option<f32> {
        if x >= self.width || y >= self.height {
            return None;
        }
        let place = &self.placement;
        let on_square = |at: usize, size: usize, start: usize, span: usize| {
            let position = (at as f32 + 0.5) * span as f32 / size as f32 - 0.5;
            let low = position.floor().max(0.0);
            let cell = |p: f32| start + (p as usize).min(span - 1);
            (cell(low), cell(low + 1.0), (position - low).clamp(0.0, 1.0))
        };
        let (left, right, across) = on_square(x, self.width, place.left, place.width);
        let (top, bottom, down) = on_square(y, self.height, place.top, place.height);
        let at = |x: usize, y: usize| self.square.get(y * place.side + x).copied();
        let mix = |a: f32, b: f32, t: f32| a + (b - a) * t;
        let upper = mix(at(left, top)?, at(right, top)?, across);
        Some(mix(upper, mix(at(left, bottom)?, at(right, bottom)?, across), down))
    }

    /// The map at the picture's own size.
    pub fn probability_map(&self) -> Vec<f32> {
        self.placement.take_back(&self.square, self.width, self.height)
    }

    /// Share of the picture that the mask covers, 0–1, counted on the network's square.
    pub fn share(&self, threshold: f32) -> f64 {
        let place = &self.placement;
        let rows = self.square.chunks_exact(place.side).skip(place.top).take(place.height);
        let inside = rows.map(|row| row[place.left..][..place.width].iter().filter(|p| **p >= threshold).count());
        inside.sum::<usize>() as f64 / (place.width * place.height) as f64
    }

    /// The mask at the picture's own size.
    pub fn mask(&self, threshold: f32) -> Mask {
        let map = self.probability_map();
        Mask::from_probability(&map, self.width, self.height, threshold)
            .unwrap_or_else(|| Mask::empty(self.width, self.height))
    }
}

/// What the reader chose: where the classifier's and the mask's probabilities become a yes.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Thresholds {
    /// In 0–1; the window keeps it in 0.01–0.99.
    pub classifier: f64,
    /// In 0–1, of a pixel.
    pub mask: f32,
}

/// A probability in percent with its sign. Beyond 1 and 99 % no calibration tells more.
pub fn percent(probability: f64) -> String {
    match probability {
        p if p > 0.99 => ">99 %".into(),
        p if p < 0.01 => "<1 %".into(),
        p => format!("{:.1} %", p * 100.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Classification {
        /// An answer of a model `m` for tests.
        pub fn example(answers: Answers, classes: &[(&str, f64)]) -> Self {
            let model = ModelRef { id: "m".into(), sha256: String::new() };
            let classes = classes.iter().map(|(name, p)| (name.to_string(), *p)).collect();
            Self { model, answers, classes, calibrated: false, sequence: None, gate: None, milliseconds: 0.0 }
        }

        /// An answer for tests that says `tumor` with this probability.
        pub fn of_tumour(p: f64) -> Self {
            Self::example(Answers::YesOrNo, &[("tumor", p), ("no_tumor", 1.0 - p)])
        }
    }

    #[test]
    fn one_of_several_has_four_verdicts_and_yes_or_no_two() {
        let kinds = |p: [f64; 3]| {
            Classification::example(Answers::OneOf, &[("glioma", p[0]), ("meningioma", p[1]), ("no_tumor", p[2])])
        };
        assert_eq!(kinds([0.1, 0.7, 0.2]).verdict(0.5), Verdict::Positive("meningioma".into()));
        assert_eq!(kinds([0.1, 0.2, 0.7]).verdict(0.5), Verdict::Normal("no_tumor".into()));
        assert_eq!(kinds([0.3, 0.4, 0.3]).verdict(0.5), Verdict::Undecided);
        let tumour = Classification::of_tumour;
        assert_eq!(tumour(0.4).verdict(0.4), Verdict::Positive("tumor".into()));
        assert_eq!(tumour(0.39).verdict(0.4), Verdict::Negative);
        assert_eq!(tumour(0.39).probability(), 0.39);
    }
}

//! The cascade: the classifier's answer about a slice decides whether the segmenter's mask is shown.

use super::prediction::Classification;

/// Whether the mask of a slice is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gate {
    /// The classifier has no answer: it was not asked yet, or it failed. There is nothing to outline.
    Waiting,
    /// The mask is shown.
    Open,
    /// The classifier excludes a finding. The mask is not shown.
    Closed,
}

impl Gate {
    /// Decides from the classifier's answer at its threshold in 0–1. Without a classifier every mask is shown. An answer that
    /// names no class but does not exclude a finding either leaves the gate open.
    pub fn new(has_classifier: bool, answer: Option<&Classification>, threshold: f64) -> Self {
        match answer {
            Some(answer) if answer.verdict(threshold).excludes() => Gate::Closed,
            Some(_) => Gate::Open,
            None if has_classifier => Gate::Waiting,
            None => Gate::Open,
        }
    }

    /// Whether the mask is shown.
    pub fn is_open(self) -> bool {
        self == Gate::Open
    }
}

#[cfg(test)]
mod tests {
    use super::super::prediction::Answers;
    use super::*;

    #[test]
    fn only_an_answer_that_excludes_a_finding_closes_the_gate() {
        let tumour = Classification::of_tumour;
        assert_eq!(Gate::new(true, Some(&tumour(0.4)), 0.4), Gate::Open);
        assert_eq!(Gate::new(true, Some(&tumour(0.39)), 0.4), Gate::Closed);
        let kinds = |p: [f64; 3]| {
            Classification::example(Answers::OneOf, &[("glioma", p[0]), ("meningioma", p[1]), ("no_tumor", p[2])])
        };
        assert_eq!(Gate::new(true, Some(&kinds([0.3, 0.4, 0.3])), 0.5), Gate::Open, "undecided is not excluded");
        assert_eq!(Gate::new(true, Some(&kinds([0.1, 0.2, 0.7])), 0.5), Gate::Closed);
    }

    #[test]
    fn without_an_answer_the_gate_waits_and_without_a_classifier_it_is_open() {
        assert_eq!(Gate::new(true, None, 0.5), Gate::Waiting);
        assert_eq!(Gate::new(false, None, 0.5), Gate::Open);
    }
}

//! How and when a study was made, as its files tell. Nothing in it names the patient.

/// What a DICOM header says of the making of a series.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Acquisition {
    /// Day of the examination, as year-month-day.
    pub date: Option<String>,
    /// The series' own description, else the protocol's name.
    pub sequence: Option<String>,
    /// What these and the header's other words say of the contrast between tissues; `None` where they do not say it.
    pub weighting: Option<Weighting>,
    /// Thickness of a slice in mm.
    pub thickness_mm: Option<f64>,
}

/// Contrast between tissues in an MR picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weighting {
    T1,
    /// T1 after contrast.
    T1ce,
    T2,
    /// T2*, susceptibility.
    T2Star,
    Flair,
    Diffusion,
}

/// What a header says of the making of an MR picture; times in ms.
#[derive(Debug, Clone, Default)]
pub struct ScanWords {
    /// SeriesDescription, ProtocolName and SequenceName (PS3.3 C.7.3.1, C.8.3.1).
    pub texts: Vec<String>,
    /// ContrastBolusAgent (PS3.3 C.7.6.4).
    pub agent: Option<String>,
    pub repetition: Option<f64>,
    pub echo: Option<f64>,
    pub inversion: Option<f64>,
}

/// Words, between anything that is no letter or digit, that name a contrast.
const DIFFUSION: [&str; 8] = ["DWI", "ADC", "DTI", "DIFF", "DIFFUSION", "EP2D", "TRACEW", "TRACE"];
const FLAIR: [&str; 6] = ["FLAIR", "TIRM", "T2FLAIR", "DARKFLUID", "FLAIRT2", "3DFLAIR"];
const T2_STAR: [&str; 6] = ["SWI", "SWAN", "T2STAR", "MERGE", "MEDIC", "HEMO"];
const T1: [&str; 8] = ["MPRAGE", "MP2RAGE", "SPGR", "FSPGR", "BRAVO", "VIBE", "IRSPGR", "T1FLAIR"];
const AFTER: [&str; 9] = ["POST", "GD", "GAD", "GADO", "CE", "GADOVIST", "DOTAREM", "KM", "CIV"];

impl Weighting {
    /// Name in results.
    pub fn id(self) -> &'static str {
        match self {
            Weighting::T1 => "t1",
            Weighting::T1ce => "t1ce",
            Weighting::T2 => "t2",
            Weighting::T2Star => "t2star",
            Weighting::Flair => "flair",
            Weighting::Diffusion => "diffusion",
        }
    }

    /// The contrast that the words of a header name, else the one that its times make plain: T1 with an echo of at most 30 ms and a
    /// repetition of at most 1 s, FLAIR with an echo of at least 70 ms and an inversion between 1.5 and 3 s, T2 with such an echo, a
    /// repetition of at least 2 s and no inversion.
    pub fn told(scan: &ScanWords) -> Option<Self> {
        let text = scan.texts.join(" ").to_uppercase();
        let words: Vec<&str> = text.split(|c: char| !c.is_ascii_alphanumeric()).filter(|w| !w.is_empty()).collect();
        let any = |names: &[&str]| words.iter().any(|word| names.contains(word));
        let begins = |name: &str| words.iter().any(|word| word.starts_with(name));
        let is_after = || {
            let agent = scan.agent.as_deref().map(|agent| agent.trim().to_uppercase());
            agent.is_some_and(|agent| !["", "NONE", "NO", "N"].contains(&agent.as_str()))
                || any(&AFTER)
                || ["+C", "C+", "+ C", "T1C"].iter().any(|mark| text.contains(mark))
        };
        let t1 = || if is_after() { Weighting::T1ce } else { Weighting::T1 };
        if any(&DIFFUSION) {
            return Some(Weighting::Diffusion);
        }
        if any(&T2_STAR) || text.contains("T2*") {
            return Some(Weighting::T2Star);
        }
        // "T1 FLAIR" is a T1; "T2 FLAIR" is a FLAIR.
        let names_t1 = begins("T1") || any(&T1);
        if names_t1 && !begins("T2") {
            return Some(t1());
        }
        if any(&FLAIR) || text.contains("DARK FLUID") || text.contains("DARK-FLUID") {
            return Some(Weighting::Flair);
        }
        match (names_t1, begins("T2")) {
            (false, true) => return Some(Weighting::T2),
            (true, true) => return None,
            (_, false) => {}
        }
        match (scan.repetition?, scan.echo?, scan.inversion.filter(|ms| *ms > 0.0)) {
            (_, echo, Some(inversion)) if echo >= 70.0 && (1500.0..=3000.0).contains(&inversion) => {
                Some(Weighting::Flair)
            }
            (repetition, echo, _) if echo > 0.0 && echo <= 30.0 && repetition <= 1000.0 => Some(t1()),
            (repetition, echo, None) if echo >= 70.0 && repetition >= 2000.0 => Some(Weighting::T2),
            _ => None,
        }
    }
}

/// A DICOM date (PS3.5 6.2, DA) as year-month-day; a text that is no such date stays as it is.
pub fn date(text: &str) -> String {
    let digits: String = text.chars().filter(|c| *c != '.').collect();
    match digits.len() == 8 && digits.chars().all(|c| c.is_ascii_digit()) {
        true => format!("{}-{}-{}", &digits[..4], &digits[4..6], &digits[6..]),
        false => text.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_times_name_the_contrast() {
        let told = |text: &str| Weighting::told(&ScanWords { texts: vec![text.into()], ..ScanWords::default() });
        let cases = [
            ("AX T2 FLAIR", Some(Weighting::Flair)),
            ("t2_tirm_tra_dark-fluid", Some(Weighting::Flair)),
            ("AX T1 FLAIR", Some(Weighting::T1)),
            ("t1_mprage_sag_p2_iso", Some(Weighting::T1)),
            ("t1_mprage_sag_GD", Some(Weighting::T1ce)),
            ("SAG T1+C", Some(Weighting::T1ce)),
            ("T2W_TSE", Some(Weighting::T2)),
            ("ep2d_diff_3scan_trace_ADC", Some(Weighting::Diffusion)),
            ("Ax T2* GRE", Some(Weighting::T2Star)),
            ("T1 and T2 map", None),
            ("localizer", None),
        ];
        for (text, wanted) in cases {
            assert_eq!(told(text), wanted, "{text}");
        }
        let timed = |repetition, echo, inversion, agent: &str| {
            let [repetition, echo] = [repetition, echo].map(Some);
            Weighting::told(&ScanWords {
                repetition,
                echo,
                inversion,
                agent: Some(agent.into()),
                ..ScanWords::default()
            })
        };
        assert_eq!(timed(9000.0, 120.0, Some(2500.0), ""), Some(Weighting::Flair));
        assert_eq!(timed(500.0, 12.0, None, ""), Some(Weighting::T1));
        assert_eq!(timed(500.0, 12.0, None, "Dotarem"), Some(Weighting::T1ce));
        assert_eq!(timed(4000.0, 100.0, None, "NONE"), Some(Weighting::T2));
        assert_eq!(timed(2200.0, 35.0, None, ""), None, "proton density is none of these");
    }

    #[test]
    fn dates_are_spelt_with_year_month_and_day() {
        assert_eq!(date("20240501"), "2024-05-01");
        // The form of the standard before 1993.
        assert_eq!(date("1991.12.03"), "1991-12-03");
        assert_eq!(date("spring"), "spring");
    }
}

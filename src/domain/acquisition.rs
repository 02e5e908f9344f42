//! How and when a study was made, as its files tell. Nothing in it names the patient.

/// What a DICOM header says of the making of a series.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Acquisition {
    /// Day of the examination, as year-month-day.
    pub date: Option<String>,
    /// The series' own description, else the protocol's name.
    pub sequence: Option<String>,
    /// Thickness of a slice in mm.
    pub thickness_mm: Option<f64>,
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
    fn dates_are_spelt_with_year_month_and_day() {
        assert_eq!(date("20240501"), "2024-05-01");
        // The form of the standard before 1993.
        assert_eq!(date("1991.12.03"), "1991-12-03");
        assert_eq!(date("spring"), "spring");
    }
}

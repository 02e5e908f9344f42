//! The time of day in UTC, as DICOM and ISO 8601 write it.

use std::time::{SystemTime, UNIX_EPOCH};

/// `YYYYMMDD` and `HHMMSS`.
pub struct Moment {
    pub date: String,
    pub time: String,
}

impl Moment {
    /// `YYYY-MM-DDTHH:MM:SSZ`.
    pub fn iso(&self) -> String {
        let (d, t) = (&self.date, &self.time);
        format!("{}-{}-{}T{}:{}:{}Z", &d[..4], &d[4..6], &d[6..], &t[..2], &t[2..4], &t[4..])
    }
}

pub fn now() -> Moment {
    moment(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs()))
}

/// Days since 1970 to a date of the Gregorian calendar, by eras of 400 years that begin in March.
fn moment(seconds: u64) -> Moment {
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    Moment {
        date: format!("{year:04}{month:02}{day:02}"),
        time: format!("{:02}{:02}{:02}", rest / 3_600, rest / 60 % 60, rest % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_in_iso_8601() {
        assert_eq!(moment(951_826_554).iso(), "2000-02-29T12:15:54Z");
    }

    #[test]
    fn known_moments() {
        let at = |seconds| {
            let m = moment(seconds);
            m.date + &m.time
        };
        // As `date -u -d @N` writes them.
        assert_eq!(at(0), "19700101000000");
        assert_eq!(at(951_826_554), "20000229121554");
        assert_eq!(at(1_735_689_599), "20241231235959");
        assert_eq!(at(4_107_542_400), "21000301000000");
    }
}

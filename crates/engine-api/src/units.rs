//! Times and sizes as docker shows them to people; the engine (`Up 5 minutes`) and the client (`5 minutes ago`) say the same.

use std::time::Duration;

const SECONDS_PER_DAY: i64 = 86_400;

/// A span of time in the words of `go-units`: `About a minute`, `59 minutes`, `3 weeks`.
#[must_use]
pub fn span(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let minutes = seconds / 60;
    // Hours are rounded, and nothing else is.
    let hours = (seconds + 1800) / 3600;
    match () {
        () if seconds < 1 => "Less than a second".to_owned(),
        () if seconds == 1 => "1 second".to_owned(),
        () if seconds < 60 => format!("{seconds} seconds"),
        () if minutes == 1 => "About a minute".to_owned(),
        () if minutes < 60 => format!("{minutes} minutes"),
        () if hours == 1 => "About an hour".to_owned(),
        () if hours < 48 => format!("{hours} hours"),
        () if hours < 24 * 7 * 2 => format!("{} days", hours / 24),
        () if hours < 24 * 30 * 2 => format!("{} weeks", hours / 24 / 7),
        () if hours < 24 * 365 * 2 => format!("{} months", hours / 24 / 30),
        () => format!("{} years", seconds / 3600 / 24 / 365),
    }
}

/// A time in seconds since 1970 as Go prints one: `2026-11-29 08:01:31 +0000 UTC`.
#[must_use]
pub fn utc(seconds: i64) -> String {
    let (year, month, day) = civil_from_days(seconds.div_euclid(SECONDS_PER_DAY));
    let rest = seconds.rem_euclid(SECONDS_PER_DAY);
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} +0000 UTC")
}

/// Year, month and day of a number of days since 1970-01-01, in the proleptic Gregorian calendar.
#[must_use]
pub fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

/// A size in powers of 1000, with docker's three significant digits: `7.66MB`.
#[must_use]
pub fn size(bytes: u64) -> String {
    decimal_size(bytes, 3)
}

/// The same with four, as docker has it where sizes are added up: `7.661MB`.
#[must_use]
pub fn precise_size(bytes: u64) -> String {
    decimal_size(bytes, 4)
}

fn decimal_size(bytes: u64, significant: usize) -> String {
    const UNITS: [&str; 6] = ["B", "kB", "MB", "GB", "TB", "PB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1000.0 && unit < UNITS.len() - 1 {
        value /= 1000.0;
        unit += 1;
    }
    let digits = match value {
        _ if unit == 0 => 0,
        v if v < 10.0 => significant - 1,
        v if v < 100.0 => significant - 2,
        _ => significant - 3,
    };
    let number = format!("{value:.digits$}");
    let number = if number.contains('.') {
        number.trim_end_matches('0').trim_end_matches('.')
    } else {
        &number
    };
    format!("{number}{}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_those_of_go_units() {
        const HOUR: u64 = 3600;
        for (seconds, words) in [
            (0, "Less than a second"),
            (1, "1 second"),
            (59, "59 seconds"),
            (60, "About a minute"),
            (119, "About a minute"),
            (45 * 60, "45 minutes"),
            (46 * 60, "46 minutes"),
            (HOUR - 1, "59 minutes"),
            (HOUR, "About an hour"),
            (HOUR + 1799, "About an hour"),
            (HOUR + 1800, "2 hours"),
            (47 * HOUR, "47 hours"),
            (48 * HOUR, "2 days"),
            (24 * HOUR * 13, "13 days"),
            (24 * HOUR * 15, "2 weeks"),
            (24 * HOUR * 60, "2 months"),
            (24 * HOUR * 365 * 2, "2 years"),
        ] {
            assert_eq!(span(Duration::from_secs(seconds)), words, "{seconds}");
        }
    }

    #[test]
    fn sizes_are_dockers() {
        for (bytes, words) in [
            (0, "0B"),
            (999, "999B"),
            (1500, "1.5kB"),
            (7_660_000, "7.66MB"),
            (187_000_000, "187MB"),
        ] {
            assert_eq!(size(bytes), words);
        }
        assert_eq!(precise_size(1_982_410), "1.982MB");
        assert_eq!(precise_size(419_430_400), "419.4MB");
    }

    #[test]
    fn times_are_printed_as_go_does() {
        assert_eq!(utc(0), "1970-01-01 00:00:00 +0000 UTC");
        assert_eq!(utc(1_795_939_291), "2026-11-29 08:01:31 +0000 UTC");
        assert_eq!(utc(-1), "1969-12-31 23:59:59 +0000 UTC");
    }
}

//! Wall-clock times as the Docker API reads and writes them: RFC 3339 with nanoseconds, in UTC.
//!
//! The forms accepted in `since` and `until` are those of the Engine API: Unix seconds with an optional
//! fraction, RFC 3339 with or without a zone, a bare date, or a Go duration counted back from now.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::units::civil_from_days;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A point in time with nanosecond resolution; [`Timestamp::ZERO`] is Go's zero time, "never".
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp {
    seconds: i64,
    nanos: u32,
}

const SECONDS_PER_DAY: i64 = 86_400;
/// Seconds from 0001-01-01 to 1970-01-01.
const ZERO_SECONDS: i64 = -62_135_596_800;

impl Default for Timestamp {
    fn default() -> Self {
        Self::ZERO
    }
}

impl Timestamp {
    /// Go's zero time, which the API prints as `0001-01-01T00:00:00Z` and which means "never".
    pub const ZERO: Self = Self {
        seconds: ZERO_SECONDS,
        nanos: 0,
    };

    /// The present.
    #[must_use]
    pub fn now() -> Self {
        Self::from(SystemTime::now())
    }

    /// From seconds since 1970 and nanoseconds within the second.
    #[must_use]
    pub fn from_unix(seconds: i64, nanos: u32) -> Self {
        Self { seconds, nanos }
    }

    /// Whole seconds since 1970.
    #[must_use]
    pub fn unix(self) -> i64 {
        self.seconds
    }

    /// Nanoseconds since 1970.
    #[must_use]
    pub fn unix_nanos(self) -> i64 {
        self.seconds
            .saturating_mul(1_000_000_000)
            .saturating_add(i64::from(self.nanos))
    }

    /// Whether this is "never".
    #[must_use]
    pub fn is_zero(self) -> bool {
        self == Self::ZERO
    }

    /// How long after `earlier` this is; zero when it is not.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        u64::try_from(self.unix_nanos().saturating_sub(earlier.unix_nanos()))
            .map_or(Duration::ZERO, Duration::from_nanos)
    }

    /// RFC 3339 with all nine digits of the fraction, as `docker logs --timestamps` prints it.
    #[must_use]
    pub fn fixed(self) -> String {
        let (date, time) = self.civil();
        format!("{date}T{time}.{:09}Z", self.nanos)
    }

    fn civil(self) -> (String, String) {
        let days = self.seconds.div_euclid(SECONDS_PER_DAY);
        let rest = self.seconds.rem_euclid(SECONDS_PER_DAY);
        let (year, month, day) = civil_from_days(days);
        (
            format!("{year:04}-{month:02}-{day:02}"),
            format!("{:02}:{:02}:{:02}", rest / 3600, rest / 60 % 60, rest % 60),
        )
    }

    /// Parses RFC 3339; without a zone it is UTC; the time of day may be missing.
    #[must_use]
    pub fn parse_rfc3339(text: &str) -> Option<Self> {
        let (date, rest) = match text.find(['T', 't', ' ']) {
            Some(at) => (&text[..at], &text[at + 1..]),
            None => (text, ""),
        };
        let mut fields = date.splitn(3, '-');
        let year: i64 = fields.next()?.parse().ok()?;
        let month: u32 = fields.next()?.parse().ok()?;
        let day: u32 = fields.next()?.parse().ok()?;
        if !(1..=9999).contains(&year) || !(1..=days_of_month(year, month)?).contains(&day) {
            return None;
        }
        let mut seconds = days_from_civil(year, month, day) * SECONDS_PER_DAY;
        let mut nanos = 0;
        if !rest.is_empty() {
            let (clock, offset) = split_zone(rest)?;
            let (of_day, fraction) = parse_clock(clock)?;
            seconds += of_day - offset;
            nanos = fraction;
        }
        Some(Self { seconds, nanos })
    }

    /// Parses `SECONDS[.FRACTION]` since 1970, the form the API's `since` and `until` have on the wire.
    #[must_use]
    pub fn parse_unix(text: &str) -> Option<Self> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let seconds = whole.parse().ok()?;
        Some(Self {
            seconds,
            nanos: parse_fraction(fraction)?,
        })
    }

    /// Parses any form the API accepts: Unix seconds, RFC 3339, a date, or a Go duration before `now`.
    #[must_use]
    pub fn parse_any(text: &str, now: Self) -> Option<Self> {
        if let Some(duration) = parse_go_duration(text).filter(|_| text.ends_with(['s', 'm', 'h']))
        {
            let nanos = now
                .unix_nanos()
                .saturating_sub(i64::try_from(duration.as_nanos()).ok()?);
            return Some(Self::from_nanos(nanos));
        }
        Self::parse_unix(text).or_else(|| Self::parse_rfc3339(text))
    }

    /// From nanoseconds since 1970.
    #[must_use]
    pub fn from_nanos(nanos: i64) -> Self {
        Self {
            seconds: nanos.div_euclid(1_000_000_000),
            nanos: u32::try_from(nanos.rem_euclid(1_000_000_000)).unwrap_or(0),
        }
    }
}

impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Self {
        match time.duration_since(UNIX_EPOCH) {
            Ok(after) => Self {
                seconds: i64::try_from(after.as_secs()).unwrap_or(i64::MAX),
                nanos: after.subsec_nanos(),
            },
            Err(before) => Self::from_nanos(
                i64::try_from(before.duration().as_nanos()).map_or(i64::MIN, |nanos| -nanos),
            ),
        }
    }
}

/// As Go's `RFC3339Nano`: trailing zeros of the fraction are left out.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (date, time) = self.civil();
        if self.nanos == 0 {
            return write!(f, "{date}T{time}Z");
        }
        let fraction = format!("{:09}", self.nanos);
        write!(f, "{date}T{time}.{}Z", fraction.trim_end_matches('0'))
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse_rfc3339(&text)
            .ok_or_else(|| serde::de::Error::custom(format!("invalid time {text:?}")))
    }
}

/// Parses a Go duration such as `1h30m`, `10s`, `1.5h` or `300ms`. As Go's, it has at most `i64::MAX` nanoseconds: 292 years.
#[must_use]
pub fn parse_go_duration(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let mut rest = text;
    let mut total = 0f64;
    while !rest.is_empty() {
        let number_end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..number_end].parse().ok()?;
        rest = &rest[number_end..];
        let unit_end = rest
            .find(|c: char| c.is_ascii_digit())
            .unwrap_or(rest.len());
        let seconds = match &rest[..unit_end] {
            "ns" => 1e-9,
            "us" | "µs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return None,
        };
        total += number * seconds;
        rest = &rest[unit_end..];
    }
    if text.is_empty() {
        return None;
    }
    let duration = Duration::try_from_secs_f64(total).ok()?;
    i64::try_from(duration.as_nanos()).ok().map(|_| duration)
}

/// Splits `12:00:00.5+02:00` into the clock and the zone's offset in seconds, which is less than a day (RFC 3339, 5.6).
fn split_zone(text: &str) -> Option<(&str, i64)> {
    if let Some(clock) = text.strip_suffix(['Z', 'z']) {
        return Some((clock, 0));
    }
    let Some(at) = text.rfind(['+', '-']) else {
        return Some((text, 0));
    };
    let (hours, minutes) = text[at + 1..].split_once(':')?;
    let below = |text: &str, end: i64| text.parse().ok().filter(|value| (0..end).contains(value));
    let offset = below(hours, 24)? * 3600 + below(minutes, 60)? * 60;
    Some((
        &text[..at],
        if text.as_bytes()[at] == b'-' {
            -offset
        } else {
            offset
        },
    ))
}

/// Parses `12:00:00.5`, `12:00:00` or `12:00` into seconds of the day and nanoseconds.
fn parse_clock(text: &str) -> Option<(i64, u32)> {
    let (clock, fraction) = text.split_once('.').unwrap_or((text, ""));
    let mut parts = clock.split(':');
    let hours: i64 = parts.next()?.parse().ok()?;
    let minutes: i64 = parts.next().unwrap_or("0").parse().ok()?;
    let seconds: i64 = parts.next().unwrap_or("0").parse().ok()?;
    if !(0..24).contains(&hours) || !(0..60).contains(&minutes) || !(0..=60).contains(&seconds) {
        return None;
    }
    Some((
        hours * 3600 + minutes * 60 + seconds,
        parse_fraction(fraction)?,
    ))
}

fn parse_fraction(digits: &str) -> Option<u32> {
    if digits.len() > 9 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    format!("{digits:0<9}").parse().ok()
}

/// How many days a month has; none for a month that does not exist.
fn days_of_month(year: i64, month: u32) -> Option<u32> {
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        4 | 6 | 9 | 11 => Some(30),
        2 => Some(if is_leap { 29 } else { 28 }),
        1..=12 => Some(31),
        _ => None,
    }
}

/// Days since 1970-01-01 of a date in the proleptic Gregorian calendar.
fn days_from_civil(year: i64, month: u32, day: u32) -> i64 {
    let shifted = if month <= 2 { year - 1 } else { year };
    let era = shifted.div_euclid(400);
    let year_of_era = shifted.rem_euclid(400);
    let month_from_march = i64::from((month + 9) % 12);
    let day_of_year = (153 * month_from_march + 2) / 5 + i64::from(day) - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_survive_a_round_trip() {
        for text in [
            "1970-01-01T00:00:00Z",
            "2024-02-29T23:59:59.000000001Z",
            "2026-11-21T01:45:00.5Z",
            "0001-01-01T00:00:00Z",
        ] {
            assert_eq!(Timestamp::parse_rfc3339(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn zones_and_dates_are_understood() {
        let utc = Timestamp::parse_rfc3339("2026-01-01T00:00:00Z").unwrap();
        assert_eq!(
            Timestamp::parse_rfc3339("2026-01-01T02:00:00+02:00").unwrap(),
            utc
        );
        assert_eq!(Timestamp::parse_rfc3339("2026-01-01").unwrap(), utc);
        assert_eq!(Timestamp::parse_any("1767225600.0", utc).unwrap(), utc);
        assert_eq!(
            Timestamp::parse_any("1m30s", utc).unwrap().unix(),
            utc.unix() - 90
        );
        assert!(Timestamp::parse_any("yesterday", utc).is_none());
    }

    #[test]
    fn days_that_no_calendar_has_are_refused() {
        for (date, is_one) in [
            ("2026-00-01", false),
            ("2026-13-01", false),
            ("2026-01-00", false),
            ("2026-01-31", true),
            ("2026-01-32", false),
            ("2026-02-28", true),
            ("2026-02-29", false),
            ("2026-02-31", false),
            ("2024-02-29", true),
            ("2000-02-29", true),
            ("1900-02-29", false),
            ("2026-04-31", false),
            ("0000-01-01", false),
        ] {
            assert_eq!(Timestamp::parse_rfc3339(date).is_some(), is_one, "{date}");
        }
    }

    #[test]
    fn zones_of_a_day_or_more_are_refused() {
        for (zone, is_one) in [
            ("+00:00", true),
            ("-23:59", true),
            ("+24:00", false),
            ("+01:60", false),
            ("-99:99", false),
            ("+9223372036854775807:00", false),
            ("+9300000000000000:00", false),
            ("+00:9223372036854775807", false),
        ] {
            let text = format!("2026-01-01T00:00:00{zone}");
            assert_eq!(Timestamp::parse_rfc3339(&text).is_some(), is_one, "{zone}");
        }
    }

    #[test]
    fn durations_that_go_cannot_hold_are_refused() {
        let utc = Timestamp::from_unix(0, 0);
        for (text, is_one) in [
            ("2562047h", true),
            ("2562048h", false),
            ("9223372036854775807h", false),
            ("9223372036s", true),
            ("9223372037s", false),
            ("9223372036854775807m1h", false),
        ] {
            assert_eq!(parse_go_duration(text).is_some(), is_one, "{text}");
            assert_eq!(Timestamp::parse_any(text, utc).is_some(), is_one, "{text}");
        }
        assert!(parse_go_duration(&format!("{}h", "9".repeat(400))).is_none());
        assert!(parse_go_duration("").is_none());
    }

    #[test]
    fn fixed_form_keeps_all_digits() {
        assert_eq!(
            Timestamp::from_unix(0, 5_000).fixed(),
            "1970-01-01T00:00:00.000005000Z"
        );
    }
}

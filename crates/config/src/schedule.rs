//! When the label `cron.schedule` starts a container: six fields, seconds first, crontab(5)'s five, or `@hourly` and its
//! like (the words of container-crontab, RancherOS's system-cron). Times are UTC.

use std::fmt;

/// Names of months and days, by their first three letters.
const MONTHS: &[&str] = &[
    "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
];
const WEEKDAYS: &[&str] = &["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
const DAY_S: u64 = 24 * 3600;
/// Days that are looked through: the longest time between two 29ths of February is eight years.
const HORIZON_DAYS: u64 = 8 * 366;
/// Shortest time between two starts of `@every`.
const SHORTEST_S: u64 = 1;

/// Moments, again and again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule(Kind);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    /// Seconds from one to the next.
    Every(u64),
    At(Fields),
}

/// A bit for each value that fits.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Fields {
    seconds: u64,
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    weekdays: u64,
    /// Days of the month and of the week are both said: one of them is enough (crontab(5)).
    either_day: bool,
}

/// What is wrong with a schedule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScheduleError(String);

impl fmt::Display for ScheduleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ScheduleError {}

fn wrong(message: impl Into<String>) -> ScheduleError {
    ScheduleError(message.into())
}

impl Schedule {
    /// Reads a schedule.
    ///
    /// # Errors
    /// What is not one, in words.
    pub fn parse(text: &str) -> Result<Self, ScheduleError> {
        let text = text.trim();
        let fields = match text {
            "@yearly" | "@annually" => "0 0 0 1 1 *",
            "@monthly" => "0 0 0 1 * *",
            "@weekly" => "0 0 0 * * 0",
            "@daily" | "@midnight" => "0 0 0 * * *",
            "@hourly" => "0 0 * * * *",
            other => other,
        };
        if let Some(time) = fields.strip_prefix("@every ") {
            return every(time.trim()).map(|seconds| Schedule(Kind::Every(seconds)));
        }
        let mut words: Vec<&str> = fields.split_ascii_whitespace().collect();
        // container-crontab takes crontab(5)'s five as well: at the minute's first second.
        if words.len() == 5 {
            words.insert(0, "0");
        }
        let [seconds, minutes, hours, days, months, weekdays] = words[..] else {
            return Err(wrong(format!(
                "{text:?} is not a schedule: five fields (minutes, hours, days, months, weekdays), six with seconds first, @hourly, @daily, @weekly, @monthly, @yearly or @every 1h30m"
            )));
        };
        let is_any = |word: &str| matches!(word, "*" | "?");
        let mut fields = Fields {
            seconds: field(seconds, 0, 59, &[])?,
            minutes: field(minutes, 0, 59, &[])?,
            hours: field(hours, 0, 23, &[])?,
            days: field(days, 1, 31, &[])?,
            months: field(months, 1, 12, MONTHS)?,
            weekdays: field(weekdays, 0, 7, WEEKDAYS)?,
            either_day: !is_any(days) && !is_any(weekdays),
        };
        // Sunday is 0 and 7.
        fields.weekdays |= fields.weekdays >> 7 & 1;
        let schedule = Schedule(Kind::At(fields));
        if schedule.next(0).is_none() {
            return Err(wrong(format!("{text:?} is a day that never comes")));
        }
        Ok(schedule)
    }

    /// The first moment after this one; both in seconds since 1970. None when there is none within eight years.
    pub fn next(&self, after_s: u64) -> Option<u64> {
        let fields = match &self.0 {
            Kind::Every(seconds) => return after_s.checked_add(*seconds),
            Kind::At(fields) => fields,
        };
        let from = after_s.checked_add(1)?;
        let first = from / DAY_S;
        let mut since = from % DAY_S;
        for day in first..first + HORIZON_DAYS {
            if fields.has_day(day)
                && let Some(time) = fields.time(since)
            {
                return Some(day * DAY_S + time);
            }
            since = 0;
        }
        None
    }
}

impl Fields {
    /// Whether a day, counted from 1970-01-01, a Thursday, fits.
    fn has_day(&self, day: u64) -> bool {
        let (month, of_month) = month_and_day(day);
        let has = |bits: u64, value: u64| bits >> value & 1 == 1;
        let (by_month, by_week) = (has(self.days, of_month), has(self.weekdays, (day + 4) % 7));
        let fits = if self.either_day {
            by_month || by_week
        } else {
            by_month && by_week
        };
        fits && has(self.months, month)
    }

    /// The first time of a day, in seconds, that is not before `since`.
    fn time(&self, since: u64) -> Option<u64> {
        let (hour, minute) = (since / 3600, since / 60 % 60);
        let in_hour = |hour: u64, minute: u64, second: u64| {
            let same = first(self.seconds, second).filter(|_| self.minutes >> minute & 1 == 1);
            let same = same.map(|second| (minute, second));
            let later = || Some((first(self.minutes, minute + 1)?, first(self.seconds, 0)?));
            let (minute, second) = same.or_else(later)?;
            Some(hour * 3600 + minute * 60 + second)
        };
        let same = if self.hours >> hour & 1 == 1 {
            in_hour(hour, minute, since % 60)
        } else {
            None
        };
        same.or_else(|| in_hour(first(self.hours, hour + 1)?, 0, 0))
    }
}

/// The first value from `from` on whose bit is set.
fn first(bits: u64, from: u64) -> Option<u64> {
    let left = bits.checked_shr(u32::try_from(from).ok()?)?;
    (left != 0).then(|| from + u64::from(left.trailing_zeros()))
}

/// `*`, `5`, `1-5`, `*/15`, `mon-fri`, and lists of them.
fn field(text: &str, low: u64, high: u64, names: &[&str]) -> Result<u64, ScheduleError> {
    let bad = || {
        wrong(format!(
            "{text:?} is not a list of numbers from {low} to {high}"
        ))
    };
    let value = |word: &str| {
        let lower = word.to_ascii_lowercase();
        let named = names.iter().position(|name| *name == lower);
        let number = match named {
            Some(place) => place as u64 + low,
            None => word.parse().map_err(|_| bad())?,
        };
        (low..=high)
            .contains(&number)
            .then_some(number)
            .ok_or_else(bad)
    };
    let mut bits = 0;
    for part in text.split(',') {
        let (range, step) = part.split_once('/').unwrap_or((part, "1"));
        let step: usize = step.parse().map_err(|_| bad())?;
        let (start, end) = match range.split_once('-') {
            _ if matches!(range, "*" | "?") => (low, high),
            Some((start, end)) => (value(start)?, value(end)?),
            // `5/10` goes on to the end
            None if part.contains('/') => (value(range)?, high),
            None => (value(range)?, value(range)?),
        };
        if step == 0 || start > end {
            return Err(bad());
        }
        bits |= (start..=end)
            .step_by(step)
            .fold(0, |bits, value| bits | 1 << value);
    }
    Ok(bits)
}

/// `1h30m`, `90s`.
fn every(text: &str) -> Result<u64, ScheduleError> {
    let bad = || wrong(format!("@every {text}: expected a time such as 1h30m"));
    let mut seconds = 0_u64;
    let mut number = String::new();
    for character in text.chars() {
        let unit = match character {
            '0'..='9' => {
                number.push(character);
                continue;
            }
            'h' => 3600,
            'm' => 60,
            's' => 1,
            _ => return Err(bad()),
        };
        let count: u64 = number.parse().map_err(|_| bad())?;
        number.clear();
        seconds = count
            .checked_mul(unit)
            .and_then(|more| seconds.checked_add(more))
            .ok_or_else(bad)?;
    }
    if !number.is_empty() || seconds < SHORTEST_S {
        return Err(bad());
    }
    Ok(seconds)
}

/// Month and day of the month of a day counted from 1970-01-01.
fn month_and_day(day: u64) -> (u64, u64) {
    let (mut year, mut left) = (1970 + day / 146_097 * 400, day % 146_097);
    let is_leap = |year: u64| {
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
    };
    loop {
        let length = if is_leap(year) { 366 } else { 365 };
        if left < length {
            break;
        }
        left -= length;
        year += 1;
    }
    let february = if is_leap(year) { 29 } else { 28 };
    let lengths = [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    for (month, length) in (1..).zip(lengths) {
        if left < length {
            return (month, left + 1);
        }
        left -= length;
    }
    (12, 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-29 16:20:30, a Sunday.
    const NOW: u64 = 1_795_969_230;

    fn after(text: &str) -> u64 {
        Schedule::parse(text).unwrap().next(NOW).unwrap() - NOW
    }

    #[test]
    fn the_next_moment_is_found() {
        for (text, seconds) in [
            ("* * * * * *", 1),
            ("0 * * * * ?", 30),
            ("30 20 16 * * *", DAY_S),
            ("31 20 16 * * *", 1),
            ("*/15 * * * * *", 15),
            ("0 21,40-42/2 16 * * *", 30),
            ("0 0 * * * *", 2370),
            // Five fields: at second 0
            ("* * * * *", 30),
            ("*/5 * * * *", 270),
            ("0 */12 * * *", 27570),
            ("0 0 29 FEB *", 27570 + (32 + 365 + 31 + 28) * DAY_S),
            ("@hourly", 2370),
            ("@daily", 27570),
            // Monday, by its name and by its number
            ("0 0 0 * * mon", 27570),
            ("0 0 0 ? * 1", 27570),
            // Next Sunday, by both numbers
            ("0 0 0 * * 0", 27570 + 6 * DAY_S),
            ("@weekly", 27570 + 6 * DAY_S),
            ("0 0 0 * * 7", 27570 + 6 * DAY_S),
            // The first of December is a Tuesday; one of both days is enough
            ("0 0 0 1 * *", 27570 + DAY_S),
            ("0 0 0 1 * mon", 27570),
            ("@monthly", 27570 + DAY_S),
            ("@yearly", 27570 + 32 * DAY_S),
            ("0 0 0 29 FEB *", 27570 + (32 + 365 + 31 + 28) * DAY_S),
            ("@every 1h30m", 5400),
        ] {
            assert_eq!(after(text), seconds, "{text}");
        }
    }

    #[test]
    fn what_is_no_schedule_is_named() {
        for text in [
            "",
            "* * * *",
            "* * * * * * *",
            "60 * * * *",
            "60 * * * * *",
            "* * 24 * * *",
            "* * * 0 * *",
            "* * * * 13 *",
            "* * * * * 8",
            "5-1 * * * * *",
            "*/0 * * * * *",
            "a * * * * *",
            "0 0 0 31 feb *",
            "@sometimes",
            "@every",
            "@every 0s",
            "@every 5",
            "@every 99999999999999999999h",
        ] {
            assert!(Schedule::parse(text).is_err(), "{text}");
        }
    }
}

//! `rancher.upgrade.window`: when the machine may reboot by itself, such as `Sat,Sun 02:00-04:30`.

use anyhow::{Context as _, bail};
use sys::process::Command;

const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
const DAY_MINUTES: u32 = 24 * 60;

/// Days of the week and a span of the day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Window {
    days: [bool; 7],
    /// Minutes of the day; the end may be on the next one.
    from: u32,
    to: u32,
}

/// A day of the week from 0 for Monday, and the minute of the day.
pub(super) type Moment = (usize, u32);

impl Window {
    /// # Errors
    /// What is wrong with the text.
    pub(super) fn parse(text: &str) -> anyhow::Result<Window> {
        Self::read(text).with_context(|| {
            format!("rancher.upgrade.window {text:?} is not such as \"Sat,Sun 02:00-04:30\"")
        })
    }

    fn read(text: &str) -> anyhow::Result<Window> {
        let mut words = text.split_whitespace();
        let first = words.next().context("it is empty")?;
        let (days, span) = match words.next() {
            Some(span) => (Some(first), span),
            None => (None, first),
        };
        if let Some(more) = words.next() {
            bail!("{more:?} is too much");
        }
        let (from, to) = span.split_once('-').context("it has no span of time")?;
        let (from, to) = (minute(from)?, minute(to)?);
        if from == to {
            bail!("the span is empty");
        }
        let mut window = Window {
            days: [days.is_none(); 7],
            from,
            to,
        };
        for name in days.into_iter().flat_map(|days| days.split(',')) {
            let day = DAYS.iter().position(|day| day.eq_ignore_ascii_case(name));
            let day = day.with_context(|| format!("{name:?} is not a day"))?;
            if let Some(place) = window.days.get_mut(day) {
                *place = true;
            }
        }
        Ok(window)
    }

    /// Whether it is open; a span over midnight belongs to the day on which it begins.
    pub(super) fn has(&self, (day, minute): Moment) -> bool {
        let on = |day: usize| self.days.get(day % 7).copied().unwrap_or(false);
        if self.from < self.to {
            return on(day) && (self.from..self.to).contains(&minute);
        }
        (on(day) && minute >= self.from) || (on(day + 6) && minute < self.to)
    }
}

fn minute(text: &str) -> anyhow::Result<u32> {
    let (hours, minutes) = text.split_once(':').context("a time is such as 02:30")?;
    let (hours, minutes): (u32, u32) = (hours.parse()?, minutes.parse()?);
    if hours > 24 || minutes > 59 || hours * 60 + minutes > DAY_MINUTES {
        bail!("{text:?} is not a time of the day");
    }
    Ok(hours * 60 + minutes)
}

/// This moment in the console's time zone, which `date` knows.
pub(super) fn now() -> anyhow::Result<Moment> {
    let output = Command::new("date")
        .args(["+%u %H:%M"])
        .run()
        .context("cannot ask for the time")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let (day, time) = text.trim().split_once(' ').context("date says nothing")?;
    let day: usize = day.parse().context("date")?;
    Ok((day.saturating_sub(1), minute(time)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_open_when_they_say() {
        let (saturday, sunday, monday) = (5, 6, 0);
        for (text, moment, open) in [
            ("02:00-04:30", (monday, 120), true),
            ("02:00-04:30", (monday, 119), false),
            ("02:00-04:30", (monday, 270), false),
            ("Sat,sun 02:00-04:00", (sunday, 180), true),
            ("Sat,sun 02:00-04:00", (monday, 180), false),
            ("Sun 23:00-01:00", (sunday, 1400), true),
            ("Sun 23:00-01:00", (monday, 30), true),
            ("Sun 23:00-01:00", (sunday, 30), false),
            ("Sat 00:00-24:00", (saturday, 1439), true),
        ] {
            let window = Window::parse(text).unwrap();
            assert_eq!(window.has(moment), open, "{text} {moment:?}");
        }
        for bad in [
            "",
            "Sat",
            "Sat 2-4",
            "Foo 02:00-04:00",
            "02:00-02:00",
            "25:00-26:00",
            "a b c",
        ] {
            let error = format!("{:#}", Window::parse(bad).unwrap_err());
            assert!(error.contains("rancher.upgrade.window"), "{error}");
        }
    }
}

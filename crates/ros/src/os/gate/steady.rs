//! What was found running goes on: a service or a container that dies every few seconds is up at one look, and down at the next one.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use engine_api::{Client, Timestamp};

use super::containers;
use super::facts::{Facts, SYSTEM_DOCKER, USER_DOCKER, block_on};

/// How long it goes on before that counts: Docker takes a container that has run for 10 s for one that works.
const LONG_ENOUGH: Duration = Duration::from_secs(15);

/// Starts of everything that is watched, since a first look.
pub(super) struct Steady {
    since: Instant,
    starts: Starts,
}

/// What a later look says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Judged {
    Steady,
    /// Nothing has changed, and it is too early.
    TooEarly,
    /// This has died and been started again.
    Again(String),
}

/// By name, how often its engine has started each again.
type Starts = BTreeMap<String, i64>;

impl Steady {
    /// The first look.
    ///
    /// # Errors
    /// When an engine does not answer.
    pub(super) fn look(facts: &Facts, user_docker: bool) -> anyhow::Result<Self> {
        Ok(Self {
            since: Instant::now(),
            starts: starts(facts, user_docker)?,
        })
    }

    /// What `now`, a later look, says about this one.
    pub(super) fn judge(&self, now: &Self) -> Judged {
        let watched = now.since.saturating_duration_since(self.since);
        // What runs for long enough each time works as well as before
        let dies = |(name, before): &(&String, &i64)| {
            let starts = now.starts.get(*name).map_or(0, |now| *now - **before);
            let starts = u32::try_from(starts).unwrap_or(0);
            watched
                .checked_div(starts)
                .is_some_and(|each| each < LONG_ENOUGH)
        };
        if let Some((name, _)) = self.starts.iter().find(dies) {
            return Judged::Again(name.clone());
        }
        if watched < LONG_ENOUGH {
            return Judged::TooEarly;
        }
        Judged::Steady
    }
}

fn starts(facts: &Facts, user_docker: bool) -> anyhow::Result<Starts> {
    block_on(async {
        let mut starts = Starts::new();
        let system = Client::new(SYSTEM_DOCKER);
        for name in &facts.services {
            match system.container_inspect(name, false).await {
                Ok(found) => starts.insert(format!("service {name}"), found.restart_count),
                // Whether it may be missing is another check's question
                Err(error) if error.is_not_found() => continue,
                Err(error) => return Err(error.into()),
            };
        }
        if user_docker {
            let user = Client::new(USER_DOCKER);
            for known in &facts.containers {
                if let Some(found) = containers::find(&user, known).await? {
                    starts.insert(format!("container {}", known.name), found.restart_count);
                }
            }
        }
        Ok(starts)
    })
}

/// Whether a container has died and come back within the time that is watched: it is not expected to be steadier in another version.
pub(super) fn was_unsteady(restarts: i64, started_at: &str, now: Timestamp) -> bool {
    let started = Timestamp::parse_rfc3339(started_at);
    let long_enough = i64::try_from(LONG_ENOUGH.as_secs()).unwrap_or(i64::MAX);
    restarts > 0 && started.is_some_and(|started| now.unix() - started.unix() < long_enough)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steady(since: Instant, starts: &[(&str, i64)]) -> Steady {
        let owned = |(name, starts): &(&str, i64)| ((*name).to_owned(), *starts);
        Steady {
            since,
            starts: starts.iter().map(owned).collect(),
        }
    }

    #[test]
    fn what_starts_again_is_not_steady_and_what_starts_late_is() {
        let first = Instant::now();
        let begin = steady(first, &[("service ntp", 1), ("container web", 2)]);
        let again = |name: &str| Judged::Again(name.to_owned());
        for (seconds, starts, expected) in [
            (20, [1, 2], Judged::Steady),
            (5, [1, 2], Judged::TooEarly),
            (5, [1, 3], again("container web")),
            (40, [4, 2], again("service ntp")),
            // Once in 20 s: it ends by itself, and did so before
            (20, [1, 3], Judged::Steady),
            // Made again by its owner
            (20, [0, 0], Judged::Steady),
        ] {
            let starts = [("service ntp", starts[0]), ("container web", starts[1])];
            let now = steady(first + Duration::from_secs(seconds), &starts);
            assert_eq!(begin.judge(&now), expected, "{starts:?}");
        }
        // Gone, and come: other checks know what has to be there
        let other = [("service ntp", 1), ("container db", 7)];
        let now = steady(first + LONG_ENOUGH, &other);
        assert_eq!(begin.judge(&now), Judged::Steady);
    }

    #[test]
    fn what_died_a_moment_ago_was_not_steady_before() {
        let now = Timestamp::parse_rfc3339("2026-01-01T00:01:00Z").unwrap();
        for (restarts, started, expected) in [
            (3, "2026-01-01T00:00:50.5Z", true),
            (3, "2026-01-01T00:00:30Z", false),
            // Started by its owner a moment ago
            (0, "2026-01-01T00:00:50Z", false),
            (3, "", false),
        ] {
            assert_eq!(was_unsteady(restarts, started, now), expected, "{started}");
        }
    }
}

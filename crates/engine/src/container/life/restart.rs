//! Restart policies with Docker's back-off: 100 ms, doubling to a minute, reset after a run of ten seconds.

use std::time::Duration;

use engine_api::{Error, RestartPolicy, Result};
use serde::{Deserialize, Serialize};

/// The first wait before a restart.
const FIRST: Duration = Duration::from_millis(100);
/// The longest wait before a restart.
const LONGEST: Duration = Duration::from_secs(60);
/// A run of this length counts as a success, and the next wait is the first again.
const LONG_RUN: Duration = Duration::from_secs(10);

/// Decides after each exit whether, and how soon, a container is started again.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Backoff {
    wait: Duration,
    cancelled: bool,
}

impl Backoff {
    /// A start by hand: the waits begin from the shortest, and restarts are allowed again.
    pub fn reset(&mut self) {
        *self = Self::default();
    }

    /// A stop by hand: no restart follows, whatever the policy.
    pub fn cancel(&mut self) {
        self.cancelled = true;
    }

    /// How long to wait before the restart; none when there is to be none.
    pub fn after_exit(&mut self, policy: &RestartPolicy, exit: Exit) -> Option<Duration> {
        if self.cancelled || !wants_restart(policy, exit) {
            return None;
        }
        if exit.ran_for >= LONG_RUN {
            self.wait = Duration::ZERO;
        }
        self.wait = if self.wait.is_zero() {
            FIRST
        } else {
            (self.wait * 2).min(LONGEST)
        };
        Some(self.wait)
    }
}

/// How a run ended.
#[derive(Clone, Copy, Debug)]
pub struct Exit {
    /// Exit code.
    pub code: i32,
    /// Duration of the run.
    pub ran_for: Duration,
    /// Restarts so far.
    pub restarts: i64,
    /// Stopped by a user, or the engine shuts down.
    pub manually_stopped: bool,
}

/// Whether the policy asks for a restart after such an exit.
#[must_use]
pub fn wants_restart(policy: &RestartPolicy, exit: Exit) -> bool {
    match policy.name.as_str() {
        "always" => true,
        "unless-stopped" => !exit.manually_stopped,
        "on-failure" => {
            let more =
                policy.maximum_retry_count == 0 || exit.restarts < policy.maximum_retry_count;
            exit.code != 0 && more && !exit.manually_stopped
        }
        _ => false,
    }
}

/// Refuses policies that Docker refuses.
///
/// # Errors
/// 400 with Docker's words.
pub fn validate(policy: &RestartPolicy) -> Result<()> {
    let refuse = |why: &str| {
        Err(Error::bad_parameter(format!(
            "invalid restart policy: {why}"
        )))
    };
    match policy.name.as_str() {
        "on-failure" if policy.maximum_retry_count < 0 => {
            refuse("maximum retry count cannot be negative")
        }
        "on-failure" => Ok(()),
        "" | "no" | "always" | "unless-stopped" if policy.maximum_retry_count == 0 => Ok(()),
        "" => refuse("maximum retry count can only be used with 'on-failure'"),
        "no" | "always" | "unless-stopped" if policy.maximum_retry_count < 0 => {
            refuse("maximum retry count can only be used with 'on-failure' and cannot be negative")
        }
        "no" | "always" | "unless-stopped" => {
            refuse("maximum retry count can only be used with 'on-failure'")
        }
        other => refuse(&format!(
            "unknown policy '{other}'; use one of 'no', 'always', 'on-failure', or 'unless-stopped'"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(name: &str, maximum_retry_count: i64) -> RestartPolicy {
        RestartPolicy {
            name: name.to_owned(),
            maximum_retry_count,
        }
    }

    fn exit(code: i32, seconds: u64, restarts: i64) -> Exit {
        Exit {
            code,
            ran_for: Duration::from_secs(seconds),
            restarts,
            manually_stopped: false,
        }
    }

    #[test]
    fn waits_double_up_to_a_minute_and_begin_anew_after_a_long_run() {
        let mut backoff = Backoff::default();
        let waits: Vec<u128> = (0..12)
            .map(|restarts| {
                backoff
                    .after_exit(&policy("always", 0), exit(1, 0, restarts))
                    .unwrap()
                    .as_millis()
            })
            .collect();
        assert_eq!(waits[..4], [100, 200, 400, 800]);
        assert_eq!(waits[10..], [60_000, 60_000]);
        assert_eq!(
            backoff.after_exit(&policy("always", 0), exit(0, 10, 12)),
            Some(FIRST)
        );
    }

    #[test]
    fn on_failure_counts_its_tries() {
        let mut backoff = Backoff::default();
        assert!(
            backoff
                .after_exit(&policy("on-failure", 2), exit(1, 0, 1))
                .is_some()
        );
        assert!(
            backoff
                .after_exit(&policy("on-failure", 2), exit(1, 0, 2))
                .is_none()
        );
        assert!(
            backoff
                .after_exit(&policy("on-failure", 0), exit(0, 0, 0))
                .is_none()
        );
    }

    #[test]
    fn a_stop_by_hand_wins_until_the_next_start() {
        let mut backoff = Backoff::default();
        backoff.cancel();
        assert!(
            backoff
                .after_exit(&policy("always", 0), exit(1, 0, 0))
                .is_none()
        );
        backoff.reset();
        assert!(
            backoff
                .after_exit(&policy("always", 0), exit(1, 0, 0))
                .is_some()
        );
        let stopped = Exit {
            manually_stopped: true,
            ..exit(1, 0, 0)
        };
        assert!(!wants_restart(&policy("unless-stopped", 0), stopped));
        assert!(wants_restart(&policy("always", 0), stopped));
    }

    #[test]
    fn bad_policies_are_refused() {
        assert!(validate(&policy("sometimes", 0)).is_err());
        assert!(validate(&policy("always", 3)).is_err());
        assert!(validate(&policy("on-failure", -1)).is_err());
        assert!(validate(&policy("on-failure", 3)).is_ok());
        assert!(validate(&policy("", 0)).is_ok());
    }
}

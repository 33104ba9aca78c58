//! The states of a container and which verbs they allow.

use engine_api::Timestamp;
use engine_api::{ContainerState, Error, Result};
use serde::{Deserialize, Serialize};

/// A container's state, named as the API names it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Never started.
    #[default]
    Created,
    /// Its first process is alive.
    Running,
    /// Its processes are frozen.
    Paused,
    /// It ended and will be started again by its policy.
    Restarting,
    /// It is being removed.
    Removing,
    /// It ended.
    Exited,
    /// Its removal failed.
    Dead,
}

impl Status {
    /// All states, for filters.
    pub const ALL: [Self; 7] = [
        Self::Created,
        Self::Running,
        Self::Paused,
        Self::Restarting,
        Self::Removing,
        Self::Exited,
        Self::Dead,
    ];

    /// The API's word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Restarting => "restarting",
            Self::Removing => "removing",
            Self::Exited => "exited",
            Self::Dead => "dead",
        }
    }

    /// Whether there is a living process: running or paused.
    #[must_use]
    pub fn is_alive(self) -> bool {
        matches!(self, Self::Running | Self::Paused)
    }
}

/// What a container does and how its last run ended.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct State {
    /// Where it stands.
    pub status: Status,
    /// The first process on the host; zero when there is none.
    pub pid: i32,
    /// That process's start time in clock ticks since boot: with the pid it names one process for good.
    pub pid_start_time: u64,
    /// Exit code of the last run.
    pub exit_code: i32,
    /// Why the last start failed.
    pub error: String,
    /// Whether the kernel killed it because memory ran out.
    pub oom_killed: bool,
    /// Start of the last run.
    pub started_at: Timestamp,
    /// End of the last run.
    pub finished_at: Timestamp,
}

impl State {
    /// The API's form, without health.
    #[must_use]
    pub fn to_api(&self) -> ContainerState {
        ContainerState {
            status: self.status.word().to_owned(),
            running: matches!(
                self.status,
                Status::Running | Status::Paused | Status::Restarting
            ),
            paused: self.status == Status::Paused,
            restarting: self.status == Status::Restarting,
            oom_killed: self.oom_killed,
            dead: self.status == Status::Dead,
            pid: self.pid,
            exit_code: self.exit_code,
            error: self.error.clone(),
            started_at: self.started_at.to_string(),
            finished_at: self.finished_at.to_string(),
            health: None,
        }
    }

    /// Refuses a start that the state does not allow.
    ///
    /// # Errors
    /// 304 when it runs, 409 otherwise.
    pub fn may_start(&self, id: &str) -> Result<()> {
        match self.status {
            Status::Created | Status::Exited | Status::Restarting => Ok(()),
            Status::Running => Err(Error::not_modified("container is already running")),
            Status::Paused => Err(Error::conflict(
                "cannot start a paused container, try unpause instead",
            )),
            Status::Removing | Status::Dead => Err(Error::conflict(format!(
                "container {id} is marked for removal and cannot be started"
            ))),
        }
    }

    /// Refuses what needs a running, unfrozen process.
    ///
    /// # Errors
    /// 409 with Docker's words.
    pub fn must_run(&self, id: &str, verb: &str) -> Result<()> {
        match self.status {
            Status::Running => Ok(()),
            Status::Paused => Err(Error::conflict(format!(
                "Container {id} is paused, unpause the container before {verb}"
            ))),
            Status::Restarting => Err(Error::conflict(format!(
                "Container {id} is restarting, wait until the container is running"
            ))),
            _ => Err(Error::conflict(format!("container {id} is not running"))),
        }
    }

    /// `Up 5 minutes (healthy)`, as `docker ps` shows it.
    #[must_use]
    pub fn describe(&self, health: Option<&str>, now: Timestamp) -> String {
        use engine_api::units::span;
        let up = || span(now.since(self.started_at));
        let ago = || span(now.since(self.finished_at));
        match self.status {
            Status::Created => "Created".to_owned(),
            Status::Paused => format!("Up {} (Paused)", up()),
            Status::Restarting => format!("Restarting ({}) {} ago", self.exit_code, ago()),
            Status::Removing => "Removal In Progress".to_owned(),
            Status::Dead => "Dead".to_owned(),
            Status::Exited => format!("Exited ({}) {} ago", self.exit_code, ago()),
            Status::Running => match health {
                Some("starting") => format!("Up {} (health: starting)", up()),
                Some(health) => format!("Up {} ({health})", up()),
                None => format!("Up {}", up()),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(status: Status) -> State {
        State {
            status,
            exit_code: 3,
            finished_at: Timestamp::from_unix(1000, 0),
            ..State::default()
        }
    }

    #[test]
    fn only_an_idle_container_starts() {
        let codes: Vec<u16> = Status::ALL
            .iter()
            .map(|status| {
                with(*status)
                    .may_start("c")
                    .map_or_else(|error| error.status.as_u16(), |()| 204)
            })
            .collect();
        assert_eq!(codes, [204, 304, 409, 204, 409, 204, 409]);
    }

    #[test]
    fn ps_reads_as_dockers() {
        let now = Timestamp::from_unix(1060, 0);
        assert_eq!(
            with(Status::Exited).describe(None, now),
            "Exited (3) About a minute ago"
        );
        let running = State {
            status: Status::Running,
            started_at: Timestamp::from_unix(1055, 0),
            ..State::default()
        };
        assert_eq!(
            running.describe(Some("starting"), now),
            "Up 5 seconds (health: starting)"
        );
        assert_eq!(
            running.describe(Some("healthy"), now),
            "Up 5 seconds (healthy)"
        );
        assert_eq!(running.describe(None, now), "Up 5 seconds");
    }
}

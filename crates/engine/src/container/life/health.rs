//! Health checks with Docker's semantics: probes by exec, a start period in which failures do not count, a streak of
//! failures that makes a container unhealthy.

use std::rc::Rc;
use std::time::Duration;

use engine_api::Timestamp;

use engine_api::{ContainerConfig, HealthConfig, HealthcheckResult};

use crate::Engine;
use crate::container::record::HealthRecord;
use crate::container::{Container, Status};

/// Time between probes unless told otherwise.
const INTERVAL: Duration = Duration::from_secs(30);
/// Time a probe may take unless told otherwise.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Time between probes in the start period unless told otherwise.
const START_INTERVAL: Duration = Duration::from_secs(5);
/// Failures in a row that make a container unhealthy unless told otherwise.
const RETRIES: i64 = 3;
/// Probes that inspect shows.
const LOG_MAX: usize = 5;
/// Bytes of a probe's output that are kept.
const OUTPUT_MAX: usize = 4096;

/// Times of a health check.
#[derive(Clone, Debug)]
struct Plan {
    command: Vec<String>,
    interval: Duration,
    timeout: Duration,
    start_period: Duration,
    start_interval: Duration,
    retries: i64,
}

impl Plan {
    /// The plan; none without a health check or with `NONE`.
    fn read(config: &ContainerConfig) -> Option<Self> {
        let health = config.healthcheck.as_ref()?;
        let (kind, words) = health.test.split_first()?;
        let command = match kind.as_str() {
            "CMD" => words.to_vec(),
            "CMD-SHELL" => {
                let shell = config.shell.clone().filter(|shell| !shell.is_empty());
                let mut command =
                    shell.unwrap_or_else(|| vec!["/bin/sh".to_owned(), "-c".to_owned()]);
                command.extend(words.iter().cloned());
                command
            }
            _ => return None,
        };
        Some(Self {
            command,
            ..Self::times(health)
        })
    }

    fn times(health: &HealthConfig) -> Self {
        let or = |nanos: i64, default: Duration| {
            u64::try_from(nanos)
                .ok()
                .filter(|n| *n > 0)
                .map_or(default, Duration::from_nanos)
        };
        Self {
            command: Vec::new(),
            interval: or(health.interval, INTERVAL),
            timeout: or(health.timeout, TIMEOUT),
            start_period: or(health.start_period, Duration::ZERO),
            start_interval: or(health.start_interval, START_INTERVAL),
            retries: if health.retries > 0 {
                health.retries
            } else {
                RETRIES
            },
        }
    }
}

/// What a probe found.
struct Probe {
    start: Timestamp,
    end: Timestamp,
    exit_code: i32,
    output: String,
}

impl Engine {
    /// Begins the probes of a container that has just started.
    pub(in crate::container) fn start_health_checks(&self, container: &Rc<Container>) {
        let Some(plan) = Plan::read(&container.record().config) else {
            return;
        };
        container.note(|record| {
            record.health = Some(HealthRecord {
                status: "starting".to_owned(),
                ..HealthRecord::default()
            })
        });
        self.continue_health_checks(container, plan, None);
    }

    /// Goes on with the probes that an earlier program began; the next one is due at that time since the kernel's start.
    pub(in crate::container) fn resume_health_checks(
        &self,
        container: &Rc<Container>,
        due: Duration,
    ) {
        let plan = Plan::read(&container.record().config);
        if let Some(plan) = plan {
            self.continue_health_checks(container, plan, Some(due));
        }
    }

    fn continue_health_checks(&self, container: &Rc<Container>, plan: Plan, due: Option<Duration>) {
        let Some(ended) = container
            .live
            .borrow()
            .as_ref()
            .map(|live| Rc::clone(&live.ended))
        else {
            return;
        };
        let (engine, container) = (self.clone(), Rc::clone(container));
        engine_api::tasks::spawn(async move {
            tokio::select! {
                () = engine.probe_forever(&container, plan, due) => {}
                () = ended.notified() => {}
            }
            container.probe_at.set(None);
        });
    }

    async fn probe_forever(
        &self,
        container: &Rc<Container>,
        plan: Plan,
        mut due: Option<Duration>,
    ) {
        let started = container.record().state.started_at;
        loop {
            let starting = container
                .record()
                .health
                .as_ref()
                .is_some_and(|health| health.status == "starting");
            let in_start_period = Timestamp::now().since(started) < plan.start_period;
            let now = sys::clock::boottime();
            let next = due.take().unwrap_or_else(|| {
                now + if starting && in_start_period {
                    plan.start_interval
                } else {
                    plan.interval
                }
            });
            // It stays set during the probe: a program that takes over then probes at once.
            container.probe_at.set(Some(next));
            tokio::time::sleep(next.saturating_sub(now)).await;
            self.0.quiet.open().await;
            if container.status() == Status::Paused {
                continue;
            }
            let probe = self.probe(container, &plan).await;
            let in_start_period = probe.start.since(started) < plan.start_period;
            self.judge(container, &plan, probe, in_start_period);
        }
    }

    async fn probe(&self, container: &Rc<Container>, plan: &Plan) -> Probe {
        let start = Timestamp::now();
        let found = self
            .exec_probe(container, plan.command.clone(), plan.timeout, OUTPUT_MAX)
            .await;
        let (exit_code, output) = match found {
            Ok((Some(code), output)) => (code, output),
            Ok((None, output)) => {
                let said = if output.is_empty() { "" } else { ": " };
                let timeout = go_duration(plan.timeout);
                (
                    -1,
                    format!("Health check exceeded timeout ({timeout}){said}{output}"),
                )
            }
            Err(error) => (-1, error.message),
        };
        Probe {
            start,
            end: Timestamp::now(),
            exit_code,
            output,
        }
    }

    fn judge(&self, container: &Container, plan: &Plan, probe: Probe, in_start_period: bool) {
        let mut changed = None;
        container.note(|record| {
            let Some(health) = &mut record.health else {
                return;
            };
            let before = health.status.clone();
            apply(health, plan, &probe, in_start_period);
            health.log.push(HealthcheckResult {
                start: probe.start.to_string(),
                end: probe.end.to_string(),
                exit_code: probe.exit_code,
                output: probe.output.clone(),
            });
            let surplus = health.log.len().saturating_sub(LOG_MAX);
            health.log.drain(..surplus);
            changed = (health.status != before).then(|| health.status.clone());
        });
        if let Some(status) = changed {
            self.publish(container, &format!("health_status: {status}"));
        }
    }
}

/// Docker's rules: a success ends the start period and every streak of failures; a failure counts only after the start period.
fn apply(health: &mut HealthRecord, plan: &Plan, probe: &Probe, in_start_period: bool) {
    if probe.exit_code == 0 {
        health.failing_streak = 0;
        "healthy".clone_into(&mut health.status);
        return;
    }
    if in_start_period && health.status == "starting" {
        return;
    }
    health.failing_streak += 1;
    if health.failing_streak >= plan.retries {
        "unhealthy".clone_into(&mut health.status);
    }
}

fn go_duration(duration: Duration) -> String {
    if duration.subsec_nanos() == 0 {
        format!("{}s", duration.as_secs())
    } else {
        format!("{duration:?}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn probe(exit_code: i32) -> Probe {
        Probe {
            start: Timestamp::ZERO,
            end: Timestamp::ZERO,
            exit_code,
            output: String::new(),
        }
    }

    fn after(probes: &[(i32, bool)]) -> (String, i64) {
        let plan = Plan::times(&HealthConfig::default());
        let mut health = HealthRecord {
            status: "starting".into(),
            ..HealthRecord::default()
        };
        for (code, in_start_period) in probes {
            apply(&mut health, &plan, &probe(*code), *in_start_period);
        }
        (health.status, health.failing_streak)
    }

    #[test]
    fn three_failures_in_a_row_are_unhealthy() {
        assert_eq!(after(&[(1, false), (1, false)]), ("starting".into(), 2));
        assert_eq!(
            after(&[(1, false), (1, false), (1, false)]),
            ("unhealthy".into(), 3)
        );
        assert_eq!(
            after(&[(1, false), (1, false), (0, false), (1, false)]),
            ("healthy".into(), 1)
        );
    }

    #[test]
    fn failures_in_the_start_period_do_not_count_until_the_first_success() {
        assert_eq!(
            after(&[(1, true), (1, true), (1, true), (1, true)]),
            ("starting".into(), 0)
        );
        assert_eq!(
            after(&[(0, true), (1, true), (1, true), (1, true)]),
            ("unhealthy".into(), 3)
        );
    }

    #[test]
    fn the_test_is_read_as_docker_reads_it() {
        let with = |test: &[&str]| ContainerConfig {
            healthcheck: Some(HealthConfig {
                test: test.iter().map(|word| (*word).to_owned()).collect(),
                ..HealthConfig::default()
            }),
            ..ContainerConfig::default()
        };
        assert!(Plan::read(&with(&["NONE"])).is_none());
        assert!(Plan::read(&with(&[])).is_none());
        assert_eq!(
            Plan::read(&with(&["CMD", "true"])).unwrap().command,
            ["true"]
        );
        assert_eq!(
            Plan::read(&with(&["CMD-SHELL", "exit 0"])).unwrap().command,
            ["/bin/sh", "-c", "exit 0"]
        );
    }
}

//! Containers of System Docker with the label `cron.schedule` are started by the clock, as RancherOS's system-cron did. What is
//! missed while the machine is off, or while its clock is wrong, is not caught up with.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use config::schedule::Schedule;
use engine::Engine;
use engine_api::{ContainerSummary, Filters};
use tokio::time::timeout;

use crate::log;

/// The label.
const LABEL: &str = "cron.schedule";
/// How often containers are looked for: one that is made between waits no longer.
const LOOK_AGAIN: Duration = Duration::from_secs(30);
/// Longest wait for the engine's answer.
const DEADLINE: Duration = Duration::from_secs(60);
/// A moment that is longer ago was missed: the clock was set.
const LATEST_S: u64 = 60;

/// What is known of a container.
struct Known {
    text: String,
    /// None when the text is not a schedule, which was said.
    schedule: Option<Schedule>,
    due_s: Option<u64>,
}

/// Starts containers when they are due, for ever.
pub(crate) async fn run(engine: Engine) {
    let mut known: BTreeMap<String, Known> = BTreeMap::new();
    loop {
        let labelled = Filters([("label".to_owned(), vec![LABEL.to_owned()])].into());
        let listed = timeout(
            DEADLINE,
            engine_api::Engine::container_list(&engine, true, &labelled),
        )
        .await;
        if let Ok(Ok(containers)) = listed {
            known.retain(|id, _| containers.iter().any(|container| container.id == *id));
            for container in &containers {
                if is_due(&mut known, container, now_s()) {
                    start(&engine, container).await;
                }
            }
        }
        let next = known.values().filter_map(|known| known.due_s).min();
        let left = next.map(|due| Duration::from_secs(due.saturating_sub(now_s())));
        tokio::time::sleep(
            left.unwrap_or(LOOK_AGAIN)
                .clamp(Duration::from_secs(1), LOOK_AGAIN),
        )
        .await;
    }
}

/// Whether a container is to be started now; its next moment is noted.
fn is_due(known: &mut BTreeMap<String, Known>, container: &ContainerSummary, now_s: u64) -> bool {
    let text = container.labels.get(LABEL).map_or("", String::as_str);
    let entry = known
        .entry(container.id.clone())
        .and_modify(|known| {
            if known.text != text {
                *known = learn(container, text, now_s);
            }
        })
        .or_insert_with(|| learn(container, text, now_s));
    let Some(schedule) = &entry.schedule else {
        return false;
    };
    match entry.due_s {
        Some(due) if due > now_s => {
            // The clock was set back: the moment comes earlier than it was thought.
            entry.due_s = schedule.next(now_s).map(|next| next.min(due));
            false
        }
        due => {
            entry.due_s = schedule.next(now_s);
            due.is_some_and(|due| now_s - due <= LATEST_S) && container.state != "running"
        }
    }
}

fn learn(container: &ContainerSummary, text: &str, now_s: u64) -> Known {
    let schedule = Schedule::parse(text);
    if let Err(error) = &schedule {
        log::warning(&format!("service: {}: {LABEL}: {error}", name(container)));
    }
    let schedule = schedule.ok();
    Known {
        text: text.to_owned(),
        due_s: schedule.as_ref().and_then(|schedule| schedule.next(now_s)),
        schedule,
    }
}

async fn start(engine: &Engine, container: &ContainerSummary) {
    let name = name(container);
    match timeout(DEADLINE, engine.container_start(&container.id)).await {
        Ok(Ok(())) => log::info(&format!("service: {name}: started by its schedule")),
        Ok(Err(error)) => log::warning(&format!("service: {name}: {LABEL}: {error}")),
        Err(_) => log::warning(&format!("service: {name}: {LABEL}: no answer")),
    }
}

fn name(container: &ContainerSummary) -> &str {
    let name = container.names.first().map_or("", String::as_str);
    name.trim_start_matches('/')
}

/// Seconds since 1970.
fn now_s() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.unwrap_or_default().as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_is_due_once_and_what_was_missed_is_not_caught_up_with() {
        let container = |schedule: &str, state: &str| ContainerSummary {
            id: "a".to_owned(),
            state: state.to_owned(),
            labels: [(LABEL.to_owned(), schedule.to_owned())].into(),
            ..ContainerSummary::default()
        };
        let mut known = BTreeMap::new();
        let minutely = container("0 * * * * *", "exited");
        let mut due = |container: &ContainerSummary, at| is_due(&mut known, container, at);
        assert!(!due(&minutely, 30), "seen for the first time");
        assert!(!due(&minutely, 59));
        assert!(due(&minutely, 60));
        assert!(!due(&minutely, 61), "twice for one moment");
        assert!(!due(&container("0 * * * * *", "running"), 121));
        assert!(!due(&minutely, 1_000_000_030), "the clock was set");
        assert!(due(&minutely, 1_000_000_080));
        assert!(!due(&minutely, 100), "the clock was set back");
        assert!(due(&minutely, 120));
        assert!(!due(&container("tomorrow", "exited"), 180));
    }
}

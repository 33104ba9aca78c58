//! When what happened to each system service on the way up, for `ros boot blame`: as the engine tells it, so that it is
//! true of every service, however it was started.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use config::service::{AFTER, SCOPE};
use engine::Engine;
use engine_api::options::EventsQuery;
use engine_api::{EventMessage, Filters};
use serde::Serialize;
use sys::clock;

use crate::log;

/// Where `ros boot blame` finds it.
const FILE: &str = "/run/rancher/services.json";
/// What happens later is not the boot's: a health check may take minutes to say its first word.
const LENGTH: Duration = Duration::from_secs(600);
/// Most services that are recorded; a machine with more has other worries.
const MOST_SERVICES: usize = 256;

/// One service; seconds after kernel start (CLOCK_BOOTTIME), the first time each.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
struct Service {
    /// Those that it comes after, as its label has them.
    after: Vec<String>,
    /// Its container was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    made_s: Option<f64>,
    /// Its program runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    started_s: Option<f64>,
    /// Its health check said so.
    #[serde(skip_serializing_if = "Option::is_none")]
    healthy_s: Option<f64>,
    /// Its program ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    ended_s: Option<f64>,
    /// With this exit code.
    #[serde(skip_serializing_if = "Option::is_none")]
    exit_code: Option<String>,
}

/// Begins to record, in a task of the engine's event loop.
pub(crate) fn record(engine: &Engine) {
    let labels = vec![format!("{SCOPE}=system")];
    let filters = [("label", labels), ("type", vec!["container".to_owned()])];
    let filters = filters.map(|(name, values)| (name.to_owned(), values));
    let mut events = engine.events(EventsQuery {
        filters: Filters(filters.into()),
        ..EventsQuery::default()
    });
    engine_api::tasks::spawn(async move {
        let mut services = BTreeMap::new();
        let recording = async {
            while let Some(event) = events.recv().await {
                if note(&mut services, &event, clock::boottime().as_secs_f64()) {
                    write(&services);
                }
            }
        };
        // The end of the boot, and of the interest.
        let _ = tokio::time::timeout(LENGTH, recording).await;
    });
}

/// Takes an event in; whether it was news.
fn note(services: &mut BTreeMap<String, Service>, event: &EventMessage, now_s: f64) -> bool {
    let attribute = |name: &str| event.actor.attributes.get(name);
    let Some(name) = attribute("name") else {
        return false;
    };
    if services.len() >= MOST_SERVICES && !services.contains_key(name) {
        return false;
    }
    let service = services.entry(name.clone()).or_default();
    let slot = match event.action.as_str() {
        "create" => &mut service.made_s,
        "start" => &mut service.started_s,
        "health_status: healthy" => &mut service.healthy_s,
        "die" => &mut service.ended_s,
        _ => return false,
    };
    if slot.is_some() {
        return false;
    }
    *slot = Some(now_s);
    if event.action == "die" {
        service.exit_code = attribute("exitCode").cloned();
    }
    if let Some(after) = attribute(AFTER) {
        let names = after.split(',').map(|name| name.trim().to_owned());
        service.after = names.filter(|name| !name.is_empty()).collect();
    }
    true
}

fn write(services: &BTreeMap<String, Service>) {
    // A lost line does not stop a boot.
    let written = serde_json::to_vec(services)
        .map_err(std::io::Error::other)
        .and_then(|text| fs::write(FILE, text));
    if let Err(error) = written {
        log::warning(&format!("boot trace: cannot write {FILE}: {error}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(action: &str, attributes: &[(&str, &str)]) -> EventMessage {
        let mut event = EventMessage {
            action: action.to_owned(),
            ..EventMessage::default()
        };
        let pairs = attributes.iter();
        event.actor.attributes = pairs.map(|(k, v)| ((*k).into(), (*v).into())).collect();
        event
    }

    #[test]
    fn the_first_time_of_each_counts() {
        let mut services = BTreeMap::new();
        let name = [("name", "ntp"), (AFTER, "network, udev")];
        assert!(note(&mut services, &event("create", &name), 1.0));
        assert!(note(&mut services, &event("start", &name), 2.0));
        let died = [("name", "ntp"), ("exitCode", "3")];
        assert!(note(&mut services, &event("die", &died), 3.0));
        assert!(!note(&mut services, &event("start", &name), 4.0));
        assert!(!note(&mut services, &event("exec_create: ls", &name), 5.0));
        assert!(!note(&mut services, &event("start", &[]), 5.0));
        let expected = Service {
            after: vec!["network".into(), "udev".into()],
            made_s: Some(1.0),
            started_s: Some(2.0),
            healthy_s: None,
            ended_s: Some(3.0),
            exit_code: Some("3".into()),
        };
        assert_eq!(services["ntp"], expected);
    }
}

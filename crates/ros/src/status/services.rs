//! The system services: which run, which have done their work, and which are not well.

use std::time::Duration;

use engine_api::{Client, ContainerSummary, Filters};
use serde_json::{Value, json};

/// Containers of the system's services by name; none when the engine does not answer, which has a line.
pub(super) async fn list(socket: &str, deadline: Duration) -> Option<Vec<ContainerSummary>> {
    let label = format!("{}=system", config::service::SCOPE);
    let services = Filters([("label".to_owned(), vec![label])].into());
    let client = Client::new(socket);
    let list = client.container_list(true, false, &services);
    let mut found = tokio::time::timeout(deadline, list).await.ok()?.ok()?;
    found.sort_by(|a, b| name(a).cmp(name(b)));
    Some(found)
}

fn name(service: &ContainerSummary) -> &str {
    let name = service.names.first().map_or("", String::as_str);
    name.trim_start_matches('/')
}

/// `healthy`, `unhealthy`, `health: starting`: what the engine puts behind the time; none for a service without a check.
fn health(service: &ContainerSummary) -> Option<&str> {
    let (_, health) = service.status.split_once(" (")?;
    let is_up = service.status.starts_with("Up ");
    health.strip_suffix(')').filter(|_| is_up)
}

/// One line when all are well, and a line for each that is not.
pub(super) fn lines(services: &[ContainerSummary]) -> Vec<String> {
    let (bad, good): (Vec<_>, Vec<_>) = services.iter().partition(|one| failure(one).is_some());
    let named = |state: &str| -> Vec<String> {
        let those = good.iter().filter(|service| service.state == state);
        those
            .map(|service| match health(service) {
                Some(health) => format!("{} ({health})", name(service)),
                None => name(service).to_owned(),
            })
            .collect()
    };
    let groups = [
        (named("running"), "run"),
        (named("paused"), "paused"),
        (named("exited"), "done"),
        (named("created"), "not started"),
    ];
    let groups = groups.iter().filter(|(names, _)| !names.is_empty());
    let words: Vec<String> = groups
        .map(|(names, word)| format!("{} {word}: {}", names.len(), names.join(", ")))
        .collect();
    let mut lines = vec![format!("services: {}", words.join("; "))];
    let status = |service: &&ContainerSummary| service.status.to_lowercase();
    lines.extend(
        bad.iter()
            .map(|one| format!("service {}: {}", name(one), status(one))),
    );
    lines
}

/// The same for programs.
pub(super) fn json(services: &[ContainerSummary]) -> Vec<Value> {
    let one = |service: &ContainerSummary| {
        json!({
            "name": name(service),
            "state": service.state,
            "health": health(service),
            "status": service.status,
            "well": failure(service).is_none(),
        })
    };
    services.iter().map(one).collect()
}

/// What a service that ended by itself says: nothing when it ended well, as those do that run once per boot.
pub(super) fn failure(service: &ContainerSummary) -> Option<String> {
    let ended_badly = service.state == "exited" && !service.status.starts_with("Exited (0)");
    let unhealthy = service.status.contains("(unhealthy)");
    if !ended_badly && !unhealthy && !matches!(service.state.as_str(), "restarting" | "dead") {
        return None;
    }
    let name = service.names.first()?.trim_start_matches('/');
    let how = service.status.to_lowercase();
    Some(format!("{name}: {how}: see `system-docker logs {name}`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_that_ended_well_is_no_problem() {
        let service = |state: &str, status: &str| ContainerSummary {
            names: vec!["/ntp".to_owned()],
            state: state.to_owned(),
            status: status.to_owned(),
            ..ContainerSummary::default()
        };
        for (state, status) in [
            ("running", "Up 3 minutes"),
            ("exited", "Exited (0) 2 seconds ago"),
            ("created", "Created"),
        ] {
            assert_eq!(failure(&service(state, status)), None, "{status}");
        }
        for (state, status) in [
            ("restarting", "Restarting (1) 3 seconds ago"),
            ("exited", "Exited (1) 2 seconds ago"),
            ("running", "Up 3 minutes (unhealthy)"),
        ] {
            assert!(failure(&service(state, status)).is_some(), "{status}");
        }
    }

    #[test]
    fn services_that_are_well_are_one_line() {
        let service = |name: &str, state: &str, status: &str| ContainerSummary {
            names: vec![format!("/{name}")],
            state: state.to_owned(),
            status: status.to_owned(),
            ..ContainerSummary::default()
        };
        let mut services = vec![
            service("cloud-init", "exited", "Exited (0) 2 minutes ago"),
            service("console", "running", "Up 2 minutes (healthy)"),
            service("ntp", "created", "Created"),
            service("udev", "running", "Up 2 minutes"),
        ];
        let well =
            "services: 2 run: console (healthy), udev; 1 done: cloud-init; 1 not started: ntp";
        assert_eq!(lines(&services), [well]);
        services.push(service("web", "exited", "Exited (3) 1 second ago"));
        assert_eq!(
            lines(&services),
            [well, "service web: exited (3) 1 second ago"]
        );
        let json = json(&services);
        assert_eq!(json[1]["health"], "healthy");
        assert_eq!(json[3]["health"], serde_json::Value::Null);
        assert_eq!(
            (&json[3]["well"], &json[4]["well"]),
            (&true.into(), &false.into())
        );
    }
}

//! `ros status`: how the machine is, on one screen.

use std::process::ExitCode;
use std::time::Duration;

use engine_api::{Client, ContainerSummary, Filters};

use crate::cli::Format;
use crate::{boot_blame, config_command, net_status, problems};

/// Sockets of the two Dockers.
const SYSTEM_DOCKER: &str = "/run/system-docker.sock";
const USER_DOCKER: &str = "/run/docker.sock";
/// How long each of them may take to answer.
const DEADLINE: Duration = Duration::from_secs(5);

/// Prints everything, or with `problems` only what is wrong. The exit code tells nothing of it: a script reads the lines.
pub(crate) fn main(only_problems: bool, format: Format) -> anyhow::Result<ExitCode> {
    let runtime = system_docker::event_loop()?;
    let mut found = problems::all();
    found.extend(runtime.block_on(failed_services()));
    found.extend(config_command::apply::pending());
    if format == Format::Json {
        return print_json(&runtime, &found);
    }
    if !only_problems {
        println!(
            "system: RancherOS v{}, Linux {}, up {} s{}",
            config::VERSION,
            sys::kernel_release(),
            sys::clock::boottime().as_secs(),
            boot_blame::ready().map_or(String::new(), |s| format!(", ready after {s:.1} s")),
        );
        for line in net_status::lines() {
            println!("link {line}");
        }
        println!("state: {}", state());
        let (line, warnings) = runtime.block_on(docker(SYSTEM_DOCKER));
        println!("system docker: {line}");
        found.extend(
            warnings
                .into_iter()
                .map(|warning| format!("system docker: {warning}")),
        );
        println!("user docker: {}", runtime.block_on(docker(USER_DOCKER)).0);
        if found.is_empty() {
            println!("problems: none");
        }
    }
    for problem in found {
        println!("problem: {problem}");
    }
    Ok(ExitCode::SUCCESS)
}

/// The same for programs.
fn print_json(runtime: &tokio::runtime::Runtime, problems: &[String]) -> anyhow::Result<ExitCode> {
    let docker = |socket| runtime.block_on(docker(socket)).0;
    let status = serde_json::json!({
        "version": config::VERSION,
        "kernel": sys::kernel_release(),
        "uptime_s": sys::clock::boottime().as_secs(),
        "ready_s": boot_blame::ready(),
        "network": net_status::status().unwrap_or_default(),
        "state": state(),
        "system docker": docker(SYSTEM_DOCKER),
        "user docker": docker(USER_DOCKER),
        "problems": problems,
    });
    println!("{}", serde_json::to_string_pretty(&status)?);
    Ok(ExitCode::SUCCESS)
}

/// Where state is kept.
fn state() -> String {
    let Some(mount) = problems::state_mount() else {
        return "unknown".to_owned();
    };
    if mount.fstype == "overlay" {
        return "read from a disk, changes in RAM: lost at the next reboot".to_owned();
    }
    if !problems::is_disk(&mount) {
        return "in RAM: lost at the next reboot".to_owned();
    }
    let room = sys::fs::space(&mount.target).map_or_else(
        |error| error.to_string(),
        |space| {
            let (left, total) = (problems::mib(space.available), problems::mib(space.total));
            format!("{left} left of {total}")
        },
    );
    format!("{} ({}), {room}", mount.source, mount.fstype)
}

/// System services that should run and do not; an engine that does not answer has its own line.
async fn failed_services() -> Vec<String> {
    let label = format!("{}=system", config::service::SCOPE);
    let services = Filters([("label".to_owned(), vec![label])].into());
    let client = Client::new(SYSTEM_DOCKER);
    let list = client.container_list(true, false, &services);
    let Ok(Ok(containers)) = tokio::time::timeout(DEADLINE, list).await else {
        return Vec::new();
    };
    containers.iter().filter_map(failure).collect()
}

/// What a service that ended by itself says: nothing when it ended well, as those do that run once per boot.
fn failure(service: &ContainerSummary) -> Option<String> {
    let ended_badly = service.state == "exited" && !service.status.starts_with("Exited (0)");
    let unhealthy = service.status.contains("(unhealthy)");
    if !ended_badly && !unhealthy && !matches!(service.state.as_str(), "restarting" | "dead") {
        return None;
    }
    let name = service.names.first()?.trim_start_matches('/');
    let how = service.status.to_lowercase();
    Some(format!("{name}: {how}: see `system-docker logs {name}`"))
}

/// How a Docker is, and what it warns of.
async fn docker(socket: &str) -> (String, Vec<String>) {
    match tokio::time::timeout(DEADLINE, Client::new(socket).info()).await {
        Ok(Ok(info)) => (
            format!(
                "{} of {} containers run, {} images",
                info.containers_running, info.containers, info.images
            ),
            info.warnings.unwrap_or_default(),
        ),
        Ok(Err(error)) => (format!("does not answer: {error}"), Vec::new()),
        Err(_) => (
            format!("does not answer within {} s", DEADLINE.as_secs()),
            Vec::new(),
        ),
    }
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
}

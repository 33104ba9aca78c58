//! `ros status`: how the machine is, on one screen; what is wrong comes first.

mod services;

use std::process::ExitCode;
use std::time::Duration;

use engine_api::{Client, ContainerSummary};

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
    let services = runtime.block_on(services::list(SYSTEM_DOCKER, DEADLINE));
    let mut found = problems::all();
    found.extend(services.iter().flatten().filter_map(services::failure));
    found.extend(config_command::apply::pending());
    if only_problems && format != Format::Json {
        found
            .iter()
            .for_each(|problem| println!("problem: {problem}"));
        return Ok(ExitCode::SUCCESS);
    }
    let (system, user) = (
        runtime.block_on(docker(SYSTEM_DOCKER)),
        runtime.block_on(docker(USER_DOCKER)),
    );
    if format == Format::Json {
        return print_json(&found, services.as_deref(), &system, &user);
    }
    let warnings = system.warnings.iter();
    found.extend(warnings.map(|warning| format!("system docker: {warning}")));
    if found.is_empty() {
        println!("problems: none");
    }
    found
        .iter()
        .for_each(|problem| println!("problem: {problem}"));
    println!(
        "system: RancherOS v{}, Linux {}, up {} s",
        config::VERSION,
        sys::kernel_release(),
        sys::clock::boottime().as_secs(),
    );
    println!("boot: {}", boot_blame::summary());
    for line in net_status::lines() {
        println!("link {line}");
    }
    println!("state: {}", state());
    if let Some(services) = &services {
        services::lines(services)
            .iter()
            .for_each(|line| println!("{line}"));
    }
    println!("system docker: {}", system.line);
    println!("user docker: {}", user.line);
    Ok(ExitCode::SUCCESS)
}

/// The same for programs.
fn print_json(
    problems: &[String],
    services: Option<&[ContainerSummary]>,
    system: &Docker,
    user: &Docker,
) -> anyhow::Result<ExitCode> {
    let status = serde_json::json!({
        "version": config::VERSION,
        "kernel": sys::kernel_release(),
        "uptime_s": sys::clock::boottime().as_secs(),
        "ready_s": boot_blame::ready(),
        "phases": boot_blame::phases().unwrap_or_default(),
        "network": net_status::status().unwrap_or_default(),
        "state": state(),
        "services": services.map(services::json),
        "system docker": system.line,
        "user docker": user.line,
        "user docker version": user.version,
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

/// How a Docker is.
struct Docker {
    /// In a line.
    line: String,
    /// Its version, when it answers.
    version: Option<String>,
    /// What it warns of.
    warnings: Vec<String>,
}

async fn docker(socket: &str) -> Docker {
    let silent = |line: String| Docker {
        line,
        version: None,
        warnings: Vec::new(),
    };
    match tokio::time::timeout(DEADLINE, Client::new(socket).info()).await {
        Ok(Ok(info)) => Docker {
            line: format!(
                "version {}, {} of {} containers run, {} images",
                info.server_version, info.containers_running, info.containers, info.images
            ),
            version: Some(info.server_version),
            warnings: info.warnings.unwrap_or_default(),
        },
        Ok(Err(error)) => silent(format!("does not answer: {error}")),
        Err(_) => silent(format!("does not answer within {} s", DEADLINE.as_secs())),
    }
}

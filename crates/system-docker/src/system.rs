//! The verbs about the engine itself.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use compose::quantity;
use engine_api::{Client, EventMessage};
use serde_json::{Value, json};

use super::arguments::{Events, Formatted};
use super::template::Template;
use super::{filters, table};

/// This program among the versions; `Version` is Docker's, whose command line it speaks.
const CLIENT: &str = concat!("RancherOS System Docker ", env!("CARGO_PKG_VERSION"));

/// `version`
pub(crate) async fn version(client: &Client, options: &Formatted) -> anyhow::Result<()> {
    let server = client.version().await?;
    if let Some(format) = &options.format {
        let value = json!({
            "Client": {
                "Platform": { "Name": CLIENT },
                "Version": engine_api::DOCKER_VERSION,
                "ApiVersion": engine_api::API_VERSION,
            },
            "Server": serde_json::to_value(&server)?,
        });
        return formatted(&value, format);
    }
    println!(
        "Client: {CLIENT}\n Version:     {}\n API version: {}",
        engine_api::DOCKER_VERSION,
        engine_api::API_VERSION
    );
    println!("\nServer: {}", server.platform.name);
    println!(
        " Version:     {}\n API version: {} (minimum version {})",
        server.version, server.api_version, server.min_api_version
    );
    println!(
        " OS/Arch:     {}/{}\n Kernel:      {}",
        server.os, server.arch, server.kernel_version
    );
    Ok(())
}

/// `info`
pub(crate) async fn info(client: &Client, options: &Formatted) -> anyhow::Result<()> {
    let info = client.info().await?;
    if let Some(format) = &options.format {
        return formatted(&serde_json::to_value(&info)?, format);
    }
    println!("Server:");
    println!(" Containers: {}", info.containers);
    println!(
        "  Running: {}\n  Paused: {}\n  Stopped: {}",
        info.containers_running, info.containers_paused, info.containers_stopped
    );
    println!(
        " Images: {}\n Server Version: {}\n Storage Driver: {}",
        info.images, info.server_version, info.driver
    );
    println!(
        " Logging Driver: {}\n Cgroup Driver: {}\n Cgroup Version: {}",
        info.logging_driver, info.cgroup_driver, info.cgroup_version
    );
    println!(" Security Options: {}", info.security_options.join(", "));
    println!(
        " Kernel Version: {}\n Operating System: {}\n Architecture: {}",
        info.kernel_version, info.operating_system, info.architecture
    );
    println!(
        " CPUs: {}\n Total Memory: {}",
        info.n_cpu,
        table::binary_size(u64::try_from(info.mem_total).unwrap_or(0))
    );
    println!(
        " Name: {}\n ID: {}\n Docker Root Dir: {}",
        info.name, info.id, info.docker_root_dir
    );
    for warning in info.warnings.iter().flatten() {
        eprintln!("WARNING: {warning}");
    }
    Ok(())
}

pub(super) fn formatted(value: &Value, format: &str) -> anyhow::Result<()> {
    match format {
        "json" => println!("{value}"),
        format => println!("{}", Template::parse(format)?.render(value)?),
    }
    Ok(())
}

/// `events`
pub(crate) async fn events(client: &Client, options: &Events) -> anyhow::Result<()> {
    let template = options
        .format
        .as_deref()
        .filter(|format| *format != "json")
        .map(Template::parse)
        .transpose()?;
    let (since, until) = (
        options.since.as_deref().map(time),
        options.until.as_deref().map(time),
    );
    let mut events = client
        .events(
            since.as_deref(),
            until.as_deref(),
            &filters(&options.filters)?,
        )
        .await?;
    while let Some(event) = events.next().await? {
        match (&template, &options.format) {
            (Some(template), _) => println!("{}", template.render(&serde_json::to_value(&event)?)?),
            (None, Some(_)) => println!("{}", serde_json::to_string(&event)?),
            (None, None) => println!("{}", line(&event)),
        }
    }
    Ok(())
}

fn line(event: &EventMessage) -> String {
    let attributes: Vec<String> = event
        .actor
        .attributes
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    let nanoseconds = event.time_nano.rem_euclid(1_000_000_000);
    format!(
        "{}.{nanoseconds:09} {} {} {} ({})",
        event.time,
        event.typ,
        event.action,
        event.actor.id,
        attributes.join(", ")
    )
}

/// A time as the API takes it; `10m` or `1h30m` means so long ago, as in docker.
pub(crate) fn time(text: &str) -> String {
    let Some(span) = span(text) else {
        return text.to_owned();
    };
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    now.saturating_sub(span).as_secs().to_string()
}

/// What ends in digits is a time, not a span.
fn span(text: &str) -> Option<Duration> {
    let ends_in_unit = text.ends_with(|last: char| last.is_ascii_alphabetic());
    ends_in_unit.then(|| quantity::duration(text)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_told_from_times() {
        assert_eq!(span("1h30m"), Some(Duration::from_secs(5400)));
        assert_eq!(span("10s"), Some(Duration::from_secs(10)));
        for time in ["1700000000", "2026-01-01T00:00:00Z", "", "m"] {
            assert_eq!(span(time), None, "{time}");
        }
    }
}

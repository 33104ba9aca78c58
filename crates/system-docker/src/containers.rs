//! The verbs about containers that print lists or do one thing to each name.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{anyhow, bail};
use engine_api::{Client, ContainerSummary, ContainerUpdate, Port, PortBinding, units};

use super::arguments::{Kill, Ps, Rm, Stop, Top, Update};
use super::listing::{self, Row, Show, row};
use super::{create, each, filters, table};

/// Characters of a command that `ps` shows.
const COMMAND_WIDTH: usize = 20;

/// `ps`
pub(crate) async fn list(client: &Client, options: &Ps) -> anyhow::Result<()> {
    let all = options.all || options.latest || options.last.is_some();
    let mut containers = client
        .container_list(all, options.size, &filters(&options.filters)?)
        .await?;
    if let Some(count) = options.last.or(options.latest.then_some(1)) {
        containers.truncate(usize::try_from(count).unwrap_or(usize::MAX));
    }
    let rows: Vec<Row> = containers
        .iter()
        .map(|container| summary(container, options.no_trunc))
        .collect();
    let mut columns = vec![
        ("CONTAINER ID", "ID"),
        ("IMAGE", "Image"),
        ("COMMAND", "Command"),
        ("CREATED", "RunningFor"),
        ("STATUS", "Status"),
        ("PORTS", "Ports"),
        ("NAMES", "Names"),
    ];
    if options.size {
        columns.push(("SIZE", "Size"));
    }
    listing::print(
        &rows,
        &columns,
        &Show {
            only: options.quiet.then_some("ID"),
            format: options.format.as_deref(),
        },
    )
}

fn summary(container: &ContainerSummary, whole: bool) -> Row {
    let id = if whole {
        container.id.clone()
    } else {
        table::short_id(&container.id)
    };
    let image = if whole {
        container.image.clone()
    } else {
        container
            .image
            .split('@')
            .next()
            .unwrap_or_default()
            .to_owned()
    };
    let command = format!("\"{}\"", container.command);
    let names: Vec<&str> = container
        .names
        .iter()
        .map(|name| name.trim_start_matches('/'))
        .collect();
    let networks: Vec<&str> = container
        .network_settings
        .networks
        .keys()
        .map(String::as_str)
        .collect();
    let ports: Vec<String> = container.ports.iter().map(port).collect();
    let local = container
        .mounts
        .iter()
        .filter(|mount| mount.driver == "local");
    row([
        ("ID", id),
        ("Image", image),
        (
            "Command",
            if whole {
                command
            } else {
                table::ellipsis(&command, COMMAND_WIDTH)
            },
        ),
        ("CreatedAt", units::utc(container.created)),
        ("RunningFor", format!("{} ago", since(container.created))),
        ("Status", container.status.clone()),
        ("State", container.state.clone()),
        ("Ports", ports.join(", ")),
        ("Names", names.join(",")),
        ("Networks", networks.join(",")),
        ("Mounts", mounted(container).join(",")),
        ("Size", sizes(container)),
        ("LocalVolumes", local.count().to_string()),
    ])
    .with_labels(&container.labels)
}

/// What is mounted in it: names of volumes, paths of the host.
fn mounted(container: &ContainerSummary) -> Vec<&str> {
    container
        .mounts
        .iter()
        .map(|mount| {
            if mount.name.is_empty() {
                mount.source.as_str()
            } else {
                mount.name.as_str()
            }
        })
        .collect()
}

/// What it wrote, and with its image where that was asked for.
fn sizes(container: &ContainerSummary) -> String {
    let size = |bytes: Option<i64>| {
        let bytes = bytes.and_then(|bytes| u64::try_from(bytes).ok());
        units::size(bytes.unwrap_or(0))
    };
    match container.size_root_fs {
        Some(all) => format!("{} (virtual {})", size(container.size_rw), size(Some(all))),
        None => size(container.size_rw),
    }
}

/// How long ago a time in seconds since 1970 was, in docker's words.
pub(crate) fn since(unix: i64) -> String {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    units::span(now.saturating_sub(Duration::from_secs(u64::try_from(unix).unwrap_or(0))))
}

fn port(port: &Port) -> String {
    match port.public_port {
        Some(public) if port.ip.contains(':') => {
            format!("[{}]:{public}->{}/{}", port.ip, port.private_port, port.typ)
        }
        Some(public) => format!("{}:{public}->{}/{}", port.ip, port.private_port, port.typ),
        None => format!("{}/{}", port.private_port, port.typ),
    }
}

/// `port`: where all published ports are, or the one that is named (`80`, `80/udp`).
///
/// # Errors
/// When the name is not a port, or it is not published.
pub(crate) async fn ports(
    client: &Client,
    container: &str,
    wanted: Option<&str>,
) -> anyhow::Result<()> {
    let inspect = client.container_inspect(container, false).await?;
    let published = &inspect.network_settings.ports;
    let Some(wanted) = wanted else {
        for (port, bindings) in published {
            for binding in bindings.iter().flatten() {
                println!("{port} -> {}", address(binding));
            }
        }
        return Ok(());
    };
    let (number, protocol) = wanted.split_once('/').unwrap_or((wanted, "tcp"));
    let number: u16 = number
        .parse()
        .map_err(|error| anyhow!("invalid port ({number}): {error}"))?;
    let bindings = published.get(&format!("{number}/{protocol}"));
    let bindings = bindings.and_then(Option::as_ref);
    let Some(bindings) = bindings.filter(|bindings| !bindings.is_empty()) else {
        bail!("no public port '{wanted}' published for {container}");
    };
    for binding in bindings {
        println!("{}", address(binding));
    }
    Ok(())
}

fn address(binding: &PortBinding) -> String {
    if binding.host_ip.contains(':') {
        return format!("[{}]:{}", binding.host_ip, binding.host_port);
    }
    format!("{}:{}", binding.host_ip, binding.host_port)
}

/// `top`
pub(crate) async fn top(client: &Client, options: &Top) -> anyhow::Result<()> {
    let arguments = options.ps.join(" ");
    let top = client
        .container_top(
            &options.container,
            (!arguments.is_empty()).then_some(arguments.as_str()),
        )
        .await?;
    let headings: Vec<&str> = top.titles.iter().map(String::as_str).collect();
    print!("{}", table::format(&headings, &top.processes));
    Ok(())
}

/// `diff`
pub(crate) async fn changes(client: &Client, container: &str) -> anyhow::Result<()> {
    for change in client.container_changes(container).await? {
        let letter = match change.kind {
            0 => 'C',
            1 => 'A',
            _ => 'D',
        };
        println!("{letter} {}", change.path);
    }
    Ok(())
}

/// `kill`
pub(crate) async fn kill(client: &Client, options: &Kill) -> anyhow::Result<()> {
    each(&options.containers, |name| {
        client.container_kill(name, Some(&options.signal))
    })
    .await
}

/// `pause`
pub(crate) async fn pause(client: &Client, names: &[String]) -> anyhow::Result<()> {
    each(names, |name| client.container_pause(name)).await
}

/// `unpause`
pub(crate) async fn unpause(client: &Client, names: &[String]) -> anyhow::Result<()> {
    each(names, |name| client.container_unpause(name)).await
}

/// `restart`
pub(crate) async fn restart(client: &Client, options: &Stop) -> anyhow::Result<()> {
    each(&options.containers, |name| {
        client.container_restart(name, None, options.time)
    })
    .await
}

/// `stop`
pub(crate) async fn stop(client: &Client, options: &Stop) -> anyhow::Result<()> {
    each(&options.containers, |name| {
        client.container_stop(name, None, options.time)
    })
    .await
}

/// `rm`
pub(crate) async fn remove(client: &Client, options: &Rm) -> anyhow::Result<()> {
    each(&options.containers, |name| {
        client.container_remove(name, options.volumes, options.force)
    })
    .await
}

/// `wait`
pub(crate) async fn wait(client: &Client, names: &[String]) -> anyhow::Result<()> {
    for name in names {
        if let Some(ended) = client.container_wait(name, None).await?.next().await? {
            println!("{}", ended.status_code);
        }
    }
    Ok(())
}

/// `update`
pub(crate) async fn update(client: &Client, options: &Update) -> anyhow::Result<()> {
    let mut update = ContainerUpdate::default();
    if let Some(memory) = &options.memory {
        update.memory = create::bytes("--memory", memory)?;
    }
    if let Some(cpus) = &options.cpus {
        update.nano_cpus = create::nano_cpus(cpus)?;
    }
    update.pids_limit = options.pids_limit;
    if let Some(policy) = &options.restart {
        update.restart_policy = create::restart_policy(policy)?;
    }
    for name in &options.containers {
        for warning in client.container_update(name, &update).await?.warnings {
            eprintln!("WARNING: {warning}");
        }
        println!("{name}");
    }
    Ok(())
}

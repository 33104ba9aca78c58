//! `ros env`, `ros dev`, `ros console list`, `ros engine list`.

use std::process::ExitCode;

use anyhow::{Context as _, bail};
use serde_json::json;
use sys::blockdev;

use crate::cli::Format;
use crate::machine_config::MachineConfig;

/// Runs a program with `rancher.environment`, by its name in PATH.
pub(crate) fn env(words: &[String]) -> anyhow::Result<ExitCode> {
    let (program, arguments) = words.split_first().context("name a command")?;
    let machine = MachineConfig::load();
    let variables = machine.loaded.config.rancher.environment.iter();
    let mut command = sys::process::Command::new(program)
        .args(arguments)
        .inherit_group();
    for (name, value) in variables {
        if let Some(value) = value {
            command = command.env(name, value);
        }
    }
    let status = command.spawn()?.wait()?;
    let code = status
        .code()
        .and_then(|code| u8::try_from(code).ok())
        .unwrap_or(1);
    Ok(ExitCode::from(code))
}

/// Prints the device of `LABEL=`, `UUID=` or a path.
pub(crate) fn dev(name: &str) -> anyhow::Result<ExitCode> {
    let matches = |superblock: &blockdev::Superblock| match (
        name.strip_prefix("LABEL="),
        name.strip_prefix("UUID="),
    ) {
        (Some(label), _) => superblock.label.as_deref() == Some(label),
        (_, Some(uuid)) => superblock
            .uuid
            .as_deref()
            .is_some_and(|own| own.eq_ignore_ascii_case(uuid)),
        _ => false,
    };
    let devices = blockdev::list().into_iter().map(|device| device.path);
    let found = if name.starts_with('/') {
        Some(std::path::PathBuf::from(name)).filter(|path| path.exists())
    } else {
        devices
            .into_iter()
            .find(|path| blockdev::probe(path).is_some_and(|superblock| matches(&superblock)))
    };
    match found {
        Some(path) => println!("{}", path.display()),
        None => bail!("no device is {name}"),
    }
    Ok(ExitCode::SUCCESS)
}

/// The one console or engine of this version, in RancherOS's form `current NAME`.
pub(crate) fn list_one(name: &str, format: Format) -> anyhow::Result<ExitCode> {
    match format {
        Format::Json => println!("{}", json!([{"name": name, "state": "current"}])),
        Format::Table => println!("current  {name}"),
    }
    Ok(ExitCode::SUCCESS)
}

/// The version of User Docker, as `docker-26.1.5`.
pub(crate) fn engine_name() -> String {
    let runtime = system_docker::event_loop();
    let version = runtime.ok().and_then(|runtime| {
        runtime.block_on(async {
            engine_api::Client::new("/run/docker.sock")
                .version()
                .await
                .ok()
        })
    });
    version.map_or_else(
        || "docker".to_owned(),
        |version| format!("docker-{}", version.version.split('+').next().unwrap_or("")),
    )
}

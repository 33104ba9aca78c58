//! Which files of services are on.

use std::fs;
use std::process::ExitCode;

use anyhow::{Context as _, bail, ensure};

use crate::machine_config::{CONF, MachineConfig};
use crate::own_file::OwnFile;

/// Sets `rancher.services_include.NAME`; a file that is turned on must be good.
pub(super) fn switch(names: &[String], on: bool) -> anyhow::Result<ExitCode> {
    ensure!(!names.is_empty(), "name a file below {CONF}");
    let mut file = OwnFile::read()?;
    for name in names {
        if on {
            check(name)?;
        } else if !is_known(name) {
            bail!("{name} is not a valid service: ros service list");
        }
        set(&mut file, name, if on { "true" } else { "false" })?;
    }
    file.write()?;
    eprintln!(
        "it holds after: sudo ros config apply, or after a reboot; now: ros service {}",
        if on { "up NAME" } else { "down NAME" }
    );
    Ok(ExitCode::SUCCESS)
}

/// Forgets entries.
pub(super) fn delete(names: &[String]) -> anyhow::Result<ExitCode> {
    let mut file = OwnFile::read()?;
    for name in names {
        ensure!(
            is_known(name),
            "{name} is not a valid service: ros service list"
        );
        set(&mut file, name, "null")?;
    }
    file.write()?;
    Ok(ExitCode::SUCCESS)
}

fn is_known(name: &str) -> bool {
    let machine = MachineConfig::load();
    machine
        .loaded
        .config
        .rancher
        .services_include
        .contains_key(name)
}

fn set(file: &mut OwnFile, name: &str, value: &str) -> anyhow::Result<()> {
    // A path has dots: it is one key.
    file.set_at(&["rancher", "services_include", name], value)
}

fn check(name: &str) -> anyhow::Result<()> {
    let below = format!("{CONF}/");
    if name.starts_with('/') {
        ensure!(
            name.starts_with(&below) && !name.contains("/../"),
            "ERROR: Service should be in path {CONF}"
        );
        let text = fs::read_to_string(name).with_context(|| format!("cannot read {name}"))?;
        super::fetch::check(name, &text)?;
        return Ok(());
    }
    super::fetch::fetch(&MachineConfig::load().loaded.config, name)
}

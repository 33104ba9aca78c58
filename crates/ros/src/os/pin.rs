//! `ros os pin`: the one version that this machine takes.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, ensure};
use serde_json::json;

use super::installed::{Installed, STORE, Writable};
use super::listing::is_json;

/// The file next to the history.
const FILE: &str = "pin";

/// The version that this machine is pinned to.
pub(super) fn read() -> Option<String> {
    let text = fs::read_to_string(Path::new(STORE).join(FILE)).ok()?;
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

/// Pins to a version, to the one that runs when `version` is none, or to nothing when it is `off`.
pub(super) fn main(version: Option<&str>, format: &str) -> anyhow::Result<()> {
    let json = is_json(format)?;
    // Only a disk has versions
    Installed::here()?;
    let version = version.unwrap_or(config::VERSION);
    let version = version.strip_prefix('v').unwrap_or(version);
    let writable = Writable::new()?;
    let path = writable.root().join(FILE);
    if version == "off" {
        if path.exists() {
            fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
        }
        say(None, json);
        return Ok(());
    }
    ensure!(
        version.starts_with(|letter: char| letter.is_ascii_digit()),
        "{version} is not a version, such as v1.2.3"
    );
    cloud_init::store::write_atomic(&path, format!("{version}\n").as_bytes(), 0o644)?;
    say(Some(version), json);
    Ok(())
}

fn say(version: Option<&str>, json: bool) {
    match version {
        _ if json => println!("{:#}", json!({"pinned": version})),
        None => println!("not pinned"),
        Some(version) => println!("pinned to v{version}"),
    }
}

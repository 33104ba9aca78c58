//! Homes of the configuration's users, with their keys.

use std::path::Path;

use anyhow::{Context as _, ensure};
use config::Config;
use config::cloud_config::UserEntry;

use super::entries;
use crate::console::accounts::{self, DOCKER, RANCHER};
use crate::console::identity;

/// Everybody whose home the console makes.
pub(in crate::console) fn names(config: &Config) -> Vec<String> {
    let listed = entries(config).into_iter().filter_map(|entry| entry.name);
    let built_in = [RANCHER, DOCKER].map(str::to_owned);
    built_in.into_iter().chain(listed).collect()
}

/// Homes and keys of users that are made already, on what was mounted at `target`; each that fails is a separate error.
pub(in crate::console) fn furnish_all(
    root: &Path,
    config: &Config,
    target: &Path,
) -> anyhow::Result<()> {
    let passwd = accounts::read(&root.join("etc"), "passwd")?;
    let mut failures = Vec::new();
    for entry in entries(config) {
        let name = entry.name.as_deref().unwrap_or(RANCHER);
        let furnished = take(root, &passwd, name, &entry, target)
            .and_then(|()| furnish(root, &passwd, name, &entry));
        let failure = furnished.err();
        failures.extend(failure.map(|error| format!("user {name}: {error:#}")));
    }
    ensure!(failures.is_empty(), "{}", failures.join("; "));
    Ok(())
}

fn take(
    root: &Path,
    passwd: &str,
    name: &str,
    entry: &UserEntry,
    target: &Path,
) -> anyhow::Result<()> {
    match accounts::user_in(passwd, name).filter(|user| Path::new(&user.home) == target) {
        Some(user) if has_home(entry) => accounts::take_home(root, &user),
        _ => Ok(()),
    }
}

fn has_home(entry: &UserEntry) -> bool {
    entry.no_create_home != Some(true) && entry.system != Some(true)
}

/// Home directory and keys.
pub(super) fn furnish(
    root: &Path,
    passwd: &str,
    name: &str,
    entry: &UserEntry,
) -> anyhow::Result<()> {
    let user = accounts::user_in(passwd, name).context("it has no entry")?;
    if has_home(entry) {
        accounts::make_home(root, &user)?;
    }
    let (good, bad): (Vec<String>, Vec<String>) = entry
        .ssh_authorized_keys
        .iter()
        .map(|key| key.trim().to_owned())
        .partition(|key| cloud_init::authorized_keys::is_public_key(key));
    let home = root.join(user.home.trim_start_matches('/'));
    let is_used = has_home(entry) || !good.is_empty();
    if is_used && identity::is_strangers(name, &home, user.uid) {
        identity::keep_own_keys(root, name, &good)?;
    } else {
        identity::forget_own_keys(root, name)?;
        if !good.is_empty() {
            identity::add_keys(name, &home, (user.uid, user.gid), &good)?;
        }
    }
    ensure!(
        bad.is_empty(),
        "{} of its ssh_authorized_keys are not public keys",
        bad.len()
    );
    Ok(())
}

//! The default user of cloud-init. It is rancher, and with `user: NAME` that one as well: rancher stays a way in, since the
//! console, autologin and older files know it.

use config::Config;
use config::cloud_config::{User, UserEntry};
use serde_json::Value;

use super::words;
use crate::console::accounts::{DOCKER, RANCHER};

/// cloud-init's name for the default user, whoever it is.
pub(super) const DEFAULT: &str = "default";
/// What cloud-init's default user has where nothing else is said.
const SUDO: &str = "ALL=(ALL) NOPASSWD:ALL";

/// Who is the default user next to rancher, if `user` names somebody.
pub(in crate::console) fn default_user(config: &Config) -> Option<&str> {
    let name = match config.user.as_ref()? {
        User::Name(name) => name,
        User::Full(entry) => entry.name.as_ref()?,
    };
    (!matches!(name.as_str(), "" | DEFAULT | RANCHER)).then_some(name.as_str())
}

/// The entry of `user`; none when it says nothing about anybody. It may use both Dockers and sudo, as rancher may.
pub(super) fn entry(config: &Config) -> Option<UserEntry> {
    let mut entry = match config.user.as_ref()? {
        User::Name(_) => UserEntry::default(),
        User::Full(entry) => (**entry).clone(),
    };
    let Some(name) = default_user(config) else {
        entry.name = Some(RANCHER.to_owned());
        return (entry != named(RANCHER)).then_some(entry);
    };
    entry.name = Some(name.to_owned());
    if entry.sudo.is_null() {
        entry.sudo = SUDO.into();
    }
    let groups = words(&entry.groups).into_iter().chain([DOCKER.to_owned()]);
    entry.groups = Value::Array(groups.map(Value::String).collect());
    Some(entry)
}

fn named(name: &str) -> UserEntry {
    UserEntry {
        name: Some(name.to_owned()),
        ..UserEntry::default()
    }
}

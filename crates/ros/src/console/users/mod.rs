//! `users`, `groups`, `chpasswd` and `password`: the users of the configuration, in the files of passwd(5), group(5) and
//! shadow(5), which every console has.

mod default;
mod homes;
mod passwords;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use anyhow::{Context as _, bail, ensure};
use config::Config;
use config::cloud_config::{User, UserEntry};
use serde_json::Value;

pub(super) use self::default::default_user;
pub(super) use self::homes::{furnish_all, names};
pub(super) use self::passwords::{expire, passwords};
use super::accounts::{self, RANCHER};

/// First number for users that name none; RancherOS's own are 1100 and 1101.
const FIRST_ID: u32 = 1200;
/// First number for groups that are not one user's own, which has the user's number.
const FIRST_GROUP_ID: u32 = 2000;
/// First number for accounts of the system, and the end of them.
const SYSTEM_IDS: std::ops::Range<u32> = 900..1000;

/// The three files while they are changed.
struct Files<'r> {
    root: &'r Path,
    passwd: String,
    group: String,
    shadow: String,
}

/// Makes groups and users; each that fails is a separate error, and the others are made.
pub(super) fn ensure_all(config: &Config) -> anyhow::Result<()> {
    ensure_in(Path::new("/"), config)
}

fn ensure_in(root: &Path, config: &Config) -> anyhow::Result<()> {
    let entries = entries(config);
    let groups = groups(&config.groups);
    if entries.is_empty() && groups.is_empty() {
        return Ok(());
    }
    let etc = root.join("etc");
    let mut files = Files {
        root,
        passwd: accounts::read(&etc, "passwd")?,
        group: accounts::read(&etc, "group")?,
        shadow: accounts::read(&etc, "shadow")?,
    };
    let mut failures = Vec::new();
    for name in groups.keys() {
        failures.extend(
            files
                .make_group(name, None)
                .err()
                .map(|error| format!("group {name}: {error:#}")),
        );
    }
    let mut made = Vec::new();
    for entry in &entries {
        let name = entry.name.as_deref().unwrap_or(RANCHER);
        match files.make_user(name, entry) {
            Ok(()) => made.push((name, entry)),
            Err(error) => failures.push(format!("user {name}: {error:#}")),
        }
    }
    for (group, members) in &groups {
        for member in members {
            files.group = accounts::with_member(&files.group, group, member);
        }
    }
    accounts::write(&etc, "group", &files.group, 0o644)?;
    accounts::write(&etc, "passwd", &files.passwd, 0o644)?;
    accounts::write(&etc, "shadow", &files.shadow, 0o600)?;
    for (name, entry) in &made {
        failures.extend(
            homes::furnish(root, &files.passwd, name, entry)
                .err()
                .map(|error| format!("user {name}: {error:#}")),
        );
    }
    failures.extend(
        write_sudoers(root, &made)
            .err()
            .map(|error| format!("{error:#}")),
    );
    ensure!(failures.is_empty(), "{}", failures.join("; "));
    Ok(())
}

/// Everybody that the configuration says something about, each with a name; the default user last.
fn entries(config: &Config) -> Vec<UserEntry> {
    let default_name = default_user(config).unwrap_or(RANCHER);
    let full = |user: &User| match user {
        User::Name(name) if name == default::DEFAULT => None,
        User::Name(name) => Some(UserEntry {
            name: Some(name.clone()),
            ..UserEntry::default()
        }),
        User::Full(entry) => {
            let mut entry = (**entry).clone();
            let name = entry.name.take().filter(|name| name != default::DEFAULT);
            entry.name = Some(name.unwrap_or_else(|| default_name.to_owned()));
            Some(entry)
        }
    };
    let listed = config.users.iter().filter_map(full);
    listed.chain(default::entry(config)).collect()
}

/// Groups and their members, however cloud-init lets one write them.
fn groups(value: &Value) -> BTreeMap<String, Vec<String>> {
    let mut groups = BTreeMap::new();
    match value {
        Value::Array(items) => {
            for item in items {
                match item {
                    Value::Object(_) => groups.extend(self::groups(item)),
                    _ => groups.extend(words(item).into_iter().map(|name| (name, Vec::new()))),
                }
            }
        }
        Value::Object(map) => groups.extend(
            map.iter()
                .map(|(name, members)| (name.clone(), words(members))),
        ),
        _ => groups.extend(words(value).into_iter().map(|name| (name, Vec::new()))),
    }
    groups
}

/// Names in a list, in a map's keys, or with commas between.
fn words(value: &Value) -> Vec<String> {
    let texts: Vec<String> = match value {
        Value::Array(items) => items.iter().filter_map(text).collect(),
        Value::Object(map) => map.keys().cloned().collect(),
        other => text(other).into_iter().collect(),
    };
    texts
        .iter()
        .flat_map(|text| text.split(','))
        .map(|name| name.trim().to_owned())
        .filter(|name| !name.is_empty())
        .collect()
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// useradd(8)'s rule, so that no name breaks a line of the files.
fn check_name(name: &str) -> anyhow::Result<()> {
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    ensure!(
        !name.is_empty() && name.len() <= 32 && name.chars().all(good) && !name.starts_with('-'),
        "a name has 1 to 32 letters, digits, '_', '-' and '.'"
    );
    Ok(())
}

fn check_field(name: &str, value: &str) -> anyhow::Result<()> {
    ensure!(
        !value.contains([':', '\n', '\0']),
        "{name} has a colon or a line break"
    );
    Ok(())
}

impl Files<'_> {
    fn make_group(&mut self, name: &str, id: Option<u32>) -> anyhow::Result<()> {
        check_name(name)?;
        let id = id.unwrap_or_else(|| free_id(&self.group, FIRST_GROUP_ID..u32::MAX));
        accounts::add_entry(&mut self.group, name, &format!("{name}:x:{id}:"));
        Ok(())
    }

    fn make_user(&mut self, name: &str, entry: &UserEntry) -> anyhow::Result<()> {
        check_name(name)?;
        let uid = self.uid(name, entry)?;
        let primary = entry.primary_group.as_deref().unwrap_or(name);
        let group_id = (primary == name && !has_id(&self.group, uid)).then_some(uid);
        if entry.no_user_group != Some(true) || entry.primary_group.is_some() {
            self.make_group(primary, group_id)
                .context("primary_group")?;
        }
        let gid = id_of(&self.group, primary).unwrap_or(100); // `users`
        let home = entry
            .homedir
            .clone()
            .unwrap_or_else(|| format!("/home/{name}"));
        let gecos = entry.gecos.clone().unwrap_or_default();
        let shell = entry.shell.clone().unwrap_or_else(|| {
            if self.root.join("bin/bash").exists() {
                "/bin/bash"
            } else {
                "/bin/sh"
            }
            .to_owned()
        });
        for (field, value) in [("homedir", &home), ("gecos", &gecos), ("shell", &shell)] {
            check_field(field, value)?;
        }
        accounts::add_entry(
            &mut self.passwd,
            name,
            &format!("{name}:x:{uid}:{gid}:{gecos}:{home}:{shell}"),
        );
        if let Some(shell) = &entry.shell {
            set_field(&mut self.passwd, name, 6, shell);
        }
        let expires = entry
            .expiredate
            .as_deref()
            .map(days)
            .transpose()?
            .map_or(String::new(), |days| days.to_string());
        accounts::add_entry(&mut self.shadow, name, &format!("{name}:*:::::::"));
        if !expires.is_empty() {
            set_field(&mut self.shadow, name, 7, &expires);
        }
        for group in words(&entry.groups) {
            self.make_group(&group, None)
                .with_context(|| format!("group {group}"))?;
            self.group = accounts::with_member(&self.group, &group, name);
        }
        Ok(())
    }

    /// The number of a user: its own, the one it has, the owner of the home it had at an earlier boot, or a free one.
    fn uid(&self, name: &str, entry: &UserEntry) -> anyhow::Result<u32> {
        if let Some(uid) = id_of(&self.passwd, name) {
            return Ok(uid);
        }
        if let Some(uid) = &entry.uid {
            let uid = uid
                .parse()
                .with_context(|| format!("uid {uid:?} is not a number"))?;
            ensure!(!has_id(&self.passwd, uid), "uid {uid} is another user's");
            return Ok(uid);
        }
        let home = entry
            .homedir
            .clone()
            .unwrap_or_else(|| format!("/home/{name}"));
        let owner =
            fs::metadata(self.root.join(home.trim_start_matches('/'))).map(|home| home.uid());
        if let Ok(owner) = owner
            && owner >= FIRST_ID
            && !has_id(&self.passwd, owner)
        {
            return Ok(owner);
        }
        Ok(free_id(
            &self.passwd,
            if entry.system == Some(true) {
                SYSTEM_IDS
            } else {
                FIRST_ID..u32::MAX
            },
        ))
    }
}

fn fields(text: &str, name: &str) -> Option<Vec<String>> {
    let line = text
        .lines()
        .find(|line| line.split(':').next() == Some(name))?;
    Some(line.split(':').map(str::to_owned).collect())
}

/// The number in the third field.
fn id_of(text: &str, name: &str) -> Option<u32> {
    fields(text, name)?.get(2)?.parse().ok()
}

fn has_id(text: &str, id: u32) -> bool {
    let id = id.to_string();
    text.lines().any(|line| line.split(':').nth(2) == Some(&id))
}

fn free_id(text: &str, mut ids: std::ops::Range<u32>) -> u32 {
    let first = ids.start;
    ids.find(|id| !has_id(text, *id)).unwrap_or(first)
}

fn set_field(text: &mut String, name: &str, index: usize, value: &str) {
    *text = text
        .lines()
        .map(|line| {
            let mut fields: Vec<&str> = line.split(':').collect();
            if fields[0] == name && index < fields.len() {
                fields[index] = value;
            }
            fields.join(":") + "\n"
        })
        .collect();
}

/// Days from 1970 to a date such as 2032-09-01 (shadow(5)).
fn days(date: &str) -> anyhow::Result<i64> {
    let parts: Vec<i64> = date
        .split('-')
        .filter_map(|part| part.parse().ok())
        .collect();
    let [year, month, day] = parts[..] else {
        bail!("expiredate {date:?} is not YEAR-MONTH-DAY");
    };
    ensure!(
        (1970..=9999).contains(&year) && (1..=12).contains(&month) && (1..=31).contains(&day),
        "expiredate {date:?} is not a date"
    );
    // Days of the civil calendar, counted in years that begin in March, so that a leap day is the last day of a year.
    let year = if month <= 2 { year - 1 } else { year };
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let (era, year) = (year / 400, year % 400);
    Ok(era * 146_097 + year * 365 + year / 4 - year / 100 + of_year - 719_468)
}

/// `NAME RULE` lines; a rule with a line break could hold another user's.
fn write_sudoers(root: &Path, users: &[(&str, &UserEntry)]) -> anyhow::Result<()> {
    let mut text = String::new();
    for (name, entry) in users {
        let rules = match &entry.sudo {
            Value::Array(items) => items.iter().filter_map(text_of).collect(),
            Value::String(rule) if rule.eq_ignore_ascii_case("false") => Vec::new(),
            other => text_of(other).into_iter().collect::<Vec<String>>(),
        };
        for rule in rules {
            ensure!(
                !rule.contains(['\n', '\0']),
                "sudo rule of {name} has a line break"
            );
            text.push_str(&format!("{name} {rule}\n"));
        }
    }
    if text.is_empty() {
        return Ok(());
    }
    let path = root.join("etc/sudoers.d/90-cloud-init-users");
    super::write_files::put(&path, text.as_bytes(), 0o440, (0, 0), false).context("sudo rules")
}

fn text_of(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

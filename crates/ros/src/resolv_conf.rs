//! /etc/resolv.conf of the machine. The service network says what is wanted, dhcpcd's hook what is learnt; both write it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use machine_config::lease_names::DIRECTORY;
use netconf::lease::{Event, Learnt};
use netconf::resolver::{Merged, Resolver};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::lease_hook::lock;

/// The file that every service has mounted.
const RESOLV_CONF: &str = "/etc/resolv.conf";
/// What is wanted, and what is learnt.
const WANTED: &str = "resolver.json";
const LEARNT: &str = "leases.json";
/// Most links with their protocols that are kept.
const MAX_LEARNT: usize = 256;

/// The file, and the directory of what it is made from.
pub(crate) struct ResolvConf {
    directory: PathBuf,
    file: PathBuf,
}

impl Default for ResolvConf {
    fn default() -> Self {
        ResolvConf {
            directory: DIRECTORY.into(),
            file: RESOLV_CONF.into(),
        }
    }
}

impl ResolvConf {
    /// Makes the directory.
    pub(crate) fn make(&self) -> anyhow::Result<()> {
        fs::create_dir_all(&self.directory)
            .with_context(|| format!("cannot create {}", self.directory.display()))
    }

    /// Forgets what an earlier dhcpcd has learnt: the next one says it again. The file stays as it is meanwhile.
    pub(crate) fn forget(&self) -> anyhow::Result<()> {
        self.make()?;
        let _lock = lock(&self.directory)?;
        self.write(LEARNT, &Vec::<Learnt>::new())
    }

    /// Keeps what is wanted, for the hook, and writes the file when the configuration says something about it, or said so
    /// before. Returns servers of it that no resolver asks.
    pub(crate) fn want(&self, resolver: &Resolver) -> anyhow::Result<Vec<String>> {
        let _lock = lock(&self.directory)?;
        let before: Resolver = self.read(WANTED);
        self.write(WANTED, resolver)?;
        if !resolver.is_own() && !resolver.has_waited && !before.is_own() {
            return Ok(Vec::new());
        }
        let merged = self.publish(resolver)?;
        Ok(merged.left_out)
    }

    /// Keeps what an event says, and writes the file again.
    pub(crate) fn learn(&self, event: &Event) -> anyhow::Result<()> {
        let _lock = lock(&self.directory)?;
        let before: Vec<Learnt> = self.read(LEARNT);
        let mut learnt = before.clone();
        learnt.retain(|known| known.link != event.link || known.protocol != event.protocol);
        learnt.extend(event.learnt.clone());
        learnt.sort_by(|a, b| (&a.link, &a.protocol).cmp(&(&b.link, &b.protocol)));
        learnt.truncate(MAX_LEARNT);
        if learnt != before {
            self.write(LEARNT, &learnt)?;
            self.publish(&self.read(WANTED))?;
        }
        Ok(())
    }

    fn publish(&self, resolver: &Resolver) -> anyhow::Result<Merged> {
        let merged = resolver.merge(&self.read::<Vec<Learnt>>(LEARNT));
        let text = merged.text();
        if fs::read_to_string(&self.file).ok().as_deref() != Some(&text) {
            // In place: the file is a mount point in every service.
            fs::write(&self.file, text)
                .with_context(|| format!("cannot write {}", self.file.display()))?;
        }
        Ok(merged)
    }

    /// A file of the directory; nothing when there is none, or it is of another version of this program.
    fn read<T: DeserializeOwned + Default>(&self, name: &str) -> T {
        let text = fs::read(self.directory.join(name)).unwrap_or_default();
        serde_json::from_slice(&text).unwrap_or_default()
    }

    fn write<T: Serialize>(&self, name: &str, value: &T) -> anyhow::Result<()> {
        let path = self.directory.join(name);
        let written = serde_json::to_vec(value)
            .map_err(io::Error::from)
            .and_then(|text| replace(&path, &text));
        written.with_context(|| format!("cannot write {}", path.display()))
    }
}

/// Writes a file that is whole at every moment.
pub(crate) fn replace(path: &Path, text: &[u8]) -> io::Result<()> {
    sys::atomic_file::write(path, &sys::atomic_file::hidden(path), text, 0o644)
        .map_err(|error| error.source)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolv_conf(folder: &Path) -> ResolvConf {
        ResolvConf {
            directory: folder.join("network"),
            file: folder.join("resolv.conf"),
        }
    }

    fn event(link: &str, servers: &[&str]) -> Event {
        let words = [
            ("interface", link.to_owned()),
            ("protocol", "dhcp".to_owned()),
            ("if_configured", "true".to_owned()),
            ("new_domain_name_servers", servers.join(" ")),
        ];
        let state = if servers.is_empty() {
            "if_down"
        } else {
            "if_up"
        };
        Event::new(|name| {
            let known = words.iter().find(|(known, _)| *known == name);
            known
                .map(|(_, value)| value.clone())
                .or((name == state).then(|| "true".to_owned()))
        })
        .unwrap()
    }

    fn servers(folder: &Path) -> Vec<String> {
        let text = fs::read_to_string(folder.join("resolv.conf")).unwrap_or_default();
        let lines = text
            .lines()
            .filter_map(|line| line.strip_prefix("nameserver "));
        lines.map(str::to_owned).collect()
    }

    #[test]
    fn links_add_up_and_what_ends_goes() {
        let folder = tempfile::tempdir().unwrap();
        let file = resolv_conf(folder.path());
        file.forget().unwrap();
        file.learn(&event("eth1", &["10.1.0.1"])).unwrap();
        file.learn(&event("eth0", &["10.0.0.1"])).unwrap();
        assert_eq!(servers(folder.path()), ["10.0.0.1", "10.1.0.1"]);
        file.learn(&event("eth0", &[])).unwrap();
        assert_eq!(servers(folder.path()), ["10.1.0.1"]);
        // dhcpcd starts again: what is there helps until it has said something.
        file.forget().unwrap();
        assert_eq!(servers(folder.path()), ["10.1.0.1"]);
        file.learn(&event("eth0", &["10.0.0.2"])).unwrap();
        assert_eq!(servers(folder.path()), ["10.0.0.2"]);
    }

    #[test]
    fn what_is_wanted_comes_first_and_goes_with_its_key() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("resolv.conf"), "nameserver 9.9.9.9\n").unwrap();
        let file = resolv_conf(folder.path());
        file.forget().unwrap();
        // Nothing is said about it: it stays.
        file.want(&Resolver::default()).unwrap();
        assert_eq!(servers(folder.path()), ["9.9.9.9"]);
        let own = Resolver {
            servers: vec!["10.9.0.1".to_owned()],
            ..Resolver::default()
        };
        file.want(&own).unwrap();
        file.learn(&event("eth0", &["10.0.0.1"])).unwrap();
        assert_eq!(servers(folder.path()), ["10.9.0.1"]);
        file.want(&Resolver::default()).unwrap();
        assert_eq!(servers(folder.path()), ["10.0.0.1"]);
        fs::write(folder.path().join("network").join(LEARNT), "{").unwrap();
        file.learn(&event("eth0", &["10.0.0.3"])).unwrap();
        assert_eq!(servers(folder.path()), ["10.0.0.3"]);
    }
}

//! Docker's data after a power cut: what is damaged is found before dockerd trips over it, and healed one by one.
//!
//! A file can be empty, cut off, full of zeros, or of another kind than it should be. What can be made again from the rest is
//! made again; else its spare of an earlier start takes its place ([`spares`]); else dockerd starts without it. Nothing that was
//! damaged is deleted: it moves to `damaged/DATE` below Docker's data, and a sentence says so. What is in volumes and in
//! the writable layers of containers is neither read nor moved.
//!
//! Which files there are, and what dockerd does with a damaged one, follows Docker 26.1 (daemon/daemon.go, layer/filestore.go,
//! image/fs.go, image/store.go, reference/store.go, volume/local, libnetwork/internal/kvstore) and containerd 1.7.

mod aside;
mod bolt;
mod containers;
mod content;
mod files;
mod fits;
mod images;
mod layers;
mod overlay;
mod pull;
mod settled;
mod spares;
mod volumes;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

pub(super) use pull::{note, pull_again};
pub(super) use settled::watch;

use settled::Settled;
use spares::Spares;

/// Where things are.
#[derive(Debug, Clone)]
pub(super) struct Places {
    /// Docker's data: /var/lib/docker.
    pub(super) data_root: PathBuf,
    /// Its settings: /etc/docker.
    pub(super) etc: PathBuf,
    /// What a dockerd that ended has left: number and socket.
    pub(super) pid_file: PathBuf,
    pub(super) socket: PathBuf,
    /// Copies of small files, on the state disk.
    pub(super) spares: PathBuf,
    /// The text of daemon.json that dockerd last answered with.
    pub(super) daemon_json: Option<String>,
}

/// What was found and done.
#[derive(Debug, Default)]
pub(super) struct Report {
    /// A sentence for each thing.
    pub(super) said: Vec<String>,
    /// Names of images that have lost a layer, and can be pulled again.
    pub(super) lost_images: BTreeSet<String>,
}

/// Looks at everything and heals it; dockerd and its containerd do not run. `stamp` is a name for this time, as `2026-11-29T15-10-21`.
pub(super) fn heal(places: &Places, stamp: &str) -> Report {
    let mut report = Report::default();
    for root in roots(&places.data_root) {
        let spares = Spares::of(&places.spares, &root);
        let settled = Settled::of(&places.spares, &root);
        let mut healer = Healer::new(&root, stamp, spares, settled);
        if root == places.data_root {
            files::of_settings(&mut healer, places);
        }
        files::directories(&mut healer);
        files::of_docker(&mut healer);
        containers::heal(&mut healer);
        images::heal(&mut healer);
        volumes::heal(&mut healer);
        healer.spares.keep();
        if let Err(error) = healer.settled.keep() {
            eprintln!("user-docker: layers are not written down: {error:#}");
        }
        healer.finish(&mut report);
    }
    report
}

/// One run over one directory of Docker's data.
struct Healer {
    root: PathBuf,
    stamp: String,
    spares: Spares,
    settled: Settled,
    said: Vec<String>,
    lost_images: BTreeSet<String>,
}

impl Healer {
    fn new(root: &Path, stamp: &str, spares: Spares, settled: Settled) -> Healer {
        Healer {
            root: root.to_owned(),
            stamp: stamp.to_owned(),
            spares,
            settled,
            said: Vec::new(),
            lost_images: BTreeSet::new(),
        }
    }

    fn say(&mut self, text: String) {
        self.said.push(text);
    }

    /// A file that must fit. A damaged one is set aside and its spare takes its place, or else `lost` says what that costs.
    fn file(&mut self, path: &Path, fits: fits::Fits<'_>, lost: &str) {
        match fits::look(path, fits) {
            Ok(None) => {}
            Ok(Some(())) => self.spares.note(path),
            Err(why) => {
                self.replace(path, &why, fits, lost);
            }
        }
    }

    /// Sets a damaged file aside and puts its spare there; whether there was one that fits.
    fn replace(&mut self, path: &Path, why: &str, fits: fits::Fits<'_>, lost: &str) -> bool {
        let spare = self.spares.read(path, fits);
        let then = match &spare {
            Some(spare) => format!("it is again as it was on {}", spare.date),
            None => lost.to_owned(),
        };
        if !self.set_aside(path, why, &then) {
            return false;
        }
        match spare {
            Some(spare) => self.write(path, &spare.bytes),
            None => false,
        }
    }

    /// Writes a file that is not there.
    fn write(&mut self, path: &Path, bytes: &[u8]) -> bool {
        match cloud_init::store::write_atomic(path, bytes, 0o600) {
            Ok(()) => true,
            Err(error) => {
                self.say(format!("{}: {error}", path.display()));
                false
            }
        }
    }

    /// Writes a file again from what is known elsewhere.
    fn mend(&mut self, path: &Path, why: &str, content: &str) -> bool {
        let there = fs::symlink_metadata(path).is_ok();
        if there && !self.set_aside(path, why, "it was made again") {
            return false;
        }
        if !there {
            self.say(format!("{} {why}: it was made again", path.display()));
        }
        self.write(path, content.as_bytes())
    }
}

/// Docker's data, and with userns-remap the directories UID.GID in it, in each of which dockerd keeps all.
fn roots(data_root: &Path) -> Vec<PathBuf> {
    let remapped = entries(data_root);
    let remapped = remapped.into_iter().filter(|path| is_remapped(path));
    [data_root.to_owned()].into_iter().chain(remapped).collect()
}

/// What is in a directory, by name; nothing when it cannot be read.
fn entries(directory: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = fs::read_dir(directory)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .collect();
    paths.sort();
    paths
}

fn name(path: &Path) -> String {
    path.file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default()
}

fn is_remapped(path: &Path) -> bool {
    let number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    path.is_dir()
        && name(path)
            .split_once('.')
            .is_some_and(|(uid, gid)| number(uid) && number(gid))
}

/// An id of a container or an image, a layer's digest without its algorithm: 64 digits.
fn is_id(text: &str) -> bool {
    text.len() == 64
        && text
            .bytes()
            .all(|byte| byte.is_ascii_digit() || matches!(byte, b'a'..=b'f'))
}

/// As people are shown ids.
fn short(id: &str) -> &str {
    id.get(..12).unwrap_or(id)
}

#[cfg(test)]
mod tests;

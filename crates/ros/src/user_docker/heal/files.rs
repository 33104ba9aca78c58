//! Files and directories that are there once: tables.

use std::fs;
use std::path::Path;

use super::fits::{self, Fits, kind_of};
use super::{Healer, Places, entries, name};

/// A file below Docker's data, what it must be, and what its loss costs.
struct Row(&'static str, Fits<'static>, &'static str);

const BUILDER: &str = "the builder's cache begins empty";
const CONTAINERD: &str = "containerd begins empty; images of its store must be pulled again";

/// `*` stands for any one name.
#[rustfmt::skip]
const FILES: &[Row] = &[
    Row("engine-id",                                               &fits::text,     "Docker gives itself another id"),
    Row("containerd/daemon/io.containerd.metadata.v1.bolt/meta.db", &fits::database, CONTAINERD),
    Row("containerd/daemon/*/metadata.db",                         &fits::database, CONTAINERD),
    Row("network/files/local-kv.db",                               &fits::database, "networks that were made here must be made again: docker network create"),
    Row("volumes/metadata.db",                                     &fits::database, "volumes are there, without their labels"),
    Row("buildkit/cache.db",                                       &fits::database, BUILDER),
    Row("buildkit/containerdmeta.db",                              &fits::database, BUILDER),
    Row("buildkit/history.db",                                     &fits::database, "the builder's history is lost"),
    Row("buildkit/metadata_v2.db",                                 &fits::database, BUILDER),
    Row("buildkit/metadata.db",                                    &fits::database, BUILDER),
    Row("buildkit/snapshots.db",                                   &fits::database, BUILDER),
    Row("swarm/docker-state.json",                                 &fits::object,   "this node has left its swarm: docker swarm join"),
    Row("swarm/state.json",                                        &json,           "this node looks for its managers again"),
    Row("swarm/worker/tasks.db",                                   &fits::database, "the swarm gives this node its tasks again"),
];

/// Directories that dockerd and containerd make when they are missing, and do not start with a file in place of.
const DIRECTORIES: &[&str] = &[
    "buildkit",
    "buildkit/content",
    "buildkit/executor",
    "containerd",
    "containerd/daemon",
    "containerd/daemon/*",
    "containers",
    "image",
    "image/*",
    "image/*/distribution",
    "image/*/distribution/diffid-by-digest",
    "image/*/distribution/v2metadata-by-diffid",
    "image/*/imagedb",
    "image/*/imagedb/content",
    "image/*/imagedb/content/sha256",
    "image/*/imagedb/metadata",
    "image/*/imagedb/metadata/sha256",
    "image/*/layerdb",
    "image/*/layerdb/mounts",
    "image/*/layerdb/sha256",
    "image/*/layerdb/tmp",
    "network",
    "network/files",
    "overlay2",
    "overlay2/l",
    "plugins",
    "plugins/storage",
    "plugins/tmp",
    "runtimes",
    "swarm",
    "swarm/certificates",
    "swarm/worker",
    "tmp",
    "volumes",
];

fn json(bytes: &[u8]) -> Result<(), String> {
    fits::value(bytes).map(drop)
}

/// What must be a directory and is not goes; a link to one is fine, and one to nowhere may be a disk that is missing now.
pub(super) fn directories(healer: &mut Healer) {
    for pattern in DIRECTORIES {
        for path in matching(&healer.root, pattern) {
            match fs::metadata(&path) {
                Ok(metadata) if metadata.is_dir() => {}
                // containerd's own directory has files of the same depth on other systems.
                Ok(metadata) => {
                    let why = format!(
                        "it is {} and not a directory",
                        kind_of(metadata.file_type())
                    );
                    healer.set_aside(&path, &why, "");
                }
                Err(error) if fs::symlink_metadata(&path).is_ok() => {
                    healer.say(format!("{} leads nowhere: {error}", path.display()));
                }
                Err(_) => {}
            }
        }
    }
}

/// The files of the table, and what interrupted writes have left next to them.
pub(super) fn of_docker(healer: &mut Healer) {
    for Row(pattern, fits, lost) in FILES {
        for path in matching(&healer.root, pattern) {
            healer.file(&path, fits, lost);
        }
    }
    for pattern in [".", "network/files", "swarm", "image/*"] {
        for directory in matching(&healer.root, pattern) {
            healer.clear_temporary(&directory);
        }
    }
    // What dockerd of a plugin that it cannot read would delete is only said: its data is there.
    for directory in entries(&healer.root.join("plugins")) {
        let path = directory.join("config.json");
        match fits::look(&path, &fits::object) {
            Ok(None) => {}
            Ok(Some(())) => healer.spares.note(&path),
            Err(why) => plugin(healer, &path, &why),
        }
    }
}

fn plugin(healer: &mut Healer, path: &Path, why: &str) {
    if healer.spares.read(path, &fits::object).is_some() {
        healer.replace(path, why, &fits::object, "");
    } else {
        healer.say(format!(
            "{} is damaged ({why}): Docker goes on without this plugin; its data is still there",
            path.display()
        ));
    }
}

/// /etc/docker, and what a dockerd that ended has left.
pub(super) fn of_settings(healer: &mut Healer, places: &Places) {
    if fs::metadata(&places.etc).is_ok_and(|metadata| !metadata.is_dir()) {
        healer.set_aside(
            &places.etc,
            "it is not a directory",
            "Docker's settings are lost",
        );
    }
    healer.clear_temporary(&places.etc);
    settings(healer, places);
    healer.file(
        &places.etc.join("key.json"),
        &fits::object,
        "Docker gives itself another key",
    );
    leftovers(healer, places);
}

/// daemon.json is its owner's: an error in what he wrote stays, and dockerd runs with what it last answered with (`last_good`).
fn settings(healer: &mut Healer, places: &Places) {
    let path = places.etc.join("daemon.json");
    let fits = |bytes: &[u8]| match fits::text(bytes) {
        // dockerd takes a file of blanks for one without settings.
        Err(_) if !bytes.is_empty() && bytes.trim_ascii().is_empty() => Ok(()),
        fitting => fitting,
    };
    let found = fits::content(&path).and_then(|bytes| match bytes {
        Some(bytes) => fits(&bytes).map(|()| Some(bytes)),
        None => Ok(None),
    });
    match found {
        Err(why) => match places
            .daemon_json
            .as_deref()
            .filter(|text| !text.trim().is_empty())
        {
            Some(good) => {
                if healer.set_aside(&path, &why, "it is again what Docker last ran with") {
                    healer.write(&path, good.as_bytes());
                }
            }
            None => {
                healer.set_aside(&path, &why, "Docker runs without it");
            }
        },
        Ok(Some(bytes)) => {
            if let Err(error) = fits::value(&bytes) {
                healer.say(format!(
                    "{} is not what Docker can read ({error}): it stays as it is, and Docker runs with its last good settings",
                    path.display()
                ));
            }
        }
        Ok(None) => {}
    }
}

/// A number that is another process's by now, or none; a directory where the socket is to be, which `docker run -v` makes when
/// Docker's socket is not there.
fn leftovers(healer: &mut Healer, places: &Places) {
    let path = &places.pid_file;
    let number = fits::content(path).map(|bytes| {
        bytes.map(|bytes| {
            std::str::from_utf8(&bytes)
                .ok()
                .and_then(|text| text.trim().parse::<u32>().ok())
        })
    });
    match number {
        Ok(None) => {}
        Ok(Some(Some(pid))) if is_dockerd(pid) => {}
        Ok(Some(_)) => {
            // Not said: this is what every SIGKILL leaves.
            if let Err(error) = fs::remove_file(path) {
                healer.say(format!("cannot remove {}: {error}", path.display()));
            }
        }
        Err(why) => {
            healer.set_aside(path, &why, "");
        }
    }
    let is_directory = fs::symlink_metadata(&places.socket).is_ok_and(|found| found.is_dir());
    // One that is not empty is somebody's.
    if is_directory && fs::remove_dir(&places.socket).is_err() {
        healer.set_aside(&places.socket, "it is a directory", "");
    }
}

fn is_dockerd(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.trim() == "dockerd")
}

/// Paths that are there, for a pattern with `*` as whole names.
pub(super) fn matching(root: &Path, pattern: &str) -> Vec<std::path::PathBuf> {
    let mut paths = vec![root.to_owned()];
    for part in pattern.split('/') {
        paths = match part {
            "." => paths,
            "*" => paths.iter().flat_map(|path| entries(path)).collect(),
            part => paths.iter().map(|path| path.join(part)).collect(),
        };
    }
    paths.retain(|path| fs::symlink_metadata(path).is_ok() && !name(path).starts_with(".tmp-"));
    paths
}

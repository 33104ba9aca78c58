//! A directory for each container: what it is, how it runs, what it has said (daemon/container.go, container/container.go).

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use serde_json::Value;

use super::fits;
use super::{Healer, entries, is_id, name, short};

/// Written again when the container starts, unless something else is in their place.
const WRITTEN_ANEW: [&str; 4] = ["hostname", "hosts", "resolv.conf", "resolv.conf.hash"];
/// The end of a log that is looked at, in bytes: ext4 writes no more at once by itself.
const TAIL_BYTES: u64 = 8 << 20;

pub(super) fn heal(healer: &mut Healer) {
    for path in entries(&healer.root.join("containers")) {
        if !path.is_dir() {
            healer.set_aside(&path, "it is not a directory", "");
        } else if is_id(&name(&path)) {
            one(healer, &path);
        }
    }
}

fn one(healer: &mut Healer, directory: &Path) {
    let id = name(directory);
    healer.clear_temporary(directory);
    let config = directory.join("config.v2.json");
    let fits = |bytes: &[u8]| is_config(bytes, &id);
    let found =
        fits::look(&config, &fits).and_then(|found| found.ok_or("it is missing".to_owned()));
    match found {
        Ok(()) => healer.spares.note(&config),
        Err(why) if healer.spares.read(&config, &fits).is_some() => {
            if fs::symlink_metadata(&config).is_ok() {
                healer.replace(&config, &why, &fits, "");
            } else {
                healer.put_spare_back(&config, &fits);
            }
        }
        Err(why) => {
            let then = format!(
                "container {} is lost; what it has written is still there, see {}",
                short(&id),
                written(healer, &id)
            );
            healer.set_aside(directory, &format!("its config.v2.json: {why}"), &then);
            return;
        }
    }
    let called = called(&config, &id);
    let lost = format!(
        "container {called} has lost its ports, limits and restart policy and does not start: save what it has by docker cp, and make it again"
    );
    healer.file(&directory.join("hostconfig.json"), &fits::object, &lost);
    for file in WRITTEN_ANEW {
        let path = directory.join(file);
        if fs::symlink_metadata(&path).is_ok_and(|found| !found.is_file()) {
            healer.set_aside(&path, "it is not a file", "it is made again");
        }
    }
    log(healer, &directory.join(format!("{id}-json.log")), &called);
}

fn is_config(bytes: &[u8], id: &str) -> Result<(), String> {
    let value = fits::value(bytes)?;
    if value.get("ID").and_then(Value::as_str) == Some(id) {
        Ok(())
    } else {
        Err("it is not this container's".to_owned())
    }
}

/// The container's name for people.
pub(super) fn called(config: &Path, id: &str) -> String {
    let value = fs::read(config)
        .ok()
        .and_then(|bytes| fits::value(&bytes).ok());
    value
        .as_ref()
        .and_then(|value| value.get("Name")?.as_str())
        .map_or_else(
            || short(id).to_owned(),
            |name| name.trim_start_matches('/').to_owned(),
        )
}

/// Where the writable layer of a container is, as far as that can be known.
fn written(healer: &Healer, id: &str) -> String {
    super::files::matching(
        &healer.root,
        &format!("image/*/layerdb/mounts/{id}/mount-id"),
    )
    .first()
    .and_then(|path| fs::read_to_string(path).ok())
    .filter(|mount| is_id(mount.trim()))
    .map_or_else(
        || healer.root.join("overlay2").display().to_string(),
        |mount| {
            let path = healer.root.join("overlay2").join(mount.trim());
            path.join("diff").display().to_string()
        },
    )
}

/// A log whose end is zeros: `docker logs` stops at them. Its length was written, and its last lines were not.
fn log(healer: &mut Healer, path: &Path, called: &str) {
    let Ok(metadata) = fs::symlink_metadata(path) else {
        return;
    };
    if !metadata.is_file() {
        healer.set_aside(path, "it is not a file", "the container's log begins again");
        return;
    }
    match zeros_at_end(path, metadata.len()) {
        Ok(0) => {}
        Ok(zeros) => {
            let cut = File::options()
                .write(true)
                .open(path)
                .and_then(|file| file.set_len(metadata.len() - zeros));
            match cut {
                Ok(()) => healer.say(format!(
                    "the log of container {called} ended in {zeros} zeros: they were cut off"
                )),
                Err(error) => healer.say(format!("{}: {error}", path.display())),
            }
        }
        Err(error) => healer.say(format!("{}: {error}", path.display())),
    }
}

fn zeros_at_end(path: &Path, length: u64) -> std::io::Result<u64> {
    const PART: u64 = 64 << 10;
    let file = File::open(path)?;
    let mut zeros = 0;
    while zeros < length.min(TAIL_BYTES) {
        let end = length - zeros;
        let part = end.min(PART);
        let mut bytes = vec![0; usize::try_from(part).unwrap_or(0)];
        file.read_exact_at(&mut bytes, end - part)?;
        let here = bytes.iter().rev().take_while(|byte| **byte == 0).count() as u64;
        zeros += here;
        if here < part {
            break;
        }
    }
    Ok(zeros)
}

//! Formatting: only a disk that was named in `rancher.state.autoformat` and that is blank: no known file system, no
//! partitions and a first MiB of zeros.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use anyhow::Context;
use sys::blockdev;

use super::{CHECK_DEADLINE, LABEL, reserve};
use crate::log;
use crate::machine::Machine;
use crate::toolbox::Toolbox;

/// How much of a disk must be zeros before it counts as blank.
const BLANK_BYTES: usize = 1 << 20;

/// What docker-machine writes on a disk that boot2docker is to format. Here a disk with that text is not formatted.
const BOOT2DOCKER: &[u8] = b"boot2docker, please format-me";

/// Formats the first blank disk of the list, as the user asked.
pub(super) fn format_blank(
    machine: &Machine,
    devices: &[String],
) -> anyhow::Result<Option<PathBuf>> {
    for name in devices {
        let path = PathBuf::from(name);
        if !path.exists() {
            continue;
        }
        if !is_blank(&path)? {
            log::warning(&format!("state: {name} is not blank: it is left as it is"));
            if begins_with(&path, BOOT2DOCKER) {
                log::warning(&format!(
                    "state: {name} asks boot2docker to format it, which needs its archive of keys unpacked: this system \
                     uses a disk of the label B2D_STATE and makes none"
                ));
            }
            continue;
        }
        log::info(&format!("state: formatting {name}"));
        let reserved = reserve::percent(length_of(&path)?);
        let arguments = ["-q", "-F", "-t", "ext4", "-m", &reserved, "-L", LABEL, name];
        Toolbox::open(machine)?
            .run("mke2fs", &arguments, CHECK_DEADLINE)?
            .success("mke2fs")?;
        return Ok(Some(path));
    }
    Ok(None)
}

/// Whether a disk begins with these bytes.
fn begins_with(device: &Path, words: &[u8]) -> bool {
    let mut start = vec![0; words.len()];
    let read = File::open(device).and_then(|mut file| file.read_exact(&mut start));
    read.is_ok() && start == words
}

/// Whether a whole disk has nothing on it that anybody could miss.
fn is_blank(device: &Path) -> anyhow::Result<bool> {
    let has_partitions = blockdev::list()
        .iter()
        .any(|other| other.parent.as_deref() == Some(device));
    if has_partitions || blockdev::probe(device).is_some() {
        return Ok(false);
    }
    let length = length_of(device)?;
    let mut start = vec![0; BLANK_BYTES];
    start.truncate(
        usize::try_from(length)
            .unwrap_or(BLANK_BYTES)
            .min(BLANK_BYTES),
    );
    File::open(device)
        .and_then(|mut file| file.read_exact(&mut start))
        .with_context(|| format!("cannot read {}", device.display()))?;
    Ok(!start.is_empty() && start.iter().all(|byte| *byte == 0))
}

fn length_of(device: &Path) -> anyhow::Result<u64> {
    File::open(device)
        .and_then(|mut file| file.seek(SeekFrom::End(0)))
        .with_context(|| format!("cannot size {}", device.display()))
}

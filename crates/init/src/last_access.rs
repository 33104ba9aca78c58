//! A boot without state: what let the owner in last time is the lowest layer of the machine's own configuration.
//!
//! `ros` keeps it with the versions of the system (crate ros, `os/access.rs`), whose partition is sound when the state's is not.

use std::fs;
use std::io::Read;
use std::path::Path;

use anyhow::Context;

use crate::log;
use crate::machine::Machine;

/// What `ros` keeps.
const KEPT: &str = "/run/rancher/os/access.yml";
/// Its place in RAM, where all programs read configuration: first by name, so that everything else wins over it.
const TARGET: &str = "/var/lib/rancher/conf/cloud-config.d/00-last-access.yml";
/// Keys, a host name and networks have less.
const LONGEST_BYTES: u64 = 256 << 10;

/// Puts it in place when the machine has no state.
pub(crate) fn take(machine: &Machine) -> anyhow::Result<()> {
    if machine.state.is_some() {
        return Ok(());
    }
    if copy(Path::new(KEPT), Path::new(TARGET))? {
        log::info(
            "configuration: there is no state: keys and network are those of the last boot that had it",
        );
    }
    Ok(())
}

fn copy(kept: &Path, target: &Path) -> anyhow::Result<bool> {
    let is_file = fs::symlink_metadata(kept).is_ok_and(|metadata| metadata.is_file());
    if !is_file {
        return Ok(false);
    }
    let mut text = Vec::new();
    fs::File::open(kept)
        .and_then(|file| file.take(LONGEST_BYTES).read_to_end(&mut text))
        .with_context(|| format!("cannot read {}", kept.display()))?;
    let parent = target.parent().unwrap_or(target);
    fs::create_dir_all(parent)
        .and_then(|()| fs::write(target, text))
        .with_context(|| format!("cannot write {}", target.display()))?;
    sys::fs::set_mode(target, 0o600)?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_kept_becomes_a_file_of_the_configuration() {
        let folder = tempfile::tempdir().expect("a folder");
        let (kept, target) = (folder.path().join("kept"), folder.path().join("a/b.yml"));
        assert!(!copy(&kept, &target).expect("nothing to do"));
        fs::write(&kept, "hostname: node").expect("written");
        assert!(copy(&kept, &target).expect("copied"));
        assert_eq!(fs::read_to_string(&target).expect("read"), "hostname: node");
    }
}

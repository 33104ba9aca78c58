//! Mounts and swap of entries that the configuration does not have any more: a mount below /mnt or /media is the machine's, and
//! does not end with the console that made it.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, bail};
use sys::mount::{MountEntry, mount_of, mountinfo};
use sys::process::Command;

use super::present::is_there;
use super::swap::swap_off;
use super::{DEADLINE, Entry, succeed};

/// The entries that the last console of this boot had.
const RECORD: &str = "/run/rancher/console-mounts.json";

/// The entries that the last console of this boot had, if there was one.
pub(super) fn recorded() -> Option<Vec<Entry>> {
    serde_json::from_slice(&fs::read(RECORD).ok()?).ok()
}

/// Takes away what an earlier console of this boot has mounted and nobody asks for any more; what could not be.
pub(crate) fn take_away(now: &[Entry]) -> Vec<String> {
    let record = Path::new(RECORD);
    let earlier = recorded().unwrap_or_default();
    let mut errors = Vec::new();
    for entry in gone(&earlier, now) {
        let what = || format!("{} is not asked for any more", entry.place());
        errors.extend(
            end(entry)
                .with_context(what)
                .err()
                .map(|error| format!("{error:#}")),
        );
    }
    // Before they are mounted: what is cut off here is not forgotten.
    let kept = serde_json::to_vec(now)
        .map_err(anyhow::Error::from)
        .and_then(|text| Ok(cloud_init::store::write_atomic(record, &text, 0o600)?));
    errors.extend(
        kept.err()
            .map(|error| format!("they are not noted: {error:#}")),
    );
    errors
}

/// The last one first: it may be below another. An entry with other options is another one.
fn gone<'e>(earlier: &'e [Entry], now: &[Entry]) -> Vec<&'e Entry> {
    let gone = earlier.iter().filter(|entry| !now.contains(entry));
    gone.rev().collect()
}

fn end(entry: &Entry) -> anyhow::Result<()> {
    if entry.kind == "swap" {
        return swap_off(&entry.source);
    }
    if !is_there(entry) {
        return Ok(()); // it ended with its console
    }
    if mountinfo().is_ok_and(|table| is_volume(Path::new(&entry.target), &table)) {
        bail!("it goes at the next boot");
    }
    let mut command = Command::new("umount").deadline(DEADLINE);
    if entry.is_remote() {
        // A server that is away is not asked.
        command = command.arg("-l");
    }
    succeed(&command.arg(&entry.target))
}

/// Whether the mount at a place stands on the console's root itself. A new console has nothing there but its volumes: a disk at /mnt,
/// which is shared, is its volume /mnt then, and without it the image's directory would be there.
fn is_volume(target: &Path, table: &[MountEntry]) -> bool {
    let root = mount_of(table, Path::new("/")).map(|root| root.id);
    mount_of(table, target).is_some_and(|top| Some(top.parent) == root)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_volume_of_the_console_is_not_taken_away() {
        let mount = |id: u32, parent: u32, target: &str| MountEntry {
            id,
            parent,
            device: format!("8:{id}"),
            root: "/".into(),
            target: target.into(),
            options: "rw".into(),
            propagation: Vec::new(),
            fstype: "ext4".into(),
            source: format!("/dev/sd{id}"),
            super_options: "rw".into(),
        };
        let table = [
            mount(1, 0, "/"),
            mount(2, 1, "/mnt"),
            mount(3, 2, "/mnt/a"),
            mount(4, 1, "/media"),
            mount(5, 4, "/media"),
        ];
        let is_volume = |target: &str| is_volume(Path::new(target), &table);
        assert!(is_volume("/mnt") && is_volume("/mnt/"));
        // These show the volume again when they go.
        assert!(!is_volume("/mnt/a") && !is_volume("/media"));
    }

    #[test]
    fn what_nobody_asks_for_goes_in_the_order_of_leaving() {
        let entry = |target: &str, options: &str| Entry {
            source: "/dev/vdb".to_owned(),
            target: target.to_owned(),
            kind: "ext4".to_owned(),
            options: options.to_owned(),
        };
        let earlier = [
            entry("/mnt/a", "ro"),
            entry("/mnt/b", "ro"),
            entry("/mnt/b/c", "ro"),
        ];
        let now = [entry("/mnt/a", "ro"), entry("/mnt/b", "rw")];
        assert_eq!(gone(&earlier, &now), [&earlier[2], &earlier[1]]);
        assert!(gone(&earlier, &earlier).is_empty() && gone(&[], &now).is_empty());
    }
}

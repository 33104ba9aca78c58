//! Docker's disk: entries of `mounts` that carry Docker's data. User Docker does not start without them, since it would start the
//! containers that the state disk has at that place. Once it has started in a boot they stay as they are until the next one: its
//! containers run on when the console and dockerd are started again, and what they write would be lost below another disk.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use sys::mount::{MountEntry, mountinfo};

use super::{Entry, gone, present};

/// The place of Docker's data since User Docker started in this boot.
const STARTED: &str = "/run/rancher/user-docker-data";

/// Notes that User Docker starts with its data at `data`.
///
/// # Errors
/// When the note cannot be written.
pub(crate) fn note_docker(data: &Path) -> anyhow::Result<()> {
    fs::create_dir_all("/run/rancher").context("cannot create /run/rancher")?;
    let text = data.as_os_str().as_encoded_bytes();
    Ok(cloud_init::store::write_atomic(
        Path::new(STARTED),
        text,
        0o600,
    )?)
}

/// The entry that carries `data` and is not mounted in this process's view. Those with the option `nofail` may be absent.
pub(crate) fn missing(mounts: &[Vec<String>], data: &Path) -> Option<String> {
    // What the console mounts can differ from the configuration until the next boot.
    let entries = gone::recorded().unwrap_or_else(|| super::entries(mounts).0);
    // Without the kernel's table nobody knows.
    let table = mountinfo().ok()?;
    let missing = first_missing(&entries, data, &table)?;
    Some(missing.what())
}

fn first_missing<'e>(entries: &'e [Entry], data: &Path, table: &[MountEntry]) -> Option<&'e Entry> {
    let carrying = carrying(entries, data);
    let is_there = |entry: &Entry| present::is_at_place(entry, table);
    let is_hidden = |index: usize| {
        let target = Path::new(&carrying[index].target);
        carrying[index + 1..].iter().any(|later| {
            // What lies below a server's place is mounted after it.
            let covers = target == Path::new(&later.target)
                || target.starts_with(&later.target) && !later.is_remote();
            covers && is_there(later)
        })
    };
    let mut all = carrying.iter().enumerate();
    let found = all.find(|(index, entry)| {
        !entry.options.split(',').any(|option| option == "nofail")
            && !is_there(entry)
            && !is_hidden(*index)
    });
    found.map(|(_, entry)| *entry)
}

/// Those at or above `data`, and those that they are bound from, in the order of the list.
fn carrying<'e>(entries: &'e [Entry], data: &Path) -> Vec<&'e Entry> {
    let mut places = vec![data.to_owned()];
    let mut carrying = Vec::new();
    for entry in entries.iter().rev() {
        let carries = |target: &Path| places.iter().any(|place| place.starts_with(target));
        if entry.target().is_some_and(carries) {
            places.extend(entry.is_bind().then(|| PathBuf::from(&entry.source)));
            carrying.push(entry);
        }
    }
    carrying.reverse();
    carrying
}

/// The entries that this console is to have, and what of the configuration has to wait for a boot.
pub(crate) fn hold(now: Vec<Entry>) -> (Vec<Entry>, Vec<String>) {
    match (gone::recorded(), fs::read_to_string(STARTED)) {
        (Some(earlier), Ok(data)) => held(now, &earlier, Path::new(&data)),
        _ => (now, Vec::new()),
    }
}

/// Whether some of these hold only after a reboot.
pub(crate) fn wait_for_reboot(mounts: &[Vec<String>]) -> bool {
    !hold(super::entries(mounts).0).1.is_empty()
}

fn held(now: Vec<Entry>, earlier: &[Entry], data: &Path) -> (Vec<Entry>, Vec<String>) {
    let (before, asked) = (carrying(earlier, data), carrying(&now, data));
    if before == asked {
        return (now, Vec::new());
    }
    let say = |entry: &Entry, what: &str| {
        let (entry, data) = (entry.what(), data.display());
        format!(
            "{entry} {what} after a reboot: Docker has its data at {data}, and containers may run there"
        )
    };
    let added = asked.iter().filter(|entry| !before.contains(entry));
    let removed = before.iter().filter(|entry| !asked.contains(entry));
    let said = added.map(|entry| say(entry, "holds"));
    let said = said.chain(removed.map(|entry| say(entry, "goes")));
    let said = said.collect();
    // They need nothing of the others, which may lie below them.
    let others = now.iter().filter(|entry| !asked.contains(entry));
    let entries = before.into_iter().chain(others).cloned().collect();
    (entries, said)
}

#[cfg(test)]
mod tests {
    use super::super::entries_of as entries;
    use super::*;

    fn targets(entries: &[Entry]) -> Vec<&str> {
        let targets = entries.iter().map(|entry| entry.target.as_str());
        targets.collect()
    }

    const DATA: &str = "/var/lib/docker";

    #[test]
    fn what_carries_dockers_data_is_at_or_above_it_or_bound_there() {
        let all = entries(&[
            "/dev/sdb /mnt/disk ext4",
            "/dev/sdc /home ext4",
            "/mnt/disk/docker /var/lib/docker none bind",
            "/dev/sdd /var/lib/docker/volumes ext4",
            "/dev/sde /var/lib/dockers ext4",
            "/dev/sdf none swap",
        ]);
        let carrying: Vec<Entry> = carrying(&all, Path::new(DATA))
            .into_iter()
            .cloned()
            .collect();
        assert_eq!(targets(&carrying), ["/mnt/disk", DATA]);
    }

    /// A table with the state's directory at the place, and these file systems on top, one on the other.
    fn table(mounts: &[(&str, &str, &str)]) -> Vec<MountEntry> {
        let mount =
            |id: u32, parent: u32, root: &str, target: &str, rest: (&str, &str)| MountEntry {
                id,
                parent,
                device: format!("0:{id}"),
                root: root.into(),
                target: target.into(),
                options: "rw".into(),
                propagation: Vec::new(),
                fstype: rest.0.into(),
                source: rest.1.into(),
                super_options: "rw".into(),
            };
        let mut table = vec![
            mount(1, 0, "/", "/", ("overlay", "overlay")),
            mount(2, 1, DATA, DATA, ("ext4", "/dev/sda1")),
        ];
        for (target, kind, source) in mounts {
            let parent = table.iter().rev().find(|below| {
                let is_root = below.id == 1;
                is_root || below.target == Path::new(target)
            });
            let (parent, id) = (parent.map_or(1, |below| below.id), table.len() as u32 + 1);
            table.push(mount(id, parent, "/", target, (kind, source)));
        }
        table
    }

    #[test]
    fn docker_waits_for_what_carries_its_data() {
        let missing = |lines: &[&str], mounts: &[(&str, &str, &str)]| {
            let all = entries(lines);
            let missing = first_missing(&all, Path::new(DATA), &table(mounts));
            missing.map(|entry| entry.source.clone())
        };
        let disk = "LABEL=docker /var/lib/docker/ ext4";
        assert_eq!(missing(&[disk], &[]).unwrap(), "LABEL=docker");
        assert_eq!(missing(&[disk], &[(DATA, "ext4", "/dev/x")]), None);
        assert!(missing(&[disk], &[(DATA, "tmpfs", "x")]).is_some());
        assert_eq!(missing(&["/dev/x /home ext4"], &[]), None);
        let optional = "LABEL=docker /var/lib/docker ext4 noatime,nofail";
        assert_eq!(missing(&[optional], &[]), None);
        // In a new console nothing at that place is shared.
        let ram = "tmpfs /var/lib/docker tmpfs";
        assert_eq!(missing(&[ram], &[]).unwrap(), "tmpfs");
        assert_eq!(missing(&[ram], &[(DATA, "tmpfs", "tmpfs")]), None);
        let server = "nas:/docker /var/lib/docker nfs";
        assert_eq!(missing(&[server], &[]).unwrap(), "nas:/docker");
        assert_eq!(missing(&[server], &[(DATA, "nfs4", "nas:/docker")]), None);
        // The second one hides the first one when it is there.
        let both = ["nas:/docker /var/lib/docker nfs", optional];
        assert_eq!(missing(&both, &[]).unwrap(), "nas:/docker");
        assert_eq!(missing(&both, &[(DATA, "ext4", "/dev/x")]), None);
    }

    #[test]
    fn the_place_of_dockers_data_changes_only_at_a_boot() {
        let check = |earlier: &[&str], now: &[&str], wanted: &[&str], words: &[&str]| {
            let (all, said) = held(entries(now), &entries(earlier), Path::new(DATA));
            assert_eq!(all, entries(wanted), "{now:?}");
            assert_eq!(said.len(), words.len(), "{said:?}");
            for (sentence, words) in said.iter().zip(words) {
                assert!(sentence.contains(words), "{sentence}");
            }
        };
        let (a, b) = ("/dev/a /var/lib/docker ext4", "/dev/b /var/lib/docker ext4");
        let (mnt, home) = ("/dev/c /mnt/c ext4", "/dev/d /home ext4");
        check(
            &[mnt],
            &[mnt, a],
            &[mnt],
            &["/dev/a on /var/lib/docker holds"],
        );
        check(&[a, mnt], &[home], &[a, home], &["goes after a reboot"]);
        check(&[a], &[mnt, b], &[a, mnt], &["/dev/b", "/dev/a"]);
        check(&[mnt, a], &[home, a], &[home, a], &[]);
        let swap = "/dev/e none swap";
        check(&[swap], &[home], &[home], &[]);
    }
}

//! `mounts` and `swap`: file systems and swap of the configuration, in the console's view and so in User Docker's.

mod all;
mod cifs;
mod docker;
mod gone;
mod nfs;
mod present;
mod server;
mod swap;

pub(super) use self::all::mount_all;
pub(crate) use self::docker::{hold, missing, note_docker, wait_for_reboot};
pub(super) use self::gone::take_away;
pub(super) use self::server::Away;
pub(super) use self::swap::swap_file;

use std::path::{Component, Path};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use config::cloud_config::Swap;
use serde::{Deserialize, Serialize};
use sys::process::Command;

/// Longest run of one mount: a disk that spins up, or a server that does not answer.
const DEADLINE: Duration = Duration::from_secs(90);

/// File systems that are on another machine.
const REMOTE: &[&str] = &[
    "nfs",
    "nfs4",
    "cifs",
    "smb3",
    "ceph",
    "glusterfs",
    "9p-tcp",
    "fuse.sshfs",
];

/// Where the system itself is: a disk there, or above, would hide it. What the console would write below /var/lib/rancher/conf
/// PID 1 would never read.
const SYSTEM: &[&str] = &[
    "/dev",
    "/etc",
    "/proc",
    "/run/rancher",
    "/sys",
    "/usr/lib/rancher",
    "/usr/share/ros",
    "/var/lib/rancher/conf",
];

fn is_remote(kind: &str) -> bool {
    REMOTE.contains(&kind)
}

/// One entry, with fstab's defaults for what it leaves open (fstab(5)).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entry {
    source: String,
    target: String,
    kind: String,
    options: String,
}

/// The entries of the configuration; those that are none are errors.
pub(crate) fn entries(mounts: &[Vec<String>]) -> (Vec<Entry>, Vec<String>) {
    let mut good = Vec::new();
    let mut bad = Vec::new();
    for words in mounts {
        match entry(words) {
            Ok(entry) => good.push(entry),
            Err(error) => bad.push(format!("[{}]: {error:#}", words.join(", "))),
        }
    }
    (good, bad)
}

/// Entries of lines as in fstab(5), for tests.
#[cfg(test)]
fn entries_of(lines: &[&str]) -> Vec<Entry> {
    let words = lines
        .iter()
        .map(|line| line.split(' ').map(str::to_owned).collect());
    let (entries, bad) = entries(&words.collect::<Vec<_>>());
    assert!(bad.is_empty(), "{bad:?}");
    entries
}

fn entry(words: &[String]) -> anyhow::Result<Entry> {
    let word = |index: usize, default: &str| -> String {
        let text = words.get(index).map_or("", |text| text.trim());
        if text.is_empty() {
            default.to_owned()
        } else {
            text.to_owned()
        }
    };
    let source = word(0, "");
    ensure!(
        !source.is_empty(),
        "expected [device, mount point, file system, options]"
    );
    let kind = word(2, "auto");
    let target = word(1, "");
    ensure!(
        kind == "swap" || target.starts_with('/'),
        "the mount point is not an absolute path"
    );
    if kind != "swap" {
        check_target(Path::new(&target))?;
    }
    Ok(Entry {
        // cloud-init's short names of disks.
        source: if !source.contains(['/', '=', ':']) && Path::new("/dev").join(&source).exists() {
            format!("/dev/{source}")
        } else {
            source
        },
        target,
        kind,
        options: word(3, "defaults"),
    })
}

fn check_target(target: &Path) -> anyhow::Result<()> {
    ensure!(
        !target.components().any(|name| name == Component::ParentDir),
        "the mount point has .."
    );
    let hidden = SYSTEM
        .iter()
        .find(|place| Path::new(place).starts_with(target));
    match hidden {
        Some(place) => bail!("it would hide {place}, which the system needs"),
        None => Ok(()),
    }
}

impl Entry {
    /// The file that is swapped to.
    pub(super) fn of_swap_file(swap: &Swap) -> Option<Entry> {
        Some(Entry {
            source: swap.filename.clone()?,
            target: String::new(),
            kind: "swap".to_owned(),
            options: "defaults".to_owned(),
        })
    }

    /// Where it is, for messages.
    fn place(&self) -> &str {
        if self.kind == "swap" {
            &self.source
        } else {
            &self.target
        }
    }

    /// Whether another machine has to answer first.
    pub(super) fn is_remote(&self) -> bool {
        is_remote(&self.kind) || self.options.split(',').any(|option| option == "_netdev")
    }

    /// Whether it shows a directory at a second place.
    fn is_bind(&self) -> bool {
        let mut options = self.options.split(',');
        options.any(|option| matches!(option, "bind" | "rbind"))
    }

    /// Where it is mounted; swap is nowhere.
    pub(super) fn target(&self) -> Option<&Path> {
        (self.kind != "swap").then_some(Path::new(&self.target))
    }

    /// Its words in messages.
    fn what(&self) -> String {
        if self.kind == "swap" {
            format!("swap {}", self.source)
        } else {
            format!("{} on {}", self.source, self.target)
        }
    }

    /// Mounts it, or swaps to it. Its own mount stays, and what else is there is mounted over: in a console /home and
    /// /var/lib/docker are mounts themselves.
    pub(super) fn mount(&self) -> anyhow::Result<()> {
        if self.kind == "swap" {
            return swap::swap_on(&self.source).with_context(|| self.what());
        }
        if present::is_there(self) {
            return Ok(());
        }
        // Below a home its user may have made a link: nothing is mounted where that leads.
        let target = Path::new(&self.target);
        sys::guarded::Place::make(target)?.make_directory(0o755, (0, 0))?;
        self.mount_now().with_context(|| self.what())
    }

    /// NFS and CIFS have programs that a console may have, and this one has not; the kernel alone can do it.
    fn mount_now(&self) -> anyhow::Result<()> {
        let options = self.options.replace("_netdev", "defaults");
        match self.kind.as_str() {
            "nfs" | "nfs4" if !self.has_helper() => {
                let server = self.source.split_once(":/");
                let (host, _) = server.context("expected server:/path")?;
                let address = nfs::address(host, nfs::PORT)?;
                let mount = |options: &str| self.run_mount(&["-i"], options);
                let taken = nfs::negotiate(&self.kind, &options, address, mount)?;
                if let Some(version) = taken {
                    println!("{} on {}: NFS {version}", self.source, self.target);
                }
                Ok(())
            }
            "cifs" | "smb3" if !self.has_helper() => {
                cifs::mount(&self.source, &self.target, &self.kind, &options)
            }
            _ => self.run_mount(&[], &options),
        }
    }

    fn has_helper(&self) -> bool {
        let program = format!("mount.{}", self.kind);
        let mut folders = ["/sbin", "/usr/sbin"].iter();
        folders.any(|folder| Path::new(folder).join(&program).exists())
    }

    fn run_mount(&self, arguments: &[&str], options: &str) -> anyhow::Result<()> {
        let mut command = Command::new("mount").args(arguments).deadline(DEADLINE);
        if self.kind != "auto" && self.kind != "none" {
            command = command.args(["-t", &self.kind]);
        }
        // The words of its errors are read.
        let command = command.env("LC_ALL", "C");
        succeed(&command.args(["-o", options, &self.source, &self.target]))
    }
}

/// Runs a program that must succeed; its own words are the error.
pub(super) fn succeed(command: &Command) -> anyhow::Result<()> {
    let output = command.run()?;
    if !output.status.success() {
        let words = String::from_utf8_lossy(&output.stderr);
        bail!("{}", last_words(&words));
    }
    Ok(())
}

/// The last line that says something; mount(8) ends with a hint at dmesg(1), mount.cifs(8) with one at its manual.
fn last_words(text: &str) -> &str {
    const HINTS: [&str; 2] = ["dmesg(1)", "Refer to the "];
    let lines = text.lines().map(str::trim);
    let says = |line: &&str| !line.is_empty() && !HINTS.iter().any(|hint| line.starts_with(hint));
    let mut lines = lines.filter(says);
    lines.next_back().unwrap_or("it failed")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split(' ').map(|word| word.replace('_', "")).collect()
    }

    #[test]
    fn an_entry_takes_fstabs_defaults() {
        let entry = |text: &str| {
            entry(&words(text))
                .map(|e| format!("{} {} {} {}", e.source, e.target, e.kind, e.options))
        };
        for (text, want) in [
            (
                "/dev/vdb /mnt/a ext4 noatime",
                "/dev/vdb /mnt/a ext4 noatime",
            ),
            ("/dev/vdb /mnt/a", "/dev/vdb /mnt/a auto defaults"),
            ("LABEL=S _ swap", "LABEL=S  swap defaults"),
            ("srv:/x /mnt/x nfs4 _ 0 0", "srv:/x /mnt/x nfs4 defaults"),
        ] {
            assert_eq!(entry(text).unwrap(), want, "{text}");
        }
        assert!(entry("/dev/vdb mnt").is_err());
        assert!(entry("_ /mnt").is_err());
    }

    #[test]
    fn what_the_system_needs_is_not_hidden() {
        for target in [
            "/",
            "/run/",
            "//run",
            "/var/lib/rancher",
            "/usr",
            "/etc",
            "/a/../etc",
        ] {
            let error = entry(&["/dev/vdb", target].map(str::to_owned)).unwrap_err();
            let error = error.to_string();
            assert!(
                error.contains("hide") || error.contains(".."),
                "{target}: {error}"
            );
        }
        for target in [
            "/home",
            "/var/lib/docker",
            "/var/lib/rancher/preload",
            "/dev/shm",
            "/usr/local",
        ] {
            entry(&["/dev/vdb", target].map(str::to_owned)).unwrap();
        }
    }

    #[test]
    fn servers_are_told_from_disks() {
        let remote = |text: &str| entry(&words(text)).unwrap().is_remote();
        assert!(remote("srv:/x /mnt nfs"));
        assert!(
            entry(&["/dev/vdb", "/mnt", "ext4", "ro,_netdev"].map(str::to_owned))
                .unwrap()
                .is_remote()
        );
        assert!(!remote("/dev/vdb /mnt ext4"));
    }

    /// Unmounts what a test has mounted, however it ends.
    struct Unmounted(std::path::PathBuf);

    impl Drop for Unmounted {
        fn drop(&mut self) {
            use sys::mount::{UnmountFlags, unmount};
            while unmount(&self.0, UnmountFlags::DETACH).is_ok() {}
        }
    }

    /// The state's directory is at the place, then an earlier console's mount is.
    #[test]
    #[ignore = "needs root: cargo test -- --include-ignored"]
    fn an_entry_is_mounted_over_a_bind_and_once() {
        use sys::mount::{MountFlags, Propagation};
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        let _unmounted = Unmounted(root.clone());
        sys::mount::mount("none", &root, "tmpfs", MountFlags::empty(), "").unwrap();
        sys::mount::set_propagation(&root, Propagation::Shared, false).unwrap();
        let at = |name: &str| root.join(name).display().to_string();
        for name in ["state", "place", "other"] {
            std::fs::create_dir(at(name)).unwrap();
        }
        sys::mount::bind(at("state"), at("place"), false).unwrap();
        let count = || {
            let mounts = sys::mount::mountinfo().unwrap();
            let all = mounts.iter();
            all.filter(|mount| mount.target == Path::new(&at("place")))
                .count()
        };
        let entry = |words: [&str; 4]| entry(&words.map(str::to_owned)).unwrap();
        let (place, other) = (at("place"), at("other"));
        let virtual_one = entry(["mine", &place, "tmpfs", "size=1M"]);
        let bound = entry([&other, &place, "none", "bind"]);
        for (entry, then) in [
            (&virtual_one, 2),
            (&virtual_one, 2),
            (&bound, 3),
            (&bound, 3),
        ] {
            entry.mount().unwrap();
            assert_eq!(count(), then, "{entry:?}");
        }
        std::fs::write(root.join("other/file"), "").unwrap();
        assert!(root.join("place/file").exists());
    }

    #[test]
    fn what_a_program_says_is_its_last_line_without_hints() {
        let text = "mount: /mnt: mount(2) system call failed: Protocol not supported.\n       dmesg(1) may have more information after failed mount system call.\n";
        assert!(last_words(text).ends_with("Protocol not supported."));
        assert_eq!(last_words("\n"), "it failed");
    }
}

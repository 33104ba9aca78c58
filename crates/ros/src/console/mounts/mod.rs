//! `mounts` and `swap`: file systems and swap of the configuration, in the console's view and so in User Docker's.

mod cifs;
mod gone;
mod nfs;
mod swap;

pub(super) use self::gone::take_away;
pub(super) use self::swap::swap_file;

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use serde::{Deserialize, Serialize};
use sys::process::Command;

/// Longest run of one mount: a disk that spins up, or a server that does not answer.
const DEADLINE: Duration = Duration::from_secs(90);
/// How long a server is tried: the network may come up late.
const SERVER_DEADLINE: Duration = Duration::from_secs(300);
const TRY_AGAIN: Duration = Duration::from_secs(3);

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
        REMOTE.contains(&self.kind.as_str())
            || self.options.split(',').any(|option| option == "_netdev")
    }

    /// Mounts it, or swaps to it; one that is there already stays.
    pub(super) fn mount(&self) -> anyhow::Result<()> {
        let what = || format!("{} on {}", self.source, self.target);
        if self.kind == "swap" {
            return swap::swap_on(&self.source).with_context(|| format!("swap {}", self.source));
        }
        if is_mounted(&self.target) {
            return Ok(());
        }
        // Below a home its user may have made a link: nothing is mounted where that leads.
        let target = Path::new(&self.target);
        sys::guarded::Place::make(target)?.make_directory(0o755, (0, 0))?;
        self.mount_now().with_context(what)
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

    /// As [`Self::mount`], again and again while the server does not answer.
    pub(super) fn mount_patiently(&self) -> anyhow::Result<()> {
        let end = Instant::now() + SERVER_DEADLINE;
        loop {
            match self.mount() {
                Err(_) if Instant::now() < end => std::thread::sleep(TRY_AGAIN),
                result => return result,
            }
        }
    }
}

/// The kernel's table is read: `sys::mount::is_mount_point` asks the file system itself, and an NFS server that is away would hold
/// the console.
fn is_mounted(target: &str) -> bool {
    let target = target.trim_end_matches('/');
    sys::mount::mountinfo()
        .is_ok_and(|mounts| mounts.iter().any(|mount| mount.target == Path::new(target)))
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

/// The last line that says something; mount(8) ends with a hint at dmesg(1).
fn last_words(text: &str) -> &str {
    let lines = text.lines().map(str::trim);
    let mut lines = lines.filter(|line| !line.is_empty() && !line.starts_with("dmesg(1)"));
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

    #[test]
    fn what_a_program_says_is_its_last_line_without_hints() {
        let text = "mount: /mnt: mount(2) system call failed: Protocol not supported.\n       dmesg(1) may have more information after failed mount system call.\n";
        assert!(last_words(text).ends_with("Protocol not supported."));
        assert_eq!(last_words("\n"), "it failed");
    }
}

//! `mounts` and `swap`: file systems and swap of the configuration, in the console's view and so in User Docker's.

mod cifs;
mod gone;
mod nfs;

pub(super) use self::gone::take_away;

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use config::cloud_config::Swap;
use serde::{Deserialize, Serialize};
use sys::process::Command;

/// Longest run of one mount: a disk that spins up, or a server that does not answer.
const DEADLINE: Duration = Duration::from_secs(90);
/// Making a swap file of some GiB on a slow disk.
const SWAP_DEADLINE: Duration = Duration::from_secs(300);
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
            return swap_on(&self.source).with_context(|| format!("swap {}", self.source));
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

/// Whether a file or device is swapped to; `LABEL=` is not looked up.
fn is_swap(source: &str) -> bool {
    let real = source
        .starts_with('/')
        .then(|| fs::canonicalize(source).ok())
        .flatten();
    let swaps = fs::read_to_string("/proc/swaps").unwrap_or_default();
    real.is_some_and(|path| {
        swaps
            .lines()
            .any(|line| line.split_ascii_whitespace().next() == path.to_str())
    })
}

fn swap_on(source: &str) -> anyhow::Result<()> {
    if is_swap(source) {
        return Ok(());
    }
    match succeed(&Command::new("swapon").arg(source).deadline(DEADLINE)) {
        // LABEL= that is on already.
        Err(error) if format!("{error:#}").contains("busy") => Ok(()),
        result => result,
    }
}

/// The swap file of `swap`: made once, of the size that it says, and used.
pub(super) fn swap_file(swap: &Swap) -> anyhow::Result<()> {
    let Some(path) = swap.filename.as_deref() else {
        bail!("swap has no filename");
    };
    if !Path::new(path).exists() {
        let bytes = swap_bytes(swap)?;
        if bytes == 0 {
            return Ok(());
        }
        if let Some(parent) = Path::new(path).parent() {
            fs::create_dir_all(parent)
                .with_context(|| format!("cannot create {}", parent.display()))?;
        }
        let made = make_swap(path, bytes);
        if made.is_err() {
            let _ = fs::remove_file(path); // half of it would never be made whole
        }
        made?;
    }
    swap_on(path)
}

fn make_swap(path: &str, bytes: u64) -> anyhow::Result<()> {
    fs::File::create_new(path).with_context(|| format!("cannot create {path}"))?;
    sys::fs::set_mode(Path::new(path), 0o600)?;
    succeed(
        &Command::new("fallocate")
            .args(["-l", &bytes.to_string(), path])
            .deadline(SWAP_DEADLINE),
    )?;
    succeed(&Command::new("mkswap").arg(path).deadline(SWAP_DEADLINE))
}

fn swap_bytes(swap: &Swap) -> anyhow::Result<u64> {
    /// `auto`: as large as the RAM, and not more than this unless `maxsize` says so.
    const MOST: u64 = 2 << 30;
    let size = swap.size.as_deref().unwrap_or("auto");
    if size != "auto" {
        return bytes(size);
    }
    let most = swap
        .maxsize
        .as_deref()
        .map(bytes)
        .transpose()?
        .unwrap_or(MOST);
    let memory = fs::read_to_string("/proc/meminfo").context("cannot read /proc/meminfo")?;
    let total: u64 = memory
        .lines()
        .find_map(|line| {
            line.strip_prefix("MemTotal:")?
                .trim()
                .strip_suffix(" kB")?
                .parse()
                .ok()
        })
        .context("/proc/meminfo has no MemTotal")?;
    Ok((total << 10).min(most))
}

/// A size such as 512M, 1.5G or 1048576, in bytes.
fn bytes(text: &str) -> anyhow::Result<u64> {
    let text = text.trim().trim_end_matches(['B', 'b']);
    let (number, unit) = match text.chars().last() {
        Some('k' | 'K') => (&text[..text.len() - 1], 1_u64 << 10),
        Some('m' | 'M') => (&text[..text.len() - 1], 1 << 20),
        Some('g' | 'G') => (&text[..text.len() - 1], 1 << 30),
        Some('t' | 'T') => (&text[..text.len() - 1], 1 << 40),
        _ => (text, 1),
    };
    let number: f64 = number
        .trim()
        .parse()
        .with_context(|| format!("{text:?} is not a size such as 512M"))?;
    ensure!(
        (0.0..1e15).contains(&(number * unit as f64)),
        "{text:?} is not a size of a file"
    );
    Ok((number * unit as f64) as u64)
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

    #[test]
    fn sizes_are_read() {
        for (text, want) in [
            ("512M", 512 << 20),
            ("1.5G", 3 << 29),
            ("2gb", 2 << 30),
            ("4096", 4096),
        ] {
            assert_eq!(bytes(text).unwrap(), want, "{text}");
        }
        assert!(bytes("much").is_err() && bytes("-1G").is_err());
        let auto = Swap {
            size: Some("auto".into()),
            maxsize: Some("1M".into()),
            filename: None,
        };
        assert_eq!(swap_bytes(&auto).unwrap(), 1 << 20);
    }
}

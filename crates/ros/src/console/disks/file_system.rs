//! `fs_setup`: the file system of a disk or a partition.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use config::cloud_config::FsSetup;
use sys::blockdev::{self, BlockDevice, Kind, Superblock};
use sys::process::Command;

use super::record::{self, Record, Step};
use super::{LOOK_AGAIN, PATIENCE, alone_soon, find, is_blank, partitions, parts_of};
use crate::console::mounts::succeed;

/// Making a file system of some TiB.
const MKFS_DEADLINE: Duration = Duration::from_secs(600);

/// A file system that can be made: what is made must be found again by its superblock, or it would be something else.
struct Maker {
    name: &'static str,
    kind: Kind,
    /// What keeps it from asking, and from telling a disk first that all of it is free, which takes long on some.
    options: &'static [&'static str],
    label: &'static str,
    /// Longest label, in bytes.
    longest: usize,
}

#[rustfmt::skip] // one line a file system, so that it can be read as a table
const MAKERS: &[Maker] = &[
    Maker { name: "btrfs", kind: Kind::Btrfs, options: &["-f", "-K"], label: "-L", longest: 255 },
    Maker { name: "ext2", kind: Kind::Ext4, options: &["-F", "-E", "nodiscard"], label: "-L", longest: 16 },
    Maker { name: "ext3", kind: Kind::Ext4, options: &["-F", "-E", "nodiscard"], label: "-L", longest: 16 },
    Maker { name: "ext4", kind: Kind::Ext4, options: &["-F", "-E", "nodiscard"], label: "-L", longest: 16 },
    Maker { name: "swap", kind: Kind::Swap, options: &["-f"], label: "-L", longest: 15 },
    Maker { name: "vfat", kind: Kind::Vfat, options: &["-I"], label: "-n", longest: 11 },
    Maker { name: "xfs", kind: Kind::Xfs, options: &["-f", "-K"], label: "-L", longest: 12 },
];

pub(super) fn make(name: &str, setup: &FsSetup, record: &mut Record) -> anyhow::Result<()> {
    let wanted = Wanted::new(setup)?;
    let all = blockdev::list();
    let device = find(name, &all)?;
    let partition = setup.partition.as_deref().unwrap_or("none").to_lowercase();
    let is_chosen = matches!(partition.as_str(), "auto" | "any");
    let asked = format!("{partition} {} {}", wanted.maker.name, wanted.label);
    let key = record::key("fs_setup", &device, &asked);
    let known = record.get(&key);
    if matches!(known, Some(Step::Made | Step::Seen)) {
        return Ok(());
    }
    let any_label = partition == "any";
    let target = match partition.as_str() {
        "none" | "false" => device.clone(),
        _ if is_chosen => match wanted.choose(&device, &all, setup, any_label, record)? {
            Some(target) => target,
            None => return record.set(&key, Step::Seen),
        },
        number => numbered(&device, number)?,
    };
    let found = blockdev::probe(&target.path);
    if known.is_none() && wanted.is_there(found.as_ref(), any_label) {
        return record.set(&key, Step::Seen);
    }
    let is_replaced = is_chosen && is_kind(found.as_ref(), setup.replace_fs.as_deref());
    if known.is_none() && setup.overwrite != Some(true) && !is_replaced {
        let is_new = found.is_none() && is_ours(&target, &all, record);
        ensure!(
            is_new || is_blank(&target, &all)?,
            "{} is left alone: something else is on it, and overwrite is not set",
            target.path.display()
        );
    }
    // Nobody else has it; mkfs looks itself
    drop(alone_soon(&target.path)?);
    record.set(&key, Step::Begun)?;
    if let Err(error) = succeed(&wanted.mkfs(setup, &target.path)) {
        // What is there at another boot may be somebody else's by then
        record.forget(&key)?;
        return Err(error.context(format!("{} cannot be formatted", target.path.display())));
    }
    record.set(&key, Step::Made)?;
    println!(
        "fs_setup: {} has {} now",
        target.path.display(),
        wanted.maker.name
    );
    ensure!(
        wanted.is_there(blockdev::probe(&target.path).as_ref(), false),
        "{} was formatted, and is not {} with this label",
        target.path.display(),
        wanted.maker.name
    );
    Ok(())
}

/// A file system, as it is asked for.
struct Wanted<'s> {
    maker: &'static Maker,
    /// Empty for none.
    label: &'s str,
}

impl Wanted<'_> {
    fn new(setup: &FsSetup) -> anyhow::Result<Wanted<'_>> {
        ensure!(
            setup.cmd.is_null(),
            "cmd is not applied, and nothing is formatted: write the command in runcmd"
        );
        let name = setup
            .filesystem
            .as_deref()
            .context("it has no filesystem")?;
        let maker = MAKERS.iter().find(|maker| maker.name == name);
        let maker = maker.with_context(|| {
            let names: Vec<_> = MAKERS.iter().map(|maker| maker.name).collect();
            format!(
                "filesystem is {name:?}, expected one of {}",
                names.join(", ")
            )
        })?;
        let label = setup.label.as_deref().unwrap_or_default();
        ensure!(
            label.len() <= maker.longest,
            "label {label:?} is longer than the {} bytes that {name} has for it",
            maker.longest
        );
        Ok(Wanted { maker, label })
    }

    fn is_there(&self, found: Option<&Superblock>, any_label: bool) -> bool {
        found.is_some_and(|found| {
            let is_label = self.label.is_empty() || found.label.as_deref() == Some(self.label);
            found.kind == self.maker.kind && (any_label || is_label)
        })
    }

    /// `auto` and `any`: what is as asked, which is nothing to do; else what `replace_fs` names, what is blank, or the blank
    /// device.
    fn choose(
        &self,
        device: &BlockDevice,
        all: &[BlockDevice],
        setup: &FsSetup,
        any_label: bool,
        record: &Record,
    ) -> anyhow::Result<Option<BlockDevice>> {
        let candidates: Vec<_> = parts_of(device, all).chain([device]).collect();
        let found: Vec<_> = candidates
            .iter()
            .map(|candidate| blockdev::probe(&candidate.path))
            .collect();
        if found
            .iter()
            .any(|found| self.is_there(found.as_ref(), any_label))
        {
            return Ok(None);
        }
        let replaced = setup.replace_fs.as_deref();
        let mut pairs = candidates.iter().zip(&found);
        if let Some((candidate, _)) = pairs.find(|(_, found)| is_kind(found.as_ref(), replaced)) {
            return Ok(Some((*candidate).clone()));
        }
        for candidate in candidates {
            let is_new = candidate.parent.is_some()
                && is_ours(candidate, all, record)
                && blockdev::probe(&candidate.path).is_none();
            if is_new || is_blank(candidate, all)? {
                return Ok(Some(candidate.clone()));
            }
        }
        bail!("it has nothing that is blank")
    }

    fn mkfs(&self, setup: &FsSetup, device: &Path) -> Command {
        let program = match self.maker.name {
            "swap" => "mkswap".to_owned(),
            name => format!("mkfs.{name}"),
        };
        let mut command = Command::new(program).args(self.maker.options);
        if !self.label.is_empty() {
            command = command.args([self.maker.label, self.label]);
        }
        let options = setup.extra_opts.iter();
        let options = options.flat_map(|option| option.split_whitespace());
        command.args(options).arg(device).deadline(MKFS_DEADLINE)
    }
}

/// Whether a partition is one that `disk_setup` has made in this instance: data without a superblock in it are from before that.
fn is_ours(target: &BlockDevice, all: &[BlockDevice], record: &Record) -> bool {
    let disk = target.parent.as_deref();
    let disk = all.iter().find(|known| Some(known.path.as_path()) == disk);
    disk.is_some_and(|disk| record.get(&partitions::key(disk)) == Some(Step::Made))
}

/// Whether it is what `replace_fs` names, which may be something that cannot be made here, such as `ntfs`.
fn is_kind(found: Option<&Superblock>, name: Option<&str>) -> bool {
    let (Some(found), Some(name)) = (found, name) else {
        return false;
    };
    match MAKERS.iter().find(|maker| maker.name == name) {
        Some(maker) => maker.kind == found.kind,
        None => format!("{:?}", found.kind).eq_ignore_ascii_case(name),
    }
}

/// A partition by its number. It may be gone for a moment, while udevd looks at the disk.
fn numbered(disk: &BlockDevice, number: &str) -> anyhow::Result<BlockDevice> {
    let wanted: u32 = number.parse().with_context(|| {
        format!("partition is {number:?}, expected a number, auto, any or none")
    })?;
    let end = Instant::now() + PATIENCE;
    loop {
        let all = blockdev::list();
        let mut parts = parts_of(disk, &all);
        if let Some(found) = parts.find(|part| part.partition == Some(wanted)) {
            return Ok(found.clone());
        }
        ensure!(Instant::now() < end, "it has no partition {wanted}");
        thread::sleep(LOOK_AGAIN);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setup(kind: &str, label: &str) -> FsSetup {
        FsSetup {
            filesystem: Some(kind.to_owned()),
            label: Some(label.to_owned()),
            extra_opts: vec!["-m 0".to_owned(), "-q".to_owned()],
            ..FsSetup::default()
        }
    }

    #[test]
    fn commands_label_and_do_not_ask() {
        for (kind, want) in [
            ("ext4", ["mkfs.ext4", "-F", "-L"]),
            ("swap", ["mkswap", "-f", "-L"]),
            ("vfat", ["mkfs.vfat", "-I", "-n"]),
            ("xfs", ["mkfs.xfs", "-f", "-L"]),
        ] {
            let setup = setup(kind, "data");
            let wanted = Wanted::new(&setup).unwrap();
            let command = format!("{:?}", wanted.mkfs(&setup, Path::new("/dev/vdb")));
            for word in want
                .into_iter()
                .chain(["data", "-m", "0", "-q", "/dev/vdb"])
            {
                assert!(command.contains(&format!("{word:?}")), "{word}: {command}");
            }
        }
    }

    #[test]
    fn what_is_replaced_need_not_be_one_that_can_be_made() {
        let found = |kind| Superblock {
            kind,
            label: None,
            uuid: None,
        };
        let (ntfs, ext4) = (found(Kind::Ntfs), found(Kind::Ext4));
        assert!(is_kind(Some(&ntfs), Some("ntfs")) && is_kind(Some(&ext4), Some("ext3")));
        assert!(!is_kind(Some(&ntfs), Some("ext4")) && !is_kind(Some(&ntfs), None));
        assert!(!is_kind(None, Some("ntfs")));
    }

    #[test]
    fn what_would_not_be_found_again_is_refused() {
        let refused = |kind: &str, label: &str| Wanted::new(&setup(kind, label)).is_err();
        assert!(refused("minix", "a") && refused("ext4", "seventeen-letters"));
        assert!(!refused("ext4", "sixteen--letters") && !refused("ext4", ""));
        let mut with_command = setup("ext4", "a");
        with_command.cmd = serde_json::json!("mkfs -t ext4 /dev/vdb");
        assert!(Wanted::new(&with_command).is_err());
    }

    #[test]
    #[ignore = "needs mkfs.ext4 and mkswap of this host: cargo test -- --include-ignored"]
    fn what_is_made_is_found_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("disk");
        for (kind, label) in [
            ("ext2", "sixteen--letters"),
            ("ext4", ""),
            ("swap", "fifteen-letters"),
        ] {
            std::fs::File::create(&path)
                .unwrap()
                .set_len(8 << 20)
                .unwrap();
            let mut setup = setup(kind, label);
            setup.extra_opts.clear();
            let wanted = Wanted::new(&setup).unwrap();
            assert!(!wanted.is_there(blockdev::probe(&path).as_ref(), true));
            succeed(&wanted.mkfs(&setup, &path)).unwrap();
            let found = blockdev::probe(&path);
            assert!(wanted.is_there(found.as_ref(), false), "{kind}: {found:?}");
        }
    }
}

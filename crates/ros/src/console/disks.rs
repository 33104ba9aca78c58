//! `disk_setup` and `fs_setup`: partitions and file systems of disks for data. They are read at every boot: what is as asked stays, and
//! something else goes only where `overwrite` says so.

use std::fs::{self, File};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use config::Config;
use config::cloud_config::{DiskSetup, FsSetup};
use install::{Share, Table};
use serde_json::Value;
use sys::blockdev::{self, BlockDevice, Kind, Superblock};
use sys::process::Command;

use super::mounts::succeed;
use super::part;
use crate::install::device::{DiskFile, alone, describe};
use crate::install::write::random_guid;

/// Making a file system of some TiB.
const MKFS_DEADLINE: Duration = Duration::from_secs(600);
/// Longest wait for the nodes of new partitions.
const NODES_DEADLINE: Duration = Duration::from_secs(10);
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Partitions first, then file systems, each alone: one that fails is reported, and the others follow.
pub(super) fn set_up(config: &Config) {
    for (disk, setup) in &config.disk_setup {
        part("disk_setup", || {
            partition(disk, setup).with_context(|| disk.clone())
        });
    }
    for setup in &config.fs_setup {
        let device = setup.device.clone().unwrap_or_default();
        part("fs_setup", || format(setup).with_context(|| device));
    }
}

fn partition(path: &str, setup: &DiskSetup) -> anyhow::Result<()> {
    let shares = shares(&setup.layout)?;
    if shares.is_empty() {
        return Ok(());
    }
    let table = match setup.table_type.as_deref() {
        None | Some("mbr" | "dos") => Table::Mbr,
        Some("gpt") => Table::Gpt,
        Some(other) => bail!("table_type is {other:?}, expected mbr or gpt"),
    };
    let all = blockdev::list();
    let device = find(path, &all)?;
    ensure!(device.parent.is_none(), "it is not a whole disk");
    let sector_bytes = blockdev::identity(&device.path).sector_bytes;
    let disk = File::open(&device.path).context("cannot open it")?;
    if table.is_as_asked(&mut DiskFile(disk), sector_bytes, &shares) {
        return Ok(());
    }
    if setup.overwrite != Some(true) {
        ensure!(
            is_blank(device, &all)?,
            "it is left alone: something else is on it, and overwrite is not set ({})",
            describe(device)
        );
    }
    let mut disk = DiskFile(alone(&device.path)?);
    let size = (device.size, sector_bytes);
    table.write(&mut disk, size, &shares, random_guid()?)?;
    reread(&disk.0, &device.path, shares.len())?;
    println!("disk_setup: {path} has {} partitions now", shares.len());
    Ok(())
}

/// What `layout` asks for; nothing where it asks for no table.
fn shares(layout: &Value) -> anyhow::Result<Vec<Share>> {
    let entries = match layout {
        Value::Null | Value::Bool(false) => return Ok(Vec::new()),
        Value::Bool(true) => return Ok(vec![Share::WHOLE]),
        Value::Array(entries) => entries,
        other => bail!("layout is {other}, expected true, false or a list of percents"),
    };
    let share = |entry: &Value| {
        let (percent, kind) = match entry {
            Value::Array(pair) if pair.len() == 2 => (&pair[0], word(&pair[1])),
            other => (other, "83".to_owned()),
        };
        let percent = word(percent).trim_end_matches('%').parse();
        let percent = percent.with_context(|| {
            format!("layout has {entry}, expected a percent or [percent, type]")
        })?;
        anyhow::Ok(Share::new(percent, &kind)?)
    };
    entries.iter().map(share).collect()
}

/// A number or a text.
fn word(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

fn format(setup: &FsSetup) -> anyhow::Result<()> {
    let kind = setup
        .filesystem
        .as_deref()
        .context("it has no filesystem")?;
    let path = setup.device.as_deref().context("it has no device")?;
    let all = blockdev::list();
    let device = find(path, &all)?;
    let target = match setup.partition.as_deref().unwrap_or("none") {
        "none" | "false" => device,
        choice @ ("auto" | "any") => match choose(device, &all, setup, kind, choice == "any")? {
            Some(target) => target,
            None => return Ok(()),
        },
        number => {
            let number: u32 = number.parse().with_context(|| {
                format!("partition is {number:?}, expected a number, auto, any or none")
            })?;
            let mut parts = parts_of(device, &all);
            let found = parts.find(|part| part.partition == Some(number));
            found.with_context(|| format!("it has no partition {number}"))?
        }
    };
    let found = blockdev::probe(&target.path);
    if is_as_asked(found.as_ref(), kind, setup.label.as_deref()) {
        return Ok(());
    }
    let is_replaced = setup
        .replace_fs
        .as_deref()
        .is_some_and(|old| found.as_ref().is_some_and(|found| is_kind(found, old)));
    if setup.overwrite != Some(true) && !is_replaced {
        ensure!(
            is_blank(target, &all)?,
            "{} is left alone: something else is on it, and overwrite is not set",
            target.path.display()
        );
    }
    // Nobody else has it; mkfs looks itself
    drop(alone(&target.path)?);
    succeed(&mkfs(setup, kind, &target.path))
        .with_context(|| format!("{} cannot be formatted", target.path.display()))?;
    println!("fs_setup: {} has {kind} now", target.path.display());
    Ok(())
}

/// `auto` and `any`: what is as asked, which is nothing to do; else what `replace_fs` names, what is blank, or the blank device.
fn choose<'d>(
    device: &'d BlockDevice,
    all: &'d [BlockDevice],
    setup: &FsSetup,
    kind: &str,
    any_label: bool,
) -> anyhow::Result<Option<&'d BlockDevice>> {
    let candidates: Vec<_> = parts_of(device, all).chain([device]).collect();
    let found: Vec<_> = candidates
        .iter()
        .map(|candidate| blockdev::probe(&candidate.path))
        .collect();
    let label = setup.label.as_deref().filter(|_| !any_label);
    if found
        .iter()
        .any(|found| is_as_asked(found.as_ref(), kind, label))
    {
        return Ok(None);
    }
    if let Some(old) = setup.replace_fs.as_deref() {
        let mut pairs = candidates.iter().zip(&found);
        let is_old = |found: &Option<Superblock>| found.as_ref().is_some_and(|f| is_kind(f, old));
        if let Some((candidate, _)) = pairs.find(|(_, found)| is_old(found)) {
            return Ok(Some(candidate));
        }
    }
    for candidate in candidates {
        if is_blank(candidate, all)? {
            return Ok(Some(candidate));
        }
    }
    bail!("it has nothing that is blank")
}

fn find<'d>(path: &str, all: &'d [BlockDevice]) -> anyhow::Result<&'d BlockDevice> {
    ensure!(path.starts_with('/'), "it is not the path of a device");
    let real = fs::canonicalize(path).context("there is no such device")?;
    let found = all.iter().find(|device| device.path == real);
    found.context("it is not a disk or a partition")
}

fn parts_of<'d>(
    disk: &'d BlockDevice,
    all: &'d [BlockDevice],
) -> impl Iterator<Item = &'d BlockDevice> {
    all.iter()
        .filter(|part| part.parent.as_deref() == Some(&disk.path))
}

/// Whether nobody would miss what is there.
fn is_blank(device: &BlockDevice, all: &[BlockDevice]) -> anyhow::Result<bool> {
    if parts_of(device, all).next().is_some() || blockdev::probe(&device.path).is_some() {
        return Ok(false);
    }
    let data = blockdev::first_data(&device.path);
    Ok(data
        .with_context(|| format!("cannot read {}", device.path.display()))?
        .is_none())
}

fn is_as_asked(found: Option<&Superblock>, kind: &str, label: Option<&str>) -> bool {
    found.is_some_and(|found| {
        is_kind(found, kind) && label.is_none_or(|label| found.label.as_deref() == Some(label))
    })
}

fn is_kind(found: &Superblock, kind: &str) -> bool {
    match (&found.kind, kind) {
        (Kind::Ext4, "ext2" | "ext3" | "ext4") => true,
        (known, kind) => format!("{known:?}").eq_ignore_ascii_case(kind),
    }
}

fn mkfs(setup: &FsSetup, kind: &str, device: &Path) -> Command {
    let (program, label, force) = match kind {
        "swap" => ("mkswap".to_owned(), "-L", "-f"),
        "vfat" | "fat" => ("mkfs.vfat".to_owned(), "-n", "-I"),
        "ext2" | "ext3" | "ext4" => (format!("mkfs.{kind}"), "-L", "-F"),
        _ => (format!("mkfs.{kind}"), "-L", "-f"),
    };
    let mut command = Command::new(program).arg(force);
    if let Some(text) = &setup.label {
        command = command.args([label, text]);
    }
    let options = setup.extra_opts.iter();
    let options = options.flat_map(|option| option.split_whitespace());
    command.args(options).arg(device).deadline(MKFS_DEADLINE)
}

/// Waits until the kernel has the new partitions: udevd may look at the disk in this moment, and makes their nodes.
fn reread(file: &File, disk: &Path, count: usize) -> anyhow::Result<()> {
    let end = Instant::now() + NODES_DEADLINE;
    loop {
        let read = blockdev::reread_partitions(file);
        let all = blockdev::list();
        let parts = all
            .iter()
            .filter(|part| part.parent.as_deref() == Some(disk));
        if read.is_ok() && parts.filter(|part| part.path.exists()).count() == count {
            return Ok(());
        }
        if Instant::now() > end {
            read?;
            bail!("the kernel does not show its partitions");
        }
        thread::sleep(LOOK_AGAIN);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn layouts_are_read_as_cloud_init_has_them() {
        for (layout, want) in [
            (json!(null), vec![]),
            (json!(false), vec![]),
            (json!(true), vec![(100, 0x83)]),
            (
                json!([33, [33, 82], 33]),
                vec![(33, 0x83), (33, 0x82), (33, 0x83)],
            ),
            (json!([[50, "8200"], "50%"]), vec![(50, 0x82), (50, 0x83)]),
        ] {
            let shares = shares(&layout).unwrap();
            let got: Vec<_> = shares.iter().map(|s| (s.percent, s.kind)).collect();
            assert_eq!(got, want, "{layout}");
        }
        for (layout, want) in [
            (json!("remove"), "expected true, false or a list"),
            (json!([true]), "expected a percent or [percent, type]"),
            (json!([[50, "linux"]]), "linux is not a type of a partition"),
        ] {
            let error = shares(&layout).unwrap_err().to_string();
            assert!(error.contains(want), "{layout}: {error}");
        }
    }

    #[test]
    fn commands_label_and_do_not_ask() {
        let setup = FsSetup {
            label: Some("data".to_owned()),
            extra_opts: vec!["-E lazy_itable_init=0".to_owned(), "-q".to_owned()],
            ..FsSetup::default()
        };
        for (kind, want) in [
            ("ext4", ["mkfs.ext4", "-F", "-L"]),
            ("swap", ["mkswap", "-f", "-L"]),
            ("vfat", ["mkfs.vfat", "-I", "-n"]),
            ("xfs", ["mkfs.xfs", "-f", "-L"]),
        ] {
            let command = format!("{:?}", mkfs(&setup, kind, Path::new("/dev/vdb")));
            for word in want
                .into_iter()
                .chain(["-E", "lazy_itable_init=0", "/dev/vdb"])
            {
                assert!(command.contains(&format!("{word:?}")), "{word}: {command}");
            }
        }
    }
}

//! `disk_setup`: the partition table of a disk.

use std::fs::File;
use std::path::Path;
use std::thread;
use std::time::Instant;

use anyhow::{Context as _, bail, ensure};
use config::cloud_config::DiskSetup;
use install::{Share, Table};
use serde_json::Value;
use sys::blockdev;

use super::record::{self, Record, Step};
use super::{LOOK_AGAIN, NODES_DEADLINE, alone_soon, find, is_blank};
use crate::install::device::{DiskFile, describe};
use crate::install::write::random_guid;

/// How often all partitions must be there, one look after the other.
const LOOKS: u32 = 5;

pub(super) fn make(name: &str, setup: &DiskSetup, record: &mut Record) -> anyhow::Result<()> {
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
    let device = find(name, &all)?;
    ensure!(device.parent.is_none(), "it is not a whole disk");
    let key = key(&device);
    let known = record.get(&key);
    if matches!(known, Some(Step::Made | Step::Seen)) {
        return Ok(());
    }
    let sector_bytes = blockdev::identity(&device.path).sector_bytes;
    let disk = File::open(&device.path).context("cannot open it")?;
    if known.is_none() && table.is_as_asked(&mut DiskFile(disk), sector_bytes, &shares) {
        return record.set(&key, Step::Seen);
    }
    if known.is_none() && setup.overwrite != Some(true) {
        ensure!(
            is_blank(&device, &all)?,
            "it is left alone: something else is on it, and overwrite is not set ({})",
            describe(&device)
        );
    }
    let size = (device.size, sector_bytes);
    table.check(size, &shares)?;
    let mut disk = DiskFile(alone_soon(&device.path)?);
    record.set(&key, Step::Begun)?;
    table.write(&mut disk, size, &shares, random_guid()?)?;
    record.set(&key, Step::Made)?;
    println!("disk_setup: {name} has {} partitions now", shares.len());
    reread(disk.0, &device.path, shares.len())
}

/// The key of a disk in the record.
pub(super) fn key(disk: &sys::blockdev::BlockDevice) -> String {
    record::key("disk_setup", disk, "partitions")
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

/// Waits until the kernel has the new partitions, also when the disk is closed: udevd reads the table then once more.
fn reread(file: File, disk: &Path, count: usize) -> anyhow::Result<()> {
    let end = Instant::now() + NODES_DEADLINE;
    let mut file = Some(file);
    let (mut read, mut seen) = (Ok(()), 0);
    while seen < LOOKS {
        if let Some(open) = &file {
            read = blockdev::reread_partitions(open);
        }
        let all = blockdev::list();
        let parts = all
            .iter()
            .filter(|part| part.parent.as_deref() == Some(disk) && part.path.exists());
        let is_there = read.is_ok() && parts.count() == count;
        if is_there {
            file = None;
        }
        seen = if is_there { seen + 1 } else { 0 };
        if Instant::now() > end {
            read?;
            bail!("the kernel does not show its partitions");
        }
        thread::sleep(LOOK_AGAIN);
    }
    Ok(())
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
}

//! Damage: it is reported, and the rest boots.

use std::fs;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use libtest_mimic::Trial;
use serde_json::Value;

use crate::context::{Context, alone};
use crate::disk::Disk;
use crate::guest::{BOOT_DEADLINE, Guest, SERVICES};
use crate::machine::{Boot, Machine};

pub(super) fn tests(context: &Arc<Context>) -> Vec<Trial> {
    vec![
        alone(
            context,
            "failure_damaged_image_is_reported_and_the_rest_boots",
            damaged_image_is_reported_and_the_rest_boots,
        ),
        alone(
            context,
            "failure_missing_media_gives_a_rescue_shell",
            missing_media_gives_a_rescue_shell,
        ),
        alone(
            context,
            "boot_recovery_gives_a_rescue_shell",
            recovery_gives_a_rescue_shell,
        ),
    ]
}

/// Overwrites the start of one service's own layer on a copy of the ISO.
fn damaged_image_is_reported_and_the_rest_boots(context: &Context) -> anyhow::Result<()> {
    let media = &context.artifacts.media;
    let index: Value = serde_json::from_str(
        &fs::read_to_string(media.join("images.json")).context("images.json")?,
    )?;
    let layer = index["images"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|image| image["references"].to_string().contains("os-ntp"))
        .and_then(|image| {
            image["layers"].as_array()?.last()?["file"]
                .as_str()
                .map(str::to_owned)
        })
        .context("images.json has no os-ntp")?;
    let mut start = [0; 4096];
    fs::File::open(media.join(&layer))
        .context("cannot open the layer")?
        .read_exact_at(&mut start, 0)
        .context("cannot read the layer")?;

    let folder = tempfile::tempdir()?;
    let iso = folder.path().join("damaged.iso");
    fs::copy(&context.artifacts.iso, &iso).context("cannot copy the ISO")?;
    let content = fs::read(&iso).context("cannot read the ISO")?;
    // Files of an ISO start at blocks of 2048 bytes.
    let at = (0..content.len().saturating_sub(start.len()))
        .step_by(2048)
        .find(|at| content[*at..*at + start.len()] == start);
    let file = fs::OpenOptions::new()
        .write(true)
        .open(&iso)
        .context("cannot open the ISO")?;
    file.write_all_at(
        &[0xff; 4096],
        at.context("the layer is not on the ISO")? as u64,
    )
    .context("cannot damage the ISO")?;

    let mut guest = Machine::new("damaged", Boot::Kernel)
        .iso(&iso)
        .start(&context.artifacts)?;
    guest.allow("SQUASHFS error");
    guest.allow("I/O error");
    guest.wait_ready()?;
    let text = guest.console.text();
    ensure!(
        text.lines()
            .any(|line| line.contains("ntp") && line.contains("init:")),
        "no word about ntp\n{}",
        guest.console.tail()
    );
    let others: Vec<&str> = SERVICES.into_iter().filter(|name| *name != "ntp").collect();
    guest.wait_services(&others)?;
    guest.check()
}

fn missing_media_gives_a_rescue_shell(context: &Context) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let empty = folder.path().join("empty.iso");
    fs::write(&empty, vec![0; 1 << 20]).context("cannot make an empty disc")?;
    let guest = Machine::new("no-media", Boot::Kernel)
        .iso(&empty)
        .start(&context.artifacts)?;
    guest
        .console
        .wait("rescue: find media failed", BOOT_DEADLINE)?;
    use_rescue_shell(&guest)
}

/// Asked for on the command line, it comes before any disk is mounted, with the tools of the media.
fn recovery_gives_a_rescue_shell(context: &Context) -> anyhow::Result<()> {
    let disk = Disk::state()?;
    let mut guest = Machine::new("recovery", Boot::Kernel)
        .state_disk(&disk.path)
        .parameters("rancher.recovery=true")
        .reset_ends()
        .start(&context.artifacts)?;
    guest
        .console
        .wait("rancher.recovery is set", BOOT_DEADLINE)?;
    use_rescue_shell(&guest)?;
    // What its operator leaves mounted, with a program in it, is clean all the same.
    guest.types(
        "mkdir -p /run/disk; mount -t ext4 /dev/vda /run/disk; echo words > /run/disk/note; \
         (cd /run/disk; sleep 1000 &) ; echo written-$((40 + 8))",
        "written-48",
    )?;
    guest.console.type_line("exit")?;
    guest.wait_reset()?;
    let superblock = duct::cmd!("dumpe2fs", "-h", &disk.path)
        .stderr_null()
        .read()
        .context("dumpe2fs")?;
    ensure!(
        !superblock.contains("needs_recovery"),
        "the disk was not unmounted\n{}",
        guest.console.tail()
    );
    ensure!(
        disk.debugfs(&["cat /note".to_owned()])?.contains("words"),
        "what was written is not there"
    );
    Ok(())
}

fn use_rescue_shell(guest: &Guest) -> anyhow::Result<()> {
    guest.console.wait("rescue#", BOOT_DEADLINE)?;
    guest.types("echo rescued-$((40 + 7))", "rescued-47")?;
    guest.check()
}

//! The state partition: what is kept, and what is never touched.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use libtest_mimic::Trial;

use crate::context::{Context, alone};
use crate::disk::Disk;
use crate::guest::{Guest, SERVICES};
use crate::machine::{Boot, Machine};

pub(super) fn tests(context: &Arc<Context>) -> Vec<Trial> {
    vec![
        alone(
            context,
            "state_is_kept_over_a_reboot",
            state_is_kept_over_a_reboot,
        ),
        alone(
            context,
            "state_survives_as_the_page_says",
            survives_as_the_page_says,
        ),
        alone(
            context,
            "state_without_a_disk_starts_afresh",
            without_a_disk_starts_afresh,
        ),
        alone(
            context,
            "state_bad_device_still_boots",
            bad_device_still_boots,
        ),
        alone(
            context,
            "state_blank_disk_is_formatted_only_when_asked",
            blank_disk_is_formatted_only_when_asked,
        ),
        alone(
            context,
            "state_disk_with_data_is_never_formatted",
            disk_with_data_is_never_formatted,
        ),
    ]
}

/// The first bytes of a disk, where any file system would have left a trace.
fn start_of(disk: &Path) -> anyhow::Result<Vec<u8>> {
    let mut start = vec![0; 1 << 20];
    std::io::Read::read_exact(
        &mut File::open(disk).context("cannot open the disk")?,
        &mut start,
    )
    .context("cannot read the disk")?;
    Ok(start)
}

/// What the server shows to a client that has never met it; fails when there is none.
const HOST_KEY: &str = "ssh-keyscan -t ed25519 127.0.0.1 2>/dev/null | grep ed25519";

fn state_is_kept_over_a_reboot(context: &Context) -> anyhow::Result<()> {
    let disk = Disk::state()?;
    let guest = Machine::new("state-kept", Boot::Kernel)
        .state_disk(&disk.path)
        .start(&context.artifacts)?;
    guest.wait_ready()?;
    guest.wait_docker()?;
    guest.run("echo mine > ~/note; echo lost | sudo tee /usr/note >/dev/null")?;
    guest.run("docker run -d --name web --restart always busybox httpd -f -p 80 -h /etc")?;
    guest.run("docker run -d --name unless --restart unless-stopped busybox sleep 100000")?;
    let keys = guest.run(HOST_KEY)?;
    let mark = guest.reboot()?;
    let guest = Rebooted { guest, mark };
    guest.wait()?;
    let guest = guest.guest;
    ensure!(
        guest.run("cat ~/note")? == "mine",
        "the home directory was lost"
    );
    ensure!(
        guest.run("cat /usr/note 2>/dev/null || echo gone")? == "gone",
        "/usr must return to its original state"
    );
    ensure!(guest.run(HOST_KEY)? == keys, "the host key changed");
    guest.wait_docker()?;
    let running =
        "test \"$(docker ps --format '{{.Names}}' | sort | tr '\\n' ' ')\" = 'unless web '";
    guest.run_until(running, crate::guest::BOOT_DEADLINE)?;
    guest.check()
}

/// What users are told.
const PAGE: &str = include_str!("../../../docs/persistence.md");

/// The rows of the page's table: a directory, and whether it is kept.
fn rows() -> Vec<(&'static str, bool)> {
    PAGE.lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once("` | "))
        .map(|(directory, rest)| (directory, rest.starts_with("kept")))
        .collect()
}

fn survives_as_the_page_says(context: &Context) -> anyhow::Result<()> {
    const FILE: &str = "file-of-the-test";
    let rows = rows();
    ensure!(rows.len() > 10, "the page has {} rows only", rows.len());
    let guest = Machine::new("state-page", Boot::Kernel).start(&context.artifacts)?;
    guest.wait_ready()?;
    for (directory, _) in &rows {
        guest.run(&format!(
            "sudo mkdir -p {directory} && echo x | sudo tee {directory}/{FILE} >/dev/null"
        ))?;
    }
    let mark = guest.reboot()?;
    guest.wait_ready_after(mark)?;
    let mut wrong = Vec::new();
    for (directory, kept) in rows {
        let there = guest.run(&format!(
            "sudo test -e {directory}/{FILE} && echo kept || echo gone"
        ))?;
        // In RAM nothing is.
        if (there == "kept") != (kept && context.artifacts.state_disks) {
            wrong.push(format!("{directory} is {there}"));
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join(", "));
    guest.check()
}

/// A machine that boots for the second time: SSH must be the new one's.
struct Rebooted {
    guest: Guest,
    mark: usize,
}

impl Rebooted {
    fn wait(&self) -> anyhow::Result<()> {
        self.guest.wait_ready_after(self.mark)
    }
}

fn without_a_disk_starts_afresh(context: &Context) -> anyhow::Result<()> {
    let guest = Machine::new("state-none", Boot::Kernel)
        .in_ram()
        .start(&context.artifacts)?;
    guest.wait_ready()?;
    guest.run("echo mine > ~/note")?;
    let mark = guest.reboot()?;
    guest.wait_ready_after(mark)?;
    ensure!(
        guest.run("cat ~/note 2>/dev/null || echo gone")? == "gone",
        "RAM survived a reboot"
    );
    guest.check()
}

fn bad_device_still_boots(context: &Context) -> anyhow::Result<()> {
    let disk = Disk::blank()?;
    std::fs::write(&disk.path, vec![0xa5; 1 << 20]).context("cannot write the disk")?;
    let guest = Machine::new("state-bad", Boot::Kernel)
        .state_disk(&disk.path)
        .parameters("rancher.state.dev=/dev/vda")
        .start(&context.artifacts)?;
    guest.wait_ready()?;
    ensure!(
        guest.console.text().contains("/dev/vda has no file system"),
        "no word about the bad device\n{}",
        guest.console.tail()
    );
    guest.wait_services(&SERVICES)?;
    guest.check()
}

fn blank_disk_is_formatted_only_when_asked(context: &Context) -> anyhow::Result<()> {
    let disk = Disk::blank()?;
    let mut guest = Machine::new("state-blank", Boot::Kernel)
        .state_disk(&disk.path)
        .start(&context.artifacts)?;
    guest.wait_ready()?;
    guest.press_power()?;
    guest.wait_off()?;
    ensure!(
        start_of(&disk.path)?.iter().all(|byte| *byte == 0),
        "a blank disk was written to without being asked"
    );

    let guest = Machine::new("state-autoformat", Boot::Kernel)
        .state_disk(&disk.path)
        .parameters("rancher.state.autoformat=[/dev/vda]")
        .start(&context.artifacts)?;
    guest.wait_ready()?;
    let source = guest.run("findmnt -n -o SOURCE -T /home")?;
    ensure!(source.starts_with("/dev/vda"), "/home is on {source}");
    guest.run("sudo blkid /dev/vda | grep -q 'LABEL=\"RANCHER_STATE\"'")?;
    guest.check()
}

fn disk_with_data_is_never_formatted(context: &Context) -> anyhow::Result<()> {
    let disk = Disk::ext4("PHOTOS", &[])?;
    let before = start_of(&disk.path)?;
    let guest = Machine::new("state-data", Boot::Kernel)
        .state_disk(&disk.path)
        .parameters("rancher.state.autoformat=[/dev/vda]")
        .start(&context.artifacts)?;
    guest.wait_ready()?;
    ensure!(
        guest.console.text().contains("/dev/vda is not blank"),
        "no word about the disk\n{}",
        guest.console.tail()
    );
    drop(guest);
    ensure!(
        start_of(&disk.path)? == before,
        "a disk with data was written to"
    );
    Ok(())
}

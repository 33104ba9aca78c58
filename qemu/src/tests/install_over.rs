//! `ros install --keep-state`: an installation over another one, on a disk that has grown since.

use std::sync::Arc;

use anyhow::ensure;
use libtest_mimic::Trial;

use super::install::{DISK_BYTES, blank_disk, enlarge, install_on, start};
use crate::context::{Context, alone};
use crate::machine::{Boot, Firmware, Machine};

pub(super) fn tests(context: &Arc<Context>) -> Vec<Trial> {
    vec![alone(
        context,
        "install_over_an_installation_keeps_its_state",
        keeps_the_state,
    )]
}

/// What `ros install` would give a disk of this size is not what a disk has that has grown to it: its state is elsewhere.
const GROWN_BYTES: u64 = 9 << 30;

fn keeps_the_state(context: &Context) -> anyhow::Result<()> {
    let disk = blank_disk(DISK_BYTES)?;
    install_on(&context.artifacts, "keep-install", &disk.path, "")?;
    enlarge(&disk, GROWN_BYTES)?;
    let run = |name, commands: &[&str]| -> anyhow::Result<()> {
        let mut guest = start(context, name, &disk.path, "virtio-blk-pci", Firmware::Bios)?;
        for command in commands {
            guest.run(command)?;
        }
        guest.press_power()?;
        guest.wait_off()
    };
    run(
        "keep-before",
        &["echo mine > ~/note", "sudo ros config set hostname before"],
    )?;

    let mut guest = Machine::new("keep-again", Boot::Kernel)
        .in_ram()
        .parameters("rancher.state.dev=none")
        .disk(&disk.path)
        .start(&context.artifacts)?;
    guest.wait_ready()?;
    guest.refuses("sudo ros install -d /dev/vda --no-reboot", 2, "has data")?;
    let said = guest
        .run("sudo ros install --keep-state -a 'loglevel=8 rancher.debug=true' --no-reboot")?;
    ensure!(
        said.contains("RANCHER_STATE") && said.contains(": kept"),
        "ros install said: {said}"
    );
    guest.press_power()?;
    guest.wait_off()?;
    drop(guest);
    run(
        "keep-after",
        &[
            "grep mine ~/note",
            "test $(hostname) = before",
            "test $(findmnt -n -b -o SIZE -T /home) -gt 6000000000",
        ],
    )
}

//! Every way to start from our media.

use std::sync::Arc;

use anyhow::ensure;
use libtest_mimic::Trial;

use crate::context::{Context, alone};
use crate::guest::{BOOT_DEADLINE, PROMPT};
use crate::machine::{Boot, Firmware, Machine};

pub(super) fn tests(context: &Arc<Context>) -> Vec<Trial> {
    vec![
        alone(context, "media_disc_boots_with_bios", |context| {
            boots(context, "disc-bios", Boot::Disc, Firmware::Bios)
        }),
        alone(context, "media_disc_boots_with_uefi", |context| {
            boots(context, "disc-uefi", Boot::Disc, Firmware::Uefi)
        }),
        alone(context, "media_usb_stick_boots_with_bios", |context| {
            boots(context, "stick-bios", Boot::Stick, Firmware::Bios)
        }),
        alone(context, "media_usb_stick_boots_with_uefi", |context| {
            boots(context, "stick-uefi", Boot::Stick, Firmware::Uefi)
        }),
        alone(
            context,
            "media_network_boot_needs_no_drive",
            network_boot_needs_no_drive,
        ),
    ]
}

/// Up to the shell that the ISO's own command line logs in on the serial port, where docker works.
fn boots(context: &Context, name: &str, boot: Boot, firmware: Firmware) -> anyhow::Result<()> {
    let mut guest = Machine::new(name, boot)
        .firmware(firmware)
        .start(&context.artifacts)?;
    guest.console.wait(PROMPT, BOOT_DEADLINE)?;
    guest.types(
        "until docker version >/dev/null 2>&1; do sleep 1; done; echo docker-$((40 + 2))",
        "docker-42",
    )?;
    guest.types(
        "until docker run --rm busybox echo hello-$((40 + 3)); do sleep 1; done",
        "hello-43",
    )?;
    guest.press_power()?;
    guest.wait_off()
}

fn network_boot_needs_no_drive(context: &Context) -> anyhow::Result<()> {
    let guest = Machine::new("network-boot", Boot::Network)
        .in_ram()
        .memory_mib(1536)
        .start(&context.artifacts)?;
    guest.wait_ready()?;
    guest.wait_docker()?;
    let drives = guest.run("ls /sys/block | grep -v -e loop -e ram || true")?;
    ensure!(drives.is_empty(), "there are drives: {drives}");
    guest.check()
}
